//! What one decision reads: policies, schema, settings and entities, published together.

use std::sync::Arc;

use crate::engine::CompiledPolicies;
use crate::entities::Stored;
use crate::policy::{Revision, Snapshot};

/// One immutable state. A decision reads one from its beginning to its end.
#[derive(Debug)]
pub struct State {
    snapshot: Arc<Snapshot>,
    entities: Arc<Stored>,
    compiled: Arc<CompiledPolicies>,
    sequence: u64,
}

impl State {
    pub(crate) fn new(
        snapshot: Arc<Snapshot>,
        entities: Arc<Stored>,
        compiled: Arc<CompiledPolicies>,
        sequence: u64,
    ) -> Self {
        Self {
            snapshot,
            entities,
            compiled,
            sequence,
        }
    }

    /// The same content under another sequence.
    pub(crate) fn with_sequence(self, sequence: u64) -> Self {
        Self { sequence, ..self }
    }

    /// The same with other entities.
    pub(crate) fn with_entities(&self, entities: Stored, sequence: u64) -> Self {
        Self {
            snapshot: Arc::clone(&self.snapshot),
            entities: Arc::new(entities),
            compiled: Arc::clone(&self.compiled),
            sequence,
        }
    }

    /// Policies, schema and settings.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The hash of policies, schema and settings.
    #[must_use]
    pub fn revision(&self) -> &Revision {
        self.snapshot.revision()
    }

    /// Grows with every state that is published, by a reload or by a write of entities; with a state directory also across restarts.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How many entities are stored, the actions of the schema among them.
    #[must_use]
    pub fn entity_count(&self) -> usize {
        self.entities.version().len()
    }

    /// How many different names of attributes, tags and types the stored entities and the policies use.
    #[must_use]
    pub fn entity_name_count(&self) -> usize {
        self.entities.version().names()
    }

    /// How many entities are stored besides the actions of the schema.
    #[must_use]
    pub fn own_entity_count(&self) -> usize {
        self.entity_count().saturating_sub(self.action_count())
    }

    fn action_count(&self) -> usize {
        self.snapshot.schema().map_or(0, |schema| {
            schema.action_entities().map_or(0, |actions| actions.len())
        })
    }

    /// Whether there are entities besides those written through the API and the actions of the schema.
    pub(crate) fn has_own_entities(&self) -> bool {
        self.own_entity_count() > self.entities.version().written.len()
    }

    /// The policies as the compiled engine evaluates them; places are those of the snapshot's table.
    pub(crate) fn compiled(&self) -> &CompiledPolicies {
        &self.compiled
    }

    pub(crate) fn store(&self) -> &Stored {
        &self.entities
    }
}
