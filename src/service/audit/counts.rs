//! The results of decisions that were handed to the log, and the state of the log.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::base::lock::lock;

/// How long the log counts as degraded after a record was dropped.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Counts since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct AuditCounts {
    /// Decisions that were written as records.
    pub(crate) recorded: u64,
    /// Decisions that found no room and were answered all the same.
    pub(crate) dropped: u64,
    /// Decisions that found no room and were not answered.
    pub(crate) refused: u64,
    /// Decisions that filters left out.
    pub(crate) filtered: u64,
    /// Decisions whose record would have been too long, and was written as a summary.
    pub(crate) reduced: u64,
    /// Decisions that wait to be written.
    pub(crate) queued: u64,
    /// Bytes of records.
    pub(crate) bytes: u64,
    /// Each sink, in a stable order.
    pub(crate) sinks: [SinkCounts; 3],
}

/// Counts of one sink.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SinkCounts {
    /// `file`, `stdout` or `http`.
    pub(crate) name: &'static str,
    /// Whether it is configured.
    pub(crate) on: bool,
    /// Records it took, those about the log itself among them.
    pub(crate) written: u64,
    /// Attempts to write that failed.
    pub(crate) failed: u64,
    /// Records that it lost: they were not taken in time, or were refused.
    pub(crate) lost: u64,
}

/// The same while it counts.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) recorded: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) filtered: AtomicU64,
    pub(super) reduced: AtomicU64,
    pub(super) bytes: AtomicU64,
    dropped_at: Mutex<Option<Instant>>,
}

impl Counters {
    pub(super) fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        *lock(&self.dropped_at) = Some(Instant::now());
    }

    /// Whether a record was dropped lately.
    pub(super) fn dropped_lately(&self) -> bool {
        lock(&self.dropped_at).is_some_and(|at| at.elapsed() < REMEMBERED)
    }
}

/// How one sink is.
#[derive(Debug)]
pub(super) struct SinkState {
    pub(super) name: &'static str,
    pub(super) on: bool,
    pub(super) written: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) lost: AtomicU64,
    trouble: Mutex<Option<String>>,
    lost_at: Mutex<Option<Instant>>,
}

impl SinkState {
    pub(super) fn new(name: &'static str, on: bool) -> Self {
        Self {
            name,
            on,
            written: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            trouble: Mutex::default(),
            lost_at: Mutex::default(),
        }
    }

    pub(super) fn wrote(&self, records: u64) {
        self.written.fetch_add(records, Ordering::Relaxed);
        let mut trouble = lock(&self.trouble);
        if trouble.take().is_some() {
            tracing::info!(sink = self.name, "records are written again");
        }
    }

    /// An attempt failed; said once until one succeeds.
    pub(super) fn fail(&self, message: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut trouble = lock(&self.trouble);
        if trouble.as_ref() != Some(&message) {
            tracing::error!(sink = self.name, message, "records cannot be written");
            *trouble = Some(message);
        }
    }

    pub(super) fn lose(&self, records: u64) {
        self.lost.fetch_add(records, Ordering::Relaxed);
        *lock(&self.lost_at) = Some(Instant::now());
    }

    /// Whether the last attempt failed.
    pub(super) fn fails(&self) -> bool {
        lock(&self.trouble).is_some()
    }

    /// What is the matter with it.
    pub(super) fn trouble(&self) -> Option<String> {
        let name = self.name;
        if let Some(message) = &*lock(&self.trouble) {
            return Some(format!("the audit sink `{name}` fails: {message}"));
        }
        let lost = lock(&self.lost_at).is_some_and(|at| at.elapsed() < REMEMBERED);
        lost.then(|| format!("the audit sink `{name}` lost records"))
    }

    pub(super) fn counts(&self) -> SinkCounts {
        SinkCounts {
            name: self.name,
            on: self.on,
            written: self.written.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
        }
    }
}
