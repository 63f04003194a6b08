//! Correlation, direct rules, decay and what they demand.

use super::*;
use EventKind::{
    AnomalousApiUsage as Api, LoginFailed as Login, MfaBypassAttempt as Mfa,
    PrivilegeEscalation as Escalation, RateLimitHit as Limit, SensitiveDataAccess as Data,
    SystemCompromiseIndicator as Compromise,
};

/// A session of a user begins.
fn logged_in(bench: &Bench, id: &str, session: &str) {
    let one = about().user(id).session(session);
    bench.happens(EventKind::SessionEstablished, 0, &one);
}

fn registered(bench: &Bench, id: &str, device: &str) {
    let record = crate::trust::subjects::DeviceRecord {
        id: device.to_owned(),
        user: Some(user(id)),
        ..Default::default()
    };
    bench.change(Change::Device(record), 0);
}

fn times(bench: &Bench, count: usize, kind: EventKind, step: i64, about: &About) {
    for n in 0..count {
        bench.happens(kind.clone(), n as i64 * step, about);
    }
}

/// `count` events of a kind, `step` apart, and what they demand of the user at that address at once.
#[track_caller]
fn check(count: usize, kind: EventKind, step: i64, level: u8, told: &[(NotificationKind, &str)]) {
    let bench = Bench::with(|config| {
        (
            config.correlation.finding_above,
            config.correlation.incident_above,
        ) = (Score::ONE, Score::ONE);
    });
    times(&bench, count, kind, step, &about().user("ada").ip(HERE));
    let end = (count as i64 - 1) * step;
    assert_eq!(bench.standing("ada", HERE, end).demanded_level, level);
    let told: Vec<_> = told
        .iter()
        .map(|(kind, name)| (*kind, (*name).to_owned()))
        .collect();
    assert_eq!(bench.told(), told);
}

#[test]
fn five_failed_logins_in_fifteen_minutes() {
    let incident = [(NotificationKind::Incident, "brute_force_attack")];
    check(4, Login, 0, 0, &[]);
    check(5, Login, 0, 2, &incident);
    check(5, Login, 15 * MINUTE / 4, 2, &incident);
    check(5, Login, 15 * MINUTE / 4 + 1, 0, &[]);
}

#[test]
fn ten_suspicious_requests_in_fifteen_minutes() {
    let finding = [(NotificationKind::Finding, "suspicious_requests")];
    check(9, Api, 0, 0, &[]);
    check(10, Api, 100_000, 2, &finding);
    check(10, Data, 100_001, 0, &[]);
    check(10, Escalation, 0, 0, &[]);
}

#[test]
fn twenty_rate_limits_in_fifteen_minutes() {
    let finding = [(NotificationKind::Finding, "rate_limit_abuse")];
    check(19, Limit, 0, 0, &[]);
    check(20, Limit, 45_000, 2, &finding);
    check(20, Limit, 48_000, 0, &[]);
}

#[test]
fn a_direct_rule_lasts_an_hour() {
    let bench = Bench::new();
    times(&bench, 5, Login, 0, &about().user("ada").ip(HERE));
    assert_eq!(bench.standing("ada", HERE, HOUR - 1).demanded_level, 2);
    assert_eq!(bench.standing("ada", HERE, HOUR).demanded_level, 0);
    assert_eq!(
        bench.standing("ada", HERE, HOUR).behavior.finding,
        risk(2_500)
    );
}

#[test]
fn brute_force_is_of_the_user_at_that_address_only() {
    let bench = Bench::new();
    times(&bench, 5, Login, 0, &about().user("ada").ip(THERE));
    assert_eq!(bench.standing("ada", THERE, 0).demanded_level, 2);
    assert_eq!(bench.standing("ada", HERE, 0).demanded_level, 0);
    assert_eq!(bench.standing("bob", THERE, 0).demanded_level, 0);
    assert_eq!(bench.standing("ada", THERE, 0).risk, risk(0));
    assert_eq!(
        bench.standing("ada", THERE, 0).behavior.finding,
        risk(5_000)
    );
}

#[test]
fn brute_force_without_a_user_is_of_the_address() {
    let bench = Bench::new();
    times(&bench, 5, Login, 0, &about().ip(THERE));
    assert_eq!(bench.standing("ada", THERE, 0).demanded_level, 2);
    assert_eq!(bench.standing("ada", HERE, 0).demanded_level, 0);
}

#[test]
fn a_block_is_opted_into_and_ends_after_an_hour() {
    for enabled in [false, true] {
        let bench = Bench::with(|config| config.block.enabled = enabled);
        times(&bench, 5, Login, 0, &about().user("ada").ip(THERE));
        let blocked = |offset| knocked(&bench.standing("ada", THERE, offset), KnockOuts::BLOCKED);
        assert_eq!(blocked(HOUR - 1), enabled);
        assert!(!blocked(HOUR));
        assert!(!knocked(
            &bench.standing("ada", HERE, 0),
            KnockOuts::BLOCKED
        ));
        assert_eq!(
            bench.signals.held(at(0), 9),
            [SubjectKind::User(user("ada"))]
        );
        bench.remediate(SubjectKind::User(user("ada")), 1);
        assert!(!blocked(1));
        assert_eq!(bench.signals.held(at(1), 9), []);
    }
}

/// What anybody can cause counts for nobody's device or session, and blocks none.
#[test]
fn a_stranger_holds_nothing_against_a_device_or_a_session() {
    let bench = Bench::with(|config| config.block.enabled = true);
    logged_in(&bench, "ada", "s");
    registered(&bench, "ada", "d");
    let stands = |who: &str| bench.stands(&user(who), None, Some("s"), Some("d"), 0);
    let before = stands("ada");
    for kind in [
        Login,
        Limit,
        EventKind::SuspiciousNetworkTraffic,
        Mfa,
        EventKind::SuspiciousLocation,
    ] {
        let strange = about().user("mallory").ip(THERE).session("s").device("d");
        times(&bench, 25, kind, 0, &strange.of(Severity::Critical));
    }
    assert_eq!(stands("ada"), before);
    assert_eq!(stands("bob").behavior.finding, risk(0));
    // What names nobody, or its owner, counts, and blocks nothing.
    for one in [about().session("s"), about().user("ada").device("d")] {
        times(&bench, 5, Login, 0, &one);
    }
    let standing = stands("ada");
    assert_eq!(standing.demanded_level, 2);
    assert!(!knocked(&standing, KnockOuts::BLOCKED));
    for one in [(Some("s"), None), (None, Some("d"))] {
        let standing = bench.stands(&user("bob"), None, one.0, one.1, 0);
        assert_eq!(standing.demanded_level, 2, "{one:?}");
    }
}

/// Not to say which session or device it is does not help.
#[test]
fn what_is_hidden_is_held_all_the_same() {
    let bench = Bench::with(|config| config.bounds.devices = 40);
    for session in ["s", "t"] {
        logged_in(&bench, "ada", session);
    }
    for n in 0..40 {
        registered(&bench, "ada", &format!("d{n}"));
    }
    registered(&bench, "bob", "e");
    let finding = |who: &str, session, device| {
        bench
            .stands(&user(who), None, session, device, 0)
            .behavior
            .finding
    };
    // Of a session of hers.
    times(&bench, 5, Login, 0, &about().user("ada").session("s"));
    for (session, expect) in [
        (None, 5_000),
        (Some("x"), 5_000),
        (Some("s"), 5_000),
        (Some("t"), 0),
    ] {
        assert_eq!(
            finding("ada", session, Some("d1")),
            risk(expect),
            "{session:?}"
        );
        assert_eq!(finding("bob", None, Some("d1")), risk(0));
    }
    // Of a device of hers, however many there are.
    times(&bench, 5, Login, 0, &about().user("ada").device("d39"));
    for (device, expect) in [
        (None, 5_000),
        (Some("e"), 5_000),
        (Some("x"), 5_000),
        (Some("d39"), 5_000),
        (Some("d1"), 0),
    ] {
        assert_eq!(
            finding("ada", Some("t"), device),
            risk(expect),
            "{device:?}"
        );
    }
    let broken = EventKind::DeviceComplianceChange { compliant: false };
    bench.happens(broken, 0, &about().device("d38"));
    for (device, expect) in [
        (None, true),
        (Some("e"), true),
        (Some("d38"), true),
        (Some("d1"), false),
    ] {
        let standing = bench.stands(&user("ada"), None, None, device, 0);
        assert_eq!(
            knocked(&standing, KnockOuts::DEVICE_NOT_COMPLIANT),
            expect,
            "{device:?}"
        );
    }
    let standing = bench.stands(&user("bob"), None, None, None, 0);
    assert!(!knocked(&standing, KnockOuts::DEVICE_NOT_COMPLIANT));
}

/// What is said of a login is the user's only where the user's session is named.
#[test]
fn a_login_from_elsewhere_is_the_users_in_its_own_session_only() {
    for kind in [Mfa, EventKind::SuspiciousLocation] {
        for (session, own) in [
            (None, false),
            (Some("t"), false),
            (Some("x"), false),
            (Some("s"), true),
        ] {
            let bench = Bench::new();
            logged_in(&bench, "ada", "s");
            logged_in(&bench, "bob", "t");
            let mut one = about().user("ada").ip(THERE).of(Severity::Critical);
            one.subject.session = session.map(str::to_owned);
            times(&bench, 5, kind.clone(), 0, &one);
            let standing = bench.standing("ada", HERE, 0);
            assert_eq!(standing.suspicious, Some(own), "{session:?}");
            assert_eq!(standing.risk > risk(0), own, "{session:?}");
            let there = bench.standing("ada", THERE, 0);
            assert!(there.behavior.finding > risk(0));
        }
    }
}

/// Five events of three types within five minutes and of a high severity.
fn incident(bench: &Bench, about: &About) {
    for (n, kind) in [Api, Compromise, Escalation, Compromise, Escalation]
        .into_iter()
        .enumerate()
    {
        bench.happens(kind, n as i64, &about.clone().of(Severity::High));
    }
}

#[test]
fn above_a_half_is_a_finding_and_above_eight_tenths_an_incident() {
    // 0.2 for the burst and 0.3 for the severity.
    let bench = Bench::new();
    times(
        &bench,
        3,
        Compromise,
        1,
        &about().user("ada").of(Severity::High),
    );
    assert_eq!(bench.standing("ada", HERE, 2).risk, risk(0));
    assert_eq!(bench.told(), []);
    // And 0.2 for five.
    bench.happens(Compromise, 3, &about().user("ada").of(Severity::High));
    bench.happens(Compromise, 4, &about().user("ada").of(Severity::High));
    assert_eq!(bench.standing("ada", HERE, 4).risk, risk(7_000));
    assert_eq!(
        bench.told(),
        [(NotificationKind::Finding, "correlated".to_owned())]
    );
    // 0.3 for types more is all of it.
    bench.happens(Api, 5, &about().user("ada").of(Severity::High));
    bench.happens(Escalation, 6, &about().user("ada").of(Severity::High));
    assert_eq!(bench.standing("ada", HERE, 6).risk, risk(10_000));
    assert_eq!(
        bench.told(),
        [(NotificationKind::Incident, "correlated".to_owned())]
    );
    // Exactly 0.8 is none.
    let bench = Bench::new();
    for (n, kind) in [Api, Compromise, Escalation].into_iter().enumerate() {
        bench.happens(kind, n as i64, &about().user("ada").of(Severity::High));
    }
    assert_eq!(bench.standing("ada", HERE, 2).risk, risk(8_000));
    assert_eq!(
        bench.told(),
        [(NotificationKind::Finding, "correlated".to_owned())]
    );
}

#[test]
fn events_belong_together_for_ten_minutes() {
    for (last, expect) in [(10 * MINUTE, 6_000), (10 * MINUTE + 1, 0)] {
        let bench = Bench::new();
        for (offset, kind) in [(0, Api), (1, Compromise), (last, Escalation)] {
            bench.happens(kind, offset, &about().user("ada").of(Severity::High));
        }
        assert_eq!(bench.standing("ada", HERE, last).risk, risk(expect));
    }
}

#[test]
fn correlated_by_user_address_session_and_device() {
    let bench = Bench::new();
    logged_in(&bench, "ada", "s");
    incident(
        &bench,
        &about().user("ada").ip(HERE).session("s").device("d"),
    );
    let find = |user: EntityRef, address, session, device| {
        bench
            .stands(&user, address, session, device, 4)
            .behavior
            .finding
    };
    assert_eq!(find(user("ada"), None, None, None), risk(10_000));
    assert_eq!(find(user("bob"), Some(HERE), None, None), risk(10_000));
    assert_eq!(find(user("bob"), None, Some("s"), None), risk(10_000));
    assert_eq!(find(user("bob"), None, None, Some("d")), risk(10_000));
    assert_eq!(
        find(user("bob"), Some(THERE), Some("t"), Some("e")),
        risk(0)
    );
    assert_eq!(bench.standing("bob", HERE, 4).risk, risk(0));
}

#[test]
fn a_finding_fades_and_a_users_high_incident_does_not() {
    let bench = Bench::new();
    incident(&bench, &about().user("ada").ip(HERE));
    let at_address = |offset| bench.standing("bob", HERE, offset).behavior.finding;
    assert_eq!(at_address(4 + HOUR), risk(5_000));
    assert_eq!(at_address(4 + 2 * HOUR), risk(2_500));
    assert_eq!(at_address(0), risk(10_000));
    assert_eq!(bench.standing("ada", THERE, 20 * DAY).risk, risk(10_000));
    bench.remediate(SubjectKind::User(user("ada")), 20 * DAY);
    assert_eq!(bench.standing("ada", THERE, 20 * DAY).risk, risk(0));
}

#[test]
fn impossible_travel_is_an_incident_until_it_is_remediated() {
    let bench = Bench::new();
    let ada = user("ada");
    let travel = |offset| {
        let mut seen = seen(&ada, HERE, offset);
        seen.impossible_speed = Some(2_000);
        bench.signals.observe(&seen);
    };
    travel(0);
    let finding = (NotificationKind::Finding, "impossible_travel".to_owned());
    let incident = (NotificationKind::Incident, "account_compromise".to_owned());
    assert_eq!(bench.told(), [finding.clone(), incident.clone()]);
    let standing = bench.standing("ada", HERE, 5 * DAY);
    assert_eq!((standing.risk, standing.demanded_level), (risk(8_000), 3));
    assert_eq!(standing.suspicious, Some(true));
    // Once per hour, and the incident once until it is remediated.
    travel(HOUR - 1);
    assert_eq!(bench.told(), []);
    travel(HOUR);
    assert_eq!(bench.told(), std::slice::from_ref(&finding));
    bench.remediate(SubjectKind::User(ada.clone()), HOUR);
    let standing = bench.standing("ada", HERE, HOUR);
    assert_eq!((standing.risk, standing.demanded_level), (risk(0), 0));
    bench.told();
    travel(3 * HOUR);
    assert_eq!(bench.told(), [finding, incident]);
}

#[test]
fn denied_travel_is_told_of_and_held_against_nobody() {
    let bench = Bench::new();
    let ada = user("ada");
    bench.signals.observe(&seen(&ada, HERE, 0));
    let before = bench.standing("ada", HERE, MINUTE);
    for offset in [1, 2, 3] {
        let mut seen = seen(&ada, THERE, offset);
        seen.allowed = false;
        seen.impossible_speed = Some(2_000);
        bench.signals.observe(&seen);
    }
    assert_eq!(bench.standing("ada", HERE, MINUTE), before);
    assert_eq!(
        bench.told(),
        [(NotificationKind::Finding, "impossible_travel".to_owned())]
    );
}

#[test]
fn the_same_finding_has_the_same_name() {
    let ids = || {
        let bench = Bench::new();
        incident(&bench, &about().user("ada").ip(HERE));
        let notices = bench.notices.lock().unwrap();
        let mut ids: Vec<_> = notices.iter().map(|notice| notice.id.clone()).collect();
        ids.sort();
        ids.dedup();
        ids
    };
    assert_eq!(ids(), ids());
    // The user, the user at the address, the address.
    assert_eq!(ids().len(), 3);
}

#[test]
fn suspicious_for_thirty_days() {
    for (kind, severity, expect) in [
        (Compromise, Severity::High, true),
        (Compromise, Severity::Medium, false),
        (Login, Severity::Critical, false),
    ] {
        let bench = Bench::new();
        bench.signals.observe(&seen(&user("ada"), HERE, 0));
        bench.happens(kind, 0, &about().user("ada").ip(HERE).of(severity));
        let suspicious = |offset| bench.standing("ada", HERE, offset).suspicious;
        assert_eq!(suspicious(30 * DAY), Some(expect));
        assert_eq!(suspicious(30 * DAY + 1), Some(false));
        bench.remediate(SubjectKind::User(user("ada")), 5);
        assert_eq!(suspicious(5), Some(false));
    }
}

#[test]
fn numbers_can_be_others() {
    let bench = Bench::with(|config| {
        config.rules.brute_force.events = 2;
        config.rules.brute_force.level = 4;
        config.half_life = crate::trust::subjects::Span::minutes(10);
    });
    times(&bench, 2, Login, 0, &about().user("ada").ip(HERE));
    let standing = bench.standing("ada", HERE, 10 * MINUTE);
    assert_eq!(
        (standing.demanded_level, standing.behavior.finding),
        (4, risk(2_500))
    );
    bench.signals.set_config(SignalsConfig {
        half_life: crate::trust::subjects::Span::minutes(5),
        ..SignalsConfig::default()
    });
    assert_eq!(
        bench.standing("ada", HERE, 10 * MINUTE).behavior.finding,
        risk(1_250)
    );
}

#[test]
fn wrong_numbers_are_named() {
    #[track_caller]
    fn check(json: &str, name: &str) {
        let config: SignalsConfig = serde_json::from_str(json).unwrap();
        let faults = config.check();
        assert!(faults.len() == 1 && faults[0].contains(name), "{faults:?}");
    }
    check(r#"{"half_life": "5s"}"#, "half_life");
    check(r#"{"revoked_for": "7h"}"#, "revoked_for");
    check(
        r#"{"correlation": {"types_risk": 1.5}}"#,
        "correlation.types_risk",
    );
    check(
        r#"{"rules": {"suspicious_types": ["app.x"]}}"#,
        "suspicious_types",
    );
    check(r#"{"bounds": {"places": 1}}"#, "bounds.places");
    let level = r#"{"rules": {"credential_compromise": {"risk": 1, "level": 5}}}"#;
    check(level, "rules.credential_compromise.level");
    assert!(serde_json::from_str::<SignalsConfig>(r#"{"halflife": "1h"}"#).is_err());
    let default = SignalsConfig::default();
    let json = serde_json::to_string(&default).unwrap();
    assert_eq!(
        serde_json::from_str::<SignalsConfig>(&json).unwrap(),
        default
    );
}
