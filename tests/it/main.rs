//! The project's own tests: shared cases at three doors, bad input, reloads, the command line.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where something is not as it says"
)]

mod allocations;
mod answers;
mod audit;
mod bad_input;
mod callers;
mod cases;
mod changes;
mod cli;
mod conformance;
mod connections;
mod deploy;
mod docs;
mod engine;
mod http;
mod keys;
mod layers;
mod lifecycle;
mod loading;
mod malformed;
mod manage;
mod properties;
mod reload;
mod shapes;
mod sources;
mod subject;
mod support;
mod tls;
mod traces;
mod trust;
mod webhooks;
mod workloads;
mod written;
