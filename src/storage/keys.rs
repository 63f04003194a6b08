//! API keys: who may call, with which rights, for how long.
//!
//! Authentication reads an index in memory and does no I/O; changes are on disk before they are in the
//! index. When a key was last used is written to the hour, by the way.
//!
//! A key that another caller made is bound to it: its rights and its time are within its maker's, what it
//! asks counts for its maker too, and it is revoked with its maker.

mod bounds;
mod family;
mod record;
mod token;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use arc_swap::ArcSwap;
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::StateDirError;
use super::database::Handle;
use super::error::Kind;
use super::revisions::open;
use crate::base::caller::{Caller, folded};
use crate::base::hex::hex;
use crate::base::lock::lock;
use crate::base::timestamp::Timestamp;

use family::{check_room, made_by, makers};
pub(crate) use record::{ApiKey, KeyLimits, NewKey};
use record::{Maker, Stored, check};

/// JSON by id.
const API_KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("api_keys");

/// Uses are written down at most so often, in milliseconds.
const USED_EVERY: i64 = 3_600_000;
/// Keys that are kept, those that have ended among them.
pub(crate) const MOST_KEYS: usize = 10_000;
/// A key that was presented and holds.
#[derive(Debug, Clone)]
pub(crate) struct KeyMatch {
    pub(crate) key: Arc<ApiKey>,
    /// The caller it stands for, within what the keys above it may do.
    pub(crate) caller: Caller,
    /// The caller of the configuration that made it, or the first key above it. It bounds the key too.
    pub(crate) root: Option<Arc<str>>,
}

/// What happens to the keys that a revoked key made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    /// They are revoked with it, and so is what they made.
    Revoke,
    /// They stay, within the bounds that they have.
    Keep,
}

/// Why a presented key is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyRefused {
    /// No key has this id and secret.
    #[error("the key is not known")]
    Unknown,
    /// The key, or the secret that was rotated out, is past its end.
    #[error("the key has expired")]
    Expired,
    /// The key was revoked.
    #[error("the key was revoked")]
    Revoked,
}

/// Why a key was not made or changed.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum KeyError {
    /// What was asked for makes no key.
    #[error("{0}")]
    Invalid(String),
    /// A key has the name, or had it.
    #[error(
        "the key `{0}` has this name already, or one that differs in case only; the name of a key that has \
         ended is free again once `deodar keys purge` has forgotten it"
    )]
    NameTaken(String),
    /// The configuration gives the name a meaning.
    #[error("the name is reserved: {0}")]
    Reserved(&'static str),
    /// The key has, or would have, more than the caller who asks.
    #[error("{0}")]
    Exceeds(String),
    /// There is no room.
    #[error("{0}; `deodar keys purge` forgets keys that have ended")]
    Full(String),
    /// There is no key of this id.
    #[error("there is no key `{0}`")]
    Unknown(String),
    /// A key that was revoked stays so.
    #[error("the key `{0}` was revoked; create another one")]
    Revoked(String),
    /// It could not be written.
    #[error("{0}")]
    State(#[from] StateDirError),
}

impl KeyError {
    /// A stable name for the kind of error.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid_key",
            Self::NameTaken(_) | Self::Reserved(_) => "key_name_taken",
            Self::Exceeds(_) => "scope_required",
            Self::Full(_) => "too_many_keys",
            Self::Unknown(_) => "unknown_key",
            Self::Revoked(_) => "key_revoked",
            Self::State(error) => error.code(),
        }
    }
}

/// A key in the index.
#[derive(Debug)]
struct Entry {
    stored: Stored,
    key: Arc<ApiKey>,
    caller: Caller,
    root: Option<Arc<str>>,
    /// When its use was noted last, in milliseconds since the Unix epoch.
    used: AtomicI64,
}

type Index = HashMap<String, Arc<Entry>>;

/// All API keys.
#[derive(Debug)]
pub(crate) struct Keys {
    handle: Handle,
    index: ArcSwap<Index>,
    /// Held while keys are changed: one change at a time.
    changing: Mutex<()>,
}

impl Keys {
    pub(super) fn load(handle: Handle) -> Result<Self, StateDirError> {
        let all: Vec<(String, Vec<u8>)> = handle.read(|read| {
            let Some(table) = open(read, API_KEYS)? else {
                return Ok(Vec::new());
            };
            let mut all = Vec::new();
            for entry in table.iter()? {
                let (id, stored) = entry?;
                all.push((id.value().to_owned(), stored.value().to_vec()));
            }
            Ok(all)
        })?;
        let mut known: HashMap<String, Stored> = HashMap::new();
        for (id, stored) in all {
            let stored = serde_json::from_slice(&stored).map_err(|error| {
                let message = format!("the API key `{id}` is damaged: {error}");
                handle.place().fail(Kind::Damaged, message)
            })?;
            known.insert(id, stored);
        }
        let entry = |(id, stored): (&String, &Stored)| {
            let entry = Entry::new(stored, |id| known.get(id).map(|maker| &maker.key));
            (id.clone(), entry)
        };
        let index: Index = known.iter().map(entry).collect();
        Ok(Self {
            handle,
            index: ArcSwap::from_pointee(index),
            changing: Mutex::new(()),
        })
    }

    /// The key of this text. Takes the same time whether there is one of its id or not.
    pub(crate) fn find(&self, text: &str, now: Timestamp) -> Result<KeyMatch, KeyRefused> {
        const NOBODY: [u8; 32] = [0; 32];
        let index = self.index.load();
        let presented = token::parse(text);
        let (id, secret) = presented.unwrap_or(("", NOBODY));
        let hash = token::hash(&secret);
        let entry = index.get(id);
        let (secret, previous) = entry.map_or((&NOBODY, None), |entry| {
            (&entry.stored.secret, entry.stored.previous.as_ref())
        });
        let (previous, until) =
            previous.map_or((&NOBODY, i64::MIN), |(hash, until)| (hash, *until));
        let is_secret = hash.ct_eq(secret);
        let is_previous = hash.ct_eq(previous);
        let Some(entry) = entry.filter(|_| bool::from(is_secret | is_previous)) else {
            return Err(KeyRefused::Unknown);
        };
        if entry.key.revoked.is_some() {
            return Err(KeyRefused::Revoked);
        }
        let rotated_out = !bool::from(is_secret) && until <= now.as_millis();
        if rotated_out || entry.key.is_expired(now) {
            return Err(KeyRefused::Expired);
        }
        self.note_use(entry, now);
        Ok(KeyMatch {
            key: Arc::clone(&entry.key),
            caller: entry.caller.clone(),
            root: entry.root.clone(),
        })
    }

    /// Every key, oldest first.
    pub(crate) fn list(&self) -> Vec<ApiKey> {
        let index = self.index.load();
        let mut keys: Vec<ApiKey> = index.values().map(|entry| entry.known()).collect();
        keys.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        keys
    }

    /// How many keys are kept.
    pub(crate) fn count(&self) -> usize {
        self.index.load().len()
    }

    /// Keys that hold and whose names satisfy a condition, by id and name.
    pub(crate) fn named(&self, now: Timestamp, is: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let index = self.index.load();
        let holds = |key: &ApiKey| key.revoked.is_none() && !key.is_expired(now);
        let keys = index.values().map(|entry| &entry.key);
        keys.filter(|key| is(&key.name) && holds(key))
            .map(|key| (key.id.clone(), key.name.clone()))
            .collect()
    }

    /// Keys that hold and whose maker of the configuration is not there, by id and the maker's name.
    pub(crate) fn without_maker(
        &self,
        now: Timestamp,
        is_there: impl Fn(&str) -> bool,
    ) -> Vec<(String, Arc<str>)> {
        let index = self.index.load();
        let holds = |key: &ApiKey| key.revoked.is_none() && !key.is_expired(now);
        let entries = index.values().filter(|entry| holds(&entry.key));
        let roots = entries.filter_map(|entry| Some((entry.key.id.clone(), entry.root.clone()?)));
        roots.filter(|(_, root)| !is_there(root)).collect()
    }

    /// Checks that a caller may have the secret of a key, or end the key: it is the key's own caller, or it
    /// has all that the key has and was not made by it. One with limits of its own may do so only with keys that count for it,
    /// since each other key is further room.
    ///
    /// # Errors
    /// [`KeyError::Exceeds`] where it may not, [`KeyError::Unknown`] where there is no such key.
    pub(crate) fn may_change(&self, caller: &Caller, id: &str) -> Result<(), KeyError> {
        let index = self.index.load();
        let entry = index
            .get(id)
            .ok_or_else(|| KeyError::Unknown(id.to_owned()))?;
        if caller.is_owner() || entry.caller.id() == caller.id() {
            return Ok(());
        }
        if caller.bound_as().any(|maker| maker == entry.caller.id()) {
            let message = "the key is above yours: what it made does not change it".to_owned();
            return Err(KeyError::Exceeds(message));
        }
        bounds::covers(caller, &entry.key)?;
        if caller.is_bounded() && !made_by(&index, &entry.key, caller.id()) {
            return Err(KeyError::Exceeds(
                "a caller with limits of its own changes only keys that it made".to_owned(),
            ));
        }
        Ok(())
    }

    /// Makes a key for the owner of the state directory. The second value is its text, which is kept nowhere.
    pub(crate) fn create(&self, new: NewKey, now: Timestamp) -> Result<(ApiKey, String), KeyError> {
        self.make(new, None, now)
    }

    /// Makes a key for a caller, within what that caller may do.
    pub(crate) fn create_by(
        &self,
        new: NewKey,
        maker: &Caller,
        now: Timestamp,
    ) -> Result<(ApiKey, String), KeyError> {
        self.make(bounds::within(maker, new)?, Some(maker.id()), now)
    }

    fn make(
        &self,
        new: NewKey,
        made_by: Option<&str>,
        now: Timestamp,
    ) -> Result<(ApiKey, String), KeyError> {
        let _one_at_a_time = self.change();
        check(&new, now)?;
        let index = self.index.load_full();
        let name = folded(&new.name);
        let same = |entry: &&Arc<Entry>| folded(&entry.key.name) == name;
        if let Some(taken) = index.values().find(same) {
            return Err(KeyError::NameTaken(taken.key.id.clone()));
        }
        check_room(&index, made_by, now)?;
        let mut id = token::new_id().map_err(|error| self.no_random(error))?;
        while index.contains_key(&id) {
            id = token::new_id().map_err(|error| self.no_random(error))?;
        }
        let secret = token::new_secret().map_err(|error| self.no_random(error))?;
        let text = token::spell(&id, &secret);
        let key = ApiKey {
            id,
            name: new.name,
            scopes: new.scopes,
            inline: new.inline,
            handles: new.handles,
            limits: new.limits,
            created: now,
            expires: new.expires,
            last_used: None,
            revoked: None,
            made_by: made_by.map(str::to_owned),
        };
        self.put(Stored {
            key: key.clone(),
            secret: token::hash(&secret),
            previous: None,
        })?;
        Ok((key, text))
    }

    /// Gives a key a new secret; the present one is taken for `overlap` longer, one before it no more.
    pub(crate) fn rotate(
        &self,
        id: &str,
        overlap: Duration,
        now: Timestamp,
    ) -> Result<(ApiKey, String), KeyError> {
        let _one_at_a_time = self.change();
        let mut stored = self.live(id)?;
        if stored.key.is_expired(now) {
            let message = format!("the key `{id}` has expired; create another one");
            return Err(KeyError::Invalid(message));
        }
        let secret = token::new_secret().map_err(|error| self.no_random(error))?;
        let overlap = i64::try_from(overlap.as_millis()).unwrap_or(i64::MAX);
        let until = now.as_millis().saturating_add(overlap);
        let before = std::mem::replace(&mut stored.secret, token::hash(&secret));
        stored.previous = (overlap > 0).then_some((before, until));
        let key = stored.key.clone();
        self.put(stored)?;
        Ok((key, token::spell(id, &secret)))
    }

    /// Ends a key for good, at once, with the keys that it made unless those are to stay; the ids of those
    /// that ended with it.
    pub(crate) fn revoke(
        &self,
        id: &str,
        made: Made,
        now: Timestamp,
    ) -> Result<(ApiKey, Vec<String>), KeyError> {
        let _one_at_a_time = self.change();
        let mut first = self.live(id)?;
        first.key.revoked = Some(now);
        first.previous = None;
        let key = first.key.clone();
        let mut changed = vec![first];
        if made == Made::Revoke {
            let index = self.index.load();
            let identity = key.identity();
            let entries = index.values().filter(|entry| entry.key.revoked.is_none());
            for entry in entries.filter(|entry| made_by(&index, &entry.key, &identity)) {
                let mut stored = Stored {
                    key: entry.known(),
                    previous: None,
                    ..entry.stored.clone()
                };
                stored.key.revoked = Some(now);
                changed.push(stored);
            }
        }
        let ended = changed.iter().skip(1).map(|stored| stored.key.id.clone());
        let ended = ended.collect();
        self.put_all(changed)?;
        Ok((key, ended))
    }

    /// Forgets keys that were revoked or expired before an instant; how many. Nobody else does: a clock
    /// that runs ahead must not lose keys. A key that made one that stays stays too, because it bounds it.
    pub(crate) fn purge(&self, before: Timestamp) -> Result<usize, KeyError> {
        let _one_at_a_time = self.change();
        let is_gone = |key: &ApiKey| {
            let ends = [key.revoked, key.expires];
            ends.into_iter().flatten().any(|end| end < before)
        };
        let index = self.index.load();
        let stays = index.values().filter(|entry| !is_gone(&entry.key));
        let needed: HashSet<String> = stays
            .flat_map(|entry| makers(&entry.key, |id| index.get(id).map(|maker| &*maker.key)))
            .map(|maker| maker.id.clone())
            .collect();
        let (gone, kept): (Index, Index) = Index::clone(&index)
            .into_iter()
            .partition(|(id, entry)| is_gone(&entry.key) && !needed.contains(id));
        let purged = gone.len();
        self.handle.write(move |write| {
            let mut table = write.open_table(API_KEYS)?;
            for id in gone.keys() {
                table.remove(id.as_str())?;
            }
            Ok(())
        })?;
        self.index.store(Arc::new(kept));
        Ok(purged)
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        lock(&self.changing)
    }

    /// The key of this id, which was not revoked.
    fn live(&self, id: &str) -> Result<Stored, KeyError> {
        let index = self.index.load();
        let entry = index
            .get(id)
            .ok_or_else(|| KeyError::Unknown(id.to_owned()))?;
        if entry.key.revoked.is_some() {
            return Err(KeyError::Revoked(id.to_owned()));
        }
        Ok(Stored {
            key: entry.known(),
            ..entry.stored.clone()
        })
    }

    /// To disk first, then into the index.
    fn put(&self, stored: Stored) -> Result<(), StateDirError> {
        self.put_all(vec![stored])
    }

    fn put_all(&self, all: Vec<Stored>) -> Result<(), StateDirError> {
        let written = all.clone();
        self.handle
            .write(move |write| written.iter().try_for_each(|stored| insert(write, stored)))?;
        let mut index = Index::clone(&self.index.load());
        for stored in all {
            let id = stored.key.id.clone();
            let entry = Entry::new(&stored, |id| index.get(id).map(|maker| &*maker.key));
            index.insert(id, entry);
        }
        self.index.store(Arc::new(index));
        Ok(())
    }

    /// Notes a use, without waiting for it to be written.
    fn note_use(&self, entry: &Entry, now: Timestamp) {
        let (now, last) = (now.as_millis(), entry.used.load(Ordering::Relaxed));
        if now.saturating_sub(last) < USED_EVERY {
            return;
        }
        let mine = entry
            .used
            .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed);
        if mine.is_err() {
            return;
        }
        let id = entry.key.id.clone();
        self.handle.write_some_time(move |write| {
            let table = write.open_table(API_KEYS)?;
            let stored = table
                .get(id.as_str())?
                .map(|stored| stored.value().to_vec());
            drop(table);
            // A key that was purged meanwhile stays away.
            let stored = stored.and_then(|stored| serde_json::from_slice::<Stored>(&stored).ok());
            if let Some(mut stored) = stored {
                stored.key.last_used = Some(Timestamp::from_millis(now));
                insert(write, &stored)?;
            }
            Ok(())
        });
    }

    fn no_random(&self, error: getrandom::Error) -> StateDirError {
        let message = format!("no key can be made, the system gives no random bytes: {error}");
        self.handle.place().fail(Kind::Io, message)
    }
}

impl Entry {
    fn new<'a>(stored: &'a Stored, find: impl Fn(&str) -> Option<&'a ApiKey>) -> Arc<Self> {
        let key = &stored.key;
        let used = key.last_used.map_or(i64::MIN, Timestamp::as_millis);
        let makers: Vec<&ApiKey> = makers(key, find).collect();
        let first = makers.last().copied().unwrap_or(key);
        let root = match first.maker() {
            Maker::Configured(name) => Some(name.into()),
            _ => None,
        };
        let above = makers.iter().rev().fold(None, |above, maker| {
            let caller = maker.caller();
            Some(match &above {
                Some(above) => caller.under(above),
                None => caller,
            })
        });
        let caller = match &above {
            Some(above) => key.caller().under(above),
            None => key.caller(),
        };
        Arc::new(Self {
            key: Arc::new(key.clone()),
            caller,
            root,
            used: AtomicI64::new(used),
            stored: stored.clone(),
        })
    }

    /// The key with the use noted last.
    fn known(&self) -> ApiKey {
        let used = self.used.load(Ordering::Relaxed);
        ApiKey {
            last_used: (used > i64::MIN).then(|| Timestamp::from_millis(used)),
            ..ApiKey::clone(&self.key)
        }
    }
}

/// A key that is kept nowhere, and the SHA-256 of its text in hexadecimal, by which the configuration
/// names it.
pub(crate) fn for_configuration() -> Result<(String, String), getrandom::Error> {
    let text = token::spell(&token::new_id()?, &token::new_secret()?);
    let hash = Sha256::digest(text.as_bytes());
    Ok((text, hex(&hash)))
}

fn insert(write: &WriteTransaction, stored: &Stored) -> Result<(), redb::Error> {
    let json = serde_json::to_vec(stored).map_err(std::io::Error::from)?;
    let mut table = write.open_table(API_KEYS)?;
    table.insert(stored.key.id.as_str(), json.as_slice())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::family::DEEPEST;
    use super::*;
    use crate::base::caller::{Handles, InlineRule, Scope};
    use crate::storage::{Store, StoreSettings};

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn new(name: &str) -> NewKey {
        NewKey {
            name: name.to_owned(),
            scopes: vec!["decide".to_owned(), "entities:write".to_owned()],
            inline: InlineRule::Add,
            handles: ["log_access".to_owned()].into(),
            limits: Some(KeyLimits {
                requests_per_second: 5,
                ..KeyLimits::default()
            }),
            expires: None,
        }
    }

    fn open(path: &std::path::Path) -> Store {
        Store::open(path, StoreSettings::default()).unwrap()
    }

    #[test]
    fn a_key_is_a_caller_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let (key, text) = store.keys().create(new("billing"), at(0)).unwrap();
        drop(store);
        let store = open(dir.path());
        let found = store.keys().find(&text, at(1)).unwrap();
        assert_eq!(
            (found.key.id.as_str(), found.caller.name()),
            (key.id.as_str(), "billing")
        );
        assert!(found.caller.has(Scope::Decide) && found.caller.has(Scope::EntitiesWrite));
        assert!(!found.caller.has(Scope::KeysWrite));
        assert_eq!(found.caller.inline(), InlineRule::Add);
        assert_eq!(
            *found.caller.handles(),
            Handles::Only(["log_access".to_owned()].into())
        );
        assert_eq!(found.caller.limits().unwrap().requests_per_second, 5);
        let secret = &text[16..];
        for file in std::fs::read_dir(dir.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            let there = bytes
                .windows(20)
                .any(|part| part == &secret.as_bytes()[..20]);
            assert!(!there, "the secret is on disk");
        }
        assert!(!key.to_json().to_string().contains("secret"));
    }

    #[test]
    fn a_wrong_secret_is_unknown_whatever_the_key_is() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let keys = store.keys();
        let (key, text) = keys.create(new("a"), at(0)).unwrap();
        let guess = token::spell(&key.id, &[1; 32]);
        assert_eq!(keys.find(&guess, at(1)).unwrap_err(), KeyRefused::Unknown);
        let other = token::spell("aaaaaaaaaaaa", &[0; 32]);
        assert_eq!(keys.find(&other, at(1)).unwrap_err(), KeyRefused::Unknown);
        assert_eq!(keys.find("", at(1)).unwrap_err(), KeyRefused::Unknown);
        keys.revoke(&key.id, Made::Revoke, at(2)).unwrap();
        assert_eq!(keys.find(&guess, at(3)).unwrap_err(), KeyRefused::Unknown);
        assert_eq!(keys.find(&text, at(3)).unwrap_err(), KeyRefused::Revoked);
        assert!(matches!(
            keys.revoke(&key.id, Made::Revoke, at(4)),
            Err(KeyError::Revoked(_))
        ));
        let unknown = keys.revoke("x", Made::Revoke, at(4));
        assert!(matches!(unknown, Err(KeyError::Unknown(_))));
    }

    #[test]
    fn a_key_ends_when_it_expires() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let expires = Some(at(100));
        let (key, text) = store
            .keys()
            .create(
                NewKey {
                    expires,
                    ..new("a")
                },
                at(0),
            )
            .unwrap();
        assert!(store.keys().find(&text, at(99)).is_ok());
        assert_eq!(
            store.keys().find(&text, at(100)).unwrap_err(),
            KeyRefused::Expired
        );
        assert!(
            store
                .keys()
                .rotate(&key.id, Duration::ZERO, at(100))
                .is_err()
        );
        // Its name is free again once it is forgotten.
        let taken = store.keys().create(new("A"), at(100)).unwrap_err();
        assert!(matches!(taken, KeyError::NameTaken(_)), "{taken}");
        assert_eq!(store.keys().purge(at(101)).unwrap(), 1);
        store.keys().create(new("a"), at(100)).unwrap();
        drop(store);
        let store = open(dir.path());
        assert_eq!(
            store.keys().find(&text, at(0)).unwrap_err(),
            KeyRefused::Unknown
        );
        assert_eq!(store.keys().list().len(), 1);
    }

    #[test]
    fn a_rotated_secret_is_taken_for_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let keys = store.keys();
        let (key, first) = keys.create(new("a"), at(0)).unwrap();
        let (_, second) = keys
            .rotate(&key.id, Duration::from_millis(50), at(10))
            .unwrap();
        assert!(keys.find(&first, at(59)).is_ok() && keys.find(&second, at(59)).is_ok());
        assert_eq!(keys.find(&first, at(60)).unwrap_err(), KeyRefused::Expired);
        let (_, third) = keys.rotate(&key.id, Duration::ZERO, at(70)).unwrap();
        for old in [first, second] {
            assert_eq!(keys.find(&old, at(70)).unwrap_err(), KeyRefused::Unknown);
        }
        assert!(keys.find(&third, at(70)).is_ok());
    }

    #[test]
    fn a_key_that_cannot_be_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let check = |new: NewKey, expect: &str| {
            let error = store.keys().create(new, at(10)).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        for name in [
            " ",
            "a ",
            "\u{430}",
            "a\u{200b}",
            "Owner",
            "key:a",
            &"x".repeat(129),
        ] {
            check(new(name), "name");
        }
        let scopes = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        check(
            NewKey {
                scopes: scopes(&[]),
                ..new("a")
            },
            "needs a scope",
        );
        check(
            NewKey {
                scopes: scopes(&["entity:write"]),
                ..new("a")
            },
            "`entities:write`?",
        );
        check(
            NewKey {
                expires: Some(at(10)),
                ..new("a")
            },
            "in the past",
        );
        let (key, _) = store.keys().create(new("a"), at(10)).unwrap();
        check(new("a"), &key.id);
    }

    fn made(keys: &Keys, name: &str, maker: &Caller) -> (ApiKey, Caller) {
        let (key, text) = keys.create_by(new(name), maker, at(1)).unwrap();
        (key, keys.find(&text, at(1)).unwrap().caller)
    }

    #[test]
    fn a_key_counts_for_its_makers_and_ends_with_them() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let keys = store.keys();
        let (first, text) = keys.create(new("first"), at(0)).unwrap();
        let caller = keys.find(&text, at(1)).unwrap().caller;
        let (second, by_second) = made(keys, "second", &caller);
        let (third, by_third) = made(keys, "third", &by_second);
        assert_eq!(second.made_by, Some(first.identity()));
        let above: Vec<_> = by_third.bounded_makers().iter().map(|(id, _)| id).collect();
        assert_eq!(above, [&second.identity(), &first.identity()]);
        // Also after a restart.
        drop(store);
        let store = open(dir.path());
        let keys = store.keys();
        let index = keys.index.load();
        assert_eq!(index[&third.id].caller, by_third);
        let (other, _) = keys.create(new("other"), at(1)).unwrap();
        // It may not change what is above it or beside it, as it has limits of its own.
        assert!(keys.may_change(&by_second, &third.id).is_ok());
        assert!(keys.may_change(&by_second, &second.id).is_ok());
        let (_, text) = keys
            .create(
                NewKey {
                    limits: None,
                    ..new("free")
                },
                at(1),
            )
            .unwrap();
        let free = keys.find(&text, at(1)).unwrap().caller;
        let (child, _) = made(keys, "child", &free);
        let unlimited = NewKey {
            limits: None,
            ..new("unlimited")
        };
        let (_, text) = keys.create_by(unlimited, &free, at(1)).unwrap();
        let unlimited = keys.find(&text, at(1)).unwrap().caller;
        assert!(keys.may_change(&unlimited, &child.id).is_ok());
        assert!(
            keys.may_change(&unlimited, &free.id()["key:".len()..])
                .is_err()
        );
        for id in [&first.id, &other.id] {
            let error = keys.may_change(&by_second, id).unwrap_err();
            assert!(matches!(error, KeyError::Exceeds(_)), "{error}");
        }
        let (_, ended) = keys.revoke(&first.id, Made::Revoke, at(2)).unwrap();
        assert_eq!(ended.len(), 2);
        let index = keys.index.load();
        assert!(index[&third.id].key.revoked.is_some() && index[&other.id].key.revoked.is_none());
        let late = keys.create_by(new("late"), &by_third, at(3)).unwrap_err();
        assert!(matches!(late, KeyError::Revoked(_)), "{late}");
    }

    #[test]
    fn keys_may_stay_when_their_maker_is_revoked_and_are_bounded_as_before() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let keys = store.keys();
        let (first, text) = keys.create(new("first"), at(0)).unwrap();
        let caller = keys.find(&text, at(1)).unwrap().caller;
        let (second, by_second) = made(keys, "second", &caller);
        let (_, ended) = keys.revoke(&first.id, Made::Keep, at(2)).unwrap();
        assert!(ended.is_empty());
        // What bounds a key that stays is not forgotten.
        assert_eq!(keys.purge(at(10)).unwrap(), 0);
        drop(store);
        let store = open(dir.path());
        let index = store.keys().index.load();
        assert_eq!(index[&second.id].caller, by_second);
        assert_eq!(by_second.bounded_makers().len(), 1);
    }

    #[test]
    fn keys_of_one_maker_are_bounded_in_depth() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let keys = store.keys();
        let (_, text) = keys.create(new("k0"), at(0)).unwrap();
        let mut caller = keys.find(&text, at(1)).unwrap().caller;
        let mut depth = 0;
        let error = loop {
            depth += 1;
            match keys.create_by(new(&format!("k{depth}")), &caller, at(1)) {
                Ok((_, text)) => caller = keys.find(&text, at(1)).unwrap().caller,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, KeyError::Exceeds(_)), "{error}");
        assert_eq!(depth, DEEPEST);
        assert_eq!(caller.bounded_makers().len(), DEEPEST - 1);
    }

    #[test]
    fn a_use_is_noted_to_the_hour() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let (_, text) = store.keys().create(new("a"), at(0)).unwrap();
        let used = |store: &Store| store.keys().list()[0].last_used;
        assert_eq!(used(&store), None);
        store.keys().find(&text, at(5)).unwrap();
        store.keys().find(&text, at(5 + USED_EVERY - 1)).unwrap();
        assert_eq!(used(&store), Some(at(5)));
        store.keys().find(&text, at(5 + USED_EVERY)).unwrap();
        drop(store);
        assert_eq!(used(&open(dir.path())), Some(at(5 + USED_EVERY)));
    }
}
