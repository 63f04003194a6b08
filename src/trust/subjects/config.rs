//! The numbers of signals: `[trust.signals]`. Every one is a setting; the defaults are the published
//! model's.
//!
//! What enters: a table of the configuration. What leaves: [`SignalsConfig`], and from
//! [`SignalsConfig::check`] what is wrong with it, every fault at once.

mod check;
mod defaults;

use serde::{Deserialize, Serialize};

pub use crate::base::span::Span;

use super::kind::Severity;
use crate::trust::model::Score;

/// Every number of signals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SignalsConfig {
    /// In which time a finding loses half its risk.
    pub half_life: Span,
    /// How far a security event or an authentication may lie in the future. An event that says how a state
    /// is may be of any instant; one of the future is taken as of now.
    pub clock_skew: Span,
    /// How old a security event may be when it arrives.
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
    /// How long records are kept.
    pub retention: RetentionConfig,
    /// How many records are kept.
    pub bounds: BoundsConfig,
}

/// How events are correlated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
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

/// The direct rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
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

/// Hard blocks; off unless enabled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct BlockConfig {
    /// Whether brute force blocks the user at that address, or the address.
    pub enabled: bool,
    /// For how long.
    pub lasts: Span,
}

/// Rates of a principal; off unless enabled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RatesConfig {
    /// Whether requests and denies are counted per caller and principal.
    pub enabled: bool,
    /// Callers whose counts are kept for one principal.
    pub callers: u16,
}

/// Limits of sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SessionsConfig {
    /// Idle time after which a session proves nothing.
    pub idle: Span,
    /// Age at which a session proves nothing.
    pub absolute: Span,
    /// Sessions of a user at once; with more, the oldest ends. 0 means no limit.
    pub concurrent: u16,
}

/// When a place counts as known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct PlacesConfig {
    /// Distinct days on which it was seen.
    pub days: u16,
    /// The last days that are looked at.
    pub within_days: u16,
}

/// How long what is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct BoundsConfig {
    /// Users, and registered devices, and sessions of each user's limit.
    pub max_subjects: u32,
    /// Users of whom only decisions are known and who are neither stored entities nor of a verified token;
    /// of more the oldest goes. They count beside `max_subjects`.
    pub max_strangers: u32,
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
