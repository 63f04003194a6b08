//! How often a principal asks through one caller, and how often it is denied. Counted only where the rules
//! on rates are switched on.

use serde::{Deserialize, Serialize};

use super::places::day;
use super::window::Millis;

const MINUTE: i64 = 60_000;
/// Days that the usual rates are of.
const DAYS: usize = 30;
/// Stretches of 10 minutes, and hours, of a day.
const TENS: u64 = 144;
const HOURS: u64 = 24;

/// Counts of one caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rate {
    #[serde(rename = "c")]
    pub(super) caller: Box<str>,
    /// Denies by minutes.
    #[serde(rename = "d")]
    denies: Slots<10>,
    /// Requests by stretches of five minutes.
    #[serde(rename = "r")]
    requests: Slots<12>,
    #[serde(rename = "f")]
    first: i32,
    #[serde(rename = "l")]
    pub(super) last: i32,
    /// Requests and denies by days, as the day's number modulo 30.
    #[serde(rename = "y")]
    days: Vec<(u32, u32)>,
}

/// What the rules on rates read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Rates {
    pub(super) denies: u32,
    pub(super) usual_denies: u64,
    pub(super) requests: u32,
    pub(super) usual_requests: u64,
}

/// Counts of the last `N` slots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Slots<const N: usize> {
    #[serde(rename = "n")]
    newest: i64,
    #[serde(rename = "c")]
    counts: Vec<u32>,
}

impl<const N: usize> Slots<N> {
    fn new(slot: i64) -> Self {
        Self {
            newest: slot,
            counts: vec![0; N],
        }
    }

    fn count_mut(&mut self, slot: i64) -> Option<&mut u32> {
        let at = usize::try_from(slot.rem_euclid(N as i64)).ok()?;
        self.counts.get_mut(at)
    }

    fn add(&mut self, slot: i64) {
        if slot > self.newest {
            let first = self
                .newest
                .saturating_add(1)
                .max(slot.saturating_sub(N as i64));
            for passed in first..=slot {
                if let Some(count) = self.count_mut(passed) {
                    *count = 0;
                }
            }
            self.newest = slot;
        } else if slot <= self.newest.saturating_sub(N as i64) {
            return;
        }
        if let Some(count) = self.count_mut(slot) {
            *count = count.saturating_add(1);
        }
    }

    fn sum(&self, slot: i64) -> u32 {
        let oldest = slot.saturating_sub(N as i64);
        let slots = oldest
            .max(self.newest.saturating_sub(N as i64))
            .saturating_add(1)..=self.newest;
        let count = |slot: i64| {
            let at = usize::try_from(slot.rem_euclid(N as i64)).unwrap_or_default();
            self.counts.get(at).copied().unwrap_or_default()
        };
        slots.map(count).fold(0, u32::saturating_add)
    }
}

impl Rate {
    pub(super) fn new(caller: &str, now: Millis) -> Self {
        Self {
            caller: caller.into(),
            denies: Slots::new(now.div_euclid(MINUTE)),
            requests: Slots::new(now.div_euclid(5 * MINUTE)),
            first: day(now),
            last: day(now),
            days: vec![(0, 0); DAYS],
        }
    }

    fn at(day: i32) -> usize {
        usize::try_from(day.rem_euclid(DAYS as i32)).unwrap_or_default()
    }

    /// Counts a request, and whether it was denied.
    pub(super) fn add(&mut self, now: Millis, denied: bool) {
        let today = day(now);
        let oldest = today.saturating_sub(DAYS as i32 - 1);
        for passed in self.last.saturating_add(1).max(oldest)..=today {
            if let Some(counts) = self.days.get_mut(Self::at(passed)) {
                *counts = (0, 0);
            }
        }
        self.last = self.last.max(today);
        self.requests.add(now.div_euclid(5 * MINUTE));
        let Some(counts) = self.days.get_mut(Self::at(today)) else {
            return;
        };
        counts.0 = counts.0.saturating_add(1);
        if denied {
            counts.1 = counts.1.saturating_add(1);
            self.denies.add(now.div_euclid(MINUTE));
        }
    }

    /// What there is now, and what is usual.
    pub(super) fn measured(&self, now: Millis) -> Rates {
        let today = day(now);
        let known = u64::try_from(today.saturating_sub(self.first).saturating_add(1)).unwrap_or(1);
        let known = known.clamp(1, DAYS as u64);
        let oldest = today.saturating_sub(DAYS as i32 - 1);
        let (mut requests, mut denies) = (0u64, 0u64);
        for day in oldest.max(self.last.saturating_sub(DAYS as i32 - 1))..=self.last {
            let (some, denied) = self.days.get(Self::at(day)).copied().unwrap_or_default();
            requests += u64::from(some);
            denies += u64::from(denied);
        }
        Rates {
            denies: self.denies.sum(now.div_euclid(MINUTE)),
            usual_denies: denies * 10_000 / (known * TENS),
            requests: self.requests.sum(now.div_euclid(5 * MINUTE)),
            usual_requests: requests * 10_000 / (known * HOURS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_within_ten_minutes_and_an_hour() {
        let mut rate = Rate::new("app", 0);
        for minute in 0..30 {
            rate.add(minute * MINUTE, true);
        }
        let now = rate.measured(29 * MINUTE);
        assert_eq!((now.denies, now.requests), (10, 30));
        assert_eq!(
            (now.usual_denies, now.usual_requests),
            (30 * 10_000 / 144, 30 * 10_000 / 24)
        );
        assert_eq!(rate.measured(34 * MINUTE).denies, 5);
        assert_eq!(rate.measured(39 * MINUTE).denies, 0);
        assert_eq!(rate.measured(59 * MINUTE).requests, 30);
        assert_eq!(rate.measured(60 * MINUTE).requests, 25);
        assert_eq!(rate.measured(300 * MINUTE).requests, 0);
    }

    #[test]
    fn usual_rates_are_of_thirty_days() {
        let day = 1_440 * MINUTE;
        let mut rate = Rate::new("app", 0);
        for n in 0..30 {
            rate.add(n * day, false);
        }
        assert_eq!(rate.measured(29 * day).usual_requests, 10_000 / 24);
        rate.add(100 * day, false);
        assert_eq!(rate.measured(100 * day).usual_requests, 10_000 / (30 * 24));
    }

    #[test]
    fn a_clock_that_goes_back_counts_for_the_slot_it_names_or_not_at_all() {
        let mut rate = Rate::new("app", 0);
        rate.add(100 * MINUTE, true);
        rate.add(99 * MINUTE, true);
        rate.add(0, true);
        assert_eq!(rate.measured(100 * MINUTE).denies, 2);
    }
}
