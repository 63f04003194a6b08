//! When a principal acts: on which days, and in which hours of the day (UTC).
//!
//! What enters: the instant of a decision that was Allow. What leaves: on how many distinct days the principal
//! acted before today, and how usual this hour is.
//! What must hold: a thousand decisions of one day count as much as one, and today's count from tomorrow on,
//! so that nobody buys a history in a hurry.

use serde::{Deserialize, Serialize};

use super::config::SignalsConfig;
use super::places::day;
use super::window::{Millis, NEVER, never, no_time};
use crate::trust::model::Score;

const HOUR: i64 = 3_600_000;
/// Days that are remembered one by one.
const DAYS: u32 = 128;

/// The days and hours of a principal's decisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Profile {
    /// On how many days there was a decision in each hour; older days count less and less.
    #[serde(rename = "dh", default)]
    hours: [u16; 24],
    /// The hours of the last day, a bit each. They are counted once the day is over.
    #[serde(rename = "th", default, skip_serializing_if = "zero")]
    today: u32,
    /// The days before the last one, a bit each: the lowest of the first number is the day before.
    #[serde(rename = "d", default)]
    days: (u64, u64),
    /// The day on which the hours were last halved.
    #[serde(rename = "a", default)]
    aged: i32,
    /// The last decision.
    #[serde(rename = "t", default = "no_time", skip_serializing_if = "never")]
    last: Millis,
}

fn zero(hours: &u32) -> bool {
    *hours == 0
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            hours: [0; 24],
            today: 0,
            days: (0, 0),
            aged: 0,
            last: NEVER,
        }
    }
}

fn hour(now: Millis) -> usize {
    usize::try_from(now.div_euclid(HOUR).rem_euclid(24)).unwrap_or_default()
}

/// The lowest `count` bits.
fn lowest(count: u32) -> u128 {
    match count {
        DAYS.. => u128::MAX,
        count => (1 << count) - 1,
    }
}

impl Profile {
    /// The last decision.
    pub(super) fn last(&self) -> Millis {
        self.last
    }

    fn bits(&self) -> u128 {
        u128::from(self.days.0) | u128::from(self.days.1) << 64
    }

    fn set_bits(&mut self, bits: u128) {
        let low = u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default();
        self.days = (low, u64::try_from(bits >> 64).unwrap_or_default());
    }

    /// Days between the last decision's and this one.
    fn passed(&self, now: Millis) -> u32 {
        u32::try_from(day(now).saturating_sub(day(self.last))).unwrap_or(0)
    }

    /// On how many distinct days before today there was a decision, and the share that this hour of the day
    /// has among the hours of those days.
    pub(super) fn measured(&self, now: Millis, config: &SignalsConfig) -> (u32, Score) {
        let history = config.retention.history.millis();
        if self.last == NEVER || now.saturating_sub(self.last) > history {
            return (0, Score::ZERO);
        }
        let passed = self.passed(now);
        let over = passed > 0;
        // Of the days before the last, those that are within the retention of today.
        let kept = u32::try_from(day(history)).unwrap_or(DAYS);
        let earlier = self.bits() & lowest(kept.saturating_sub(passed));
        let days = earlier.count_ones() + u32::from(over && self.today != 0);
        let last = |hour: usize| u32::from(over && self.today >> hour & 1 == 1);
        let counted = |(hour, count): (usize, &u16)| u32::from(*count) + last(hour);
        let total: u32 = self.hours.iter().enumerate().map(counted).sum();
        if total == 0 {
            return (days, Score::ZERO);
        }
        let at = hour(now);
        let here = u32::from(self.hours.get(at).copied().unwrap_or_default()) + last(at);
        let share = (u64::from(here) * 20_000 + u64::from(total)) / (u64::from(total) * 2);
        (days, Score::new(i32::try_from(share).unwrap_or_default()))
    }

    /// Takes note of a decision.
    pub(super) fn add(&mut self, now: Millis, config: &SignalsConfig) {
        let (today, history) = (day(now), config.retention.history.millis());
        if self.last == NEVER || now.saturating_sub(self.last) > history {
            *self = Self::default();
            (self.aged, self.last) = (today, now);
        }
        let passed = self.passed(now);
        if passed > 0 {
            self.end_day();
            let bits = self.bits();
            self.set_bits(bits.checked_shl(passed - 1).unwrap_or(0));
        }
        // What is as old as the history is kept counts an eighth.
        let every = day(history / 3).max(1);
        while today.saturating_sub(self.aged) >= every {
            self.hours.iter_mut().for_each(|count| *count /= 2);
            self.aged = self.aged.saturating_add(every);
        }
        self.today |= 1 << hour(now);
        self.last = self.last.max(now);
    }

    /// Counts the last day, which becomes the day before.
    fn end_day(&mut self) {
        let today = std::mem::take(&mut self.today);
        for (hour, count) in self.hours.iter_mut().enumerate() {
            *count = count.saturating_add(u16::from(today >> hour & 1 == 1));
        }
        self.set_bits(self.bits() << 1 | u128::from(today != 0));
    }

    /// For a person.
    pub(super) fn describe(&self, now: Millis, config: &SignalsConfig) -> serde_json::Value {
        let (days, _) = self.measured(now, config);
        serde_json::json!({"days": days, "hours": self.hours})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * HOUR;

    fn made(decisions: impl IntoIterator<Item = (i64, u32)>) -> Profile {
        let mut profile = Profile::default();
        for (at, count) in decisions {
            for _ in 0..count {
                profile.add(at, &SignalsConfig::default());
            }
        }
        profile
    }

    #[track_caller]
    fn check(decisions: &[(i64, u32)], now: i64, days: u32, share: i32) {
        let measured = made(decisions.iter().copied()).measured(now, &SignalsConfig::default());
        assert_eq!(measured, (days, Score::new(share)));
    }

    #[test]
    fn a_day_counts_once_and_from_the_next_day_on() {
        check(&[], 0, 0, 0);
        check(&[(0, 1_000)], DAY - 1, 0, 0);
        check(&[(0, 1_000)], DAY, 1, 10_000);
        check(&[(0, 1), (DAY, 1_000)], DAY + 1, 1, 10_000);
        check(&[(0, 1), (DAY, 1_000)], 2 * DAY, 2, 10_000);
        check(&[(0, 1), (5 * DAY, 1)], 6 * DAY, 2, 10_000);
        // A clock that goes back makes no day.
        check(&[(5 * DAY, 1), (0, 1)], 6 * DAY, 1, 10_000);
    }

    #[test]
    fn shares_of_hours() {
        let work = |hour: i64| (0..10).map(move |day| (day * DAY + hour * HOUR, 1));
        let profile = made(work(9));
        let share = |hour: i64| {
            let (_, share) = profile.measured(10 * DAY + hour * HOUR, &SignalsConfig::default());
            share
        };
        assert_eq!((share(9), share(3)), (Score::ONE, Score::ZERO));
        check(&[(0, 1), (HOUR, 1), (2 * HOUR, 1)], DAY, 1, 3_333);
        // However often it is asked in an unusual hour, the hour stays unusual today.
        let mut often = made(work(9));
        for n in 0..1_000 {
            often.add(10 * DAY + 3 * HOUR + n, &SignalsConfig::default());
        }
        let now = 10 * DAY + 3 * HOUR + 2_000;
        assert_eq!(
            often.measured(now, &SignalsConfig::default()),
            (10, Score::ZERO)
        );
    }

    #[test]
    fn ages_out() {
        check(&[(0, 1)], 90 * DAY, 1, 10_000);
        check(&[(0, 1)], 90 * DAY + 1, 0, 0);
        check(&[(0, 1), (89 * DAY, 1)], 90 * DAY, 2, 10_000);
        check(&[(0, 1), (89 * DAY, 1)], 91 * DAY, 1, 10_000);
        check(&[(0, 1), (400 * DAY, 1)], 401 * DAY, 1, 10_000);
        let all = made((0..400).map(|n| (n * DAY, 1)));
        let (days, _) = all.measured(400 * DAY, &SignalsConfig::default());
        assert_eq!(days, 90);
    }

    #[test]
    fn is_kept_and_read() {
        let profile = made((0..100).map(|n| (n * DAY + (n % 24) * HOUR, 1)));
        let text = serde_json::to_string(&profile).unwrap();
        assert_eq!(serde_json::from_str::<Profile>(&text).unwrap(), profile);
        // A record that counted decisions says nothing of days.
        let before =
            r#"{"h":[9,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],"a":1,"t":86400000}"#;
        let read: Profile = serde_json::from_str(before).unwrap();
        assert_eq!(read.measured(2 * DAY, &SignalsConfig::default()).0, 0);
    }
}
