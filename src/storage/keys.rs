//! API keys: who may call, with which rights, for how long.
//!
//! Authentication reads an index in memory and does no I/O; changes are on disk before they are in the
//! index. When a key was last used is written to the hour, by the way.

mod record;
mod token;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::StateDirError;
use super::database::Handle;
use super::error::Kind;
use super::revisions::open;
use crate::caller::Caller;
use crate::hex::hex;
use crate::timestamp::Timestamp;

pub(crate) use record::{ApiKey, KeyLimits, NewKey};
use record::{Stored, check};

/// JSON by id.
const API_KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("api_keys");

/// Uses are written down at most so often, in milliseconds.
const USED_EVERY: i64 = 3_600_000;
/// A key that was presented and is good.
#[derive(Debug, Clone)]
pub(crate) struct KeyMatch {
    #[allow(dead_code, reason = "for records, which so far name callers only")]
    pub(crate) key: Arc<ApiKey>,
    /// The caller it stands for.
    pub(crate) caller: Caller,
}

/// Why a presented key is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyRefused {
    /// There is no such key; nothing else is told to who does not know its secret.
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
    /// A live key has the name.
    #[error("the key `{0}` has this name already; callers are told apart by it")]
    NameTaken(String),
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
            Self::NameTaken(_) => "key_name_taken",
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
        let mut index = Index::new();
        for (id, stored) in all {
            let stored = serde_json::from_slice(&stored).map_err(|error| {
                let message = format!("the API key `{id}` is damaged: {error}");
                handle.place().fail(Kind::Damaged, message)
            })?;
            index.insert(id, Entry::new(stored));
        }
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
        })
    }

    /// Every key, oldest first.
    pub(crate) fn list(&self) -> Vec<ApiKey> {
        let index = self.index.load();
        let mut keys: Vec<ApiKey> = index.values().map(|entry| entry.known()).collect();
        keys.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        keys
    }

    /// Makes a key. The second value is its text, which nobody can tell again.
    pub(crate) fn create(&self, new: NewKey, now: Timestamp) -> Result<(ApiKey, String), KeyError> {
        let _one_at_a_time = self.change();
        check(&new, now)?;
        let index = self.index.load_full();
        let live = |entry: &&Arc<Entry>| {
            entry.key.name == new.name && entry.key.revoked.is_none() && !entry.key.is_expired(now)
        };
        if let Some(taken) = index.values().find(live) {
            return Err(KeyError::NameTaken(taken.key.id.clone()));
        }
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

    /// Ends a key for good, at once.
    pub(crate) fn revoke(&self, id: &str, now: Timestamp) -> Result<ApiKey, KeyError> {
        let _one_at_a_time = self.change();
        let mut stored = self.live(id)?;
        stored.key.revoked = Some(now);
        stored.previous = None;
        let key = stored.key.clone();
        self.put(stored)?;
        Ok(key)
    }

    /// Forgets keys that were revoked or expired before an instant; how many. Nobody else does: a clock
    /// that runs ahead must not lose keys.
    pub(crate) fn purge(&self, before: Timestamp) -> Result<usize, KeyError> {
        let _one_at_a_time = self.change();
        let is_gone = |key: &ApiKey| {
            let ends = [key.revoked, key.expires];
            ends.into_iter().flatten().any(|end| end < before)
        };
        let (gone, kept): (Index, Index) = Index::clone(&self.index.load())
            .into_iter()
            .partition(|(_, entry)| is_gone(&entry.key));
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
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
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
        let written = stored.clone();
        self.handle.write(move |write| insert(write, &written))?;
        let mut index = Index::clone(&self.index.load());
        index.insert(stored.key.id.clone(), Entry::new(stored));
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
    fn new(stored: Stored) -> Arc<Self> {
        let key = &stored.key;
        let used = key.last_used.map_or(i64::MIN, Timestamp::as_millis);
        Arc::new(Self {
            key: Arc::new(key.clone()),
            caller: key.caller(),
            used: AtomicI64::new(used),
            stored,
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
    use super::super::{Store, StoreSettings};
    use super::*;
    use crate::caller::{Handles, InlineRule, Scope};

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
        keys.revoke(&key.id, at(2)).unwrap();
        assert_eq!(keys.find(&guess, at(3)).unwrap_err(), KeyRefused::Unknown);
        assert_eq!(keys.find(&text, at(3)).unwrap_err(), KeyRefused::Revoked);
        assert!(matches!(
            keys.revoke(&key.id, at(4)),
            Err(KeyError::Revoked(_))
        ));
        assert!(matches!(keys.revoke("x", at(4)), Err(KeyError::Unknown(_))));
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
        // Its name is free again, and it can be forgotten.
        store.keys().create(new("a"), at(100)).unwrap();
        assert_eq!(store.keys().purge(at(101)).unwrap(), 1);
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
        check(new(" "), "a name");
        check(new(&"x".repeat(201)), "200 bytes");
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
            "expired already",
        );
        let (key, _) = store.keys().create(new("a"), at(10)).unwrap();
        check(new("a"), &key.id);
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
