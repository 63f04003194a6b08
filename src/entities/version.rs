//! One immutable version of the store, and what a decision reads from it.
//!
//! A version is a handful of `Arc`s: cloning it is cheap, and two versions share all pages that did not
//! change between them.

use super::idset::IdSet;
use super::index::SharedTable;
use super::names::Names;
use super::pages::PageVec;
use super::symbol::{Sym, Uid};
use super::value::{Fields, Value};
use crate::base::entity_ref::EntityKey;
use crate::base::meter::Meter;
use cedar_policy::pst::SmolStr;
use smallvec::SmallVec;
use std::collections::HashSet;
use std::sync::Arc;

/// Direct parents: up to three in place.
#[derive(Debug, Clone)]
pub(crate) enum Parents {
    Few([Uid; 3]),
    Many(Arc<Vec<Uid>>),
}

impl Default for Parents {
    fn default() -> Self {
        Self::Few([Uid::NONE; 3])
    }
}

impl Parents {
    /// Sorted, without doubles.
    pub(crate) fn new(mut ids: Vec<Uid>) -> Self {
        ids.sort_unstable();
        ids.dedup();
        if ids.len() > 3 {
            ids.shrink_to_fit();
            return Self::Many(Arc::new(ids));
        }
        let mut few = [Uid::NONE; 3];
        few.iter_mut().zip(ids).for_each(|(to, from)| *to = from);
        Self::Few(few)
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[Uid] {
        match self {
            Self::Few([Uid::NONE, ..]) => &[],
            Self::Few([first, Uid::NONE, _]) => std::slice::from_ref(first),
            Self::Few([pair @ .., Uid::NONE]) => pair,
            Self::Few(all) => all,
            Self::Many(ids) => ids,
        }
    }
}

/// Everything about one entity id: its text, and the entity if it is stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slot {
    pub(crate) text: SmolStr,
    pub(crate) ty: Sym,
    /// Edges, values and pins that name this id, and one if the entity is stored; at none the id is freed.
    pub(crate) uses: u32,
    /// The attributes, if the entity is stored.
    pub(crate) attrs: Option<Arc<Fields>>,
    pub(crate) tags: Option<Arc<Box<Fields>>>,
    pub(crate) parents: Parents,
    pub(crate) children: IdSet,
}

/// Members of one type.
#[derive(Debug, Clone, Default)]
pub(crate) struct Members {
    pub(crate) ty: Sym,
    pub(crate) ids: IdSet,
}

/// An immutable state of the whole store.
#[derive(Debug, Clone, Default)]
pub(crate) struct EntityVersion {
    pub(crate) seed: u64,
    pub(crate) store: u64,
    pub(crate) sequence: u64,
    pub(crate) names: Names,
    pub(crate) slots: PageVec<Slot>,
    pub(crate) ids: SharedTable,
    pub(crate) slot_count: u32,
    pub(crate) stored: u32,
    /// Sorted by type.
    pub(crate) members: Arc<Vec<Members>>,
    /// The stored entities that were written through the API.
    pub(crate) written: IdSet,
}

/// An entity that a request brings along.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct InlineEntity {
    /// Sorted by name.
    pub(crate) attrs: Vec<(Sym, Value)>,
    /// Sorted by key.
    pub(crate) tags: Vec<(Sym, Value)>,
    pub(crate) parents: Vec<Uid>,
}

/// One entity, wherever it is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) enum EntityRef<'a> {
    /// In the slot of its id, which has attributes.
    Stored(&'a Slot),
    Inline(&'a InlineEntity),
}

impl<'a> EntityRef<'a> {
    /// Attributes sorted by name.
    #[inline]
    pub(crate) fn attrs(&self) -> &'a Fields {
        match self {
            Self::Stored(slot) => slot.attrs.as_deref().unwrap_or_default(),
            Self::Inline(entity) => &entity.attrs,
        }
    }

    /// Tags sorted by key.
    #[inline]
    pub(crate) fn tags(&self) -> &'a Fields {
        match self {
            Self::Stored(slot) => slot.tags.as_ref().map_or(&[], |tags| tags),
            Self::Inline(entity) => &entity.tags,
        }
    }

    /// Direct parents.
    #[inline]
    pub(crate) fn parents(&self) -> &'a [Uid] {
        match self {
            Self::Stored(slot) => slot.parents.as_slice(),
            Self::Inline(entity) => &entity.parents,
        }
    }
}

/// An entity id that the store knows, looked up once for everything that a decision asks of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) uid: Uid,
    slot: &'a Slot,
}

impl<'a> Known<'a> {
    /// The type of the id.
    #[inline]
    pub(crate) fn type_name(&self) -> Sym {
        self.slot.ty
    }

    /// The entity, if it is stored.
    #[inline]
    pub(crate) fn entity(&self) -> Option<EntityRef<'a>> {
        let stored = self.slot.attrs.is_some();
        stored.then_some(EntityRef::Stored(self.slot))
    }
}

impl EntityVersion {
    /// Which store and which of its versions this is.
    pub(crate) fn identity(&self) -> (u64, u64) {
        (self.store, self.sequence)
    }

    /// How many entities are stored.
    pub(crate) fn len(&self) -> usize {
        self.stored as usize
    }

    /// How many different names its entities and the policies over it use.
    pub(crate) fn names(&self) -> usize {
        self.names.len()
    }

    /// The number of a name, if the store knows it.
    #[inline]
    pub(crate) fn find_name(&self, text: &str) -> Option<Sym> {
        self.names.find(self.seed, text)
    }

    /// The number of an entity id, if the store knows it; the entity itself need not be stored.
    #[inline]
    pub(crate) fn find<'k>(&self, entity: impl Into<EntityKey<'k>>) -> Option<Uid> {
        self.look_up(entity).map(|known| known.uid)
    }

    /// As [`EntityVersion::find`], with what the store holds of the id.
    pub(crate) fn look_up<'k>(&self, entity: impl Into<EntityKey<'k>>) -> Option<Known<'_>> {
        let EntityKey {
            type_name,
            id,
            hash,
        } = entity.into();
        let mut tested = None;
        let is = |at| {
            self.slots.get(at).is_some_and(|slot: &Slot| {
                tested = Some((at, slot));
                slot.text == id && self.names.text(slot.ty) == Some(type_name)
            })
        };
        let key = || Some((self.find_name(type_name)?, id));
        let at = self.ids.find(hash, key, is)?;
        // What is found by its key, where hashes collide, was not tested last.
        let slot = match tested {
            Some((last, slot)) if last == at => slot,
            _ => self.slots.get(at)?,
        };
        Some(Known {
            uid: Uid::stored(at),
            slot,
        })
    }

    /// What the store holds of an id that it gave out.
    #[cfg(test)]
    pub(crate) fn known(&self, uid: Uid) -> Option<Known<'_>> {
        let slot = self.slot(uid)?;
        Some(Known { uid, slot })
    }

    /// Type and id of an entity id of the store.
    pub(crate) fn id_text(&self, uid: Uid) -> Option<(&str, &str)> {
        let slot = self.slot(uid)?;
        Some((self.names.text(slot.ty)?, &slot.text))
    }

    #[inline]
    pub(crate) fn slot(&self, uid: Uid) -> Option<&Slot> {
        self.slots.get(uid.raw())
    }

    #[inline]
    pub(crate) fn type_of(&self, uid: Uid) -> Sym {
        self.slot(uid).map_or(Sym::NONE, |slot| slot.ty)
    }

    /// The entity, if it is stored.
    #[inline]
    pub(crate) fn entity(&self, uid: Uid) -> Option<EntityRef<'_>> {
        let slot = self.slot(uid)?;
        slot.attrs.is_some().then_some(EntityRef::Stored(slot))
    }

    /// The entities that have `uid` as a direct parent, in ascending order.
    pub(crate) fn children(&self, uid: Uid) -> impl Iterator<Item = Uid> + '_ {
        self.slot(uid)
            .into_iter()
            .flat_map(|slot| slot.children.iter())
    }

    /// The stored entities of a type, in an order that stays while they are stored.
    pub(crate) fn of_type(&self, ty: Sym) -> impl Iterator<Item = Uid> + '_ {
        let at = self
            .members
            .binary_search_by_key(&ty, |members| members.ty)
            .ok();
        at.and_then(|at| self.members.get(at))
            .into_iter()
            .flat_map(|members| members.ids.iter())
    }

    /// The types that entities are stored of, each with how many, in the order of their names.
    pub(crate) fn types(&self) -> Vec<(String, usize)> {
        let all = self.members.iter().filter_map(|members| {
            let name = self.names.text(members.ty)?.to_owned();
            Some((name, members.ids.len()))
        });
        let mut all: Vec<_> = all.filter(|(_, count)| *count > 0).collect();
        all.sort_unstable();
        all
    }

    /// Everything above `uid`, without itself, nearest first; what was found so far once the meter ends.
    pub(crate) fn above(&self, uid: Uid, meter: &Meter) -> Vec<Uid> {
        let mut found = Vec::new();
        self.any_above(uid, meter, |next| {
            found.push(next);
            false
        });
        found.remove(0);
        found
    }

    fn parents(&self, uid: Uid) -> &[Uid] {
        self.entity(uid).map_or(&[][..], |entity| entity.parents())
    }

    /// Whether `is` holds for `uid` or anything above it; ends with the meter. Ordinary hierarchies take no
    /// allocation.
    pub(crate) fn any_above(
        &self,
        uid: Uid,
        meter: &Meter,
        mut is: impl FnMut(Uid) -> bool,
    ) -> bool {
        let mut seen: SmallVec<[Uid; 32]> = SmallVec::new();
        let mut more: HashSet<Uid> = HashSet::new();
        seen.push(uid);
        let mut at = 0;
        while let Some(next) = seen.get(at).copied() {
            at += 1;
            if is(next) {
                return true;
            }
            let parents = self.parents(next);
            if !meter.take(1 + WALK * parents.len() as u64) {
                return false;
            }
            for parent in parents {
                let new = match seen.len() {
                    ..32 => !seen.contains(parent),
                    32 => {
                        more.extend(seen.iter().copied());
                        more.insert(*parent)
                    }
                    _ => more.insert(*parent),
                };
                if new {
                    seen.push(*parent);
                }
            }
        }
        false
    }
}

/// Steps for an edge of a walk that remembers in a hash table what it has seen.
const WALK: u64 = 3;

impl EntityRef<'_> {
    /// What the entity weighs: one for each value in it, and more for long texts.
    pub(crate) fn weight(&self) -> u64 {
        let fields =
            |fields: &Fields| -> u64 { fields.iter().map(|(_, value)| 1 + value.weight()).sum() };
        1 + fields(self.attrs()) + fields(self.tags()) + self.parents().len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::Slot;

    #[test]
    fn an_entity_id_is_small() {
        assert!(size_of::<Slot>() <= 96, "{}", size_of::<Slot>());
    }
}
