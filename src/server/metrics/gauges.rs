//! Figures that are kept elsewhere and read when somebody asks.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::{encode_counter, encode_gauge};

/// A figure and who tells it.
pub(super) struct Watched {
    pub(super) name: &'static str,
    help: &'static str,
    kind: Kind,
    read: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// Whether a figure may fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Counter,
}

impl Watched {
    pub(super) fn new(
        name: &'static str,
        help: &'static str,
        kind: Kind,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            help,
            kind,
            read: Box::new(read),
        }
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let value = (self.read)();
        match self.kind {
            Kind::Gauge => encode_gauge(encoder, self.name, self.help, value),
            Kind::Counter => encode_counter(encoder, self.name, self.help, value),
        }
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The figures that are always shown, so that dashboards and alerts find them; 0 until somebody tells
/// them.
pub(super) fn declared() -> Vec<Watched> {
    [
        (
            "requests_under_way",
            "Requests that hold a place among `limits.concurrent_requests`",
            Kind::Gauge,
        ),
        (
            "connections",
            "Places among `limits.connections` that are taken, one by each listener that waits",
            Kind::Gauge,
        ),
        (
            "audit_queue",
            "Records of the decision log that wait to be written",
            Kind::Gauge,
        ),
        (
            "audit_records",
            "Records that the decision log took",
            Kind::Counter,
        ),
        (
            "audit_dropped",
            "Decisions that the decision log has no record of",
            Kind::Counter,
        ),
        (
            "span_exports",
            "Batches of spans that the collector took",
            Kind::Counter,
        ),
        (
            "span_export_failures",
            "Batches of spans that the collector did not take",
            Kind::Counter,
        ),
    ]
    .into_iter()
    .map(|(name, help, kind)| Watched::new(name, help, kind, || 0))
    .collect()
}
