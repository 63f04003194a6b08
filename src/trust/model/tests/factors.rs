//! Every number of the factors, on both sides of each boundary.

use super::support::*;
use crate::trust::model::*;

/// What a change of the plain request makes of a factor, under both presets.
#[track_caller]
fn check(id: FactorId, change: impl Fn(&mut Inputs), score: i32, confidence: i32) {
    for preset in BOTH {
        check_under(preset, id, &change, score, confidence);
    }
}

#[track_caller]
fn check_under(
    preset: Preset,
    id: FactorId,
    change: impl Fn(&mut Inputs),
    score: i32,
    confidence: i32,
) {
    let mut inputs = plain();
    change(&mut inputs);
    let found = factor(&model(preset).assess(&inputs, now()), id);
    assert_eq!(
        (
            found.score.ten_thousandths(),
            found.confidence.ten_thousandths()
        ),
        (score, confidence),
        "{preset:?} {found:?}"
    );
}

#[test]
fn identity() {
    let check = |change: fn(&mut Identity), score| {
        check(
            FactorId::Identity,
            |inputs| change(&mut inputs.identity),
            score,
            9_000,
        );
    };
    check(|_| {}, 5_000);
    check(|i| i.mfa_enrolled = Some(true), 7_000);
    check(|i| i.mfa_verified = Some(true), 6_000);
    check(|i| i.phishing_resistant = Some(true), 6_000);
    check(|i| i.account_created = Some(before(90 * DAY)), 5_000);
    check(|i| i.account_created = Some(before(90 * DAY + 1)), 6_000);
    check(|i| i.account_created = Some(before(-DAY)), 5_000);
    check(|i| i.suspicious = Some(false), 6_000);
    check(|i| i.admin = true, 4_000);
    check(|i| i.privileged = true, 4_500);
    check(|i| (i.admin, i.privileged) = (true, true), 3_500);
    // Unknown is nothing gained, under either.
    check(|i| i.mfa_enrolled = None, 5_000);
    check(|i| i.suspicious = None, 5_000);
    // The sum is clamped: 1.1 is 1.
    check(|i| *i = perfect(Role::Plain).identity, 10_000);
    check(|i| *i = perfect(Role::Admin).identity, 10_000);
    check(|i| *i = perfect(Role::AdminAndPrivileged).identity, 9_500);
}

#[test]
fn device() {
    let at = |days: i64, millis: i64| Some(before(days * DAY + millis));
    let check = |change: &dyn Fn(&mut Device), score, confidence| {
        check(
            FactorId::Device,
            |inputs| change(&mut inputs.device),
            score,
            confidence,
        );
    };
    check(&|_| {}, 6_000, 9_000);
    check(&|d| d.facts.trust = Some(DeviceTrust::High), 8_000, 9_000);
    check(&|d| d.facts.trust = Some(DeviceTrust::Medium), 7_000, 9_000);
    check(&|d| d.facts.trust = None, 6_000, 9_000);
    check(&|d| d.facts.last_scan = at(7, -1), 7_000, 9_000);
    check(&|d| d.facts.last_scan = at(7, 0), 6_000, 9_000);
    check(&|d| d.facts.last_scan = at(30, 0), 6_000, 9_000);
    check(&|d| d.facts.last_scan = at(30, 1), 5_000, 9_000);
    check(&|d| d.facts.jailbroken = Some(true), 3_000, 9_000);
    check(&|d| d.facts.current_os = Some(true), 7_000, 9_000);
    check(&|d| d.facts.managed = Some(true), 8_000, 9_000);
    check(&|d| d.facts.certificate = Some(true), 7_000, 9_000);
    check(&|d| d.registered = Some(false), 1_000, 6_000);
    check(
        &|d| (d.registered, d.facts.trust) = (Some(false), Some(DeviceTrust::High)),
        1_000,
        6_000,
    );
    check(
        &|d| (d.registered, d.facts.last_scan) = (Some(false), Some(now())),
        1_000,
        6_000,
    );
    check(
        &|d| (d.registered, d.facts.managed) = (Some(false), Some(true)),
        3_000,
        6_000,
    );
    // 0.3 - 0.2 - 0.3 is clamped, and so is 1.3.
    check(
        &|d| (d.registered, d.facts.jailbroken) = (Some(false), Some(true)),
        0,
        6_000,
    );
    check(&|d| *d = perfect(Role::Plain).device, 10_000, 9_000);
}

#[test]
fn what_is_unknown_of_a_device() {
    let check = |preset, change: fn(&mut Device), score, confidence| {
        check_under(
            preset,
            FactorId::Device,
            |inputs| change(&mut inputs.device),
            score,
            confidence,
        );
    };
    // Its worst under `calibrated`, no adjustment under `literal`.
    check(Preset::Calibrated, |d| d.registered = None, 1_000, 6_000);
    check(Preset::Literal, |d| d.registered = None, 3_000, 6_000);
    check(
        Preset::Calibrated,
        |d| d.facts.jailbroken = None,
        3_000,
        9_000,
    );
    check(Preset::Literal, |d| d.facts.jailbroken = None, 6_000, 9_000);
    check(
        Preset::Calibrated,
        |d| d.facts.last_scan = None,
        5_000,
        9_000,
    );
    check(Preset::Literal, |d| d.facts.last_scan = None, 6_000, 9_000);
    let ahead: fn(&mut Device) = |d| d.facts.last_scan = Some(before(-61 * SECOND));
    check(Preset::Calibrated, ahead, 5_000, 9_000);
    let little: fn(&mut Device) = |d| d.facts.last_scan = Some(before(-60 * SECOND));
    check(Preset::Calibrated, little, 7_000, 9_000);
    // Of nothing known at all: the lowest there is, or the base.
    check(Preset::Calibrated, |d| *d = Device::default(), 0, 6_000);
    check(Preset::Literal, |d| *d = Device::default(), 3_000, 6_000);
}

#[test]
fn location() {
    let check = |change: &dyn Fn(&mut Location), score, confidence| {
        check(
            FactorId::Location,
            |inputs| change(&mut inputs.location),
            score,
            confidence,
        );
    };
    check(&|_| {}, 6_000, 9_000);
    check(&|l| l.place = Some(Familiarity::Known), 9_000, 9_000);
    check(&|l| l.place = Some(Familiarity::NewCountry), 3_000, 9_000);
    check(&|l| l.listed = Listed::Allowed, 7_000, 9_000);
    check(&|l| l.listed = Listed::Denied, 1_000, 9_000);
    let accuracy = |metres| Some((berlin(), metres));
    check(&|l| l.point = accuracy(250_000), 6_000, 9_000);
    check(&|l| l.point = accuracy(250_001), 6_000, 5_000);
    check(
        &|l| (l.place, l.listed) = (Some(Familiarity::Known), Listed::Allowed),
        10_000,
        9_000,
    );
    check(
        &|l| (l.place, l.listed) = (Some(Familiarity::NewCountry), Listed::Denied),
        0,
        9_000,
    );
}

/// So many metres north of Berlin.
fn north(metres: i64) -> Point {
    let millionths = metres * 180_000_000 / 20_015_115;
    Point {
        latitude: berlin().latitude + i32::try_from(millionths).unwrap(),
        ..berlin()
    }
}

#[test]
fn speed() {
    // The last sighting `metres` away, `seconds` ago, both places to within so many metres.
    let check = |preset, metres, seconds, (last, here), score, speed: Option<u32>| {
        let mut inputs = plain();
        inputs.location.point = Some((berlin(), here));
        inputs.location.last = Some(Sighting {
            point: north(metres),
            accuracy: last,
            at: before(seconds * SECOND),
        });
        let found = model(preset).assess(&inputs, now());
        let location = factor(&found, FactorId::Location);
        assert_eq!(
            (location.score.ten_thousandths(), found.impossible_speed),
            (score, speed),
            "{preset:?} {metres} {seconds} {last} {here}"
        );
    };
    for preset in BOTH {
        // 900 km in an hour is possible, a little more is not.
        check(preset, 899_900, 3_600, (0, 0), 6_000, None);
        check(preset, 901_100, 3_600, (0, 0), 2_000, Some(901));
        // Both radii count.
        check(
            preset,
            1_300_000,
            3_600,
            (200_000, 200_000),
            6_000
                - if preset == Preset::Calibrated {
                    4_000
                } else {
                    0
                },
            None,
        );
        check(
            preset,
            1_301_100,
            3_600,
            (200_000, 200_000),
            2_000,
            Some(901),
        );
        check(preset, 1_099_900, 3_600, (200_000, 200_000), 6_000, None);
        // The time counts as a minute at least: 15 km.
        check(preset, 14_900, 0, (0, 0), 6_000, None);
        check(preset, 14_900, 60, (0, 0), 6_000, None);
        check(preset, 15_110, 0, (0, 0), 2_000, Some(906));
        check(preset, 29_900, 120, (0, 0), 6_000, None);
        // A sighting ahead is as far away as one behind.
        check(preset, 899_900, -3_600, (0, 0), 6_000, None);
        check(preset, 901_100, -3_600, (0, 0), 2_000, Some(901));
        check(
            preset,
            5_000,
            i64::from(i32::MAX),
            (u32::MAX, u32::MAX),
            6_000,
            None,
        );
    }
}

#[test]
fn what_is_unknown_of_a_place() {
    let check = |preset, change: fn(&mut Location), score, confidence| {
        check_under(
            preset,
            FactorId::Location,
            |inputs| change(&mut inputs.location),
            score,
            confidence,
        );
    };
    let seen: fn(&mut Location) = |l| {
        l.last = Some(Sighting {
            point: berlin(),
            accuracy: 0,
            at: before(DAY),
        });
        l.point = None;
    };
    check(Preset::Calibrated, seen, 2_000, 5_000);
    check(Preset::Literal, seen, 6_000, 9_000);
    // Without a point the place is not exact; without a country it may be any.
    check(Preset::Calibrated, |l| l.point = None, 6_000, 5_000);
    check(Preset::Literal, |l| l.point = None, 6_000, 9_000);
    check(Preset::Calibrated, |l| l.country = None, 0, 9_000);
    check(Preset::Literal, |l| l.country = None, 5_000, 9_000);
    check(Preset::Calibrated, |l| *l = Location::default(), 0, 5_000);
    check(Preset::Literal, |l| *l = Location::default(), 5_000, 9_000);
}

#[test]
fn behavior() {
    let check = |change: &dyn Fn(&mut Behavior), score| {
        check(
            FactorId::Behavior,
            |inputs| change(&mut inputs.behavior),
            score,
            9_000,
        );
    };
    check(&|_| {}, 7_000);
    check(&|b| b.finding = Score::ONE, 1_000);
    check(&|b| b.finding = s("0.5"), 4_000);
    // 0.6 * 0.0001 is rounded half up, once.
    check(&|b| b.finding = Score::new(1), 6_999);
    check(&|b| b.finding = Score::new(i32::MAX), 1_000);
    check(&|b| b.finding = Score::new(i32::MIN), 7_000);
    check(&|b| b.hour_share = s("0.02"), 7_000);
    check(&|b| b.hour_share = s("0.0199"), 6_000);
    check(&|b| b.last_adverse = None, 10_000);
    check(&|b| b.last_adverse = Some(before(30 * DAY)), 10_000);
    check(&|b| b.last_adverse = Some(before(30 * DAY - 1)), 7_000);
    check(&|b| b.last_adverse = Some(before(-DAY)), 7_000);
    // Nothing of this: neither a finding nor an unusual hour.
    check(
        &|b| (b.last_adverse, b.finding) = (None, Score::new(1)),
        6_999,
    );
    check(
        &|b| (b.last_adverse, b.hour_share) = (None, Score::ZERO),
        6_000,
    );
    // The rules of rates are off.
    check(&|b| (b.denies, b.requests) = (u32::MAX, u32::MAX), 7_000);
}

#[test]
fn rates() {
    let check = |change: fn(&mut Behavior), score| {
        for preset in BOTH {
            let model = changed(preset, |config| {
                config.behavior.denies.enabled = true;
                config.behavior.requests.enabled = true;
            });
            let mut inputs = plain();
            change(&mut inputs.behavior);
            let found = factor(&model.assess(&inputs, now()), FactorId::Behavior);
            assert_eq!(found.score.ten_thousandths(), score);
        }
    };
    check(|b| b.denies = 9, 7_000);
    check(|b| b.denies = 10, 5_000);
    // Three times a mean of 4 is 12.
    check(|b| (b.denies, b.usual_denies) = (11, 40_000), 7_000);
    check(|b| (b.denies, b.usual_denies) = (12, 40_000), 5_000);
    check(|b| b.requests = 99, 7_000);
    check(|b| b.requests = 100, 5_000);
    // Five times a mean of 30 is 150.
    check(|b| (b.requests, b.usual_requests) = (149, 300_000), 7_000);
    check(|b| (b.requests, b.usual_requests) = (150, 300_000), 5_000);
    check(|b| (b.denies, b.requests) = (10, 100), 3_000);
    check(|b| (b.denies, b.usual_denies) = (u32::MAX, u64::MAX), 7_000);
}

#[test]
fn too_short_a_history() {
    let check = |preset, change: fn(&mut Behavior), score, status| {
        let mut inputs = plain();
        inputs.behavior.last_adverse = None;
        inputs.behavior.history = 19;
        change(&mut inputs.behavior);
        let found = factor(&model(preset).assess(&inputs, now()), FactorId::Behavior);
        assert_eq!(
            (found.score.ten_thousandths(), found.status),
            (score, status)
        );
    };
    let missing = Status::Missing;
    check(Preset::Calibrated, |_| {}, 5_000, missing);
    check(Preset::Literal, |_| {}, 7_000, missing);
    check(Preset::Calibrated, |b| b.history = 20, 10_000, Status::Ok);
    check(Preset::Literal, |b| b.history = 20, 10_000, Status::Ok);
    // A finding counts all the same.
    check(
        Preset::Calibrated,
        |b| b.finding = Score::ONE,
        1_000,
        missing,
    );
    check(Preset::Literal, |b| b.finding = Score::ONE, 1_000, missing);
    check(
        Preset::Calibrated,
        |b| *b = Behavior::default(),
        5_000,
        missing,
    );
    check(
        Preset::Literal,
        |b| *b = Behavior::default(),
        7_000,
        missing,
    );
}

#[test]
fn network() {
    let check = |class, score, confidence| {
        for (mutual_tls, more) in [(Some(false), 0), (Some(true), 1_000), (None, 0)] {
            check(
                FactorId::Network,
                |inputs| {
                    inputs.network.class = class;
                    inputs.network.mutual_tls = mutual_tls;
                },
                score + more,
                confidence,
            );
        }
    };
    check(Some(NetworkClass::Corporate), 9_000, 9_000);
    check(Some(NetworkClass::Partner), 7_000, 9_000);
    check(Some(NetworkClass::Vpn), 7_000, 9_000);
    check(Some(NetworkClass::Public), 5_000, 9_000);
    check(Some(NetworkClass::Anonymiser), 1_000, 9_000);
    check(None, 4_000, 6_000);
    let hidden = |preset, mutual_tls, score| {
        check_under(
            preset,
            FactorId::Network,
            |inputs| {
                inputs.network = Network {
                    mutual_tls,
                    ..Network::default()
                };
            },
            score,
            6_000,
        );
    };
    // A hidden address is no better than an anonymiser's.
    hidden(Preset::Calibrated, None, 1_000);
    hidden(Preset::Calibrated, Some(true), 2_000);
    hidden(Preset::Literal, None, 4_000);
    hidden(Preset::Literal, Some(true), 5_000);
}

#[test]
fn a_network_that_is_not_configured_takes_no_part() {
    for preset in BOTH {
        let config = ModelConfig::preset(preset);
        let model = Model::new(preset, &config, &Lists::default()).unwrap();
        let mut inputs = plain();
        let without = model.assess(&inputs, now());
        let found = factor(&without, FactorId::Network);
        assert_eq!(found.status, Status::Unavailable);
        assert_eq!(found.weight, Score::ZERO);
        inputs.network = Network::default();
        assert_eq!(model.assess(&inputs, now()), without);
    }
}

#[test]
fn resource_sensitivity() {
    let mut inputs = plain();
    for (class, score) in [("public", 7_000), ("secret", 1_000)] {
        let literal = model(Preset::Literal);
        inputs.target.classification = literal.classification(class);
        let found = literal.assess(&inputs, now());
        let found = factor(&found, FactorId::ResourceSensitivity);
        assert_eq!(found.score.ten_thousandths(), score);
        assert_eq!(found.confidence, s("0.95"));
        assert_eq!(found.weight, s("0.1"));
        let found = model(Preset::Calibrated).assess(&inputs, now());
        let found = factor(&found, FactorId::ResourceSensitivity);
        assert_eq!(
            (found.weight, found.status),
            (Score::ZERO, Status::Unavailable)
        );
    }
    inputs.target.compliance = u8::MAX;
    let found = model(Preset::Literal).assess(&inputs, now());
    assert_eq!(
        factor(&found, FactorId::ResourceSensitivity).score,
        Score::ZERO
    );
}

#[test]
fn weights() {
    let found = model(Preset::Literal).assess(&plain(), now());
    let weights: Vec<_> = found
        .factors
        .iter()
        .map(|factor| (factor.id.as_str(), factor.weight))
        .collect();
    let expected = [
        ("identity", s("0.25")),
        ("device", s("0.2")),
        ("location", s("0.15")),
        ("behavior", s("0.2")),
        ("network", s("0.1")),
        ("resource_sensitivity", s("0.1")),
    ];
    assert_eq!(weights, expected);
}

#[test]
fn evidence_that_is_too_old_counts_as_none() {
    let check = |seconds: i64, status, score| {
        let mut inputs = plain();
        inputs.device.evident.observed = Some(before(seconds * SECOND));
        let found = factor(
            &model(Preset::Calibrated).assess(&inputs, now()),
            FactorId::Device,
        );
        assert_eq!(
            (found.status, found.score.ten_thousandths()),
            (status, score)
        );
    };
    check(30 * 86_400, Status::Ok, 6_000);
    check(30 * 86_400 + 1, Status::Stale, 0);
    check(-60, Status::Ok, 6_000);
    check(-61, Status::Stale, 0);
    let mut inputs = plain();
    inputs.location.evident.observed = Some(before(DAY + 1));
    let found = model(Preset::Calibrated).assess(&inputs, now());
    assert_eq!(factor(&found, FactorId::Location).status, Status::Stale);
    // Under `literal` it is said and counts as it was measured.
    let found = factor(
        &model(Preset::Literal).assess(&inputs, now()),
        FactorId::Location,
    );
    assert_eq!((found.status, found.score), (Status::Stale, s("0.6")));
}

#[test]
fn contradictions_are_said_and_count_as_they_were_taken() {
    for preset in BOTH {
        let mut inputs = plain();
        inputs.device.evident.conflicting = true;
        let found = factor(&model(preset).assess(&inputs, now()), FactorId::Device);
        assert_eq!((found.status, found.score), (Status::Conflicting, s("0.6")));
    }
}
