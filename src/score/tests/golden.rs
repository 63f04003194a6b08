//! Whole assessments as text, for an auditor to compare.

use super::support::*;
use crate::score::*;

#[track_caller]
fn check(preset: Preset, inputs: &Inputs, class: &str, expected: &str) {
    let model = model(preset);
    let mut inputs = inputs.clone();
    inputs.target.classification = model.classification(class);
    let found = breakdown(&model, &model.assess(&inputs, now()));
    assert_eq!(found, expected, "{found}");
}

fn traveller() -> Inputs {
    let mut inputs = perfect(Role::Admin);
    inputs.device = Device {
        registered: Some(false),
        jailbroken: None,
        ..plain().device
    };
    inputs.location.place = Some(Place::NewCountry);
    inputs.location.listed = Listed::No;
    inputs.behavior.finding = s("0.55");
    inputs.risk.finding = s("0.55");
    inputs.network.class = Some(NetworkClass::Public);
    inputs.network.mutual_tls = Some(false);
    inputs
}

#[test]
fn perfect_calibrated() {
    check(Preset::Calibrated, &perfect(Role::Plain), "secret", "");
}
#[test]
fn perfect_literal() {
    check(Preset::Literal, &perfect(Role::Plain), "secret", "");
}
#[test]
fn traveller_calibrated() {
    check(Preset::Calibrated, &traveller(), "confidential", "");
}
#[test]
fn traveller_literal() {
    check(Preset::Literal, &traveller(), "confidential", "");
}
#[test]
fn nothing_calibrated() {
    check(Preset::Calibrated, &Inputs::default(), "internal", "");
}
