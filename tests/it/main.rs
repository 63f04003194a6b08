//! The project's own tests: shared cases at three doors, bad input, reloads, the command line.

mod bad_input;
mod cases;
mod cli;
mod conformance;
mod http;
mod lifecycle;
mod properties;
mod reload;
mod sources;
mod support;
