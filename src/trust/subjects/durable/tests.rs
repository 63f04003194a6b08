//! What is acknowledged is there after a restart, whatever ended the process.

use std::path::Path;

use super::super::memory::tests::{About, HERE, HOUR, START, about, at, ip, seen, user};
use super::*;
use crate::storage::StoreSettings;
use crate::trust::model::{Band, Evidence, KnockOuts, Method};
use crate::trust::subjects::{AssuranceRecord, DeviceRecord, EventKind, Severity};

fn open(path: &Path) -> DurableSignals {
    let store = Store::open(path, StoreSettings::default()).unwrap();
    DurableSignals::open(SignalsConfig::default(), None, store).unwrap()
}

fn event(id: &str, kind: EventKind, offset: i64, about: &About) -> Event {
    Event {
        id: id.to_owned(),
        kind,
        at: at(offset),
        source: "idp".to_owned(),
        severity: about.severity,
        subject: about.subject.clone(),
    }
}

fn standing(signals: &DurableSignals, id: &str, offset: i64) -> SubjectState {
    let user = user(id);
    let mut ask = seen(&user, HERE, offset).ask;
    (ask.session, ask.device) = (Some("s"), Some("d"));
    signals.standing(&ask)
}

/// Something of everything.
fn fill(signals: &DurableSignals) {
    let ada = about()
        .user("ada")
        .ip(HERE)
        .session("s")
        .device("d")
        .of(Severity::High);
    let kinds = [
        EventKind::AnomalousApiUsage,
        EventKind::MfaBypassAttempt,
        EventKind::PrivilegeEscalation,
        EventKind::RiskLevelChange { level: Band::High },
        EventKind::DeviceComplianceChange { compliant: false },
        EventKind::AccountDisabled,
        EventKind::CredentialCompromise,
    ];
    let kinds = kinds.into_iter().enumerate();
    let mut events: Vec<_> = kinds
        .map(|(n, kind)| event(&n.to_string(), kind, n as i64, &ada))
        .collect();
    for n in 10..15 {
        let ada = about().user("ada").ip(HERE);
        events.push(event(&n.to_string(), EventKind::LoginFailed, 0, &ada));
    }
    events.push(event(
        "20",
        EventKind::SessionRevoked,
        0,
        &about().session("gone"),
    ));
    let answers = signals.report(events, at(10));
    assert!(
        answers
            .iter()
            .all(|answer| *answer == EventAnswer::Accepted),
        "{answers:?}"
    );
    let evidence = Evidence {
        method: Some(Method::Webauthn),
        level: None,
        user_verified: true,
        at: at(5),
        until: None,
    };
    let assurance = AssuranceRecord {
        session: "s".to_owned(),
        user: user("ada"),
        evidence,
    };
    signals
        .change(Change::Assurance(assurance), at(11))
        .unwrap();
    let device = DeviceRecord {
        id: "d".to_owned(),
        user: Some(user("ada")),
        facts: crate::trust::model::DeviceFacts {
            managed: Some(true),
            ..Default::default()
        },
        ..DeviceRecord::default()
    };
    signals.change(Change::Device(device), at(12)).unwrap();
    let ada = user("ada");
    let mut seen = seen(&ada, HERE, 13);
    seen.ask.session = Some("s");
    signals.observe(&seen);
}

#[test]
fn a_restart_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let signals = open(dir.path());
    fill(&signals);
    let subjects = [
        SubjectKind::User(user("ada")),
        SubjectKind::Session("s".to_owned()),
        SubjectKind::Session("gone".to_owned()),
        SubjectKind::Device("d".to_owned()),
        SubjectKind::Ip(ip(HERE)),
    ];
    let describe = |signals: &DurableSignals| {
        let all = subjects
            .iter()
            .map(|subject| signals.describe(subject, at(HOUR)));
        all.collect::<Vec<_>>()
    };
    let before = (
        standing(&signals, "ada", 20),
        describe(&signals),
        signals.held(at(20), 99).len(),
    );
    assert!(
        before.0.known
            && standing(&signals, "ada", 24 * HOUR).behavior.history == 1
            && before.0.evidence.len() == 1
    );
    assert!(before.1.iter().all(Option::is_some));
    drop(signals);
    let signals = open(dir.path());
    let after = (
        standing(&signals, "ada", 20),
        describe(&signals),
        signals.held(at(20), 99).len(),
    );
    assert_eq!(after, before);
    // What was there is a duplicate still.
    let again = event("0", EventKind::AnomalousApiUsage, 0, &about().user("ada"));
    assert_eq!(
        signals.report(vec![again], at(20)),
        [EventAnswer::Duplicate]
    );
}

/// Copies the directory as it is, as an end of the process at this instant would leave it.
fn as_it_is(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn what_is_answered_is_on_disk() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let signals = open(dir.path());
    fill(&signals);
    let revoked = event(
        "r",
        EventKind::SessionRevoked,
        1,
        &about().user("ada").session("s"),
    );
    assert_eq!(
        signals.report(vec![revoked], at(20)),
        [EventAnswer::Accepted]
    );
    as_it_is(dir.path(), copy.path());
    let before = standing(&signals, "ada", 20);
    assert!(before.knock_outs.contains(KnockOuts::SESSION_REVOKED));
    let signals = open(copy.path());
    assert_eq!(standing(&signals, "ada", 20).knock_outs, before.knock_outs);
    assert_eq!(standing(&signals, "ada", 20).risk, before.risk);
    assert_eq!(standing(&signals, "ada", 20).device, before.device);
}

#[test]
fn what_cannot_be_written_is_not_there() {
    use std::sync::atomic::Ordering;
    let dir = tempfile::tempdir().unwrap();
    let (store, full) = crate::storage::tests::on_a_disk(dir.path());
    let told = Arc::new(Mutex::new(0));
    let count = Arc::clone(&told);
    let sink: NotificationSink = Arc::new(move |_| *count.lock().unwrap() += 1);
    let signals = DurableSignals::open(SignalsConfig::default(), Some(sink), store).unwrap();
    fill(&signals);
    let subjects = [
        SubjectKind::User(user("ada")),
        SubjectKind::User(user("bob")),
        SubjectKind::Session("s".to_owned()),
        SubjectKind::Session("t".to_owned()),
        SubjectKind::Device("d".to_owned()),
        SubjectKind::Device("e".to_owned()),
        SubjectKind::Ip(ip(HERE)),
    ];
    let described = || {
        let all = subjects.iter();
        let all = all.map(|subject| signals.describe(subject, at(HOUR)));
        all.collect::<Vec<_>>()
    };
    let before = (described(), signals.core.ids.len(), *told.lock().unwrap());
    full.store(true, Ordering::SeqCst);
    let both = about().user("ada").ip(HERE).session("s").device("d");
    let other = about().user("bob").ip(HERE).session("t").device("e");
    let kinds = [
        EventKind::AccountDisabled,
        EventKind::AccountEnabled,
        EventKind::CredentialCompromise,
        EventKind::SessionRevoked,
        EventKind::SessionEstablished,
        EventKind::DeviceComplianceChange { compliant: true },
        EventKind::PrivilegeEscalation,
        EventKind::LoginFailed,
    ];
    let events: Vec<_> = kinds
        .into_iter()
        .enumerate()
        .flat_map(|(n, kind)| {
            let one = event(&format!("a{n}"), kind.clone(), 20, &both);
            [one, event(&format!("b{n}"), kind, 20, &other)]
        })
        .collect();
    let answers = signals.report(events.clone(), at(30));
    let state =
        |answer: &EventAnswer| matches!(answer, EventAnswer::Refused(ChangeError::State(_)));
    assert!(answers.iter().all(state), "{answers:?}");
    let reason = || ("why".to_owned(), "ops".to_owned());
    let device = |id: &str, user: Option<EntityRef>| DeviceRecord {
        id: id.to_owned(),
        user,
        compliant: Some(true),
        ..DeviceRecord::default()
    };
    let changes = [
        Change::Device(device("d", None)),
        Change::Device(device("e", Some(user("bob")))),
        Change::RemoveDevice("d".to_owned()),
        Change::Assurance(AssuranceRecord {
            session: "t".to_owned(),
            user: user("bob"),
            evidence: Evidence {
                method: Some(Method::Totp),
                level: None,
                user_verified: false,
                at: at(20),
                until: None,
            },
        }),
        Change::Account {
            user: user("ada"),
            created: Some(at(-HOUR)),
            enrolled: None,
        },
        Change::Remediate {
            subject: SubjectKind::User(user("ada")),
            reason: reason().0,
            by: reason().1,
        },
        Change::Override {
            user: user("ada"),
            until: Some(at(HOUR)),
            reason: reason().0,
            by: reason().1,
        },
        Change::Erase {
            subject: SubjectKind::User(user("ada")),
            by: reason().1,
        },
    ];
    for change in changes {
        let error = signals.change(change.clone(), at(30)).unwrap_err();
        assert!(matches!(error, ChangeError::State(_)), "{change:?} {error}");
        assert_eq!(described(), before.0, "{change:?}");
    }
    let after = (described(), signals.core.ids.len(), *told.lock().unwrap());
    assert_eq!(after, before);
    // Once there is room the same events count.
    full.store(false, Ordering::SeqCst);
    let answers = signals.report(events, at(40));
    assert!(
        answers
            .iter()
            .all(|answer| *answer == EventAnswer::Accepted),
        "{answers:?}"
    );
    assert_ne!(described(), before.0);
}

#[test]
fn what_is_erased_is_erased_on_disk() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let signals = open(dir.path());
    fill(&signals);
    for subject in [SubjectKind::User(user("ada")), SubjectKind::Ip(ip(HERE))] {
        let by = "operator".to_owned();
        signals
            .change(Change::Erase { subject, by }, at(30))
            .unwrap();
    }
    as_it_is(dir.path(), copy.path());
    let store = Store::open(copy.path(), StoreSettings::default()).unwrap();
    let left = Arc::new(std::sync::Mutex::new(Vec::new()));
    let into = Arc::clone(&left);
    let list = move |kind: &str, name: &str, _: &[u8]| {
        into.lock().unwrap().push(format!("{kind} {name}"));
        Ok(())
    };
    store.each_signal(list).unwrap();
    assert_eq!(*left.lock().unwrap(), ["session gone"]);
}

#[test]
fn writers_at_once_leave_the_latest_state() {
    let dir = tempfile::tempdir().unwrap();
    let signals = open(dir.path());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let signals = &signals;
            scope.spawn(move || {
                for n in 0..20 {
                    let id = format!("{thread}-{n}");
                    let one = event(&id, EventKind::PrivilegeEscalation, n, &about().user("ada"));
                    assert_eq!(signals.report(vec![one], at(100)), [EventAnswer::Accepted]);
                }
            });
        }
    });
    let copy = tempfile::tempdir().unwrap();
    as_it_is(dir.path(), copy.path());
    let count = |signals: &DurableSignals| {
        let json = signals
            .describe(&SubjectKind::User(user("ada")), at(100))
            .unwrap();
        json["events"].as_array().unwrap().len()
    };
    assert_eq!(count(&open(copy.path())), 80);
}

#[test]
fn a_damaged_record_is_not_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreSettings::default()).unwrap();
    store
        .write_signals(|write| write("session", "s", Some(b"{")))
        .unwrap();
    let error = DurableSignals::open(SignalsConfig::default(), None, store).unwrap_err();
    assert_eq!(error.code(), "state_damaged");
    assert!(
        error.to_string().contains("the record of session `s`"),
        "{error}"
    );
}

#[test]
fn records_of_other_versions_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreSettings::default()).unwrap();
    let write = |kind: &'static str, name: &'static str, json: &'static str| {
        store
            .write_signals(move |write| write(kind, name, Some(json.as_bytes())))
            .unwrap();
    };
    write("user", "User\0ada", r#"{"k": true, "later": [1, 2]}"#);
    write("session", "s", "{}");
    write("device", "d", "{}");
    write("ip", HERE, "{}");
    write("fingerprint", "f", "{}");
    let signals = DurableSignals::open(SignalsConfig::default(), None, store).unwrap();
    assert!(standing(&signals, "ada", 0).known);
}

/// `SUBJECTS=10000 EVENTS=100 THREADS=1 cargo test --release --lib signals::durable::tests::load -- --ignored
/// --nocapture`
#[test]
#[ignore = "a measurement"]
fn load() {
    const BATCH: usize = 100;
    let number = |name: &str, default: usize| {
        let set = std::env::var(name).ok();
        set.and_then(|set| set.parse().ok()).unwrap_or(default)
    };
    let (subjects, per_subject) = (number("SUBJECTS", 10_000), number("EVENTS", 100));
    let threads = number("THREADS", 1);
    fn resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number
            .and_then(|number| number.parse().ok())
            .unwrap_or_default()
    }
    let dir = tempfile::tempdir().unwrap();
    let signals = open(dir.path());
    let before = resident();
    let start = std::time::Instant::now();
    let kinds = [
        EventKind::LoginFailed,
        EventKind::AnomalousApiUsage,
        EventKind::MfaBypassAttempt,
        EventKind::SensitiveDataAccess,
    ];
    let all = subjects * per_subject;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (signals, kinds) = (&signals, &kinds);
            scope.spawn(move || {
                for first in (thread * BATCH..all).step_by(threads * BATCH) {
                    let batch = (first..(first + BATCH).min(all)).map(|n| {
                        let (subject, round) = (n % subjects, n / subjects);
                        let address = format!("10.{}.{}.1", subject / 250, subject % 250);
                        let one = about().user(&format!("user-{subject}")).ip(&address);
                        let kind = kinds[(n + round) % kinds.len()].clone();
                        let id = format!("0190b0f2-7c1e-7d3a-8f4b-{n:012x}");
                        event(&id, kind, round as i64 * 60_000, &one)
                    });
                    let now = at(HOUR * 2);
                    let answers = signals.report(batch.collect(), now);
                    assert!(
                        answers
                            .iter()
                            .all(|answer| *answer == EventAnswer::Accepted)
                    );
                }
            });
        }
    });
    let took = start.elapsed();
    let after = resident();
    let file: u64 = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    println!(
        "{} events in {took:?}: {:.0}/s",
        all,
        all as f64 / took.as_secs_f64()
    );
    println!(
        "resident: {} kB, {} bytes per subject",
        after,
        after.saturating_sub(before) * 1_024 / subjects
    );
    println!("directory: {} MB", file >> 20);
    assert_eq!(START, at(0).as_millis());
    drop(signals);
    let start = std::time::Instant::now();
    let signals = open(dir.path());
    println!("opened in {:?}", start.elapsed());
    let json = signals
        .describe(&SubjectKind::User(user("user-77")), at(HOUR * 2))
        .unwrap();
    let own = json["events"].as_array().unwrap().len();
    println!("kept of one: {own} of its own events");
}
