//! The numbers of signals: `[trust.signals]`. Every one is a setting; the defaults are the published
//! model's.
//!
//! What enters: a table of the configuration. What leaves: [`SignalsConfig`], and from
//! [`SignalsConfig::check`] what is wrong with it, every fault at once.

mod check;

use serde::{Deserialize, Serialize};

pub use crate::base::span::Span;

use super::kind::{EventType, Severity};
use crate::base::settings::settings;
use crate::trust::model::Score;

settings! {
    /// Every number of signals.
    pub struct SignalsConfig {
        /// In which time a finding loses half its risk.
        pub half_life: Span = Span::hours(1),
        /// How far a security event or an authentication may lie in the future. An event that says how a state
        /// is may be of any instant; one of the future is taken as of now.
        pub clock_skew: Span = Span::minutes(5),
        /// How old a security event may be when it arrives.
        pub max_event_age: Span = Span::days(7),
        /// The longest override.
        pub max_override: Span = Span::hours(24),
        /// For how long something adverse counts as suspicious activity on record.
        pub suspicious_for: Span = Span::days(30),
        /// For how long a revoked session is remembered, at least the absolute limit of sessions.
        pub revoked_for: Span = Span::days(30),
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
        /// How long records are kept.
        pub retention: RetentionConfig,
        /// How many records are kept.
        pub bounds: BoundsConfig,
    }

    /// How events are correlated.
    pub struct CorrelationConfig {
        /// Events of a group are at most this far apart.
        pub window: Span = Span::minutes(10),
        /// Fewer events are no group.
        pub min_events: u16 = 3,
        /// So many distinct types add `types_risk`.
        pub types: u16 = 3,
        /// What they add.
        pub types_risk: Score = Score::new(3_000),
        /// Events that are less than this apart add `burst_risk`.
        pub burst: Span = Span::minutes(5),
        /// What they add.
        pub burst_risk: Score = Score::new(2_000),
        /// A mean severity that reaches this one adds `severity_risk`.
        pub severity: Severity = Severity::High,
        /// What it adds.
        pub severity_risk: Score = Score::new(3_000),
        /// So many events add `many_risk`.
        pub many: u16 = 5,
        /// What they add.
        pub many_risk: Score = Score::new(2_000),
        /// A risk above this is a finding.
        pub finding_above: Score = Score::new(5_000),
        /// A risk above this is an incident.
        pub incident_above: Score = Score::new(8_000),
    }
}

/// A rule that counts events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OnceRule {
    /// The risk of what it makes.
    pub risk: Score,
    /// The authentication level it demands.
    pub level: u8,
}

settings! {
    /// The direct rules.
    pub struct RulesConfig {
        /// Failed logins, per user and address, or per address where no user is named.
        pub brute_force: CountRule = medium(5),
        /// Suspicious requests.
        pub suspicious_requests: CountRule = medium(10),
        /// The types of events that are suspicious requests.
        pub suspicious_types: Vec<String> = [EventType::AnomalousApiUsage, EventType::SensitiveDataAccess]
            .map(|kind| kind.name().to_owned())
            .to_vec(),
        /// Rate limits hit.
        pub rate_limits: CountRule = medium(20),
        /// Impossible travel: a finding of this risk, and an incident that lasts. The risk is not above what an
        /// administrator has to approve; the level is what it demands.
        pub impossible_travel: OnceRule = OnceRule { risk: Score::new(8_000), level: 3 },
        /// Impossible travel of one user is reported at most once within this time.
        pub travel_again: Span = Span::hours(1),
        /// A credential that is known to others.
        pub credential_compromise: OnceRule = OnceRule { risk: Score::ONE, level: 3 },
    }

    /// Hard blocks; off unless enabled.
    pub struct BlockConfig {
        /// Whether brute force blocks the user at that address, or the address.
        pub enabled: bool,
        /// For how long.
        pub lasts: Span = Span::hours(1),
    }

    /// Rates of a principal; off unless enabled.
    pub struct RatesConfig {
        /// Whether requests and denies are counted per caller and principal.
        pub enabled: bool,
        /// Callers whose counts are kept for one principal.
        pub callers: u16 = 8,
    }

    /// Limits of sessions.
    pub struct SessionsConfig {
        /// Idle time after which a session proves nothing.
        pub idle: Span = Span::minutes(30),
        /// Age at which a session proves nothing.
        pub absolute: Span = Span::hours(8),
        /// Sessions of a user at once; with more, the oldest ends. 0 means no limit.
        pub concurrent: u16 = 3,
    }

    /// When a place counts as known.
    pub struct PlacesConfig {
        /// Distinct days on which it was seen.
        pub days: u16 = 3,
        /// The last days that are looked at.
        pub within_days: u16 = 90,
    }

    /// How long what is kept.
    pub struct RetentionConfig {
        /// Events.
        pub events: Span = Span::days(90),
        /// Findings and incidents that ended.
        pub findings: Span = Span::days(90),
        /// Places, hours and counts; also how long a user is known that was not seen again.
        pub history: Span = Span::days(90),
    }

    /// How much is kept.
    pub struct BoundsConfig {
        /// Users, and registered devices, and sessions of each user's limit.
        pub max_subjects: u32 = 100_000,
        /// Users of whom only decisions are known and who are neither stored entities nor of a verified token;
        /// of more the oldest goes. They count beside `max_subjects`.
        pub max_strangers: u32 = 10_000,
        /// Addresses, sessions and devices that only events are known of, each.
        pub max_windows: u32 = 50_000,
        /// Events of a user.
        pub events: u16 = 100,
        /// Events of an address, of a session, of a device, and of a user at one address.
        pub window_events: u16 = 32,
        /// Findings of a subject.
        pub findings: u16 = 32,
        /// Places of a user.
        pub places: u16 = 32,
        /// Recorded sessions of a user.
        pub sessions: u16 = 16,
        /// Registered devices of a user.
        pub devices: u16 = 32,
        /// Addresses of a user whose events are counted apart, and new addresses and sessions that one
        /// user's events may add within one correlation window.
        pub addresses: u16 = 16,
    }
}

/// A counting rule of medium risk.
fn medium(events: u16) -> CountRule {
    CountRule {
        events,
        window: Span::minutes(15),
        risk: Score::HALF,
        level: 2,
        lasts: Span::hours(1),
    }
}
