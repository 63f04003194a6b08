//! Required and reached levels, methods, options and alternatives.

use super::support::*;
use crate::base::timestamp::Timestamp;
use crate::trust::model::*;

/// A request with this subject risk and this context risk, by the network and the device alone.
fn at_risk(risk: i32, context: i32, base: Option<u8>) -> (Inputs, impl Fn(&mut ModelConfig)) {
    let mut inputs = perfect(Role::Plain);
    inputs.risk.finding = Score::new(risk);
    inputs.target.base_level = base;
    (inputs, move |config: &mut ModelConfig| {
        // Time takes the part of the lowest; every other factor of a perfect request is 1.
        config.time.inside = Score::ONE - Score::new(context);
        config.time.outside = Score::ZERO;
    })
}

#[track_caller]
fn check(preset: Preset, base: u8, risk: i32, context: i32, level: u8) {
    let (inputs, change) = at_risk(risk, context, Some(base));
    let found = changed(preset, change).assess(&inputs, now());
    assert_eq!(found.context_risk, Score::new(context));
    assert_eq!(found.subject_risk, Score::new(risk));
    assert_eq!(found.level.required, level, "{base} {risk} {context}");
}

#[test]
fn required_by_risk_and_context() {
    let literal = Preset::Literal;
    for base in 1..=4 {
        check(literal, base, 0, 0, base);
    }
    // ceil(1 * (1 + 0.5 * risk) + context): any risk costs a level.
    check(literal, 1, 1, 0, 2);
    check(literal, 1, 0, 1, 2);
    check(literal, 1, 10_000, 5_000, 2);
    check(literal, 1, 10_000, 5_001, 3);
    check(literal, 2, 10_000, 0, 3);
    check(literal, 2, 10_000, 1, 4);
    check(literal, 3, 10_000, 10_000, 4);
    check(literal, 4, 1, 0, 4);

    let calibrated = Preset::Calibrated;
    for base in 1..=4 {
        check(calibrated, base, 0, 0, base);
        check(calibrated, base, 0, 2_000, base);
    }
    // base + ceil(max(0, 0.5 * base * risk + context - 0.2))
    check(calibrated, 1, 4_000, 0, 1);
    check(calibrated, 1, 4_001, 0, 2);
    check(calibrated, 2, 2_000, 0, 2);
    check(calibrated, 2, 2_001, 0, 3);
    check(calibrated, 2, 0, 2_001, 3);
    check(calibrated, 3, 1_333, 0, 3);
    check(calibrated, 3, 1_334, 0, 4);
    check(calibrated, 1, 10_000, 7_000, 2);
    check(calibrated, 1, 10_000, 7_001, 3);
    check(calibrated, 2, 10_000, 10_000, 4);
    check(calibrated, 4, 10_000, 10_000, 4);
}

#[test]
fn an_action_without_a_level_has_two() {
    for preset in BOTH {
        let model = model(preset);
        let required = |base| {
            let (inputs, _) = at_risk(0, 0, base);
            model.assess(&inputs, now()).level.required
        };
        assert_eq!(required(None), 2);
        // Beyond the scale is its end.
        assert_eq!(required(Some(0)), 1);
        assert_eq!(required(Some(u8::MAX)), 4);
    }
}

#[test]
fn supplied_levels_of_risk() {
    let check = |finding: i32, level, risk: &str| {
        let mut inputs = perfect(Role::Plain);
        inputs.risk.finding = Score::new(finding);
        inputs.risk.level = level;
        for preset in BOTH {
            let found = model(preset).assess(&inputs, now());
            assert_eq!(found.subject_risk, s(risk));
        }
    };
    check(0, None, "0");
    check(0, Some(Band::Low), "0.1");
    check(0, Some(Band::Medium), "0.5");
    check(0, Some(Band::High), "0.9");
    check(9_500, Some(Band::High), "0.95");
    check(4_000, Some(Band::Medium), "0.5");
    check(i32::MAX, None, "1");
    check(i32::MIN, None, "0");
}

#[test]
fn never_below_what_is_demanded() {
    for preset in BOTH {
        let mut inputs = perfect(Role::Plain);
        inputs.target.base_level = Some(1);
        for (demanded, required) in [(0, 1), (1, 1), (3, 3), (4, 4), (u8::MAX, 4)] {
            inputs.risk.demanded_level = demanded;
            let found = model(preset).assess(&inputs, now());
            assert_eq!(found.level.required, required);
        }
    }
}

#[test]
fn an_approval_is_demanded_above_a_risk() {
    let mut inputs = perfect(Role::Plain);
    for preset in BOTH {
        let model = model(preset);
        for (risk, demanded) in [(8_000, false), (8_001, true)] {
            inputs.risk.finding = Score::new(risk);
            let found = model.assess(&inputs, now());
            assert_eq!(model.demands_approval(&found), demanded);
        }
    }
}

#[test]
fn the_context_is_what_was_measured() {
    // A missing device has no part in the context under `literal`, and its worst under `calibrated`.
    let mut inputs = perfect(Role::Plain);
    inputs.device = Device::default();
    let risk = |preset| model(preset).assess(&inputs, now()).context_risk;
    assert_eq!(risk(Preset::Literal), Score::ZERO);
    assert_eq!(risk(Preset::Calibrated), Score::ONE);
    let mut inputs = perfect(Role::Plain);
    inputs.network.class = None;
    inputs.identity = Identity::default();
    for preset in BOTH {
        let found = model(preset).assess(&inputs, now());
        assert_eq!(found.context_risk, s("0.5"), "0.4 and 0.1 for mutual TLS");
    }
}

#[test]
fn working_hours() {
    let hours = |from: &str, to: &str, utc_offset| WorkingHours {
        days: vec![Day::Mon, Day::Tue],
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        utc_offset: UtcOffset::new(utc_offset),
    };
    let check = |hours: WorkingHours, at: &str, inside| {
        let model = changed(Preset::Calibrated, |config| {
            config.working_hours = Some(hours);
        });
        let at: Timestamp = at.parse().unwrap();
        let mut inputs = perfect(Role::Plain);
        inputs.device.facts.last_scan = Some(at);
        let found = model.assess(&inputs, at);
        let risk = if inside { "0" } else { "0.4" };
        assert_eq!(found.context_risk, s(risk), "{at}");
    };
    // 2026-03-10 is a Tuesday.
    let day = || hours("08:00", "18:00", 0);
    check(day(), "2026-03-10T07:59:59Z", false);
    check(day(), "2026-03-10T08:00:00Z", true);
    check(day(), "2026-03-10T17:59:59Z", true);
    check(day(), "2026-03-10T18:00:00Z", false);
    check(day(), "2026-03-11T10:00:00Z", false);
    check(hours("08:00", "18:00", 120), "2026-03-10T06:00:00Z", true);
    check(hours("08:00", "18:00", -120), "2026-03-10T08:00:00Z", false);
    check(hours("00:00", "24:00", 60), "2026-03-10T23:30:00Z", false);
    check(hours("00:00", "24:00", 60), "2026-03-08T23:30:00Z", true);
    let night = || hours("22:00", "06:00", 0);
    check(night(), "2026-03-10T23:00:00Z", true);
    check(night(), "2026-03-11T05:59:59Z", true);
    check(night(), "2026-03-11T06:00:00Z", false);
    check(night(), "2026-03-11T23:00:00Z", false);
    check(night(), "1969-12-29T23:00:00Z", true);
}

#[test]
fn methods_and_what_they_take() {
    for preset in BOTH {
        let methods = ModelConfig::preset(preset).methods;
        let of = |method| {
            let of: &MethodConfig = methods.of(method);
            (of.strength, of.takes.whole_seconds())
        };
        assert_eq!(of(Method::PasswordConfirmation), (1, 30));
        assert_eq!(of(Method::Totp), (2, 45));
        assert_eq!(of(Method::Webauthn), (3, 60));
        assert_eq!(of(Method::AdminApproval), (4, 300));
    }
}

/// The level that one evidence reaches after so many seconds.
#[track_caller]
fn check_reached(preset: Preset, evidence: &Evidence, seconds: i64, level: u8) {
    let mut inputs = plain();
    inputs.authentication.evidence.push(*evidence);
    let at = Timestamp::from_millis(evidence.at.as_millis() + seconds * SECOND);
    let found = model(preset).assess(&inputs, at).level;
    assert_eq!(found.reached, level, "{preset:?} {seconds} {evidence:?}");
    assert_eq!(found.at, (level > 0).then_some(evidence.at));
}

#[test]
fn a_level_decays() {
    let totp = evidence(Method::Totp, 0);
    let webauthn = evidence(Method::Webauthn, 0);
    let password = evidence(Method::PasswordConfirmation, 0);
    for preset in BOTH {
        let check = |evidence, seconds, level| check_reached(preset, evidence, seconds, level);
        check(&password, 86_400, 1);
        check(&password, 86_401, 0);
        check(&totp, 28_800, 2);
        check(&totp, 28_801, 1);
        check(&totp, 86_400, 1);
        check(&totp, 86_401, 0);
        check(&webauthn, 7_200, 3);
        check(&webauthn, 7_201, 2);
        check(&webauthn, 28_801, 1);
        check(&webauthn, 86_401, 0);
        // Ahead of the clock by more than a little it proves nothing.
        check(&totp, -60, 2);
        check(&totp, -61, 0);
    }
    let four = Evidence {
        method: None,
        level: Some(4),
        ..totp
    };
    for preset in BOTH {
        check_reached(preset, &four, 1_800, 4);
        check_reached(preset, &four, 1_801, 3);
        check_reached(preset, &four, 7_201, 2);
    }
}

#[test]
fn user_verification_counts_four_for_a_while() {
    let verified = Evidence {
        user_verified: true,
        ..evidence(Method::Webauthn, 0)
    };
    check_reached(Preset::Calibrated, &verified, 0, 4);
    check_reached(Preset::Calibrated, &verified, 300, 4);
    check_reached(Preset::Calibrated, &verified, 301, 3);
    check_reached(Preset::Calibrated, &verified, 7_201, 2);
    check_reached(Preset::Literal, &verified, 0, 3);
    // A level that was said decides.
    let said = Evidence {
        level: Some(2),
        ..verified
    };
    check_reached(Preset::Calibrated, &said, 0, 2);
}

#[test]
fn an_approval_is_an_authentication_under_literal_only() {
    let approval = evidence(Method::AdminApproval, 0);
    check_reached(Preset::Literal, &approval, 0, 4);
    check_reached(Preset::Calibrated, &approval, 0, 0);
    let said = Evidence {
        level: Some(4),
        ..approval
    };
    check_reached(Preset::Calibrated, &said, 0, 0);
}

#[test]
fn evidence_ends_when_it_says() {
    let ends = Evidence {
        until: Some(before(-100 * SECOND)),
        ..evidence(Method::Totp, 0)
    };
    check_reached(Preset::Calibrated, &ends, 99, 2);
    check_reached(Preset::Calibrated, &ends, 100, 0);
    let mut inputs = plain();
    inputs.authentication.evidence.push(ends);
    let level = model(Preset::Calibrated).assess(&inputs, now()).level;
    assert_eq!(level.until, ends.until);
    inputs.authentication.evidence.clear();
    inputs
        .authentication
        .evidence
        .push(evidence(Method::Totp, 0));
    let level = model(Preset::Calibrated).assess(&inputs, now()).level;
    assert_eq!(level.until, Some(before(-28_800 * SECOND)));
}

#[test]
fn the_best_evidence_counts() {
    let mut inputs = plain();
    let model = model(Preset::Calibrated);
    assert_eq!(model.assess(&inputs, now()).level.reached, 0);
    let old = evidence(Method::Webauthn, 7_000 * SECOND);
    let new = evidence(Method::Totp, 0);
    inputs.authentication.evidence.extend([new, old]);
    let found = model.assess(&inputs, now()).level;
    assert_eq!((found.reached, found.at), (3, Some(old.at)));
    let proven = model.proven(&inputs.authentication.evidence, now());
    assert!(proven.multi_factor && proven.phishing_resistant);
    let proven = model.proven(&[evidence(Method::PasswordConfirmation, 0)], now());
    assert_eq!(proven, Proven::default());
}

fn offers(step_up: &StepUp, enrolled: Option<MethodSet>) -> Vec<(Method, bool, Option<bool>)> {
    let offers = step_up.ordered(enrolled);
    offers
        .map(|offer| (offer.method, offer.user_verification, offer.enrolled))
        .collect()
}

#[test]
fn only_what_reaches_is_offered() {
    let model = model(Preset::Calibrated);
    let inputs = plain();
    let offered = |level| {
        let step_up = model.step_up(&inputs, Score::ZERO, level, now());
        assert!(step_up.other.is_empty());
        (offers(&step_up, None), step_up.level, step_up.max_age)
    };
    let webauthn = vec![(Method::Webauthn, false, None)];
    assert_eq!(offered(3), (webauthn, 3, 7_200));
    let verified = vec![(Method::Webauthn, true, None)];
    assert_eq!(offered(4), (verified, 4, 300));
    let (two, level, age) = offered(2);
    let methods: Vec<_> = two.into_iter().map(|(method, ..)| method).collect();
    assert_eq!(
        methods,
        [
            Method::Totp,
            Method::SmsOtp,
            Method::BackupCodes,
            Method::PushNotification,
            Method::Webauthn
        ]
    );
    assert_eq!((level, age), (2, 28_800));
}

#[test]
fn what_is_enrolled_comes_first() {
    let model = model(Preset::Calibrated);
    let step_up = model.step_up(&plain(), Score::ZERO, 2, now());
    let enrolled = MethodSet::default().with(Method::Webauthn);
    let found = offers(&step_up, Some(enrolled));
    assert_eq!(found[0], (Method::Webauthn, false, Some(true)));
    assert_eq!(found[1], (Method::Totp, false, Some(false)));
    assert_eq!(found.len(), 5);
    // Nothing known of what is enrolled is nothing said.
    let found = offers(&step_up, Some(MethodSet::default()));
    assert_eq!(found[0], (Method::Totp, false, None));
}

#[test]
fn trust_that_is_lacking_is_a_matter_of_the_method() {
    let model = model(Preset::Calibrated);
    let inputs = perfect(Role::Plain);
    let mut inputs = Inputs {
        identity: plain().identity,
        ..inputs
    };
    inputs.identity.mfa_enrolled = Some(true);
    let composite = model.assess(&inputs, now()).composite;
    // Completing a second factor adds 0.1 of the identity, WebAuthn twice that: each 0.9 * 0.025 / 0.9.
    let all = model.step_up(&inputs, composite + s("0.025"), 0, now());
    assert_eq!(all.methods.iter().count(), 5);
    assert_eq!(all.level, 2, "a level that takes a second factor");
    let best = model.step_up(&inputs, composite + s("0.05"), 0, now());
    assert_eq!(offers(&best, None), [(Method::Webauthn, false, None)]);
    assert_eq!(best.level, 3);
    let none = model.step_up(&inputs, composite + s("0.0501"), 0, now());
    assert!(none.is_empty());
    // A knock-out offers nothing.
    inputs.knock_outs = KnockOuts::BLOCKED;
    assert!(model.step_up(&inputs, Score::ZERO, 1, now()).is_empty());
}

#[test]
fn alternatives() {
    let check = |preset, risk: i32, class, restricted, expected: &[(&str, u32, Option<u8>)]| {
        let model = model(preset);
        let mut inputs = perfect(Role::Plain);
        inputs.risk.finding = Score::new(risk);
        inputs.target.base_level = Some(2);
        inputs.target.classification = model.classification(class);
        inputs.target.compliance = u8::from(class == "confidential");
        let assessment = model.assess(&inputs, now());
        let found: Vec<_> = model
            .alternatives(&assessment, restricted)
            .map(|one| (one.kind.as_str(), one.seconds, one.lowered_level))
            .collect();
        assert_eq!(found, expected);
    };
    let literal = Preset::Literal;
    let waiting = ("time_delay", 900, Some(2));
    let supervisor = ("supervisor_approval", 3_600, None);
    let restricted = ("restricted_access", 1_800, None);
    check(
        literal,
        6_999,
        "internal",
        false,
        &[waiting, supervisor, restricted],
    );
    check(literal, 7_000, "internal", false, &[supervisor, restricted]);
    // Confidential and one compliance is 0.8.
    check(literal, 7_000, "confidential", false, &[restricted]);
    let calibrated = Preset::Calibrated;
    check(calibrated, 0, "internal", false, &[supervisor]);
    check(calibrated, 0, "confidential", false, &[]);
    check(calibrated, 0, "confidential", true, &[restricted]);
    let admin = ("admin_approval", 300, None);
    check(calibrated, 8_001, "internal", false, &[supervisor, admin]);
    let restrictions = AlternativeKind::RestrictedAccess.restrictions();
    assert_eq!(
        restrictions,
        ["read_only", "time_limited", "enhanced_logging"]
    );
}
