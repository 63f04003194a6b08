//! The bounded buffer between those who decide and the thread that writes.
//!
//! Handing an entry over is a lock, a move and an unlock. The writer is woken only when it sleeps; while
//! it is busy it takes all that has gathered at once.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::change::SubjectChange;
use super::entry::Entry;
use crate::base::lock::{lock, unpoisoned};

/// Most changes of subjects that wait.
const MOST_CHANGES: usize = 1_024;

/// Entries on their way to the writer.
#[derive(Debug)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    /// The writer sleeps here.
    filled: Condvar,
    /// Callers wait here for room.
    room: Condvar,
    most: usize,
    most_bytes: usize,
}

#[derive(Debug, Default)]
struct Inner {
    entries: Vec<Entry>,
    /// Few, and of a size that is bounded where they are read.
    changes: Vec<SubjectChange>,
    /// Entries that the writer took and has not written.
    taken: usize,
    /// Bytes of all of them.
    bytes: usize,
    /// Entries that found no room since the writer last asked.
    dropped: u64,
    sleeping: bool,
    waiting: usize,
    closed: bool,
}

/// What a caller does that finds no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoRoom {
    Drop,
    Fail,
    Wait(Duration),
}

/// The result of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    Taken,
    Dropped,
    Full,
}

/// What the writer found.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Entries that were dropped since it last asked.
    pub(super) dropped: u64,
    /// Changes of subjects.
    pub(super) changes: Vec<SubjectChange>,
    /// Whether nothing more will come.
    pub(super) closed: bool,
}

impl Queue {
    pub(super) fn new(most: usize, most_bytes: usize) -> Self {
        Self {
            inner: Mutex::new(Inner {
                entries: Vec::with_capacity(most.min(1_024)),
                ..Inner::default()
            }),
            filled: Condvar::new(),
            room: Condvar::new(),
            most,
            most_bytes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Whether there is room for another entry of this size. One entry always finds room in an empty
    /// buffer.
    fn has_room(&self, inner: &Inner, size: usize) -> bool {
        let waiting = inner.entries.len() + inner.taken;
        waiting < self.most && (waiting == 0 || inner.bytes.saturating_add(size) <= self.most_bytes)
    }

    /// Hands an entry over.
    pub(super) fn push(&self, entry: Entry, no_room: NoRoom) -> Pushed {
        let mut inner = self.lock();
        if inner.closed || !self.has_room(&inner, entry.size) {
            match no_room {
                NoRoom::Drop => {
                    inner.dropped += 1;
                    drop(inner);
                    return Pushed::Dropped;
                }
                NoRoom::Wait(timeout) if !inner.closed => {
                    inner.waiting += 1;
                    let waited = self.room.wait_timeout_while(inner, timeout, |inner| {
                        !inner.closed && !self.has_room(inner, entry.size)
                    });
                    inner = unpoisoned(waited).0;
                    inner.waiting -= 1;
                    if inner.closed || !self.has_room(&inner, entry.size) {
                        return Pushed::Full;
                    }
                }
                NoRoom::Wait(_) | NoRoom::Fail => return Pushed::Full,
            }
        }
        inner.bytes = inner.bytes.saturating_add(entry.size);
        inner.entries.push(entry);
        let wake = std::mem::take(&mut inner.sleeping);
        drop(inner);
        if wake {
            self.filled.notify_one();
        }
        Pushed::Taken
    }

    /// Hands a change of a subject over; never waits.
    pub(super) fn push_change(&self, change: SubjectChange) -> Pushed {
        let mut inner = self.lock();
        if inner.closed || inner.changes.len() >= MOST_CHANGES {
            inner.dropped += 1;
            return Pushed::Dropped;
        }
        inner.changes.push(change);
        let wake = std::mem::take(&mut inner.sleeping);
        drop(inner);
        if wake {
            self.filled.notify_one();
        }
        Pushed::Taken
    }

    /// Takes all there is into `into`, which is empty; waits for something until `until`.
    pub(super) fn take(&self, into: &mut Vec<Entry>, until: Option<Instant>) -> Batch {
        let mut inner = self.lock();
        while inner.entries.is_empty()
            && inner.changes.is_empty()
            && inner.dropped == 0
            && !inner.closed
        {
            let timeout = match until {
                Some(until) => until.saturating_duration_since(Instant::now()),
                None => Duration::from_secs(3_600),
            };
            if timeout.is_zero() {
                break;
            }
            inner.sleeping = true;
            let waited = self.filled.wait_timeout(inner, timeout);
            inner = unpoisoned(waited).0;
        }
        inner.sleeping = false;
        std::mem::swap(&mut inner.entries, into);
        inner.taken += into.len();
        Batch {
            dropped: std::mem::take(&mut inner.dropped),
            changes: std::mem::take(&mut inner.changes),
            closed: inner.closed,
        }
    }

    /// Entries that were taken have been written: there is room for others.
    pub(super) fn done(&self, entries: usize, bytes: usize) {
        let mut inner = self.lock();
        inner.taken = inner.taken.saturating_sub(entries);
        inner.bytes = inner.bytes.saturating_sub(bytes);
        let waiting = inner.waiting > 0;
        drop(inner);
        if waiting {
            self.room.notify_all();
        }
    }

    /// Takes nothing more. Whoever waits for room fails.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
        self.room.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Entries that wait to be written.
    pub(super) fn len(&self) -> usize {
        let inner = self.lock();
        inner.entries.len() + inner.taken
    }

    /// Sleeps, unless the buffer is closed meanwhile.
    pub(super) fn rest(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut inner = self.lock();
        while !inner.closed {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            // Nobody wakes whoever rests, but for closing.
            let waited = self.filled.wait_timeout(inner, left);
            inner = unpoisoned(waited).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::service::audit::tests::entry;

    #[test]
    fn a_full_buffer_drops_fails_or_waits() {
        let queue = Arc::new(Queue::new(2, usize::MAX));
        assert_eq!(queue.push(entry(), NoRoom::Drop), Pushed::Taken);
        assert_eq!(queue.push(entry(), NoRoom::Fail), Pushed::Taken);
        assert_eq!(queue.push(entry(), NoRoom::Fail), Pushed::Full);
        assert_eq!(queue.push(entry(), NoRoom::Drop), Pushed::Dropped);
        let short = NoRoom::Wait(Duration::from_millis(10));
        assert_eq!(queue.push(entry(), short), Pushed::Full);
        let mut taken = Vec::new();
        assert_eq!(queue.take(&mut taken, None).dropped, 1);
        assert_eq!(taken.len(), 2);
        // What is being written takes room until it is written.
        assert_eq!(queue.push(entry(), NoRoom::Fail), Pushed::Full);
        let waiting = {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || queue.push(entry(), NoRoom::Wait(Duration::from_secs(30))))
        };
        while queue.lock().waiting == 0 {
            std::thread::yield_now();
        }
        queue.done(1, taken[0].size);
        assert_eq!(waiting.join().unwrap(), Pushed::Taken);
        assert_eq!(queue.len(), 2);
        queue.close();
        assert_eq!(queue.push(entry(), short), Pushed::Full);
        assert!(queue.take(&mut Vec::new(), None).closed);
    }

    #[test]
    fn large_requests_fill_it_sooner() {
        let queue = Queue::new(100, 1_000);
        let sized = |size| {
            let mut entry = entry();
            entry.size = size;
            entry
        };
        assert_eq!(queue.push(sized(5_000), NoRoom::Fail), Pushed::Taken);
        assert_eq!(queue.push(sized(1), NoRoom::Fail), Pushed::Full);
        let mut taken = Vec::new();
        queue.take(&mut taken, None);
        queue.done(1, 5_000);
        assert_eq!(queue.push(sized(600), NoRoom::Fail), Pushed::Taken);
        assert_eq!(queue.push(sized(600), NoRoom::Fail), Pushed::Full);
    }
}
