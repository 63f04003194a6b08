//! The security events that are kept of one subject: a bounded list in the order of time.
//!
//! What must hold: the list is the latest events in whatever order they came, so that the order of arrival
//! changes nothing.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::kind::{EventType, Severity};

/// An instant in milliseconds since the Unix epoch.
pub(super) type Millis = i64;

/// Before every instant.
pub(super) const NEVER: Millis = i64::MIN;

/// Whether a member may be left out of a record.
pub(super) fn never(at: &Millis) -> bool {
    *at == NEVER
}

/// What a member is that a record leaves out.
pub(super) fn no_time() -> Millis {
    NEVER
}

/// An event as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredEvent {
    #[serde(rename = "t")]
    pub(super) at: Millis,
    #[serde(rename = "k")]
    pub(super) kind: EventType,
    #[serde(rename = "v")]
    pub(super) severity: Severity,
    /// Whether rules that count events count it for this subject; they do so for one subject only.
    #[serde(rename = "d", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) counts: bool,
    /// Who said so and its id, at the one subject that the event is told apart by.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub(super) label: Option<Box<Label>>,
}

/// What tells an event from others.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Label {
    #[serde(rename = "s", with = "shared")]
    pub(super) source: Arc<str>,
    #[serde(rename = "i")]
    pub(super) id: Box<str>,
}

/// A text that is shared.
pub(super) mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(text: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(text)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<str>, D::Error> {
        Ok(String::deserialize(from)?.into())
    }
}

/// The latest events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Window(Vec<StoredEvent>);

impl StoredEvent {
    fn order(&self) -> (Millis, Severity, EventType) {
        (self.at, self.severity, self.kind)
    }
}

impl Window {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order of time.
    pub(super) fn events(&self) -> &[StoredEvent] {
        &self.0
    }

    pub(super) fn events_mut(&mut self) -> impl Iterator<Item = &mut StoredEvent> {
        self.0.iter_mut()
    }

    /// The instant of the latest.
    pub(super) fn latest(&self) -> Millis {
        self.0.last().map_or(NEVER, |kept| kept.at)
    }

    /// Takes an event in; of more than `most` the oldest is handed back.
    pub(super) fn insert(&mut self, kept: StoredEvent, most: u16) -> Option<StoredEvent> {
        let place = self
            .0
            .partition_point(|other| other.order() <= kept.order());
        self.0.insert(place, kept);
        (self.0.len() > usize::from(most)).then(|| self.0.remove(0))
    }

    /// Takes out what is older than `before`.
    pub(super) fn forget(&mut self, before: Millis) -> impl Iterator<Item = StoredEvent> {
        let count = self.0.partition_point(|kept| kept.at < before);
        if count > 0 && self.0.capacity() > 2 * self.0.len() {
            self.0.shrink_to_fit();
        }
        self.0.drain(..count)
    }
}
