//! Figures that are kept elsewhere and read when somebody asks.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use super::{encode_counter, encode_gauge};

/// A figure and who tells it.
pub(super) struct Watched {
    pub(super) name: &'static str,
    help: &'static str,
    kind: Kind,
    read: Read,
}

/// Tells a figure.
pub(super) type Figure = Box<dyn Fn() -> u64 + Send + Sync>;

enum Read {
    One(Figure),
    /// A counter by the values of a label, which are known when deodar is built.
    By(&'static str, Vec<(&'static str, Figure)>),
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
            read: Read::One(Box::new(read)),
        }
    }

    /// A counter by a label.
    pub(super) fn by(
        name: &'static str,
        help: &'static str,
        label: &'static str,
        each: Vec<(&'static str, Figure)>,
    ) -> Self {
        Self {
            name,
            help,
            kind: Kind::Counter,
            read: Read::By(label, each),
        }
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        match (&self.read, self.kind) {
            (Read::One(read), Kind::Gauge) => encode_gauge(encoder, self.name, self.help, read()),
            (Read::One(read), Kind::Counter) => {
                encode_counter(encoder, self.name, self.help, read())
            }
            (Read::By(label, each), _) => {
                let kind = MetricType::Counter;
                let mut family = encoder.encode_descriptor(self.name, self.help, None, kind)?;
                for (value, read) in each {
                    let labels = [(*label, *value)];
                    ConstCounter::new(read()).encode(family.encode_family(&labels)?)?;
                }
                Ok(())
            }
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
            "Decisions without a record in the decision log",
            Kind::Counter,
        ),
        (
            "token_cache_hits",
            "Tokens that were verified before",
            Kind::Counter,
        ),
        (
            "token_verifications",
            "Tokens that were verified, including refused ones",
            Kind::Counter,
        ),
        (
            "issuer_key_fetches",
            "Fetches of the keys of issuers",
            Kind::Counter,
        ),
        (
            "issuer_key_failures",
            "Fetches of the keys of issuers that failed",
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
