//! Stored entities: read from files, checked against the schema, and their graph.

mod graph;
mod load;

use cedar_policy::Entities;

pub(crate) use graph::{GraphFault, check as check_graph};
pub(crate) use load::{load, replace};

/// The stored entities of one state, closed over their ancestors.
#[derive(Debug)]
pub(crate) struct EntityStore {
    entities: Entities,
    hash: [u8; 32],
}

impl EntityStore {
    /// `hash` tells one content from another.
    pub(crate) fn new(entities: Entities, hash: [u8; 32]) -> Self {
        Self { entities, hash }
    }

    pub(crate) fn entities(&self) -> &Entities {
        &self.entities
    }

    pub(crate) fn hash(&self) -> &[u8; 32] {
        &self.hash
    }
}
