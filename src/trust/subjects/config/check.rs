//! What is wrong with settings, every fault at once, each with the name of its setting.

use super::{CountRule, RulesConfig, SignalsConfig, Span};
use crate::trust::model::Score;
use crate::trust::subjects::kind::EventType;

impl SignalsConfig {
    /// What is wrong with it, each fault with the name of its setting.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut faults = Vec::new();
        self.check_times(&mut faults);
        self.check_rules(&mut faults);
        self.check_bounds(&mut faults);
        faults
    }

    fn check_times(&self, faults: &mut Vec<String>) {
        let (none, minute, day) = (Span::ZERO, Span::minutes(1), Span::days(1));
        let (correlation, sessions, kept) = (&self.correlation, &self.sessions, &self.retention);
        let places = Span::days(u64::from(self.places.within_days));
        for (name, span, least, most) in [
            ("half_life", self.half_life, minute, Span::days(30)),
            ("clock_skew", self.clock_skew, none, Span::hours(1)),
            ("max_event_age", self.max_event_age, minute, kept.events),
            ("max_override", self.max_override, minute, Span::days(7)),
            ("suspicious_for", self.suspicious_for, minute, kept.findings),
            ("correlation.window", correlation.window, minute, day),
            (
                "correlation.burst",
                correlation.burst,
                none,
                correlation.window,
            ),
            ("sessions.idle", sessions.idle, minute, Span::days(365)),
            (
                "sessions.absolute",
                sessions.absolute,
                minute,
                Span::days(365),
            ),
            (
                "revoked_for",
                self.revoked_for,
                sessions.absolute,
                Span::days(3_650),
            ),
            ("block.lasts", self.block.lasts, minute, Span::days(30)),
            (
                "rules.travel_again",
                self.rules.travel_again,
                none,
                Span::days(30),
            ),
            ("retention.history", kept.history, day, Span::days(3_650)),
            ("places.within_days", places, day, kept.history),
        ] {
            if span < least || span > most {
                faults.push(format!("`{name}` is {span}; it must be {least} to {most}"));
            }
        }
    }

    fn check_rules(&self, faults: &mut Vec<String>) {
        let (of, rules) = (&self.correlation, &self.rules);
        let mut risk = |name: &str, risk: Score| {
            if risk != risk.clamped() {
                faults.push(format!("`{name}` is {risk}; it must be 0 to 1"));
            }
        };
        risk("correlation.types_risk", of.types_risk);
        risk("correlation.burst_risk", of.burst_risk);
        risk("correlation.severity_risk", of.severity_risk);
        risk("correlation.many_risk", of.many_risk);
        risk("correlation.finding_above", of.finding_above);
        risk("correlation.incident_above", of.incident_above);
        let once = [
            ("impossible_travel", &rules.impossible_travel),
            ("credential_compromise", &rules.credential_compromise),
        ];
        let once = once.map(|(name, rule)| (name, rule.risk, rule.level));
        let counted = rules.counted();
        let counted = counted.map(|(name, rule)| (name, rule.risk, rule.level));
        let all = || once.iter().chain(&counted);
        for (name, of, _) in all() {
            risk(&format!("rules.{name}.risk"), *of);
        }
        if of.incident_above < of.finding_above {
            faults.push(
                "`correlation.incident_above` must not be below `correlation.finding_above`".into(),
            );
        }
        if of.min_events < 2 {
            faults.push("`correlation.min_events` must be at least 2".into());
        }
        for (name, _, level) in all().filter(|(_, _, level)| *level > 4) {
            faults.push(format!(
                "`rules.{name}.level` is {level}; it must be 0 to 4"
            ));
        }
        for (name, rule) in rules.counted() {
            let most = Span::days(1);
            if rule.window < Span::seconds(1) || rule.window > most {
                faults.push(format!("`rules.{name}.window` must be 1s to {most}"));
            }
            if rule.lasts > Span::days(30) {
                faults.push(format!("`rules.{name}.lasts` must be at most 30d"));
            }
            if rule.events > self.bounds.window_events {
                faults.push(format!(
                    "`rules.{name}.events` is {}, but only {} events are kept (`bounds.window_events`)",
                    rule.events, self.bounds.window_events
                ));
            }
        }
        for name in &rules.suspicious_types {
            if EventType::from_name(name).is_none_or(|kind| !kind.security()) {
                let shown: String = name.chars().take(60).collect();
                faults.push(format!(
                    "`rules.suspicious_types` has `{shown}`, which is not a type of security event such as \
                     `app.anomalous_api_usage`"
                ));
            }
        }
    }

    fn check_bounds(&self, faults: &mut Vec<String>) {
        let of = &self.bounds;
        let groups = u32::from(self.correlation.many.max(self.correlation.min_events));
        let sessions = u32::from(self.sessions.concurrent).max(1);
        for (name, value, least, most) in [
            ("bounds.max_subjects", of.max_subjects, 1, 10_000_000),
            ("bounds.max_strangers", of.max_strangers, 0, 10_000_000),
            ("bounds.max_windows", of.max_windows, 1, 10_000_000),
            ("bounds.events", of.events.into(), groups, 1_000),
            (
                "bounds.window_events",
                of.window_events.into(),
                groups,
                1_000,
            ),
            ("bounds.findings", of.findings.into(), 4, 256),
            ("bounds.places", of.places.into(), 4, 256),
            ("bounds.devices", of.devices.into(), 1, 256),
            ("bounds.addresses", of.addresses.into(), 1, 256),
            ("bounds.sessions", of.sessions.into(), sessions, 256),
            ("rates.callers", self.rates.callers.into(), 1, 64),
            ("places.days", self.places.days.into(), 1, 16),
        ] {
            if value < least || value > most {
                faults.push(format!("`{name}` is {value}; it must be {least} to {most}"));
            }
        }
    }
}

impl RulesConfig {
    fn counted(&self) -> [(&'static str, &CountRule); 3] {
        [
            ("brute_force", &self.brute_force),
            ("suspicious_requests", &self.suspicious_requests),
            ("rate_limits", &self.rate_limits),
        ]
    }
}
