//! Entities written while the decision point runs, and what is stored to be looked at.
//!
//! A batch is checked as entity files are, made durable, and then published as a state of its own that
//! shares policies and schema with the one before: nothing is read or compiled again.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use super::{Inner, Pdp};
use crate::entities::{
    Batch, BatchError, EntityVersion, Exporter, NewEntity, Stored, Uid, is_action, read_one,
};
use crate::policy::Revision;
use crate::request::EntityRef;
use crate::state::State;
use crate::storage::{EntityWrites, StateDirError};

/// A change of the stored entities.
#[derive(Debug, Clone, PartialEq)]
pub enum EntityChange {
    /// Stores an entity, in Cedar's JSON form, in place of what was written under its id.
    Upsert(Value),
    /// Deletes an entity and the membership of written entities in it; of one that is not there nothing.
    Delete(EntityRef),
}

/// Where a stored entity comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntityOrigin {
    /// A file, the schema (actions), or the program that built the decision point.
    File,
    /// It was written by [`Pdp::write_entities`].
    Api,
}

impl EntityOrigin {
    /// `file` or `api`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Api => "api",
        }
    }
}

/// A batch that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntitiesWritten {
    /// The revision of policies and schema, which a write does not change.
    pub revision: Revision,
    /// The sequence from which on the batch is decided with.
    pub sequence: u64,
    /// How many changes stored an entity.
    pub stored: usize,
    /// How many entities were there to be deleted.
    pub deleted: usize,
}

/// Stored entities of one type.
#[derive(Debug, Clone, PartialEq)]
pub struct EntityPage {
    /// Their JSON in Cedar's form, and where they come from, in the order of their ids.
    pub entities: Vec<(Value, EntityOrigin)>,
    /// The id to go on after; `None` at the end.
    pub next: Option<String>,
    /// The sequence of the state they are of.
    pub sequence: u64,
}

/// What is wrong with one change of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityFault {
    /// The place of the change in the batch.
    pub at: usize,
    /// `invalid_entity`, `managed_by_file` or `action_entity`.
    pub code: &'static str,
    /// What is wrong, in lower case and without a full stop.
    pub message: String,
}

/// Why a batch was not written; nothing of it was.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum EntityWriteError {
    /// There is no state directory to keep them in.
    #[error("entities can be written only with a state directory; set `state.dir`")]
    NoState,
    /// The state is not the one that the batch was made for.
    #[error("the batch is for sequence {expected}, but {sequence} decides now")]
    Sequence {
        /// The sequence it was made for.
        expected: u64,
        /// The one that decides now.
        sequence: u64,
    },
    /// Changes that cannot be made; all of them are named.
    #[error("{}", summary(.0))]
    Refused(Vec<EntityFault>),
    /// The parents would form a cycle or too long a chain.
    #[error("{0}")]
    Graph(String),
    /// More entities than can be numbered.
    #[error("{0}")]
    Full(String),
    /// The batch could not be made durable.
    #[error("{0}")]
    State(StateDirError),
}

impl EntityWriteError {
    /// A stable name: `no_state`, `sequence_mismatch`, the code of the first refused change,
    /// `entity_graph`, `entities_full`, or that of the state directory.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoState => "no_state",
            Self::Sequence { .. } => "sequence_mismatch",
            Self::Refused(faults) => faults.first().map_or("invalid_entity", |fault| fault.code),
            Self::Graph(_) => "entity_graph",
            Self::Full(_) => "entities_full",
            Self::State(error) => error.code(),
        }
    }
}

fn summary(faults: &[EntityFault]) -> String {
    let first = faults.first().map_or("", |fault| fault.message.as_str());
    match faults.len() {
        0 | 1 => first.to_owned(),
        n => format!("{first} (and {} more)", n - 1),
    }
}

impl From<BatchError> for EntityWriteError {
    fn from(error: BatchError) -> Self {
        let message = error.to_string();
        match error {
            BatchError::Cycle(..) | BatchError::TooDeep(..) => Self::Graph(message),
            BatchError::Full => Self::Full(message),
            BatchError::Missing(..) | BatchError::Malformed(..) | BatchError::Value(..) => {
                Self::Refused(vec![EntityFault {
                    at: 0,
                    code: "invalid_entity",
                    message,
                }])
            }
        }
    }
}

/// Listings return at most so many entities at once.
const MOST_LISTED: usize = 10_000;

impl Pdp {
    /// Writes a batch of entities, whole or not at all. When this returns it is on disk, and the state it
    /// is published in decides. Waits for the disk, and for a reload that is under way.
    ///
    /// An entity of a file is the file's and is not written; one that is written must not appear in a
    /// file later. Every entity must fit the schema.
    ///
    /// # Errors
    /// [`EntityWriteError`], in which case nothing has changed; after [`EntityWriteError::State`] the
    /// batch may be there after a restart.
    pub fn write_entities(
        &self,
        changes: Vec<EntityChange>,
    ) -> Result<EntitiesWritten, EntityWriteError> {
        self.inner.write_entities(&changes, None)
    }

    /// As [`Pdp::write_entities`], if `sequence` still decides: for changes that depend on what was read
    /// before.
    ///
    /// # Errors
    /// As [`Pdp::write_entities`], and [`EntityWriteError::Sequence`].
    pub fn write_entities_if(
        &self,
        sequence: u64,
        changes: Vec<EntityChange>,
    ) -> Result<EntitiesWritten, EntityWriteError> {
        self.inner.write_entities(&changes, Some(sequence))
    }

    /// The stored entity of this id in Cedar's JSON form, and where it comes from.
    #[must_use]
    pub fn entity(&self, entity: &EntityRef) -> Option<(Value, EntityOrigin)> {
        let state = self.inner.state.load();
        let version = state.store().version();
        shown(version, version.find(entity.type_name(), entity.id())?)
    }

    /// Stored entities of a type in the order of their ids, those after the id `after`; at most `limit`
    /// and 10,000.
    #[must_use]
    pub fn entities_of(&self, type_name: &str, after: Option<&str>, limit: usize) -> EntityPage {
        let state = self.inner.state.load();
        let version = state.store().version();
        let all = state.store().in_order(type_name);
        let id = |uid: &Uid| version.id_text(*uid).map(|(_, id)| id);
        let from = all.partition_point(|uid| after.is_some() && id(uid) <= after);
        let limit = limit.clamp(1, MOST_LISTED);
        let rest = all.get(from..).unwrap_or_default();
        let page = rest.get(..limit).unwrap_or(rest);
        let more = page.len() < rest.len();
        EntityPage {
            entities: page.iter().filter_map(|uid| shown(version, *uid)).collect(),
            next: page.last().filter(|_| more).and_then(id).map(str::to_owned),
            sequence: state.sequence(),
        }
    }

    /// The types that entities are stored of, each with how many, in the order of their names.
    #[must_use]
    pub fn entity_types(&self) -> Vec<(String, usize)> {
        let state = self.inner.state.load();
        state.store().version().types()
    }
}

fn shown(version: &EntityVersion, uid: Uid) -> Option<(Value, EntityOrigin)> {
    let exporter = Exporter {
        version,
        locals: None,
    };
    let origin = if version.written.contains(uid) {
        EntityOrigin::Api
    } else {
        EntityOrigin::File
    };
    Some((exporter.json(uid)?, origin))
}

/// Type and id.
type Name = (String, String);

/// A batch that was read.
struct Checked<'a> {
    version: &'a EntityVersion,
    shadows: &'a Stored,
    batch: Batch,
    /// The entities that it changes, and whether they are there after what was read so far.
    touched: BTreeMap<Name, bool>,
    /// Written entities in whose place a file's stands; what was written of them goes.
    unshadowed: Vec<Name>,
    stored: usize,
    deleted: usize,
}

impl Inner {
    fn write_entities(
        &self,
        changes: &[EntityChange],
        if_sequence: Option<u64>,
    ) -> Result<EntitiesWritten, EntityWriteError> {
        let _one_at_a_time = self.one_at_a_time();
        let keeper = self.reloader.state_dir.as_ref();
        let keeper = keeper.ok_or(EntityWriteError::NoState)?;
        let now = self.state.load_full();
        if let Some(expected) = if_sequence.filter(|expected| *expected != now.sequence()) {
            let sequence = now.sequence();
            return Err(EntityWriteError::Sequence { expected, sequence });
        }
        let mut checked = check(&now, changes)?;
        checked.batch.max_depth = Some(self.limits.load().1.entity_parent_depth);
        let (stored, deleted) = (checked.stored, checked.deleted);
        let written = |state: &State| EntitiesWritten {
            revision: state.revision().clone(),
            sequence: state.sequence(),
            stored,
            deleted,
        };
        if checked.touched.is_empty() && checked.unshadowed.is_empty() {
            return Ok(written(&now));
        }
        let sequence = now.sequence() + 1;
        let unshadowed = std::mem::take(&mut checked.unshadowed);
        let gone: HashSet<Name> = unshadowed.iter().cloned().collect();
        let entities = now.store().written(&checked.batch, |version| {
            let entities = checked.touched.into_iter();
            let writes = EntityWrites {
                sequence,
                entities: entities
                    .map(|((ty, id), _)| {
                        let uid = version.find(&ty, &id);
                        let json = uid.and_then(|uid| shown(version, uid));
                        (ty, id, json.map(|(json, _)| json.to_string()))
                    })
                    .chain(unshadowed.into_iter().map(|(ty, id)| (ty, id, None)))
                    .collect(),
            };
            let kept = keeper.write_entities(writes);
            kept.map_err(EntityWriteError::State)
        })?;
        let next = now.with_entities(entities.without_shadowed(&gone), sequence);
        let written = written(&next);
        tracing::debug!(sequence, stored, deleted, "entities written");
        self.publish(next);
        Ok(written)
    }
}

fn check<'a>(state: &'a State, changes: &[EntityChange]) -> Result<Checked<'a>, EntityWriteError> {
    let schema = state.snapshot().schema_set();
    let mut checked = Checked {
        version: state.store().version(),
        batch: Batch::written(),
        touched: BTreeMap::new(),
        shadows: state.store(),
        unshadowed: Vec::new(),
        stored: 0,
        deleted: 0,
    };
    let mut faults = Vec::new();
    for (at, change) in changes.iter().enumerate() {
        let done = match change {
            EntityChange::Upsert(json) => match read_one(schema, json) {
                Ok(entity) => checked.upsert(entity),
                Err(error) => Err(("invalid_entity", error.message().to_owned())),
            },
            EntityChange::Delete(entity) => checked.delete(entity),
        };
        if let Err((code, message)) = done {
            faults.push(EntityFault { at, code, message });
        }
    }
    if faults.is_empty() {
        Ok(checked)
    } else {
        Err(EntityWriteError::Refused(faults))
    }
}

type Done = Result<(), (&'static str, String)>;

impl Checked<'_> {
    fn upsert(&mut self, entity: NewEntity) -> Done {
        let (ty, id) = &entity.uid;
        self.may_write(ty, id)?;
        self.touched.insert((ty.to_string(), id.to_string()), true);
        self.stored += 1;
        self.batch.upsert(entity);
        Ok(())
    }

    fn delete(&mut self, entity: &EntityRef) -> Done {
        let (ty, id) = (entity.type_name(), entity.id());
        if self.shadows.is_shadowed(ty, id) {
            // The file's entity stays; only what was written under its id goes.
            self.unshadowed.push((ty.to_owned(), id.to_owned()));
            self.deleted += 1;
            return Ok(());
        }
        self.may_write(ty, id)?;
        let name = (ty.to_owned(), id.to_owned());
        let known = self.version.find(ty, id);
        let stored = || known.is_some_and(|uid| self.version.entity(uid).is_some());
        if !self.touched.get(&name).copied().unwrap_or_else(stored) {
            return Ok(());
        }
        self.touched.insert(name, false);
        let members = known.into_iter().flat_map(|uid| self.version.children(uid));
        for member in members.filter(|uid| self.version.written.contains(*uid)) {
            if let Some((ty, id)) = self.version.id_text(member) {
                let name = (ty.to_owned(), id.to_owned());
                self.touched.entry(name).or_insert(true);
            }
        }
        self.deleted += 1;
        self.batch.delete(ty, id);
        Ok(())
    }

    fn may_write(&self, ty: &str, id: &str) -> Done {
        let name = || format!("`{ty}::\"{}\"`", id.escape_debug());
        if is_action(ty) {
            let message = format!("{} is an action; those are the schema's", name());
            return Err(("action_entity", message));
        }
        let known = self.version.find(ty, id);
        let of_a_file = known.is_some_and(|uid| {
            self.version.entity(uid).is_some() && !self.version.written.contains(uid)
        });
        if of_a_file {
            let message = format!("{} is in a file; change it there", name());
            return Err(("managed_by_file", message));
        }
        Ok(())
    }
}
