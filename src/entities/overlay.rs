//! Entities that one request brings along, in front of the store and without copying it.
//!
//! Enters: complete entities (what the caller may assert and how it merges with what is stored is decided
//! before). Leaves: a small table that a decision asks first. Edges stay acyclic across both.

use super::batch::NewEntity;
use super::convert::{RequestSymbols, Symbols, resolve_fields};
use super::locals::Locals;
use super::symbol::{Sym, Uid};
use super::value::{Record, Value};
use super::version::{EntityRef, EntityVersion};
use std::collections::HashMap;
use thiserror::Error;

/// Why inline entities were refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum OverlayError {
    /// The parents would form a cycle, alone or together with the store.
    #[error("inline entities make an entity its own ancestor")]
    Cycle,
    /// More ancestors than may be walked to find cycles.
    #[error("inline entities reach more than {0} ancestors")]
    TooWide(usize),
}

#[derive(Debug, Clone)]
struct Inline {
    attrs: Vec<(Sym, Value)>,
    tags: Vec<(Sym, Value)>,
    parents: Vec<Uid>,
}

/// Entities of one request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overlay {
    bound: (u64, u64),
    entities: HashMap<Uid, Inline, foldhash::fast::FixedState>,
}

/// Ancestors that are walked to find cycles.
const WALKED: usize = 100_000;

impl Overlay {
    /// The overlay of these entities; a later one replaces an earlier one of the same id.
    pub(crate) fn new(
        version: &EntityVersion,
        locals: &mut Locals,
        entities: &[NewEntity],
    ) -> Result<Self, OverlayError> {
        let mut symbols = RequestSymbols { version, locals };
        let mut overlay = Self {
            bound: version.identity(),
            ..Self::default()
        };
        for entity in entities {
            let uid = symbols.entity(&entity.uid.0, &entity.uid.1);
            let attrs = Record::new(resolve_fields(&entity.attrs, &mut symbols)).into_fields();
            let tags = Record::new(resolve_fields(&entity.tags, &mut symbols)).into_fields();
            let mut parents: Vec<Uid> = entity
                .parents
                .iter()
                .map(|(ty, id)| symbols.entity(ty, id))
                .collect();
            parents.sort_unstable();
            parents.dedup();
            overlay.entities.insert(
                uid,
                Inline {
                    attrs,
                    tags,
                    parents,
                },
            );
        }
        overlay.refuse_cycles(version)?;
        Ok(overlay)
    }

    /// The store and version whose numbers it holds.
    pub(crate) fn bound(&self) -> (u64, u64) {
        self.bound
    }

    /// The entity, if the request brought it.
    #[inline]
    pub(crate) fn entity(&self, uid: Uid) -> Option<EntityRef<'_>> {
        let inline = self.entities.get(&uid)?;
        Some(EntityRef {
            attrs: &inline.attrs,
            tags: &inline.tags,
            parents: &inline.parents,
        })
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.entities.is_empty()
    }

    fn parents<'a>(&'a self, version: &'a EntityVersion, uid: Uid) -> &'a [Uid] {
        match self.entities.get(&uid) {
            Some(inline) => &inline.parents,
            None => version.entity(uid).map_or(&[], |entity| entity.parents),
        }
    }

    fn refuse_cycles(&self, version: &EntityVersion) -> Result<(), OverlayError> {
        let mut closed: HashMap<Uid, bool, foldhash::fast::FixedState> = HashMap::default();
        let mut open: Vec<(Uid, usize)> = Vec::new();
        for start in self.entities.keys() {
            if closed.contains_key(start) {
                continue;
            }
            closed.insert(*start, false);
            open.push((*start, 0));
            while let Some((uid, next)) = open.last_mut() {
                let uid = *uid;
                if let Some(parent) = self.parents(version, uid).get(*next).copied() {
                    *next += 1;
                    match closed.get(&parent) {
                        Some(true) => {}
                        Some(false) => return Err(OverlayError::Cycle),
                        None if closed.len() >= WALKED => {
                            return Err(OverlayError::TooWide(WALKED));
                        }
                        None => {
                            closed.insert(parent, false);
                            open.push((parent, 0));
                        }
                    }
                } else {
                    closed.insert(uid, true);
                    open.pop();
                }
            }
        }
        Ok(())
    }
}
