//! Facts about the principal that a verified token brought: entities that lie over the stored ones.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::entities::entity_ref;
use crate::schema::Model;

/// The facts that fit the schema: attributes, parents and entities of types that it does not declare
/// are left out, because a token says what its issuer likes. A declared attribute stays, so that a
/// claim of another type is a fault and not a missing attribute.
pub(super) fn fitting<'a>(facts: &'a [Value], model: Option<&Model>) -> Cow<'a, [Value]> {
    let Some(model) = model.filter(|_| !facts.is_empty()) else {
        return Cow::Borrowed(facts);
    };
    if facts.iter().all(|fact| fits(fact, model)) {
        return Cow::Borrowed(facts);
    }
    Cow::Owned(facts.iter().filter_map(|fact| fit(fact, model)).collect())
}

fn fits(fact: &Value, model: &Model) -> bool {
    let Some((entity, attrs, parents)) = parts(fact, model) else {
        return false;
    };
    let declared = entity.attrs();
    attrs.is_none_or(|attrs| attrs.keys().all(|name| declared.contains_key(name)))
        && parents.is_none_or(|parents| parents.iter().all(|parent| above(entity, parent)))
}

type Parts<'a> = (
    &'a crate::schema::EntityModel,
    Option<&'a Map<String, Value>>,
    Option<&'a Vec<Value>>,
);

fn parts<'a>(fact: &'a Value, model: &'a Model) -> Option<Parts<'a>> {
    let (ty, _) = entity_ref(fact.get("uid")?).ok()?;
    let attrs = fact.get("attrs").and_then(Value::as_object);
    let parents = fact.get("parents").and_then(Value::as_array);
    Some((model.entity(ty)?, attrs, parents))
}

fn above(entity: &crate::schema::EntityModel, parent: &Value) -> bool {
    entity_ref(parent).is_ok_and(|(ty, _)| entity.above.contains(ty))
}

fn fit(fact: &Value, model: &Model) -> Option<Value> {
    let (entity, ..) = parts(fact, model)?;
    let mut fact = fact.clone();
    if let Some(attrs) = fact.get_mut("attrs").and_then(Value::as_object_mut) {
        attrs.retain(|name, _| entity.attrs().contains_key(name));
    }
    if let Some(parents) = fact.get_mut("parents").and_then(Value::as_array_mut) {
        parents.retain(|parent| above(entity, parent));
    }
    Some(fact)
}
