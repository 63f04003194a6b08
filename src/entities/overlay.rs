//! Entities that one request brings along, in front of the store and without copying it.
//!
//! Enters: complete entities (what the caller may assert and how it merges with what is stored is decided
//! before). Leaves: a small table that a decision asks first. Edges stay acyclic across both.

use super::batch::NewEntity;
use super::convert::{RequestSymbols, Symbols, resolve_fields};
use super::symbol::Uid;
use super::value::Record;
use super::version::{EntityRef, EntityVersion, InlineEntity};
use crate::base::meter::Meter;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use thiserror::Error;

/// Why inline entities were refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum OverlayError {
    /// The parents would form a cycle, alone or together with the store.
    #[error("inline entities make an entity its own ancestor")]
    Cycle,
    /// The work to find cycles is more than the request may cause.
    #[error("the request may cause no more work")]
    Exhausted,
    /// A chain of parents that is too long.
    #[error("a chain of more than {0} parents")]
    TooDeep(usize),
}

/// Entities of one request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overlay {
    bound: (u64, u64),
    entities: BTreeMap<Uid, InlineEntity>,
}

/// Steps for an edge that is looked at to find cycles.
const EDGE: u64 = 3;

impl Overlay {
    /// No entities yet, over this version.
    pub(crate) fn begin(version: &EntityVersion) -> Self {
        Self {
            bound: version.identity(),
            ..Self::default()
        }
    }

    /// Adds an entity; false if another one of the same id is there.
    pub(crate) fn insert(
        &mut self,
        uid: Uid,
        attrs: Record,
        tags: Record,
        mut parents: Vec<Uid>,
    ) -> bool {
        parents.sort_unstable();
        parents.dedup();
        let inline = InlineEntity {
            attrs: attrs.into_fields(),
            tags: tags.into_fields(),
            parents,
        };
        match self.entities.entry(uid) {
            Entry::Vacant(free) => {
                free.insert(inline);
                true
            }
            Entry::Occupied(known) => *known.get() == inline,
        }
    }

    /// Adds an entity whose text is spelled out; false if another one of the same id is there.
    pub(crate) fn put(&mut self, entity: &NewEntity, symbols: &mut RequestSymbols<'_>) -> bool {
        let uid = symbols.entity(&entity.uid.0, &entity.uid.1);
        let attrs = Record::new(resolve_fields(&entity.attrs, symbols));
        let tags = Record::new(resolve_fields(&entity.tags, symbols));
        let parents = entity.parents.iter();
        let parents = parents.map(|(ty, id)| symbols.entity(ty, id)).collect();
        self.insert(uid, attrs, tags, parents)
    }

    /// The store and version whose numbers it holds.
    pub(crate) fn bound(&self) -> (u64, u64) {
        self.bound
    }

    /// The entity, if the request brought it.
    #[inline]
    pub(crate) fn entity(&self, uid: Uid) -> Option<EntityRef<'_>> {
        self.entities.get(&uid).map(EntityRef::Inline)
    }

    /// All of them.
    #[cfg(test)]
    pub(crate) fn entities(&self) -> impl Iterator<Item = (Uid, EntityRef<'_>)> {
        let uids = self.entities.keys().copied();
        uids.filter_map(|uid| Some((uid, self.entity(uid)?)))
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.entities.is_empty()
    }

    fn parents<'a>(&'a self, version: &'a EntityVersion, uid: Uid) -> &'a [Uid] {
        match self.entities.get(&uid) {
            Some(inline) => &inline.parents,
            None => version.entity(uid).map_or(&[], |entity| entity.parents()),
        }
    }

    /// Refuses cycles, and chains that run through more than `depth` further inline entities.
    pub(crate) fn check(
        &self,
        version: &EntityVersion,
        depth: usize,
        meter: &Meter,
    ) -> Result<(), OverlayError> {
        // The longest chain upwards of each entity, in inline entities; `None` while it is open.
        let mut closed: BTreeMap<Uid, Option<usize>> = BTreeMap::new();
        let mut open: Vec<(Uid, usize, usize)> = Vec::new();
        for start in self.entities.keys() {
            if closed.contains_key(start) {
                continue;
            }
            closed.insert(*start, None);
            open.push((*start, 0, 0));
            while let Some((uid, next, above)) = open.last_mut() {
                let uid = *uid;
                if let Some(parent) = self.parents(version, uid).get(*next).copied() {
                    *next += 1;
                    if !meter.take(EDGE) {
                        return Err(OverlayError::Exhausted);
                    }
                    match closed.get(&parent) {
                        Some(Some(length)) => *above = (*above).max(*length),
                        Some(None) => return Err(OverlayError::Cycle),
                        None => {
                            closed.insert(parent, None);
                            open.push((parent, 0, 0));
                        }
                    }
                } else {
                    let inline = usize::from(self.entities.contains_key(&uid));
                    let length = *above + inline;
                    if length > depth.saturating_add(1) {
                        return Err(OverlayError::TooDeep(depth));
                    }
                    closed.insert(uid, Some(length));
                    open.pop();
                    if let Some((_, _, below)) = open.last_mut() {
                        *below = (*below).max(length);
                    }
                }
            }
        }
        Ok(())
    }
}
