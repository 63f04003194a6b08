//! What a decision costs: no allocation, and less than a microsecond.

use super::*;
use crate::trust::model::{Evidence, Method};
use crate::trust::subjects::AssuranceRecord;

/// A user with as much of a record as is ordinary, and more events than that.
fn ordinary() -> Bench {
    let bench = Bench::new();
    let ada = user("ada");
    for n in 0..100 {
        let one = about().user("ada").ip(HERE).session("s").device("d");
        bench.happens(EventKind::PrivilegeEscalation, n, &one);
    }
    for day in 0..5 {
        bench.signals.observe(&seen(&ada, HERE, day * DAY));
    }
    let evidence = Evidence {
        method: Some(Method::Totp),
        level: None,
        user_verified: false,
        at: at(4 * DAY),
        until: None,
    };
    bench.change(
        Change::Assurance(AssuranceRecord {
            session: "s".to_owned(),
            user: ada,
            evidence,
        }),
        4 * DAY,
    );
    bench
}

fn ask(user: &EntityRef) -> SubjectQuery<'_> {
    let mut ask = seen(user, HERE, 4 * DAY + 1).ask;
    ask.session = Some("s");
    ask.device = Some("d");
    ask
}

#[test]
fn decisions_allocate_nothing() {
    let bench = ordinary();
    let ada = user("ada");
    let ask = ask(&ada);
    assert_eq!(bench.signals.standing(&ask).evidence.len(), 1);
    let counted = allocation_counter::measure(|| {
        for _ in 0..100 {
            std::hint::black_box(bench.signals.standing(&ask));
        }
    });
    assert_eq!(counted.count_total, 0);
    let mut bare = ask;
    (bare.session, bare.device) = (None, None);
    let counted = allocation_counter::measure(|| {
        std::hint::black_box(bench.signals.standing(&bare));
    });
    assert_eq!(counted.count_total, 0);
    let mut seen = seen(&ada, HERE, 4 * DAY + 1);
    seen.ask = ask;
    bench.signals.observe(&seen);
    let counted = allocation_counter::measure(|| {
        for _ in 0..100 {
            bench.signals.observe(&seen);
        }
    });
    assert_eq!(counted.count_total, 0);
}

/// `cargo test --release --lib signals::memory::tests::speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn figures() {
    let bench = ordinary();
    let ada = user("ada");
    let ask = ask(&ada);
    let bare = SubjectQuery {
        session: None,
        device: None,
        ..ask
    };
    let measure = |name: &str, work: &dyn Fn()| {
        let start = std::time::Instant::now();
        for _ in 0..200_000 {
            work();
        }
        println!("{name}: {} ns", start.elapsed().as_nanos() / 200_000);
    };
    measure("standing", &|| {
        drop(std::hint::black_box(bench.signals.standing(&ask)))
    });
    measure("standing, no session, no device", &|| {
        drop(std::hint::black_box(bench.signals.standing(&bare)));
    });
    let mut seen = seen(&ada, HERE, 4 * DAY + 1);
    seen.ask = ask;
    measure("observe", &|| bench.signals.observe(&seen));
    let next = std::cell::Cell::new(0);
    measure("report of one event to a full record", &|| {
        next.set(next.get() + 1);
        let one = about().user("ada").ip(HERE).session("s");
        let event = bench.event(
            EventKind::PrivilegeEscalation,
            4 * DAY + next.get() / 100,
            &one,
        );
        bench.signals.report(vec![event], at(4 * DAY + 1_000_000));
    });
}
