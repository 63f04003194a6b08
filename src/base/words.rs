//! Closed sets whose members have names: of settings, answers, labels of metrics.

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
    )+};
}

pub(crate) use words;
