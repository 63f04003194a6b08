//! Events that say how a state is: that of the latest instant holds, in whatever order they come.

use super::Update;
use super::events::refused;
use crate::base::entity_ref::EntityRef;
use crate::base::timestamp::Timestamp;
use crate::trust::subjects::event::Event;
use crate::trust::subjects::finding::Growth;
use crate::trust::subjects::kind::{CredentialChange, EventKind};
use crate::trust::subjects::record::{DeviceState, SessionState, User};
use crate::trust::subjects::sessions::Proof;
use crate::trust::subjects::store::{ChangeError, SubjectKind};
use crate::trust::subjects::track::NewFindings;
use crate::trust::subjects::window::{Millis, NEVER, StoredEvent};

impl Update<'_> {
    /// An instant, or now where it is ahead: what a fast clock says may not beat what is said later.
    pub(super) fn no_later(&self, at: Timestamp) -> Millis {
        at.as_millis().min(self.now).max(NEVER + 1)
    }

    /// An event that says how a state is. That of the latest instant holds.
    pub(super) fn state(
        &mut self,
        event: Event,
        user: Option<EntityRef>,
    ) -> Result<(), ChangeError> {
        let at = self.no_later(event.at);
        let kept = StoredEvent {
            at,
            kind: event.kind.event_type(),
            severity: event.severity,
            counts: false,
            label: Some(self.label(&event)),
        };
        let session = event.subject.session.as_deref();
        match (&event.kind, session, user) {
            (EventKind::SessionRevoked, Some(session), user) => {
                self.revoke(session, user.as_ref(), kept)
            }
            (EventKind::DeviceComplianceChange { compliant }, ..) => {
                let device = event.subject.device.as_deref().unwrap_or_default();
                let most = self.config.bounds.window_events;
                let gone = self.record::<DeviceState, _>(device, |state| {
                    state.broken.set(at, !compliant);
                    state.states.insert(kept, most)
                })?;
                self.core.forget_events(gone);
                Ok(())
            }
            (kind, session, Some(user)) => self.state_of_user(kind, session, &user, kept),
            // INVARIANT: `user_of` has refused it.
            (_, _, None) => Err(refused("no_subject", "the event names no user")),
        }
    }

    fn state_of_user(
        &mut self,
        kind: &EventKind,
        session: Option<&str>,
        user: &EntityRef,
        kept: StoredEvent,
    ) -> Result<(), ChangeError> {
        let (now, config, at) = (self.now, self.config, kept.at);
        match (kind, session) {
            (EventKind::SessionEstablished, Some(session)) => {
                self.begin(session, user, at, None, None)?;
            }
            (EventKind::AssuranceLevelChange { level }, Some(session)) => {
                let proof = Some(Proof::level(*level, at));
                self.begin(session, user, at, proof, Some(*level))?;
            }
            _ => {}
        }
        let mut news = NewFindings::new();
        let gone = self.user(user, |state| {
            state.known = true;
            state.touched = state.touched.max(now);
            match kind {
                EventKind::SessionRevoked => state.revoked_before = state.revoked_before.max(at),
                EventKind::SessionEstablished if session.is_none() => {
                    state.last_session = state.last_session.max(at);
                }
                EventKind::CredentialChange { method, change } => {
                    let gone =
                        matches!(change, CredentialChange::Revoke | CredentialChange::Delete);
                    if let Some(method) = method {
                        state.enrol(*method, at, gone);
                    }
                    // Whoever has stolen an account can add a credential of his own to it.
                    if *change != CredentialChange::Create {
                        state.replace(at);
                    }
                }
                EventKind::RiskLevelChange { level } => state.set_level(at, *level),
                EventKind::AccountDisabled => {
                    state.disabled.set(at, true);
                }
                EventKind::AccountEnabled => {
                    state.disabled.set(at, false);
                }
                EventKind::CredentialCompromise => {
                    let found = state.compromise(at, config);
                    news.extend(found.map(|finding| (Growth::Finding, finding)));
                }
                _ => {}
            }
            state.states.insert(kept, config.bounds.window_events)
        })?;
        self.core.forget_events(gone);
        self.tell(news, &SubjectKind::User(user.clone()).into());
        Ok(())
    }

    /// Revokes a session for good.
    fn revoke(
        &mut self,
        session: &str,
        user: Option<&EntityRef>,
        kept: StoredEvent,
    ) -> Result<(), ChangeError> {
        let (now, at, config) = (self.now, kept.at, self.config);
        let (owner, gone) = self.record::<SessionState, _>(session, |state| {
            state.revoked = state.revoked.max(at);
            state.touched = state.touched.max(now);
            if state.user.is_none() {
                state.user = user.cloned();
            }
            let most = config.bounds.window_events;
            (state.user.clone(), state.states.insert(kept, most))
        })?;
        self.core.forget_events(gone);
        if let Some(owner) = &owner {
            let noted = self.user(owner, |state| {
                state.known = true;
                state.touched = state.touched.max(now);
                state.session_revoked = state.session_revoked.max(at);
                state.sessions.revoke(session);
            });
            // The session itself is revoked, whether or not there is room for its user.
            if let Err(error) = noted {
                tracing::warn!(%error, "a session is revoked, and its user not noted");
            }
        }
        if let Some(user) = user.filter(|user| Some(*user) != owner.as_ref()) {
            self.known_user(user, |state| state.sessions.revoke(session));
        }
        Ok(())
    }

    /// Makes a session a user's, and nobody else's evidence holds in it any more. When it was revoked. A
    /// session in which somebody else is logged in is not taken over.
    fn own(&mut self, session: &str, user: &EntityRef) -> Result<Millis, ChangeError> {
        let (now, config) = (self.now, self.config);
        let of = |state: &mut SessionState| state.user.clone();
        let before = self.core.sessions.with(session, of).flatten();
        let before = before.filter(|before| before != user);
        let live = before.as_ref().is_some_and(|before| {
            let live = |state: &mut User| {
                let found = state.sessions.find(session);
                found.is_some_and(|found| found.alive(now, &config.sessions))
            };
            self.core.users.with(before, live).unwrap_or(false)
        });
        let of_another = || {
            let message = "the session is another user's, who is logged in; revoke it first, or name \
                           another session";
            refused("session_of_another", message)
        };
        if live {
            return Err(of_another());
        }
        let revoked = self.record::<SessionState, _>(session, |state| {
            // Somebody may have begun it since.
            let owner = state.user.as_ref();
            if owner.is_some_and(|owner| owner != user && Some(owner) != before.as_ref()) {
                return None;
            }
            state.touched = state.touched.max(now);
            state.user = Some(user.clone());
            Some(state.revoked)
        })?;
        let revoked = revoked.ok_or_else(of_another)?;
        if let Some(before) = before {
            self.known_user(&before, |state| state.sessions.remove(session));
        }
        Ok(revoked)
    }

    /// A user's session begins, or sees an authentication at `at`. `level` is what no more than holds of it
    /// from then on.
    pub(super) fn begin(
        &mut self,
        session: &str,
        user: &EntityRef,
        at: Millis,
        proof: Option<Proof>,
        level: Option<u8>,
    ) -> Result<(), ChangeError> {
        let (now, config) = (self.now, self.config);
        let revoked = self.own(session, user)?;
        let gone = self.user(user, |state| {
            state.known = true;
            state.touched = state.touched.max(now);
            let gone = state.sessions.begin(session, at, proof, config);
            if let Some(level) = level {
                state.sessions.limit(session, level, at);
            }
            if revoked != NEVER {
                state.session_revoked = state.session_revoked.max(revoked);
                state.sessions.revoke(session);
            }
            gone
        })?;
        // What is left of it is only whose it was.
        let Some(gone) = gone else {
            return Ok(());
        };
        let may = |state: &SessionState| state.revoked == NEVER && !state.track.live(now, config);
        if let Some(mut state) = self.core.sessions.remove_if(&*gone, may) {
            self.core.forget_record(&mut *state);
        }
        self.touched.insert(SubjectKind::Session(gone.to_string()));
        Ok(())
    }
}
