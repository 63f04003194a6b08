//! Entity files, JSON arrays or NDJSON, to entities for the store; every fault of every file at once.
//!
//! An entity is read by our own reader. What that refuses Cedar is asked about: its message is the fault,
//! and should it take the entity after all, so do we, and count it.

use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;

use cedar_policy::pst::SmolStr;
use cedar_policy::{Entities, Entity};
use serde_json::value::RawValue as RawJson;
use serde_json::{Value, json};

use super::batch::is_action;
use super::graph::{GraphFault, check, core};
use super::index::Table;
use super::json::{entity_has_unknown, entity_ref};
use super::typed::Typed;
use super::{
    Batch, EntityStore, EntityVersion, Locals, NewEntity, Overlay, RequestSymbols, StoreLimits,
    wire,
};
use crate::base::fault::{Fault, Faults, Location, chain};
use crate::base::hash;
use crate::base::json;
use crate::base::threads::spawn;
use crate::schema::SchemaSet;
use crate::source::Form;
use crate::source::SourceFile;
use crate::source::json::{json_fault, offset_in};

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
    /// The text of entities that were written through the API. They never keep files from being loaded: see
    /// [`HeldBack`].
    pub(crate) written: &'a [String],
    /// With a schema every entity must conform, and the schema's actions are added.
    pub(crate) schema: Option<&'a SchemaSet>,
    /// Edges of the longest chain of parents.
    pub(crate) max_depth: usize,
    /// How much may be stored.
    pub(crate) room: Option<StoreLimits>,
}

/// Written entities that are at odds with the files or the schema. Whoever may write entities
/// must not be able to keep a policy from being published, so that none of this is a fault.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeldBack {
    /// Written entities whose ids files use as well: the files' entities decide.
    pub(crate) shadowed: HashSet<Name>,
    /// What to report about each, and of those that do not fit the schema or lost parents; at most
    /// [`MAX_FAULTS`].
    reasons: Vec<(Name, String)>,
    /// How many there are, those of which nothing is said among them.
    count: usize,
}

/// Type and id.
type Name = (SmolStr, SmolStr);

impl HeldBack {
    /// What to report about them, one sentence for each.
    pub(crate) fn reasons(&self) -> impl ExactSizeIterator<Item = &str> {
        self.reasons.iter().map(|(_, reason)| reason.as_str())
    }

    /// How many there are.
    #[cfg(feature = "server")]
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The same without these entities.
    pub(crate) fn without(&self, gone: &HashSet<(String, String)>) -> Self {
        let stays = |(ty, id): &Name| !gone.contains(&(ty.to_string(), id.to_string()));
        let shadowed = self.shadowed.iter().filter(|name| stays(name));
        let shadowed: HashSet<Name> = shadowed.cloned().collect();
        let reasons = self.reasons.iter().filter(|(name, _)| stays(name));
        Self {
            count: self.count - (self.shadowed.len() - shadowed.len()),
            reasons: reasons.cloned().collect(),
            shadowed,
        }
    }

    fn say(&mut self, name: &Name, reason: String) {
        self.count += 1;
        if self.reasons.len() < MAX_FAULTS {
            self.reasons.push((name.clone(), reason));
        }
    }
}

/// Entities that were read.
#[derive(Debug)]
pub(crate) struct Loaded {
    batch: Batch,
    written: Batch,
    by_cedar: u64,
    held_back: HeldBack,
}

impl Loaded {
    /// Written entities that do not go with the rest.
    pub(crate) fn held_back(&mut self) -> HeldBack {
        std::mem::take(&mut self.held_back)
    }

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
        index: Index::default(),
        faults: Faults::new(),
        by_cedar: 0,
        held_back: HeldBack::default(),
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
    loader.check_graph();
    loader.written();
    loader.check_written(first_written);
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
    // What was written had room when it was written: a store that is full must not stop a reload.
    batch.room = material.room;
    let by_cedar = loader.by_cedar;
    loader.faults.or(Loaded {
        batch,
        written,
        by_cedar,
        held_back: loader.held_back,
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

/// Places of entities in a list, by type and id; the names stay in the list.
#[derive(Default)]
struct Index {
    table: Table,
    /// Those that the table has no cell for.
    rest: BTreeMap<Name, u32>,
}

impl Index {
    fn find(&self, entities: &[NewEntity], name: &Name) -> Option<usize> {
        let is = |at: u32| {
            entities
                .get(at as usize)
                .is_some_and(|entity| entity.uid == *name)
        };
        let found = match self.table.find(hash::entity(&name.0, &name.1), is) {
            None if self.table.is_crowded() => self.rest.get(name).copied(),
            found => found,
        };
        found.map(|at| at as usize)
    }

    /// Adds the place of a name that is not there yet.
    fn insert(&mut self, name: &Name, at: usize) {
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        if !self.table.insert(hash::entity(&name.0, &name.1), at) {
            self.rest.insert(name.clone(), at);
        }
    }
}

struct Loader<'a> {
    material: &'a Material<'a>,
    entities: Vec<NewEntity>,
    places: Vec<Option<Spot>>,
    index: Index,
    faults: Faults,
    by_cedar: u64,
    held_back: HeldBack,
}

impl Loader<'_> {
    fn array(&mut self, number: u32, file: &SourceFile) {
        let text = &file.source.text;
        match serde_json::from_str::<Vec<&RawJson>>(text) {
            Ok(items) => {
                let items: Vec<&str> = items.into_iter().map(RawJson::get).collect();
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

    /// Adds what was written through the API. Where it is at odds with a file, the file decides; where it does
    /// not fit the schema any more, it is kept as it was written: what it is a member of may be what a forbid
    /// asks for. A policy that reads an attribute of another type errs.
    fn written(&mut self) {
        let by_cedar = AtomicU64::new(0);
        for text in self.material.written {
            let fits = read_text(self.material.schema, text, &by_cedar);
            let read = match &fits {
                Ok(entity) => Ok(entity.clone()),
                Err(_) => read_text(None, text, &by_cedar),
            };
            let entity = match read {
                Ok(entity) => entity,
                Err(fault) => {
                    let message = format!(
                        "{}, which was written through the API, cannot be read: {}",
                        name_in(text),
                        fault.message()
                    );
                    self.faults.push(Fault::new("api_entity", message));
                    continue;
                }
            };
            let name = shown(&entity.uid);
            if let Some(first) = self.find(&entity.uid) {
                let spot = self.places.get(first).copied().flatten();
                let place = spot.and_then(|spot| self.place(spot));
                let place = place.map_or_else(String::new, |place| {
                    let (line, column) = place.source.position(place.offset);
                    format!(" ({}:{line}:{column})", place.source.name)
                });
                self.held_back.say(&entity.uid, format!(
                    "{name} was written through the API and is in a file as well; the file's decides{place}"
                ));
                self.held_back.shadowed.insert(entity.uid);
                continue;
            }
            if let Err(fault) = &fits {
                self.held_back.say(&entity.uid, format!(
                    "{name}, which was written through the API, does not fit the schema: {}; it is kept as it \
                     was written",
                    fault.message()
                ));
            }
            self.add(entity, None);
        }
        self.by_cedar += by_cedar.into_inner();
    }

    /// Checks the graph that written entities make together with those of the files.
    fn check_written(&mut self, first_written: usize) {
        let has_some = first_written < self.entities.len() && self.faults.is_empty();
        if has_some && self.check(self.material.max_depth).is_err() {
            self.open_cycles(first_written);
            self.long_chains();
        }
    }

    /// Takes the parents that close cycles from the written entities: those of the files have none among
    /// themselves.
    fn open_cycles(&mut self, first_written: usize) {
        let numbers = |entity: &NewEntity| -> Vec<Option<usize>> {
            let parents = entity.parents.iter();
            parents.map(|parent| self.find(parent)).collect()
        };
        let parents: Vec<_> = self.entities.iter().map(numbers).collect();
        let known = parents.iter().map(|all| all.iter().copied().flatten());
        let core = core(&known.map(Iterator::collect).collect::<Vec<_>>());
        let in_core = |node: usize| core.get(node).copied().unwrap_or(false);
        let entities = self.entities.iter_mut().zip(parents).enumerate();
        let written = entities.skip(first_written);
        for (_, (entity, parents)) in written.filter(|(node, _)| in_core(*node)) {
            let before = entity.parents.len();
            let mut closes = parents
                .into_iter()
                .map(|parent| parent.is_some_and(in_core));
            entity.parents.retain(|_| closes.next() != Some(true));
            if entity.parents.len() < before {
                let reason = format!(
                    "{}, which was written through the API, would be its own ancestor; {} of its parents do not \
                     count",
                    shown(&entity.uid),
                    before - entity.parents.len()
                );
                self.held_back.say(&entity.uid, reason);
            }
        }
    }

    /// Says where written entities make a chain of parents longer than is allowed: each batch kept the bound, and
    /// so do the files, but not both together. Such a chain counts; it costs each decision that walks it.
    fn long_chains(&mut self) {
        let max_depth = self.material.max_depth;
        if let Err(GraphFault::TooDeep(at)) = self.check(max_depth)
            && let Some(uid) = self.entities.get(at).map(|entity| entity.uid.clone())
        {
            let reason = format!(
                "{} has a chain of more than {max_depth} parents, some of them written through the API; shorten \
                 it or raise `limits.entity_parent_depth`",
                shown(&uid)
            );
            self.held_back.say(&uid, reason);
        }
    }

    /// Looks for cycles, and for chains of more than `max_depth` parents.
    fn check(&self, max_depth: usize) -> Result<(), GraphFault> {
        let parent =
            |node: usize, nth: usize| Some(self.find(self.entities.get(node)?.parents.get(nth)?));
        check(self.entities.len(), parent, max_depth)
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

    fn find(&self, uid: &Name) -> Option<usize> {
        self.index.find(&self.entities, uid)
    }

    fn add(&mut self, entity: NewEntity, spot: Option<Spot>) {
        let (ty, id) = &entity.uid;
        if let Some(first) = self.find(&entity.uid) {
            let known = self.entities.get(first);
            // Dumps overlap: the same content twice is one entity.
            if known.is_some_and(|known| same(known, &entity)) {
                return;
            }
            let name = format!("{ty}::\"{}\"", id.escape_debug());
            let message = format!("entity `{name}` is given twice with different content");
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
        self.index.insert(&entity.uid, self.entities.len());
        self.entities.push(entity);
        self.places.push(spot);
    }

    /// Adds an entity, in place of what was read under its id.
    fn replace(&mut self, entity: NewEntity) {
        match self.find(&entity.uid) {
            Some(at) => {
                if let Some(known) = self.entities.get_mut(at) {
                    *known = entity;
                }
            }
            None => self.add(entity, None),
        }
    }

    fn place(&self, (number, offset, length): Spot) -> Option<Location> {
        let file = self.material.files.get(number as usize)?;
        Some(Location {
            source: file.source.clone(),
            offset,
            length,
            label: None,
        })
    }

    /// Refuses cycles, and chains of parents beyond the bound: what a decision walks is bounded.
    fn check_graph(&mut self) {
        let max_depth = self.material.max_depth;
        let Err(fault) = self.check(max_depth) else {
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

/// Whether two entities of one id say the same, whatever the order of their attributes, tags, parents and of
/// the elements of sets.
fn same(one: &NewEntity, other: &NewEntity) -> bool {
    let (version, mut locals) = (EntityVersion::default(), Locals::default());
    let mut symbols = RequestSymbols {
        version: &version,
        locals: &mut locals,
    };
    let mut both = Overlay::begin(&version);
    both.put(one, &mut symbols) && both.put(other, &mut symbols)
}

/// One entity from its text.
fn read_text(
    schema: Option<&SchemaSet>,
    text: &str,
    by_cedar: &AtomicU64,
) -> Result<NewEntity, Fault> {
    let typed = schema.map(|schema| Typed::new(&schema.model));
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
        Some(schema) => NewEntity::from_json_as(0, json, Typed::new(&schema.model)),
        None => NewEntity::from_json(0, json),
    };
    if let Ok(entity) = ours {
        return Ok(entity);
    }
    let schema = schema.map(|schema| &schema.schema);
    // Cedar requires members that may be left out here.
    let text = spelled_out(json).unwrap_or_else(text);
    let entity = Entity::from_json_str(text, schema)
        .map_err(|error| Fault::from_cedar("entities", &error, None))?;
    if entity_has_unknown(json) {
        return Err(Fault::new("entities", "`unknown` is not a value"));
    }
    if !is_action(&entity.uid().type_name().to_string()) {
        by_cedar.fetch_add(1, Ordering::Relaxed);
    }
    spell_out(&entity)
}

/// The JSON of an entity with the members that it leaves out; `None` where it has all of them.
fn spelled_out(json: &Value) -> Option<String> {
    let mut members = json.as_object()?.clone();
    let mut added = false;
    for (member, none) in [
        ("attrs", json!({})),
        ("parents", json!([])),
        ("tags", json!({})),
    ] {
        let known = members.get(member).filter(|value| !value.is_null());
        if known.is_none() && (member != "tags" || members.contains_key(member)) {
            members.insert(member.to_owned(), none);
            added = true;
        }
    }
    added.then(|| Value::Object(members).to_string())
}

/// The name of an entity that cannot be read.
fn name_in(text: &str) -> String {
    let json: Option<Value> = serde_json::from_str(text).ok();
    let uid = json
        .as_ref()
        .and_then(|json| entity_ref(json.get("uid")?).ok());
    uid.map_or_else(
        || "an entity".to_owned(),
        |(ty, id)| shown(&(ty.into(), id.into())),
    )
}

/// An entity as it is named in a sentence.
fn shown((ty, id): &Name) -> String {
    format!("`{ty}::\"{}\"`", id.escape_debug())
}

/// Cedar ignores other members, and `tag` for `tags` would lose them in silence.
fn known_members(json: &Value) -> Result<(), Fault> {
    let names = json.as_object().into_iter().flatten();
    for (name, _) in names {
        if !MEMBERS.contains(&name.as_str()) {
            let message = format!("unknown member `{}`", json::shown(name));
            return Err(Fault::new("entities", message)
                .help("an entity is {\"uid\", \"attrs\"?, \"parents\"?, \"tags\"?}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> SourceFile {
        let form = Form::of_file(crate::source::Kind::Entities, name);
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
            room: None,
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
        let uid = |id: &str| version.find(("G", id)).unwrap();
        assert!(
            version
                .above(uid("1"), &crate::base::meter::Meter::new(u64::MAX))
                .contains(&uid("3"))
        );
    }

    /// Dumps overlap: the same content is one entity, in whatever order it is written.
    #[test]
    fn the_same_entity_twice_is_one() {
        let one = r#"{"uid":{"type":"G","id":"1"},"attrs":{"a":[1,2],"b":{"c":1,"d":2}},"parents":[{"type":"G","id":"2"},{"type":"G","id":"3"}]}"#;
        let other = r#"{"parents":[{"type":"G","id":"3"},{"type":"G","id":"2"}],"uid":{"type":"G","id":"1"},"attrs":{"b":{"d":2,"c":1},"a":[2,1,2]}}"#;
        let files = [file("a.json", &format!("[{one}]")), file("b.ndjson", other)];
        let store = EntityStore::new();
        read(&files, 100).unwrap().store(&store).unwrap();
        assert_eq!(store.version().len(), 1);
        let differs = other.replace("\"d\":2", "\"d\":3");
        let files = [
            file("a.json", &format!("[{one}]")),
            file("b.ndjson", &differs),
        ];
        let faults = read(&files, 100).unwrap_err();
        let help = miette::Diagnostic::help(faults.iter().next().unwrap());
        assert!(help.unwrap().to_string().contains("a.json:1:2"));
    }

    /// Equal is what Cedar holds for equal: an empty set is not an empty record. The work follows the size.
    #[test]
    fn entities_are_compared_by_value_however_deep() {
        let with = |value: &str| {
            format!(r#"[{{"uid":{{"type":"G","id":"1"}},"attrs":{{"a":{value}}},"parents":[]}}]"#)
        };
        let twice = |one: &str, other: &str| {
            read(
                &[file("a.json", &with(one)), file("b.json", &with(other))],
                100,
            )
        };
        let deep = format!("{}\"x\"{}", "[{\"r\":".repeat(50), "}]".repeat(50));
        assert!(twice(&deep, &deep).is_ok());
        assert!(twice("[1,[2,3]]", "[[3,2,3],1]").is_ok());
        for (one, other) in [
            ("[]", "{}"),
            ("[[]]", "[{}]"),
            ("1", "\"1\""),
            (r#"{"__entity":{"type":"G","id":"2"}}"#, r#""G::\"2\"""#),
        ] {
            assert!(twice(one, other).is_err(), "{one} is not {other}");
        }
    }

    /// A file puts an entity under written ones: each alone is within the bound. Nothing keeps the file from being
    /// loaded, and what is too long is said.
    #[test]
    fn a_chain_across_files_and_written_entities_is_told() {
        let written: Vec<String> = (10..15).map(|n| entity(n, Some(n + 1))).collect();
        let chain: Vec<String> = (0..5).map(|n| entity(n, Some(n + 1))).collect();
        let load = |joined: bool| {
            let last = entity(5, joined.then_some(10));
            let files = [file("a.ndjson", &format!("{}\n{last}", chain.join("\n")))];
            let files: Vec<&SourceFile> = files.iter().collect();
            let mut loaded = load(&Material {
                files: &files,
                parsed: &[],
                given: &[],
                written: &written,
                schema: None,
                max_depth: 8,
                room: None,
            })
            .unwrap();
            let reasons: Vec<String> = loaded.held_back().reasons().map(str::to_owned).collect();
            reasons
        };
        assert!(load(false).is_empty());
        let reasons = load(true);
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        assert!(reasons[0].contains("more than 8 parents"), "{reasons:?}");
    }

    #[test]
    fn every_fault_is_placed() {
        let files = [
            file(
                "a.ndjson",
                &format!("{}\n{{\"uid\":1}}\n{}", entity(1, None), entity(1, Some(2))),
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
