//! The numbers of the presets. They differ in few; most of the difference is in how they are combined.

use super::*;
use crate::base::span::Span;
use crate::trust::model::method::Method;

/// 1/10,000.
const fn s(ten_thousandths: i32) -> Score {
    Score::new(ten_thousandths)
}

impl Default for ModelConfig {
    /// Of [`Preset::Calibrated`].
    fn default() -> Self {
        Self::preset(Preset::Calibrated)
    }
}

impl ModelConfig {
    /// The numbers of a preset.
    #[must_use]
    pub fn preset(preset: Preset) -> Self {
        let literal = preset == Preset::Literal;
        Self {
            prior: s(5_000),
            clock_skew: Span::seconds(60),
            weights: Weights {
                identity: s(2_500),
                device: s(2_000),
                location: s(1_500),
                behavior: s(2_000),
                resource_sensitivity: s(1_000),
                network: s(1_000),
            },
            on_missing: on_missing(literal),
            max_age: MaxAges {
                identity: None,
                device: Some(Span::days(30)),
                location: Some(Span::days(1)),
                network: None,
            },
            identity: identity(),
            device: device(),
            location: location(),
            behavior: behavior(),
            network: network(),
            resource_sensitivity: SensitivityConfig {
                confidence: s(9_500),
            },
            time: TimeConfig {
                inside: s(10_000),
                outside: s(6_000),
            },
            working_hours: None,
            bands: BandsConfig {
                medium: s(3_000),
                high: s(6_000),
                hysteresis: s(500),
            },
            required: RequiredConfig {
                classifications: [
                    ("public", 3_000),
                    ("internal", 5_000),
                    ("confidential", 7_000),
                    ("secret", 9_000),
                ]
                .into_iter()
                .map(|(name, required)| (name.to_owned(), s(required)))
                .collect(),
                other: s(5_000),
                compliance: s(1_000),
                cap: None,
                default_cap: s(9_300),
            },
            gap: GapConfig {
                session_monitoring: s(1_000),
                session_monitoring_for: Span::hours(1),
                device_verification: s(2_000),
                step_up: s(3_000),
                step_up_methods: vec![Method::Webauthn, Method::SmsOtp, Method::PushNotification],
            },
            mitigations: MitigationsConfig {
                below: s(5_000),
                known_locations_for: Span::days(1),
            },
            levels: LevelsConfig {
                default_base: 2,
                risk_factor: s(5_000),
                allowance: if literal { s(0) } else { s(2_000) },
                risk_low: s(1_000),
                risk_medium: s(5_000),
                risk_high: s(9_000),
                approval_above: s(8_000),
            },
            validity: Validity {
                level_1: Span::days(1),
                level_2: Span::hours(8),
                level_3: Span::hours(2),
                level_4: Span::minutes(30),
            },
            methods: methods(literal),
            alternatives: AlternativesConfig {
                time_delay_for: Span::minutes(15),
                time_delay_risk: s(7_000),
                time_delay_levels: 1,
                supervisor_approval_for: Span::hours(1),
                supervisor_approval_sensitivity: s(8_000),
                restricted_access_for: Span::minutes(30),
            },
        }
    }
}

fn on_missing(literal: bool) -> OnMissingConfig {
    let or_literal = |rule| if literal { OnMissing::Unadjusted } else { rule };
    OnMissingConfig {
        identity: or_literal(OnMissing::Floor),
        device: or_literal(OnMissing::Floor),
        location: or_literal(OnMissing::Floor),
        behavior: or_literal(OnMissing::Neutral),
        network: or_literal(OnMissing::Floor),
    }
}

fn identity() -> IdentityConfig {
    IdentityConfig {
        base: s(5_000),
        mfa_enrolled: s(2_000),
        mfa_verified: s(1_000),
        phishing_resistant: s(1_000),
        account_age: s(1_000),
        account_older_than: Span::days(90),
        no_suspicious_activity: s(1_000),
        admin: s(-1_000),
        privileged: s(-500),
        confidence: s(9_000),
    }
}

fn device() -> DeviceConfig {
    DeviceConfig {
        base: s(3_000),
        registered: s(3_000),
        trust_high: s(2_000),
        trust_medium: s(1_000),
        scan_recent: s(1_000),
        scan_recent_within: Span::days(7),
        scan_old: s(-1_000),
        scan_old_after: Span::days(30),
        not_registered: s(-2_000),
        jailbroken: s(-3_000),
        current_os: s(1_000),
        managed: s(2_000),
        certificate: s(1_000),
        confidence_registered: s(9_000),
        confidence_unregistered: s(6_000),
    }
}

fn location() -> LocationConfig {
    LocationConfig {
        base: s(5_000),
        known_place: s(4_000),
        known_country: s(1_000),
        new_country: s(-2_000),
        allowed: s(1_000),
        denied: s(-5_000),
        speed: s(-4_000),
        speed_kmh: 900,
        speed_least_time: Span::minutes(1),
        confidence: s(9_000),
        confidence_inexact: s(5_000),
        inexact_km: 250,
    }
}

fn behavior() -> BehaviorConfig {
    let rate = |least, times| RateRule {
        enabled: false,
        least,
        times,
        adjustment: s(-2_000),
    };
    BehaviorConfig {
        base: s(7_000),
        finding: s(-6_000),
        denies: rate(10, s(30_000)),
        requests: rate(100, s(50_000)),
        hour: s(-1_000),
        hour_share: s(200),
        clean: s(3_000),
        clean_for: Span::days(30),
        history: 20,
        confidence: s(9_000),
    }
}

fn network() -> NetworkConfig {
    NetworkConfig {
        corporate: s(9_000),
        partner: s(7_000),
        vpn: s(7_000),
        public: s(5_000),
        anonymiser: s(1_000),
        no_match: s(4_000),
        mutual_tls: s(1_000),
        confidence_matched: s(9_000),
        confidence_unmatched: s(6_000),
    }
}

fn methods(literal: bool) -> Methods {
    let method = |strength, seconds| MethodConfig {
        strength,
        takes: Span::seconds(seconds),
        verified_strength: None,
        verified_for: Span::minutes(5),
        multi_factor: strength > 1,
        phishing_resistant: false,
    };
    Methods {
        password_confirmation: method(1, 30),
        totp: method(2, 45),
        sms_otp: method(2, 60),
        backup_codes: method(2, 60),
        push_notification: method(2, 30),
        webauthn: MethodConfig {
            verified_strength: if literal { None } else { Some(4) },
            phishing_resistant: true,
            ..method(3, 60)
        },
        admin_approval: MethodConfig {
            multi_factor: false,
            ..method(4, 300)
        },
    }
}
