//! When a call to a service may be made again: not too often while it answers, ever less often while
//! it does not.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use super::claims::later;
use crate::base::timestamp::Timestamp;
use crate::service::net::backoff::{Backoff, UP_TO_HALF_MORE};

/// A clock that went back by more than this is believed.
const BACKWARDS: i64 = 60_000;

/// The pace of calls to one service.
#[derive(Debug)]
pub(super) struct Pace {
    last: AtomicI64,
    next: AtomicI64,
    failures: AtomicU32,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            last: AtomicI64::new(i64::MIN),
            next: AtomicI64::new(i64::MIN),
            failures: AtomicU32::new(0),
        }
    }

    /// Whether a call may be made now.
    pub(super) fn may(&self, now: Timestamp) -> bool {
        let now = now.as_millis();
        now >= self.next.load(Ordering::Relaxed)
            || now.saturating_add(BACKWARDS) < self.last.load(Ordering::Relaxed)
    }

    /// A call begins; the next one may follow after `rest`.
    pub(super) fn begin(&self, now: Timestamp, rest: Duration) {
        self.last.store(now.as_millis(), Ordering::Relaxed);
        self.next
            .store(later(now, rest).as_millis(), Ordering::Relaxed);
    }

    /// The call came back; the next one may follow after `rest`.
    pub(super) fn succeeded(&self, now: Timestamp, rest: Duration) {
        self.failures.store(0, Ordering::Relaxed);
        self.begin(now, rest);
    }

    /// The call failed: the next one may follow after `least`, twice that after the second failure, and
    /// so on up to `most`; half as long again at random, so that many servers do not call at once.
    pub(super) fn failed(&self, now: Timestamp, least: Duration, most: Duration) {
        let before = self.failures.fetch_add(1, Ordering::Relaxed);
        let backoff = Backoff {
            base: least,
            cap: most,
            jitter: UP_TO_HALF_MORE,
        };
        self.begin(now, backoff.wait(before));
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn failures_make_calls_rarer_up_to_a_bound() {
        let pace = Pace::new();
        let (least, most) = (Duration::from_secs(10), Duration::from_secs(60));
        assert!(pace.may(at(0)));
        for (at_least, at_most) in [(10, 15), (20, 30), (40, 60), (60, 90), (60, 90)] {
            pace.failed(at(1_000), least, most);
            assert!(!pace.may(at(1_000 + at_least - 1)));
            assert!(pace.may(at(1_000 + at_most)));
        }
        for _ in 0..100 {
            pace.failed(at(1_000), least, most);
        }
        assert!(pace.may(at(1_090)));
        pace.succeeded(at(2_000), least);
        assert_eq!(pace.failures(), 0);
        assert!(!pace.may(at(2_009)) && pace.may(at(2_010)));
    }

    #[test]
    fn a_clock_that_went_back_stops_nothing() {
        let pace = Pace::new();
        pace.succeeded(at(10_000), Duration::from_secs(60));
        assert!(!pace.may(at(9_999)));
        assert!(pace.may(at(5_000)));
    }
}
