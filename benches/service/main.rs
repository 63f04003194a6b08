//! The server as a whole, over loopback: what stays right and what it costs.
//!
//! - `cargo bench --bench service -- soak [seconds]`: decisions at saturation while policies are
//!   reloaded; every answer is held against the reference engine's for its sequence (600 s unless given)
//! - `cargo bench --bench service -- overload`: three times what one core can answer, open loop
//! - `cargo bench --bench service -- costs`: what a key and a decision log cost
//! - `cargo bench --bench service -- signals [subjects] [events]`: security events, decisions beside them,
//!   a `kill -9` in the middle, memory (10,000 subjects with 100 events each unless given)

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark on a workload of its own making may stop where it is wrong"
)]

mod costs;
mod overload;
mod signals;
mod soak;
#[path = "../support/mod.rs"]
mod support;
mod tree;
#[path = "../workload/mod.rs"]
mod workload;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let number = |at: usize| {
        arguments
            .get(at)
            .and_then(|text| text.parse::<usize>().ok())
    };
    match arguments.first().map(String::as_str) {
        Some("soak") => soak::run(number(1).unwrap_or(600) as u64),
        Some("overload") => overload::run(),
        Some("costs") => costs::run(),
        Some("signals") => signals::run(number(1).unwrap_or(10_000), number(2).unwrap_or(100)),
        // Without a word, as `cargo bench` runs it, a short turn of each.
        _ => {
            soak::run(10);
            costs::run();
        }
    }
}

/// Runs a future on this thread, with tasks of its own.
fn on_this_thread<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, future)
}
