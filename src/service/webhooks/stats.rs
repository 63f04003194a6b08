//! The results of deliveries since the start: of one webhook, and of all.

use std::sync::{Mutex, MutexGuard};

use serde_json::{Value, json};

use crate::base::counts::Counts;
use crate::base::lock::lock;
use crate::base::timestamp::Timestamp;
use crate::base::words::words;

/// Longest error that is remembered, in characters.
const LONGEST: usize = 300;

words! {
    /// What became of a delivery, or of a try of one.
    pub(crate) enum DeliveryResult by name {
        /// A receiver took the delivery.
        Delivered = "delivered",
        /// A try failed.
        Failed = "failed",
        /// The delivery became a dead letter, or would have if those were kept.
        Dead = "dead",
        /// A disabled webhook was not sent the event.
        Skipped = "skipped",
        /// The event or the dead letter is gone.
        Lost = "lost",
    }
}

/// The statistics of one webhook.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) counts: Counts<DeliveryResult>,
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
        let mut all = json!({
            "pending": pending,
            "lastStatus": last.status,
            "lastError": last.error,
            "lastAttempt": time(last.attempt),
            "lastSuccess": time(last.success),
        });
        if let Some(members) = all.as_object_mut() {
            let counts = self.counts.named();
            members.extend(counts.map(|(name, count)| (name.to_owned(), count.into())));
        }
        all
    }
}
