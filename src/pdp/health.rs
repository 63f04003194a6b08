//! The health of a decision point, and subscriptions to its changes.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use crate::base::fault::Faults;
use crate::base::lock::{lock, unpoisoned};
use crate::policy::Revision;

/// The state of a decision point.
#[derive(Debug, Clone)]
#[non_exhaustive]
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
#[non_exhaustive]
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
///
/// It ends when the last clone of the [`Pdp`](crate::Pdp) is dropped. With the feature `async` it is a
/// `futures_core::Stream` as well, which ends at the same time.
///
/// ```
/// use std::time::Duration;
/// use deodar::{NoChange, Pdp};
///
/// let pdp = Pdp::builder().policies_text("p.cedar", "permit(principal, action, resource);").build()?;
/// let changes = pdp.subscribe();
/// assert_eq!(changes.next_within(Duration::from_millis(1)).unwrap_err(), NoChange::NotYet);
/// drop(pdp);
/// assert_eq!(changes.next_within(Duration::from_secs(60)).unwrap_err(), NoChange::Ended);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Subscription {
    queue: Arc<Queue>,
}

/// Why a [`Subscription`] has no change to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoChange {
    /// None came in time; there may be one later.
    #[error("the state has not changed yet")]
    NotYet,
    /// The decision point is gone: no change will come.
    #[error("the decision point is gone")]
    Ended,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    changes: VecDeque<StateChange>,
    ended: bool,
    /// Who polls, if somebody does.
    #[cfg(feature = "async")]
    waker: Option<std::task::Waker>,
}

impl Waiting {
    fn take(&mut self) -> Result<StateChange, NoChange> {
        match self.changes.pop_front() {
            Some(change) => Ok(change),
            None if self.ended => Err(NoChange::Ended),
            None => Err(NoChange::NotYet),
        }
    }
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }

    /// Changes what waits and wakes whoever waits for it.
    fn tell(&self, change: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.waiting();
        change(&mut waiting);
        #[cfg(feature = "async")]
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
        drop(waiting);
        self.arrived.notify_all();
    }
}

const MOST_QUEUED: usize = 256;

impl Subscription {
    /// The next change. Waits for it for at most `timeout`.
    ///
    /// # Errors
    /// [`NoChange`] when none came in time, or none will come any more.
    pub fn next_within(&self, timeout: Duration) -> Result<StateChange, NoChange> {
        let latest = Instant::now().checked_add(timeout);
        let mut waiting = self.queue.waiting();
        loop {
            match waiting.take() {
                Err(NoChange::NotYet) => {}
                known => return known,
            }
            let left = match latest {
                Some(latest) => latest.checked_duration_since(Instant::now()),
                None => Some(Duration::MAX),
            };
            let left = left
                .filter(|left| !left.is_zero())
                .ok_or(NoChange::NotYet)?;
            let waited = self.queue.arrived.wait_timeout(waiting, left);
            waiting = unpoisoned(waited).0;
        }
    }

    /// The next change, if there is one already.
    ///
    /// # Errors
    /// [`NoChange`] when there is none.
    pub fn try_next(&self) -> Result<StateChange, NoChange> {
        self.queue.waiting().take()
    }
}

#[cfg(feature = "async")]
impl futures_core::Stream for Subscription {
    type Item = StateChange;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<StateChange>> {
        let mut waiting = self.queue.waiting();
        match waiting.take() {
            Ok(change) => std::task::Poll::Ready(Some(change)),
            Err(NoChange::Ended) => std::task::Poll::Ready(None),
            Err(NoChange::NotYet) => {
                waiting.waker = Some(context.waker().clone());
                std::task::Poll::Pending
            }
        }
    }
}

/// Those who subscribed.
#[derive(Debug, Default)]
pub(super) struct Subscribers(Mutex<Vec<Weak<Queue>>>);

impl Subscribers {
    pub(super) fn subscribe(&self) -> Subscription {
        let queue = Arc::new(Queue::default());
        let mut all = lock(&self.0);
        all.retain(|queue| queue.strong_count() > 0);
        all.push(Arc::downgrade(&queue));
        Subscription { queue }
    }

    pub(super) fn tell(&self, change: &StateChange) {
        let all = lock(&self.0);
        for queue in all.iter().filter_map(Weak::upgrade) {
            queue.tell(|waiting| {
                if waiting.changes.len() >= MOST_QUEUED {
                    waiting.changes.pop_front();
                }
                waiting.changes.push_back(change.clone());
            });
        }
    }
}

impl Drop for Subscribers {
    fn drop(&mut self) {
        let all = unpoisoned(self.0.get_mut());
        for queue in all.iter().filter_map(Weak::upgrade) {
            queue.tell(|waiting| waiting.ended = true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGE: StateChange = StateChange::Held {
        reason: String::new(),
    };

    #[test]
    fn the_end_is_told_after_the_last_change_and_apart_from_a_time_out() {
        let subscribers = Subscribers::default();
        let changes = subscribers.subscribe();
        assert_eq!(changes.try_next().unwrap_err(), NoChange::NotYet);
        subscribers.tell(&CHANGE);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| {
                assert!(changes.next_within(Duration::MAX).is_ok());
                changes.next_within(Duration::MAX)
            });
            std::thread::sleep(Duration::from_millis(20));
            drop(subscribers);
            assert_eq!(waits.join().unwrap().unwrap_err(), NoChange::Ended);
        });
    }

    #[cfg(feature = "async")]
    #[test]
    fn a_stream_wakes_for_a_change_and_for_the_end() {
        use futures_core::Stream;
        use std::pin::Pin;
        use std::sync::atomic::{AtomicUsize, Ordering};
        use std::task::{Context, Poll, Wake};

        struct Counts(AtomicUsize);

        impl Wake for Counts {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }

        let subscribers = Subscribers::default();
        let mut changes = subscribers.subscribe();
        let counts = Arc::new(Counts(AtomicUsize::new(0)));
        let waker = Arc::clone(&counts).into();
        let mut context = Context::from_waker(&waker);
        let mut poll = || Pin::new(&mut changes).poll_next(&mut context);
        assert!(poll().is_pending());
        subscribers.tell(&CHANGE);
        assert!(matches!(
            poll(),
            Poll::Ready(Some(StateChange::Held { .. }))
        ));
        assert!(poll().is_pending());
        drop(subscribers);
        assert!(matches!(poll(), Poll::Ready(None)));
        assert_eq!(counts.0.load(Ordering::SeqCst), 2);
    }
}
