//! A bounded map in parts, each with a lock of its own that is held for moments and never over I/O.

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::quality::RandomState;

/// How many parts there are.
pub(super) const PARTS: usize = 64;
/// Entries that are looked at to make room for another.
const LOOKED_AT: usize = 64;

/// A bounded map.
#[derive(Debug)]
pub(super) struct Sharded<K, V> {
    parts: Box<[Mutex<Part<K, V>>]>,
    hasher: RandomState,
    count: AtomicUsize,
}

#[derive(Debug)]
struct Part<K, V> {
    map: HashMap<K, Box<V>, RandomState>,
    /// Every key, roughly in the order of making; ones that are gone may still be there.
    queue: VecDeque<K>,
}

impl<K: Hash + Eq + Clone, V: Default> Sharded<K, V> {
    pub(super) fn new() -> Self {
        let part = || Part {
            map: HashMap::default(),
            queue: VecDeque::new(),
        };
        Self {
            parts: (0..PARTS).map(|_| Mutex::new(part())).collect(),
            hasher: RandomState::default(),
            count: AtomicUsize::new(0),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn part<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        // The map's own bits come from another seed.
        usize::try_from(self.hasher.hash_one(key) >> 58).unwrap_or_default() % PARTS
    }

    fn lock(&self, part: usize) -> Option<MutexGuard<'_, Part<K, V>>> {
        let part = self.parts.get(part)?;
        Some(part.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Works on an entry that is there.
    pub(super) fn with<Q, R>(&self, key: &Q, work: impl FnOnce(&mut V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut part = self.lock(self.part(key))?;
        part.map.get_mut(key).map(|value| work(value))
    }

    /// Works on an entry, which is made where it is not there; `None` when there is no room. At `most`
    /// entries, one that is `spare` is removed first, and its key put to `gone` with what was there.
    pub(super) fn with_or_make<R>(
        &self,
        key: &K,
        most: usize,
        spare: impl Fn(&V) -> bool,
        gone: &mut Vec<(K, Box<V>)>,
        work: impl FnOnce(&mut V) -> R,
    ) -> Option<R> {
        let at = self.part(key);
        if let Some(value) = self.lock(at)?.map.get_mut(key) {
            return Some(work(value));
        }
        if self.len() >= most && !self.make_room(at, &spare, gone) {
            return None;
        }
        let mut part = self.lock(at)?;
        if !part.map.contains_key(key) {
            self.count.fetch_add(1, Ordering::Relaxed);
            part.queue.push_back(key.clone());
        }
        Some(work(part.map.entry(key.clone()).or_default()))
    }

    fn make_room(
        &self,
        from: usize,
        spare: &impl Fn(&V) -> bool,
        gone: &mut Vec<(K, Box<V>)>,
    ) -> bool {
        (0..PARTS).any(|offset| {
            let part = self.lock((from + offset) % PARTS);
            let found = part.and_then(|mut part| part.make_room(spare));
            let made = found.is_some();
            if let Some(entry) = found {
                self.count.fetch_sub(1, Ordering::Relaxed);
                gone.push(entry);
            }
            made
        })
    }

    pub(super) fn remove<Q>(&self, key: &Q) -> Option<Box<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let removed = self.lock(self.part(key))?.map.remove(key);
        if removed.is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        removed
    }

    /// Removes an entry where it is one that `may` go.
    pub(super) fn remove_if<Q>(&self, key: &Q, may: impl FnOnce(&V) -> bool) -> Option<Box<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut part = self.lock(self.part(key))?;
        if !part.map.get(key).is_some_and(|value| may(value)) {
            return None;
        }
        let removed = part.map.remove(key);
        self.count.fetch_sub(1, Ordering::Relaxed);
        removed
    }

    /// Puts an entry in place of what is there.
    #[cfg_attr(
        not(feature = "state-dir"),
        allow(dead_code, reason = "only what was kept is put back")
    )]
    pub(super) fn put(&self, key: K, value: V) {
        if let Some(mut part) = self.lock(self.part(&key)) {
            part.queue.push_back(key.clone());
            if part.map.insert(key, Box::new(value)).is_none() {
                self.count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Walks through one part; entries for which `keep` is false are removed.
    pub(super) fn retain(&self, part: usize, mut keep: impl FnMut(&K, &mut V) -> bool) {
        let Some(mut part) = self.lock(part) else {
            return;
        };
        let before = part.map.len();
        part.map.retain(|key, value| keep(key, value));
        let removed = before - part.map.len();
        self.count.fetch_sub(removed, Ordering::Relaxed);
        let Part { map, queue } = &mut *part;
        if queue.len() > 2 * map.len() + LOOKED_AT {
            queue.retain(|key| map.contains_key(key));
        }
    }
}

impl<K: Hash + Eq + Clone, V> Part<K, V> {
    fn make_room(&mut self, spare: &impl Fn(&V) -> bool) -> Option<(K, Box<V>)> {
        for _ in 0..self.queue.len().min(LOOKED_AT) {
            let key = self.queue.pop_front()?;
            match self.map.get(&key) {
                Some(value) if spare(value) => {
                    let value = self.map.remove(&key)?;
                    return Some((key, value));
                }
                Some(_) => self.queue.push_back(key),
                None => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_room_only_by_what_is_spare() {
        let map: Sharded<u32, u32> = Sharded::new();
        let mut gone = Vec::new();
        let mut set = |key: u32, value: u32| {
            map.with_or_make(&key, 10, |held| *held == 0, &mut gone, |held| *held = value)
        };
        for key in 0..10 {
            assert_eq!(set(key, key % 2), Some(()));
        }
        for key in 10..15 {
            assert_eq!(set(key, 1), Some(()), "{key}");
        }
        assert_eq!(set(15, 1), None);
        assert_eq!(set(11, 1), Some(()));
        assert_eq!(map.len(), 10);
        let mut keys: Vec<_> = gone.into_iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        assert_eq!(keys, [0, 2, 4, 6, 8]);
    }

    #[test]
    fn keys_of_removed_entries_do_not_pile_up() {
        let map: Sharded<u32, u32> = Sharded::new();
        let mut gone = Vec::new();
        for key in 0..100_000 {
            map.with_or_make(&key, 100, |_| true, &mut gone, |_| ());
            map.remove(&key);
            if key % 1_000 == 0 {
                (0..PARTS).for_each(|part| map.retain(part, |_, _| true));
            }
        }
        let queued: usize = (0..PARTS)
            .map(|part| map.lock(part).unwrap().queue.len())
            .sum();
        assert!(queued <= 2 * PARTS * LOOKED_AT, "{queued}");
    }
}
