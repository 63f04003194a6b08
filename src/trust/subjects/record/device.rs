//! A device: whose it is, what was reported of it, and whether it complies.

use serde::{Deserialize, Serialize};

use super::owner;
use crate::base::entity_ref::EntityRef;
use crate::base::timestamp::Timestamp;
use crate::trust::model::{DeviceTrust, Indicators};
use crate::trust::subjects::config::SignalsConfig;
use crate::trust::subjects::latest::Latest;
use crate::trust::subjects::store::{DeviceRecord, DeviceStanding};
use crate::trust::subjects::track::Track;
use crate::trust::subjects::window::{Kept, Millis, NEVER, Window, never, no_time};

/// A device by its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeviceState {
    #[serde(rename = "t", default)]
    pub(crate) track: Track,
    #[serde(rename = "s", default, skip_serializing_if = "Window::is_empty")]
    pub(crate) states: Window,
    #[serde(
        rename = "u",
        default,
        with = "owner",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) user: Option<EntityRef>,
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    trust: Option<DeviceTrust>,
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    last_scan: Option<Millis>,
    #[serde(rename = "j", default, skip_serializing_if = "Option::is_none")]
    jailbroken: Option<bool>,
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    current_os: Option<bool>,
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    managed: Option<bool>,
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    certificate: Option<bool>,
    /// Compromised, outdated, no screen lock.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    indicators: Option<(bool, bool, bool)>,
    /// When it was registered or reported on.
    #[serde(rename = "a", default = "no_time", skip_serializing_if = "never")]
    reported: Millis,
    /// Whether it does not comply.
    #[serde(rename = "b", default, skip_serializing_if = "Latest::unsaid")]
    pub(crate) broken: Latest<bool>,
}

impl Default for DeviceState {
    fn default() -> Self {
        Self {
            track: Track::default(),
            states: Window::default(),
            user: None,
            trust: None,
            last_scan: None,
            jailbroken: None,
            current_os: None,
            managed: None,
            certificate: None,
            indicators: None,
            reported: NEVER,
            broken: Latest::default(),
        }
    }
}

impl DeviceState {
    pub(crate) fn events(&mut self) -> impl Iterator<Item = &mut Kept> {
        self.track
            .window
            .events_mut()
            .chain(self.states.events_mut())
    }

    /// Takes a registration or a report in.
    pub(crate) fn report(&mut self, record: &DeviceRecord, now: Millis) {
        if record.user.is_some() {
            self.user.clone_from(&record.user);
        }
        self.trust = record.trust.or(self.trust);
        self.last_scan = record
            .last_scan
            .map(Timestamp::as_millis)
            .or(self.last_scan);
        self.jailbroken = record.jailbroken.or(self.jailbroken);
        self.current_os = record.current_os.or(self.current_os);
        self.managed = record.managed.or(self.managed);
        self.certificate = record.certificate.or(self.certificate);
        let weak = |found: Indicators| {
            (
                found.compromised_os,
                found.outdated_os,
                found.no_screen_lock,
            )
        };
        self.indicators = record.indicators.map(weak).or(self.indicators);
        if let Some(compliant) = record.compliant {
            self.broken.set(now, !compliant);
        }
        self.reported = self.reported.max(now);
    }

    /// Takes out all but its owner and what was said of its compliance; the events are handed back. `None`
    /// where nothing was said of that.
    pub(crate) fn clear(&mut self) -> Option<Vec<Kept>> {
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
        let weak = |(compromised_os, outdated_os, no_screen_lock)| Indicators {
            compromised_os,
            outdated_os,
            no_screen_lock,
        };
        self.reported().then(|| DeviceStanding {
            registered: self.user.as_ref() == Some(user),
            trust: self.trust,
            last_scan: self.last_scan.map(Timestamp::from_millis),
            jailbroken: self.jailbroken,
            current_os: self.current_os,
            managed: self.managed,
            certificate: self.certificate,
            indicators: self.indicators.map(weak),
            reported: Some(Timestamp::from_millis(self.reported)),
        })
    }

    pub(crate) fn spare(&self, now: Millis, config: &SignalsConfig) -> bool {
        !self.reported() && !self.broken.value && !self.track.live(now, config)
    }

    /// Whether its time is over.
    pub(crate) fn over(&self, now: Millis, config: &SignalsConfig) -> bool {
        let latest = self.track.latest().max(self.states.latest());
        let old = now.saturating_sub(latest) > config.retention.events.millis();
        self.spare(now, config) && old
    }

    /// For a person.
    pub(crate) fn describe(&self) -> serde_json::Value {
        let shown = |at| Timestamp::from_millis(at).to_string();
        serde_json::json!({
            "user": self.user.as_ref().map(|user| {
                serde_json::json!({"type": user.type_name(), "id": user.id()})
            }),
            "trust": self.trust,
            "lastScan": self.last_scan.map(shown),
            "jailbroken": self.jailbroken,
            "currentOs": self.current_os,
            "managed": self.managed,
            "certificate": self.certificate,
            "indicators": self.indicators.map(|(compromised, outdated, no_lock)| serde_json::json!({
                "compromised_os": compromised, "outdated_os": outdated, "no_screen_lock": no_lock,
            })),
            "reported": (self.reported != NEVER).then(|| shown(self.reported)),
            "compliant": self.broken.said().then_some(!self.broken.value),
            "complianceSince": self.broken.said().then(|| shown(self.broken.at)),
        })
    }
}
