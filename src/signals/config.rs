//! The numbers of signals: `[trust.signals]`. Every one is a setting; the defaults are the published
//! model's.
//!
//! What enters: a table of the configuration. What leaves: [`SignalsConfig`], and from
//! [`SignalsConfig::check`] what is wrong with it, every fault at once.

mod span;

use serde::{Deserialize, Serialize};

pub use span::Span;

use super::event::Severity;
use super::kind::Sort;
use crate::score::Score;

/// Every number of signals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignalsConfig {
    /// In which time a finding loses half its risk.
    pub half_life: Span,
    /// How far an event may lie in the future.
    pub clock_skew: Span,
    /// How old an event may be when it arrives.
    pub max_event_age: Span,
    /// The longest override.
    pub max_override: Span,
    /// For how long something adverse counts as suspicious activity on record.
    pub suspicious_for: Span,
    /// For how long a revoked session is remembered, at least the absolute limit of sessions.
    pub revoked_for: Span,
    /// What is correlated, and what it weighs.
    pub correlation: CorrelationConfig,
    /// Rules that need no correlation.
    pub rules: RulesConfig,
    /// Hard blocks.
    pub block: BlockConfig,
    /// Rates of a principal.
    pub rates: RatesConfig,
    /// Limits of sessions.
    pub sessions: SessionsConfig,
    /// Places of a principal.
    pub places: PlacesConfig,
    /// How long what is kept.
    pub retention: RetentionConfig,
    /// How much is kept.
    pub bounds: BoundsConfig,
}

/// How events are correlated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CorrelationConfig {
    /// Events of a group are at most this far apart.
    pub window: Span,
    /// Fewer events are no group.
    pub min_events: u16,
    /// So many distinct types add `types_risk`.
    pub types: u16,
    /// What they add.
    pub types_risk: Score,
    /// Events that are less than this apart add `burst_risk`.
    pub burst: Span,
    /// What they add.
    pub burst_risk: Score,
    /// A mean severity that reaches this one adds `severity_risk`.
    pub severity: Severity,
    /// What it adds.
    pub severity_risk: Score,
    /// So many events add `many_risk`.
    pub many: u16,
    /// What they add.
    pub many_risk: Score,
    /// A risk above this is a finding.
    pub finding_above: Score,
    /// A risk above this is an incident.
    pub incident_above: Score,
}

/// A rule that counts events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountRule {
    /// So many events make it; 0 switches the rule off.
    pub events: u16,
    /// Within this time.
    pub window: Span,
    /// The risk of what it makes.
    pub risk: Score,
    /// The authentication level it demands.
    pub level: u8,
    /// For how long the level is demanded.
    pub lasts: Span,
}

/// A rule that one occurrence makes, and that lasts until it is remediated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnceRule {
    /// The risk of what it makes.
    pub risk: Score,
    /// The authentication level it demands.
    pub level: u8,
}

/// The direct rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RulesConfig {
    /// Failed logins, per user and address, or per address where no user is named.
    pub brute_force: CountRule,
    /// Suspicious requests.
    pub suspicious_requests: CountRule,
    /// The types of events that are suspicious requests.
    pub suspicious_types: Vec<String>,
    /// Rate limits hit.
    pub rate_limits: CountRule,
    /// Impossible travel: a finding of this risk, and an incident that lasts.
    pub impossible_travel: OnceRule,
    /// Impossible travel of one user is reported at most once within this time.
    pub travel_again: Span,
    /// A credential that is known to others.
    pub credential_compromise: OnceRule,
}

/// Hard blocks, which are opted into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BlockConfig {
    /// Whether brute force blocks the user at that address, or the address.
    pub enabled: bool,
    /// For how long.
    pub lasts: Span,
}

/// Rates of a principal, which are opted into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RatesConfig {
    /// Whether requests and denies are counted per caller and principal.
    pub enabled: bool,
    /// Callers whose counts are kept for one principal.
    pub callers: u16,
}

/// Limits of sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionsConfig {
    /// A session that was not used for so long proves nothing any more.
    pub idle: Span,
    /// A session that is so old proves nothing any more.
    pub absolute: Span,
    /// Sessions of a user at once; of more the oldest ends. 0 is no limit.
    pub concurrent: u16,
}

/// When a place is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlacesConfig {
    /// On so many distinct days.
    pub days: u16,
    /// Of so many last ones.
    pub within_days: u16,
}

/// How long what is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// Events.
    pub events: Span,
    /// Findings and incidents that ended.
    pub findings: Span,
    /// Places, hours and counts; also how long a user is known that was not seen again.
    pub history: Span,
}

/// How much is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BoundsConfig {
    /// Users, and registered devices, and sessions of each user's limit.
    pub max_subjects: u32,
    /// Addresses, sessions and devices that only events are known of, each.
    pub max_windows: u32,
    /// Events of a user.
    pub events: u16,
    /// Events of an address, of a session, of a device, and of a user at one address.
    pub window_events: u16,
    /// Findings of a subject.
    pub findings: u16,
    /// Places of a user.
    pub places: u16,
    /// Recorded sessions of a user.
    pub sessions: u16,
    /// Registered devices of a user.
    pub devices: u16,
    /// Addresses of a user whose events are counted apart, and new addresses and sessions that one
    /// user's events may add within one correlation window.
    pub addresses: u16,
}

impl Default for SignalsConfig {
    fn default() -> Self {
        Self {
            half_life: Span::hours(1),
            clock_skew: Span::minutes(5),
            max_event_age: Span::days(7),
            max_override: Span::hours(24),
            suspicious_for: Span::days(30),
            revoked_for: Span::days(30),
            correlation: CorrelationConfig::default(),
            rules: RulesConfig::default(),
            block: BlockConfig::default(),
            rates: RatesConfig::default(),
            sessions: SessionsConfig::default(),
            places: PlacesConfig::default(),
            retention: RetentionConfig::default(),
            bounds: BoundsConfig::default(),
        }
    }
}

impl Default for CorrelationConfig {
    fn default() -> Self {
        Self {
            window: Span::minutes(10),
            min_events: 3,
            types: 3,
            types_risk: Score::new(3_000),
            burst: Span::minutes(5),
            burst_risk: Score::new(2_000),
            severity: Severity::High,
            severity_risk: Score::new(3_000),
            many: 5,
            many_risk: Score::new(2_000),
            finding_above: Score::new(5_000),
            incident_above: Score::new(8_000),
        }
    }
}

impl Default for RulesConfig {
    fn default() -> Self {
        let medium = |events| CountRule {
            events,
            window: Span::minutes(15),
            risk: Score::HALF,
            level: 2,
            lasts: Span::hours(1),
        };
        Self {
            brute_force: medium(5),
            suspicious_requests: medium(10),
            suspicious_types: [Sort::AnomalousApiUsage, Sort::SensitiveDataAccess]
                .map(|sort| sort.name().to_owned())
                .to_vec(),
            rate_limits: medium(20),
            impossible_travel: OnceRule {
                risk: Score::new(9_000),
                level: 3,
            },
            travel_again: Span::hours(1),
            credential_compromise: OnceRule {
                risk: Score::ONE,
                level: 3,
            },
        }
    }
}

impl Default for BlockConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            lasts: Span::hours(1),
        }
    }
}

impl Default for RatesConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            callers: 8,
        }
    }
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self {
            idle: Span::minutes(30),
            absolute: Span::hours(8),
            concurrent: 3,
        }
    }
}

impl Default for PlacesConfig {
    fn default() -> Self {
        Self {
            days: 3,
            within_days: 90,
        }
    }
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            events: Span::days(90),
            findings: Span::days(90),
            history: Span::days(90),
        }
    }
}

impl Default for BoundsConfig {
    fn default() -> Self {
        Self {
            max_subjects: 100_000,
            max_windows: 50_000,
            events: 100,
            window_events: 32,
            findings: 32,
            places: 32,
            sessions: 16,
            devices: 32,
            addresses: 16,
        }
    }
}

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
        let places = Span::days(i64::from(self.places.within_days));
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
            if Sort::from_name(name).is_none_or(|sort| !sort.security()) {
                let shown: String = name.chars().take(60).collect();
                faults.push(format!(
                    "`rules.suspicious_types` has `{shown}`, which is no type of security event such as \
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
    pub(super) fn counted(&self) -> [(&'static str, &CountRule); 3] {
        [
            ("brute_force", &self.brute_force),
            ("suspicious_requests", &self.suspicious_requests),
            ("rate_limits", &self.rate_limits),
        ]
    }
}
