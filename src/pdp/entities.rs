//! Entities written while the decision point runs, and what is stored to be looked at.
//!
//! A batch is checked as entity files are, made durable, and then published as a state of its own that
//! shares policies and schema with the one before: nothing is read or compiled again.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{Inner, Pdp};
use crate::base::entity_ref::EntityRef;
use crate::base::hex::hex;
use crate::entities::{
    Batch, BatchError, EntityVersion, Exporter, StoreLimits, Stored, Uid, entity_ref, is_action,
    merge, read_one,
};
use crate::policy::Revision;
use crate::schema::SchemaSet;
use crate::state::State;
use crate::storage::{EntityWrites, StateDirError};

/// The members of an entity.
const MEMBERS: [&str; 4] = ["uid", "attrs", "parents", "tags"];

/// A change of the stored entities.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum EntityChange {
    /// Stores an entity, in Cedar's JSON form, in place of what was written under its id. `attrs`, `parents`
    /// and `tags` may be left out.
    Upsert(Value),
    /// Changes parts of a stored entity: an entity in Cedar's JSON form that is a JSON Merge Patch
    /// (RFC 7396). `attrs` and `tags` are merged by name, records in them too; `null` removes; `parents` and
    /// sets are replaced. An object with `__entity` or `__extn` is one value.
    Patch(Value),
    /// Deletes an entity and the membership of written entities in it; of one that is not there nothing.
    Delete(EntityRef),
}

/// Where a stored entity comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
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
#[non_exhaustive]
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
#[non_exhaustive]
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
#[non_exhaustive]
pub struct EntityFault {
    /// The place of the change in the batch.
    pub at: usize,
    /// The JSON Pointer of the part of the entity that is wrong, such as `/attrs`; empty for all of it.
    pub pointer: String,
    /// `invalid_entity`, `entity_too_large`, `unknown_entity`, `managed_by_file` or `action_entity`.
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
    /// The stored entity is not the one that the change was made for.
    #[error("the entity is not the one that the precondition names; read it again")]
    Precondition,
    /// Changes that cannot be made; all of them are named.
    #[error("{}", summary(.0))]
    Refused(Vec<EntityFault>),
    /// The parents would form a cycle or too long a chain.
    #[error("{0}")]
    Graph(String),
    /// More entities, or more different names in them, than may be stored.
    #[error("{0}")]
    Full(String),
    /// The batch could not be made durable.
    #[error("{0}")]
    State(StateDirError),
}

impl EntityWriteError {
    /// A stable name: `no_state`, `sequence_mismatch`, `precondition_failed`, the code of the first refused
    /// change, `entity_graph`, `entities_full`, or that of the state directory.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoState => "no_state",
            Self::Sequence { .. } => "sequence_mismatch",
            Self::Precondition => "precondition_failed",
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
            BatchError::Full | BatchError::TooMany(_) | BatchError::TooManyNames(_) => {
                Self::Full(message)
            }
            BatchError::Malformed(..) | BatchError::Value(..) => Self::Refused(vec![EntityFault {
                at: 0,
                pointer: String::new(),
                code: "invalid_entity",
                message,
            }]),
        }
    }
}

/// Listings return at most so many entities at once.
const MOST_LISTED: usize = 10_000;

impl Pdp {
    /// Writes a batch of entities, whole or not at all. When this returns it is on disk, and the state it
    /// is published in decides. Waits for the disk, and for a reload that is under way.
    ///
    /// An entity of a file is the file's and is not written; where a file gets the id of a written entity later,
    /// the file's decides. Every entity must fit the schema.
    ///
    /// ```
    /// # #[cfg(feature = "state")]
    /// # {
    /// use deodar::{EntityChange, Pdp};
    /// use serde_json::json;
    ///
    /// # let directory = tempfile::tempdir()?;
    /// let pdp = Pdp::builder()
    ///     .policies_text("p.cedar", "permit(principal, action, resource);")
    ///     .state_dir(directory.path())
    ///     .build()?;
    /// let user = json!({"uid": {"type": "User", "id": "ada"}, "attrs": {"level": 3}});
    /// let written = pdp.write_entities(vec![EntityChange::Upsert(user)])?;
    /// assert_eq!(written.sequence, pdp.state().sequence());
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`EntityWriteError`], in which case nothing has changed; after [`EntityWriteError::State`] the
    /// batch may be there after a restart.
    pub fn write_entities(
        &self,
        changes: Vec<EntityChange>,
    ) -> Result<EntitiesWritten, EntityWriteError> {
        self.inner.write_entities(&changes, &Condition::None)
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
        self.inner
            .write_entities(&changes, &Condition::Sequence(sequence))
    }

    /// As [`Pdp::write_entities`], if a condition holds when the batch is written.
    #[cfg(feature = "server")]
    pub(crate) fn write_entities_where(
        &self,
        condition: &Condition,
        changes: &[EntityChange],
    ) -> Result<EntitiesWritten, EntityWriteError> {
        self.inner.write_entities(changes, condition)
    }

    /// The stored entity of this id in Cedar's JSON form, and where it comes from.
    #[must_use]
    pub fn entity(&self, entity: &EntityRef) -> Option<(Value, EntityOrigin)> {
        let state = self.inner.state.load();
        let version = state.store().version();
        shown(version, version.find(entity)?)
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

/// What has to hold for a batch to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Nothing.
    None,
    /// The state has this sequence.
    Sequence(u64),
    #[cfg_attr(not(feature = "server"), allow(dead_code, reason = "HTTP has it"))]
    /// The entity is stored, with one of these tags; with any where there are none.
    Stored(EntityRef, Vec<String>),
    /// The entity is not stored.
    #[cfg_attr(not(feature = "server"), allow(dead_code, reason = "HTTP has it"))]
    Absent(EntityRef),
}

/// A text that changes whenever what is stored of an entity does.
#[cfg_attr(not(feature = "server"), allow(dead_code, reason = "HTTP has it"))]
pub(crate) fn entity_tag((json, origin): &(Value, EntityOrigin)) -> String {
    let digest = Sha256::digest(format!("{}{json}", origin.as_str()));
    hex(digest.iter().take(16))
}

/// Type and id.
type Name = (String, String);

/// A batch that was read.
struct Checked<'a> {
    version: &'a EntityVersion,
    /// Bytes of the JSON of one entity.
    most_bytes: usize,
    shadows: &'a Stored,
    batch: Batch,
    /// The entities that it changes, and whether they are there after what was read so far.
    touched: BTreeMap<Name, bool>,
    /// Written entities in whose place a file's stands; what was written of them goes.
    unshadowed: HashSet<Name>,
    /// What the batch has made of entities so far, and by which of its changes.
    made: HashMap<Name, (usize, Map<String, Value>)>,
    /// Which of its changes deleted an entity last.
    gone: HashMap<Name, usize>,
    stored: usize,
    deleted: usize,
}

impl Inner {
    fn write_entities(
        &self,
        changes: &[EntityChange],
        condition: &Condition,
    ) -> Result<EntitiesWritten, EntityWriteError> {
        let _one_at_a_time = self.one_at_a_time();
        let keeper = self.reloader.state_dir.as_ref();
        let keeper = keeper.ok_or(EntityWriteError::NoState)?;
        let now = self.state.load_full();
        condition.check(&now)?;
        let limits = self.bounds.reading();
        let mut checked = check(&now, changes, limits.entity_bytes)?;
        checked.batch.max_depth = Some(limits.entity_parent_depth);
        checked.batch.room = Some(StoreLimits::of(&limits));
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
        let gone = std::mem::take(&mut checked.unshadowed);
        let entities = now.store().written(&checked.batch, |version| {
            let entities = checked.touched.into_iter();
            let writes = EntityWrites {
                sequence,
                entities: entities
                    .map(|((ty, id), _)| {
                        let uid = version.find((&*ty, &*id));
                        let json = uid.and_then(|uid| shown(version, uid));
                        (ty, id, json.map(|(json, _)| json.to_string()))
                    })
                    .chain(gone.iter().cloned().map(|(ty, id)| (ty, id, None)))
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

fn check<'a>(
    state: &'a State,
    changes: &[EntityChange],
    most_bytes: usize,
) -> Result<Checked<'a>, EntityWriteError> {
    let schema = state.snapshot().schema_set();
    let mut checked = Checked {
        version: state.store().version(),
        most_bytes,
        batch: Batch::written(),
        touched: BTreeMap::new(),
        made: HashMap::new(),
        gone: HashMap::new(),
        shadows: state.store(),
        unshadowed: HashSet::new(),
        stored: 0,
        deleted: 0,
    };
    // Upserts before the first patch need no copy of what they made.
    let patched = changes
        .iter()
        .any(|change| matches!(change, EntityChange::Patch(_)));
    let mut faults = Vec::new();
    for (at, change) in changes.iter().enumerate() {
        let done = match change {
            EntityChange::Upsert(json) => checked.upsert(schema, json).map(|()| {
                if patched {
                    checked.remember(at, json);
                }
            }),
            EntityChange::Patch(json) => checked.patch(schema, at, json),
            EntityChange::Delete(entity) => checked.delete(at, entity),
        };
        if let Err(Wrong(code, pointer, message)) = done {
            faults.push(EntityFault {
                at,
                pointer,
                code,
                message,
            });
        }
    }
    if faults.is_empty() {
        Ok(checked)
    } else {
        Err(EntityWriteError::Refused(faults))
    }
}

/// What is wrong with a change: code, JSON Pointer within the entity, and message.
struct Wrong(&'static str, String, String);

type Done = Result<(), Wrong>;

impl Condition {
    fn check(&self, now: &State) -> Result<(), EntityWriteError> {
        let stored = |entity: &EntityRef| {
            let version = now.store().version();
            shown(version, version.find(entity)?)
        };
        let holds = match self {
            Self::None => true,
            Self::Sequence(expected) => {
                let (expected, sequence) = (*expected, now.sequence());
                if expected != sequence {
                    return Err(EntityWriteError::Sequence { expected, sequence });
                }
                true
            }
            Self::Stored(entity, tags) => stored(entity)
                .is_some_and(|found| tags.is_empty() || tags.contains(&entity_tag(&found))),
            Self::Absent(entity) => stored(entity).is_none(),
        };
        if holds {
            Ok(())
        } else {
            Err(EntityWriteError::Precondition)
        }
    }
}

impl Checked<'_> {
    fn upsert(&mut self, schema: Option<&SchemaSet>, json: &Value) -> Done {
        let most_bytes = self.most_bytes;
        if json.to_string().len() > most_bytes {
            let message = format!("has more than {most_bytes} bytes (`limits.entity_bytes`)");
            return Err(Wrong("entity_too_large", String::new(), message));
        }
        let entity = read_one(schema, json).map_err(|error| {
            let message = error.message().to_owned();
            Wrong("invalid_entity", String::new(), message)
        })?;
        let (ty, id) = &entity.uid;
        self.may_write(ty, id)?;
        self.touched.insert((ty.to_string(), id.to_string()), true);
        self.stored += 1;
        self.batch.upsert(entity);
        Ok(())
    }

    /// Keeps what a change made of an entity, for patches that follow.
    fn remember(&mut self, at: usize, json: &Value) {
        let uid = json.get("uid").and_then(|uid| entity_ref(uid).ok());
        if let (Some((ty, id)), Some(members)) = (uid, json.as_object()) {
            let name = (ty.to_owned(), id.to_owned());
            self.made.insert(name, (at, members.clone()));
        }
    }

    fn patch(&mut self, schema: Option<&SchemaSet>, at: usize, json: &Value) -> Done {
        let wrong = |pointer: &str, message: &str| {
            Wrong("invalid_entity", pointer.to_owned(), message.to_owned())
        };
        let patch = json
            .as_object()
            .ok_or_else(|| wrong("", "expected an object"))?;
        if let Some(name) = patch.keys().find(|name| !MEMBERS.contains(&name.as_str())) {
            let shown = crate::base::json::shown(name);
            let known = MEMBERS.join("`, `");
            let message = format!("unknown member; known are `{known}`");
            return Err(wrong(&format!("/{shown}"), &message));
        }
        let uid = patch
            .get("uid")
            .ok_or_else(|| wrong("", "`uid` is required"))?;
        let uid = entity_ref(uid).map_err(|error| wrong("/uid", &error.to_string()))?;
        let name = (uid.0.to_owned(), uid.1.to_owned());
        self.may_write(&name.0, &name.1)?;
        let (since, mut entity) = self.present(&name).ok_or_else(|| {
            let (ty, id) = &name;
            let message = format!("`{ty}::\"{}\"` is not stored", id.escape_debug());
            Wrong("unknown_entity", String::new(), message)
        })?;
        // What the batch deleted since is not a parent any more.
        if let Some(Value::Array(parents)) = entity.get_mut("parents") {
            parents.retain(|parent| {
                let Ok((ty, id)) = entity_ref(parent) else {
                    return true;
                };
                let gone = self.gone.get(&(ty.to_owned(), id.to_owned()));
                gone.is_none_or(|gone| since.is_some_and(|since| *gone < since))
            });
        }
        merge(&mut entity, patch).map_err(|(pointer, message)| wrong(&pointer, &message))?;
        let entity = Value::Object(entity);
        self.upsert(schema, &entity)?;
        self.remember(at, &entity);
        Ok(())
    }

    /// What an entity is after the changes so far, and which of them made it so.
    fn present(&self, name: &Name) -> Option<(Option<usize>, Map<String, Value>)> {
        if self.touched.get(name) == Some(&false) {
            return None;
        }
        if let Some((at, members)) = self.made.get(name) {
            return Some((Some(*at), members.clone()));
        }
        let uid = self.version.find((&*name.0, &*name.1))?;
        match shown(self.version, uid)?.0 {
            Value::Object(members) => Some((None, members)),
            _ => None,
        }
    }

    fn delete(&mut self, at: usize, entity: &EntityRef) -> Done {
        let (ty, id) = (entity.type_name(), entity.id());
        if self.shadows.is_shadowed(ty, id) {
            // The file's entity stays; only what was written under its id goes.
            let is_new = self.unshadowed.insert((ty.to_owned(), id.to_owned()));
            self.deleted += usize::from(is_new);
            return Ok(());
        }
        self.may_write(ty, id)?;
        let name = (ty.to_owned(), id.to_owned());
        let known = self.version.find((ty, id));
        let stored = || known.is_some_and(|uid| self.version.entity(uid).is_some());
        if !self.touched.get(&name).copied().unwrap_or_else(stored) {
            return Ok(());
        }
        self.touched.insert(name.clone(), false);
        self.made.remove(&name);
        self.gone.insert(name, at);
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
            return Err(Wrong("action_entity", String::new(), message));
        }
        let known = self.version.find((ty, id));
        let of_a_file = known.is_some_and(|uid| {
            self.version.entity(uid).is_some() && !self.version.written.contains(uid)
        });
        if of_a_file {
            let message = format!("{} is in a file; change it there", name());
            return Err(Wrong("managed_by_file", String::new(), message));
        }
        Ok(())
    }
}
