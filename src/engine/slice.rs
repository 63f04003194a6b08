//! The part of the entities that one request can reach.
//!
//! What enters: the stored entities, inline ones over them, and the names that a decision begins
//! with. What leaves: the entities reachable from those names over parents, attributes and tags; a
//! decision on them is the decision on all.

use std::collections::{HashMap, HashSet};

use cedar_policy::{Entities, Entity, EntityUid, EvalResult};

/// Entities reachable from `roots`; the `inline` ones stand in place of stored ones, and are roots too.
pub(super) fn slice(
    stored: &Entities,
    inline: Vec<Entity>,
    roots: impl Iterator<Item = EntityUid>,
) -> Vec<Entity> {
    let mut pending: Vec<EntityUid> = roots.collect();
    pending.extend(inline.iter().map(Entity::uid));
    let mut inline: HashMap<EntityUid, Entity> = inline
        .into_iter()
        .map(|entity| (entity.uid(), entity))
        .collect();
    let mut visited: HashSet<EntityUid> = HashSet::new();
    let mut reached = Vec::new();
    while let Some(uid) = pending.pop() {
        if visited.contains(&uid) {
            continue;
        }
        let entity = match inline.remove(&uid) {
            Some(entity) => Some(entity),
            None => stored.get(&uid).cloned(),
        };
        visited.insert(uid);
        if let Some(entity) = entity {
            let (_, _, parents) = entity.clone().into_inner();
            pending.extend(parents);
            let attributes = entity.attrs().filter_map(|(_, value)| value.ok());
            let tags = entity.tags().filter_map(|(_, value)| value.ok());
            for value in attributes.chain(tags) {
                collect(value, &mut pending);
            }
            reached.push(entity);
        }
    }
    reached
}

/// The entities named anywhere in a value.
fn collect(value: EvalResult, found: &mut Vec<EntityUid>) {
    let mut pending = vec![value];
    while let Some(value) = pending.pop() {
        match value {
            EvalResult::EntityUid(uid) => found.push(uid),
            EvalResult::Set(set) => pending.extend(set.iter().cloned()),
            EvalResult::Record(record) => {
                pending.extend(record.iter().map(|(_, value)| value.clone()));
            }
            _ => {}
        }
    }
}

/// The entities that JSON may name: every object with a `type` and an `id` in it. Naming too many is
/// harmless.
pub(super) fn named_in(json: &serde_json::Value, found: &mut Vec<EntityUid>) {
    let mut pending = vec![json];
    while let Some(value) = pending.pop() {
        match value {
            serde_json::Value::Object(object) => {
                let text = |member: &str| object.get(member).and_then(serde_json::Value::as_str);
                if let (Some(ty), Some(id)) = (text("type"), text("id"))
                    && let Ok(ty) = ty.parse()
                {
                    let id = cedar_policy::EntityId::new(id);
                    found.push(EntityUid::from_type_name_and_id(ty, id));
                }
                pending.extend(object.values());
            }
            serde_json::Value::Array(items) => pending.extend(items),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_reachable_and_nothing_else() {
        let entity = |id: &str, attrs: serde_json::Value, parents: &[&str]| {
            let parents: Vec<_> = parents
                .iter()
                .map(|id| json!({"type": "E", "id": id}))
                .collect();
            json!({"uid": {"type": "E", "id": id}, "attrs": attrs, "parents": parents})
        };
        let to = |id: &str| json!({"__entity": {"type": "E", "id": id}});
        let stored = Entities::from_json_value(
            json!([
                entity("a", json!({"deep": [{"x": to("b")}]}), &["p"]),
                entity("b", json!({}), &[]),
                entity("p", json!({}), &["g"]),
                entity("g", json!({"owner": to("o")}), &[]),
                entity("o", json!({}), &[]),
                entity("far", json!({"back": to("a")}), &["g"]),
            ]),
            None,
        )
        .unwrap();
        let inline =
            Entity::from_json_value(entity("b", json!({"to": to("missing")}), &["far"]), None);
        let root = |id: &str| format!("E::\"{id}\"").parse::<EntityUid>().unwrap();
        let ids = |inline: Vec<Entity>| {
            let mut ids: Vec<_> = slice(&stored, inline, [root("a")].into_iter())
                .iter()
                .map(|e| e.uid().id().unescaped().to_owned())
                .collect();
            ids.sort();
            ids
        };
        assert_eq!(ids(Vec::new()), ["a", "b", "g", "o", "p"]);
        assert_eq!(ids(vec![inline.unwrap()]), ["a", "b", "far", "g", "o", "p"]);
        let mut named = Vec::new();
        named_in(
            &json!({"x": [{"type": "E", "id": "a"}, to("b")]}),
            &mut named,
        );
        assert_eq!(named.len(), 2);
    }
}
