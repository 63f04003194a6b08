//! The common form of an entity, read in one pass without a tree.
//!
//! Whatever is not of it, faulty or merely rare, is left to [`super::load`]'s other readers: nothing is
//! refused here.

use std::borrow::Cow;
use std::fmt;

use cedar_policy::pst::SmolStr;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::NewEntity;
use super::typed::Typed;
use crate::base::entity_ref::is_type_name;
use crate::base::json::Strict;

/// Reads an entity of the common form.
pub(super) fn read(text: &str, typed: Option<Typed<'_>>) -> Option<NewEntity> {
    let wire: Wire = serde_json::from_str(text).ok()?;
    let object = |strict: Strict| match strict.0 {
        Value::Object(object) => Some(object),
        _ => None,
    };
    let attrs = match wire.attrs {
        Some(attrs) => object(attrs)?,
        None => Map::new(),
    };
    let tags = match wire.tags {
        Some(tags) => object(tags)?,
        None => Map::new(),
    };
    let parents = wire.parents.into_iter().map(|name| name.0).collect();
    NewEntity::from_parts(0, wire.uid.0, &attrs, parents, &tags, typed).ok()
}

/// Serde refuses unknown members and those that appear twice.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    uid: Name,
    #[serde(default, deserialize_with = "present")]
    attrs: Option<Strict>,
    #[serde(default)]
    parents: Vec<Name>,
    #[serde(default, deserialize_with = "present")]
    tags: Option<Strict>,
}

/// A member that is there; `null` is a value like any other.
fn present<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<Strict>, D::Error> {
    Strict::deserialize(reader).map(Some)
}

/// `{"type", "id"}`, with or without its escape.
struct Name((SmolStr, SmolStr));

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_map(NameVisitor).map(Name)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = (SmolStr, SmolStr);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entity")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let (mut ty, mut id, mut escaped): (Option<Text<'_>>, Option<Text<'_>>, Option<Name>) =
            (None, None, None);
        while let Some(name) = members.next_key::<Text<'de>>()? {
            let twice = match &*name.0 {
                "type" => ty.replace(members.next_value()?).is_some(),
                "id" => id.replace(members.next_value()?).is_some(),
                "__entity" => escaped.replace(members.next_value()?).is_some(),
                _ => true,
            };
            if twice {
                return Err(A::Error::custom("unknown, or twice"));
            }
        }
        match (ty, id, escaped) {
            (None, None, Some(name)) => Ok(name.0),
            (Some(ty), Some(id), None) if is_type_name(&ty.0) => {
                Ok(((&*ty.0).into(), (&*id.0).into()))
            }
            _ => Err(A::Error::custom("no plain name")),
        }
    }
}

/// A text, borrowed where it holds no escape.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
