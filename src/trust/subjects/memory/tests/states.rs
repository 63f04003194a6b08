//! Events that say how a state is, and what is ordered.

use super::*;
use crate::trust::model::{Evidence, Method, MethodSet};
use crate::trust::subjects::{AssuranceRecord, CredentialChange, DeviceRecord};
use EventKind::{
    AccountDisabled, AccountEnabled, AssuranceLevelChange, CredentialCompromise,
    DeviceComplianceChange, RiskLevelChange, SessionEstablished, SessionRevoked,
};

fn assure(bench: &Bench, id: &str, session: &str, method: Method, offset: i64) {
    let record = AssuranceRecord {
        session: session.to_owned(),
        user: user(id),
        evidence: Evidence {
            method: Some(method),
            level: None,
            user_verified: false,
            at: at(offset),
            until: None,
        },
    };
    bench.change(Change::Assurance(record), offset);
}

/// Reports events in their order and the other way round; both must come to the same.
#[track_caller]
fn check(events: &[(EventKind, i64)], about: &About, expect: impl Fn(&SubjectState) -> bool) {
    let orders = [events.to_vec(), events.iter().rev().cloned().collect()];
    for order in orders {
        let bench = Bench::new();
        for (kind, offset) in order {
            let event = bench.event(kind, offset, about);
            assert_eq!(
                bench.signals.report(vec![event], at(HOUR)),
                [EventAnswer::Accepted]
            );
        }
        let device = about.subject.device.as_deref();
        assert!(expect(&bench.stands(
            &user("ada"),
            None,
            None,
            device,
            HOUR
        )));
    }
}

#[test]
fn the_latest_state_holds_in_any_order() {
    let ada = about().user("ada");
    let disabled = |standing: &SubjectState| knocked(standing, KnockOuts::ACCOUNT_DISABLED);
    check(&[(AccountDisabled, 0)], &ada, disabled);
    check(&[(AccountDisabled, 0), (AccountEnabled, 1)], &ada, |s| {
        !disabled(s)
    });
    check(&[(AccountEnabled, 0), (AccountDisabled, 1)], &ada, disabled);
    check(&[(AccountEnabled, 0), (AccountDisabled, 0)], &ada, disabled);
    let (high, low) = (
        RiskLevelChange { level: Band::High },
        RiskLevelChange { level: Band::Low },
    );
    check(&[(low.clone(), 0), (high.clone(), 1)], &ada, |s| {
        s.risk_level == Some(Band::High)
    });
    check(&[(high.clone(), 0), (low.clone(), 1)], &ada, |s| {
        s.risk_level.is_none()
    });
    check(&[(high, 0), (low, 0)], &ada, |s| {
        s.risk_level == Some(Band::High)
    });
    let device = about().device("d");
    let broken = |s: &SubjectState| knocked(s, KnockOuts::DEVICE_NOT_COMPLIANT);
    let change = |compliant| DeviceComplianceChange { compliant };
    check(&[(change(false), 0)], &device, broken);
    check(&[(change(false), 0), (change(true), 1)], &device, |s| {
        !broken(s)
    });
    check(&[(change(true), 0), (change(false), 0)], &device, broken);
    let credential = |change| EventKind::CredentialChange {
        method: None,
        change,
    };
    let compromised = |s: &SubjectState| (s.risk, s.demanded_level) == (risk(10_000), 3);
    check(&[(CredentialCompromise, 0)], &ada, compromised);
    let update = credential(CredentialChange::Update);
    check(
        &[(CredentialCompromise, 0), (update.clone(), 1)],
        &ada,
        |s| s.risk == risk(0),
    );
    check(&[(update, 0), (CredentialCompromise, 1)], &ada, compromised);
    let create = credential(CredentialChange::Create);
    check(&[(CredentialCompromise, 0), (create, 1)], &ada, compromised);
}

/// What is said at `now` of an instant ahead does not beat what is said right after.
#[test]
fn a_state_that_is_dated_ahead_is_one_of_now() {
    for ahead in [1, 290_000, 400 * DAY] {
        let report = |bench: &Bench, kind, offset, now, about: &About| {
            let event = bench.event(kind, offset, about);
            let answer = bench.signals.report(vec![event], at(now));
            assert_eq!(answer, [EventAnswer::Accepted]);
        };
        let bench = Bench::new();
        let (ada, device) = (about().user("ada"), about().device("d"));
        report(&bench, AccountEnabled, ahead, 0, &ada);
        report(&bench, AccountDisabled, 0, 0, &ada);
        let standing = bench.standing("ada", HERE, 1);
        assert!(knocked(&standing, KnockOuts::ACCOUNT_DISABLED));
        let change = |compliant| DeviceComplianceChange { compliant };
        report(&bench, change(true), ahead, 0, &device);
        report(&bench, change(false), 0, 0, &device);
        let standing = bench.stands(&user("ada"), None, None, Some("d"), 1);
        assert!(knocked(&standing, KnockOuts::DEVICE_NOT_COMPLIANT));
        let session = about().user("ada").session("s");
        report(&bench, SessionEstablished, ahead, 0, &session);
        report(&bench, SessionRevoked, 0, 0, &ada);
        let standing = bench.in_session("ada", "s", 1);
        assert!(knocked(&standing, KnockOuts::SESSION_REVOKED));
    }
    let bench = Bench::new();
    let record = AssuranceRecord {
        session: "s".to_owned(),
        user: user("ada"),
        evidence: Evidence {
            method: Some(Method::Totp),
            level: None,
            user_verified: false,
            at: at(4 * MINUTE),
            until: None,
        },
    };
    bench.change(Change::Assurance(record), 0);
    bench.happens(SessionRevoked, 0, &about().user("ada"));
    let standing = bench.in_session("ada", "s", 5 * MINUTE);
    assert!(knocked(&standing, KnockOuts::SESSION_REVOKED));
}

/// However old: it may be the latest that anybody said.
#[test]
fn a_state_may_be_old() {
    let bench = Bench::new();
    let event = bench.event(AccountDisabled, -400 * DAY, &about().user("ada"));
    let answer = bench.signals.report(vec![event], at(0));
    assert_eq!(answer, [EventAnswer::Accepted]);
    let standing = bench.standing("ada", HERE, 0);
    assert!(knocked(&standing, KnockOuts::ACCOUNT_DISABLED));
}

#[test]
fn a_compromise_is_told_of_once_and_lasts_until_remediated() {
    let bench = Bench::new();
    bench.happens(CredentialCompromise, 0, &about().user("ada"));
    bench.happens(CredentialCompromise, 1, &about().user("ada"));
    assert_eq!(
        bench.told(),
        [(
            NotificationKind::Finding,
            "credential_compromise".to_owned()
        )]
    );
    assert_eq!(bench.standing("ada", HERE, 90 * DAY).demanded_level, 3);
    bench.remediate(SubjectKind::User(user("ada")), 2);
    assert_eq!(
        bench.standing("ada", HERE, 3),
        SubjectState {
            known: true,
            suspicious: Some(false),
            ..SubjectState::default()
        }
    );
}

#[test]
fn remediation_leaves_revocations_and_disabled_accounts() {
    let bench = Bench::new();
    bench.happens(AccountDisabled, 0, &about().user("ada"));
    bench.happens(SessionRevoked, 0, &about().user("ada").session("s"));
    bench.happens(
        RiskLevelChange { level: Band::High },
        0,
        &about().user("ada"),
    );
    bench.remediate(SubjectKind::User(user("ada")), 1);
    let standing = bench.in_session("ada", "s", 1);
    assert!(knocked(&standing, KnockOuts::ACCOUNT_DISABLED));
    assert!(knocked(&standing, KnockOuts::SESSION_REVOKED));
    assert_eq!(standing.risk_level, None);
}

#[test]
fn a_session_is_revoked_for_good() {
    let bench = Bench::new();
    assure(&bench, "ada", "s", Method::Totp, 0);
    assure(&bench, "ada", "t", Method::Totp, 0);
    assert_eq!(bench.in_session("ada", "s", 1).evidence.len(), 1);
    bench.happens(SessionRevoked, 1, &about().session("s"));
    let record = AssuranceRecord {
        session: "s".to_owned(),
        user: user("ada"),
        evidence: Evidence {
            method: Some(Method::Webauthn),
            level: None,
            user_verified: false,
            at: at(2),
            until: None,
        },
    };
    let refused = bench.signals.change(Change::Assurance(record), at(2));
    let revoked = "session_revoked";
    assert!(matches!(refused, Err(ChangeError::Refused { code, .. }) if code == revoked));
    bench.happens(SessionEstablished, 2, &about().user("ada").session("s"));
    let standing = bench.in_session("ada", "s", 3);
    assert!(knocked(&standing, KnockOuts::SESSION_REVOKED) && !standing.revoked_by_instant);
    assert!(standing.evidence.is_empty());
    assert!(!knocked(
        &bench.in_session("ada", "t", 3),
        KnockOuts::SESSION_REVOKED
    ));
    assert!(!knocked(
        &bench.standing("ada", HERE, 3),
        KnockOuts::SESSION_REVOKED
    ));
    // Kept for thirty days, whatever is swept.
    for part in 0..crate::trust::subjects::shard::PARTS {
        bench.signals.core.sweep(part, at(30 * DAY));
    }
    assert!(knocked(
        &bench.in_session("ada", "s", 30 * DAY),
        KnockOuts::SESSION_REVOKED
    ));
}

#[test]
fn the_last_session_that_was_revoked_is_on_its_users_record() {
    let last =
        |bench: &Bench, id: &str, offset| bench.standing(id, HERE, offset).last_session_revoked;
    let s = about().session("s");
    for revoked_first in [true, false] {
        let bench = Bench::new();
        let established =
            |offset| bench.happens(SessionEstablished, offset, &s.clone().user("ada"));
        if !revoked_first {
            established(0);
            assert_eq!(last(&bench, "ada", 1), None);
        }
        bench.happens(SessionRevoked, 2, &s);
        if revoked_first {
            established(3);
        }
        assert_eq!(last(&bench, "ada", 4), Some(at(2)));
        assert_eq!(last(&bench, "bob", 4), None);
        let t = about().user("ada").session("t");
        let late = bench.event(SessionRevoked, 1, &t);
        bench.signals.report(vec![late], at(4));
        assert_eq!(last(&bench, "ada", 4), Some(at(2)));
        // Of all sessions it is told otherwise.
        bench.happens(SessionRevoked, 5, &about().user("ada"));
        bench.remediate(SubjectKind::User(user("ada")), 6);
        assert_eq!(last(&bench, "ada", 30 * DAY), Some(at(2)));
        assert_eq!(last(&bench, "ada", 30 * DAY + 3), None);
    }
    // Of a user nothing else is known of, too.
    let bench = Bench::new();
    bench.happens(SessionRevoked, 0, &s.user("ada"));
    assert_eq!(last(&bench, "ada", 1), Some(at(0)));
}

#[test]
fn all_sessions_are_revoked_up_to_an_instant() {
    let bench = Bench::new();
    let revoked = |session: Option<&str>, offset| {
        let standing = bench.stands(&user("ada"), None, session, None, offset);
        knocked(&standing, KnockOuts::SESSION_REVOKED)
    };
    assure(&bench, "ada", "old", Method::Totp, 0);
    bench.happens(SessionRevoked, 10, &about().user("ada"));
    assert!(revoked(Some("old"), 11) && revoked(Some("unknown"), 11) && revoked(None, 11));
    let standing = bench.in_session("ada", "unknown", 11);
    assert!(standing.revoked_by_instant && standing.revoked_before == Some(at(10)));
    bench.happens(SessionEstablished, 20, &about().user("ada").session("new"));
    assert!(!revoked(Some("new"), 21) && !revoked(None, 21) && revoked(Some("old"), 21));
    // A name that is not known is as good as none.
    assert!(!revoked(Some("unknown"), 21));
    // Authenticated once more, the old one holds again, and proves what came later only.
    assure(&bench, "ada", "old", Method::Webauthn, 30);
    assert!(!revoked(Some("old"), 31));
    let methods: Vec<_> = bench
        .in_session("ada", "old", 31)
        .evidence
        .iter()
        .map(|e| e.method)
        .collect();
    assert_eq!(methods, [Some(Method::Webauthn)]);
    // One that arrives late undoes nothing.
    let late = bench.event(SessionRevoked, 5, &about().user("ada"));
    bench.signals.report(vec![late], at(40));
    assert_eq!(
        bench.in_session("ada", "new", 41).revoked_before,
        Some(at(10))
    );
    assert!(!revoked(None, 41));
}

#[test]
fn a_revocation_by_instant_is_remembered_for_thirty_days() {
    let bench = Bench::new();
    bench.happens(SessionRevoked, 0, &about().user("ada"));
    for (offset, expect) in [(30 * DAY, true), (30 * DAY + 1, false)] {
        for session in [None, Some("s")] {
            let standing = bench.stands(&user("ada"), None, session, None, offset);
            assert_eq!(knocked(&standing, KnockOuts::SESSION_REVOKED), expect);
        }
    }
}

#[test]
fn a_revoked_session_is_no_later_one() {
    for revoked_first in [true, false] {
        let bench = Bench::new();
        bench.happens(SessionRevoked, 0, &about().user("ada"));
        if !revoked_first {
            assure(&bench, "ada", "s", Method::Totp, 1);
        }
        bench.happens(SessionRevoked, 1, &about().session("s"));
        if revoked_first {
            bench.happens(SessionEstablished, 2, &about().user("ada").session("s"));
        }
        let standing = bench.standing("ada", HERE, 3);
        assert!(knocked(&standing, KnockOuts::SESSION_REVOKED));
    }
}

#[test]
fn an_address_is_the_same_in_both_of_its_forms() {
    let bench = Bench::new();
    for n in 0..5 {
        let mapped = about().user("ada").ip("::ffff:192.0.2.1");
        bench.happens(EventKind::LoginFailed, n, &mapped);
        bench.happens(EventKind::LoginFailed, n, &about().ip("::ffff:192.0.2.1"));
    }
    assert_eq!(bench.standing("ada", HERE, 5).demanded_level, 2);
    assert_eq!(
        bench.standing("ada", "::ffff:192.0.2.1", 5).demanded_level,
        2
    );
    assert_eq!(bench.standing("bob", HERE, 5).demanded_level, 2);
    bench.remediate(SubjectKind::Ip(ip("::ffff:192.0.2.1")), 6);
    assert_eq!(bench.standing("bob", HERE, 6).demanded_level, 0);
}

#[test]
fn evidence_is_of_the_sessions_own_user() {
    let bench = Bench::new();
    assure(&bench, "ada", "s", Method::Totp, 0);
    assert_eq!(bench.in_session("ada", "s", 0).evidence.len(), 1);
    assert!(bench.in_session("bob", "s", 0).evidence.is_empty());
    assert!(bench.in_session("ada", "t", 0).evidence.is_empty());
    // Nobody takes a session over while somebody else is logged in.
    let of_another = |refused: &ChangeError| {
        matches!(
            refused,
            ChangeError::Refused {
                code: "session_of_another",
                ..
            }
        )
    };
    let record = |offset| AssuranceRecord {
        session: "s".to_owned(),
        user: user("bob"),
        evidence: Evidence {
            method: Some(Method::Totp),
            level: None,
            user_verified: false,
            at: at(offset),
            until: None,
        },
    };
    let refused = bench.signals.change(Change::Assurance(record(1)), at(1));
    assert!(refused.is_err_and(|error| of_another(&error)));
    for kind in [SessionEstablished, AssuranceLevelChange { level: 0 }] {
        let event = bench.event(kind, 1, &about().user("bob").session("s"));
        match &bench.signals.report(vec![event], at(1))[..] {
            [EventAnswer::Refused(error)] => assert!(of_another(error)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(bench.in_session("ada", "s", 1).evidence.len(), 1);
    assert!(!bench.standing("bob", HERE, 1).known);
    assure(&bench, "bob", "s", Method::Totp, HOUR);
    assert!(bench.in_session("ada", "s", HOUR).evidence.is_empty());
    assert_eq!(bench.in_session("bob", "s", HOUR).evidence.len(), 1);
}

#[test]
fn an_allowed_decision_keeps_a_session_from_idling() {
    for (allowed, expect) in [(true, 1), (false, 0)] {
        let bench = Bench::new();
        let ada = user("ada");
        assure(&bench, "ada", "s", Method::Totp, 0);
        let mut seen = seen(&ada, HERE, 20 * MINUTE);
        seen.ask.session = Some("s");
        seen.allowed = allowed;
        bench.signals.observe(&seen);
        assert_eq!(
            bench.in_session("ada", "s", 40 * MINUTE).evidence.len(),
            expect
        );
    }
}

#[test]
fn a_level_is_of_the_session_whoever_names_it() {
    let bench = Bench::new();
    assure(&bench, "ada", "s", Method::Webauthn, 0);
    bench.happens(AssuranceLevelChange { level: 1 }, 1, &about().session("s"));
    let evidence = bench.in_session("ada", "s", 2).evidence;
    assert_eq!(
        evidence
            .iter()
            .map(|e| (e.method, e.level))
            .collect::<Vec<_>>(),
        [(None, Some(1))]
    );
    let unknown = bench.event(AssuranceLevelChange { level: 1 }, 1, &about().session("t"));
    let refused = bench.signals.report(vec![unknown], at(1));
    assert!(matches!(
        &refused[..],
        [EventAnswer::Refused(ChangeError::Refused {
            code: "no_subject",
            ..
        })]
    ));
}

#[test]
fn methods_that_are_enrolled() {
    let bench = Bench::new();
    let enrolled = || bench.standing("ada", HERE, HOUR).enrolled;
    let change = |method, change| EventKind::CredentialChange {
        method: Some(method),
        change,
    };
    assert_eq!(enrolled(), None);
    bench.happens(
        change(Method::Totp, CredentialChange::Delete),
        0,
        &about().user("ada"),
    );
    assert_eq!(enrolled(), None);
    bench.happens(
        change(Method::Webauthn, CredentialChange::Create),
        1,
        &about().user("ada"),
    );
    assert_eq!(
        enrolled(),
        Some(MethodSet::default().with(Method::Webauthn))
    );
    let account = |created, enrolled| Change::Account {
        user: user("ada"),
        created,
        enrolled,
    };
    bench.change(account(Some(at(-DAY)), Some(MethodSet::default())), 2);
    assert_eq!(enrolled(), Some(MethodSet::default()));
    bench.change(account(None, None), 3);
    assert_eq!(
        bench.standing("ada", HERE, 3).account_created,
        Some(at(-DAY))
    );
}

#[test]
fn devices_are_registered_to_one_user() {
    let bench = Bench::with(|config| config.bounds.devices = 2);
    let record = |id: &str, owner: Option<&str>| DeviceRecord {
        id: id.to_owned(),
        user: owner.map(user),
        facts: crate::trust::model::DeviceFacts {
            managed: owner.is_some().then_some(true),
            ..Default::default()
        },
        ..DeviceRecord::default()
    };
    let registered = |who: &str, device: &str| {
        let standing = bench.stands(&user(who), None, None, Some(device), 9);
        standing
            .device
            .map(|device| (device.registered, device.facts.managed))
    };
    assert_eq!(registered("ada", "d"), None);
    bench.change(Change::Device(record("d", Some("ada"))), 0);
    bench.change(Change::Device(record("e", Some("ada"))), 0);
    assert_eq!(registered("ada", "d"), Some((true, Some(true))));
    assert_eq!(registered("bob", "d"), Some((false, Some(true))));
    let third = bench
        .signals
        .change(Change::Device(record("f", Some("ada"))), at(0));
    let too_many = "too_many_devices";
    assert!(matches!(third, Err(ChangeError::Refused { code, .. }) if code == too_many));
    // A report without a user leaves it whose it was.
    bench.change(Change::Device(record("d", None)), 1);
    assert_eq!(registered("ada", "d"), Some((true, Some(true))));
    // Nor does anybody take it over.
    let taken = bench
        .signals
        .change(Change::Device(record("d", Some("bob"))), at(2));
    let of_another = "device_of_another";
    assert!(matches!(taken, Err(ChangeError::Refused { code, .. }) if code == of_another));
    assert_eq!(registered("ada", "d"), Some((true, Some(true))));
    assert!(!bench.stands(&user("bob"), None, None, None, 2).known);
    bench.change(Change::RemoveDevice("d".to_owned()), 2);
    bench.change(Change::Device(record("d", Some("bob"))), 2);
    assert_eq!(registered("bob", "d"), Some((true, Some(true))));
    assert_eq!(registered("ada", "d"), Some((false, Some(true))));
    bench.change(Change::Device(record("f", Some("ada"))), 3);
    bench.change(Change::RemoveDevice("f".to_owned()), 3);
    assert_eq!(registered("ada", "f"), None);
    let mut broken = record("e", None);
    broken.compliant = Some(false);
    bench.change(Change::Device(broken), 4);
    let standing = bench.stands(&user("ada"), None, None, Some("e"), 9);
    assert!(knocked(&standing, KnockOuts::DEVICE_NOT_COMPLIANT));
}

#[test]
fn a_device_that_is_registered_again_complies_no_more_than_before() {
    let bench = Bench::new();
    let record = || {
        Change::Device(DeviceRecord {
            id: "d".to_owned(),
            user: Some(user("ada")),
            ..DeviceRecord::default()
        })
    };
    let stands = |offset| bench.stands(&user("ada"), None, None, Some("d"), offset);
    bench.change(record(), 0);
    bench.happens(
        DeviceComplianceChange { compliant: false },
        1,
        &about().device("d"),
    );
    bench.change(Change::RemoveDevice("d".to_owned()), 2);
    assert_eq!(stands(3).device, None);
    let without = bench.stands(&user("ada"), None, None, None, 3);
    assert!(!knocked(&without, KnockOuts::DEVICE_NOT_COMPLIANT));
    bench.change(record(), 4);
    assert!(knocked(&stands(5), KnockOuts::DEVICE_NOT_COMPLIANT));
    assert!(stands(5).device.is_some_and(|device| device.registered));
    bench.happens(
        DeviceComplianceChange { compliant: true },
        6,
        &about().device("d"),
    );
    assert!(!knocked(&stands(7), KnockOuts::DEVICE_NOT_COMPLIANT));
    // Erased, nothing is left of it.
    let subject = SubjectKind::Device("d".to_owned());
    bench.change(
        Change::Erase {
            subject: subject.clone(),
            by: "operator".to_owned(),
        },
        8,
    );
    assert_eq!(bench.signals.describe(&subject, at(9)), None);
}

#[test]
fn an_override_sets_findings_aside_and_no_revocations() {
    let bench = Bench::with(|config| config.block.enabled = true);
    for n in 0..5 {
        bench.happens(EventKind::LoginFailed, n, &about().user("ada").ip(HERE));
    }
    bench.happens(CredentialCompromise, 5, &about().user("ada"));
    bench.happens(
        RiskLevelChange { level: Band::High },
        5,
        &about().user("ada"),
    );
    bench.happens(AccountDisabled, 5, &about().user("ada"));
    let set = |until: Option<i64>| Change::Override {
        user: user("ada"),
        until: until.map(at),
        reason: "a drill".to_owned(),
        by: "operator".to_owned(),
    };
    let stands = |offset| {
        let s = bench.standing("ada", HERE, offset);
        let blocked = knocked(&s, KnockOuts::BLOCKED);
        (
            s.risk.ten_thousandths(),
            s.demanded_level,
            s.risk_level,
            blocked,
        )
    };
    let held = (10_000, 3, Some(Band::High), true);
    let aside = (0, 0, None, false);
    assert_eq!(stands(6), held);
    bench.change(set(Some(10)), 6);
    assert_eq!((stands(9), stands(10)), (aside, held));
    assert!(knocked(
        &bench.standing("ada", HERE, 9),
        KnockOuts::ACCOUNT_DISABLED
    ));
    assert_eq!(
        bench.standing("ada", HERE, 9).overridden_until,
        Some(at(10))
    );
    bench.change(set(None), 8);
    assert_eq!(stands(9), held);
    let refused = |until| match bench.signals.change(set(Some(until)), at(0)) {
        Err(ChangeError::Refused { code, .. }) => code,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(DAY + 1), "override_too_long");
    assert_eq!(refused(0), "past");
    bench.change(set(Some(DAY)), 0);
}

#[test]
fn what_is_erased_is_gone() {
    let bench = Bench::new();
    let ada = about().user("ada").session("s").ip(HERE).of(Severity::High);
    bench.happens(EventKind::PrivilegeEscalation, 0, &ada);
    bench.happens(SessionRevoked, 0, &about().user("ada").session("s"));
    bench.happens(AccountDisabled, 0, &about().user("ada"));
    assure(&bench, "ada", "t", Method::Totp, 0);
    let erase = |subject| Change::Erase {
        subject,
        by: "operator".to_owned(),
    };
    bench.change(erase(SubjectKind::User(user("ada"))), 1);
    bench.change(erase(SubjectKind::Ip(ip(HERE))), 1);
    let gone = [
        SubjectKind::User(user("ada")),
        SubjectKind::Session("s".to_owned()),
        SubjectKind::Session("t".to_owned()),
        SubjectKind::Ip(ip(HERE)),
    ];
    for subject in &gone {
        assert_eq!(bench.signals.describe(subject, at(1)), None, "{subject:?}");
    }
    assert_eq!(bench.signals.held(at(1), 10), []);
    assert_eq!(bench.signals.core.ids.len(), 0);
    assert_eq!(
        bench.stands(&user("ada"), Some(HERE), Some("s"), None, 1),
        SubjectState::default()
    );
    bench.change(erase(SubjectKind::User(user("ada"))), 2);
}

#[test]
fn every_change_is_told_of() {
    let bench = Bench::new();
    bench.signals.observe(&seen(&user("ada"), HERE, 0));
    bench.remediate(SubjectKind::User(user("ada")), 1);
    bench.change(
        Change::Erase {
            subject: SubjectKind::User(user("ada")),
            by: "operator".to_owned(),
        },
        2,
    );
    let changed = |name: &str| (NotificationKind::SubjectChanged, name.to_owned());
    assert_eq!(bench.told(), [changed("remediate"), changed("erase")]);
}

#[test]
fn events_that_cannot_be_taken() {
    #[track_caller]
    fn check(change: impl FnOnce(&mut Event), code: &str) {
        let bench = Bench::new();
        let mut event = bench.event(EventKind::LoginFailed, 0, &about().user("ada").ip(HERE));
        change(&mut event);
        let expect = code;
        match bench.signals.report(vec![event.clone()], at(0)).remove(0) {
            EventAnswer::Accepted => assert_eq!(expect, "", "{event:?}"),
            EventAnswer::Refused(ChangeError::Refused { code, .. }) => assert_eq!(code, expect),
            other => panic!("{other:?}"),
        }
    }
    check(|_| (), "");
    check(|event| event.at = at(5 * MINUTE), "");
    check(|event| event.at = at(5 * MINUTE + 1), "future");
    check(|event| event.at = at(-7 * DAY), "");
    check(|event| event.at = at(-7 * DAY - 1), "too_old");
    check(|event| event.id = String::new(), "empty");
    check(|event| event.id = "x".repeat(256), "");
    check(|event| event.id = "x".repeat(257), "too_long");
    check(|event| event.source = "x".repeat(257), "too_long");
    check(
        |event| event.subject.session = Some("x".repeat(257)),
        "too_long",
    );
    check(|event| event.subject.device = Some(String::new()), "empty");
    check(
        |event| event.subject.user = Some(user(&"x".repeat(257))),
        "too_long",
    );
    check(
        |event| event.subject = EventSubject::default(),
        "no_subject",
    );
    check(
        |event| event.kind = AssuranceLevelChange { level: 1 },
        "no_subject",
    );
    check(
        |event| event.kind = DeviceComplianceChange { compliant: true },
        "no_subject",
    );
    check(
        |event| {
            event.subject.user = None;
            event.kind = AccountDisabled;
        },
        "no_subject",
    );
    check(
        |event| {
            event.subject.session = Some("s".to_owned());
            event.kind = AssuranceLevelChange { level: 5 };
        },
        "no_such_level",
    );
}

#[test]
fn described_with_the_reasons() {
    let bench = Bench::new();
    for n in 0..5 {
        bench.happens(EventKind::LoginFailed, n, &about().user("ada").ip(HERE));
    }
    bench.happens(CredentialCompromise, 5, &about().user("ada"));
    let json = bench
        .signals
        .describe(&SubjectKind::User(user("ada")), at(6))
        .unwrap();
    assert_eq!(json["id"], "ada");
    assert_eq!(json["demandedLevel"], 3);
    assert_eq!(json["findings"][0]["kind"], "credential_compromise");
    assert_eq!(json["findings"][0]["demandedUntil"], "until remediated");
    let address = &json["addresses"][0];
    assert_eq!(address["ip"], HERE);
    assert_eq!(
        address["findings"][0]["demandedUntil"],
        at(4 + HOUR).to_string()
    );
    assert_eq!(address["events"][0]["type"], "auth.login_failed");
    assert_eq!(address["events"][0]["source"], "idp");
    assert!(address["events"][0]["id"].is_string());
}
