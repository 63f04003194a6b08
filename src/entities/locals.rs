//! Names and ids that one request brings along and the store does not know.
//!
//! Text of a request is looked up in the store and never added to it. What is not found gets a number of
//! the request's own, so that equal text still compares equal within that request. The tables are cleared
//! and used again by the next request.

use super::index::Table;
use super::symbol::{Sym, Uid, hash_text, hash_uid};
use super::version::EntityVersion;
use cedar_policy::pst::SmolStr;

/// Up to this many entries a list is searched; beyond, a table.
const LISTED: usize = 16;

/// The names and ids of one request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Locals {
    names: Vec<SmolStr>,
    ids: Vec<(Sym, SmolStr)>,
    name_table: Table,
    id_table: Table,
}

impl Locals {
    /// Forgets everything and keeps the room.
    pub(crate) fn clear(&mut self) {
        self.names.clear();
        self.ids.clear();
        self.name_table.clear();
        self.id_table.clear();
    }

    /// The number of a name: the store's, or one of this request.
    pub(crate) fn name(&mut self, version: &EntityVersion, text: &str) -> Sym {
        if let Some(known) = version.find_name(text).or_else(|| self.find_name(text)) {
            return known;
        }
        let at = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(text.into());
        if self.names.len() == LISTED + 1 {
            (0u32..)
                .zip(&self.names)
                .for_each(|(at, text)| self.name_table.insert(hash_text(0, text), at));
        } else if self.names.len() > LISTED {
            self.name_table.insert(hash_text(0, text), at);
        }
        Sym::local(at)
    }

    /// The number of an entity id: the store's, or one of this request.
    pub(crate) fn entity(&mut self, version: &EntityVersion, ty: &str, id: &str) -> Uid {
        let ty = self.name(version, ty);
        if let Some(known) = version
            .find_in_type(ty, id)
            .or_else(|| self.find_entity(ty, id))
        {
            return known;
        }
        let at = u32::try_from(self.ids.len()).unwrap_or(u32::MAX);
        self.ids.push((ty, id.into()));
        if self.ids.len() == LISTED + 1 {
            (0u32..)
                .zip(&self.ids)
                .for_each(|(at, (ty, id))| self.id_table.insert(hash_uid(0, *ty, id), at));
        } else if self.ids.len() > LISTED {
            self.id_table.insert(hash_uid(0, ty, id), at);
        }
        Uid::local(at)
    }

    /// A name of this request alone.
    pub(crate) fn find_name(&self, text: &str) -> Option<Sym> {
        let at = if self.names.len() <= LISTED {
            self.names
                .iter()
                .position(|known| known == text)
                .and_then(|at| u32::try_from(at).ok())
        } else {
            self.name_table.find(hash_text(0, text), |at| {
                self.names
                    .get(at as usize)
                    .is_some_and(|known| known == text)
            })
        };
        at.map(Sym::local)
    }

    fn find_entity(&self, ty: Sym, id: &str) -> Option<Uid> {
        let is = |known: &(Sym, SmolStr)| known.0 == ty && known.1 == id;
        let at = if self.ids.len() <= LISTED {
            self.ids
                .iter()
                .position(is)
                .and_then(|at| u32::try_from(at).ok())
        } else {
            self.id_table.find(hash_uid(0, ty, id), |at| {
                self.ids.get(at as usize).is_some_and(is)
            })
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
