//! Metrics, trace ids and spans.

pub(crate) mod metrics;
#[cfg(feature = "otlp")]
pub(crate) mod spans;
pub(crate) mod trace;
