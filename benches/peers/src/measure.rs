//! How one peer is checked and timed.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// An authorization engine that holds one workload, ready to decide its requests.
pub trait Peer {
    fn name(&self) -> &str;

    fn version(&self) -> &str;

    /// What it was given, where that is not the workload as it stands.
    fn note(&self) -> &str;

    /// Whether the request of this index is allowed; `None` where the peer reports an error.
    fn decide(&mut self, index: usize) -> Option<bool>;
}

/// What was found of one peer.
#[derive(Clone, Default)]
pub struct Found {
    pub name: String,
    pub version: String,
    pub note: String,
    pub agreed: usize,
    pub asked: usize,
    pub times: Option<Times>,
}

/// Nanoseconds per decision.
#[derive(Clone, Copy)]
pub struct Times {
    pub p50: f64,
    pub p99: f64,
    pub mean: f64,
}

impl Found {
    /// A peer that could not be measured, and why.
    pub fn failed(name: &str, why: &str) -> Self {
        let note = format!("not measured: {}", why.replace('\n', " "));
        Self {
            name: name.to_owned(),
            version: "-".to_owned(),
            note,
            ..Self::default()
        }
    }
}

/// The peer's own answers to all requests, asked for as long as `limit`.
pub fn answers(peer: &mut dyn Peer, requests: usize, limit: Duration) -> Vec<bool> {
    let started = Instant::now();
    let ahead = (0..requests).take_while(|asked| *asked < 10 || started.elapsed() < limit);
    ahead
        .map(|index| peer.decide(index) == Some(true))
        .collect()
}

/// Checks the peer's answers against `expected` for as long as `seconds`, then times decisions of the
/// requests it was asked, again and again: half of `seconds` each alone, half as a stream.
pub fn measure(peer: &mut dyn Peer, expected: &[bool], seconds: f64) -> Found {
    let mut found = Found {
        name: peer.name().to_owned(),
        version: peer.version().to_owned(),
        note: peer.note().to_owned(),
        ..Found::default()
    };
    let started = Instant::now();
    for (index, answer) in expected.iter().enumerate() {
        if found.asked >= 10 && started.elapsed().as_secs_f64() > seconds {
            break;
        }
        found.asked += 1;
        found.agreed += usize::from(peer.decide(index) == Some(*answer));
    }
    let half = Duration::from_secs_f64(seconds / 2.0);
    let mean = stream(peer, found.asked, half);
    let mut each = alone(peer, found.asked, half);
    each.sort_unstable();
    let percentile = |part: f64| {
        let rank = (part * each.len() as f64).ceil() as usize;
        each.get(rank.saturating_sub(1))
            .map_or(f64::NAN, |time| time.as_nanos() as f64)
    };
    found.times = Some(Times {
        p50: percentile(0.50),
        p99: percentile(0.99),
        mean,
    });
    found
}

/// Time of each decision, the clock's included.
fn alone(peer: &mut dyn Peer, requests: usize, limit: Duration) -> Vec<Duration> {
    let mut each = Vec::new();
    let started = Instant::now();
    for index in (0..requests).cycle() {
        let before = Instant::now();
        black_box(peer.decide(black_box(index)));
        let after = Instant::now();
        each.push(after - before);
        if after - started > limit {
            break;
        }
    }
    each
}

/// Mean of decisions one after the other: the median of five stretches, so that one disturbance of the
/// machine does not decide it.
fn stream(peer: &mut dyn Peer, requests: usize, limit: Duration) -> f64 {
    let mut order = (0..requests).cycle();
    let mut decide = |count: usize| {
        let started = Instant::now();
        for index in order.by_ref().take(count) {
            black_box(peer.decide(black_box(index)));
        }
        started.elapsed()
    };
    let mut chunk = 1;
    while decide(chunk) < Duration::from_millis(1) {
        chunk *= 2;
    }
    let mut means: Vec<f64> = (0..5)
        .map(|_| {
            let (mut spent, mut count) = (Duration::ZERO, 0);
            while spent < limit / 5 {
                spent += decide(chunk);
                count += chunk;
            }
            spent.as_nanos() as f64 / count as f64
        })
        .collect();
    means.sort_unstable_by(f64::total_cmp);
    means.get(2).copied().unwrap_or(f64::NAN)
}

/// What reading the clock twice costs, which every time of a decision alone includes.
pub fn clock() -> f64 {
    let started = Instant::now();
    let reads = 100_000_u32;
    for _ in 0..reads {
        black_box(Instant::now());
    }
    started.elapsed().as_nanos() as f64 / f64::from(reads)
}
