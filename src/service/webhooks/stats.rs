//! The results of deliveries since the start: of one webhook, and of all.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use serde_json::{Value, json};

use crate::base::lock::lock;
use crate::base::timestamp::Timestamp;

/// Longest error that is remembered, in characters.
const LONGEST: usize = 300;

/// Reads one counter.
pub(crate) type Reader = fn(&Counts) -> u64;

/// Something by its label.
pub(crate) type Named<T> = (&'static str, T);

/// Counters of deliveries.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Deliveries that a receiver took.
    pub(crate) delivered: AtomicU64,
    /// Tries that failed.
    pub(crate) failed: AtomicU64,
    /// Deliveries that became dead letters, or would have if those were kept.
    pub(crate) dead: AtomicU64,
    /// Events that a disabled webhook was not sent.
    pub(crate) skipped: AtomicU64,
    /// Events and dead letters that are gone.
    pub(crate) lost: AtomicU64,
}

impl Counts {
    /// Each with its label, in a stable order.
    pub(crate) const RESULTS: [Named<Reader>; 5] = [
        ("delivered", |counts| read(&counts.delivered)),
        ("failed", |counts| read(&counts.failed)),
        ("dead", |counts| read(&counts.dead)),
        ("skipped", |counts| read(&counts.skipped)),
        ("lost", |counts| read(&counts.lost)),
    ];
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Adds to a counter of one webhook and to that of all.
pub(crate) fn add(all: &Counts, own: &Counts, which: fn(&Counts) -> &AtomicU64, many: u64) {
    which(all).fetch_add(many, Ordering::Relaxed);
    which(own).fetch_add(many, Ordering::Relaxed);
}

/// The statistics of one webhook.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) counts: Counts,
    last: Mutex<Last>,
}

#[derive(Debug, Default, Clone)]
struct Last {
    attempt: Option<Timestamp>,
    success: Option<Timestamp>,
    status: Option<u16>,
    error: Option<String>,
}

impl Stats {
    fn last(&self) -> MutexGuard<'_, Last> {
        lock(&self.last)
    }

    /// Notes a try. An error stays until a delivery succeeds.
    pub(crate) fn tried(&self, now: Timestamp, status: Option<u16>, error: Option<&str>) {
        let mut last = self.last();
        last.attempt = Some(now);
        last.status = status;
        last.error = error.map(|error| error.chars().take(LONGEST).collect());
        if error.is_none() {
            last.success = Some(now);
        }
    }

    /// As it stands in answers.
    pub(crate) fn to_json(&self, pending: usize) -> Value {
        let last = self.last().clone();
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
        json!({
            "delivered": read(&self.counts.delivered),
            "failed": read(&self.counts.failed),
            "dead": read(&self.counts.dead),
            "skipped": read(&self.counts.skipped),
            "lost": read(&self.counts.lost),
            "pending": pending,
            "lastStatus": last.status,
            "lastError": last.error,
            "lastAttempt": time(last.attempt),
            "lastSuccess": time(last.success),
        })
    }
}
