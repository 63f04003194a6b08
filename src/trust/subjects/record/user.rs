//! A user: what is known of the account, what is held against it, where and when it acts.

mod account;

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Record, names};
use crate::base::timestamp::Timestamp;
use crate::trust::model::{Band, Method, Point, Sighting};
use crate::trust::subjects::config::SignalsConfig;
use crate::trust::subjects::finding::Assessed;
use crate::trust::subjects::latest::Latest;
use crate::trust::subjects::places::Places;
use crate::trust::subjects::profile::Profile;
use crate::trust::subjects::rates::Rate;
use crate::trust::subjects::sessions::Sessions;
use crate::trust::subjects::track::{NewFindings, SubjectClass, Track};
use crate::trust::subjects::window::{Millis, NEVER, StoredEvent, Window, never};

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct User {
    /// What it is known to have done itself, and what was found of it.
    #[serde(rename = "t")]
    pub(crate) track: Track,
    /// What was done in its name, by address.
    #[serde(rename = "p", skip_serializing_if = "Vec::is_empty")]
    pub(crate) pairs: Vec<Pair>,
    /// Events that say how a state is, so that they are told apart.
    #[serde(rename = "s", skip_serializing_if = "Window::is_empty")]
    pub(crate) states: Window,
    /// Whether it is known by more than what strangers did in its name.
    #[serde(rename = "k")]
    pub(crate) known: bool,
    /// Whether it is in the room of users of whom only decisions are known and for whom nothing vouches.
    #[serde(rename = "sg", skip_serializing_if = "std::ops::Not::not")]
    pub(crate) stranger: bool,
    #[serde(rename = "ac", skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<Millis>,
    /// Whether all its methods were said.
    #[serde(rename = "ea", skip_serializing_if = "std::ops::Not::not")]
    enrolled_said: bool,
    /// Methods, and whether each is gone.
    #[serde(rename = "em", skip_serializing_if = "Vec::is_empty")]
    methods: Vec<(Method, Latest<bool>)>,
    #[serde(rename = "di", skip_serializing_if = "Latest::unsaid")]
    pub(crate) disabled: Latest<bool>,
    #[serde(rename = "rl", skip_serializing_if = "Option::is_none")]
    level: Option<Latest<Band>>,
    /// When a credential was last said to be known to others, and when one was last replaced.
    #[serde(rename = "cc", skip_serializing_if = "never")]
    compromised: Millis,
    #[serde(rename = "cr", skip_serializing_if = "never")]
    replaced: Millis,
    /// Sessions until then are revoked.
    #[serde(rename = "rb", skip_serializing_if = "never")]
    pub(crate) revoked_before: Millis,
    /// When one of its sessions was last revoked by its name.
    #[serde(rename = "lr", skip_serializing_if = "never")]
    pub(crate) session_revoked: Millis,
    /// The latest authentication of which no session was named.
    #[serde(rename = "ls", skip_serializing_if = "never")]
    pub(crate) last_session: Millis,
    #[serde(rename = "ov", skip_serializing_if = "Option::is_none")]
    pub(crate) overriding: Option<Overriding>,
    #[serde(rename = "se", skip_serializing_if = "Sessions::is_empty")]
    pub(crate) sessions: Sessions,
    #[serde(rename = "de", with = "names", skip_serializing_if = "Vec::is_empty")]
    pub(crate) devices: Vec<Arc<str>>,
    #[serde(rename = "pl", skip_serializing_if = "Places::is_empty")]
    pub(crate) places: Places,
    #[serde(rename = "pr")]
    pub(crate) profile: Profile,
    #[serde(rename = "ra", skip_serializing_if = "Vec::is_empty")]
    pub(crate) rates: Vec<Rate>,
    /// Latitude, longitude, accuracy, instant.
    #[serde(rename = "si", skip_serializing_if = "Option::is_none")]
    sighting: Option<(i32, i32, u32, Millis)>,
    #[serde(rename = "ba", skip_serializing_if = "Option::is_none")]
    pub(crate) band: Option<Band>,
    /// When it last did something unusual.
    #[serde(rename = "un", skip_serializing_if = "never")]
    pub(crate) unusual: Millis,
    /// When it last was or did anything.
    #[serde(rename = "la", skip_serializing_if = "never")]
    pub(crate) touched: Millis,
    /// The window in which its events last added addresses and sessions, and how many.
    #[serde(skip)]
    pub(crate) added: (i64, u16),
    /// When impossible travel was last told of without being held against it.
    #[serde(skip)]
    pub(crate) travel_told: Millis,
    /// Whether something is to be written that nobody waits for.
    #[serde(skip)]
    pub(crate) unsaved: bool,
}

/// What was done in a user's name from one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pair {
    #[serde(rename = "a")]
    pub(crate) ip: IpAddr,
    #[serde(rename = "t")]
    pub(crate) track: Track,
}

/// An operator's override.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Overriding {
    #[serde(rename = "u")]
    pub(crate) until: Millis,
    #[serde(rename = "r")]
    pub(crate) reason: Box<str>,
    #[serde(rename = "b")]
    pub(crate) by: Box<str>,
    #[serde(rename = "t")]
    pub(crate) at: Millis,
}

impl Default for User {
    fn default() -> Self {
        Self {
            track: Track::default(),
            pairs: Vec::new(),
            states: Window::default(),
            known: false,
            stranger: false,
            created: None,
            enrolled_said: false,
            methods: Vec::new(),
            disabled: Latest::default(),
            level: None,
            compromised: NEVER,
            replaced: NEVER,
            revoked_before: NEVER,
            session_revoked: NEVER,
            last_session: NEVER,
            overriding: None,
            sessions: Sessions::default(),
            devices: Vec::new(),
            places: Places::default(),
            profile: Profile::default(),
            rates: Vec::new(),
            sighting: None,
            band: None,
            unusual: NEVER,
            touched: NEVER,
            added: (0, 0),
            travel_told: NEVER,
            unsaved: false,
        }
    }
}

impl User {
    pub(crate) fn pair(&self, ip: IpAddr) -> Option<&Pair> {
        self.pairs.iter().find(|pair| pair.ip == ip)
    }

    /// What an address is counted by; of too many the one goes that matters least, and is handed back.
    pub(crate) fn pair_mut(
        &mut self,
        ip: IpAddr,
        now: Millis,
        config: &SignalsConfig,
    ) -> (Option<&mut Pair>, Option<Pair>) {
        let mut gone = None;
        let at = match self.pairs.iter().position(|pair| pair.ip == ip) {
            Some(at) => at,
            None => {
                if self.pairs.len() >= usize::from(config.bounds.addresses) {
                    let key = |pair: &Pair| (pair.track.live(now, config), pair.track.latest());
                    let least = self
                        .pairs
                        .iter()
                        .enumerate()
                        .min_by_key(|(_, pair)| key(pair));
                    gone = least.map(|(at, _)| at).map(|at| self.pairs.swap_remove(at));
                }
                self.pairs.push(Pair {
                    ip,
                    track: Track::default(),
                });
                self.pairs.len() - 1
            }
        };
        (self.pairs.get_mut(at), gone)
    }

    /// Whether its events may add another address or session to what is kept, within this window.
    pub(crate) fn may_add(&mut self, now: Millis, config: &SignalsConfig) -> bool {
        let window = now.div_euclid(config.correlation.window.millis().max(1));
        if self.added.0 != window {
            self.added = (window, 0);
        }
        let may = self.added.1 < config.bounds.addresses;
        self.added.1 += u16::from(may);
        may
    }

    /// What is held against the user as such.
    pub(crate) fn held(&self, now: Millis, config: &SignalsConfig) -> Assessed {
        let rule = &config.rules.credential_compromise;
        let compromise = match self.compromise_held() {
            true => Assessed {
                risk: rule.risk,
                level: rule.level,
                blocked: false,
            },
            false => Assessed::default(),
        };
        self.track.held(now, config).or(compromise)
    }

    /// When something last happened that makes its activity suspicious.
    pub(crate) fn suspicious(&self) -> Millis {
        let compromised = if self.compromise_held() {
            self.compromised
        } else {
            NEVER
        };
        self.track.suspicious().max(compromised)
    }

    /// When something adverse last happened that was not remediated.
    pub(crate) fn adverse(&self) -> Millis {
        let unusual = if self.unusual > self.track.remediated {
            self.unusual
        } else {
            NEVER
        };
        let compromised = if self.compromise_held() {
            self.compromised
        } else {
            NEVER
        };
        self.track.found().max(unusual).max(compromised)
    }

    pub(crate) fn overridden(&self, now: Millis) -> Option<&Overriding> {
        self.overriding.as_ref().filter(|over| over.until > now)
    }

    /// Until when its sessions are revoked, while that is remembered; before every instant otherwise.
    pub(crate) fn revoked_until(&self, now: Millis, config: &SignalsConfig) -> Millis {
        let age = now.saturating_sub(self.revoked_before);
        match age > config.revoked_for.millis() {
            true => NEVER,
            false => self.revoked_before,
        }
    }

    /// When one of its sessions was last revoked by its name, while that is remembered.
    pub(crate) fn last_revoked(&self, now: Millis, config: &SignalsConfig) -> Millis {
        let age = now.saturating_sub(self.session_revoked);
        match age > config.revoked_for.millis() {
            true => NEVER,
            false => self.session_revoked,
        }
    }

    /// Whether its sessions are revoked and there is none that is later.
    pub(crate) fn revoked(&self, now: Millis, config: &SignalsConfig) -> bool {
        let until = self.revoked_until(now, config);
        until != NEVER && self.last_session <= until && !self.sessions.any_after(until)
    }

    pub(crate) fn sighting(&self) -> Option<Sighting> {
        let sighting = |(latitude, longitude, accuracy, at)| Sighting {
            point: Point {
                latitude,
                longitude,
            },
            accuracy,
            at: Timestamp::from_millis(at),
        };
        self.sighting.map(sighting)
    }

    /// It was seen somewhere.
    pub(crate) fn see(&mut self, (point, accuracy): (Point, u32), now: Millis) {
        if self.sighting.is_none_or(|(.., at)| at <= now) {
            self.sighting = Some((point.latitude, point.longitude, accuracy, now));
        }
    }

    fn remembers_revocation(&self, now: Millis, config: &SignalsConfig) -> bool {
        self.revoked_until(now, config) != NEVER || self.last_revoked(now, config) != NEVER
    }

    /// Whether it may be forgotten for another's state: nothing is held against it, none of its sessions is
    /// revoked or alive, and it has no device.
    pub(crate) fn idle(&self, now: Millis, config: &SignalsConfig) -> bool {
        let limits = &config.sessions;
        self.devices.is_empty()
            && !self.remembers_revocation(now, config)
            && !self
                .sessions
                .iter()
                .any(|session| session.alive(now, limits))
            && !self.is_held(now, config)
    }

    /// Whether nothing would be lost with it but history: nothing was said of its account either.
    pub(crate) fn only_history(&self, now: Millis, config: &SignalsConfig) -> bool {
        self.created.is_none()
            && !self.enrolled_said
            && self.methods.is_empty()
            && self.idle(now, config)
    }

    /// Takes an event in that it did itself.
    pub(crate) fn insert(
        &mut self,
        kept: StoredEvent,
        config: &SignalsConfig,
        news: &mut NewFindings,
    ) -> Option<StoredEvent> {
        self.track
            .insert(kept, config.bounds.events, SubjectClass::User, config, news)
    }
}

impl Record for User {
    const CLASS: SubjectClass = SubjectClass::User;

    fn track(&mut self) -> &mut Track {
        &mut self.track
    }

    fn events(&mut self) -> impl Iterator<Item = &mut StoredEvent> {
        let pairs = self.pairs.iter_mut();
        let in_pairs = pairs.flat_map(|pair| pair.track.window.events_mut());
        let own = self.track.window.events_mut();
        own.chain(in_pairs).chain(self.states.events_mut())
    }

    fn remediate(&mut self, now: Millis) {
        let level = self.level.map_or(NEVER, |level| level.at);
        let until = now.max(level).max(self.compromised).max(self.unusual);
        self.track.remediate(until);
        for pair in &mut self.pairs {
            pair.track.remediate(now);
        }
    }

    fn is_held(&self, now: Millis, config: &SignalsConfig) -> bool {
        self.disabled.value
            || self.revoked(now, config)
            || self.overridden(now).is_some()
            || self.level().is_some()
            || self.compromise_held()
            || self.track.live(now, config)
            || self.pairs.iter().any(|pair| pair.track.live(now, config))
    }

    // Nothing is held against it, and either only strangers
    // named it, or it was not seen for as long as anything is kept.
    fn spare(&self, now: Millis, config: &SignalsConfig) -> bool {
        let idle = now.saturating_sub(self.touched) > config.retention.history.millis();
        (!self.known || idle)
            && self.devices.is_empty()
            && !self.remembers_revocation(now, config)
            && !self.is_held(now, config)
    }

    fn over(&self, now: Millis, config: &SignalsConfig) -> bool {
        self.spare(now, config) && now.saturating_sub(self.touched) > 86_400_000
    }

    fn forget(&mut self, now: Millis, config: &SignalsConfig) -> Vec<StoredEvent> {
        let mut gone = self.track.forget(now, config);
        for pair in &mut self.pairs {
            gone.extend(pair.track.forget(now, config));
        }
        let day = 86_400_000;
        self.pairs.retain_mut(|pair| {
            let old = now.saturating_sub(pair.track.latest()) > day;
            let keep = !old || pair.track.live(now, config);
            if !keep {
                gone.extend(pair.track.window.forget(Millis::MAX));
            }
            keep
        });
        let events = now.saturating_sub(config.retention.events.millis());
        gone.extend(self.states.forget(events));
        self.sessions
            .forget(now.saturating_sub(config.revoked_for.millis()));
        self.places.forget(now, config);
        if self
            .overriding
            .as_ref()
            .is_some_and(|over| over.until <= events)
        {
            self.overriding = None;
        }
        gone
    }
}
