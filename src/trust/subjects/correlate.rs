//! The risk of events that belong together.
//!
//! A group is any three or more events within the window, and the risk of a window is that of its worst
//! group. So another event, however harmless, never lowers the risk: nobody dilutes a mean severity by
//! adding trifles.

use super::config::CorrelationConfig;
use super::kind::{EventType, Severity};
use super::window::StoredEvent;
use crate::trust::model::Score;

fn rank(severity: Severity) -> u32 {
    match severity {
        Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
        Severity::Critical => 4,
    }
}

/// The risk of the worst group that begins with the first of `events` or later. They are in the order of
/// time and within one window.
pub(super) fn risk(events: &[StoredEvent], config: &CorrelationConfig) -> Score {
    let Some(first) = events.first() else {
        return Score::ZERO;
    };
    let whole = Tally::of(events).risk(config);
    let end = first.at.saturating_add(config.burst.millis());
    let near = events.partition_point(|kept| kept.at < end);
    let burst = Tally::of(events.get(..near).unwrap_or_default());
    let burst = match burst.events >= u32::from(config.min_events) {
        true => burst.risk(config) + config.burst_risk,
        false => Score::ZERO,
    };
    whole.max(burst).clamped()
}

/// How many events of which severity, and the highest severity of each type.
#[derive(Default)]
struct Tally {
    events: u32,
    severities: [u32; 5],
    types: [u32; EventType::ALL.len()],
}

impl Tally {
    fn of(events: &[StoredEvent]) -> Self {
        let mut tally = Self::default();
        for kept in events {
            let severity = rank(kept.severity);
            tally.events += 1;
            if let Some(count) = tally.severities.get_mut(severity as usize) {
                *count += 1;
            }
            if let Some(highest) = tally.types.get_mut(kept.kind as usize) {
                *highest = (*highest).max(severity);
            }
        }
        tally
    }

    /// The most that a group among these events comes to, besides what a short span adds.
    fn risk(&self, config: &CorrelationConfig) -> Score {
        let least = u32::from(config.min_events);
        if self.events < least {
            return Score::ZERO;
        }
        let (types, many) = (u32::from(config.types), u32::from(config.many));
        let distinct = self.types.iter().filter(|severity| **severity > 0).count();
        let varied = u32::try_from(distinct).unwrap_or(u32::MAX) >= types;
        let numerous = self.events >= many;
        let mut highest = Score::ZERO;
        // Every choice of what the group is to show; the mean severity is then as high as can be.
        for with_types in [false, true] {
            for with_many in [false, true] {
                if (with_types && !varied) || (with_many && !numerous) {
                    continue;
                }
                let mut risk = Score::ZERO;
                let mut size = least;
                let mut apart = 0;
                if with_types {
                    risk = risk + config.types_risk;
                    size = size.max(types);
                    apart = types;
                }
                if with_many {
                    risk = risk + config.many_risk;
                    size = size.max(many);
                }
                if self.reaches(rank(config.severity), size, apart) {
                    risk = risk + config.severity_risk;
                }
                highest = highest.max(risk);
            }
        }
        highest
    }

    /// Whether some group of `size` events or more, `apart` of which are of distinct types, has at least
    /// this mean severity: what it has above the mean makes up for what it has below.
    fn reaches(&self, mean: u32, size: u32, apart: u32) -> bool {
        let mut left = self.severities;
        let mut types = self.types;
        types.sort_unstable_by(|a, b| b.cmp(a));
        let (mut above, mut below, mut taken) = (0, 0, 0);
        let mut take = |severity: u32, count: u32| {
            above += severity.saturating_sub(mean) * count;
            below += mean.saturating_sub(severity) * count;
            taken += count;
            taken
        };
        let mut size_now = 0;
        for severity in types.into_iter().take(apart as usize) {
            size_now = take(severity, 1);
            if let Some(count) = left.get_mut(severity as usize) {
                *count = count.saturating_sub(1);
            }
        }
        for severity in [4, 3, 2, 1] {
            let there = left.get(severity as usize).copied().unwrap_or_default();
            // One that is not below the mean never harms.
            let count = match severity >= mean {
                true => there,
                false => there.min(size.saturating_sub(size_now)),
            };
            size_now = take(severity, count);
        }
        above >= below
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use EventType::{
        LoginFailed as Login, MfaBypassAttempt as Mfa, PrivilegeEscalation as Escalation,
        RateLimitHit as Rate,
    };
    use Severity::{Critical, High, Low, Medium};

    fn kept((at, kind, severity): (i64, EventType, Severity)) -> StoredEvent {
        StoredEvent {
            at,
            kind,
            severity,
            counts: true,
            label: None,
        }
    }

    #[track_caller]
    fn check(events: &[(i64, EventType, Severity)], expect: i32) {
        let events: Vec<_> = events.iter().copied().map(kept).collect();
        let risk = risk(&events, &CorrelationConfig::default());
        assert_eq!(risk.ten_thousandths(), expect);
    }

    const MINUTES: i64 = 60_000;

    #[test]
    fn a_group_needs_three_events() {
        check(&[], 0);
        check(&[(0, Login, Critical), (1, Mfa, Critical)], 0);
        check(
            &[(0, Login, Low), (1, Login, Low), (5 * MINUTES, Login, Low)],
            0,
        );
    }

    #[test]
    fn three_distinct_types_add_three_tenths() {
        check(
            &[(0, Login, Low), (1, Mfa, Low), (5 * MINUTES, Rate, Low)],
            3_000,
        );
        check(
            &[(0, Login, Low), (1, Mfa, Low), (5 * MINUTES, Mfa, Low)],
            0,
        );
    }

    #[test]
    fn a_span_under_five_minutes_adds_two_tenths() {
        check(
            &[
                (0, Login, Low),
                (1, Login, Low),
                (5 * MINUTES - 1, Login, Low),
            ],
            2_000,
        );
        check(
            &[(0, Login, Low), (1, Login, Low), (5 * MINUTES, Login, Low)],
            0,
        );
    }

    #[test]
    fn a_mean_severity_of_three_adds_three_tenths() {
        let far = 5 * MINUTES;
        check(
            &[(0, Login, High), (1, Login, High), (far, Login, High)],
            3_000,
        );
        check(
            &[(0, Login, Critical), (1, Login, High), (far, Login, Medium)],
            3_000,
        );
        check(
            &[(0, Login, High), (1, Login, High), (far, Login, Medium)],
            0,
        );
    }

    #[test]
    fn five_events_add_two_tenths() {
        let far = 5 * MINUTES;
        let four = [
            (0, Login, Low),
            (1, Login, Low),
            (2, Login, Low),
            (far, Login, Low),
        ];
        // Three of the four are a burst.
        check(&four, 2_000);
        let spread = |n: i64| {
            (0..n)
                .map(|i| (i * 5 * MINUTES / 2, Login, Low))
                .collect::<Vec<_>>()
        };
        check(&spread(4), 0);
        check(&spread(5), 2_000);
    }

    #[test]
    fn all_of_it_is_one() {
        let all = [
            (0, Login, High),
            (1, Mfa, High),
            (2, Escalation, High),
            (3, Rate, High),
            (4, Login, High),
        ];
        check(&all, 10_000);
        check(&all[..4], 8_000);
    }

    #[test]
    fn trifles_dilute_nothing() {
        let mut events = vec![(0, Login, High), (1, Mfa, High), (2, Escalation, High)];
        check(&events, 8_000);
        events.push((3, Rate, Low));
        check(&events, 8_000);
        events.push((4, Rate, Low));
        check(&events, 8_000);
    }

    fn any_event() -> impl Strategy<Value = (i64, EventType, Severity)> {
        (
            0..10 * MINUTES,
            prop::sample::select(vec![
                Login,
                Mfa,
                Escalation,
                Rate,
                EventType::SuspiciousLocation,
            ]),
            prop::sample::select(vec![Low, Medium, High, Critical]),
        )
    }

    /// Tries every group.
    fn by_trying(events: &[StoredEvent], config: &CorrelationConfig) -> Score {
        let mut highest = Score::ZERO;
        for chosen in 0..1u32 << events.len() {
            let group: Vec<_> = (0..events.len()).filter(|i| chosen >> i & 1 == 1).collect();
            let group: Vec<_> = group.into_iter().map(|i| &events[i]).collect();
            if group.len() < usize::from(config.min_events) {
                continue;
            }
            let mut risk = Score::ZERO;
            let types: std::collections::HashSet<_> = group.iter().map(|e| e.kind).collect();
            if types.len() >= usize::from(config.types) {
                risk = risk + config.types_risk;
            }
            if group[group.len() - 1].at - group[0].at < config.burst.millis() {
                risk = risk + config.burst_risk;
            }
            let sum: u32 = group.iter().map(|e| rank(e.severity)).sum();
            if sum as usize >= 3 * group.len() {
                risk = risk + config.severity_risk;
            }
            if group.len() >= usize::from(config.many) {
                risk = risk + config.many_risk;
            }
            highest = highest.max(risk.clamped());
        }
        highest
    }

    proptest! {
        /// The worst over what begins at each event is the worst of all groups there are.
        #[test]
        fn is_the_worst_of_all_groups(events in prop::collection::vec(any_event(), 0..9)) {
            let mut events: Vec<_> = events.into_iter().map(kept).collect();
            events.sort_by_key(|event| event.at);
            let config = CorrelationConfig::default();
            let starts = 0..events.len();
            let worst = starts.map(|i| risk(&events[i..], &config)).max().unwrap_or_default();
            prop_assert_eq!(worst, by_trying(&events, &config));
        }
    }
}
