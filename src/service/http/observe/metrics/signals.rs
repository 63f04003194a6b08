//! Events by kind and result, and tokens of receivers by result.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use crate::base::words::words;
use crate::service::ssf::Receivers;
use crate::trust::subjects::EventType;

words! {
    /// The result of an event.
    pub(crate) enum EventResult by name {
        /// It counts.
        Accepted = "accepted",
        /// It was accepted before.
        Duplicate = "duplicate",
        /// It does not count.
        Refused = "refused",
        /// It could not be kept.
        NotKept = "not_kept",
    }
}

impl EventResult {
    /// What its reporter is told.
    pub(crate) fn status(self) -> &'static str {
        match self {
            Self::NotKept => Self::Refused.name(),
            other => other.name(),
        }
    }
}

/// Events that cannot be read have no kind.
const UNREAD: &str = "unreadable";

/// Counts events; the last row is for those that cannot be read.
#[derive(Debug)]
pub(super) struct EventCounts([[AtomicU64; EventResult::ALL.len()]; EventType::ALL.len() + 1]);

impl EventCounts {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| {
            std::array::from_fn(|_| AtomicU64::new(0))
        }))
    }

    /// Counts one.
    pub(super) fn add(&self, kind: Option<EventType>, result: EventResult) {
        let row = kind.map_or(EventType::ALL.len(), |kind| kind as usize);
        let row = self.0.get(row);
        if let Some(count) = row.and_then(|row| row.get(result as usize)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(
            "events",
            "Security events by type and what became of them",
            None,
            MetricType::Counter,
        )?;
        let names = EventType::ALL.iter().map(|kind| kind.name());
        for (name, row) in names.chain([UNREAD]).zip(&self.0) {
            for (result, count) in EventResult::ALL.iter().zip(row) {
                let count = count.load(Ordering::Relaxed);
                // There are many pairs, and most of them never happen.
                if count > 0 {
                    let labels = [("type", name), ("result", result.name())];
                    ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

/// Writes what became of receivers' tokens; their names are those of the configuration.
pub(super) fn encode_receivers(
    encoder: &mut DescriptorEncoder<'_>,
    receivers: Option<&Receivers>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(
        "receiver_events",
        "Security event tokens and their events by receiver and what became of them",
        None,
        MetricType::Counter,
    )?;
    for receiver in receivers.into_iter().flat_map(Receivers::iter) {
        for (result, count) in receiver.standing().counts() {
            let labels = [("receiver", receiver.name()), ("result", result)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}
