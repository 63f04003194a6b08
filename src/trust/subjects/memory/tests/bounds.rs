//! Floods: what is kept is bounded, and nobody pushes out another's state.

use super::*;
use EventKind::{LoginFailed, PrivilegeEscalation};

use crate::trust::subjects::record::Record as _;

#[test]
fn duplicates_count_once() {
    let bench = Bench::new();
    let one = about().user("ada").ip(HERE);
    let event = bench.event(LoginFailed, 0, &one);
    for n in 0..10 {
        let expect = if n == 0 {
            EventAnswer::Accepted
        } else {
            EventAnswer::Duplicate
        };
        assert_eq!(bench.signals.report(vec![event.clone()], at(0)), [expect]);
    }
    // Whomever it names then.
    let mut other = event.clone();
    other.subject = about().user("bob").subject;
    assert_eq!(
        bench.signals.report(vec![other], at(0)),
        [EventAnswer::Duplicate]
    );
    assert_eq!(bench.standing("ada", HERE, 0).demanded_level, 0);
    // Another source's event of the same id is another one.
    let mut other = event;
    other.source = "gateway".to_owned();
    assert_eq!(
        bench.signals.report(vec![other], at(0)),
        [EventAnswer::Accepted]
    );
}

#[test]
fn one_users_flood_is_bounded() {
    let bench = Bench::new();
    bench.signals.observe(&seen(&user("ada"), HERE, 0));
    bench.happens(
        PrivilegeEscalation,
        0,
        &about().user("ada").of(Severity::High),
    );
    for n in 0..5_000u32 {
        let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).to_string();
        let event = about().user("ada").ip(&address).session(&format!("s{n}"));
        bench.happens(LoginFailed, i64::from(n % 100), &event);
    }
    let core = &bench.signals.core;
    assert_eq!(core.users.len(), 1);
    assert!(core.ips.len() <= 16, "{}", core.ips.len());
    assert!(core.sessions.len() <= 16, "{}", core.sessions.len());
    let (pairs, events) = core
        .users
        .with(&user("ada"), |state| {
            (state.pairs.len(), state.events().count())
        })
        .unwrap();
    assert_eq!((pairs, events), (16, 17));
    // The names of events are as many as are kept.
    assert!(core.ids.len() <= 17 + 32, "{}", core.ids.len());
    // What it did itself is still there.
    assert_eq!(bench.standing("ada", HERE, 0).suspicious, Some(true));
}

#[test]
fn one_users_sessions_are_bounded() {
    let bench = Bench::new();
    for n in 0..1_000 {
        let one = about().user("ada").session(&format!("s{n}"));
        bench.happens(EventKind::SessionEstablished, n, &one);
    }
    assert_eq!(bench.signals.core.sessions.len(), 16);
    assert!(bench.signals.core.ids.len() <= 48);
}

#[test]
fn users_that_strangers_name_make_room_for_others() {
    let bench = Bench::with(|config| config.bounds.max_subjects = 100);
    for n in 0..90 {
        bench
            .signals
            .observe(&seen(&user(&format!("known{n}")), HERE, 0));
    }
    for n in 0..1_000 {
        bench.happens(
            LoginFailed,
            n,
            &about().user(&format!("guess{n}")).ip(THERE),
        );
    }
    assert_eq!(bench.signals.core.users.len(), 100);
    for n in 0..90 {
        assert!(bench.standing(&format!("known{n}"), HERE, 0).known, "{n}");
    }
}

#[test]
fn security_events_take_the_place_of_mere_history() {
    let bench = Bench::with(|config| config.bounds.max_subjects = 10);
    for n in 0..10 {
        bench
            .signals
            .observe(&seen(&user(&format!("known{n}")), HERE, n));
    }
    let account = Change::Account {
        user: user("known0"),
        created: Some(at(-DAY)),
        enrolled: None,
    };
    bench.change(account, 20);
    for n in 0..8 {
        let one = about().user(&format!("held{n}")).of(Severity::High);
        bench.happens(EventKind::CredentialCompromise, 30, &one);
    }
    assert_eq!(bench.signals.core.users.len(), 10);
    // The one that was seen longest ago went first, and one of whom more is known stays longest.
    assert!(!bench.standing("known1", HERE, 40).known);
    assert!(bench.standing("known0", HERE, 40).known);
    assert!(bench.standing("known9", HERE, 40).known);
}

#[test]
fn an_event_without_room_for_its_user_counts_for_its_address() {
    let bench = Bench::with(|config| config.bounds.max_subjects = 10);
    for n in 0..10 {
        let mut event = bench.event(
            EventKind::AccountDisabled,
            0,
            &about().user(&format!("u{n}")),
        );
        event.source = format!("source{}", n % 2);
        assert_eq!(
            bench.signals.report(vec![event], at(0)),
            [EventAnswer::Accepted]
        );
    }
    for n in 0..5 {
        bench.happens(LoginFailed, n, &about().user("new").ip(THERE));
    }
    assert_eq!(bench.standing("new", THERE, 10).demanded_level, 2);
    assert!(!bench.standing("new", HERE, 10).known);
    let event = bench.event(LoginFailed, 10, &about().user("new"));
    let full = EventAnswer::Refused(ChangeError::Full(10));
    assert_eq!(bench.signals.report(vec![event], at(10)), [full]);
}

#[test]
fn one_reporter_leaves_room_for_others() {
    let bench = Bench::with(|config| config.bounds.max_subjects = 100);
    let report = |source: &str, n: u32, kind: EventKind| {
        let about = about()
            .user(&format!("{source}{n}"))
            .session(&format!("{source}-{n}"));
        let mut event = bench.event(kind, 0, &about);
        event.source = source.to_owned();
        bench.signals.report(vec![event], at(0)).remove(0)
    };
    for n in 0..100 {
        let answer = report("loud", n, EventKind::AccountDisabled);
        let share = EventAnswer::Refused(ChangeError::Share(100));
        assert_eq!(
            answer,
            if n < 80 { EventAnswer::Accepted } else { share },
            "{n}"
        );
    }
    for n in 0..20 {
        assert_eq!(
            report("idp", n, EventKind::AccountDisabled),
            EventAnswer::Accepted
        );
    }
    let usage = bench.signals.usage();
    let subjects = usage.iter().find(|usage| usage.room == "subjects").unwrap();
    assert_eq!((subjects.used, subjects.limit), (100, 100));
    assert!(
        subjects
            .runs_full()
            .unwrap()
            .contains("100 of 100 subjects")
    );
}

/// Registering devices and recording authentications counts for a share as events do.
#[test]
fn what_a_reporter_changes_counts_for_its_share() {
    let bench = Bench::with(|config| {
        config.bounds.max_subjects = 50;
        config.bounds.max_windows = 50;
    });
    let device = |reporter: &str, n: u32| {
        let record = crate::trust::subjects::DeviceRecord {
            id: format!("{reporter}-{n}"),
            facts: crate::trust::model::DeviceFacts {
                jailbroken: Some(true),
                ..Default::default()
            },
            ..Default::default()
        };
        let change = Change::Device(record);
        bench.signals.change_by(reporter, change, at(0))
    };
    for n in 0..100 {
        let made = device("loud", n);
        assert_eq!(made.is_ok(), n < 80, "{n}: {made:?}");
        assert!(made.is_ok() || made == Err(ChangeError::Share(100)));
    }
    for n in 0..20 {
        assert_eq!(device("mdm", n), Ok(()));
    }
}

/// Strangers are in a room of their own: that one goes makes no room among users.
#[test]
fn strangers_do_not_make_room_among_users() {
    let bench = Bench::with(|config| {
        config.bounds.max_subjects = 10;
        config.bounds.max_strangers = 5;
    });
    for n in 0..5 {
        let user = user(&format!("ghost{n}"));
        let mut seen = seen(&user, HERE, n);
        seen.vouched = false;
        bench.signals.observe(&seen);
    }
    let disabled = |n: u32| {
        let about = about().user(&format!("u{n}"));
        let mut event = bench.event(EventKind::AccountDisabled, 10, &about);
        event.source = format!("source{}", n % 2);
        bench.signals.report(vec![event], at(10)).remove(0)
    };
    for n in 0..10 {
        assert_eq!(disabled(n), EventAnswer::Accepted);
    }
    assert_eq!(disabled(10), EventAnswer::Refused(ChangeError::Full(10)));
    for n in 0..5 {
        assert!(bench.standing(&format!("ghost{n}"), HERE, 20).known, "{n}");
    }
}

#[test]
fn whoever_decides_about_anybody_fills_a_room_of_his_own() {
    let bench = Bench::with(|config| {
        config.bounds.max_subjects = 100;
        config.bounds.max_strangers = 20;
    });
    let stranger = |n: u32, offset: i64| {
        let user = user(&format!("ghost{n}"));
        let mut seen = seen(&user, HERE, offset);
        seen.vouched = false;
        bench.signals.observe(&seen);
    };
    for n in 0..1_000 {
        stranger(n, i64::from(n));
    }
    let room = |name: &str| {
        let usage = bench.signals.usage();
        usage.into_iter().find(|usage| usage.room == name).unwrap()
    };
    assert_eq!((room("strangers").used, room("strangers").limit), (20, 20));
    assert_eq!(
        (room("subjects").used, room("strangers").runs_full()),
        (0, None)
    );
    assert!(bench.standing("ghost999", HERE, 1_000).known);
    assert!(!bench.standing("ghost0", HERE, 1_000).known);
    // Others are kept, as many as there is room for.
    for n in 0..100 {
        bench
            .signals
            .observe(&seen(&user(&format!("known{n}")), HERE, 2_000));
    }
    for n in 0..100 {
        stranger(2_000 + n, 3_000);
    }
    for n in 0..100 {
        assert!(bench.standing(&format!("known{n}"), HERE, 0).known, "{n}");
    }
    assert!(bench.signals.core.users.len() <= 120);
    // One of whom something is said is a stranger no more.
    let one = about().user("ghost2099").of(Severity::High);
    bench.happens(PrivilegeEscalation, 3_000, &one);
    for n in 0..100 {
        stranger(4_000 + n, 4_000);
    }
    assert!(bench.standing("ghost2099", HERE, 5_000).known);
}

#[test]
fn what_is_held_makes_no_room() {
    let bench = Bench::with(|config| {
        config.bounds.max_subjects = 10;
        config.bounds.max_windows = 10;
    });
    let report = |n: u32, kind, offset, about: &About| {
        let mut event = bench.event(kind, offset, about);
        event.source = format!("source{}", n % 2);
        assert_eq!(
            bench.signals.report(vec![event], at(offset)),
            [EventAnswer::Accepted]
        );
    };
    for n in 0..10 {
        report(
            n,
            EventKind::AccountDisabled,
            0,
            &about().user(&format!("u{n}")),
        );
    }
    let late = 400 * DAY;
    let event = bench.event(EventKind::AccountDisabled, late, &about().user("last"));
    let full = EventAnswer::Refused(ChangeError::Full(10));
    assert_eq!(bench.signals.report(vec![event], at(late)), [full]);
    // Addresses that nothing is held against make room; those that are locked do not.
    for n in 0..100 {
        report(
            n,
            LoginFailed,
            i64::from(n),
            &about().ip(&format!("10.0.0.{n}")),
        );
    }
    assert_eq!(bench.signals.core.ips.len(), 10);
    for n in 0..10 {
        for _ in 0..5 {
            report(n, LoginFailed, 200, &about().ip(&format!("10.0.1.{n}")));
        }
    }
    let event = bench.event(LoginFailed, 300, &about().ip("10.0.2.1"));
    match bench.signals.report(vec![event], at(300)).remove(0) {
        EventAnswer::Refused(ChangeError::Refused { code, .. }) => {
            assert_eq!(code, "too_many_windows")
        }
        other => panic!("{other:?}"),
    }
}

/// A state or a change takes the place of whoever was seen longest ago and has nothing held against it.
#[test]
fn a_state_finds_room_in_a_full_store() {
    use crate::trust::subjects::{AssuranceRecord, DeviceRecord};
    let bench = Bench::with(|config| config.bounds.max_subjects = 10);
    let name = |n: i64| format!("u{n}");
    bench.happens(EventKind::AccountDisabled, 0, &about().user("u0"));
    bench.happens(
        EventKind::SessionEstablished,
        1,
        &about().user("u1").session("s"),
    );
    bench.happens(EventKind::SessionRevoked, 2, &about().user("u2"));
    bench.change(
        Change::Device(DeviceRecord {
            id: "d".to_owned(),
            user: Some(user("u3")),
            ..DeviceRecord::default()
        }),
        3,
    );
    for n in [9, 4, 8, 5, 7, 6] {
        bench.signals.observe(&seen(&user(&name(n)), HERE, n));
    }
    let full = EventAnswer::Refused(ChangeError::Full(10));
    let left = || {
        (0..10)
            .filter(|n| bench.standing(&name(*n), HERE, 10).known)
            .collect::<Vec<_>>()
    };
    bench.happens(EventKind::AccountDisabled, 10, &about().user("a"));
    assert_eq!(left(), [0, 1, 2, 3, 5, 6, 7, 8, 9]);
    // Whoever is seen meanwhile is the last to go.
    bench.signals.observe(&seen(&user("u5"), HERE, 11));
    bench.happens(EventKind::CredentialCompromise, 11, &about().user("b"));
    assert_eq!(left(), [0, 1, 2, 3, 5, 7, 8, 9]);
    let evidence = crate::trust::model::Evidence {
        method: None,
        level: Some(1),
        user_verified: false,
        at: at(11),
        until: None,
    };
    let (session, ada) = ("t".to_owned(), user("c"));
    let record = AssuranceRecord {
        session,
        user: ada,
        evidence,
    };
    bench.change(Change::Assurance(record), 11);
    let device = DeviceRecord {
        id: "e".to_owned(),
        user: Some(user("e")),
        ..DeviceRecord::default()
    };
    bench.change(Change::Device(device), 11);
    assert_eq!(left(), [0, 1, 2, 3, 5, 9]);
    bench.happens(EventKind::AccountDisabled, 12, &about().user("f"));
    bench.happens(EventKind::AccountDisabled, 12, &about().user("g"));
    assert_eq!(left(), [0, 1, 2, 3]);
    let event = bench.event(EventKind::AccountDisabled, 12, &about().user("h"));
    assert_eq!(bench.signals.report(vec![event], at(12)), [full]);
    let message = ChangeError::Full(10).to_string();
    assert!(message.contains("`trust.signals.bounds.max_subjects`"));
}

#[test]
fn what_is_past_its_retention_is_swept() {
    let bench = Bench::new();
    let one = about()
        .user("ada")
        .ip(HERE)
        .session("s")
        .device("d")
        .of(Severity::High);
    for n in 0..9 {
        bench.happens(PrivilegeEscalation, n, &one);
    }
    bench.signals.observe(&seen(&user("bob"), HERE, 0));
    let sweep = |offset| {
        (0..crate::trust::subjects::shard::PARTS)
            .for_each(|part| bench.signals.core.sweep(part, at(offset)));
    };
    sweep(90 * DAY);
    assert_eq!(bench.signals.core.ids.len(), 9);
    assert!(bench.standing("bob", HERE, 90 * DAY).known);
    sweep(90 * DAY + 9);
    assert_eq!(bench.signals.core.ids.len(), 0);
    assert!(!bench.standing("bob", HERE, 90 * DAY).known);
    sweep(182 * DAY);
    let core = &bench.signals.core;
    let left = [
        core.users.len(),
        core.ips.len(),
        core.sessions.len(),
        core.devices.len(),
    ];
    assert_eq!(left, [0, 0, 0, 0]);
}
