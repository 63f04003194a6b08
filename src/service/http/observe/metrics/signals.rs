//! Events by kind and result, and tokens of receivers by result.

use super::closed::EventResult;
use super::page::Page;
use crate::base::counts::Counts;
use crate::service::ssf::Receivers;
use crate::trust::subjects::EventType;

/// Events that cannot be read have no kind.
const UNREAD: &str = "unreadable";

/// Counts events; the last row is for those that cannot be read.
#[derive(Debug)]
pub(super) struct EventCounts([Counts<EventResult>; EventType::ALL.len() + 1]);

impl EventCounts {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Counts::default()))
    }

    /// Counts one.
    pub(super) fn add(&self, kind: Option<EventType>, result: EventResult) {
        let row = kind.map_or(EventType::ALL.len(), |kind| kind as usize);
        if let Some(row) = self.0.get(row) {
            row.add(result);
        }
    }

    pub(super) fn write(&self, page: &mut Page<'_>) {
        let names = EventType::ALL.iter().map(|kind| kind.name());
        let rows = names.chain([UNREAD]).zip(&self.0);
        let rows = rows.flat_map(|(name, row)| {
            let labels = move |result| [("type", name), ("result", result)];
            row.named()
                .map(move |(result, count)| (labels(result), count))
        });
        // There are many pairs, and most of them never happen.
        let rows = rows.filter(|(_, count)| *count > 0);
        let help = "Security events by type and what became of them";
        page.counters("events", help, rows);
    }
}

/// Writes what became of receivers' tokens; their names are those of the configuration.
pub(super) fn write_receivers(page: &mut Page<'_>, receivers: Option<&Receivers>) {
    let receivers = receivers.into_iter().flat_map(Receivers::iter);
    let rows = receivers.flat_map(|receiver| {
        let labels = |result| [("receiver", receiver.name()), ("result", result)];
        let counts = receiver.standing().counts.named();
        counts.map(move |(result, count)| (labels(result), count))
    });
    let help = "Security event tokens and their events by receiver and what became of them";
    page.counters("receiver_events", help, rows);
}
