//! When a principal acts: its decisions by the hour of the day (UTC), old ones counting less and less.

use serde::{Deserialize, Serialize};

use super::config::SignalsConfig;
use super::places::day;
use super::window::{Millis, NEVER, never, no_time};
use crate::score::Score;

/// More than this is halved, so that new habits show.
const LARGE: u32 = 20_000;
const HOUR: i64 = 3_600_000;

/// Decisions by the hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Profile {
    #[serde(rename = "h", default)]
    hours: [u16; 24],
    /// The day on which it was last halved.
    #[serde(rename = "a", default)]
    aged: i32,
    /// The last decision.
    #[serde(rename = "t", default = "no_time", skip_serializing_if = "never")]
    last: Millis,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            hours: [0; 24],
            aged: 0,
            last: NEVER,
        }
    }
}

fn hour(now: Millis) -> usize {
    usize::try_from(now.div_euclid(HOUR).rem_euclid(24)).unwrap_or_default()
}

impl Profile {
    /// The last decision.
    pub(super) fn last(&self) -> Millis {
        self.last
    }

    fn sum(&self) -> u32 {
        self.hours.iter().map(|count| u32::from(*count)).sum()
    }

    /// How many decisions it holds, and the share of those in this hour of the day.
    pub(super) fn measured(&self, now: Millis, config: &SignalsConfig) -> (u32, Score) {
        let gone = now.saturating_sub(self.last) > config.retention.history.millis();
        let total = if gone { 0 } else { self.sum() };
        if total == 0 {
            return (0, Score::ZERO);
        }
        let here = self.hours.get(hour(now)).copied().unwrap_or_default();
        let share = (u64::from(here) * 20_000 + u64::from(total)) / (u64::from(total) * 2);
        (total, Score::new(i32::try_from(share).unwrap_or_default()))
    }

    /// Counts a decision.
    pub(super) fn add(&mut self, now: Millis, config: &SignalsConfig) {
        let (today, history) = (day(now), config.retention.history.millis());
        if self.last == NEVER || now.saturating_sub(self.last) > history {
            self.hours = [0; 24];
            self.aged = today;
        }
        // What is as old as the history is kept counts an eighth.
        let every = day(history / 3).max(1);
        while today.saturating_sub(self.aged) >= every {
            self.halve();
            self.aged = self.aged.saturating_add(every);
        }
        if self.sum() >= LARGE {
            self.halve();
        }
        if let Some(count) = self.hours.get_mut(hour(now)) {
            *count = count.saturating_add(1);
        }
        self.last = self.last.max(now);
    }

    fn halve(&mut self) {
        for count in &mut self.hours {
            *count /= 2;
        }
    }

    /// For a person.
    pub(super) fn describe(&self, now: Millis, config: &SignalsConfig) -> serde_json::Value {
        let (history, _) = self.measured(now, config);
        serde_json::json!({"decisions": history, "hours": self.hours})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * HOUR;

    fn made(decisions: &[(i64, u32)]) -> Profile {
        let mut profile = Profile::default();
        for (at, count) in decisions {
            for _ in 0..*count {
                profile.add(*at, &SignalsConfig::default());
            }
        }
        profile
    }

    #[track_caller]
    fn check(decisions: &[(i64, u32)], now: i64, history: u32, share: i32) {
        let measured = made(decisions).measured(now, &SignalsConfig::default());
        assert_eq!(measured, (history, Score::new(share)));
    }

    #[test]
    fn shares_of_hours() {
        check(&[], 0, 0, 0);
        check(&[(0, 49), (HOUR, 1)], HOUR, 50, 200);
        check(&[(0, 49), (HOUR, 1)], DAY, 50, 9_800);
        check(&[(0, 49), (HOUR, 1)], 2 * HOUR, 50, 0);
        check(&[(-1, 1)], DAY - 1, 1, 10_000);
    }

    #[test]
    fn ages_out() {
        check(&[(0, 80), (30 * DAY, 1)], 30 * DAY, 41, 10_000);
        check(&[(0, 80), (90 * DAY, 1)], 90 * DAY, 11, 10_000);
        check(&[(0, 80), (90 * DAY + 1, 1)], 90 * DAY + 1, 1, 10_000);
        check(&[(0, 80)], 90 * DAY, 80, 10_000);
        check(&[(0, 80)], 90 * DAY + 1, 0, 0);
    }

    #[test]
    fn stays_small() {
        let profile = made(&[(0, LARGE + 5)]);
        let (total, _) = profile.measured(0, &SignalsConfig::default());
        assert!(total <= LARGE, "{total}");
    }
}
