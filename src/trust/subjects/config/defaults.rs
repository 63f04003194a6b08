//! The numbers where none are set: those of the published model.

use super::{
    BlockConfig, BoundsConfig, CorrelationConfig, CountRule, OnceRule, PlacesConfig, RatesConfig,
    RetentionConfig, RulesConfig, SessionsConfig, SignalsConfig, Span,
};
use crate::trust::model::Score;
use crate::trust::subjects::kind::{EventType, Severity};

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
            suspicious_types: [EventType::AnomalousApiUsage, EventType::SensitiveDataAccess]
                .map(|kind| kind.name().to_owned())
                .to_vec(),
            rate_limits: medium(20),
            // Not above what an administrator has to approve; the level is what it demands.
            impossible_travel: OnceRule {
                risk: Score::new(8_000),
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
            max_strangers: 10_000,
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
