//! Names and ids that one request brings along and the store does not know.
//!
//! Text of a request is looked up in the store and never added to it. What is not found gets a number of
//! the request's own, so that equal text still compares equal within that request. The tables are cleared
//! and used again by the next request.

use super::symbol::{Sym, Uid};
use super::version::EntityVersion;
use crate::base::entity_ref::EntityKey;
use cedar_policy::pst::SmolStr;
use std::collections::HashMap;

/// Up to this many entries a list is searched; beyond, a table (SipHash under random keys).
const LISTED: usize = 16;

/// Larger buffers are not kept for the next request.
const KEPT: usize = 4_096;

/// The names and ids of one request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Locals {
    names: Vec<SmolStr>,
    ids: Vec<(Sym, SmolStr)>,
    name_table: HashMap<SmolStr, u32>,
    id_table: HashMap<(Sym, SmolStr), u32>,
}

impl Locals {
    /// Clears everything and keeps the buffers, unless they are large.
    pub(crate) fn clear(&mut self) {
        if self.names.capacity().max(self.ids.capacity()) > KEPT {
            *self = Self::default();
            return;
        }
        if self.names.len() > LISTED {
            self.name_table.clear();
        }
        if self.ids.len() > LISTED {
            self.id_table.clear();
        }
        self.names.clear();
        self.ids.clear();
    }

    /// The number of a name: the store's, or one of this request.
    pub(crate) fn name(&mut self, version: &EntityVersion, text: &str) -> Sym {
        if let Some(known) = version.find_name(text).or_else(|| self.find_name(text)) {
            return known;
        }
        let at = number(self.names.len());
        let text = SmolStr::from(text);
        if self.names.len() == LISTED {
            let listed = self.names.iter().cloned().zip(0..);
            self.name_table.extend(listed);
        }
        if self.names.len() >= LISTED {
            self.name_table.insert(text.clone(), at);
        }
        self.names.push(text);
        Sym::local(at)
    }

    /// The number of an entity id: the store's, or one of this request.
    pub(crate) fn entity(&mut self, version: &EntityVersion, entity: EntityKey<'_>) -> Uid {
        match version.find(entity) {
            Some(known) => known,
            None => self.unknown(version, entity),
        }
    }

    /// The number of an entity id that the store does not know.
    pub(crate) fn unknown(&mut self, version: &EntityVersion, entity: EntityKey<'_>) -> Uid {
        let ty = self.name(version, entity.type_name);
        let id = entity.id;
        if let Some(known) = self.find_entity(ty, id) {
            return known;
        }
        let at = number(self.ids.len());
        let key = (ty, SmolStr::from(id));
        if self.ids.len() == LISTED {
            let listed = self.ids.iter().cloned().zip(0..);
            self.id_table.extend(listed);
        }
        if self.ids.len() >= LISTED {
            self.id_table.insert(key.clone(), at);
        }
        self.ids.push(key);
        Uid::local(at)
    }

    /// A name of this request alone.
    pub(crate) fn find_name(&self, text: &str) -> Option<Sym> {
        let at = if self.names.len() <= LISTED {
            self.names
                .iter()
                .position(|known| known == text)
                .map(number)
        } else {
            self.name_table.get(text).copied()
        };
        at.map(Sym::local)
    }

    fn find_entity(&self, ty: Sym, id: &str) -> Option<Uid> {
        let is = |known: &(Sym, SmolStr)| known.0 == ty && known.1 == id;
        let at = if self.ids.len() <= LISTED {
            self.ids.iter().position(is).map(number)
        } else {
            self.id_table.get(&(ty, id.into())).copied()
        };
        at.map(Uid::local)
    }

    /// Type and id behind a number of this request.
    pub(crate) fn id(&self, uid: Uid) -> Option<(Sym, &str)> {
        let (ty, id) = self.ids.get(uid.index() as usize)?;
        Some((*ty, id))
    }

    /// The text behind a name of this request.
    pub(crate) fn name_text(&self, name: Sym) -> Option<&str> {
        self.names.get(name.index() as usize).map(SmolStr::as_str)
    }

    /// The type of an id of this request.
    pub(crate) fn type_of(&self, uid: Uid) -> Sym {
        self.ids
            .get(uid.index() as usize)
            .map_or(Sym::NONE, |(ty, _)| *ty)
    }
}

fn number(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
