//! A bounded map in parts, each with a lock of its own that is held for moments and never over I/O.
//!
//! What must hold: one reporter never fills a map. Every entry remembers who caused it, and a reporter whose
//! entries fill [`SHARE`] of the map makes room only among its own.

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use crate::base::hash::Keyed;
use crate::base::lock::lock;

/// How many parts there are.
pub(super) const PARTS: usize = 64;
/// Entries that are looked at to make room for another.
const LOOKED_AT: usize = 64;
/// The share of a map, in percent, that the entries of one reporter may fill.
const SHARE: usize = 80;
/// Reporters that are told apart; further ones share one number.
const REPORTERS: usize = 256;

/// Who caused an entry, as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Reporter(u8);

impl Reporter {
    /// Nobody in particular: history, and what was loaded from disk. It has no share.
    pub(super) const NOBODY: Self = Self(0);

    /// The reporter that was seen as the `place`th, from 0.
    pub(super) fn nth(place: usize) -> Self {
        Self(u8::try_from(place.saturating_add(1)).unwrap_or(u8::MAX))
    }
}

/// How much room there is, and for whom an entry is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Capacity {
    /// Most entries of the map.
    pub(super) most: usize,
    /// Who causes the entry.
    pub(super) by: Reporter,
}

/// A bounded map.
#[derive(Debug)]
pub(super) struct Sharded<K, V> {
    parts: Box<[Mutex<Part<K, V>>]>,
    hasher: Keyed,
    count: AtomicUsize,
    /// Entries by reporter.
    by: Box<[AtomicUsize]>,
}

#[derive(Debug)]
struct Slot<V> {
    by: Reporter,
    value: Box<V>,
}

/// A copy of an entry, and who caused it.
#[cfg(feature = "state")]
pub(super) type Copied<V> = (Reporter, Box<V>);

#[derive(Debug)]
struct Part<K, V> {
    map: HashMap<K, Slot<V>, RandomState>,
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
            hasher: Keyed::default(),
            count: AtomicUsize::new(0),
            by: (0..REPORTERS).map(|_| AtomicUsize::new(0)).collect(),
        }
    }

    fn of(&self, by: Reporter) -> Option<&AtomicUsize> {
        self.by.get(usize::from(by.0))
    }

    fn added(&self, by: Reporter) {
        self.count.fetch_add(1, Ordering::Relaxed);
        if let Some(of) = self.of(by) {
            of.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn removed(&self, by: Reporter) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        if let Some(of) = self.of(by) {
            of.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether a reporter's entries fill its share of a map with `most` entries.
    pub(super) fn fills_its_share(&self, room: Capacity) -> bool {
        let share = (room.most.saturating_mul(SHARE) / 100).max(1);
        let used = self.of(room.by).map(|of| of.load(Ordering::Relaxed));
        room.by != Reporter::NOBODY && used.unwrap_or_default() >= share
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn part<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        // Whoever could choose keys of one part would share its lock and its room; the map in it has a hash of its
        // own.
        usize::try_from(self.hasher.hash_one(key) >> 58).unwrap_or_default() % PARTS
    }

    fn lock(&self, part: usize) -> Option<MutexGuard<'_, Part<K, V>>> {
        let part = self.parts.get(part)?;
        Some(lock(part))
    }

    /// Works on an entry that is there.
    pub(super) fn with<Q, R>(&self, key: &Q, work: impl FnOnce(&mut V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut part = self.lock(self.part(key))?;
        part.map.get_mut(key).map(|slot| work(&mut slot.value))
    }

    /// Works on an entry, which is made where it is not there; `None` when there is no room. In a full map,
    /// one that is `spare` is removed first, and its key put to `gone` with what was there; for a reporter
    /// that fills its share, one of its own.
    pub(super) fn with_or_make<R>(
        &self,
        key: &K,
        room: Capacity,
        spare: impl Fn(&V) -> bool,
        gone: &mut Vec<(K, Box<V>)>,
        work: impl FnOnce(&mut V) -> R,
    ) -> Option<R> {
        let at = self.part(key);
        if let Some(slot) = self.lock(at)?.map.get_mut(key) {
            return Some(work(&mut slot.value));
        }
        if self.fills_its_share(room) {
            if !self.make_room(at, &|slot| slot.by == room.by && spare(&slot.value), gone) {
                return None;
            }
        } else if self.len() >= room.most && !self.make_room(at, &|slot| spare(&slot.value), gone) {
            return None;
        }
        let mut part = self.lock(at)?;
        if !part.map.contains_key(key) {
            self.added(room.by);
            part.queue.push_back(key.clone());
        }
        let slot = part.map.entry(key.clone()).or_insert_with(|| Slot {
            by: room.by,
            value: Box::default(),
        });
        Some(work(&mut slot.value))
    }

    fn make_room(
        &self,
        from: usize,
        spare: &impl Fn(&Slot<V>) -> bool,
        gone: &mut Vec<(K, Box<V>)>,
    ) -> bool {
        (0..PARTS).any(|offset| {
            let part = self.lock((from + offset) % PARTS);
            let found = part.and_then(|mut part| part.make_room(spare));
            let made = found.is_some();
            if let Some((key, slot)) = found {
                self.removed(slot.by);
                gone.push((key, slot.value));
            }
            made
        })
    }

    pub(super) fn remove<Q>(&self, key: &Q) -> Option<Box<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.remove_if(key, |_| true)
    }

    /// Removes an entry where it is one that `may` go.
    pub(super) fn remove_if<Q>(&self, key: &Q, may: impl FnOnce(&V) -> bool) -> Option<Box<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut part = self.lock(self.part(key))?;
        if !part.map.get(key).is_some_and(|slot| may(&slot.value)) {
            return None;
        }
        let slot = part.map.remove(key)?;
        self.removed(slot.by);
        Some(slot.value)
    }

    /// Puts an entry in place of what is there.
    #[cfg_attr(
        not(feature = "state"),
        allow(dead_code, reason = "only what was kept is put back")
    )]
    pub(super) fn put(&self, key: K, value: V) {
        if let Some(mut part) = self.lock(self.part(&key)) {
            let value = Box::new(value);
            match part.map.get_mut(&key) {
                Some(slot) => slot.value = value,
                None => {
                    part.queue.push_back(key.clone());
                    let by = Reporter::NOBODY;
                    part.map.insert(key, Slot { by, value });
                    self.added(by);
                }
            }
        }
    }

    /// An entry as it is, with who caused it.
    #[cfg(feature = "state")]
    pub(super) fn copy<Q>(&self, key: &Q) -> Option<Copied<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        let part = self.lock(self.part(key))?;
        part.map.get(key).map(|slot| (slot.by, slot.value.clone()))
    }

    /// Makes an entry what it was, in one step: nobody finds it absent that was there. `None` for one that was not
    /// there.
    #[cfg(feature = "state")]
    pub(super) fn restore(&self, key: K, before: Option<Copied<V>>) {
        let Some(mut part) = self.lock(self.part(&key)) else {
            return;
        };
        let now = match before {
            Some((by, value)) => {
                self.added(by);
                part.queue.push_back(key.clone());
                part.map.insert(key, Slot { by, value })
            }
            None => part.map.remove(&key),
        };
        if let Some(slot) = now {
            self.removed(slot.by);
        }
    }

    /// Walks through one part; entries for which `keep` is false are removed.
    pub(super) fn retain(&self, part: usize, mut keep: impl FnMut(&K, &mut V) -> bool) {
        let Some(mut part) = self.lock(part) else {
            return;
        };
        part.map.retain(|key, slot| {
            let keep = keep(key, &mut slot.value);
            if !keep {
                self.removed(slot.by);
            }
            keep
        });
        let Part { map, queue } = &mut *part;
        if queue.len() > 2 * map.len() + LOOKED_AT {
            queue.retain(|key| map.contains_key(key));
        }
    }
}

impl<K: Hash + Eq + Clone, V> Part<K, V> {
    fn make_room(&mut self, spare: &impl Fn(&Slot<V>) -> bool) -> Option<(K, Slot<V>)> {
        for _ in 0..self.queue.len().min(LOOKED_AT) {
            let key = self.queue.pop_front()?;
            match self.map.get(&key) {
                Some(slot) if spare(slot) => {
                    let slot = self.map.remove(&key)?;
                    return Some((key, slot));
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

    fn nobody(most: usize) -> Capacity {
        let by = Reporter::NOBODY;
        Capacity { most, by }
    }

    #[cfg(feature = "state")]
    #[test]
    fn what_is_restored_is_never_absent_and_keeps_its_reporter() {
        let map: Sharded<u32, u32> = Sharded::new();
        let room = Capacity {
            most: 100,
            by: Reporter::nth(1),
        };
        let write =
            |value| map.with_or_make(&7, room, |_| false, &mut Vec::new(), |held| *held = value);
        write(1).unwrap();
        let (before, none) = (map.copy(&7), map.copy(&8));
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    assert!(map.with(&7, |_| ()).is_some(), "it is absent");
                }
            });
            for _ in 0..10_000 {
                write(2).unwrap();
                map.restore(7, before.clone());
            }
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(map.with(&7, |held| *held), Some(1));
        assert_eq!(
            (map.len(), map.of(room.by).unwrap().load(Ordering::Relaxed)),
            (1, 1)
        );
        map.restore(8, none);
        map.restore(7, None);
        assert_eq!(
            (map.len(), map.of(room.by).unwrap().load(Ordering::Relaxed)),
            (0, 0)
        );
        map.restore(7, before);
        assert_eq!(
            (map.len(), map.of(room.by).unwrap().load(Ordering::Relaxed)),
            (1, 1)
        );
    }

    #[test]
    fn one_reporter_never_fills_a_map() {
        let map: Sharded<u32, u32> = Sharded::new();
        let mut gone = Vec::new();
        let mut make = |key: u32, value: u32, place: usize| {
            let by = Reporter::nth(place);
            let room = Capacity { most: 100, by };
            map.with_or_make(
                &key,
                room,
                |held| *held == 0,
                &mut gone,
                |held| *held = value,
            )
        };
        for key in 0..100 {
            assert_eq!(make(key, 1, 0).is_some(), key < 80, "{key}");
        }
        for key in 200..220 {
            assert_eq!(make(key, 0, 1), Some(()), "{key}");
        }
        // Full: another makes room among what is spare, and the first has no part in it.
        assert_eq!(make(300, 1, 2), Some(()));
        assert_eq!(make(301, 1, 0), None);
        assert_eq!(map.len(), 100);
        map.remove(&0);
        assert_eq!(make(301, 1, 0), Some(()));
        assert!(!map.fills_its_share(nobody(1)));
    }

    #[test]
    fn makes_room_only_by_what_is_spare() {
        let map: Sharded<u32, u32> = Sharded::new();
        let mut gone = Vec::new();
        let mut set = |key: u32, value: u32| {
            map.with_or_make(
                &key,
                nobody(10),
                |held| *held == 0,
                &mut gone,
                |held| *held = value,
            )
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
            map.with_or_make(&key, nobody(100), |_| true, &mut gone, |_| ());
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
