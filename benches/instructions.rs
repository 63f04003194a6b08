//! Decisions to be counted in instructions: `instructions.py` runs this under callgrind, which counts what
//! happens within `decisions` and `answers` and nothing else.
//!
//! Given a scenario's name it makes the workload, decides some requests to warm up, and then 1,000 more.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark on a workload of its own making may stop where it is wrong"
)]

mod support;
mod workload;

use std::hint::black_box;

use deodar::{Caller, Pdp, Request, authorize_json};
use deodar::{Enforcement, TrustConfig};

use workload::{Shape, build};

const DECISIONS: usize = 1_000;

#[inline(never)]
fn decisions(pdp: &Pdp, requests: &[Request]) {
    for request in requests {
        let _ = black_box(pdp.authorize(request).expect("a decision"));
    }
}

#[inline(never)]
fn answers(pdp: &Pdp, bodies: &[Vec<u8>]) {
    for body in bodies {
        black_box(authorize_json(pdp, body, Caller::anonymous()).expect("an answer"));
    }
}

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench");
    let Some(scenario) = arguments.next() else {
        // `cargo bench` and `cargo test --benches` come without a scenario.
        println!("run benches/instructions.py");
        return;
    };
    let (what, size) = scenario.rsplit_once('/').expect("shape/size");
    let (from_bodies, what) = match what.strip_prefix("body-") {
        Some(rest) => (true, rest),
        None => (false, what),
    };
    let (scored, shape) = match what.strip_prefix("scored-") {
        Some(shape) => (true, shape),
        None => (false, what),
    };
    let shape = Shape::ALL.into_iter().find(|known| known.name() == shape);
    let size = size.parse().expect("a size");
    let workload = build(shape.expect("a shape"), size, 2 * DECISIONS);
    let mut builder = support::builder(&workload);
    if scored {
        // Of a principal that nothing is known of.
        builder = builder.trust(TrustConfig {
            enforcement: Enforcement::Report,
            ..TrustConfig::default()
        });
    }
    let pdp = builder.build().expect("the workload is valid");
    if from_bodies {
        let bodies = support::bodies(&workload);
        for body in &bodies[..DECISIONS] {
            black_box(authorize_json(&pdp, body, Caller::anonymous()).expect("an answer"));
        }
        answers(&pdp, &bodies[DECISIONS..]);
    } else {
        let requests = support::requests(&workload);
        for request in &requests[..DECISIONS] {
            let _ = black_box(pdp.authorize(request).expect("a decision"));
        }
        decisions(&pdp, &requests[DECISIONS..]);
    }
}
