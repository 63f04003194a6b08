//! The named flaws of the published model: there under `literal`, gone under `calibrated`.

use super::support::*;
use crate::trust::model::*;

fn secret(preset: Preset, mut inputs: Inputs) -> Assessment {
    let model = model(preset);
    inputs.target.classification = model.classification("secret");
    model.assess(&inputs, now())
}

#[test]
fn sensitivity_counts_twice() {
    // The same request, of a public and of a secret resource.
    let composite = |preset, class| {
        let model = model(preset);
        let mut inputs = plain();
        inputs.target.classification = model.classification(class);
        model.assess(&inputs, now()).composite
    };
    let literal = composite(Preset::Literal, "public") - composite(Preset::Literal, "secret");
    assert_eq!(literal, s("0.057"), "0.6 * 0.95 * 0.1");
    assert_eq!(
        composite(Preset::Calibrated, "public"),
        composite(Preset::Calibrated, "secret")
    );
}

#[test]
fn confidence_multiplies_and_nobody_reads_a_secret() {
    for role in Role::ALL {
        let literal = secret(Preset::Literal, perfect(role));
        assert!(!literal.trusted(), "{role:?}");
        let calibrated = secret(Preset::Calibrated, perfect(role));
        assert!(calibrated.trusted(), "{role:?}");
    }
    let literal = secret(Preset::Literal, perfect(Role::Plain));
    assert_eq!(literal.composite, s("0.8195"));
    let calibrated = secret(Preset::Calibrated, perfect(Role::Plain));
    assert_eq!(calibrated.composite, s("0.95"));
}

#[test]
fn confidence_never_lifts_a_score() {
    let composite = |preset, confidence: &str| {
        let model = changed(preset, |config| {
            config.identity.confidence = s(confidence);
            config.required.cap = Some(s("0.8"));
        });
        let mut inputs = plain();
        inputs.identity.admin = true;
        model.assess(&inputs, now()).composite
    };
    assert!(composite(Preset::Literal, "0.1") < composite(Preset::Literal, "0.9"));
    assert_eq!(
        composite(Preset::Calibrated, "0.1"),
        composite(Preset::Calibrated, "0.9")
    );
}

#[test]
fn hiding_a_signal_pays() {
    type Change = fn(&mut Inputs);
    let cases: [(Change, Change); 5] = [
        (
            |i| i.device.facts.jailbroken = Some(true),
            |i| i.device.facts.jailbroken = None,
        ),
        (
            |i| i.device.registered = Some(false),
            |i| i.device.registered = None,
        ),
        (
            |i| i.device.registered = Some(false),
            |i| i.device = Device::default(),
        ),
        (
            |i| i.location.listed = Listed::Denied,
            |i| i.location = Location::default(),
        ),
        (
            |i| i.network.class = Some(NetworkClass::Anonymiser),
            |i| i.network = Network::default(),
        ),
    ];
    for (spoil, hide) in cases {
        let mut shown = plain();
        spoil(&mut shown);
        let mut hidden = shown.clone();
        hide(&mut hidden);
        let gain = |preset| {
            let composite = |inputs| model(preset).assess(inputs, now()).composite;
            composite(&hidden) - composite(&shown)
        };
        assert!(gain(Preset::Literal) > Score::ZERO);
        assert!(gain(Preset::Calibrated) <= Score::ZERO);
    }
}

#[test]
fn hiding_a_signal_lowers_the_required_level() {
    let required = |preset, device| {
        let mut inputs = perfect(Role::Plain);
        inputs.target.base_level = Some(1);
        inputs.device = device;
        model(preset).assess(&inputs, now()).level.required
    };
    let bad = Device {
        registered: Some(false),
        ..plain().device
    };
    assert_eq!(required(Preset::Literal, bad), 2);
    assert_eq!(required(Preset::Literal, Device::default()), 1);
    assert_eq!(required(Preset::Calibrated, bad), 2);
    assert_eq!(required(Preset::Calibrated, Device::default()), 2);
}

#[test]
fn claiming_a_bad_accuracy_hides_a_journey() {
    let composite = |preset, accuracy| {
        let mut inputs = plain();
        inputs.location.point = Some((berlin(), accuracy));
        inputs.location.last = Some(Sighting {
            point: Point {
                latitude: 40_712_800,
                longitude: -74_006_000,
            },
            accuracy: 1_000,
            at: before(600 * SECOND),
        });
        model(preset).assess(&inputs, now()).composite
    };
    let far = 7_000_000;
    assert!(composite(Preset::Literal, far) > composite(Preset::Literal, 0));
    assert!(composite(Preset::Calibrated, far) <= composite(Preset::Calibrated, 0));
}

#[test]
fn any_risk_costs_a_level() {
    let required = |preset, risk| {
        let mut inputs = perfect(Role::Plain);
        inputs.risk.finding = Score::new(risk);
        model(preset).assess(&inputs, now()).level.required
    };
    assert_eq!(required(Preset::Literal, 0), 2);
    assert_eq!(required(Preset::Literal, 1), 3);
    assert_eq!(required(Preset::Calibrated, 1), 2);
    assert_eq!(required(Preset::Calibrated, 2_000), 2);
}

#[test]
fn methods_picked_by_the_gap_do_not_reach() {
    let mut inputs = plain();
    let password = evidence(Method::PasswordConfirmation, 0);
    inputs.authentication.evidence.push(password);
    let step_up = |preset| model(preset).step_up(&inputs, Score::ZERO, 3, now());
    let literal = step_up(Preset::Literal);
    assert!(literal.methods.is_empty());
    let picked: Vec<_> = literal.ordered(None).collect();
    assert!(picked.iter().all(|offer| !offer.reaches));
    let picked: Vec<_> = picked.into_iter().map(|offer| offer.method).collect();
    assert_eq!(picked, [Method::PasswordConfirmation, Method::Totp]);
    let calibrated = step_up(Preset::Calibrated);
    assert!(calibrated.other.is_empty());
    let picked: Vec<_> = calibrated.ordered(None).collect();
    assert_eq!(picked.len(), 1);
    assert!(picked[0].reaches && picked[0].method == Method::Webauthn);
}

#[test]
fn waiting_lowers_a_requirement() {
    let waiting = |preset| {
        let model = model(preset);
        let assessment = model.assess(&perfect(Role::Plain), now());
        let lowered = model.alternatives(&assessment, true);
        lowered
            .filter(|one| one.lowered_level.is_some() || one.kind == AlternativeKind::TimeDelay)
            .count()
    };
    assert_eq!(waiting(Preset::Literal), 1);
    assert_eq!(waiting(Preset::Calibrated), 0);
}
