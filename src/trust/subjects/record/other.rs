//! Sessions and addresses as such: what events are known of them, and whether a session was revoked.

use serde::{Deserialize, Serialize};

use super::{Record, owner};
use crate::base::entity_ref::EntityRef;
use crate::trust::subjects::config::SignalsConfig;
use crate::trust::subjects::track::{SubjectClass, Track};
use crate::trust::subjects::window::{Millis, NEVER, StoredEvent, Window, never};

/// A session by its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SessionState {
    #[serde(rename = "t")]
    pub(crate) track: Track,
    #[serde(rename = "s", skip_serializing_if = "Window::is_empty")]
    pub(crate) states: Window,
    /// Whose it is, once it was said.
    #[serde(rename = "u", with = "owner", skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<EntityRef>,
    /// When it was revoked, for good.
    #[serde(rename = "r", skip_serializing_if = "never")]
    pub(crate) revoked: Millis,
    /// When something was last said of it.
    #[serde(rename = "a", skip_serializing_if = "never")]
    pub(crate) touched: Millis,
}

impl Default for SessionState {
    fn default() -> Self {
        Self {
            track: Track::default(),
            states: Window::default(),
            user: None,
            revoked: NEVER,
            touched: NEVER,
        }
    }
}

impl Record for SessionState {
    const CLASS: SubjectClass = SubjectClass::Thing;

    fn track(&mut self) -> &mut Track {
        &mut self.track
    }

    fn is_held(&self, now: Millis, config: &SignalsConfig) -> bool {
        self.revoked != NEVER || self.track.live(now, config)
    }

    fn owner(&self) -> Option<&EntityRef> {
        self.user.as_ref()
    }

    fn touch(&mut self, now: Millis) {
        self.touched = self.touched.max(now);
    }

    fn events(&mut self) -> impl Iterator<Item = &mut StoredEvent> {
        self.track
            .window
            .events_mut()
            .chain(self.states.events_mut())
    }

    fn spare(&self, now: Millis, config: &SignalsConfig) -> bool {
        let absolute = config.sessions.absolute.millis();
        let over = |at: Millis| now.saturating_sub(at) > absolute;
        let revoked = self.revoked != NEVER && !over(self.revoked.max(self.touched));
        let owned = self.user.is_some() && !over(self.touched);
        !revoked && !owned && !self.track.live(now, config)
    }

    fn over(&self, now: Millis, config: &SignalsConfig) -> bool {
        let kept = match self.revoked != NEVER {
            true => config.revoked_for.millis(),
            false => config.sessions.absolute.millis(),
        };
        self.spare(now, config) && now.saturating_sub(self.touched.max(self.revoked)) > kept
    }
}

/// An address.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct IpState {
    #[serde(rename = "t", default)]
    pub(crate) track: Track,
}

impl Record for IpState {
    const CLASS: SubjectClass = SubjectClass::Address;

    fn track(&mut self) -> &mut Track {
        &mut self.track
    }

    fn events(&mut self) -> impl Iterator<Item = &mut StoredEvent> {
        self.track.window.events_mut()
    }

    fn is_held(&self, now: Millis, config: &SignalsConfig) -> bool {
        self.track.live(now, config)
    }

    fn spare(&self, now: Millis, config: &SignalsConfig) -> bool {
        !self.is_held(now, config)
    }

    fn over(&self, now: Millis, config: &SignalsConfig) -> bool {
        // An event a day old is within no window.
        let day = 86_400_000;
        self.spare(now, config) && now.saturating_sub(self.track.latest()) > day
    }
}
