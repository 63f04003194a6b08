//! Stored entities: read from files, checked against the schema, and kept for decisions to read.
//!
//! What enters: entities from JSON or batches of changes. What leaves: immutable [`EntityVersion`]s
//! that a decision reads from first to last. What must hold:
//! - readers never wait: a version is one `Arc`, writers build the next one beside it;
//! - text is interned by the store alone; what a request names is only ever looked up, and what is
//!   unknown gets a number of the request's own ([`Locals`]);
//! - edges are acyclic and are kept both ways; nothing recurses over edges.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use crate::base::lock::lock;

mod batch;
mod convert;
mod export;
mod ext;
mod graph;
mod idset;
mod index;
mod json;
mod load;
mod locals;
mod marks;
mod names;
mod overlay;
mod pages;
mod patch;
mod store;
mod symbol;
mod typed;
mod value;
mod version;
mod wire;

pub(crate) use batch::{Batch, BatchError, NewEntity, StoreLimits, is_action};
pub(crate) use convert::{RawValue, RequestSymbols, Symbols};
pub(crate) use export::Exporter;
pub(crate) use ext::{to_date, to_time};
pub(crate) use graph::{GraphFault, check as check_graph};
pub(crate) use index::Table;
pub(crate) use json::{entity_has_unknown, entity_ref, has_unknown};
pub(crate) use load::{HeldBack, Material, load, read_one};
pub(crate) use locals::Locals;
pub(crate) use marks::Marks;
pub(crate) use overlay::Overlay;
#[cfg(test)]
pub(crate) use overlay::OverlayError;
pub(crate) use patch::merge;
pub(crate) use store::{EntityStore, Interning, Pins};
pub(crate) use symbol::{Sym, Uid};
pub(crate) use typed::Typed;
pub(crate) use value::{Fields, Ip, Record, SEARCHED, SetValue, Value, field};
#[cfg(test)]
pub(crate) use version::InlineEntity;
pub(crate) use version::{EntityRef, EntityVersion, Known};

/// The stored entities of one state.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    store: Arc<EntityStore>,
    version: Arc<EntityVersion>,
    hash: [u64; 2],
    orders: Arc<Orders>,
    held_back: Arc<HeldBack>,
}

/// The entities of a type in the order of their ids, for listing them page by page.
type Orders = Mutex<HashMap<String, Arc<Vec<Uid>>>>;

impl Default for Stored {
    fn default() -> Self {
        Self::new(Arc::new(EntityStore::new()), [0, 0])
    }
}

impl Stored {
    /// The present version of a store; `hash` tells one content from another.
    pub(crate) fn new(store: Arc<EntityStore>, hash: [u64; 2]) -> Self {
        Self {
            version: store.version(),
            store,
            hash,
            orders: Arc::default(),
            held_back: Arc::default(),
        }
    }

    /// The same, with what became of written entities.
    pub(crate) fn with_held_back(self, held_back: HeldBack) -> Self {
        Self {
            held_back: Arc::new(held_back),
            ..self
        }
    }

    /// Written entities that do not go with the files or the schema.
    #[cfg(feature = "server")]
    pub(crate) fn held_back_count(&self) -> usize {
        self.held_back.count()
    }

    /// What to report about written entities that do not go with the files or the schema.
    pub(crate) fn held_back(&self) -> impl ExactSizeIterator<Item = &str> {
        self.held_back.reasons()
    }

    /// The same after these written entities, in whose place files' stand, were deleted.
    pub(crate) fn without_shadowed(self, gone: &HashSet<(String, String)>) -> Self {
        if gone.is_empty() {
            return self;
        }
        let held_back = self.held_back.without(gone);
        self.with_held_back(held_back)
    }

    /// Whether an entity of this id was written, and one of a file stands in its place.
    pub(crate) fn is_shadowed(&self, ty: &str, id: &str) -> bool {
        let shadowed = &self.held_back.shadowed;
        !shadowed.is_empty() && shadowed.contains(&(ty.into(), id.into()))
    }

    /// What a batch makes of these entities. It is kept by `keep` before anybody can see it.
    pub(crate) fn written<E: From<BatchError>>(
        &self,
        batch: &Batch,
        keep: impl FnOnce(&EntityVersion) -> Result<(), E>,
    ) -> Result<Self, E> {
        Ok(Self {
            version: self.store.apply_kept(batch, keep)?,
            store: Arc::clone(&self.store),
            hash: self.hash,
            orders: Arc::default(),
            held_back: Arc::clone(&self.held_back),
        })
    }

    /// The entities of a type in the order of their ids; sorted when first asked for.
    pub(crate) fn in_order(&self, ty: &str) -> Arc<Vec<Uid>> {
        let mut orders = lock(&self.orders);
        if let Some(known) = orders.get(ty) {
            return Arc::clone(known);
        }
        let version = &self.version;
        let members = version.find_name(ty).map(|ty| version.of_type(ty));
        let mut all: Vec<Uid> = members.into_iter().flatten().collect();
        all.sort_unstable_by_key(|uid| version.id_text(*uid).map(|(_, id)| id));
        let all = Arc::new(all);
        if !all.is_empty() {
            orders.insert(ty.to_owned(), Arc::clone(&all));
        }
        all
    }

    /// The store, for interning names of entities.
    pub(crate) fn entity_store(&self) -> &EntityStore {
        &self.store
    }

    /// The same entities in the present version of their store, which knows the names given since.
    pub(crate) fn refreshed(self) -> Self {
        Self {
            version: self.store.version(),
            orders: Arc::default(),
            ..self
        }
    }

    /// Whether both are versions of one store.
    pub(crate) fn shares_store(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.store, &other.store)
    }

    /// The version that decisions on this state read.
    pub(crate) fn version(&self) -> &EntityVersion {
        &self.version
    }

    pub(crate) fn hash(&self) -> &[u64; 2] {
        &self.hash
    }
}
