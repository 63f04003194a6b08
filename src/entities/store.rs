//! The store: one writer at a time builds the next version, everybody reads the last published one.
//!
//! Costs: a change copies the pages it touches (32 ids each) and the paths to them, whatever the size of
//! the store. A new parent costs a walk over the parent's ancestors (cycles) and nothing per descendant: the
//! closure is not kept, a decision walks upwards. A deletion costs its children, because Cedar's deletion
//! takes their edges to it away; without that a later entity of the same id would inherit members.
//!
//! Numbers are counted. Edges, values, policies and the entity itself each hold one use of an id; fields,
//! tags, ids and policies one of a name. What has no use is freed and its number given to the next new id or
//! name. Older versions keep what they had, since they own their pages. Compiled policies hold [`Pins`], which
//! are let go when the last policy set that owns them is gone and the store is written next.

use super::batch::{Batch, BatchError, Change, StoreLimits};
use super::convert::{Symbols, resolve_fields};
use super::idset::IdSet;
use super::symbol::{MAX_INDEX, Sym, Uid};
use super::version::{EntityVersion, Members, Parents, Slot};
use super::{Fields, Record, Value};
use crate::base::entity_ref::EntityKey;
use crate::base::hash;
use crate::base::hash::Keyed;
use crate::base::lock::lock;
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

/// Keeps the ids and names that compiled policies use alive in a store.
#[derive(Debug, Clone)]
pub(crate) struct Pins {
    _token: Arc<()>,
}

#[derive(Debug)]
struct Writer {
    version: EntityVersion,
    free: Vec<u32>,
    /// Uses of each name, by its number.
    name_uses: Vec<u32>,
    free_names: Vec<u32>,
    pins: Vec<(Weak<()>, Vec<Uid>, Vec<Sym>)>,
}

/// A store of entities.
#[derive(Debug)]
pub(crate) struct EntityStore {
    current: ArcSwap<EntityVersion>,
    writer: Mutex<Writer>,
}

impl Default for EntityStore {
    fn default() -> Self {
        Self::new()
    }
}

impl EntityStore {
    /// An empty store.
    pub(crate) fn new() -> Self {
        let version = EntityVersion {
            seed: hash::random(),
            store: hash::random(),
            ..EntityVersion::default()
        };
        Self {
            current: ArcSwap::from_pointee(version.clone()),
            writer: Mutex::new(Writer {
                version,
                free: Vec::new(),
                name_uses: Vec::new(),
                free_names: Vec::new(),
                pins: Vec::new(),
            }),
        }
    }

    /// The last published version.
    pub(crate) fn version(&self) -> Arc<EntityVersion> {
        self.current.load_full()
    }

    /// Applies all changes and publishes the result, or applies none.
    pub(crate) fn apply(&self, batch: &Batch) -> Result<Arc<EntityVersion>, BatchError> {
        self.apply_kept(batch, |_| Ok(()))
    }

    /// As [`EntityStore::apply`], once `keep` has taken what it is going to be.
    pub(crate) fn apply_kept<E: From<BatchError>>(
        &self,
        batch: &Batch,
        keep: impl FnOnce(&EntityVersion) -> Result<(), E>,
    ) -> Result<Arc<EntityVersion>, E> {
        let mut writer = self.lock();
        let mut edit = Edit::begin(&mut writer);
        edit.written = batch.written;
        for change in &batch.changes {
            edit.change(change)?;
        }
        edit.refuse_cycles()?;
        if let Some(most) = batch.max_depth {
            edit.refuse_deep(most)?;
        }
        if let Some(room) = &batch.room {
            edit.refuse_more(room)?;
        }
        keep(&edit.version)?;
        edit.commit();
        Ok(self.publish(&mut writer))
    }

    /// Lets `work` turn the text of policies into numbers, publishes them, and pins them.
    pub(crate) fn intern<R>(
        &self,
        work: impl FnOnce(&mut dyn Interning) -> R,
    ) -> (R, Pins, Arc<EntityVersion>) {
        let mut writer = self.lock();
        let mut edit = Edit::begin(&mut writer);
        let result = work(&mut edit);
        let mut pinned = std::mem::take(&mut edit.named);
        pinned.sort_unstable();
        pinned.dedup();
        for uid in &pinned {
            edit.add_use(*uid);
        }
        let mut names = std::mem::take(&mut edit.spoken);
        names.sort_unstable();
        names.dedup();
        for name in &names {
            edit.use_name(*name, 1);
        }
        edit.commit();
        let token = Arc::new(());
        writer.pins.push((Arc::downgrade(&token), pinned, names));
        (result, Pins { _token: token }, self.publish(&mut writer))
    }

    fn publish(&self, writer: &mut Writer) -> Arc<EntityVersion> {
        writer.version.sequence += 1;
        let published = Arc::new(writer.version.clone());
        self.current.store(Arc::clone(&published));
        published
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        lock(&self.writer)
    }
}

/// What the policy compiler needs of a store.
pub(crate) trait Interning {
    /// The number of a name.
    fn name(&mut self, text: &str) -> Sym;
    /// The number of an entity id.
    fn entity(&mut self, ty: &str, id: &str) -> Uid;
}

impl Interning for Edit<'_> {
    fn name(&mut self, text: &str) -> Sym {
        let name = Symbols::name(self, text);
        self.spoken.push(name);
        name
    }

    fn entity(&mut self, ty: &str, id: &str) -> Uid {
        let uid = Symbols::entity(self, ty, id);
        self.named.push(uid);
        uid
    }
}

/// A version being written, beside the one that is kept should it fail.
struct Edit<'w> {
    writer: &'w mut Writer,
    version: EntityVersion,
    /// How many of the free numbers were given out, of ids and of names.
    taken: usize,
    names_taken: usize,
    /// Uses that names gained and lost; every new name is among them.
    name_uses: HashMap<Sym, i64, Keyed>,
    /// Ids that may have lost their last use.
    unused: Vec<Uid>,
    /// Entities that got parents.
    moved: Vec<Uid>,
    /// Entities that were not stored before.
    new: Vec<Uid>,
    /// Whether entities come from the API.
    written: bool,
    /// Ids and names in policies.
    named: Vec<Uid>,
    spoken: Vec<Sym>,
    full: bool,
}

impl Symbols for Edit<'_> {
    fn name(&mut self, text: &str) -> Sym {
        if let Some(known) = self.version.find_name(text) {
            return known;
        }
        let waiting = self.writer.free_names.len();
        let free = waiting.checked_sub(self.names_taken + 1);
        let free = free.and_then(|at| self.writer.free_names.get(at)).copied();
        let Some(name) = self.version.names.insert(self.version.seed, text, free) else {
            self.full = true;
            return Sym::NONE;
        };
        self.names_taken += usize::from(free.is_some());
        self.name_uses.entry(name).or_default();
        name
    }

    fn entity(&mut self, ty: &str, id: &str) -> Uid {
        let key = EntityKey::from((ty, id));
        if let Some(known) = self.version.find(key) {
            return known;
        }
        let ty = Symbols::name(self, ty);
        let reused = self
            .writer
            .free
            .len()
            .checked_sub(self.taken + 1)
            .and_then(|at| self.writer.free.get(at));
        let at = if let Some(at) = reused {
            self.taken += 1;
            *at
        } else if self.version.slot_count > MAX_INDEX {
            self.full = true;
            return Uid::NONE;
        } else {
            self.version.slot_count += 1;
            self.version.slot_count - 1
        };
        *self.version.slots.get_mut(at) = Slot {
            text: id.into(),
            ty,
            ..Slot::default()
        };
        self.version.ids.insert(key.hash, (ty, id), at);
        self.use_name(ty, 1);
        self.unused.push(Uid::stored(at));
        Uid::stored(at)
    }
}

impl<'w> Edit<'w> {
    fn begin(writer: &'w mut Writer) -> Self {
        let gone: Vec<_> = writer
            .pins
            .extract_if(.., |(token, ..)| token.strong_count() == 0)
            .collect();
        let version = writer.version.clone();
        let mut edit = Self {
            writer,
            version,
            taken: 0,
            names_taken: 0,
            name_uses: HashMap::default(),
            unused: Vec::new(),
            moved: Vec::new(),
            new: Vec::new(),
            written: false,
            named: Vec::new(),
            spoken: Vec::new(),
            full: false,
        };
        if !gone.is_empty() {
            for (_, uids, names) in gone {
                uids.into_iter().for_each(|uid| edit.drop_use(uid));
                names.into_iter().for_each(|name| edit.use_name(name, -1));
            }
            edit.free_unused();
            edit.writer.version = edit.version.clone();
        }
        edit
    }

    fn use_name(&mut self, name: Sym, more: i64) {
        *self.name_uses.entry(name).or_default() += more;
    }

    /// Counts the names of fields and of what is in them.
    fn use_names(&mut self, fields: &Fields, more: i64) {
        for (name, value) in fields {
            self.use_name(*name, more);
            value.each_name(&mut |name| self.use_name(name, more));
        }
    }

    fn slot(&mut self, uid: Uid) -> &mut Slot {
        self.version.slots.get_mut(uid.index())
    }

    fn add_use(&mut self, uid: Uid) {
        let slot = self.slot(uid);
        slot.uses = slot.uses.saturating_add(1);
    }

    fn drop_use(&mut self, uid: Uid) {
        let slot = self.slot(uid);
        slot.uses = slot.uses.saturating_sub(1);
        if slot.uses == 0 {
            self.unused.push(uid);
        }
    }

    fn change(&mut self, change: &Change) -> Result<(), BatchError> {
        match change {
            Change::Upsert(entity) => {
                let uid = Symbols::entity(self, &entity.uid.0, &entity.uid.1);
                let attrs: Arc<Fields> = sorted(resolve_fields(&entity.attrs, self)).into();
                let tags = sorted(resolve_fields(&entity.tags, self));
                let tags = (!tags.is_empty()).then(|| Arc::new(tags.into_boxed_slice()));
                let parents: Vec<Uid> = entity
                    .parents
                    .iter()
                    .map(|(ty, id)| Symbols::entity(self, ty, id))
                    .collect();
                if self.full {
                    return Err(BatchError::Full);
                }
                self.set_data(uid, Some(attrs), tags);
                self.set_parents(uid, parents);
                if self.written {
                    self.version.written.insert(uid);
                } else {
                    self.version.written.remove(uid);
                }
            }
            Change::Delete((ty, id)) => {
                if let Some(uid) = self.version.find((ty.as_str(), id.as_str())) {
                    self.delete(uid);
                }
            }
        }
        if self.full {
            Err(BatchError::Full)
        } else {
            Ok(())
        }
    }

    /// Replaces attributes and tags; `None` for attributes takes the entity out.
    fn set_data(&mut self, uid: Uid, attrs: Option<Arc<Fields>>, tags: Option<Arc<Box<Fields>>>) {
        let named = |attrs: &Option<Arc<Fields>>, tags: &Option<Arc<Box<Fields>>>| {
            let mut named = Vec::new();
            let fields = attrs
                .iter()
                .flat_map(|fields| fields.iter())
                .chain(tags.iter().flat_map(|fields| fields.iter()));
            fields.for_each(|(_, value): &(Sym, Value)| {
                value.each_entity(&mut |uid| named.push(uid))
            });
            named
        };
        named(&attrs, &tags)
            .into_iter()
            .for_each(|uid| self.add_use(uid));
        let stored = attrs.is_some();
        for fields in [attrs.as_deref(), tags.as_deref().map(|tags| &**tags)] {
            self.use_names(fields.unwrap_or_default(), 1);
        }
        let slot = self.slot(uid);
        let ty = slot.ty;
        let old = (
            std::mem::replace(&mut slot.attrs, attrs),
            std::mem::replace(&mut slot.tags, tags),
        );
        named(&old.0, &old.1)
            .into_iter()
            .for_each(|uid| self.drop_use(uid));
        for fields in [old.0.as_deref(), old.1.as_deref().map(|tags| &**tags)] {
            self.use_names(fields.unwrap_or_default(), -1);
        }
        match (old.0.is_some(), stored) {
            (false, true) => {
                self.add_use(uid);
                self.version.stored += 1;
                self.members(ty).insert(uid);
                self.new.push(uid);
            }
            (true, false) => {
                self.drop_use(uid);
                self.version.stored -= 1;
                self.members(ty).remove(uid);
            }
            _ => {}
        }
    }

    fn members(&mut self, ty: Sym) -> &mut IdSet {
        let all = Arc::make_mut(&mut self.version.members);
        let at = match all.binary_search_by_key(&ty, |members| members.ty) {
            Ok(at) => at,
            Err(at) => {
                all.insert(
                    at,
                    Members {
                        ty,
                        ids: IdSet::default(),
                    },
                );
                at
            }
        };
        #[expect(
            clippy::indexing_slicing,
            reason = "INVARIANT: `at` was found or has just been filled"
        )]
        &mut all[at].ids
    }

    fn set_parents(&mut self, uid: Uid, parents: Vec<Uid>) {
        let new = Parents::new(parents);
        let old = std::mem::replace(&mut self.slot(uid).parents, new.clone());
        for parent in new
            .as_slice()
            .iter()
            .filter(|parent| !old.as_slice().contains(parent))
        {
            self.add_use(*parent);
            self.slot(*parent).children.insert(uid);
            self.moved.push(uid);
        }
        for parent in old
            .as_slice()
            .iter()
            .filter(|parent| !new.as_slice().contains(parent))
        {
            self.slot(*parent).children.remove(uid);
            self.drop_use(*parent);
        }
    }

    fn delete(&mut self, uid: Uid) {
        if self.version.entity(uid).is_none() {
            return;
        }
        self.set_parents(uid, Vec::new());
        let children: Vec<Uid> = self.version.children(uid).collect();
        for child in children {
            if self.written && !self.version.written.contains(child) {
                continue;
            }
            let parents = self
                .slot(child)
                .parents
                .as_slice()
                .iter()
                .copied()
                .filter(|parent| *parent != uid)
                .collect();
            self.set_parents(child, parents);
        }
        self.set_data(uid, None, None);
        self.version.written.remove(uid);
    }

    /// Refuses what makes the store larger than it may be; one that is too large already may shrink.
    fn refuse_more(&self, room: &StoreLimits) -> Result<(), BatchError> {
        let (before, after) = (&self.writer.version, &self.version);
        if after.len() > room.entities.max(before.len()) {
            return Err(BatchError::TooMany(room.entities));
        }
        let gone = self.name_uses.iter().filter(|(name, more)| {
            let uses = self.writer.name_uses.get(name.index() as usize);
            i64::from(uses.copied().unwrap_or(0)) + **more <= 0
        });
        if after.names.len() - gone.count() > room.names.max(before.names.len()) {
            return Err(BatchError::TooManyNames(room.names));
        }
        Ok(())
    }

    /// Looks at every chain that has become longer: above and below what is new or got parents.
    fn refuse_deep(&self, most: usize) -> Result<(), BatchError> {
        let version = &self.version;
        let is_stored = |uid: &Uid| version.entity(*uid).is_some();
        let above = |uid: Uid| -> Vec<Uid> {
            let parents = version
                .entity(uid)
                .map_or(&[][..], |entity| entity.parents());
            parents.iter().copied().filter(is_stored).collect()
        };
        let below = |uid: Uid| -> Vec<Uid> { version.children(uid).filter(is_stored).collect() };
        let (mut heights, mut depths) = (Heights::default(), Heights::default());
        for uid in self.moved.iter().chain(&self.new).copied() {
            if longest(uid, &mut heights, above) + longest(uid, &mut depths, below) > most {
                let (ty, id) = version.id_text(uid).unwrap_or_default();
                return Err(BatchError::TooDeep(ty.to_owned(), id.to_owned(), most));
            }
        }
        Ok(())
    }

    /// Depth first upwards from everything that got parents; a node met while it is open closes a cycle.
    fn refuse_cycles(&self) -> Result<(), BatchError> {
        let mut closed: HashMap<Uid, bool, Keyed> = HashMap::default();
        let mut open: Vec<(Uid, usize)> = Vec::new();
        for start in &self.moved {
            if closed.contains_key(start) {
                continue;
            }
            closed.insert(*start, false);
            open.push((*start, 0));
            while let Some((uid, next)) = open.last_mut() {
                let uid = *uid;
                let parents = self
                    .version
                    .slot(uid)
                    .map_or(&[][..], |slot| slot.parents.as_slice());
                if let Some(parent) = parents.get(*next).copied() {
                    *next += 1;
                    match closed.get(&parent) {
                        Some(true) => {}
                        Some(false) => {
                            let (ty, id) = self.version.id_text(parent).unwrap_or_default();
                            return Err(BatchError::Cycle(ty.to_owned(), id.to_owned()));
                        }
                        None => {
                            closed.insert(parent, false);
                            open.push((parent, 0));
                        }
                    }
                } else {
                    closed.insert(uid, true);
                    open.pop();
                }
            }
        }
        Ok(())
    }

    /// Frees the ids and names that nothing uses.
    fn free_unused(&mut self) {
        let seed = self.version.seed;
        for uid in std::mem::take(&mut self.unused) {
            let slot = self.slot(uid);
            if slot.uses == 0 && slot.ty != Sym::NONE {
                let gone = std::mem::take(slot);
                // INVARIANT: an id uses the name of its type until it is freed.
                let ty = self.version.names.text(gone.ty).unwrap_or_default();
                let hash = hash::entity(ty, &gone.text);
                let key = (gone.ty, gone.text.as_str());
                self.version.ids.remove(hash, key, uid.index());
                self.writer.free.push(uid.index());
                self.use_name(gone.ty, -1);
            }
        }
        for (name, more) in std::mem::take(&mut self.name_uses) {
            let at = name.index() as usize;
            let uses = &mut self.writer.name_uses;
            if uses.len() <= at && !name.is_local() {
                uses.resize(at + 1, 0);
            }
            let Some(uses) = uses.get_mut(at) else {
                continue;
            };
            let left = i64::from(*uses).saturating_add(more).max(0);
            *uses = u32::try_from(left).unwrap_or(u32::MAX);
            if left == 0 {
                self.version.names.remove(seed, name);
                self.writer.free_names.push(name.index());
            }
        }
    }

    fn commit(mut self) {
        let kept = self.writer.free.len() - self.taken;
        self.writer.free.truncate(kept);
        let kept = self.writer.free_names.len() - self.names_taken;
        self.writer.free_names.truncate(kept);
        (self.taken, self.names_taken) = (0, 0);
        self.free_unused();
        self.writer.version = self.version;
    }
}

type Heights = HashMap<Uid, usize, Keyed>;

/// Edges of the longest chain from `start` on; `known` holds what was found before. There is no cycle.
fn longest(start: Uid, known: &mut Heights, next: impl Fn(Uid) -> Vec<Uid>) -> usize {
    let mut open = vec![(start, next(start), 0)];
    while let Some((uid, waiting, height)) = open.last_mut() {
        let Some(after) = waiting.last().copied() else {
            let (uid, height) = (*uid, *height);
            known.insert(uid, height);
            open.pop();
            continue;
        };
        if let Some(there) = known.get(&after) {
            *height = (*height).max(there + 1);
            waiting.pop();
        } else {
            open.push((after, next(after), 0));
        }
    }
    known.get(&start).copied().unwrap_or(0)
}

fn sorted(fields: Vec<(Sym, Value)>) -> Vec<(Sym, Value)> {
    Record::new(fields).into_fields()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entities::NewEntity;
    use serde_json::json;

    fn upsert(id: &str, attrs: serde_json::Value) -> Batch {
        let mut batch = Batch::written();
        let json = json!({"uid": {"type": "T", "id": id}, "attrs": attrs, "parents": []});
        batch.upsert(NewEntity::from_json(0, &json).unwrap());
        batch
    }

    #[test]
    fn names_are_given_back_and_their_numbers_used_again() {
        let store = EntityStore::new();
        let mut most = 0;
        for round in 0..200 {
            for id in ["a", "b"] {
                let (first, second) = (format!("x{round}"), format!("y{round}"));
                let attrs = json!({ first: 1, "kept": [{ second: {"z": id} }] });
                most = most.max(store.apply(&upsert(id, attrs)).unwrap().names.len());
            }
        }
        // The type, `kept` and `z`, and two names that change of each entity, old and new.
        assert!(most <= 7, "{most}");
        let version = store.version();
        for (name, known) in [
            ("x199", true),
            ("y199", true),
            ("x198", false),
            ("kept", true),
        ] {
            assert_eq!(version.find_name(name).is_some(), known, "{name}");
        }
        let mut batch = Batch::written();
        batch.delete("T", "a").delete("T", "b");
        assert_eq!(store.apply(&batch).unwrap().names.len(), 0);
        // Who reads an older version reads its names.
        assert_eq!(
            version.names.text(version.find_name("x199").unwrap()),
            Some("x199")
        );
    }

    #[test]
    fn names_in_policies_stay_while_the_policies_do() {
        let store = EntityStore::new();
        let (name, pins, _) = store.intern(|symbols| {
            symbols.entity("T", "named");
            symbols.name("x0")
        });
        for round in 0..20 {
            let attrs = json!({ format!("x{round}"): 1 });
            let version = store.apply(&upsert("a", attrs)).unwrap();
            assert_eq!(version.find_name("x0"), Some(name));
            assert!(version.find(("T", "named")).is_some());
        }
        drop(pins);
        let version = store.apply(&upsert("a", json!({"other": 1}))).unwrap();
        assert_eq!(
            (version.find_name("x0"), version.find(("T", "named"))),
            (None, None)
        );
        assert_eq!(version.names.len(), 2);
    }

    #[test]
    fn a_batch_that_fails_takes_no_names_and_no_numbers() {
        let store = EntityStore::new();
        store.apply(&upsert("a", json!({"kept": 1}))).unwrap();
        for round in 0..10 {
            let mut batch = upsert("a", json!({ format!("gone{round}"): 1 }));
            let mut own_parent = NewEntity::new("T", "b");
            own_parent.parents = vec![("T".into(), "b".into())];
            batch.upsert(own_parent);
            assert!(store.apply(&batch).is_err());
            let names = &store.version().names;
            assert_eq!(names.len(), 2);
            assert!(store.version().find_name("kept").is_some());
        }
        let version = store.apply(&upsert("a", json!({"new": 1}))).unwrap();
        assert_eq!(version.names.len(), 2);
    }

    #[test]
    fn a_store_takes_no_more_than_it_has_room_for() {
        let store = EntityStore::new();
        let with_room = |mut batch: Batch, entities, names| {
            batch.room = Some(StoreLimits { entities, names });
            batch
        };
        let plain = |id: &str| upsert(id, json!({}));
        store.apply(&with_room(plain("a"), 1, 1)).unwrap();
        let more = store.apply(&with_room(plain("b"), 1, 10));
        assert_eq!(more.unwrap_err(), BatchError::TooMany(1));
        let more = store.apply(&with_room(upsert("a", json!({"x": 1, "y": 1})), 1, 2));
        assert_eq!(more.unwrap_err(), BatchError::TooManyNames(2));
        // A name that takes the place of another needs no room.
        for name in ["x", "y", "z"] {
            store
                .apply(&with_room(upsert("a", json!({ name: 1 })), 1, 2))
                .unwrap();
        }
        // A smaller limit than what is stored does not keep anybody from making it less.
        store.apply(&plain("b")).unwrap();
        let mut batch = Batch::written();
        batch.delete("T", "b");
        store.apply(&with_room(batch, 0, 0)).unwrap();
        assert_eq!(store.version().len(), 1);
    }
}
