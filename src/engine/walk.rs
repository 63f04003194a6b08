//! Who is above whom: walks up the hierarchy at decision time.
//!
//! The ancestors of principal, action and resource are listed once per request. Entities that have the same
//! parents have the same ancestors, so what was listed lately is kept by parents ([`super::ancestors`]). Any other
//! membership is a walk of its own that stops at its target.

use super::ancestors::Ancestors;
use super::ops::{Fault, Meter};
use super::request::EngineRequest;
use crate::entities::{EntityRef, EntityVersion, Marks, Overlay, Sym, Uid};

/// Everything a decision reads about entities.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World<'a> {
    pub(crate) version: &'a EntityVersion,
    pub(crate) overlay: Option<&'a Overlay>,
    pub(crate) request: &'a EngineRequest,
    /// Principal, action and resource, as far as they exist.
    pub(crate) own: [Option<EntityRef<'a>>; 3],
}

impl<'a> World<'a> {
    /// The entity, from the request or else from the store.
    #[inline]
    pub(crate) fn entity(&self, uid: Uid) -> Option<EntityRef<'a>> {
        if let Some(overlay) = self.overlay
            && let Some(inline) = overlay.entity(uid)
        {
            return Some(inline);
        }
        self.version.entity(uid)
    }

    /// The type of an id, stored or not.
    #[inline]
    pub(crate) fn type_of(&self, uid: Uid) -> Sym {
        self.request.type_of(self.version, uid)
    }

    /// The number of a text computed at run time, as a tag key.
    pub(crate) fn find_name(&self, text: &str) -> Option<Sym> {
        self.version
            .find_name(text)
            .or_else(|| self.request.locals.find_name(text))
    }
}

/// Up to this many ids a list is searched; beyond, it is searched by halves, and while it grows marks are looked at.
const LISTED: usize = 24;

/// An entity and what is above it, nearest first; its buffers are reused.
#[derive(Debug, Default)]
pub(crate) struct Closure {
    list: Vec<Uid>,
    /// One bit of every id listed, and of no id: most ids that are not listed are told apart by it alone.
    bits: u64,
    /// The ids in order, where the list is long and complete.
    sorted: Vec<Uid>,
    marks: Marks,
}

pub(super) const fn bit(uid: Uid) -> u64 {
    1 << (uid.raw() & 63)
}

impl Closure {
    /// The entity first, then its ancestors.
    #[inline]
    pub(crate) fn list(&self) -> &[Uid] {
        &self.list
    }

    /// Whether `uid` could be listed; no target at all always could.
    #[inline]
    pub(crate) fn may_contain(&self, uid: Uid) -> bool {
        self.bits & bit(uid) != 0
    }

    /// Whether `uid` is the entity or one of its ancestors.
    #[inline]
    pub(crate) fn contains(&self, uid: Uid) -> bool {
        self.bits & bit(uid) != 0 && self.lists(uid)
    }

    fn lists(&self, uid: Uid) -> bool {
        if self.list.len() <= LISTED {
            self.list.contains(&uid)
        } else if self.sorted.is_empty() {
            self.marks.has(uid)
        } else {
            self.sorted.binary_search(&uid).is_ok() || self.list.first() == Some(&uid)
        }
    }

    fn begin(&mut self, start: Uid) {
        if self.list.len() > LISTED && self.sorted.is_empty() {
            let marks = &mut self.marks;
            self.list.iter().for_each(|uid| marks.unset(*uid));
        }
        self.sorted.clear();
        self.list.clear();
        self.list.push(start);
        self.bits = bit(start) | bit(Uid::NONE);
    }

    #[inline]
    fn add(&mut self, uid: Uid) {
        if self.contains(uid) {
            return;
        }
        self.list.push(uid);
        self.bits |= bit(uid);
        if self.list.len() == LISTED + 1 {
            let marks = &mut self.marks;
            self.list.iter().for_each(|uid| _ = marks.set(*uid));
        } else if self.list.len() > LISTED {
            self.marks.set(uid);
        }
    }

    /// Lists an entity and everything above it.
    pub(crate) fn fill(
        &mut self,
        world: &World<'_>,
        meter: &mut Meter,
        start: Uid,
        entity: Option<EntityRef<'_>>,
        lately: &mut Ancestors,
    ) -> Result<(), Fault> {
        self.begin(start);
        let parents = entity.map_or(&[][..], |entity| entity.parents());
        if parents.is_empty() {
            return Ok(());
        }
        if world.overlay.is_some() {
            self.walk(world, meter, parents)?;
        } else if let Some(known) = lately.find(parents) {
            meter.spend(known.steps)?;
            self.list.extend_from_slice(&known.list);
            self.bits |= known.bits;
            if self.list.len() > LISTED {
                self.sorted.extend_from_slice(&known.sorted);
            }
        } else {
            let before = meter.left;
            self.walk(world, meter, parents)?;
            let above = self.list.get(1..).unwrap_or_default();
            lately.keep(parents, above, before - meter.left);
        }
        Ok(())
    }

    fn walk(&mut self, world: &World<'_>, meter: &mut Meter, parents: &[Uid]) -> Result<(), Fault> {
        for parent in parents {
            meter.spend(1)?;
            self.add(*parent);
        }
        let mut at = 1;
        while let Some(next) = self.list.get(at).copied() {
            at += 1;
            for parent in world
                .entity(next)
                .map_or(&[][..], |entity| entity.parents())
            {
                meter.spend(1)?;
                self.add(*parent);
            }
        }
        Ok(())
    }

    /// Walks up from `start` until `is` accepts something.
    pub(crate) fn reaches(
        &mut self,
        world: &World<'_>,
        meter: &mut Meter,
        start: Uid,
        mut is: impl FnMut(Uid) -> bool,
    ) -> Result<bool, Fault> {
        self.begin(start);
        let mut at = 0;
        while let Some(next) = self.list.get(at).copied() {
            at += 1;
            meter.spend(1)?;
            if is(next) {
                return Ok(true);
            }
            for parent in world
                .entity(next)
                .map_or(&[][..], |entity| entity.parents())
            {
                meter.spend(1)?;
                self.add(*parent);
            }
        }
        Ok(false)
    }
}
