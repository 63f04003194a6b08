//! What is known at the instant of a decision.

use std::sync::Arc;

use smallvec::SmallVec;

use super::Core;
use crate::base::entity_ref::EntityRef;
use crate::base::timestamp::Timestamp;
use crate::trust::model::KnockOuts;
use crate::trust::subjects::config::SignalsConfig;
use crate::trust::subjects::finding::Assessed;
use crate::trust::subjects::rates::Rates;
use crate::trust::subjects::record::User;
use crate::trust::subjects::store::{SubjectQuery, SubjectState};
use crate::trust::subjects::window::{Millis, NEVER};

impl Core {
    /// Takes one lock after the other and allocates nothing: four, and where the session or the device is not
    /// said one for each that the user has. Whoever does not say which it is could be in any of them.
    pub(crate) fn standing(&self, ask: &SubjectQuery<'_>) -> SubjectState {
        let config = self.config.load();
        let now = ask.now.as_millis();
        let mut standing = SubjectState::default();
        let mut held = Assessed::default();
        if let Some(session) = ask.session {
            let found = self.sessions.with(session, |state| {
                (state.revoked != NEVER, state.track.held(now, &config))
            });
            if let Some((revoked, session)) = found {
                held = held.or(session);
                if revoked {
                    standing.knock_outs = standing.knock_outs.with(KnockOuts::SESSION_REVOKED);
                }
            }
        }
        if let Some(device) = ask.device {
            let found = self.devices.with(device, |state| {
                let standing = state.standing(ask.user);
                (standing, state.broken.value, state.track.held(now, &config))
            });
            if let Some((device, broken, device_held)) = found {
                standing.device = device;
                held = held.or(device_held);
                if broken {
                    standing.knock_outs = standing.knock_outs.with(KnockOuts::DEVICE_NOT_COMPLIANT);
                }
            }
        }
        if let Some(ip) = ask.ip {
            let found = self
                .ips
                .with(&ip.to_canonical(), |state| state.track.held(now, &config));
            held = held.or(found.unwrap_or_default());
        }
        let registered = standing.device.is_some_and(|device| device.registered);
        let hidden = self.users.with(ask.user, |user| {
            user.stand(ask, now, &config, &mut held, &mut standing);
            let session = ask.session.and_then(|id| user.sessions.find(id));
            let sessions = session.is_none() && !user.sessions.is_empty();
            (sessions, !registered && !user.devices.is_empty())
        });
        let (sessions, devices) = hidden.unwrap_or_default();
        if sessions {
            self.each_name(ask.user, User::session_names, |id| {
                let found = self
                    .sessions
                    .with(id, |state| state.track.held(now, &config));
                held = held.or(found.unwrap_or_default());
            });
        }
        if devices {
            self.each_name(ask.user, User::device_names, |id| {
                let found = self.devices.with(id, |state| {
                    (state.broken.value, state.track.held(now, &config))
                });
                let (broken, device) = found.unwrap_or_default();
                held = held.or(device);
                if broken {
                    standing.knock_outs = standing.knock_outs.with(KnockOuts::DEVICE_NOT_COMPLIANT);
                }
            });
        }
        if standing.place.is_none()
            && let Some(country) = ask.country
        {
            let nowhere = crate::trust::subjects::places::Places::default();
            standing.place = Some(nowhere.place(country, ask.ip, now, &config));
        }
        if standing.overridden_until.is_none() {
            standing.behavior.finding = held.risk;
            standing.demanded_level = held.level;
            if held.blocked {
                standing.knock_outs = standing.knock_outs.with(KnockOuts::BLOCKED);
            }
        }
        standing
    }
}

/// Names that are taken out together, so that nothing is looked up while their user is locked.
const TOGETHER: usize = 16;

type Names = SmallVec<[Arc<str>; TOGETHER]>;

impl Core {
    /// Goes through names that a user has.
    fn each_name(
        &self,
        user: &EntityRef,
        names: impl Fn(&User, usize) -> Names,
        mut work: impl FnMut(&str),
    ) {
        let mut from = 0;
        loop {
            let some = self.users.with(user, |state| names(state, from));
            let some = some.unwrap_or_default();
            some.iter().for_each(|name| work(name));
            if some.len() < TOGETHER {
                return;
            }
            from += TOGETHER;
        }
    }
}

fn instant(at: Millis) -> Option<Timestamp> {
    (at != NEVER).then(|| Timestamp::from_millis(at))
}

impl User {
    /// Some of its sessions, ended and revoked ones too: a token that names none may be of any.
    fn session_names(&self, from: usize) -> Names {
        let sessions = self.sessions.iter().skip(from).take(TOGETHER);
        sessions.map(|session| Arc::clone(&session.id)).collect()
    }

    /// Some of its devices.
    fn device_names(&self, from: usize) -> Names {
        self.devices
            .iter()
            .skip(from)
            .take(TOGETHER)
            .cloned()
            .collect()
    }

    fn stand(
        &self,
        ask: &SubjectQuery<'_>,
        now: Millis,
        config: &SignalsConfig,
        held: &mut Assessed,
        standing: &mut SubjectState,
    ) {
        let own = self.held(now, config);
        let here = ask.ip.and_then(|ip| self.pair(ip.to_canonical()));
        *held = held.or(own);
        if let Some(pair) = here {
            *held = held.or(pair.track.held(now, config));
        }
        standing.known = self.known;
        if self.known {
            let recent = now.saturating_sub(self.suspicious()) <= config.suspicious_for.millis();
            standing.suspicious = Some(recent && self.suspicious() != NEVER);
        }
        standing.account_created = self.created.map(Timestamp::from_millis);
        standing.enrolled = self.enrolled();
        standing.place = ask
            .country
            .map(|country| self.places.place(country, ask.ip, now, config));
        standing.last_sighting = self.sighting();
        (standing.behavior.history, standing.behavior.hour_share) =
            self.profile.measured(now, config);
        standing.behavior.last_adverse = instant(self.adverse());
        if config.rates.enabled {
            let rate = self.rates.iter().find(|rate| &*rate.caller == ask.caller);
            let rates = rate.map_or(Rates::default(), |rate| rate.measured(now));
            standing.behavior.denies = rates.denies;
            standing.behavior.usual_denies = rates.usual_denies;
            standing.behavior.requests = rates.requests;
            standing.behavior.usual_requests = rates.usual_requests;
        }
        standing.last_band = self.band;
        standing.revoked_before = instant(self.revoked_before);
        standing.last_session_revoked = instant(self.last_revoked(now, config));
        standing.overridden_until = self
            .overridden(now)
            .map(|over| Timestamp::from_millis(over.until));
        if standing.overridden_until.is_none() {
            standing.risk = own.risk;
            standing.risk_level = self.level();
        }
        if self.disabled.value {
            standing.knock_outs = standing.knock_outs.with(KnockOuts::ACCOUNT_DISABLED);
        }
        self.stand_session(ask, now, config, standing);
    }

    fn stand_session(
        &self,
        ask: &SubjectQuery<'_>,
        now: Millis,
        config: &SignalsConfig,
        standing: &mut SubjectState,
    ) {
        let session = ask.session.and_then(|id| self.sessions.find(id));
        let until = self.revoked_until(now, config);
        let revoked = match session {
            Some(session) => session.authenticated() <= until,
            // A name that nobody said anything of is as good as none.
            None => self.revoked(now, config),
        };
        let by_itself = standing.knock_outs.contains(KnockOuts::SESSION_REVOKED);
        if revoked && !by_itself {
            standing.knock_outs = standing.knock_outs.with(KnockOuts::SESSION_REVOKED);
            standing.revoked_by_instant = true;
        }
        if let Some(session) = session
            && !standing.knock_outs.contains(KnockOuts::SESSION_REVOKED)
        {
            session.evidence(
                now,
                self.revoked_before,
                &config.sessions,
                &mut standing.evidence,
            );
        }
    }
}
