//! The numbers of the factors. Adjustments carry their sign: what speaks against a request is negative.

use serde::{Deserialize, Serialize};

use super::s;
use crate::base::settings::settings;
use crate::base::span::Span;
use crate::base::words::words;
use crate::trust::model::number::Score;

settings! {
    /// What the factors count among each other.
    pub struct Weights {
        /// Of `identity`.
        pub identity: Score = s(2_500),
        /// Of `device`.
        pub device: Score = s(2_000),
        /// Of `location`.
        pub location: Score = s(1_500),
        /// Of `behavior`.
        pub behavior: Score = s(2_000),
        /// Of `resource_sensitivity`, which takes part under `literal` only.
        pub resource_sensitivity: Score = s(1_000),
        /// Of `network`.
        pub network: Score = s(1_000),
    }
}

words! {
    /// What a factor counts of which nothing is known, or only what is too old.
    #[derive(Serialize, Deserialize)]
    #[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
    #[serde(rename_all = "lowercase")]
    #[non_exhaustive]
    pub enum OnMissing by as_str {
        /// The lowest value it could have measured.
        Floor = "floor",
        /// The prior, or what was measured without its bonuses where that is less.
        Neutral = "neutral",
        /// The lowest value, and the request is denied (`missing:<factor>`).
        Deny = "deny",
        /// What was measured: what is unknown adjusts nothing. Under `literal` only.
        Unadjusted = "unadjusted",
    }
}

settings! {
    /// [`OnMissing`] of each factor.
    pub struct OnMissingConfig {
        /// Of `identity`.
        pub identity: OnMissing = OnMissing::Floor,
        /// Of `device`.
        pub device: OnMissing = OnMissing::Floor,
        /// Of `location`.
        pub location: OnMissing = OnMissing::Floor,
        /// Of `behavior`.
        pub behavior: OnMissing = OnMissing::Neutral,
        /// Of `network`.
        pub network: OnMissing = OnMissing::Floor,
    }

    /// How old a factor's evidence may be; unset for any age.
    pub struct MaxAges {
        /// Of `identity`.
        pub identity: Option<Span>,
        /// Of `device`.
        pub device: Option<Span> = Some(Span::days(30)),
        /// Of `location`.
        pub location: Option<Span> = Some(Span::days(1)),
        /// Of `network`.
        pub network: Option<Span>,
    }

    /// The factor `identity`.
    pub struct IdentityConfig {
        /// Where it begins.
        pub base: Score = s(5_000),
        /// More than one authentication factor is enrolled.
        pub mfa_enrolled: Score = s(2_000),
        /// More than one was verified in this session.
        pub mfa_verified: Score = s(1_000),
        /// The method was phishing-resistant.
        pub phishing_resistant: Score = s(1_000),
        /// The account is older than `account_older_than`.
        pub account_age: Score = s(1_000),
        /// See `account_age`.
        pub account_older_than: Span = Span::days(90),
        /// No suspicious activity is on record.
        pub no_suspicious_activity: Score = s(1_000),
        /// It has an administrative role.
        pub admin: Score = s(-1_000),
        /// It has a privileged role.
        pub privileged: Score = s(-500),
        /// How far the factor is believed.
        pub confidence: Score = s(9_000),
    }

    /// The factor `device`.
    pub struct DeviceConfig {
        /// Where it begins.
        pub base: Score = s(3_000),
        /// It is registered to this user.
        pub registered: Score = s(3_000),
        /// It is registered and highly trusted.
        pub trust_high: Score = s(2_000),
        /// It is registered and trusted.
        pub trust_medium: Score = s(1_000),
        /// It is registered and was scanned less than `scan_recent_within` ago.
        pub scan_recent: Score = s(1_000),
        /// See `scan_recent`.
        pub scan_recent_within: Span = Span::days(7),
        /// It is registered and was scanned more than `scan_old_after` ago.
        pub scan_old: Score = s(-1_000),
        /// See `scan_old`.
        pub scan_old_after: Span = Span::days(30),
        /// It is not registered to this user.
        pub not_registered: Score = s(-2_000),
        /// It is jailbroken or rooted.
        pub jailbroken: Score = s(-3_000),
        /// Its operating system is current.
        pub current_os: Score = s(1_000),
        /// It is managed.
        pub managed: Score = s(2_000),
        /// It showed a device certificate.
        pub certificate: Score = s(1_000),
        /// How far the factor is believed of a registered device.
        pub confidence_registered: Score = s(9_000),
        /// How far of any other.
        pub confidence_unregistered: Score = s(6_000),
    }

    /// The factor `location`.
    pub struct LocationConfig {
        /// Where it begins.
        pub base: Score = s(5_000),
        /// The country and the network are known.
        pub known_place: Score = s(4_000),
        /// The country is known, the network new.
        pub known_country: Score = s(1_000),
        /// The country was never seen for this user.
        pub new_country: Score = s(-2_000),
        /// The country is on the allow list.
        pub allowed: Score = s(1_000),
        /// The country is on the deny list.
        pub denied: Score = s(-5_000),
        /// The speed since the last sighting is above `speed_kmh`.
        pub speed: Score = s(-4_000),
        /// See `speed`, in kilometres an hour.
        pub speed_kmh: u32 = 900,
        /// What the time since the last sighting counts at least.
        pub speed_least_time: Span = Span::minutes(1),
        /// How far the factor is believed.
        pub confidence: Score = s(9_000),
        /// How far where the accuracy is worse than `inexact_km`.
        pub confidence_inexact: Score = s(5_000),
        /// See `confidence_inexact`.
        pub inexact_km: u32 = 250,
    }
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

fn rate(least: u32, times: Score) -> RateRule {
    RateRule {
        enabled: false,
        least,
        times,
        adjustment: s(-2_000),
    }
}

settings! {
    /// The factor `behavior`.
    pub struct BehaviorConfig {
        /// Where it begins.
        pub base: Score = s(7_000),
        /// Times the risk of the live finding.
        pub finding: Score = s(-6_000),
        /// Denies in 10 minutes.
        pub denies: RateRule = rate(10, s(30_000)),
        /// Requests in an hour.
        pub requests: RateRule = rate(100, s(50_000)),
        /// The hour of the day holds less than `hour_share` of the history.
        pub hour: Score = s(-1_000),
        /// See `hour`.
        pub hour_share: Score = s(200),
        /// Nothing of this for `clean_for`.
        pub clean: Score = s(3_000),
        /// See `clean`.
        pub clean_for: Span = Span::days(30),
        /// Below so many distinct days with a decision, before today, the factor is missing.
        pub history: u32 = 20,
        /// How far the factor is believed.
        pub confidence: Score = s(9_000),
    }

    /// The factor `network`.
    pub struct NetworkConfig {
        /// The organisation's own.
        pub corporate: Score = s(9_000),
        /// A partner's.
        pub partner: Score = s(7_000),
        /// A virtual private network.
        pub vpn: Score = s(7_000),
        /// A public one.
        pub public: Score = s(5_000),
        /// One that hides where its users are.
        pub anonymiser: Score = s(1_000),
        /// None that is configured.
        pub no_match: Score = s(4_000),
        /// Mutual TLS was seen.
        pub mutual_tls: Score = s(1_000),
        /// How far the factor is believed where a network matched.
        pub confidence_matched: Score = s(9_000),
        /// How far where none did.
        pub confidence_unmatched: Score = s(6_000),
    }

    /// The factor `resource_sensitivity`.
    pub struct SensitivityConfig {
        /// How far the factor is believed.
        pub confidence: Score = s(9_500),
    }
}
