//! What must hold whatever comes.

use proptest::prelude::*;

use super::*;
use crate::trust::model::Method;
use crate::trust::subjects::CredentialChange as Made;

const USERS: [&str; 2] = ["ada", "bob"];
const ADDRESSES: [&str; 3] = [HERE, THERE, "203.0.113.5"];

fn any_kind() -> impl Strategy<Value = EventKind> {
    use EventKind::*;
    let band = prop::sample::select(vec![Band::Low, Band::Medium, Band::High]);
    let change = prop::sample::select(vec![Made::Create, Made::Update, Made::Revoke]);
    prop_oneof![
        8 => prop::sample::select(vec![
            LoginFailed, SuspiciousLocation, MfaBypassAttempt, AnomalousApiUsage, SensitiveDataAccess,
            PrivilegeEscalation, SuspiciousNetworkTraffic, SystemCompromiseIndicator, RateLimitHit,
        ]),
        1 => prop::sample::select(vec![
            SessionRevoked, AccountDisabled, AccountEnabled, CredentialCompromise, TokenClaimsChange,
        ]),
        1 => band.prop_map(|level| RiskLevelChange { level }),
        1 => any::<bool>().prop_map(|compliant| DeviceComplianceChange { compliant }),
        1 => change.prop_map(|change| CredentialChange { method: Some(Method::Totp), change }),
    ]
}

fn any_events() -> impl Strategy<Value = Vec<Event>> {
    let severity = prop::sample::select(vec![
        Severity::Low,
        Severity::Medium,
        Severity::High,
        Severity::Critical,
    ]);
    let event = (
        any_kind(),
        0..20 * MINUTE,
        severity,
        prop::option::weighted(0.8, prop::sample::select(USERS.to_vec())),
        prop::option::of(prop::sample::select(ADDRESSES.to_vec())),
        any::<bool>(),
        prop::option::weighted(0.2, Just("d")),
    );
    prop::collection::vec(event, 0..30).prop_map(|all| {
        let events = all.into_iter().enumerate();
        let events = events.map(
            |(n, (kind, offset, severity, name, address, session, device))| Event {
                id: format!("e{n}"),
                kind,
                at: at(offset),
                source: "idp".to_owned(),
                severity,
                subject: EventSubject {
                    user: name.map(user),
                    ip: address.map(ip),
                    session: session.then(|| session_of(name.unwrap_or_default())),
                    device: device.map(str::to_owned),
                },
            },
        );
        events.collect()
    })
}

/// A session of each user.
fn session_of(name: &str) -> String {
    format!("s-{name}")
}

/// Everything that can be asked, and what is described.
fn all_known(bench: &Bench, offset: i64) -> Vec<String> {
    let mut known = Vec::new();
    for name in USERS {
        for address in ADDRESSES {
            let standing = bench.stands(
                &user(name),
                Some(address),
                Some(&session_of(name)),
                Some("d"),
                offset,
            );
            known.push(format!("{standing:?}"));
        }
        known.push(described(bench, &SubjectKind::User(user(name)), offset));
    }
    for address in ADDRESSES {
        known.push(described(bench, &SubjectKind::Ip(ip(address)), offset));
    }
    for name in ["ada", "bob", ""] {
        known.push(described(
            bench,
            &SubjectKind::Session(session_of(name)),
            offset,
        ));
    }
    known.push(described(
        bench,
        &SubjectKind::Device("d".to_owned()),
        offset,
    ));
    known
}

/// As JSON, lists that have no order of their own put in one.
fn described(bench: &Bench, subject: &SubjectKind, offset: i64) -> String {
    let mut json = bench
        .signals
        .describe(subject, at(offset))
        .unwrap_or_default();
    fn sort(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Array(all) => {
                all.iter_mut().for_each(sort);
                all.sort_by_key(ToString::to_string);
            }
            serde_json::Value::Object(members) => members.values_mut().for_each(sort),
            _ => {}
        }
    }
    sort(&mut json);
    json.to_string()
}

/// The findings that were told of, as each was in the end.
fn told(bench: &Bench) -> Vec<(String, String)> {
    let notices = bench.notices.lock().unwrap();
    let mut told: Vec<_> = notices
        .iter()
        .map(|n| (n.name.clone(), n.id.clone()))
        .collect();
    told.sort();
    told.dedup();
    told
}

/// A store that knows whose the sessions are, since what an event says depends on it.
fn bench() -> Bench {
    with(|_| ())
}

fn with(change: impl FnOnce(&mut SignalsConfig)) -> Bench {
    let bench = Bench::with(change);
    for name in USERS {
        let session = about().user(name).session(&session_of(name));
        bench.happens(EventKind::SessionEstablished, 0, &session);
    }
    bench
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_order_of_events_changes_nothing(
        (events, shuffled) in any_events().prop_flat_map(|events| {
            (Just(events.clone()), Just(events).prop_shuffle())
        })
    ) {
        let (one, other) = (bench(), bench());
        one.signals.report(events, at(20 * MINUTE));
        for event in shuffled {
            other.signals.report(vec![event], at(20 * MINUTE));
        }
        prop_assert_eq!(all_known(&one, 20 * MINUTE), all_known(&other, 20 * MINUTE));
        let not_compromise = |told: Vec<(String, String)>| {
            // A credential that is known to others is told of at whichever instant came first.
            told.into_iter().filter(|(name, _)| name != "credential_compromise").collect::<Vec<_>>()
        };
        prop_assert_eq!(not_compromise(told(&one)), not_compromise(told(&other)));
    }

    #[test]
    fn duplicates_change_nothing(events in any_events()) {
        let (one, other) = (bench(), bench());
        one.signals.report(events.clone(), at(20 * MINUTE));
        other.signals.report(events.iter().chain(&events).cloned().collect(), at(20 * MINUTE));
        other.signals.report(events, at(20 * MINUTE));
        prop_assert_eq!(all_known(&one, 20 * MINUTE), all_known(&other, 20 * MINUTE));
    }

    /// Another security event never makes less of what is held against anybody.
    #[test]
    fn more_security_events_never_lower_a_risk(events in any_events()) {
        let security = |event: &Event| event.kind.event_type().security();
        let mut events: Vec<_> = events.into_iter().filter(security).collect();
        let bench = bench();
        let mut before = None;
        events.reverse();
        for event in events {
            bench.signals.report(vec![event], at(20 * MINUTE));
            let s = bench.stands(&user("ada"), Some(HERE), Some("s-ada"), Some("d"), 20 * MINUTE);
            let held = (s.risk, s.behavior.finding, s.demanded_level);
            if let Some((risk, finding, level)) = before {
                prop_assert!(held.0 >= risk && held.1 >= finding && held.2 >= level);
            }
            before = Some(held);
        }
    }

    /// Without an event, what is held fades and never grows.
    #[test]
    fn what_is_held_only_fades(events in any_events(), steps in prop::collection::vec(0..HOUR, 1..20)) {
        let bench = bench();
        bench.signals.report(events, at(20 * MINUTE));
        let (mut now, mut before) = (20 * MINUTE, None);
        for step in steps {
            now += step;
            let s = bench.stands(&user("ada"), Some(HERE), Some("s-ada"), Some("d"), now);
            if let Some((risk, finding, level)) = before {
                prop_assert!(s.risk <= risk && s.behavior.finding <= finding && s.demanded_level <= level);
            }
            before = Some((s.risk, s.behavior.finding, s.demanded_level));
        }
    }

    /// Whatever strangers cause from elsewhere leaves the victim as it was.
    #[test]
    fn a_stranger_locks_nobody_out(
        attack in prop::collection::vec((0..3usize, 0..HOUR, 0..60u32), 0..200),
        known in any::<bool>(),
    ) {
        let bench = Bench::with(|config| config.block.enabled = true);
        if known {
            bench.signals.observe(&seen(&user("ada"), HERE, 0));
        }
        let before = bench.standing("ada", HERE, HOUR);
        for (kind, offset, address) in attack {
            let kind = [
                EventKind::LoginFailed, EventKind::RateLimitHit, EventKind::SuspiciousNetworkTraffic,
            ][kind].clone();
            let address = format!("198.51.100.{address}");
            bench.happens(kind, offset, &about().user("ada").ip(&address).of(Severity::Critical));
        }
        prop_assert_eq!(bench.standing("ada", HERE, HOUR), before);
    }

    /// Whoever says less of itself is not better off.
    #[test]
    fn hiding_does_not_help(events in any_events(), now in 20 * MINUTE..10 * HOUR) {
        let bench = with(|config| config.block.enabled = true);
        let device = crate::trust::subjects::DeviceRecord {
            id: "d".to_owned(),
            user: Some(user("ada")),
            ..Default::default()
        };
        bench.change(Change::Device(device), 0);
        bench.signals.report(events, at(20 * MINUTE));
        let stands = |session, device| bench.stands(&user("ada"), Some(HERE), session, device, now);
        let (session, device) = (Some("s-ada"), Some("d"));
        let all = [KnockOuts::ACCOUNT_DISABLED, KnockOuts::DEVICE_NOT_COMPLIANT, KnockOuts::BLOCKED];
        for (said, hidden) in [
            (stands(session, device), stands(None, device)),
            (stands(session, device), stands(session, None)),
            (stands(session, None), stands(None, None)),
            (stands(None, device), stands(None, None)),
            (stands(Some("unknown"), device), stands(None, device)),
            (stands(session, Some("unknown")), stands(session, None)),
        ] {
            prop_assert!(hidden.behavior.finding >= said.behavior.finding);
            prop_assert!(hidden.demanded_level >= said.demanded_level);
            for what in all {
                prop_assert!(knocked(&hidden, what) || !knocked(&said, what), "{:?}", what);
            }
        }
    }

    /// Every lock ends by remediation, and an override sets it aside.
    #[test]
    fn every_lock_has_a_way_back(events in any_events()) {
        let bench = Bench::with(|config| config.block.enabled = true);
        // Ahead of the clock as far as may be.
        bench.signals.report(events, at(16 * MINUTE));
        let free = |standing: SubjectState| {
            standing.risk == risk(0)
                && standing.behavior.finding == risk(0)
                && standing.demanded_level == 0
                && standing.risk_level.is_none()
                && !knocked(&standing, KnockOuts::BLOCKED)
        };
        for name in USERS {
            bench.change(Change::Override {
                user: user(name),
                until: Some(at(30 * MINUTE)),
                reason: "a drill".to_owned(),
                by: "operator".to_owned(),
            }, 16 * MINUTE);
            for address in ADDRESSES {
                let standing = bench.stands(&user(name), Some(address), Some("s-ada"), Some("d"), 16 * MINUTE);
                prop_assert!(free(standing));
            }
        }
        for subject in bench.signals.held(at(16 * MINUTE), usize::MAX) {
            bench.remediate(subject, 16 * MINUTE);
        }
        for name in USERS {
            for address in ADDRESSES {
                for offset in [16 * MINUTE, 40 * MINUTE] {
                    let standing = bench.stands(&user(name), Some(address), Some("s-ada"), Some("d"), offset);
                    prop_assert!(free(standing));
                }
            }
        }
    }

    /// And all but what has to be remediated ends on its own.
    #[test]
    fn locks_of_addresses_end_by_themselves(events in any_events()) {
        let bench = Bench::with(|config| config.block.enabled = true);
        bench.signals.report(events, at(20 * MINUTE));
        for address in ADDRESSES {
            let standing = bench.standing("carol", address, 17 * HOUR);
            prop_assert_eq!(standing, SubjectState::default());
        }
    }

    #[test]
    fn records_read_back_as_they_were(events in any_events(), ahead in any::<bool>()) {
        let bench = bench();
        bench.signals.report(events, at(20 * MINUTE));
        if ahead {
            bench.signals.observe(&seen(&user("ada"), HERE, 0));
        }
        for name in USERS {
            bench.signals.core.users.with(&user(name), |state| {
                let json = serde_json::to_string(state).unwrap();
                let mut back: crate::trust::subjects::record::User = serde_json::from_str(&json).unwrap();
                // What is not kept.
                (back.added, back.unsaved) = (state.added, state.unsaved);
                assert_eq!(&back, state);
            });
        }
    }
}
