//! Which events are kept already, by who said so and its id, so that a repetition counts once.
//!
//! What must hold: as many as are kept, and no more: an event that is forgotten is forgotten here too.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use sha2::{Digest, Sha256};

use super::shard::{PARTS, Reporter};
use super::window::Label;
use crate::base::lock::lock;

/// The name of an event in 16 bytes that nobody can make two events have.
pub(super) type Key = [u8; 16];

/// Sources by name that are kept once; more are kept as often as they occur.
const SOURCES: usize = 1_024;

/// The names of the events that are kept.
#[derive(Debug)]
pub(super) struct Dedup {
    parts: Box<[Mutex<HashSet<Key>>]>,
    /// Held while an event is taken in, so that a repetition at the same time waits for it.
    turns: Box<[Mutex<()>]>,
    /// Sources by name, each with its number.
    sources: Mutex<HashMap<Arc<str>, Reporter>>,
}

pub(super) fn key(source: &str, id: &str) -> Key {
    let mut hash = Sha256::new();
    hash.update(
        u64::try_from(source.len())
            .unwrap_or_default()
            .to_le_bytes(),
    );
    hash.update(source.as_bytes());
    hash.update(id.as_bytes());
    let mut key = Key::default();
    for (to, from) in key.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    key
}

impl Dedup {
    pub(super) fn new() -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            turns: (0..PARTS).map(|_| Mutex::default()).collect(),
            sources: Mutex::default(),
        }
    }

    fn with<R>(&self, key: Key, work: impl FnOnce(&mut HashSet<Key>) -> R) -> Option<R> {
        let part = self.parts.get(usize::from(key.first()? >> 2))?;
        Some(work(&mut lock(part)))
    }

    /// Waits until nobody takes this event in.
    pub(super) fn turn(&self, key: Key) -> Option<MutexGuard<'_, ()>> {
        let turn = self.turns.get(usize::from(key.first()? >> 2))?;
        Some(lock(turn))
    }

    /// Takes note of an event; whether it is new.
    pub(super) fn add(&self, key: Key) -> bool {
        self.with(key, |keys| keys.insert(key)).unwrap_or(true)
    }

    /// Forgets an event.
    pub(super) fn remove(&self, key: Key) {
        self.with(key, |keys| keys.remove(&key));
    }

    /// Forgets what was told apart by a label.
    pub(super) fn forget(&self, label: &Label) {
        self.remove(key(&label.source, &label.id));
    }

    /// The source's name, kept once.
    pub(super) fn source(&self, name: &str) -> Arc<str> {
        self.named(name).0
    }

    /// The source's number, by which its share is counted.
    pub(super) fn reporter(&self, name: &str) -> Reporter {
        self.named(name).1
    }

    fn named(&self, name: &str) -> (Arc<str>, Reporter) {
        let mut sources = lock(&self.sources);
        if let Some((known, reporter)) = sources.get_key_value(name) {
            return (Arc::clone(known), *reporter);
        }
        let new: Arc<str> = name.into();
        let reporter = Reporter::nth(sources.len());
        if sources.len() < SOURCES {
            sources.insert(Arc::clone(&new), reporter);
        }
        (new, reporter)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let count = |part: &Mutex<HashSet<Key>>| part.lock().unwrap().len();
        self.parts.iter().map(count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_per_source_and_id() {
        let ids = Dedup::new();
        let add = |source, id| ids.add(key(source, id));
        assert!(add("a", "1") && add("a", "2") && add("b", "1"));
        assert!(add("ab", "c") && add("a", "bc"));
        assert!(!add("a", "1"));
        ids.remove(key("a", "1"));
        assert!(add("a", "1"));
        assert_eq!(ids.len(), 5);
    }
}
