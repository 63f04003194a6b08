//! Entity files, JSON arrays or NDJSON, to entities for the store; every fault of every file at once.
//!
//! An entity is read by our own reader. What that refuses Cedar is asked about: its message is the fault,
//! and should it take the entity after all, so do we, and count it.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;

use cedar_policy::{Entities, Entity};
use serde_json::Value;
use serde_json::value::RawValue;

use super::batch::is_action;
use super::graph::{GraphFault, check};
use super::index::Table;
use super::json::{entity_has_unknown, entity_ref};
use super::symbol::hash_text;
use super::typed::Typed;
use super::{Batch, EntityStore, NewEntity, wire};
use crate::fault::{Fault, Faults, Place, chain};
use crate::json;
use crate::policy::schema::SchemaSet;
use crate::policy::source::Form;
use crate::policy::source::SourceFile;
use crate::policy::{json_fault, offset_in};
use crate::threads::spawn;

/// Faults reported for one load; a file of a million bad lines needs no million messages.
const MAX_FAULTS: usize = 100;
/// Nesting of the JSON of an entity.
const JSON_DEPTH: usize = 127;
/// Entities that are read before they are added; between them the memory for reading is free again.
const AT_ONCE: usize = 50_000;
/// Entities that are not worth another thread.
const FEW: usize = 1_000;
/// Stack of a reading thread, in bytes; it reads JSON of bounded depth.
const STACK: usize = 2 << 20;

/// Where entities come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Material<'a> {
    pub(crate) files: &'a [&'a SourceFile],
    /// Entities that Cedar holds already.
    pub(crate) parsed: &'a [Entities],
    /// Entities in Cedar's JSON form that stand in place of those of the same id.
    pub(crate) given: &'a [Value],
    /// The text of entities that were written through the API; no file may have one of their ids.
    pub(crate) written: &'a [String],
    /// With a schema every entity must conform, and the schema's actions are added.
    pub(crate) schema: Option<&'a SchemaSet>,
    /// Edges of the longest chain of parents.
    pub(crate) max_depth: usize,
}

/// Entities that were read.
#[derive(Debug)]
pub(crate) struct Loaded {
    batch: Batch,
    written: Batch,
    by_cedar: u64,
}

impl Loaded {
    /// Puts them into a store.
    pub(crate) fn store(&self, store: &EntityStore) -> Result<(), Faults> {
        if self.by_cedar > 0 {
            tracing::info!(entities = self.by_cedar, "read by Cedar's reader alone");
        }
        for batch in [&self.batch, &self.written] {
            if !batch.changes.is_empty() {
                let stored = store.apply(batch);
                stored.map_err(|error| Fault::new("entities", error.to_string()))?;
            }
        }
        Ok(())
    }
}

/// Reads everything and checks the graph.
pub(crate) fn load(material: &Material<'_>) -> Result<Loaded, Faults> {
    let mut loader = Loader {
        material,
        entities: Vec::new(),
        places: Vec::new(),
        index: Table::default(),
        faults: Faults::new(),
        by_cedar: 0,
    };
    for (at, file) in (0..).zip(material.files) {
        match file.form {
            Form::EntitiesJson => loader.array(at, file),
            Form::EntitiesNdjson => loader.lines(at, file),
            _ => {}
        }
    }
    loader.parsed();
    for json in material.given {
        match loader.read(json, || json.to_string()) {
            Ok(entity) => loader.replace(entity),
            Err(fault) => loader.faults.push(fault),
        }
    }
    let first_written = loader.entities.len();
    loader.written();
    loader.check_graph();
    let first_action = loader.entities.len();
    loader.actions();
    let (mut batch, mut written) = (Batch::new(), Batch::written());
    for (at, entity) in loader.entities.into_iter().enumerate() {
        if (first_written..first_action).contains(&at) {
            written.upsert(entity);
        } else {
            batch.upsert(entity);
        }
    }
    let by_cedar = loader.by_cedar;
    loader.faults.or(Loaded {
        batch,
        written,
        by_cedar,
    })
}

/// One entity that is to be written, read and checked as those of files are.
pub(crate) fn read_one(schema: Option<&SchemaSet>, json: &Value) -> Result<NewEntity, Fault> {
    known_members(json)?;
    read(schema, json, || json.to_string(), &AtomicU64::new(0))
}

/// What Cedar holds, spelled out.
pub(crate) fn spell_out(entity: &Entity) -> Result<NewEntity, Fault> {
    let json = entity
        .to_json_value()
        .map_err(|error| Fault::from_cedar("entities", &error, None))?;
    NewEntity::from_json(0, &json).map_err(|error| Fault::new("entities", error.to_string()))
}

const MEMBERS: [&str; 4] = ["uid", "attrs", "parents", "tags"];

/// Where an entity stands: the number of its file, and offset and length in it.
type Spot = (u32, usize, usize);

struct Loader<'a> {
    material: &'a Material<'a>,
    entities: Vec<NewEntity>,
    places: Vec<Option<Spot>>,
    /// Places in `entities` by id.
    index: Table,
    faults: Faults,
    by_cedar: u64,
}

fn hash(ty: &str, id: &str) -> u64 {
    hash_text(hash_text(0, ty), id)
}

impl Loader<'_> {
    fn array(&mut self, number: u32, file: &SourceFile) {
        let text = &file.source.text;
        match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(items) => {
                let items: Vec<&str> = items.into_iter().map(RawValue::get).collect();
                self.entities(number, text, &items);
            }
            Err(error) => self.faults.push(json_fault("entities", &error, file).help(
                "an entities file is a JSON array of {\"uid\", \"attrs\", \"parents\"}, or one such \
                 object a line in a file named `*.ndjson`",
            )),
        }
    }

    fn lines(&mut self, number: u32, file: &SourceFile) {
        let text = &file.source.text;
        let items = text.lines().map(str::trim).filter(|item| !item.is_empty());
        let items: Vec<&str> = items.collect();
        self.entities(number, text, &items);
    }

    /// Reads the entities of a text on all cores, some at a time.
    fn entities(&mut self, number: u32, text: &str, items: &[&str]) {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let (material, by_cedar) = (self.material, AtomicU64::new(0));
        for some in items.chunks(AT_ONCE) {
            let read = |part: &[&str]| -> Vec<Result<NewEntity, Fault>> {
                let each = part.iter();
                each.map(|item| read_text(material.schema, item, &by_cedar))
                    .collect()
            };
            let parts: Vec<_> = some.chunks(some.len().div_ceil(cores).max(FEW)).collect();
            let results: Vec<Vec<_>> = match parts.as_slice() {
                [one] => vec![read(one)],
                many => std::thread::scope(|scope| {
                    let start = |part| spawn(scope, "deodar-read", STACK, move || read(part));
                    let threads: Vec<_> = many.iter().map(|part| start(*part)).collect();
                    let joined = threads.into_iter().zip(many);
                    // This thread reads what no thread was started for or what made one panic.
                    joined
                        .map(|(thread, part)| match thread.map(ScopedJoinHandle::join) {
                            Ok(Ok(done)) => done,
                            Ok(Err(_)) | Err(_) => read(part),
                        })
                        .collect()
                }),
            };
            for (item, result) in some.iter().zip(results.into_iter().flatten()) {
                if self.faults.len() >= MAX_FAULTS {
                    return;
                }
                let length = item.lines().next().map_or(0, str::len);
                let spot = (number, offset_in(text, item), length);
                match result {
                    Ok(entity) => self.add(entity, Some(spot)),
                    Err(fault) => {
                        let fault = match self.place(spot) {
                            Some(place) => fault.at(place),
                            None => fault,
                        };
                        self.faults.push(fault);
                    }
                }
            }
        }
        self.by_cedar += by_cedar.into_inner();
    }

    fn read(&mut self, json: &Value, text: impl Fn() -> String) -> Result<NewEntity, Fault> {
        let by_cedar = AtomicU64::new(0);
        let read = read(self.material.schema, json, text, &by_cedar);
        self.by_cedar += by_cedar.into_inner();
        read
    }

    fn parsed(&mut self) {
        let has_schema = self.material.schema.is_some();
        for entities in self.material.parsed {
            for entity in entities.iter() {
                // A set built with a schema holds the schema's actions already.
                if has_schema && is_action(&entity.uid().type_name().to_string()) {
                    continue;
                }
                let json = entity.to_json_value();
                let json = json.map_err(|error| Fault::new("entities", chain(&error)));
                match json.and_then(|json| self.read(&json, || json.to_string())) {
                    Ok(entity) => self.add(entity, None),
                    Err(fault) => self.faults.push(fault),
                }
            }
        }
    }

    fn written(&mut self) {
        let by_cedar = AtomicU64::new(0);
        for text in self.material.written {
            if self.faults.len() >= MAX_FAULTS {
                return;
            }
            match read_text(self.material.schema, text, &by_cedar) {
                Ok(entity) => match self.find(&entity.uid.0, &entity.uid.1) {
                    Some(first) => self.written_and_in_a_file(&entity, first),
                    None => self.add(entity, None),
                },
                Err(fault) => self.faults.push(
                    Fault::new(
                        "api_entity",
                        format!(
                            "{}, which was written through the API, does not fit any more: {}",
                            name_in(text),
                            fault.message()
                        ),
                    )
                    .help("write it anew or delete it through the API first, then reload"),
                ),
            }
        }
        self.by_cedar += by_cedar.into_inner();
    }

    fn written_and_in_a_file(&mut self, entity: &NewEntity, first: usize) {
        let (ty, id) = &entity.uid;
        let name = format!("{ty}::\"{}\"", id.escape_debug());
        let message = format!("entity `{name}` is in a file, and was written through the API");
        let mut fault = Fault::new("managed_by_api", message)
            .help("take it out of the file, or delete it through the API and reload");
        let spot = self.places.get(first).copied().flatten();
        if let Some(place) = spot.and_then(|spot| self.place(spot)) {
            fault = fault.at(place);
        }
        self.faults.push(fault);
    }

    /// The schema's actions, in place of what was read for them.
    fn actions(&mut self) {
        let schema = self.material.schema.map(|schema| &schema.schema);
        let Some(Ok(actions)) = schema.map(cedar_policy::Schema::action_entities) else {
            return;
        };
        for action in actions.iter() {
            match spell_out(action) {
                Ok(action) => self.replace(action),
                Err(fault) => self.faults.push(fault),
            }
        }
    }

    fn find(&self, ty: &str, id: &str) -> Option<usize> {
        let found = self.index.find(hash(ty, id), |at| {
            let known = self.entities.get(at as usize);
            known.is_some_and(|entity| entity.uid.0 == ty && entity.uid.1 == id)
        });
        found.map(|at| at as usize)
    }

    fn add(&mut self, entity: NewEntity, spot: Option<Spot>) {
        let (ty, id) = &entity.uid;
        if let Some(first) = self.find(ty, id) {
            let name = format!("{ty}::\"{}\"", id.escape_debug());
            let message = format!("entity `{name}` is given twice");
            let mut fault = Fault::new("duplicate_entity", message).help("keep one of them");
            let first = self.places.get(first).copied().flatten();
            for (spot, label) in [(spot, "second time"), (first, "first time")] {
                if let Some(mut place) = spot.and_then(|spot| self.place(spot)) {
                    place.label = Some(label.to_owned());
                    fault = fault.at(place);
                }
            }
            return self.faults.push(fault);
        }
        let at = u32::try_from(self.entities.len()).unwrap_or(u32::MAX);
        self.index.insert(hash(ty, id), at);
        self.entities.push(entity);
        self.places.push(spot);
    }

    /// Adds an entity, in place of what was read under its id.
    fn replace(&mut self, entity: NewEntity) {
        match self.find(&entity.uid.0, &entity.uid.1) {
            Some(at) => {
                if let Some(known) = self.entities.get_mut(at) {
                    *known = entity;
                }
            }
            None => self.add(entity, None),
        }
    }

    fn place(&self, (number, offset, length): Spot) -> Option<Place> {
        let file = self.material.files.get(number as usize)?;
        Some(Place {
            source: file.source.clone(),
            offset,
            length,
            label: None,
        })
    }

    /// Refuses cycles, and chains of parents beyond the bound: what a decision walks is bounded.
    fn check_graph(&mut self) {
        let max_depth = self.material.max_depth;
        let parent = |node: usize, nth: usize| {
            let (ty, id) = self.entities.get(node)?.parents.get(nth)?;
            Some(self.find(ty, id))
        };
        let Err(fault) = check(self.entities.len(), parent, max_depth) else {
            return;
        };
        let name = |at: &usize| {
            let (ty, id) = &self.entities.get(*at)?.uid;
            Some(format!("{ty}::\"{}\"", id.escape_debug()))
        };
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
        let spot = at.and_then(|at| self.places.get(at).copied().flatten());
        if let Some(place) = spot.and_then(|spot| self.place(spot)) {
            fault = fault.at(place);
        }
        self.faults.push(fault);
    }
}

/// One entity from its text.
fn read_text(
    schema: Option<&SchemaSet>,
    text: &str,
    by_cedar: &AtomicU64,
) -> Result<NewEntity, Fault> {
    let typed = schema.map(|schema| Typed(&schema.model));
    if let Some(entity) = wire::read(text, typed) {
        return Ok(entity);
    }
    match json::read(text.as_bytes(), JSON_DEPTH) {
        Ok(json) => {
            known_members(&json)?;
            read(schema, &json, || text.to_owned(), by_cedar)
        }
        Err(faults) => {
            let schema = schema.map(|schema| &schema.schema);
            Err(match Entity::from_json_str(text, schema) {
                Err(error) => Fault::from_cedar("entities", &error, None),
                Ok(_) => {
                    let first = faults.first().map(ToString::to_string).unwrap_or_default();
                    Fault::new("entities", first)
                }
            })
        }
    }
}

/// One entity; `text` is its JSON, should Cedar have to be asked.
fn read(
    schema: Option<&SchemaSet>,
    json: &Value,
    text: impl Fn() -> String,
    by_cedar: &AtomicU64,
) -> Result<NewEntity, Fault> {
    let ours = match schema {
        Some(schema) => NewEntity::from_json_as(0, json, Typed(&schema.model)),
        None => NewEntity::from_json(0, json),
    };
    if let Ok(entity) = ours {
        return Ok(entity);
    }
    let schema = schema.map(|schema| &schema.schema);
    let entity = Entity::from_json_str(text(), schema)
        .map_err(|error| Fault::from_cedar("entities", &error, None))?;
    if entity_has_unknown(json) {
        return Err(Fault::new("entities", "`unknown` is not a value"));
    }
    if !is_action(&entity.uid().type_name().to_string()) {
        by_cedar.fetch_add(1, Ordering::Relaxed);
    }
    spell_out(&entity)
}

/// The name of an entity that cannot be read.
fn name_in(text: &str) -> String {
    let json: Option<Value> = serde_json::from_str(text).ok();
    let uid = json
        .as_ref()
        .and_then(|json| entity_ref(json.get("uid")?).ok());
    uid.map_or_else(
        || "an entity".to_owned(),
        |(ty, id)| format!("`{ty}::\"{}\"`", id.escape_debug()),
    )
}

/// Cedar ignores other members, and `tag` for `tags` would lose them in silence.
fn known_members(json: &Value) -> Result<(), Fault> {
    let names = json.as_object().into_iter().flatten();
    for (name, _) in names {
        if !MEMBERS.contains(&name.as_str()) {
            let message = format!("unknown member `{}`", json::shown(name));
            return Err(Fault::new("entities", message)
                .help("an entity is {\"uid\", \"attrs\", \"parents\", \"tags\"?}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> SourceFile {
        let form = Form::of_file(crate::policy::source::Kind::Entities, name);
        SourceFile::new(name, name, text, form)
    }

    fn read(files: &[SourceFile], max_depth: usize) -> Result<Loaded, Faults> {
        let files: Vec<&SourceFile> = files.iter().collect();
        load(&Material {
            files: &files,
            parsed: &[],
            given: &[],
            written: &[],
            schema: None,
            max_depth,
        })
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
        let store = EntityStore::new();
        read(&files, 100).unwrap().store(&store).unwrap();
        let version = store.version();
        let uid = |id: &str| version.find("G", id).unwrap();
        assert!(
            version
                .ancestors(uid("1"), usize::MAX)
                .unwrap()
                .contains(&uid("3"))
        );
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
        let faults = read(&files, 100).unwrap_err();
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
        let faults = read(&[file("a.ndjson", &cycle)], 100).unwrap_err();
        assert!(faults.summary().contains("their own ancestors"), "{faults}");
        let chain: Vec<_> = (0..100_000).map(|n| entity(n, Some(n + 1))).collect();
        let faults = read(&[file("a.ndjson", &chain.join("\n"))], 1_000).unwrap_err();
        assert!(
            faults.summary().contains("more than 1000 parents"),
            "{faults}"
        );
    }
}
