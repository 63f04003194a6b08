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
        let minute = Span::minutes(1);
        let mut within = |name: &str, span: Span, least: Span, most: Span| {
            if span < least || span > most {
                faults.push(format!("`{name}` is {span}; it must be {least} to {most}"));
            }
        };
        within("half_life", self.half_life, minute, Span::days(30));
        within(
            "clock_skew",
            self.clock_skew,
            Span::default(),
            Span::hours(1),
        );
        within(
            "max_event_age",
            self.max_event_age,
            minute,
            self.retention.events,
        );
        within("max_override", self.max_override, minute, Span::days(7));
        within(
            "suspicious_for",
            self.suspicious_for,
            minute,
            self.retention.findings,
        );
        within(
            "correlation.window",
            self.correlation.window,
            minute,
            Span::days(1),
        );
        within(
            "correlation.burst",
            self.correlation.burst,
            Span::default(),
            self.correlation.window,
        );
        within("sessions.idle", self.sessions.idle, minute, Span::days(365));
        within(
            "sessions.absolute",
            self.sessions.absolute,
            minute,
            Span::days(365),
        );
        within(
            "revoked_for",
            self.revoked_for,
            self.sessions.absolute,
            Span::days(3_650),
        );
        within("block.lasts", self.block.lasts, minute, Span::days(30));
        within(
            "rules.travel_again",
            self.rules.travel_again,
            Span::default(),
            Span::days(30),
        );
        within(
            "retention.history",
            self.retention.history,
            Span::days(1),
            Span::days(3_650),
        );
        let places = Span::days(u64::from(self.places.within_days));
        within(
            "places.within_days",
            places,
            Span::days(1),
            self.retention.history,
        );
    }

    fn check_rules(&self, faults: &mut Vec<String>) {
        let correlation = &self.correlation;
        let rules = &self.rules;
        let mut risk = |name: &str, risk: Score| {
            if risk != risk.clamped() {
                faults.push(format!("`{name}` is {risk}; it must be 0 to 1"));
            }
        };
        risk("correlation.types_risk", correlation.types_risk);
        risk("correlation.burst_risk", correlation.burst_risk);
        risk("correlation.severity_risk", correlation.severity_risk);
        risk("correlation.many_risk", correlation.many_risk);
        risk("correlation.finding_above", correlation.finding_above);
        risk("correlation.incident_above", correlation.incident_above);
        risk("rules.impossible_travel.risk", rules.impossible_travel.risk);
        risk(
            "rules.credential_compromise.risk",
            rules.credential_compromise.risk,
        );
        for (name, rule) in rules.counted() {
            risk(&format!("rules.{name}.risk"), rule.risk);
        }
        if correlation.incident_above < correlation.finding_above {
            faults.push(
                "`correlation.incident_above` must not be below `correlation.finding_above`".into(),
            );
        }
        if correlation.min_events < 2 {
            faults.push("`correlation.min_events` must be at least 2".into());
        }
        let mut level = |name: String, level: u8| {
            if level > 4 {
                faults.push(format!("`{name}` is {level}; it must be 0 to 4"));
            }
        };
        level(
            "rules.impossible_travel.level".into(),
            rules.impossible_travel.level,
        );
        level(
            "rules.credential_compromise.level".into(),
            rules.credential_compromise.level,
        );
        for (name, rule) in rules.counted() {
            level(format!("rules.{name}.level"), rule.level);
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
        let bounds = &self.bounds;
        let mut within = |name: &str, value: u32, least: u32, most: u32| {
            if value < least || value > most {
                faults.push(format!("`{name}` is {value}; it must be {least} to {most}"));
            }
        };
        within("bounds.max_subjects", bounds.max_subjects, 1, 10_000_000);
        within("bounds.max_strangers", bounds.max_strangers, 0, 10_000_000);
        within("bounds.max_windows", bounds.max_windows, 1, 10_000_000);
        let groups = self.correlation.many.max(self.correlation.min_events);
        within("bounds.events", bounds.events.into(), groups.into(), 1_000);
        within(
            "bounds.window_events",
            bounds.window_events.into(),
            groups.into(),
            1_000,
        );
        within("bounds.findings", bounds.findings.into(), 4, 256);
        within("bounds.places", bounds.places.into(), 4, 256);
        within("bounds.devices", bounds.devices.into(), 1, 256);
        within("bounds.addresses", bounds.addresses.into(), 1, 256);
        let sessions = u32::from(self.sessions.concurrent).max(1);
        within("bounds.sessions", bounds.sessions.into(), sessions, 256);
        within("rates.callers", self.rates.callers.into(), 1, 64);
        within("places.days", self.places.days.into(), 1, 16);
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
