//! How long to wait before a call that failed is made again.

use std::time::Duration;

/// Jitter of up to half the wait on top, so that many servers do not call at once.
pub(crate) const UP_TO_HALF_MORE: (f64, f64) = (1.0, 1.5);

/// Exponential backoff with jitter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    /// The wait that is doubled.
    pub(crate) base: Duration,
    /// The longest wait before jitter, unless `base` is longer.
    pub(crate) cap: Duration,
    /// The least and the greatest factor that [`jittered`] multiplies a wait by.
    pub(crate) jitter: (f64, f64),
}

impl Backoff {
    /// The wait after so many doublings of `base`, with jitter.
    pub(crate) fn wait(&self, doublings: u32) -> Duration {
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let wait = self.base.saturating_mul(factor);
        jittered(wait.min(self.cap.max(self.base)), self.jitter)
    }
}

/// A wait times a factor between these two, chosen at random by the system's source of randomness. Where
/// that fails the wait is as it was: the pace is still right.
pub(crate) fn jittered(wait: Duration, (least, most): (f64, f64)) -> Duration {
    let Ok(random) = getrandom::u32() else {
        return wait;
    };
    let random = f64::from(random) / f64::from(u32::MAX);
    let seconds = wait.as_secs_f64() * (least + (most - least) * random);
    // A wait too long for the type is one without an end either way.
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap() {
        let backoff = Backoff {
            base: Duration::from_millis(200),
            cap: Duration::from_secs(30),
            jitter: (1.0, 1.0),
        };
        for (doublings, millis) in [(0, 200), (1, 400), (7, 25_600), (8, 30_000), (99, 30_000)] {
            let wait = Duration::from_millis(millis);
            assert_eq!(backoff.wait(doublings), wait, "{doublings}");
        }
        let longer = Backoff {
            base: Duration::from_secs(60),
            ..backoff
        };
        assert_eq!(longer.wait(1), Duration::from_secs(60));
    }

    #[test]
    fn waits_are_spread() {
        for _ in 0..100 {
            let time = jittered(Duration::from_secs(10), (0.5, 1.0));
            assert!((5.0..=10.0).contains(&time.as_secs_f64()));
        }
        assert!(jittered(Duration::MAX, UP_TO_HALF_MORE) > Duration::from_secs(1 << 62));
    }
}
