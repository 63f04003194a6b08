//! Inline entities by Cedar's reader: merged over the stored ones for one request, attribute by
//! attribute, within what the caller may assert. Every fault is named.

use std::collections::{HashMap, HashSet};

use cedar_policy::{Entity, EntityUid, Schema};
use serde_json::{Map, Value};

use super::locate::locate_entity;
use crate::base::caller::InlineRule;
use crate::base::fault::chain;
use crate::base::json::{InputFault, MAX_FAULTS, kind, pointer, shown};
use crate::base::meter::{BY_CEDAR, Meter, weight};
use crate::entities::{Exporter, GraphFault, Uid, check_graph, entity_has_unknown};
use crate::request::read::read_entity_ref;
use crate::schema::Model;

pub(crate) const MEMBERS: &[&str] = &["uid", "attrs", "parents", "tags"];

/// What inline entities are merged into, and by which rule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Merge<'a> {
    pub(crate) stored: Exporter<'a>,
    pub(crate) schema: Option<&'a Schema>,
    pub(crate) model: Option<&'a Model>,
    pub(crate) parent_depth: usize,
    /// What pays for it. Once it ends, what is said here does not matter: the request has no answer.
    pub(crate) meter: &'a Meter,
}

impl Merge<'_> {
    /// Each inline entity, laid over the stored one of its id where there is one.
    ///
    /// Attributes and tags of an inline entity replace those of the stored entity of the same id;
    /// parents are added to it, never taken away. Under [`InlineRule::Add`] nothing stored may change.
    /// Each list comes with its rule and its pointer.
    pub(crate) fn apply(
        &self,
        given: [(&[Value], InlineRule, &str); 2],
    ) -> Result<Vec<Entity>, Vec<InputFault>> {
        let mut faults = Vec::new();
        let mut merged: Vec<Entity> = Vec::new();
        let mut index: HashMap<EntityUid, usize> = HashMap::new();
        for (inline, rule, pointer) in given {
            if rule == InlineRule::Off && !inline.is_empty() {
                return Err(vec![InputFault::new(
                    pointer,
                    "this caller may not send inline entities",
                )]);
            }
            for (n, value) in inline.iter().enumerate() {
                let at = format!("{pointer}/{n}");
                if faults.len() >= MAX_FAULTS || !self.meter.take(BY_CEDAR * weight(value)) {
                    break;
                }
                match self.one(value, rule, &at) {
                    Ok(entity) => {
                        let first = index.get(&entity.uid()).and_then(|at| merged.get(*at));
                        match first {
                            // The same entity twice is one, as in Cedar.
                            Some(first) if first.deep_eq(&entity) => {}
                            Some(_) => {
                                let name = shown(&entity.uid().to_string());
                                let detail = format!("entity `{name}` is given twice, and differs");
                                faults.push(InputFault::new(at, detail));
                            }
                            None => {
                                index.insert(entity.uid(), merged.len());
                                merged.push(entity);
                            }
                        }
                    }
                    Err(found) => faults.extend(found),
                }
            }
        }
        if faults.is_empty() {
            faults.extend(self.graph(&merged, &index));
        }
        if !faults.is_empty() {
            faults.truncate(MAX_FAULTS);
            return Err(faults);
        }
        Ok(merged)
    }

    fn one(&self, value: &Value, rule: InlineRule, at: &str) -> Result<Entity, Vec<InputFault>> {
        let Value::Object(object) = value else {
            return Err(vec![InputFault::new(
                at,
                format!("expected an entity object, found {}", kind(value)),
            )]);
        };
        let mut faults: Vec<_> = object
            .keys()
            .filter(|name| !MEMBERS.contains(&name.as_str()))
            .take(MAX_FAULTS)
            .map(|name| {
                let (name, known) = (shown(name), MEMBERS.join(", "));
                let detail = format!("unknown member `{name}`; known are {known}");
                InputFault::new(pointer(at, &name), detail)
            })
            .collect();
        let Some(uid) = read_uid(object, at, &mut faults) else {
            return Err(faults);
        };
        if uid.type_name().basename() == "Action" {
            faults.push(InputFault::new(
                pointer(at, "uid"),
                "actions come from the schema and cannot be sent inline",
            ));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        if entity_has_unknown(value) {
            faults.push(InputFault::new(at, "`unknown` is not a value"));
            return Err(faults);
        }
        // The stored entity is turned into Cedar's values and back, and compared.
        if !self.meter.take(3 * BY_CEDAR * self.stored.weight(&uid)) {
            return Err(Vec::new());
        }
        let stored = self.stored.stored(&uid);
        let stored = stored.as_ref();
        let combined = match stored {
            Some(stored) => self.over(stored, object, at)?,
            None => object.clone(),
        };
        let mut combined = combined;
        for (member, empty) in [
            ("attrs", Value::Object(Map::new())),
            ("parents", Value::Array(Vec::new())),
        ] {
            combined.entry(member).or_insert(empty);
        }
        let entity = Entity::from_json_value(Value::Object(combined), self.schema)
            .map_err(|error| self.blame(&uid, object, at, &chain(&error)))?;
        let given = object.get("parents").and_then(Value::as_array);
        let has_parents = given.is_some_and(|parents| !parents.is_empty());
        if stored.is_none() && rule == InlineRule::Add && has_parents && self.stored.is_above(&uid)
        {
            return Err(vec![InputFault::new(
                pointer(at, "parents"),
                "stored entities have it for a parent, and this caller may not give them another ancestor",
            )]);
        }
        if let (Some(stored), InlineRule::Add) = (stored, rule) {
            let changed = self.changed(stored, &entity, object, at);
            if !changed.is_empty() {
                return Err(changed);
            }
        }
        Ok(entity)
    }

    /// The stored entity's JSON with the inline members over it.
    fn over(
        &self,
        stored: &Entity,
        inline: &Map<String, Value>,
        at: &str,
    ) -> Result<Map<String, Value>, Vec<InputFault>> {
        let stored = stored
            .to_json_value()
            .map_err(|error| vec![InputFault::new(at, chain(&error))])?;
        let Value::Object(mut combined) = stored else {
            return Ok(inline.clone());
        };
        for member in ["attrs", "tags"] {
            match inline.get(member) {
                None => {}
                Some(Value::Object(values)) => {
                    let target = combined
                        .entry(member)
                        .or_insert_with(|| Value::Object(Map::new()));
                    if let Value::Object(target) = target {
                        target.extend(values.clone());
                    }
                }
                Some(other) => {
                    return Err(vec![InputFault::new(
                        pointer(at, member),
                        format!("expected an object, found {}", kind(other)),
                    )]);
                }
            }
        }
        match inline.get("parents") {
            None => {}
            Some(Value::Array(parents)) => {
                if let Some(Value::Array(target)) = combined.get_mut("parents") {
                    target.extend(parents.iter().cloned());
                }
            }
            Some(other) => {
                return Err(vec![InputFault::new(
                    pointer(at, "parents"),
                    format!("expected an array, found {}", kind(other)),
                )]);
            }
        }
        Ok(combined)
    }

    /// What an entity asserted under [`InlineRule::Add`] would change of the stored one.
    fn changed(
        &self,
        stored: &Entity,
        entity: &Entity,
        inline: &Map<String, Value>,
        at: &str,
    ) -> Vec<InputFault> {
        let mut faults = Vec::new();
        for member in ["attrs", "tags"] {
            let names = inline.get(member).and_then(Value::as_object);
            for name in names.into_iter().flat_map(Map::keys) {
                let (before, after) = match member {
                    "attrs" => (stored.attr(name), entity.attr(name)),
                    _ => (stored.tag(name), entity.tag(name)),
                };
                let (before, after) = (before.and_then(Result::ok), after.and_then(Result::ok));
                if before.is_some() && before != after {
                    faults.push(InputFault::new(
                        pointer(&pointer(at, member), name),
                        "is stored with another value, which this caller may not override",
                    ));
                }
            }
        }
        if !self.are_above(stored, entity) {
            faults.push(InputFault::new(
                pointer(at, "parents"),
                "this caller may not give a stored entity a parent",
            ));
        }
        faults
    }

    /// Whether every parent of `entity` is above the stored entity already.
    fn are_above(&self, stored: &Entity, entity: &Entity) -> bool {
        let (_, _, direct) = stored.clone().into_inner();
        let (_, _, mut further) = entity.clone().into_inner();
        further.retain(|parent| !direct.contains(parent));
        if further.is_empty() {
            return true;
        }
        let uid = self.stored.find(&stored.uid());
        let above = uid.map(|uid| self.stored.version.above(uid, self.meter));
        let above: HashSet<Uid> = above.into_iter().flatten().collect();
        let mut further = further.iter();
        further.all(|parent| {
            self.stored
                .find(parent)
                .is_some_and(|uid| above.contains(&uid))
        })
    }

    /// The members of an inline entity that Cedar's reader cannot have taken; else its message.
    fn blame(
        &self,
        uid: &EntityUid,
        object: &Map<String, Value>,
        at: &str,
        message: &str,
    ) -> Vec<InputFault> {
        let model = self
            .model
            .map(|model| model.entity(&uid.type_name().to_string()));
        let found = locate_entity(object, model, uid, at, self.meter);
        if found.is_empty() {
            vec![InputFault::new(at, message)]
        } else {
            found
        }
    }

    /// Refuses cycles across the merge and chains that are too long. A cycle must run through an
    /// inline entity, so stored entities count as edges to the inline ones above them.
    fn graph(&self, merged: &[Entity], index: &HashMap<EntityUid, usize>) -> Option<InputFault> {
        let mut edges: Vec<Vec<usize>> = Vec::with_capacity(merged.len());
        let numbers = index.iter();
        let numbers: HashMap<Uid, usize> = numbers
            .filter_map(|(uid, at)| Some((self.stored.find(uid)?, *at)))
            .collect();
        // Inline entities above each stored parent; many entities have the same few parents.
        let mut known: HashMap<Uid, Vec<usize>> = HashMap::new();
        for entity in merged {
            let (_, _, parents) = entity.clone().into_inner();
            let mut above = Vec::new();
            for parent in &parents {
                match (index.get(parent), self.stored.find(parent)) {
                    (Some(at), _) => above.push(*at),
                    (None, None) => {}
                    (None, Some(uid)) => {
                        let inline = known.entry(uid).or_insert_with(|| {
                            let above = self.stored.version.above(uid, self.meter);
                            above
                                .iter()
                                .filter_map(|uid| numbers.get(uid).copied())
                                .collect()
                        });
                        if !self.meter.take(1 + inline.len() as u64) {
                            return None;
                        }
                        above.extend_from_slice(inline);
                    }
                }
            }
            edges.push(above);
        }
        let name = |at: usize| {
            merged
                .get(at)
                .map(|e| e.uid().to_string())
                .unwrap_or_default()
        };
        let parent = |node: usize, nth: usize| Some(Some(*edges.get(node)?.get(nth)?));
        match check_graph(edges.len(), parent, self.parent_depth) {
            Ok(()) => None,
            Err(GraphFault::Cycle(nodes)) => {
                let names: Vec<_> = nodes.iter().take(10).map(|at| name(*at)).collect();
                Some(InputFault::new(
                    format!("/entities/{}/parents", nodes.first().copied().unwrap_or(0)),
                    format!("entities are their own ancestors: {}", names.join(" in ")),
                ))
            }
            Err(GraphFault::TooDeep(at)) => Some(InputFault::new(
                format!("/entities/{at}/parents"),
                format!(
                    "`{}` has a chain of more than {} parents",
                    name(at),
                    self.parent_depth
                ),
            )),
        }
    }
}

/// Reads `uid` in either of Cedar's forms: `{"type", "id"}` or `{"__entity": {"type", "id"}}`.
fn read_uid(
    object: &Map<String, Value>,
    at: &str,
    faults: &mut Vec<InputFault>,
) -> Option<EntityUid> {
    let at = pointer(at, "uid");
    let Some(uid) = object.get("uid") else {
        faults.push(InputFault::new(at, "is required"));
        return None;
    };
    let (uid, at) = match uid.get("__entity") {
        Some(inner) if uid.as_object().is_some_and(|object| object.len() == 1) => {
            (inner, pointer(&at, "__entity"))
        }
        _ => (uid, at),
    };
    if uid.is_string() {
        faults.push(InputFault::new(
            at,
            "expected {\"type\", \"id\"}, found a string",
        ));
        return None;
    }
    match read_entity_ref(uid, &at) {
        Ok(entity) => entity.to_uid(),
        Err(found) => {
            faults.extend(found);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use cedar_policy::Entities;
    use serde_json::json;

    use super::*;
    use crate::entities::{Batch, EntityStore};

    fn stored() -> Value {
        json!([
            {"uid": {"type": "U", "id": "a"}, "attrs": {"level": 1, "name": "A"}, "parents": [{"type": "G", "id": "g"}]},
            {"uid": {"type": "G", "id": "g"}, "attrs": {}, "parents": []},
        ])
    }

    /// The stored entities with the inline ones over them.
    fn apply(rule: InlineRule, inline: Value) -> Result<Entities, Vec<String>> {
        let stored = stored();
        let store = EntityStore::new();
        let mut batch = Batch::new();
        batch.upsert_json(stored.as_array().unwrap()).unwrap();
        let version = store.apply(&batch).unwrap();
        let stored = Entities::from_json_value(stored, None).unwrap();
        let merge = Merge {
            stored: Exporter {
                version: &version,
                locals: None,
            },
            schema: None,
            model: None,
            parent_depth: 100,
            meter: &Meter::new(u64::MAX),
        };
        merge
            .apply([
                (&[], InlineRule::Override, "/token"),
                (inline.as_array().unwrap(), rule, "/entities"),
            ])
            .map(|merged| stored.clone().upsert_entities(merged, None).unwrap())
            .map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    fn uid(text: &str) -> EntityUid {
        text.parse().unwrap()
    }

    #[test]
    fn override_merges_attribute_by_attribute_and_keeps_parents() {
        let merged = apply(
            InlineRule::Override,
            json!([{"uid": {"type": "U", "id": "a"}, "attrs": {"level": 2, "new": true}}]),
        )
        .unwrap();
        let a = merged.get(&uid("U::\"a\"")).unwrap();
        assert_eq!(
            format!("{:?}", a.attr("level").unwrap().unwrap()),
            "Long(2)"
        );
        assert_eq!(
            format!("{:?}", a.attr("name").unwrap().unwrap()),
            "String(\"A\")"
        );
        assert!(merged.is_ancestor_of(&uid("G::\"g\""), &uid("U::\"a\"")));
    }

    #[test]
    fn add_never_changes_what_is_stored() {
        let faults = apply(
            InlineRule::Add,
            json!([{"uid": {"type": "U", "id": "a"}, "attrs": {"level": 2, "name": "A", "new": 1},
                    "parents": [{"type": "G", "id": "admins"}]}]),
        )
        .unwrap_err();
        assert_eq!(
            faults,
            [
                "/entities/0/attrs/level: is stored with another value, which this caller may not override",
                "/entities/0/parents: this caller may not give a stored entity a parent",
            ]
        );
        let fine = json!([
            {"uid": {"type": "U", "id": "a"}, "attrs": {"name": "A", "new": 1}},
            {"uid": {"type": "U", "id": "b"}, "attrs": {}, "parents": [{"type": "G", "id": "g"}]},
        ]);
        assert!(apply(InlineRule::Add, fine.clone()).is_ok());
        assert!(apply(InlineRule::Off, fine).is_err());
    }

    #[test]
    fn the_same_entity_twice_is_one_and_a_different_one_is_a_fault() {
        let one = json!({"uid": {"type": "U", "id": "n"}, "attrs": {"set": [1, 2], "x": 1}});
        let same = json!({"uid": {"__entity": {"type": "U", "id": "n"}}, "attrs": {"x": 1, "set": [2, 1, 1]}});
        assert!(apply(InlineRule::Add, json!([one, same, one])).is_ok());
        let other = json!({"uid": {"type": "U", "id": "n"}, "attrs": {"x": 2}});
        let faults = apply(InlineRule::Add, json!([one, other])).unwrap_err();
        assert_eq!(
            faults,
            ["/entities/1: entity `U::\"n\"` is given twice, and differs"]
        );
    }

    #[test]
    fn faults_of_values_name_every_member_in_plain_words() {
        let faults = apply(
            InlineRule::Override,
            json!([
                {"uid": {"type": "U", "id": "x"}, "attrs": {
                    "none": null, "half": 1.5, "deep": {"list": [1, null]},
                    "ip": {"__extn": {"fn": "ip", "arg": "300.1.1.1"}}, "to": {"__entity": {"type": "U"}},
                    "old": {"__expr": "1"},
                }},
                {"uid": {"type": "U", "id": "y"}, "attrs": [], "parents": [{"type": "U"}, 5]},
            ]),
        );
        assert_eq!(
            faults.unwrap_err(),
            [
                "/entities/0/attrs/none: null is not a Cedar value; leave the member out",
                "/entities/0/attrs/half: 1.5 is not a whole number within 64 bits; for fractions use a `decimal`",
                "/entities/0/attrs/deep/list/1: null is not a Cedar value; leave the member out",
                "/entities/0/attrs/ip: `ip` does not take this argument",
                "/entities/0/attrs/to/__entity: expected {\"type\", \"id\"} of an entity",
                "/entities/0/attrs/old/__expr: `__expr` is not read any more; use `__entity` or `__extn`",
                "/entities/1/attrs: expected an object, found an array",
                "/entities/1/parents/0: expected {\"type\", \"id\"}, found an object",
                "/entities/1/parents/1: expected {\"type\", \"id\"}, found a number",
            ]
        );
    }

    #[test]
    fn cycles_across_the_merge_actions_and_malformed_entities_are_refused() {
        let cycle = apply(
            InlineRule::Override,
            json!([{"uid": {"type": "G", "id": "g"}, "attrs": {}, "parents": [{"type": "U", "id": "a"}]}]),
        );
        // `U::"a"` is stored below `G::"g"`, so this closes a cycle through the store.
        assert!(cycle.unwrap_err()[0].contains("their own ancestors"));
        let faults = apply(
            InlineRule::Override,
            json!([{"uid": {"type": "Action", "id": "x"}}, {"uid": "U::\"a\""}, {"attributes": {}}, 5]),
        )
        .unwrap_err();
        assert_eq!(faults.len(), 5, "{faults:?}");
    }

    #[test]
    fn long_inline_chains_are_refused() {
        let chain: Vec<_> = (0..102)
            .map(|n| json!({"uid": {"type": "C", "id": n.to_string()}, "parents": [{"type": "C", "id": (n + 1).to_string()}]}))
            .collect();
        let faults = apply(InlineRule::Override, Value::Array(chain)).unwrap_err();
        assert!(faults[0].contains("more than 100 parents"), "{faults:?}");
    }
}
