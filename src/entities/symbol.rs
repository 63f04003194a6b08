//! Numbers that stand for text: names (attributes, tags, types) and entity ids.
//!
//! A number with the top bit set belongs to one request ([`super::Locals`]) and means nothing outside it;
//! every other number belongs to the store that gave it out.

const LOCAL: u32 = 1 << 31;

/// An interned name: an attribute, a tag key or an entity type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Sym(u32);

/// An interned entity id: type and id together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Uid(u32);

impl Sym {
    /// No name at all: equal to nothing that was interned.
    pub(crate) const NONE: Self = Self(u32::MAX);

    pub(crate) const fn stored(index: u32) -> Self {
        Self(index)
    }

    pub(crate) const fn local(index: u32) -> Self {
        Self(index | LOCAL)
    }

    pub(crate) const fn is_local(self) -> bool {
        self.0 & LOCAL != 0
    }

    /// Position in its table, the store's or the request's.
    pub(crate) const fn index(self) -> u32 {
        self.0 & !LOCAL
    }
}

impl Default for Sym {
    fn default() -> Self {
        Self::NONE
    }
}

impl Uid {
    /// No entity at all: equal to nothing that was interned.
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

    pub(crate) const fn index(self) -> u32 {
        self.0 & !LOCAL
    }

    pub(crate) const fn raw(self) -> u32 {
        self.0
    }
}

impl Default for Uid {
    fn default() -> Self {
        Self::NONE
    }
}

/// Largest index a store may give out: one bit is the request's, and the last index is `NONE`.
pub(crate) const MAX_INDEX: u32 = LOCAL - 2;
