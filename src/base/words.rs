//! Closed sets whose members have names: of settings, answers, labels of metrics.

/// A set whose members are known when this is built.
#[cfg(feature = "server")]
pub(crate) trait Words: Copy + 'static {
    /// The members, each at its place.
    const ALL: &'static [Self];

    /// The name of the member.
    fn word(self) -> &'static str;

    /// Its place in [`Words::ALL`].
    fn place(self) -> usize;
}

/// Makes enums that have `ALL` and a method for the name sets of words.
#[cfg(feature = "server")]
macro_rules! is_words {
    ($($set:ident by $word:ident),+) => {$(
        impl $crate::base::words::Words for $set {
            const ALL: &'static [Self] = &Self::ALL;

            fn word(self) -> &'static str {
                self.$word()
            }

            fn place(self) -> usize {
                self as usize
            }
        }
    )+};
}

#[cfg(feature = "server")]
pub(crate) use is_words;

/// Declares sets, each member with its name: `pub enum Set by as_str { Member = "name" }`. The method named after
/// `by` gives a member's name, `from_name` the member of a name, and `ALL` holds every member in its order.
macro_rules! words {
    ($($(#[$about:meta])* $vis:vis enum $set:ident by $word:ident {
        $($(#[$of:meta])* $member:ident = $name:literal,)+
    })+) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        $vis enum $set { $($(#[$of])* $member,)+ }

        #[allow(dead_code, reason = "not every set is listed and read")]
        impl $set {
            /// Every member.
            $vis const ALL: [Self; [$($name),+].len()] = [$(Self::$member),+];

            /// The name of the member.
            #[must_use]
            $vis const fn $word(self) -> &'static str {
                match self { $(Self::$member => $name,)+ }
            }

            /// The member of this name.
            #[must_use]
            $vis fn from_name(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|member| member.$word() == name)
            }
        }

        #[cfg(feature = "server")]
        $crate::base::words::is_words!($set by $word);
    )+};
}

pub(crate) use words;
