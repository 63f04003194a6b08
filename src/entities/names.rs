//! The store's names: attributes, tag keys and entity types, each a [`Sym`].
//!
//! Names are never given back: what they cost is bounded by the distinct attribute names, types and tag
//! keys ever stored or compiled. A store whose tag keys are unbounded is rebuilt to shrink it.

use super::index::SharedTable;
use super::pages::PageVec;
use super::symbol::{MAX_INDEX, Sym, hash_text};
use cedar_policy::pst::SmolStr;

/// Names of one version, shared with its neighbours.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    texts: PageVec<SmolStr>,
    index: SharedTable,
    len: u32,
}

impl Names {
    /// The number of `text`, if the store knows it.
    #[inline]
    pub(crate) fn find(&self, seed: u64, text: &str) -> Option<Sym> {
        let found = self.index.find(hash_text(seed, text), |at| {
            self.texts.get(at).is_some_and(|t| t == text)
        });
        found.map(Sym::stored)
    }

    /// The text behind a number of the store.
    pub(crate) fn text(&self, name: Sym) -> Option<&str> {
        if name.is_local() || name.index() >= self.len {
            return None;
        }
        self.texts.get(name.index()).map(SmolStr::as_str)
    }

    /// The number of `text`, given out now if it is new; `None` when the numbers are used up.
    pub(crate) fn intern(&mut self, seed: u64, text: &str) -> Option<Sym> {
        if let Some(known) = self.find(seed, text) {
            return Some(known);
        }
        let at = self.len;
        if at > MAX_INDEX {
            return None;
        }
        *self.texts.get_mut(at) = text.into();
        self.index.insert(hash_text(seed, text), at);
        self.len = at + 1;
        Some(Sym::stored(at))
    }
}
