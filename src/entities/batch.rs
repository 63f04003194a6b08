//! Changes to the store: made outside it, applied as a whole or not at all.

use super::convert::RawValue;
use super::json::{ValueError, entity_ref};
use super::typed::Typed;
use crate::source::ReadLimits;
use cedar_policy::pst::SmolStr;
use thiserror::Error;

/// An entity to be stored, with its text spelled out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewEntity {
    /// Type and id.
    pub(crate) uid: (SmolStr, SmolStr),
    /// Attributes.
    pub(crate) attrs: Vec<(SmolStr, RawValue)>,
    /// Tags.
    pub(crate) tags: Vec<(SmolStr, RawValue)>,
    /// Direct parents.
    pub(crate) parents: Vec<(SmolStr, SmolStr)>,
}

/// Why a batch was not applied; nothing of it was.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum BatchError {
    /// The parents would form a cycle through this entity.
    #[error("`{0}::\"{1}\"` would be its own ancestor")]
    Cycle(String, String),
    /// An entity would have a longer chain of parents than is allowed.
    #[error(
        "`{0}::\"{1}\"` would be in a chain of more than {2} parents; shorten it or raise \
         `limits.entity_parent_depth`"
    )]
    TooDeep(String, String, usize),
    /// More ids than the store can number.
    #[error("the store cannot number more ids")]
    Full,
    /// More entities than are allowed.
    #[error("more than {0} entities would be stored; delete some or raise `limits.entities`")]
    TooMany(usize),
    /// More names than are allowed.
    #[error(
        "entities and policies would use more than {0} different names of attributes, tags and types; use \
         fewer or raise `limits.entity_names`"
    )]
    TooManyNames(usize),
    /// An entity is not in Cedar's JSON format.
    #[error("entity {0}: {1}")]
    Malformed(usize, &'static str),
    /// A value of an entity is not in Cedar's JSON format.
    #[error("entity {0}: {1}")]
    Value(usize, ValueError),
}

#[derive(Debug, Clone)]
pub(crate) enum Change {
    Upsert(NewEntity),
    Delete((SmolStr, SmolStr)),
}

/// Changes that are applied together, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Batch {
    pub(crate) changes: Vec<Change>,
    /// Whether what it stores was written through the API. Its deletions take no edge from an entity of
    /// a file, which says what the file says.
    pub(crate) written: bool,
    /// Edges of the longest chain of parents, where that is not known to be kept.
    pub(crate) max_depth: Option<usize>,
    /// How much may be stored once the batch is applied.
    pub(crate) room: Option<StoreLimits>,
}

/// How much a store may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoreLimits {
    /// Entities.
    pub(crate) entities: usize,
    /// Names of attributes, tags and types.
    pub(crate) names: usize,
}

impl StoreLimits {
    /// What the limits on reading leave.
    pub(crate) fn of(limits: &ReadLimits) -> Self {
        Self {
            entities: limits.entities,
            names: limits.entity_names,
        }
    }
}

impl NewEntity {
    /// An entity without attributes, tags or parents.
    #[cfg(test)]
    pub(crate) fn new(ty: &str, id: &str) -> Self {
        Self {
            uid: (ty.into(), id.into()),
            attrs: Vec::new(),
            tags: Vec::new(),
            parents: Vec::new(),
        }
    }

    /// The entity of Cedar's JSON format with explicit escapes; `at` is for the error.
    pub(crate) fn from_json(at: usize, json: &serde_json::Value) -> Result<Self, BatchError> {
        Self::read(at, json, None)
    }

    /// The entity of Cedar's JSON format that fits what a schema declares for its type: escapes may be
    /// left out. Actions are not read here: they are the schema's.
    pub(crate) fn from_json_as(
        at: usize,
        json: &serde_json::Value,
        typed: Typed<'_>,
    ) -> Result<Self, BatchError> {
        Self::read(at, json, Some(typed))
    }

    fn read(
        at: usize,
        json: &serde_json::Value,
        typed: Option<Typed<'_>>,
    ) -> Result<Self, BatchError> {
        let value = |error| BatchError::Value(at, error);
        let part = |name, place: usize| match json {
            serde_json::Value::Array(parts) if parts.len() <= 4 => parts.get(place),
            serde_json::Value::Array(_) => None,
            _ => json.get(name),
        };
        let optional = |name, place| part(name, place).filter(|part| !part.is_null());
        let missing = || BatchError::Malformed(at, "`uid` is required");
        let uid = entity_ref(part("uid", 0).ok_or_else(missing)?).map_err(value)?;
        let parents = match optional("parents", 2) {
            Some(parents) => parents
                .as_array()
                .ok_or(BatchError::Malformed(at, "`parents` is a list"))?
                .as_slice(),
            None => &[],
        };
        let parents: Vec<(SmolStr, SmolStr)> = parents
            .iter()
            .map(|parent| entity_ref(parent).map(owned).map_err(value))
            .collect::<Result<_, _>>()?;
        let none = Object::new();
        let attrs = match optional("attrs", 1) {
            Some(attrs) => object_of(at, attrs)?,
            None => &none,
        };
        let tags = match optional("tags", 3) {
            Some(tags) => object_of(at, tags)?,
            None => &none,
        };
        Self::from_parts(at, owned(uid), attrs, parents, tags, typed)
    }

    /// An entity whose parts were taken out of its JSON.
    pub(super) fn from_parts(
        at: usize,
        uid: (SmolStr, SmolStr),
        attrs: &Object,
        parents: Vec<(SmolStr, SmolStr)>,
        tags: &Object,
        typed: Option<Typed<'_>>,
    ) -> Result<Self, BatchError> {
        let value = |error| BatchError::Value(at, error);
        let (ty, id) = (uid.0.as_str(), uid.1.as_str());
        let actions_only = !is_action(ty) || parents.iter().all(|(ty, _)| is_action(ty));
        if !actions_only {
            let message = "the parents of an action are actions";
            return Err(BatchError::Malformed(at, message));
        }
        let Some(typed) = typed else {
            return Ok(Self {
                attrs: plain_fields(at, attrs)?,
                tags: plain_fields(at, tags)?,
                uid,
                parents,
            });
        };
        let entity = typed.model.entity(ty).filter(|entity| entity.known);
        let entity = entity.filter(|_| typed.is_declared(ty, id));
        let unknown = BatchError::Malformed(at, "its type or id is not declared");
        let entity = entity.ok_or(unknown)?;
        let mut fields = Vec::with_capacity(attrs.len());
        let take = |name: &str, value| fields.push((name.into(), value));
        let read = typed.members(attrs, entity.attrs(), take);
        read.map_err(value)?;
        let tags = match &entity.tags {
            None if tags.is_empty() => Vec::new(),
            None => return Err(value(ValueError::Unexpected)),
            Some(ty) => {
                let each = |(name, json): (&String, _)| {
                    let read = typed.value(json, ty).map_err(value)?;
                    Ok((name.as_str().into(), read))
                };
                tags.iter().map(each).collect::<Result<_, _>>()?
            }
        };
        let fits = |(ty, id): &(SmolStr, SmolStr)| {
            entity.above.contains(ty.as_str()) && typed.is_declared(ty, id)
        };
        if !parents.iter().all(fits) {
            let message = "a parent is not of a declared type";
            return Err(BatchError::Malformed(at, message));
        }
        Ok(Self {
            uid,
            attrs: fields,
            tags,
            parents,
        })
    }
}

type Object = serde_json::Map<String, serde_json::Value>;

fn object_of(at: usize, json: &serde_json::Value) -> Result<&Object, BatchError> {
    json.as_object()
        .ok_or(BatchError::Malformed(at, "`attrs` and `tags` are objects"))
}

fn plain_fields(at: usize, object: &Object) -> Result<Vec<(SmolStr, RawValue)>, BatchError> {
    let read = |(name, json): (&String, _)| {
        let value = RawValue::from_json(json).map_err(|error| BatchError::Value(at, error))?;
        Ok((name.as_str().into(), value))
    };
    object.iter().map(read).collect()
}

pub(crate) fn is_action(ty: &str) -> bool {
    ty.rsplit("::").next() == Some("Action")
}

fn owned(uid: (&str, &str)) -> (SmolStr, SmolStr) {
    (uid.0.into(), uid.1.into())
}

impl Batch {
    /// No changes yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// No changes yet, of entities that are written through the API.
    pub(crate) fn written() -> Self {
        Self {
            written: true,
            ..Self::default()
        }
    }

    /// Stores an entity, in place of what was stored under its id.
    pub(crate) fn upsert(&mut self, entity: NewEntity) -> &mut Self {
        self.changes.push(Change::Upsert(entity));
        self
    }

    /// Deletes an entity and the edges of its children to it.
    pub(crate) fn delete(&mut self, ty: &str, id: &str) -> &mut Self {
        self.changes.push(Change::Delete(owned((ty, id))));
        self
    }

    /// Stores every entity of a list in Cedar's JSON format with explicit escapes.
    #[cfg(test)]
    pub(crate) fn upsert_json(
        &mut self,
        entities: &[serde_json::Value],
    ) -> Result<&mut Self, BatchError> {
        for (at, json) in entities.iter().enumerate() {
            self.upsert(NewEntity::from_json(at, json)?);
        }
        Ok(self)
    }
}
