//! What the tests share.

use crate::base::timestamp::Timestamp;
use crate::trust::model::*;

/// A Tuesday, 10:00 UTC.
pub(super) const NOW: i64 = 1_773_136_800_000;
pub(super) const SECOND: i64 = 1_000;
pub(super) const DAY: i64 = 86_400_000;
pub(super) const BOTH: [Preset; 2] = [Preset::Calibrated, Preset::Literal];

pub(super) fn now() -> Timestamp {
    Timestamp::from_millis(NOW)
}

/// So many milliseconds before now.
pub(super) fn before(millis: i64) -> Timestamp {
    Timestamp::from_millis(NOW - millis)
}

pub(super) fn s(text: &str) -> Score {
    text.parse().unwrap()
}

/// Everything configured.
pub(super) fn lists() -> Lists {
    Lists {
        networks: vec![
            NetworkClass::Corporate,
            NetworkClass::Partner,
            NetworkClass::Vpn,
            NetworkClass::Public,
            NetworkClass::Anonymiser,
        ],
        allow_list: true,
    }
}

pub(super) fn model(preset: Preset) -> Model {
    Model::new(preset, &ModelConfig::preset(preset), &lists()).unwrap()
}

/// A model with changed numbers.
pub(super) fn changed(preset: Preset, change: impl FnOnce(&mut ModelConfig)) -> Model {
    let mut config = ModelConfig::preset(preset);
    change(&mut config);
    Model::new(preset, &config, &lists()).unwrap()
}

/// The best request of a role.
pub(super) fn perfect(role: Role) -> Inputs {
    let config = ModelConfig::default();
    crate::trust::model::reach::best(&config, &lists(), role, now())
}

/// A request of which everything is known and hardly anything is good.
pub(super) fn plain() -> Inputs {
    Inputs {
        identity: Identity {
            mfa_enrolled: Some(false),
            mfa_verified: Some(false),
            phishing_resistant: Some(false),
            account_created: Some(now()),
            suspicious: Some(true),
            ..Identity::default()
        },
        device: Device {
            identified: true,
            registered: Some(true),
            facts: DeviceFacts {
                trust: Some(DeviceTrust::Low),
                last_scan: Some(before(10 * DAY)),
                jailbroken: Some(false),
                current_os: Some(false),
                managed: Some(false),
                certificate: Some(false),
                ..DeviceFacts::default()
            },
            ..Device::default()
        },
        location: Location {
            country: Country::new("de"),
            place: Some(Familiarity::KnownCountry),
            point: Some((berlin(), 1_000)),
            ..Location::default()
        },
        behavior: Behavior {
            history: 20,
            hour_share: Score::ONE,
            last_adverse: Some(now()),
            ..Behavior::default()
        },
        network: Network {
            address: true,
            mutual_tls: Some(false),
            ..Network::default()
        },
        ..Inputs::default()
    }
}

pub(super) fn berlin() -> Point {
    Point {
        latitude: 52_520_000,
        longitude: 13_405_000,
    }
}

pub(super) fn evidence(method: Method, age: i64) -> Evidence {
    Evidence {
        method: Some(method),
        level: None,
        user_verified: false,
        at: before(age),
        until: None,
    }
}

pub(super) fn factor(assessment: &Assessment, id: FactorId) -> Factor {
    assessment
        .factors
        .into_iter()
        .find(|factor| factor.id == id)
        .unwrap()
}

/// The assessment in full, as an auditor would read it.
pub(super) fn breakdown(model: &Model, assessment: &Assessment) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for factor in &assessment.factors {
        writeln!(
            text,
            "{} {} score {} confidence {} weight {} contribution {}",
            factor.id.as_str(),
            factor.status.as_str(),
            factor.score,
            factor.confidence,
            factor.weight,
            factor.contribution
        )
        .unwrap();
        for reason in model.reasons(assessment, factor.id) {
            writeln!(text, "  {}: {}", reason.code, reason.text).unwrap();
        }
    }
    writeln!(
        text,
        "composite {} required {} gap {} band {}",
        assessment.composite,
        assessment.required,
        assessment.gap(),
        assessment.band.as_str()
    )
    .unwrap();
    writeln!(
        text,
        "subject risk {} context risk {} level {} of {}",
        assessment.subject_risk,
        assessment.context_risk,
        assessment.level.reached,
        assessment.level.required
    )
    .unwrap();
    for requirement in model.requirements(assessment) {
        writeln!(text, "requires {}", requirement.kind.as_str()).unwrap();
    }
    for mitigation in model.mitigations(assessment) {
        let (factor, kind) = (mitigation.factor.as_str(), mitigation.kind.as_str());
        writeln!(text, "mitigates {factor}: {kind}").unwrap();
    }
    for advice in model.advice_to_fix(assessment) {
        writeln!(text, "fix: {advice}").unwrap();
    }
    text
}
