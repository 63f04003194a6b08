//! Figures that criterion cannot take: memory, loading, reloading, threads against processes.
//!
//! `cargo bench --bench figures -- [memory] [reload] [threads] [quantiles] [scores]` prints tables; without names
//! all but the largest sizes are measured. README.md beside this file says more.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark on a workload of its own making may stop where it is wrong"
)]

mod support;
mod workload;

use std::hint::black_box;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use deodar::score::{Evidence, Method, NetworkClass};
use deodar::signals::{AssuranceRecord, Change, DeviceRecord};
use deodar::{NetworkRule, Pdp, Request, Timestamp, TrustConfig};
use serde_json::json;

use workload::{Shape, Workload, build};

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    if let [worker, seconds] = arguments.as_slice()
        && worker == "worker"
    {
        return work(seconds.parse().expect("seconds"));
    }
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|a| a == name);
    if wanted("quantiles") {
        quantiles(arguments.iter().any(|argument| argument == "large"));
    }
    if wanted("scores") {
        scores();
    }
    if wanted("memory") {
        memory();
    }
    if wanted("reload") {
        reload();
    }
    if wanted("threads") {
        threads();
    }
}

/// Single decisions, timed one by one; what the clock costs is taken off.
fn quantiles(large: bool) {
    println!(
        "\n| shape | size | p50 ns | p90 ns | p99 ns | allocations |\n|---|---|---|---|---|---|"
    );
    let clock = {
        let mut costs: Vec<u128> = (0..10_001)
            .map(|_| Instant::now().elapsed().as_nanos())
            .collect();
        costs.sort_unstable();
        costs[costs.len() / 2]
    };
    let mut sizes = vec![
        (Shape::Roles, 10),
        (Shape::Roles, 1_000),
        (Shape::Roles, 10_000),
        (Shape::Roles, 100_000),
        (Shape::RolesLinks, 1_000),
        (Shape::RolesLinks, 100_000),
        (Shape::Shares, 10),
        (Shape::Shares, 1_000),
        (Shape::Shares, 10_000),
        (Shape::Open, 1_000),
        (Shape::Gdrive, 50),
        (Shape::Github, 50),
        (Shape::Tinytodo, 50),
    ];
    if large {
        sizes.push((Shape::RolesLinks, 1_000_000));
    }
    for (shape, size) in sizes {
        let workload = build(shape, size, 100_000);
        let pdp = support::decision_point(&workload);
        let requests = support::requests(&workload);
        drop(workload);
        for request in &requests {
            let _ = black_box(pdp.authorize(request).expect("a decision"));
        }
        let mut times: Vec<u128> = Vec::with_capacity(2 * requests.len());
        for request in requests.iter().chain(&requests) {
            let from = Instant::now();
            let _ = black_box(pdp.authorize(request).expect("a decision"));
            times.push(from.elapsed().as_nanos().saturating_sub(clock));
        }
        times.sort_unstable();
        let at = |share: f64| times[(times.len() as f64 * share) as usize];
        let counted = allocation_counter::measure(|| {
            for request in requests.iter().take(10_000) {
                let _ = black_box(pdp.authorize(request).expect("a decision"));
            }
        });
        println!(
            "| {} | {size} | {} | {} | {} | {:.3} |",
            shape.name(),
            at(0.5),
            at(0.9),
            at(0.99),
            counted.count_total as f64 / 10_000.0
        );
    }
}

/// What scoring adds to a decision: the same requests, in turns, by a decision point that scores and one
/// that does not. Each principal has a history, a registered device and a session with a record.
fn scores() {
    let mut workload = build(Shape::Roles, 1_000, 10_000);
    for (n, request) in workload.requests.iter_mut().enumerate() {
        request["client"] =
            json!({"session": format!("s{n}"), "device": format!("d{n}"), "ip": "10.1.2.3"});
        request["signals"] = json!({
            "identity": {"mfaEnrolled": true, "mfaVerified": true},
            "location": {"country": "NO", "latitude": 60.39, "longitude": 5.32},
        });
    }
    let plain = support::decision_point(&workload);
    let trust = TrustConfig {
        networks: vec![NetworkRule {
            cidr: "10.0.0.0/8".to_owned(),
            class: NetworkClass::Corporate,
        }],
        ..TrustConfig::default()
    };
    let scored = support::builder(&workload)
        .trust(trust)
        .build()
        .expect("valid");
    let requests = support::requests(&workload);
    let signals = scored.signals().expect("a store");
    let now = Timestamp::now();
    for (n, request) in requests.iter().enumerate() {
        let user = request.principal().clone();
        let device = DeviceRecord {
            id: format!("d{n}"),
            user: Some(user.clone()),
            ..DeviceRecord::default()
        };
        let record = AssuranceRecord {
            session: format!("s{n}"),
            user,
            evidence: Evidence {
                method: Some(Method::Webauthn),
                level: None,
                user_verified: true,
                at: now,
                until: None,
            },
        };
        // A user has so many devices and sessions and no more.
        let _ = signals.change(Change::Device(device), now);
        let _ = signals.change(Change::Assurance(record), now);
    }
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..4 {
        for request in &requests {
            for (pdp, times) in [&plain, &scored].into_iter().zip(&mut times) {
                let from = Instant::now();
                let _ = black_box(pdp.authorize(request).expect("a decision"));
                if round > 0 {
                    times.push(from.elapsed().as_nanos());
                }
            }
        }
    }
    let counted = allocation_counter::measure(|| {
        for request in &requests {
            let _ = black_box(scored.authorize(request).expect("a decision"));
        }
    });
    println!("\n| decision | p50 ns | p90 ns | p99 ns |\n|---|---|---|---|");
    for (name, times) in ["not scored", "scored"].into_iter().zip(&mut times) {
        times.sort_unstable();
        let at = |share: f64| times[(times.len() as f64 * share) as usize];
        println!("| {name} | {} | {} | {} |", at(0.5), at(0.9), at(0.99));
    }
    let each = counted.count_total as f64 / requests.len() as f64;
    println!("\nallocations of a scored decision: {each:.3}");
}

/// Resident memory of this process, in bytes.
fn resident() -> i64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: i64 = text
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .expect("resident pages");
    pages * 4096
}

/// What a second decision point on the same workload adds: the room that loading the first one left behind
/// serves the second, so that what is added is what stays.
fn added(workload: &Workload) -> (i64, Duration) {
    let (first, second) = (support::builder(workload), support::builder(workload));
    let first = first.build().expect("valid");
    let before = resident();
    let began = Instant::now();
    let second = second.build().expect("valid");
    let took = began.elapsed();
    let added = resident() - before;
    drop((first, second));
    (added, took)
}

fn memory() {
    println!("\n| what | count | load s | bytes each, text apart |\n|---|---|---|---|");
    for (shape, size) in [(Shape::Roles, 100_000), (Shape::RolesLinks, 500_000)] {
        let few = build(shape, 10, 10);
        let mut workload = build(shape, size, 10);
        workload.entities = few.entities;
        let (bytes, took) = added(&workload);
        println!(
            "| {} | {size} | {:.2} | {} |",
            shape.name(),
            took.as_secs_f64(),
            bytes / size as i64
        );
    }
}

/// One changed file of 100, 10,000 policies in all.
fn reload() {
    let workload = build(Shape::Roles, 10_000, 10);
    let dir = tempfile::tempdir().expect("a directory");
    let policies = dir.path().join("policies");
    std::fs::create_dir(&policies).expect("a directory");
    let lines: Vec<&str> = workload.policies.lines().collect();
    let file = |n: usize| policies.join(format!("{n:03}.cedar"));
    let parts: Vec<String> = lines
        .chunks(lines.len().div_ceil(100))
        .map(|part| part.join("\n"))
        .collect();
    for (n, part) in parts.iter().enumerate() {
        std::fs::write(file(n), part).expect("written");
    }
    let entities = dir.path().join("e.json");
    std::fs::write(
        &entities,
        serde_json::to_vec(&workload.entities).expect("JSON"),
    )
    .expect("written");
    let began = Instant::now();
    let pdp = Pdp::builder()
        .policies(&policies)
        .entities(&entities)
        .build()
        .expect("valid");
    let first = began.elapsed();
    let mut times = Vec::new();
    for turn in 0..30 {
        let n = turn * 3 % parts.len();
        let text = format!(
            "{}\n@id(\"extra{turn}\") permit(principal == User::\"x{turn}\", action, resource);\n",
            parts[n]
        );
        std::fs::write(file(n), text).expect("written");
        let began = Instant::now();
        pdp.reload().expect("a good reload");
        times.push(began.elapsed());
    }
    times.sort_unstable();
    println!(
        "\nfirst load of 10,000 policies in {} files: {:.2} s; reload of one changed file: median {:.1} ms, slowest {:.1} ms",
        parts.len(),
        first.as_secs_f64(),
        times[times.len() / 2].as_secs_f64() * 1e3,
        times[times.len() - 1].as_secs_f64() * 1e3,
    );
}

fn loop_for(pdp: &Pdp, requests: &[Request], time: Duration) -> u64 {
    let began = Instant::now();
    let mut decisions = 0;
    while began.elapsed() < time {
        for request in requests
            .iter()
            .skip(decisions as usize % 19_000)
            .take(1_000)
        {
            let _ = black_box(pdp.authorize(request).expect("a decision"));
        }
        decisions += 1_000;
    }
    decisions
}

fn work(seconds: f64) {
    let workload = build(Shape::Roles, 1_000, 20_000);
    let (pdp, requests) = (
        support::decision_point(&workload),
        support::requests(&workload),
    );
    println!("ready");
    std::io::stdout().flush().expect("flushed");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("a line");
    println!(
        "{}",
        loop_for(&pdp, &requests, Duration::from_secs_f64(seconds))
    );
}

/// Decisions per second of two threads on one decision point, against two processes with one each.
fn threads() {
    const SECONDS: f64 = 2.0;
    let workload = build(Shape::Roles, 1_000, 20_000);
    let (pdp, requests) = (
        support::decision_point(&workload),
        support::requests(&workload),
    );
    let mut ratios = Vec::new();
    for _ in 0..5 {
        let together: u64 = std::thread::scope(|scope| {
            let run = || loop_for(&pdp, &requests, Duration::from_secs_f64(SECONDS));
            let threads: Vec<_> = (0..2).map(|_| scope.spawn(run)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("a count"))
                .sum()
        });
        let apart: u64 = {
            let this = std::env::current_exe().expect("this program");
            let mut children: Vec<_> = (0..2)
                .map(|_| {
                    Command::new(&this)
                        .args(["worker", &SECONDS.to_string()])
                        .stdin(Stdio::piped())
                        .stdout(Stdio::piped())
                        .spawn()
                        .expect("a worker")
                })
                .collect();
            let mut readers: Vec<_> = children
                .iter_mut()
                .map(|child| std::io::BufReader::new(child.stdout.take().expect("a pipe")))
                .collect();
            let mut line = String::new();
            for reader in &mut readers {
                std::io::BufRead::read_line(reader, &mut line).expect("ready");
            }
            for child in &mut children {
                child
                    .stdin
                    .take()
                    .expect("a pipe")
                    .write_all(b"go\n")
                    .expect("sent");
            }
            let counts = readers.iter_mut().map(|reader| {
                let mut line = String::new();
                std::io::BufRead::read_line(reader, &mut line).expect("a count");
                line.trim().parse::<u64>().expect("a count")
            });
            let sum = counts.sum();
            for mut child in children {
                child.wait().expect("it ends");
            }
            sum
        };
        ratios.push(together as f64 / apart as f64);
        println!(
            "two threads {:.0}/s, two processes {:.0}/s",
            together as f64 / SECONDS,
            apart as f64 / SECONDS
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "two threads against two processes: {:.2}x (median of 5)",
        ratios[2]
    );
}
