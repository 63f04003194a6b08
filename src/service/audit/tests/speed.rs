//! What the log costs: run in release, `cargo test --release --lib audit::tests::speed -- --ignored --nocapture`.

use serde_json::json;

use super::*;
use crate::pdp::decide::Outcome;

const MANY: usize = 200_000;
const AT_ONCE: usize = 10_000;

/// Nanoseconds that the log's thread spent on a processor.
fn writer_nanos() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let of = |task: std::fs::DirEntry| {
        let read = |name: &str| std::fs::read_to_string(task.path().join(name)).ok();
        let named = read("comm")?.trim() == "deodar-audit";
        let spent = read("schedstat")?;
        let spent = spent.split(' ').next()?.parse::<u64>().ok();
        spent.filter(|_| named)
    };
    tasks.filter_map(|task| of(task.ok()?)).sum()
}

#[test]
#[ignore = "a measurement"]
fn what_a_record_costs() {
    let pdp = pdp(ALLOW_ALL);
    let context =
        json!({"mfa": true, "ip": {"__extn": {"fn": "ip", "arg": "10.0.0.1"}}, "level": 3});
    let made = || -> Vec<(Request, Outcome)> {
        let one = |n: usize| {
            let request = Request::builder()
                .principal(("Workspace::User", format!("user-{n}")))
                .action(("Workspace::Action", "readDocument"))
                .resource(("Workspace::Document", format!("document-{n}")))
                .context(context.clone())
                .request_id(format!("request-{n}"))
                .build()
                .unwrap();
            let outcome = pdp.authorize(&request).unwrap().settled();
            (request, outcome)
        };
        (0..AT_ONCE).map(one).collect()
    };
    for (name, chain, recording, masks) in [
        (
            "summary, none",
            ChainKind::None,
            Recording::Summary,
            &[][..],
        ),
        ("summary, hmac", ChainKind::Hmac, Recording::Summary, &[]),
        (
            "summary, ed25519",
            ChainKind::Ed25519,
            Recording::Summary,
            &[],
        ),
        (
            "summary, hmac, masks",
            ChainKind::Hmac,
            Recording::Summary,
            &["/request/principal/id"],
        ),
        (
            "replayable, hmac",
            ChainKind::Hmac,
            Recording::Replayable,
            &[],
        ),
    ] {
        let room = Room::new();
        let log = start(&AuditConfig {
            recording,
            masks: masks.iter().map(|mask| (*mask).to_owned()).collect(),
            mask_key: Some(room.keep("mask", MASK_KEY)),
            buffer: 4 * AT_ONCE,
            fsync: Fsync::Interval,
            ..room.config(chain)
        });
        let mut pushing = Duration::ZERO;
        let many = if recording == Recording::Summary {
            MANY
        } else {
            MANY / 10
        };
        for _ in 0..many / AT_ONCE {
            let made = made();
            let began = Instant::now();
            for (request, outcome) in made {
                let latency = Duration::from_micros(7);
                let entry = Entry::new(Uuid::nil(), "authorize", request, outcome, latency, 300);
                log.record(entry).unwrap();
            }
            pushing += began.elapsed();
            wait_until("they are written", || log.counts().queued == 0);
        }
        let writing = writer_nanos();
        let counts = log.counts();
        assert_eq!((counts.recorded, counts.dropped), (many as u64, 0));
        log.close();
        println!(
            "{name}: the caller {} ns, the writer {} ns, {} bytes a record",
            pushing.as_nanos() / many as u128,
            writing / many as u64,
            counts.bytes / many as u64,
        );
    }
}
