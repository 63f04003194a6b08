//! What configurations are accepted, that every number is one of them, and what tokens say.

use serde_json::{Value, json};

use super::support::*;
use crate::base::span::Span;
use crate::trust::model::*;

/// The faults of a preset with these numbers in their place.
fn faults(preset: Preset, overlay: Value) -> Vec<String> {
    let overlay: ModelOverlay = serde_json::from_value(overlay).unwrap();
    match overlay.over(preset) {
        Ok(config) => Model::new(preset, &config, &lists())
            .err()
            .unwrap_or_default(),
        Err(faults) => faults,
    }
}

#[track_caller]
fn check(overlay: Value, expected: &[&str]) {
    let found = faults(Preset::Calibrated, overlay);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn presets_are_accepted() {
    for preset in BOTH {
        assert_eq!(faults(preset, json!({})), Vec::<String>::new());
    }
}

#[test]
fn numbers_are_laid_over_the_preset() {
    let overlay: ModelOverlay = serde_json::from_value(json!({
        "identity": {"base": 0.4},
        "required": {"classifications": {"internal": "0.55", "restricted": 0.8}, "cap": 0.92},
        "working_hours": {"days": ["mon"], "from": "08:00", "to": "17:30"},
        "on_missing": {"device": "deny"},
    }))
    .unwrap();
    let config = overlay.over(Preset::Calibrated).unwrap();
    assert_eq!(config.identity.base, s("0.4"));
    assert_eq!(config.identity.admin, s("-0.1"));
    assert_eq!(config.required.classifications.len(), 5);
    assert_eq!(config.required.classifications["internal"], s("0.55"));
    assert_eq!(config.required.classifications["restricted"], s("0.8"));
    assert_eq!(
        config.working_hours.as_ref().unwrap().to.to_string(),
        "17:30"
    );
    assert_eq!(config.on_missing.device, OnMissing::Deny);
    // Its own JSON reads as the same.
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<ModelConfig>(&text).unwrap(), config);
}

#[test]
fn keys_and_values_that_cannot_be_read_are_named_at_once() {
    check(
        json!({
            "bands": 1,
            "device": {"bse": 0.1, "managed": "much"},
            "methods": {"totp": {"strength": -1}},
            "wieghts": {},
        }),
        &[
            "`trust.model.bands` is a table",
            "`trust.model.device.bse` is not known; known here: `base`",
            "`trust.model.wieghts` is not known; known here: `weights`",
            "`trust.model.device.managed`: `much` is not a number",
            "`trust.model.methods.totp.strength`: invalid value",
        ],
    );
}

#[test]
fn what_is_out_of_range_is_refused() {
    let one = |key: &str, value: Value, expected: &str| {
        let mut overlay = value;
        for part in key.rsplit('.') {
            overlay = json!({ part: overlay });
        }
        let found = faults(Preset::Calibrated, overlay);
        assert_eq!(found.len(), 1, "{key}: {found:#?}");
        assert!(
            found[0].starts_with(&format!("`trust.model.{key}`")),
            "{found:?}"
        );
        assert!(found[0].contains(expected), "{found:?}");
    };
    one("prior", json!(1.1), "from 0 to 1");
    one("weights.identity", json!(-0.1), "from 0 to 1");
    one("identity.mfa_enrolled", json!(-0.1), "speaks for");
    one("identity.admin", json!(0.1), "speaks against");
    one("device.jailbroken", json!(-1.1), "speaks against");
    one(
        "device.trust_high",
        json!(0.05),
        "below `device.trust_medium`",
    );
    one(
        "device.scan_old_after",
        json!("6d"),
        "below `device.scan_recent_within`",
    );
    one("device.confidence_registered", json!(0.5), "below");
    one(
        "location.known_place",
        json!(0),
        "below `location.known_country`",
    );
    one("location.confidence", json!(0.4), "below");
    one("location.speed_kmh", json!(0), "at least 1");
    one("behavior.denies.times", json!(-1), "0 or more");
    one("bands.high", json!(0.2), "below `bands.medium`");
    one("gap.step_up", json!(0.1), "below `gap.device_verification`");
    one("levels.default_base", json!(5), "from 1 to 4");
    one("levels.risk_high", json!(0.4), "below `levels.risk_medium`");
    one("time.inside", json!(0.5), "below `time.outside`");
    one("validity.level_3", json!("60s"), "below `validity.level_4`");
    one("methods.totp.takes", json!("1500ms"), "whole seconds");
    one("clock_skew", json!("100ms"), "whole seconds");
    one("methods.totp.strength", json!(5), "from 0 to 4");
    one("methods.webauthn.verified_strength", json!(2), "below");
    one(
        "on_missing.device",
        json!("neutral"),
        "use `floor` or `deny`",
    );
    one(
        "on_missing.network",
        json!("neutral"),
        "use `floor` or `deny`",
    );
    one(
        "on_missing.behavior",
        json!("unadjusted"),
        "only the preset `literal`",
    );
    check(
        json!({"device": {"registered": 0, "not_registered": 0}}),
        &["a registered device would score worse than none"],
    );
    let found = faults(
        Preset::Literal,
        json!({"on_missing": {"device": "floor", "network": "neutral"}}),
    );
    assert_eq!(found.len(), 2, "{found:#?}");
    check(
        json!({"weights": {"identity": 0, "device": 0, "location": 0, "behavior": 0}}),
        &["`trust.model.weights` of identity, device, location and behavior are all 0"],
    );
    check(
        json!({"working_hours": {
            "days": [], "from": "08:00", "to": "08:00", "utc_offset": "+19:00",
        }}),
        &["working_hours.days", "working_hours.to", "utc_offset"],
    );
    check(
        json!({"working_hours": {"days": ["mon"], "from": "8:00", "to": "18:00"}}),
        &["`8:00` is not a time of day"],
    );
    for offset in ["2", "+2:00", "+25:00", "02:00", "+"] {
        check(
            json!({"working_hours": {
                "days": ["mon"], "from": "08:00", "to": "18:00", "utc_offset": offset,
            }}),
            &["is not a difference to UTC"],
        );
    }
    check(
        json!({"max_age_seconds": {}, "methods": {"totp": {"seconds": 5}}}),
        &["known here: `max_age`", "known here: `takes`"],
    );
}

#[test]
fn a_requirement_out_of_reach_is_refused() {
    check(
        json!({"required": {"classifications": {"secret": 0.94}}}),
        &[
            "`trust.model.required.classifications.secret` requires 0.94, and the best possible \
             request reaches 0.9375 as `admin and privileged`",
        ],
    );
    // Under a cap of the operator's own it is the cap that is required.
    check(
        json!({"required": {"classifications": {"secret": 0.94}, "cap": 0.93}}),
        &[],
    );
    let found = faults(Preset::Calibrated, json!({"required": {"cap": 0.94}}));
    assert_eq!(
        found.len(),
        5,
        "every base can reach the cap with compliance"
    );
    assert!(found[0].contains("requires 0.94 with compliance"));
    // A list of anonymisers alone measures no good network.
    let lists = Lists {
        networks: vec![NetworkClass::Anonymiser],
        allow_list: true,
    };
    let found = Model::new(Preset::Calibrated, &ModelConfig::default(), &lists);
    let found = found.unwrap_err();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("classifications.secret` requires 0.9,"));
    // The published model refuses nothing: nobody reads a secret.
    assert_eq!(
        faults(Preset::Literal, json!({"identity": {"base": 0}})),
        Vec::<String>::new()
    );
}

/// Every number of a configuration, by its pointer.
fn numbers(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                numbers(value, &format!("{at}/{key}"), found);
            }
        }
        Value::Number(_) => found.push(at.to_owned()),
        Value::String(text) if text.parse::<Span>().is_ok() => found.push(at.to_owned()),
        Value::String(text) if text.parse::<UtcOffset>().is_ok() => found.push(at.to_owned()),
        _ => {}
    }
}

/// What can be observed of a model: its assessments of many requests, and what is made of them.
#[derive(PartialEq)]
struct Observed {
    assessments: Vec<Assessment>,
    gaps: Vec<Requirement>,
    mitigations: Vec<Mitigation>,
    alternatives: Vec<Alternative>,
    approvals: Vec<bool>,
    step_ups: Vec<StepUp>,
    methods: Vec<u32>,
}

fn observed(preset: Preset, config: &ModelConfig) -> Result<Observed, Vec<String>> {
    let model = Model::new(preset, config, &lists())?;
    let mut seen = Observed {
        assessments: Vec::new(),
        gaps: Vec::new(),
        mitigations: Vec::new(),
        alternatives: Vec::new(),
        approvals: Vec::new(),
        step_ups: Vec::new(),
        methods: Vec::new(),
    };
    for inputs in scenarios(&model) {
        let found = model.assess(&inputs, now());
        seen.assessments.push(found);
        seen.gaps.extend(model.requirements(&found));
        seen.mitigations.extend(model.mitigations(&found));
        seen.alternatives.extend(model.alternatives(&found, true));
        seen.approvals.push(model.demands_approval(&found));
    }
    for level in 0..=4 {
        let step_up = |inputs| model.step_up(inputs, Score::ZERO, level, now());
        seen.step_ups.push(step_up(&plain()));
    }
    let mut inputs = perfect(Role::Plain);
    inputs.identity = plain().identity;
    let trust = model.assess(&inputs, now()).composite + Score::new(1);
    seen.step_ups.push(model.step_up(&inputs, trust, 0, now()));
    let mut found = model.assess(&plain(), now());
    for gap in [1_000, 2_000, 3_000] {
        found.composite = found.required - Score::new(gap + 1);
        seen.gaps.extend(model.requirements(&found));
    }
    let evening = before(-12 * 3_600 * SECOND);
    seen.assessments.push(model.assess(&plain(), evening));
    for method in Method::ALL {
        seen.methods
            .push(config.methods.of(method).takes.whole_seconds());
    }
    Ok(seen)
}

fn scenarios(model: &Model) -> Vec<Inputs> {
    let mut all = vec![
        plain(),
        perfect(Role::Plain),
        perfect(Role::AdminAndPrivileged),
    ];
    let mut add = |change: &dyn Fn(&mut Inputs)| {
        let mut inputs = plain();
        change(&mut inputs);
        all.push(inputs);
    };
    let classes = [
        NetworkClass::Corporate,
        NetworkClass::Partner,
        NetworkClass::Vpn,
        NetworkClass::Public,
        NetworkClass::Anonymiser,
    ];
    for class in classes {
        add(&|i| i.network.class = Some(class));
    }
    for band in [Band::Low, Band::Medium, Band::High] {
        add(&|i| (i.risk.level, i.target.base_level) = (Some(band), Some(1)));
        add(&|i| i.previous_band = Some(band));
    }
    for class in ["public", "internal", "confidential", "secret"] {
        add(&|i| i.target.classification = model.classification(class));
        add(&|i| {
            (i.target.classification, i.target.compliance) = (model.classification(class), 1);
        });
    }
    add(&|i| i.target.compliance = 9);
    add(&|i| i.device.facts.trust = Some(DeviceTrust::Medium));
    add(&|i| i.device.facts.trust = Some(DeviceTrust::High));
    add(&|i| i.device.facts.current_os = Some(true));
    add(&|i| i.device.facts.managed = Some(true));
    add(&|i| i.device.facts.certificate = Some(true));
    add(&|i| i.identity.mfa_enrolled = Some(true));
    add(&|i| i.identity.mfa_verified = Some(true));
    add(&|i| i.identity.phishing_resistant = Some(true));
    add(&|i| i.identity.suspicious = Some(false));
    add(&|i| i.identity.admin = true);
    add(&|i| i.identity.privileged = true);
    add(&|i| i.location.place = Some(Familiarity::Known));
    add(&|i| i.location.listed = Listed::Allowed);
    add(&|i| i.network.mutual_tls = Some(true));
    add(&|i| i.device.registered = Some(false));
    add(&|i| i.device.facts.jailbroken = Some(true));
    add(&|i| i.device.facts.last_scan = Some(before(40 * DAY)));
    add(&|i| i.device.facts.last_scan = Some(before(7 * DAY - 1)));
    add(&|i| i.device.facts.last_scan = Some(before(30 * DAY + 1)));
    add(&|i| i.identity.account_created = Some(before(90 * DAY + 1)));
    add(&|i| i.location.place = Some(Familiarity::NewCountry));
    add(&|i| i.location.listed = Listed::Denied);
    add(&|i| i.location.point = Some((berlin(), 250_500)));
    add(&|i| i.behavior.last_adverse = Some(before(30 * DAY)));
    add(&|i| i.behavior.hour_share = s("0.0199"));
    add(&|i| i.behavior.finding = s("0.9"));
    add(&|i| (i.risk.finding, i.target.base_level) = (s("0.75"), Some(1)));
    add(&|i| (i.risk.finding, i.target.base_level) = (s("0.8"), Some(1)));
    add(&|i| i.behavior.history = 19);
    add(&|i| (i.behavior.denies, i.behavior.usual_denies) = (10, 33_333));
    add(&|i| (i.behavior.requests, i.behavior.usual_requests) = (100, 200_000));
    add(&|i| i.device.evident.observed = Some(before(30 * DAY)));
    add(&|i| i.location.evident.observed = Some(before(DAY)));
    add(&|i| i.device.evident.observed = Some(before(-60 * SECOND)));
    for (metres, seconds) in [(901, 3_600), (902, 3_600), (15, 30), (16, 30)] {
        add(&|i| {
            i.location.last = Some(Sighting {
                point: Point {
                    latitude: berlin().latitude + metres * 8_994,
                    ..berlin()
                },
                accuracy: 0,
                at: before(seconds * SECOND),
            });
        });
    }
    for age in [1_800, 7_200, 28_800, 86_400] {
        for level in 1..=4 {
            add(&|i| {
                i.authentication.evidence.push(Evidence {
                    method: None,
                    level: Some(level),
                    ..evidence(Method::Totp, age * SECOND)
                });
            });
        }
    }
    for method in Method::ALL {
        add(&|i| i.authentication.evidence.push(evidence(method, 0)));
        for age in [0, 300] {
            add(&|i| {
                i.authentication.evidence.push(Evidence {
                    user_verified: true,
                    ..evidence(method, age * SECOND)
                });
            });
        }
    }
    all.push(Inputs::default());
    let mut risky = perfect(Role::Plain);
    for (risk, base) in [(s("0.4"), 1), (s("0.1333"), 3), (s("0.69"), 2)] {
        (risky.risk.finding, risky.target.base_level) = (risk, Some(base));
        all.push(risky.clone());
    }
    risky.risk = SubjectRisk::default();
    risky.target.compliance = 2;
    all.push(risky.clone());
    risky.target.compliance = 3;
    all.push(risky);
    all
}

#[test]
fn every_number_is_a_configured_one() {
    for preset in BOTH {
        let mut config = ModelConfig::preset(preset);
        config.behavior.denies.enabled = true;
        config.behavior.requests.enabled = true;
        config.working_hours = Some(WorkingHours {
            days: vec![Day::Tue],
            from: "08:00".parse().unwrap(),
            to: "10:01".parse().unwrap(),
            utc_offset: UtcOffset::default(),
        });
        // Nothing but hours of work is outside.
        config.time.outside = s("0.35");
        config.required.cap = Some(s("0.92"));
        let whole = serde_json::to_value(&config).unwrap();
        let before = observed(preset, &config).unwrap();
        let mut found = Vec::new();
        numbers(&whole, "", &mut found);
        assert!(found.len() > 110, "{}", found.len());
        let mut idle = Vec::new();
        for pointer in found {
            let differs = [1e-4, -1e-4, 0.01, -0.01, 0.2, -0.2, 1.0, -1.0]
                .into_iter()
                .any(|step: f64| {
                    let mut changed = whole.clone();
                    let number = changed.pointer_mut(&pointer).unwrap();
                    *number = match (number.as_i64(), number.as_str()) {
                        (Some(whole), _) if step.abs() == 1.0 => json!(whole + step as i64),
                        (_, Some(text)) if step.abs() == 1.0 => moved(text, step as i64),
                        (None, None) => {
                            json!((number.as_f64().unwrap() * 1e4 + step * 1e4).round() / 1e4)
                        }
                        _ => return false,
                    };
                    serde_json::from_value(changed).is_ok_and(|config| {
                        observed(preset, &config).is_ok_and(|now| now != before)
                    })
                });
            if !differs && !is_of_the_other(preset, &pointer) {
                idle.push(pointer);
            }
        }
        assert!(idle.is_empty(), "{preset:?} {idle:#?}");
    }
}

/// A time that is a second longer or shorter, or an offset by a minute.
fn moved(text: &str, step: i64) -> Value {
    match text.parse::<Span>() {
        Ok(span) => json!(format!("{}s", i64::from(span.whole_seconds()) + step)),
        Err(_) => {
            let offset: UtcOffset = text.parse().unwrap();
            json!(UtcOffset::new(offset.minutes() + step as i32))
        }
    }
}

/// Whether only the other preset has this number.
fn is_of_the_other(preset: Preset, pointer: &str) -> bool {
    let only_calibrated = ["/prior", "/levels/allowance", "/required/default_cap"];
    let only_literal = [
        "/weights/resource_sensitivity",
        "/resource_sensitivity/confidence",
        "/alternatives/time_delay_risk",
        "/alternatives/time_delay_levels",
        "/alternatives/time_delay_for",
        "/methods/admin_approval/strength",
    ];
    // For how long verification counts is a matter of methods that are worth more by it.
    let verified = pointer.ends_with("/verified_for") && !pointer.contains("webauthn");
    match preset {
        Preset::Calibrated => {
            verified || only_literal.contains(&pointer) || pointer == "/required/default_cap"
        }
        Preset::Literal => pointer.ends_with("/verified_for") || only_calibrated.contains(&pointer),
    }
}

fn amr(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

/// The level that claims reach right after, and after an hour.
#[track_caller]
fn check_claims(acr: Option<&str>, values: &[&str], level: u8) {
    let assurances = Assurances::default();
    let mut inputs = plain();
    inputs.authentication.evidence = assurances.evidence(acr, &amr(values), Some(now()), now());
    let found = model(Preset::Calibrated).assess(&inputs, now());
    assert_eq!(found.level.reached, level, "{acr:?} {values:?}");
    // Of unknown age: level 1 at most, and nothing about the methods.
    inputs.authentication.evidence = assurances.evidence(acr, &amr(values), None, now());
    let found = model(Preset::Calibrated).assess(&inputs, now());
    assert_eq!(found.level.reached, level.min(1), "{acr:?} {values:?}");
    let proven = model(Preset::Calibrated).proven(&inputs.authentication.evidence, now());
    assert_eq!(proven, Proven::default());
}

#[test]
fn claims_to_levels() {
    for (acr, level) in [
        ("1", 1),
        ("2", 2),
        ("3", 3),
        ("4", 4),
        ("phr", 3),
        ("phrh", 3),
    ] {
        check_claims(Some(acr), &[], level);
    }
    check_claims(None, &[], 0);
    check_claims(Some("urn:unknown"), &[], 0);
    check_claims(Some("urn:unknown"), &["otp"], 2);
    check_claims(None, &["pwd"], 1);
    check_claims(None, &["pwd", "otp", "mfa"], 2);
    check_claims(None, &["mfa"], 2);
    check_claims(None, &["sms"], 2);
    check_claims(None, &["hwk"], 3);
    check_claims(None, &["hwk", "pin"], 4);
    check_claims(None, &["swk", "fpt"], 4);
    check_claims(None, &["user", "rba"], 0);
    check_claims(None, &["pin"], 0);
    // The acr decides, downwards too.
    check_claims(Some("1"), &["hwk", "pin"], 1);
    check_claims(Some("3"), &["pwd"], 3);
}

#[test]
fn claims_to_methods() {
    let claims = amr(&["pwd", "hwk", "pin"]);
    let found = Assurances::default().evidence(Some("3"), &claims, Some(now()), now());
    let proven = model(Preset::Calibrated).proven(&found, now());
    assert!(proven.multi_factor && proven.phishing_resistant);
    let all = amr(&["pwd", "otp", "sms", "hwk", "mfa", "pin"]);
    let found = Assurances::default().evidence(None, &all, Some(now()), now());
    assert!(!found.spilled() && found.len() == 5);
}

#[test]
fn levels_to_what_is_asked_for() {
    let assurances = Assurances::default();
    assert!(assurances.acr_values(0).is_empty());
    assert!(assurances.acr_values(5).is_empty());
    for level in 1..=4 {
        assert_eq!(assurances.acr_values(level), [level.to_string()]);
    }
    assert!(assurances.faults().is_empty());
    let assurances: Assurances = serde_json::from_value(json!({
        "levels": {"silver": 2, "gold": 3, "platinum": 9},
        "ask_1": ["silver"], "ask_2": ["silver"], "ask_3": ["gold", "silver"], "ask_4": [],
        "amr": {"otp": {"method": "totp", "level": 7}},
    }))
    .unwrap();
    let faults = assurances.faults();
    assert_eq!(faults.len(), 3, "{faults:#?}");
    assert!(faults[2].contains("`trust.acr.ask_3` names `silver`"));
}
