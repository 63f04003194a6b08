//! Counters by the members of a closed set, made beforehand: counting is an addition at a known place, without a lock
//! and without looking anything up.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use super::words::Words;

/// A counter for each member of a set.
#[derive(Debug)]
pub(crate) struct Counts<T> {
    cells: Box<[AtomicU64]>,
    set: PhantomData<fn() -> T>,
}

impl<T: Words> Default for Counts<T> {
    fn default() -> Self {
        Self {
            cells: T::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            set: PhantomData,
        }
    }
}

impl<T: Words> Counts<T> {
    /// Counts one of `member`.
    pub(crate) fn add(&self, member: T) {
        self.add_many(member, 1);
    }

    /// Counts several of `member`.
    pub(crate) fn add_many(&self, member: T, many: u64) {
        if let Some(cell) = self.cells.get(member.place()) {
            cell.fetch_add(many, Ordering::Relaxed);
        }
    }

    /// How many there were of `member`.
    pub(crate) fn of(&self, member: T) -> u64 {
        let cell = self.cells.get(member.place());
        cell.map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    /// How many there were of each member.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (T, u64)> {
        T::ALL.iter().map(|member| (*member, self.of(*member)))
    }

    /// How many there were of each member, by its name.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.entries().map(|(member, count)| (member.word(), count))
    }
}
