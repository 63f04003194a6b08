//! Measures cedarling in a process of its own; `deodar-peers` starts it.
#![forbid(unsafe_code)]

#[path = "../../src/child.rs"]
mod child;
#[allow(dead_code, reason = "shared with other peers")]
#[path = "../../src/facts.rs"]
mod facts;
#[allow(dead_code, reason = "shared with other peers")]
#[path = "../../src/given.rs"]
mod given;
#[allow(dead_code, reason = "shared with the program that starts this one")]
#[path = "../../src/line.rs"]
mod line;
#[allow(dead_code, reason = "shared with the program that starts this one")]
#[path = "../../src/measure.rs"]
mod measure;
#[path = "../../src/peers/cedarling.rs"]
mod peer;
#[path = "../../../workload/mod.rs"]
mod workload;

fn main() -> given::Result<()> {
    child::run(include_str!("../Cargo.lock"), peer::Cedarling::new)
}
