//! Entity files, JSON arrays or NDJSON, to one closed set; every fault of every file at once.

use std::collections::HashMap;

use cedar_policy::{Entities, Entity, EntityUid, Schema};
use serde_json::value::RawValue;

use super::graph::{GraphFault, check};
use super::{Batch, EntityStore, NewEntity};
use crate::fault::{Fault, Faults, Place};
use crate::policy::source::{Form, SourceFile};
use crate::policy::{json_fault, offset_in};

/// Faults reported for one load; a file of a million bad lines needs no million messages.
const MAX_FAULTS: usize = 100;

/// Reads the files, adds the entities handed over already parsed, checks the graph and closes it.
/// With a schema every entity must conform, and the schema's actions are added.
pub(crate) fn load(
    files: &[SourceFile],
    parsed: &[Entities],
    schema: Option<&Schema>,
    max_depth: usize,
) -> Result<Entities, Faults> {
    let mut loader = Loader {
        schema,
        entities: Vec::new(),
        places: Vec::new(),
        index: HashMap::new(),
        faults: Faults::new(),
    };
    for file in files {
        match file.form {
            Form::EntitiesJson => loader.array(file),
            Form::EntitiesNdjson => loader.lines(file),
            _ => {}
        }
    }
    for entities in parsed {
        for entity in entities.iter() {
            // A set built with a schema holds the schema's actions already.
            let action = schema.is_some() && is_action(&entity.uid());
            if !action {
                loader.add(entity.clone(), None);
            }
        }
    }
    let loader = loader.checked(max_depth)?;
    Entities::from_entities(loader.entities, schema)
        .map_err(|error| Fault::from_cedar("entities", &error, None).into())
}

/// Puts `given` (entities in Cedar's JSON form) in place of stored entities of the same id.
pub(crate) fn replace(
    stored: Entities,
    given: &[serde_json::Value],
    schema: Option<&Schema>,
) -> Result<Entities, Faults> {
    let fault =
        |error: &dyn miette::Diagnostic| Faults::from(Fault::from_cedar("entities", error, None));
    let mut entities = Vec::with_capacity(given.len());
    for value in given {
        let entity = Entity::from_json_value(value.clone(), schema).map_err(|e| fault(&e))?;
        entities.push(entity);
    }
    stored
        .upsert_entities(entities, schema)
        .map_err(|error| fault(&error))
}

/// Puts what Cedar holds into the store that the compiled engine reads.
pub(crate) fn fill(store: &EntityStore, entities: &Entities) -> Result<(), Faults> {
    let mut batch = Batch::new();
    for (at, entity) in entities.iter().enumerate() {
        let json = entity
            .to_json_value()
            .map_err(|error| Faults::from(Fault::from_cedar("entities", &error, None)))?;
        let entity = NewEntity::from_json(at, &json)
            .map_err(|error| Faults::from(Fault::new("entities", error.to_string())))?;
        batch.upsert(entity);
    }
    store
        .apply(&batch)
        .map(|_| ())
        .map_err(|error| Fault::new("entities", error.to_string()).into())
}

fn is_action(uid: &EntityUid) -> bool {
    uid.type_name().basename() == "Action"
}

/// The members of an entity: Cedar ignores others, and `tag` for `tags` would lose them in silence.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the names are looked at")]
struct Members {
    uid: serde::de::IgnoredAny,
    attrs: Option<serde::de::IgnoredAny>,
    parents: Option<serde::de::IgnoredAny>,
    tags: Option<serde::de::IgnoredAny>,
}

struct Loader<'a> {
    schema: Option<&'a Schema>,
    entities: Vec<Entity>,
    places: Vec<Option<Place>>,
    index: HashMap<EntityUid, usize>,
    faults: Faults,
}

impl Loader<'_> {
    fn array(&mut self, file: &SourceFile) {
        let text = &file.source.text;
        match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(items) => {
                for item in items {
                    self.entity(file, item.get(), offset_in(text, item.get()));
                }
            }
            Err(error) => self.faults.push(json_fault("entities", &error, file).help(
                "an entities file is a JSON array of {\"uid\", \"attrs\", \"parents\"}, or one such \
                 object a line in a file named `*.ndjson`",
            )),
        }
    }

    fn lines(&mut self, file: &SourceFile) {
        let text = &file.source.text;
        for line in text.lines() {
            let item = line.trim();
            if !item.is_empty() {
                self.entity(file, item, offset_in(text, item));
            }
        }
    }

    fn entity(&mut self, file: &SourceFile, text: &str, offset: usize) {
        if self.faults.len() >= MAX_FAULTS {
            return;
        }
        let place = Place {
            source: file.source.clone(),
            offset,
            length: text.lines().next().map_or(0, str::len),
            label: None,
        };
        let known = serde_json::from_str::<Members>(text).map_err(|error| {
            let message = error.to_string();
            let at = message.rfind(" at line").unwrap_or(message.len());
            Fault::new("entities", message.get(..at).unwrap_or_default())
                .help("an entity is {\"uid\", \"attrs\", \"parents\", \"tags\"?}")
        });
        let read = known.and_then(|_| {
            Entity::from_json_str(text, self.schema)
                .map_err(|error| Fault::from_cedar("entities", &error, None))
        });
        match read {
            Ok(entity) => self.add(entity, Some(place)),
            Err(fault) => self.faults.push(fault.at(place)),
        }
    }

    fn add(&mut self, entity: Entity, place: Option<Place>) {
        let uid = entity.uid();
        if let Some(first) = self.index.get(&uid) {
            let mut fault =
                Fault::new("duplicate_entity", format!("entity `{uid}` is given twice"))
                    .help("keep one of them");
            let first = self.places.get(*first).cloned().flatten();
            for (place, label) in [(place, "second time"), (first, "first time")] {
                if let Some(mut place) = place {
                    place.label = Some(label.to_owned());
                    fault = fault.at(place);
                }
            }
            return self.faults.push(fault);
        }
        self.index.insert(uid, self.entities.len());
        self.entities.push(entity);
        self.places.push(place);
    }

    /// Refuses cycles and chains that Cedar's recursive closure would not survive.
    fn checked(mut self, max_depth: usize) -> Result<Self, Faults> {
        let parents: Vec<Vec<usize>> = self
            .entities
            .iter()
            .map(|entity| {
                let (_, _, parents) = entity.clone().into_inner();
                let known = parents.iter().filter_map(|uid| self.index.get(uid));
                known.copied().collect()
            })
            .collect();
        if let Err(fault) = check(&parents, max_depth) {
            let name = |at: &usize| self.entities.get(*at).map(|e| e.uid().to_string());
            let (at, message, help) = match &fault {
                GraphFault::Cycle(nodes) => {
                    let mut names: Vec<_> = nodes.iter().take(10).filter_map(name).collect();
                    if nodes.len() > 10 {
                        names.push("...".to_owned());
                    }
                    names.extend(nodes.first().and_then(name));
                    (
                        nodes.first().copied(),
                        format!("entities are their own ancestors: {}", names.join(" in ")),
                        "remove one of these parents".to_owned(),
                    )
                }
                GraphFault::TooDeep(at) => (
                    Some(*at),
                    format!(
                        "`{}` has a chain of more than {max_depth} parents",
                        name(at).unwrap_or_default()
                    ),
                    "shorten it or raise `limits.entity_parent_depth`".to_owned(),
                ),
            };
            let mut fault = Fault::new("entity_graph", message).help(help);
            if let Some(place) = at.and_then(|at| self.places.get(at).cloned().flatten()) {
                fault = fault.at(place);
            }
            self.faults.push(fault);
        }
        let faults = std::mem::take(&mut self.faults);
        faults.or(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> SourceFile {
        let form = Form::of_file(crate::policy::source::Kind::Entities, name);
        SourceFile::new(name, name, text, form)
    }

    fn entity(id: usize, parent: Option<usize>) -> String {
        let parents = parent.map_or(String::new(), |p| format!(r#"{{"type":"G","id":"{p}"}}"#));
        format!(r#"{{"uid":{{"type":"G","id":"{id}"}},"attrs":{{}},"parents":[{parents}]}}"#)
    }

    #[test]
    fn arrays_and_lines_make_one_set() {
        let files = [
            file("a.json", &format!("[{}]", entity(1, Some(2)))),
            file(
                "b.ndjson",
                &format!("{}\n\n{}\n", entity(2, Some(3)), entity(3, None)),
            ),
        ];
        let entities = load(&files, &[], None, 100).unwrap();
        let uid = |id: &str| format!("G::\"{id}\"").parse().unwrap();
        assert!(entities.is_ancestor_of(&uid("3"), &uid("1")));
    }

    #[test]
    fn every_fault_is_placed() {
        let files = [
            file(
                "a.ndjson",
                &format!("{}\n{{\"uid\":1}}\n{}", entity(1, None), entity(1, None)),
            ),
            file("b.json", "[{]"),
        ];
        let faults = load(&files, &[], None, 100).unwrap_err();
        let places: Vec<_> = faults
            .iter()
            .map(|f| (f.file().unwrap().to_owned(), f.position().unwrap().0))
            .collect();
        assert_eq!(
            places,
            [
                ("a.ndjson".to_owned(), 2),
                ("a.ndjson".to_owned(), 3),
                ("b.json".to_owned(), 1)
            ]
        );
    }

    #[test]
    fn cycles_and_endless_chains_are_refused() {
        let cycle = format!("{}\n{}", entity(1, Some(2)), entity(2, Some(1)));
        let faults = load(&[file("a.ndjson", &cycle)], &[], None, 100).unwrap_err();
        assert!(faults.summary().contains("their own ancestors"), "{faults}");
        let chain: Vec<_> = (0..100_000).map(|n| entity(n, Some(n + 1))).collect();
        let faults = load(&[file("a.ndjson", &chain.join("\n"))], &[], None, 1_000).unwrap_err();
        assert!(
            faults.summary().contains("more than 1000 parents"),
            "{faults}"
        );
    }
}
