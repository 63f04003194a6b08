//! Numbers that stand for text: names (attributes, tags, types) and entity ids.
//!
//! A number with the top bit set belongs to one request ([`super::Locals`]) and means nothing outside it;
//! every other number belongs to the store that gave it out.

const LOCAL: u32 = 1 << 31;

/// Numbers with the same form and different meanings.
macro_rules! numbers {
    ($($(#[$about:meta])* $number:ident,)+) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) struct $number(u32);

        impl $number {
            /// None at all: equal to nothing that was interned.
            pub(crate) const NONE: Self = Self(u32::MAX);

            pub(crate) const fn stored(index: u32) -> Self {
                Self(index)
            }

            pub(crate) const fn local(index: u32) -> Self {
                Self(index | LOCAL)
            }

            /// Whether this number belongs to one request.
            pub(crate) const fn is_local(self) -> bool {
                self.0 & LOCAL != 0
            }

            /// Position in its table, the store's or the request's.
            pub(crate) const fn index(self) -> u32 {
                self.0 & !LOCAL
            }
        }

        impl Default for $number {
            fn default() -> Self {
                Self::NONE
            }
        }
    )+};
}

numbers! {
    /// An interned name: an attribute, a tag key or an entity type.
    Sym,
    /// An interned entity id: type and id together.
    Uid,
}

impl Uid {
    pub(crate) const fn raw(self) -> u32 {
        self.0
    }
}

/// Largest index a store may give out: one bit is the request's, and the last index is `NONE`.
pub(crate) const MAX_INDEX: u32 = LOCAL - 2;
