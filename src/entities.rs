//! Stored entities: read from files, checked against the schema, and kept for decisions to read.
//!
//! What enters: entities from JSON or batches of changes. What leaves: immutable [`EntityVersion`]s
//! that a decision reads from first to last. What must hold:
//! - readers never wait: a version is one `Arc`, writers build the next one beside it;
//! - text is interned by the store alone; what a request names is only ever looked up, and what is
//!   unknown gets a number of the request's own ([`Locals`]);
//! - edges are acyclic and are kept both ways; nothing recurses over edges.

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
mod names;
mod overlay;
mod pages;
mod store;
mod symbol;
mod typed;
mod value;
mod version;

#[cfg(test)]
pub(crate) use batch::BatchError;
pub(crate) use batch::{Batch, NewEntity, is_action};
pub(crate) use convert::{RawValue, RequestSymbols, Symbols};
pub(crate) use export::Exporter;
pub(crate) use ext::{ExtFn, to_date, to_time};
pub(crate) use graph::{GraphFault, check as check_graph};
pub(crate) use index::Table;
pub(crate) use json::{entity_has_unknown, entity_ref, has_unknown};
pub(crate) use load::{Material, load};
pub(crate) use locals::Locals;
pub(crate) use overlay::Overlay;
#[cfg(test)]
pub(crate) use overlay::OverlayError;
pub(crate) use store::{EntityStore, Interning, Pins};
pub(crate) use symbol::{Sym, Uid};
pub(crate) use typed::Typed;
pub(crate) use value::{
    Fields, Ip, Record, SetValue, Value, field, hash_fields, hash_ip, hash_scalar, hash_str, mix,
};
pub(crate) use version::{EntityRef, EntityVersion};

/// The stored entities of one state.
#[derive(Debug)]
pub(crate) struct Stored {
    version: std::sync::Arc<EntityVersion>,
    hash: [u8; 32],
}

impl Stored {
    /// `hash` tells one content from another.
    pub(crate) fn new(version: std::sync::Arc<EntityVersion>, hash: [u8; 32]) -> Self {
        Self { version, hash }
    }

    /// The version that decisions on this state read.
    pub(crate) fn version(&self) -> &EntityVersion {
        &self.version
    }

    pub(crate) fn hash(&self) -> &[u8; 32] {
        &self.hash
    }
}
