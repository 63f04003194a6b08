//! Changes to the store: made outside it, applied as a whole or not at all.

use super::convert::RawValue;
use super::json::{ValueError, entity_ref};
use super::typed::Typed;
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
    /// A parent was added to or taken from an entity that is not stored.
    #[error("`{0}::\"{1}\"` is not stored")]
    Missing(String, String),
    /// More ids than the store can number.
    #[error("the store cannot number more ids")]
    Full,
    /// An entity is not in Cedar's JSON format.
    #[error("entity {0}: {1}")]
    Malformed(usize, &'static str),
    /// A value of an entity is not in Cedar's JSON format.
    #[error("entity {0}: {1}")]
    Value(usize, ValueError),
}

#[derive(Debug, Clone)]
#[allow(
    dead_code,
    reason = "a reload makes a new store; single changes are for stores that are written to"
)]
pub(crate) enum Change {
    Upsert(NewEntity),
    Delete((SmolStr, SmolStr)),
    AddParent {
        child: (SmolStr, SmolStr),
        parent: (SmolStr, SmolStr),
    },
    RemoveParent {
        child: (SmolStr, SmolStr),
        parent: (SmolStr, SmolStr),
    },
}

/// Changes that are applied together, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Batch {
    pub(crate) changes: Vec<Change>,
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
        let required = |name, place| {
            part(name, place).ok_or(BatchError::Malformed(
                at,
                "`uid`, `attrs` and `parents` are required",
            ))
        };
        let (ty, id) = entity_ref(required("uid", 0)?).map_err(value)?;
        let declared = typed.map(|typed| {
            let declared = typed.0.entity(ty).filter(|entity| entity.known);
            let declared = declared.filter(|_| typed.is_declared(ty, id));
            let unknown = BatchError::Malformed(at, "its type or id is not declared");
            declared.map(|entity| (typed, entity)).ok_or(unknown)
        });
        let declared = declared.transpose()?;
        let attrs = required("attrs", 1)?;
        let tags = part("tags", 3);
        let (attrs, tags) = match declared {
            None => (
                plain_fields(at, attrs)?,
                tags.map(|tags| plain_fields(at, tags)).transpose()?,
            ),
            Some((typed, entity)) => {
                let object = |json| object_of(at, json);
                let mut fields = Vec::new();
                let take = |name: &str, value| fields.push((name.into(), value));
                let read = typed.members(object(attrs)?, entity.attrs(), None, take);
                read.map_err(value)?;
                let each = |(name, json): (&String, _), ty| {
                    let read = typed.value(json, ty).map_err(value)?;
                    Ok((name.as_str().into(), read))
                };
                let tags = match (tags.map(object).transpose()?, &entity.tags) {
                    (None, _) => None,
                    (Some(tags), None) if tags.is_empty() => None,
                    (Some(_), None) => return Err(value(ValueError::Unexpected)),
                    (Some(tags), Some(ty)) => Some(
                        tags.iter()
                            .map(|tag| each(tag, ty))
                            .collect::<Result<_, _>>()?,
                    ),
                };
                (fields, tags)
            }
        };
        let parents = required("parents", 2)?
            .as_array()
            .ok_or(BatchError::Malformed(at, "`parents` is a list"))?;
        let parents: Vec<(SmolStr, SmolStr)> = parents
            .iter()
            .map(|parent| entity_ref(parent).map(owned).map_err(value))
            .collect::<Result<_, _>>()?;
        if is_action(ty) && parents.iter().any(|(ty, _)| !is_action(ty)) {
            return Err(BatchError::Malformed(
                at,
                "the parents of an action are actions",
            ));
        }
        if let Some((typed, entity)) = declared {
            let fits = |(ty, id): &(SmolStr, SmolStr)| {
                entity.above.contains(ty.as_str()) && typed.is_declared(ty, id)
            };
            if !parents.iter().all(fits) {
                return Err(BatchError::Malformed(
                    at,
                    "a parent is not of a declared type",
                ));
            }
        }
        Ok(Self {
            uid: owned((ty, id)),
            attrs,
            tags: tags.unwrap_or_default(),
            parents,
        })
    }
}

fn object_of(
    at: usize,
    json: &serde_json::Value,
) -> Result<&serde_json::Map<String, serde_json::Value>, BatchError> {
    json.as_object()
        .ok_or(BatchError::Malformed(at, "`attrs` and `tags` are objects"))
}

fn plain_fields(
    at: usize,
    json: &serde_json::Value,
) -> Result<Vec<(SmolStr, RawValue)>, BatchError> {
    let read = |(name, json): (&String, _)| {
        let value = RawValue::from_json(json).map_err(|error| BatchError::Value(at, error))?;
        Ok((name.as_str().into(), value))
    };
    object_of(at, json)?.iter().map(read).collect()
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

    /// Stores an entity, in place of what was stored under its id.
    pub(crate) fn upsert(&mut self, entity: NewEntity) -> &mut Self {
        self.changes.push(Change::Upsert(entity));
        self
    }

    /// Deletes an entity and the edges of its children to it.
    #[allow(
        dead_code,
        reason = "a reload makes a new store; single changes are for stores that are written to"
    )]
    pub(crate) fn delete(&mut self, ty: &str, id: &str) -> &mut Self {
        self.changes.push(Change::Delete(owned((ty, id))));
        self
    }

    /// Gives a stored entity one more parent.
    #[allow(
        dead_code,
        reason = "a reload makes a new store; single changes are for stores that are written to"
    )]
    pub(crate) fn add_parent(&mut self, child: (&str, &str), parent: (&str, &str)) -> &mut Self {
        self.changes.push(Change::AddParent {
            child: owned(child),
            parent: owned(parent),
        });
        self
    }

    /// Takes one parent from a stored entity.
    #[allow(
        dead_code,
        reason = "a reload makes a new store; single changes are for stores that are written to"
    )]
    pub(crate) fn remove_parent(&mut self, child: (&str, &str), parent: (&str, &str)) -> &mut Self {
        self.changes.push(Change::RemoveParent {
            child: owned(child),
            parent: owned(parent),
        });
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
