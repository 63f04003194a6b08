//! A device: whose it is, what was reported of it, and whether it complies.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Record, owner};
use crate::base::entity_ref::EntityRef;
use crate::base::timestamp::Timestamp;
use crate::trust::model::DeviceFacts;
use crate::trust::subjects::config::SignalsConfig;
use crate::trust::subjects::latest::Latest;
use crate::trust::subjects::store::{DeviceRecord, DeviceStanding};
use crate::trust::subjects::track::{SubjectClass, Track};
use crate::trust::subjects::window::{Millis, NEVER, StoredEvent, Window, never};

/// A device by its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DeviceState {
    #[serde(rename = "t")]
    pub(crate) track: Track,
    #[serde(rename = "s", skip_serializing_if = "Window::is_empty")]
    pub(crate) states: Window,
    #[serde(rename = "u", with = "owner", skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<EntityRef>,
    #[serde(flatten)]
    facts: DeviceFacts,
    /// When it was registered or reported on.
    #[serde(rename = "a", skip_serializing_if = "never")]
    reported: Millis,
    /// Whether it does not comply.
    #[serde(rename = "b", skip_serializing_if = "Latest::unsaid")]
    pub(crate) broken: Latest<bool>,
}

impl Default for DeviceState {
    fn default() -> Self {
        Self {
            track: Track::default(),
            states: Window::default(),
            user: None,
            facts: DeviceFacts::default(),
            reported: NEVER,
            broken: Latest::default(),
        }
    }
}

impl DeviceState {
    /// Takes a registration or a report in.
    pub(crate) fn report(&mut self, record: &DeviceRecord, now: Millis) {
        if record.user.is_some() {
            self.user.clone_from(&record.user);
        }
        self.facts = record.facts.over(self.facts);
        if let Some(compliant) = record.compliant {
            self.broken.set(now, !compliant);
        }
        self.reported = self.reported.max(now);
    }

    /// Takes out all but its owner and what was said of its compliance; the events are handed back. `None`
    /// where nothing was said of that.
    pub(crate) fn clear(&mut self) -> Option<Vec<StoredEvent>> {
        if !self.broken.said() {
            return None;
        }
        let before = std::mem::take(self);
        (self.user, self.states, self.broken) = (before.user, before.states, before.broken);
        Some(before.track.window.events().to_vec())
    }

    /// Whether it was registered or reported on, and not only seen in events.
    pub(crate) fn reported(&self) -> bool {
        self.reported != NEVER
    }

    /// What it is to a user; `None` where only events are known of it.
    pub(crate) fn standing(&self, user: &EntityRef) -> Option<DeviceStanding> {
        self.reported().then(|| DeviceStanding {
            registered: self.user.as_ref() == Some(user),
            facts: self.facts,
            reported: Some(Timestamp::from_millis(self.reported)),
        })
    }

    /// For a person.
    pub(crate) fn describe(&self) -> Value {
        let shown = |at| Timestamp::from_millis(at).to_string();
        let user = self.user.as_ref();
        let user = user.map(|user| json!({"type": user.type_name(), "id": user.id()}));
        let said = self.broken.said();
        let mut device = Map::from_iter([("user".to_owned(), json!(user))]);
        self.facts.describe(&mut device);
        let members = [
            (
                "reported",
                json!(self.reported().then(|| shown(self.reported))),
            ),
            ("compliant", json!(said.then_some(!self.broken.value))),
            (
                "complianceSince",
                json!(said.then(|| shown(self.broken.at))),
            ),
        ];
        device.extend(members.map(|(name, value)| (name.to_owned(), value)));
        device.into()
    }
}

impl Record for DeviceState {
    const CLASS: SubjectClass = SubjectClass::Thing;

    fn track(&mut self) -> &mut Track {
        &mut self.track
    }

    fn is_held(&self, now: Millis, config: &SignalsConfig) -> bool {
        self.broken.value || self.track.live(now, config)
    }

    fn owner(&self) -> Option<&EntityRef> {
        self.user.as_ref()
    }

    fn events(&mut self) -> impl Iterator<Item = &mut StoredEvent> {
        self.track
            .window
            .events_mut()
            .chain(self.states.events_mut())
    }

    fn spare(&self, now: Millis, config: &SignalsConfig) -> bool {
        !self.reported() && !self.is_held(now, config)
    }

    fn over(&self, now: Millis, config: &SignalsConfig) -> bool {
        let latest = self.track.latest().max(self.states.latest());
        let old = now.saturating_sub(latest) > config.retention.events.millis();
        self.spare(now, config) && old
    }
}
