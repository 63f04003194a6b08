//! Security events: what counts for whom.

use super::Update;
use super::entries::{all_sessions, subjects, windows};
use super::events::refused;
use crate::base::entity_ref::EntityRef;
use crate::trust::subjects::event::{Event, EventSubject};
use crate::trust::subjects::record::{DeviceState, IpState, SessionState};
use crate::trust::subjects::store::{ChangeError, SubjectKind};
use crate::trust::subjects::track::{NewFindings, SubjectClass, Track};
use crate::trust::subjects::window::{Millis, StoredEvent};

impl Update<'_> {
    /// A security event counts for the user at whose hands it happened, for the user at that address, the
    /// address, the session and the device. Rules that count events count it once, for the narrowest.
    ///
    /// What anybody can cause, naming whom and what he likes, says nothing of a session or a device that is
    /// not the user's.
    pub(super) fn security(
        &mut self,
        event: Event,
        user: Option<EntityRef>,
    ) -> Result<(), ChangeError> {
        let kind = event.kind.event_type();
        let subject = &event.subject;
        // Where the event is told apart from others: at the first that takes it.
        let kept = |work: &Self, counts: bool, first: bool| StoredEvent {
            at: event.at.as_millis(),
            kind,
            severity: event.severity,
            counts,
            label: first.then(|| work.label(&event)),
        };
        let (mut taken, mut counted, mut no_room) = (false, false, None);
        let (mut session, mut device) = (subject.session.as_deref(), subject.device.as_deref());
        if let Some(user) = &user {
            let own_session = session.filter(|id| self.owns_session(user, id));
            let own = kind.attributable() && (!kind.needs_session() || own_session.is_some());
            if !own {
                session = own_session;
                device = device.filter(|id| self.owns_device(user, id));
            }
            let counts = own || subject.ip.is_some();
            match self.of_user(user, subject, kept(self, counts, true), own) {
                Ok(()) => (taken, counted) = (true, counts),
                // There is no room for the user: it counts for the address, the session and the device.
                Err(error @ (ChangeError::Full(_) | ChangeError::Share(_))) => {
                    no_room = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        let may = |work: &mut Self| match &user {
            Some(user) if no_room.is_none() => work.may_add(user),
            _ => true,
        };
        if let Some(ip) = subject.ip {
            let took = self.of_ip(ip, kept(self, !counted, !taken), may);
            (taken, counted) = (taken || took, counted || took);
        }
        if let Some(session) = session {
            let took = self.of_session(session, kept(self, !counted, !taken), may);
            (taken, counted) = (taken || took, counted || took);
        }
        if let Some(device) = device {
            taken |= self.of_device(device, kept(self, !counted, !taken), may);
        }
        match (taken, no_room) {
            (true, None) => Ok(()),
            (true, Some(error)) => {
                tracing::warn!(%error, "a security event counts for its address, and not for its user");
                Ok(())
            }
            (false, Some(error)) => Err(error),
            (false, None) => {
                let most = self.config.bounds.max_windows;
                let message = format!(
                    "{most} addresses, sessions or devices are held already; raise \
                     `trust.signals.bounds.max_windows`"
                );
                Err(refused("too_many_windows", message))
            }
        }
    }

    /// Whether a session is known to be a user's.
    fn owns_session(&self, user: &EntityRef, session: &str) -> bool {
        let owns = |state: &mut SessionState| state.user.as_ref() == Some(user);
        self.core.sessions.with(session, owns).unwrap_or(false)
    }

    /// Whether a device is registered to a user.
    fn owns_device(&self, user: &EntityRef, device: &str) -> bool {
        let owns = |state: &mut DeviceState| state.user.as_ref() == Some(user);
        self.core.devices.with(device, owns).unwrap_or(false)
    }

    /// What an event does to the user it names.
    fn of_user(
        &mut self,
        user: &EntityRef,
        subject: &EventSubject,
        mut first: StoredEvent,
        own: bool,
    ) -> Result<(), ChangeError> {
        let (now, config) = (self.now, self.config);
        let (mut news, mut at_ip) = (NewFindings::new(), NewFindings::new());
        let mut gone = Vec::new();
        self.user_of_event(user, |state| {
            state.touched = state.touched.max(now);
            state.known |= own;
            let mut second = first.clone();
            second.label = None;
            second.counts = !own;
            if own {
                gone.extend(state.insert(first, config, &mut news));
            } else if subject.ip.is_some() {
                second.label = first.label.take();
            } else {
                gone.extend(state.states.insert(first, config.bounds.window_events));
            }
            let Some(ip) = subject.ip else {
                return;
            };
            let (pair, pushed_out) = state.pair_mut(ip, now, config);
            if let Some(pair) = pair {
                let (most, track) = (config.bounds.window_events, &mut pair.track);
                gone.extend(track.insert(second, most, SubjectClass::Address, config, &mut at_ip));
            }
            gone.extend(
                pushed_out
                    .into_iter()
                    .flat_map(|mut pair| pair.track.window.forget(Millis::MAX).collect::<Vec<_>>()),
            );
        })?;
        self.core.forget_events(gone);
        let mut about = EventSubject {
            user: Some(user.clone()),
            ..EventSubject::default()
        };
        self.tell(news, &about);
        about.ip = subject.ip;
        self.tell(at_ip, &about);
        Ok(())
    }

    /// Whether a user's events may add another address or session to what is kept.
    fn may_add(&mut self, user: &EntityRef) -> bool {
        let (now, config) = (self.now, self.config);
        let may = self
            .core
            .users
            .with(user, |state| state.may_add(now, config));
        may.unwrap_or(false)
    }

    fn of_ip(
        &mut self,
        ip: std::net::IpAddr,
        kept: StoredEvent,
        may: impl FnOnce(&mut Self) -> bool,
    ) -> bool {
        let (now, config) = (self.now, self.config);
        let mut news = NewFindings::new();
        let mut kept = Some(kept);
        let mut insert = |track: &mut Track| {
            let most = config.bounds.window_events;
            let kept = kept.take()?;
            track.insert(kept, most, SubjectClass::Address, config, &mut news)
        };
        let there = self.core.ips.with(&ip, |state| insert(&mut state.track));
        let mut gone = Vec::new();
        let inserted = match there {
            Some(out) => Some(out),
            None if may(self) => {
                let spare = |state: &IpState| state.spare(now, config);
                let work = |state: &mut IpState| insert(&mut state.track);
                let room = self.room(windows(config));
                self.core
                    .ips
                    .with_or_make(&ip, room, spare, &mut gone, work)
            }
            None => None,
        };
        for (ip, mut state) in gone {
            self.core
                .forget_events(state.track.window.forget(Millis::MAX));
            self.touched.insert(SubjectKind::Ip(ip));
        }
        let Some(out) = inserted else {
            return false;
        };
        self.core.forget_events(out);
        self.touched.insert(SubjectKind::Ip(ip));
        let about = EventSubject {
            ip: Some(ip),
            ..EventSubject::default()
        };
        self.tell(news, &about);
        true
    }

    fn of_session(
        &mut self,
        session: &str,
        kept: StoredEvent,
        may: impl FnOnce(&mut Self) -> bool,
    ) -> bool {
        let (now, config) = (self.now, self.config);
        let there = self.core.sessions.with(session, |_| ()).is_some();
        if !there && !may(self) {
            return false;
        }
        let mut news = NewFindings::new();
        let made = self.session(session, all_sessions(config), |state| {
            state.touched = state.touched.max(now);
            let most = config.bounds.window_events;
            state
                .track
                .insert(kept, most, SubjectClass::Thing, config, &mut news)
        });
        let Ok(out) = made else {
            return false;
        };
        self.core.forget_events(out);
        let about = EventSubject {
            session: Some(session.to_owned()),
            ..EventSubject::default()
        };
        self.tell(news, &about);
        true
    }

    fn of_device(
        &mut self,
        device: &str,
        kept: StoredEvent,
        may: impl FnOnce(&mut Self) -> bool,
    ) -> bool {
        let config = self.config;
        let there = self.core.devices.with(device, |_| ()).is_some();
        if !there && !may(self) {
            return false;
        }
        let mut news = NewFindings::new();
        let made = self.device(device, subjects(config), |state| {
            let most = config.bounds.window_events;
            state
                .track
                .insert(kept, most, SubjectClass::Thing, config, &mut news)
        });
        let Ok(out) = made else {
            return false;
        };
        self.core.forget_events(out);
        let about = EventSubject {
            device: Some(device.to_owned()),
            ..EventSubject::default()
        };
        self.tell(news, &about);
        true
    }
}
