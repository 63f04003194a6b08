//! Security events: what counts for whom.

use super::Update;
use super::events::refused;
use super::subject::Subject;
use crate::base::entity_ref::EntityRef;
use crate::trust::subjects::event::{Event, EventSubject};
use crate::trust::subjects::record::{DeviceState, IpState, SessionState};
use crate::trust::subjects::store::{ChangeError, SubjectKind};
use crate::trust::subjects::track::{NewFindings, SubjectClass};
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
            let own_session = session.filter(|id| self.owns::<SessionState>(user, id));
            let own = kind.attributable() && (!kind.needs_session() || own_session.is_some());
            if !own {
                session = own_session;
                device = device.filter(|id| self.owns::<DeviceState>(user, id));
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
            let took = self.of_record::<IpState>(ip, kept(self, !counted, !taken), may);
            (taken, counted) = (taken || took, counted || took);
        }
        if let Some(session) = session {
            let took =
                self.of_record::<SessionState>(session.into(), kept(self, !counted, !taken), may);
            (taken, counted) = (taken || took, counted || took);
        }
        if let Some(device) = device {
            taken |=
                self.of_record::<DeviceState>(device.into(), kept(self, !counted, !taken), may);
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

    /// Whether a session or a device is known to be a user's.
    fn owns<S: Subject<Key = Box<str>>>(&self, user: &EntityRef, id: &str) -> bool {
        let owns = |state: &mut S| state.owner() == Some(user);
        S::records(self.core).with(id, owns).unwrap_or(false)
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
        let mut about = EventSubject::from(SubjectKind::User(user.clone()));
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

    /// What an event does to its address, session or device, which `may` be made where it is not there.
    fn of_record<S: Subject>(
        &mut self,
        key: S::Key,
        kept: StoredEvent,
        may: impl FnOnce(&mut Self) -> bool,
    ) -> bool {
        let (now, config) = (self.now, self.config);
        let there = S::records(self.core).with(&key, |_| ()).is_some();
        if !there && !may(self) {
            return false;
        }
        let about = EventSubject::from(S::subject(&key));
        let mut news = NewFindings::new();
        let made = self.record::<S, _>(key, |state| {
            state.touch(now);
            let most = config.bounds.window_events;
            let track = state.track();
            track.insert(kept, most, S::CLASS, config, &mut news)
        });
        let Ok(out) = made else {
            return false;
        };
        self.core.forget_events(out);
        self.tell(news, &about);
        true
    }
}
