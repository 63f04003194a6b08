//! The store's names: attributes, tag keys and entity types, each a [`Sym`].
//!
//! The store counts who uses a name ([`super::store`]) and takes it out with its last use; its number is then
//! given to the next new name. What names cost is bounded by the names in use.

use super::index::SharedTable;
use super::pages::PageVec;
use super::symbol::{MAX_INDEX, Sym};
use crate::base::hash;
use cedar_policy::pst::SmolStr;

/// Names of one version, shared with its neighbours.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    texts: PageVec<SmolStr>,
    index: SharedTable,
    /// Numbers ever given out.
    numbers: u32,
    /// Names there are.
    live: u32,
}

impl Names {
    /// The number of `text`, if the store knows it.
    #[inline]
    pub(crate) fn find(&self, seed: u64, text: &str) -> Option<Sym> {
        let is = |at| self.texts.get(at).is_some_and(|t| t == text);
        let found = self
            .index
            .find(hash::text(seed, text), || Some((Sym::NONE, text)), is);
        found.map(Sym::stored)
    }

    /// The text behind a number of the store.
    pub(crate) fn text(&self, name: Sym) -> Option<&str> {
        if name.is_local() || name.index() >= self.numbers {
            return None;
        }
        self.texts.get(name.index()).map(SmolStr::as_str)
    }

    /// How many names there are.
    pub(crate) fn len(&self) -> usize {
        self.live as usize
    }

    /// The number for a text that is not there yet: `free`, or a new one. `None` when the numbers are used up.
    pub(crate) fn insert(&mut self, seed: u64, text: &str, free: Option<u32>) -> Option<Sym> {
        let at = free.unwrap_or(self.numbers);
        if at > MAX_INDEX {
            return None;
        }
        *self.texts.get_mut(at) = text.into();
        let hash = hash::text(seed, text);
        self.index.insert(hash, (Sym::NONE, text), at);
        self.numbers = self.numbers.max(at + 1);
        self.live += 1;
        Some(Sym::stored(at))
    }

    /// Takes a name out: nothing uses its number any more.
    pub(crate) fn remove(&mut self, seed: u64, name: Sym) {
        let text = std::mem::take(self.texts.get_mut(name.index()));
        let hash = hash::text(seed, &text);
        self.index.remove(hash, (Sym::NONE, &text), name.index());
        self.live -= 1;
    }
}
