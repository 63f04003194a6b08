//! Whether a decision point is well, and who wants to know.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::fault::Faults;
use crate::policy::Revision;

/// How a decision point is.
#[derive(Debug, Clone)]
pub struct Health {
    /// Why it is degraded: it decides, but not on what it was last given. Empty when all is well.
    pub reasons: Vec<String>,
    /// The faults of the sources that were refused last, where that is the reason.
    pub faults: Faults,
    /// The revision it decides on.
    pub revision: Revision,
    /// The sequence it decides on.
    pub sequence: u64,
}

impl Health {
    /// Whether there is a reason for concern.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        !self.reasons.is_empty()
    }
}

/// How often what happened to reloads, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReloadCounts {
    /// A new state was published.
    pub published: u64,
    /// The sources said the same as before.
    pub unchanged: u64,
    /// The sources were faulty; the last good state went on deciding.
    pub failed: u64,
    /// The change was held back until it is confirmed.
    pub held: u64,
}

/// Something happened to the state.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StateChange {
    /// A new state decides from now on.
    Published {
        /// Its revision.
        revision: Revision,
        /// Its sequence.
        sequence: u64,
    },
    /// New sources were refused; the last good state goes on deciding.
    Rejected(Faults),
    /// New sources were held back until the change is confirmed.
    Held {
        /// What about them looks like an accident.
        reason: String,
    },
}

/// Receives every [`StateChange`] from the moment of subscribing. One that falls 256 changes behind
/// loses the oldest.
#[derive(Debug)]
pub struct Subscription {
    queue: Arc<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    changes: Mutex<VecDeque<StateChange>>,
    arrived: Condvar,
}

const MOST_QUEUED: usize = 256;

impl Subscription {
    /// The next change, or `None` when none came within `timeout`.
    pub fn next_within(&self, timeout: Duration) -> Option<StateChange> {
        let latest = Instant::now() + timeout;
        let mut changes = self
            .queue
            .changes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(change) = changes.pop_front() {
                return Some(change);
            }
            let left = latest.checked_duration_since(Instant::now())?;
            changes = self
                .queue
                .arrived
                .wait_timeout(changes, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// The next change that is there already.
    pub fn try_next(&self) -> Option<StateChange> {
        self.next_within(Duration::ZERO)
    }
}

/// Those who subscribed.
#[derive(Debug, Default)]
pub(super) struct Subscribers(Mutex<Vec<Weak<Queue>>>);

impl Subscribers {
    pub(super) fn subscribe(&self) -> Subscription {
        let queue = Arc::new(Queue::default());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|queue| queue.strong_count() > 0);
        all.push(Arc::downgrade(&queue));
        Subscription { queue }
    }

    pub(super) fn tell(&self, change: &StateChange) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for queue in all.iter().filter_map(Weak::upgrade) {
            let mut changes = queue.changes.lock().unwrap_or_else(PoisonError::into_inner);
            if changes.len() >= MOST_QUEUED {
                changes.pop_front();
            }
            changes.push_back(change.clone());
            queue.arrived.notify_all();
        }
    }
}
