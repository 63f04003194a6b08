//! The numbers of the factors. Adjustments carry their sign: what speaks against a request is negative.

use serde::{Deserialize, Serialize};

use crate::base::span::Span;
use crate::trust::model::number::Score;

/// What the factors count among each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// Of `identity`.
    pub identity: Score,
    /// Of `device`.
    pub device: Score,
    /// Of `location`.
    pub location: Score,
    /// Of `behavior`.
    pub behavior: Score,
    /// Of `resource_sensitivity`, which takes part under `literal` only.
    pub resource_sensitivity: Score,
    /// Of `network`.
    pub network: Score,
}

/// What a factor counts of which nothing is known, or only what is too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OnMissing {
    /// The lowest value it could have measured.
    Floor,
    /// The prior, or what was measured without its bonuses where that is less.
    Neutral,
    /// The lowest value, and the request is denied (`missing:<factor>`).
    Deny,
    /// What was measured: what is unknown adjusts nothing. Under `literal` only.
    Unadjusted,
}

impl OnMissing {
    /// `floor`, `neutral`, `deny`, `unadjusted`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Neutral => "neutral",
            Self::Deny => "deny",
            Self::Unadjusted => "unadjusted",
        }
    }
}

/// [`OnMissing`] of each factor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OnMissingConfig {
    /// Of `identity`.
    pub identity: OnMissing,
    /// Of `device`.
    pub device: OnMissing,
    /// Of `location`.
    pub location: OnMissing,
    /// Of `behavior`.
    pub behavior: OnMissing,
    /// Of `network`.
    pub network: OnMissing,
}

/// How old a factor's evidence may be; unset for any age.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MaxAges {
    /// Of `identity`.
    pub identity: Option<Span>,
    /// Of `device`.
    pub device: Option<Span>,
    /// Of `location`.
    pub location: Option<Span>,
    /// Of `network`.
    pub network: Option<Span>,
}

/// The factor `identity`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct IdentityConfig {
    /// Where it begins.
    pub base: Score,
    /// More than one authentication factor is enrolled.
    pub mfa_enrolled: Score,
    /// More than one was verified in this session.
    pub mfa_verified: Score,
    /// The method was phishing-resistant.
    pub phishing_resistant: Score,
    /// The account is older than `account_older_than`.
    pub account_age: Score,
    /// See `account_age`.
    pub account_older_than: Span,
    /// No suspicious activity is on record.
    pub no_suspicious_activity: Score,
    /// It has an administrative role.
    pub admin: Score,
    /// It has a privileged role.
    pub privileged: Score,
    /// How far the factor is believed.
    pub confidence: Score,
}

/// The factor `device`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DeviceConfig {
    /// Where it begins.
    pub base: Score,
    /// It is registered to this user.
    pub registered: Score,
    /// It is registered and highly trusted.
    pub trust_high: Score,
    /// It is registered and trusted.
    pub trust_medium: Score,
    /// It is registered and was scanned less than `scan_recent_within` ago.
    pub scan_recent: Score,
    /// See `scan_recent`.
    pub scan_recent_within: Span,
    /// It is registered and was scanned more than `scan_old_after` ago.
    pub scan_old: Score,
    /// See `scan_old`.
    pub scan_old_after: Span,
    /// It is not registered to this user.
    pub not_registered: Score,
    /// It is jailbroken or rooted.
    pub jailbroken: Score,
    /// Its operating system is current.
    pub current_os: Score,
    /// It is managed.
    pub managed: Score,
    /// It showed a device certificate.
    pub certificate: Score,
    /// How far the factor is believed of a registered device.
    pub confidence_registered: Score,
    /// How far of any other.
    pub confidence_unregistered: Score,
}

/// The factor `location`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LocationConfig {
    /// Where it begins.
    pub base: Score,
    /// The country and the network are known.
    pub known_place: Score,
    /// The country is known, the network new.
    pub known_country: Score,
    /// The country was never seen for this user.
    pub new_country: Score,
    /// The country is on the allow list.
    pub allowed: Score,
    /// The country is on the deny list.
    pub denied: Score,
    /// The speed since the last sighting is above `speed_kmh`.
    pub speed: Score,
    /// See `speed`, in kilometres an hour.
    pub speed_kmh: u32,
    /// What the time since the last sighting counts at least.
    pub speed_least_time: Span,
    /// How far the factor is believed.
    pub confidence: Score,
    /// How far where the accuracy is worse than `inexact_km`.
    pub confidence_inexact: Score,
    /// See `confidence_inexact`.
    pub inexact_km: u32,
}

/// A rule of rates: at least so many, and so many times the usual.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RateRule {
    /// Whether it counts at all.
    pub enabled: bool,
    /// At least so many.
    pub least: u32,
    /// At least so many times the principal's own mean.
    pub times: Score,
    /// What it adjusts.
    pub adjustment: Score,
}

/// The factor `behavior`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BehaviorConfig {
    /// Where it begins.
    pub base: Score,
    /// Times the risk of the live finding.
    pub finding: Score,
    /// Denies in 10 minutes.
    pub denies: RateRule,
    /// Requests in an hour.
    pub requests: RateRule,
    /// The hour of the day holds less than `hour_share` of the history.
    pub hour: Score,
    /// See `hour`.
    pub hour_share: Score,
    /// Nothing of this for `clean_for`.
    pub clean: Score,
    /// See `clean`.
    pub clean_for: Span,
    /// Below so many distinct days with a decision, before today, the factor is missing.
    pub history: u32,
    /// How far the factor is believed.
    pub confidence: Score,
}

/// The factor `network`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// The organisation's own.
    pub corporate: Score,
    /// A partner's.
    pub partner: Score,
    /// A virtual private network.
    pub vpn: Score,
    /// A public one.
    pub public: Score,
    /// One that hides where its users are.
    pub anonymiser: Score,
    /// None that is configured.
    pub no_match: Score,
    /// Mutual TLS was seen.
    pub mutual_tls: Score,
    /// How far the factor is believed where a network matched.
    pub confidence_matched: Score,
    /// How far where none did.
    pub confidence_unmatched: Score,
}

/// The factor `resource_sensitivity`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SensitivityConfig {
    /// How far the factor is believed.
    pub confidence: Score,
}
