//! Whole assessments as text, for an auditor to compare.

use super::support::*;
use crate::trust::model::*;

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
        facts: DeviceFacts {
            jailbroken: None,
            ..plain().device.facts
        },
        ..plain().device
    };
    inputs.location.place = Some(Familiarity::NewCountry);
    inputs.location.listed = Listed::No;
    inputs.behavior.finding = s("0.55");
    inputs.risk.finding = s("0.55");
    inputs.network.class = Some(NetworkClass::Public);
    inputs.network.mutual_tls = Some(false);
    inputs
}

#[test]
fn perfect_calibrated() {
    check(
        Preset::Calibrated,
        &perfect(Role::Plain),
        "secret",
        "\
identity ok score 1.0 confidence 0.9 weight 0.25 contribution 0.2639
  mfa_enrolled: a second factor is enrolled: factor +0.20, composite +0.05 before the cap
  mfa_verified: a second factor was verified in this session: factor +0.10, composite +0.025 before the cap
  phishing_resistant: the method was phishing-resistant: factor +0.10, composite +0.025 before the cap
  account_age: the account is old enough: factor +0.10, composite +0.025 before the cap
  no_suspicious_activity: no suspicious activity on record: factor +0.10, composite +0.025 before the cap
  capped: the factor comes to 1.10, and at most 1.00 counts: factor -0.10, composite -0.025
device ok score 1.0 confidence 0.9 weight 0.2 contribution 0.2111
  registered: device registered: factor +0.30, composite +0.06 before the cap
  trust_high: device trust high: factor +0.20, composite +0.04 before the cap
  scan_recent: device scanned recently: factor +0.10, composite +0.02 before the cap
  current_os: operating system current: factor +0.10, composite +0.02 before the cap
  managed: device managed: factor +0.20, composite +0.04 before the cap
  certificate: device certificate shown: factor +0.10, composite +0.02 before the cap
  capped: the factor comes to 1.30, and at most 1.00 counts: factor -0.30, composite -0.06
location ok score 1.0 confidence 0.9 weight 0.15 contribution 0.1583
  known_place: known place: factor +0.40, composite +0.06
  country_allowed: country on the allow list: factor +0.10, composite +0.015
behavior ok score 1.0 confidence 0.9 weight 0.2 contribution 0.2111
  clean: nothing adverse for a long time: factor +0.30, composite +0.06
network ok score 1.0 confidence 0.9 weight 0.1 contribution 0.1056
  corporate: corporate network: factor +0.90, composite +0.0944
  mutual_tls: mutual TLS seen: factor +0.10, composite +0.01
resource_sensitivity unavailable score 0.0 confidence 0.0 weight 0.0 contribution 0.0
  unavailable: what a resource demands is its requirement alone: factor 0.00, composite 0.00
composite 0.95 required 0.9 gap -0.05 band LOW
subject risk 0.0 context risk 0.0 level 0 of 2
",
    );
}

#[test]
fn perfect_literal() {
    check(
        Preset::Literal,
        &perfect(Role::Plain),
        "secret",
        "\
identity ok score 1.0 confidence 0.9 weight 0.25 contribution 0.225
  mfa_enrolled: a second factor is enrolled: factor +0.20, composite +0.045 before the cap
  mfa_verified: a second factor was verified in this session: factor +0.10, composite +0.0225 before the cap
  phishing_resistant: the method was phishing-resistant: factor +0.10, composite +0.0225 before the cap
  account_age: the account is old enough: factor +0.10, composite +0.0225 before the cap
  no_suspicious_activity: no suspicious activity on record: factor +0.10, composite +0.0225 before the cap
  capped: the factor comes to 1.10, and at most 1.00 counts: factor -0.10, composite -0.0225
device ok score 1.0 confidence 0.9 weight 0.2 contribution 0.18
  registered: device registered: factor +0.30, composite +0.054 before the cap
  trust_high: device trust high: factor +0.20, composite +0.036 before the cap
  scan_recent: device scanned recently: factor +0.10, composite +0.018 before the cap
  current_os: operating system current: factor +0.10, composite +0.018 before the cap
  managed: device managed: factor +0.20, composite +0.036 before the cap
  certificate: device certificate shown: factor +0.10, composite +0.018 before the cap
  capped: the factor comes to 1.30, and at most 1.00 counts: factor -0.30, composite -0.054
location ok score 1.0 confidence 0.9 weight 0.15 contribution 0.135
  known_place: known place: factor +0.40, composite +0.054
  country_allowed: country on the allow list: factor +0.10, composite +0.0135
behavior ok score 1.0 confidence 0.9 weight 0.2 contribution 0.18
  clean: nothing adverse for a long time: factor +0.30, composite +0.054
network ok score 1.0 confidence 0.9 weight 0.1 contribution 0.09
  corporate: corporate network: factor +0.90, composite +0.081
  mutual_tls: mutual TLS seen: factor +0.10, composite +0.009
resource_sensitivity ok score 0.1 confidence 0.95 weight 0.1 contribution 0.0095
  required: the resource requires 0.90: factor +0.10, composite +0.0095
composite 0.8195 required 0.9 gap 0.0805 band LOW
subject risk 0.0 context risk 0.0 level 0 of 2
",
    );
}

#[test]
fn traveller_calibrated() {
    check(
        Preset::Calibrated,
        &traveller(),
        "confidential",
        "\
identity ok score 1.0 confidence 0.9 weight 0.25 contribution 0.2639
  mfa_enrolled: a second factor is enrolled: factor +0.20, composite +0.05
  mfa_verified: a second factor was verified in this session: factor +0.10, composite +0.025
  phishing_resistant: the method was phishing-resistant: factor +0.10, composite +0.025
  account_age: the account is old enough: factor +0.10, composite +0.025
  no_suspicious_activity: no suspicious activity on record: factor +0.10, composite +0.025
  admin_role: administrative role: factor -0.10, composite 0.00
device ok score 0.0 confidence 0.6 weight 0.2 contribution 0.0
  not_registered: device not registered: factor -0.20, composite -0.0444 before the cap
  jailbroken_unknown: not known whether the device is jailbroken, counted as if it were: factor -0.30, composite -0.0667 before the cap
  capped: the factor comes to -0.20, and at least 0.00 counts: factor +0.20, composite +0.0444
location ok score 0.3 confidence 0.9 weight 0.15 contribution 0.05
  new_country: country never seen for this user: factor -0.20, composite -0.0333
behavior ok score 0.37 confidence 0.9 weight 0.2 contribution 0.0822
  finding: live finding: factor -0.33, composite -0.0689
network ok score 0.5 confidence 0.9 weight 0.1 contribution 0.0556
  public: public network: factor +0.50, composite +0.0556
resource_sensitivity unavailable score 0.0 confidence 0.0 weight 0.0 contribution 0.0
  unavailable: what a resource demands is its requirement alone: factor 0.00, composite 0.00
composite 0.4517 required 0.7 gap 0.2483 band MEDIUM
subject risk 0.55 context risk 1.0 level 0 of 4
requires session_monitoring
requires device_verification
mitigates device: device_registration
mitigates location: known_locations_only
mitigates behavior: enhanced_logging
mitigates behavior: real_time_alerting
fix: request from a known place: composite +0.0933
fix: have the finding examined and remediated: composite +0.0689
fix: register the device to this user: composite +0.0666
fix: use the corporate network: composite +0.04
fix: report that the device is not jailbroken or rooted: composite +0.0222
fix: request from a country on the allow list: composite +0.0166
fix: connect with mutual TLS, and report it: composite +0.01
",
    );
}

#[test]
fn traveller_literal() {
    check(
        Preset::Literal,
        &traveller(),
        "confidential",
        "\
identity ok score 1.0 confidence 0.9 weight 0.25 contribution 0.225
  mfa_enrolled: a second factor is enrolled: factor +0.20, composite +0.045
  mfa_verified: a second factor was verified in this session: factor +0.10, composite +0.0225
  phishing_resistant: the method was phishing-resistant: factor +0.10, composite +0.0225
  account_age: the account is old enough: factor +0.10, composite +0.0225
  no_suspicious_activity: no suspicious activity on record: factor +0.10, composite +0.0225
  admin_role: administrative role: factor -0.10, composite 0.00
device ok score 0.1 confidence 0.6 weight 0.2 contribution 0.012
  not_registered: device not registered: factor -0.20, composite -0.024
location ok score 0.3 confidence 0.9 weight 0.15 contribution 0.0405
  new_country: country never seen for this user: factor -0.20, composite -0.027
behavior ok score 0.37 confidence 0.9 weight 0.2 contribution 0.0666
  finding: live finding: factor -0.33, composite -0.0594
network ok score 0.5 confidence 0.9 weight 0.1 contribution 0.045
  public: public network: factor +0.50, composite +0.045
resource_sensitivity ok score 0.3 confidence 0.95 weight 0.1 contribution 0.0285
  required: the resource requires 0.70: factor +0.30, composite +0.0285
composite 0.4176 required 0.7 gap 0.2824 band MEDIUM
subject risk 0.55 context risk 0.9 level 0 of 4
requires session_monitoring
requires device_verification
mitigates device: device_registration
mitigates location: known_locations_only
mitigates behavior: enhanced_logging
mitigates behavior: real_time_alerting
fix: register the device to this user: composite +0.096
fix: request from a known place: composite +0.081
fix: have the finding examined and remediated: composite +0.0594
fix: use the corporate network: composite +0.036
fix: bring the device under management: composite +0.024
fix: request from a country on the allow list: composite +0.0135
fix: bring the operating system up to date, and report it: composite +0.012
fix: give the device a certificate: composite +0.012
fix: connect with mutual TLS, and report it: composite +0.009
",
    );
}

#[test]
fn nothing_calibrated() {
    check(
        Preset::Calibrated,
        &Inputs::default(),
        "internal",
        "\
identity missing score 0.35 confidence 0.9 weight 0.25 contribution 0.0972
  missing: identity: nothing is known, counted as 0.35: factor -0.15, composite -0.0417
device missing score 0.0 confidence 0.6 weight 0.2 contribution 0.0
  missing: device: nothing is known, counted as 0.00: factor -0.50, composite -0.1112
location missing score 0.0 confidence 0.5 weight 0.15 contribution 0.0
  missing: location: nothing is known, counted as 0.00: factor -0.50, composite -0.0834
behavior missing score 0.5 confidence 0.9 weight 0.2 contribution 0.1111
  missing: behavior: decisions on fewer than 20 days, counted as 0.50: factor 0.00, composite 0.00
  hour_unknown: too short a history to know the hour, counted as an unusual one: factor -0.10, composite -0.0222 before the cap
  capped: the factor comes to 0.60, and at most 0.50 counts: factor -0.10, composite -0.0222
network missing score 0.1 confidence 0.6 weight 0.1 contribution 0.0111
  missing: network: nothing is known, counted as 0.10: factor -0.40, composite -0.0445
resource_sensitivity unavailable score 0.0 confidence 0.0 weight 0.0 contribution 0.0
  unavailable: what a resource demands is its requirement alone: factor 0.00, composite 0.00
composite 0.2194 required 0.5 gap 0.2806 band HIGH
subject risk 0.0 context risk 1.0 level 0 of 3
requires session_monitoring
requires device_verification
mitigates device: device_registration
mitigates location: known_locations_only
fix: report the device, nothing is known of it: composite up to +0.2112
fix: report the identity, nothing is known of it: composite up to +0.1667
fix: report the location, nothing is known of it: composite up to +0.1584
fix: report the network, nothing is known of it: composite up to +0.0945
",
    );
}
