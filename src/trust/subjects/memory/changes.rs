//! What is ordered: devices, authentications, accounts, and the ways back.

use super::Update;
use super::events::{name, refused, user_name};
use super::subject::{Subject, with_record};
use crate::base::entity_ref::EntityRef;
use crate::base::timestamp::Timestamp;
use crate::trust::model::{Evidence, Score};
use crate::trust::subjects::event::EventSubject;
use crate::trust::subjects::kind::Severity;
use crate::trust::subjects::record::{
    DeviceState, IpState, Overriding, Record, SessionState, User,
};
use crate::trust::subjects::sessions::Proof;
use crate::trust::subjects::store::{
    AssuranceRecord, Change, ChangeError, DeviceRecord, Notification, NotificationKind, SubjectKind,
};
use crate::trust::subjects::window::NEVER;

/// Longest reason that is kept.
const LONGEST_REASON: usize = 1_024;

fn why(reason: &str, by: &str) -> Result<(), ChangeError> {
    name("`by`", by)?;
    match reason.trim().len() {
        0 => Err(refused("no_reason", "a reason is needed, for the record")),
        size if size > LONGEST_REASON => Err(refused(
            "too_long",
            format!("the reason has {size} bytes; {LONGEST_REASON} are allowed"),
        )),
        _ => Ok(()),
    }
}

/// Whether a device that is to be registered is somebody else's.
fn of_another(state: &DeviceState, record: &DeviceRecord) -> bool {
    match (&state.user, &record.user) {
        (Some(owner), Some(user)) => owner != user,
        _ => false,
    }
}

fn device_of_another() -> ChangeError {
    let message = "the device is registered to another user; delete it first";
    refused("device_of_another", message)
}

impl Update<'_> {
    /// Makes a change.
    pub(super) fn make(&mut self, change: Change) -> Result<(), ChangeError> {
        match change {
            Change::Device(record) => self.register(&record),
            Change::RemoveDevice(id) => {
                self.remove_device(&id);
                Ok(())
            }
            Change::Assurance(record) => self.assure(&record),
            Change::Account {
                user,
                created,
                enrolled,
            } => {
                user_name(&user)?;
                let now = self.now;
                self.user(&user, |state| {
                    state.known = true;
                    state.touched = state.touched.max(now);
                    state.created = created.map(Timestamp::as_millis).or(state.created);
                    if let Some(enrolled) = enrolled {
                        state.enrol_all(enrolled, now);
                    }
                })
            }
            Change::Remediate {
                subject,
                reason,
                by,
            } => self.remediate(&subject.canonical(), &reason, &by),
            Change::Override {
                user,
                until,
                reason,
                by,
            } => self.set_aside(&user, until, &reason, &by),
            Change::Erase { subject, by } => {
                name("`by`", &by)?;
                let subject = subject.canonical();
                self.erase(&subject);
                self.tell_change("erase", &subject, format!("erased by {by}"));
                Ok(())
            }
        }
    }

    fn register(&mut self, record: &DeviceRecord) -> Result<(), ChangeError> {
        name("the device's id", &record.id)?;
        let (now, most) = (self.now, usize::from(self.config.bounds.devices));
        if let Some(user) = &record.user {
            user_name(user)?;
            let of = |state: &mut DeviceState| of_another(state, record);
            if self.core.devices.with(record.id.as_str(), of) == Some(true) {
                return Err(device_of_another());
            }
            let id = record.id.as_str();
            let registered = self.user(user, |state| {
                state.known = true;
                state.touched = state.touched.max(now);
                let there = state.devices.iter().any(|device| **device == *id);
                if !there && state.devices.len() < most {
                    state.devices.push(id.into());
                    return true;
                }
                there
            })?;
            if !registered {
                let message = format!(
                    "the user has {most} devices, which is as many as may be registered; take one out"
                );
                return Err(refused("too_many_devices", message));
            }
        }
        let made = self.record::<DeviceState, _>(record.id.as_str(), |state| {
            // Somebody may have registered it since.
            if of_another(state, record) {
                return Err(device_of_another());
            }
            state.report(record, now);
            Ok(())
        });
        let made = made.flatten();
        if made.is_err() {
            record
                .user
                .iter()
                .for_each(|user| self.disown(user, &record.id));
        }
        made
    }

    /// A device is the user's no more.
    fn disown(&mut self, user: &EntityRef, device: &str) {
        self.known_user(user, |state| {
            state.devices.retain(|other| **other != *device);
        });
    }

    /// Takes a device out. What was said of its compliance stays, or a device that does not comply would
    /// by registering it once more.
    fn remove_device(&mut self, id: &str) {
        let removed = self.core.devices.with(id, |state| {
            let events = state.clear();
            events.map(|events| (state.user.take(), events))
        });
        match removed.flatten() {
            Some((owner, events)) => {
                self.touched.insert(SubjectKind::Device(id.to_owned()));
                self.core.forget_events(events);
                if let Some(user) = &owner {
                    self.disown(user, id);
                }
            }
            None => self.erase(&SubjectKind::Device(id.to_owned())),
        }
    }

    fn assure(&mut self, record: &AssuranceRecord) -> Result<(), ChangeError> {
        name("the session", &record.session)?;
        user_name(&record.user)?;
        let at = record.evidence.at.as_millis();
        if at.saturating_sub(self.now) > self.config.clock_skew.millis() {
            let message = format!(
                "the authentication is in the future by more than {} (`clock_skew`)",
                self.config.clock_skew
            );
            return Err(refused("future", message));
        }
        if record.evidence.level.is_some_and(|level| level > 4) {
            return Err(refused("no_such_level", "the level must be 0 to 4"));
        }
        let revoked = |state: &mut SessionState| state.revoked != NEVER;
        if self.core.sessions.with(record.session.as_str(), revoked) == Some(true) {
            let message = "the session is revoked for good; record the authentication of a new one";
            return Err(refused("session_revoked", message));
        }
        let at = self.no_later(record.evidence.at);
        let proof = Some(Proof::new(&Evidence {
            at: Timestamp::from_millis(at),
            ..record.evidence
        }));
        self.begin(&record.session, &record.user, at, proof, None)
    }

    fn remediate(
        &mut self,
        subject: &SubjectKind,
        reason: &str,
        by: &str,
    ) -> Result<(), ChangeError> {
        why(reason, by)?;
        let now = self.now;
        let found = with_record!(self.core, subject, |state| state.remediate(now));
        if found.is_none() {
            return Err(refused(
                "unknown_subject",
                "nothing is known of the subject",
            ));
        }
        self.touched.insert(subject.clone());
        self.tell_change(
            "remediate",
            subject,
            format!("remediated by {by}: {reason}"),
        );
        Ok(())
    }

    fn set_aside(
        &mut self,
        user: &EntityRef,
        until: Option<Timestamp>,
        reason: &str,
        by: &str,
    ) -> Result<(), ChangeError> {
        user_name(user)?;
        why(reason, by)?;
        let (now, longest) = (self.now, self.config.max_override);
        if let Some(until) = until {
            let lasts = until.as_millis().saturating_sub(now);
            if lasts > longest.millis() {
                let message = format!("an override may last {longest} (`max_override`)");
                return Err(refused("override_too_long", message));
            }
            if lasts <= 0 {
                return Err(refused("past", "the override would be over already"));
            }
        }
        self.user(user, |state| {
            state.touched = state.touched.max(now);
            state.overriding = until.map(|until| Overriding {
                until: until.as_millis(),
                reason: reason.into(),
                by: by.into(),
                at: now,
            });
        })?;
        let detail = match until {
            Some(until) => format!("overridden until {until} by {by}: {reason}"),
            None => format!("override ended by {by}: {reason}"),
        };
        self.tell_change("override", &SubjectKind::User(user.clone()), detail);
        Ok(())
    }

    /// Takes a subject out; with a user its sessions and devices.
    fn erase(&mut self, subject: &SubjectKind) {
        self.touched.insert(subject.clone());
        match subject {
            SubjectKind::User(user) => {
                self.take_out::<User>(user);
                for owned in self.core.owned_by(user) {
                    self.erase(&owned);
                }
            }
            SubjectKind::Session(id) => {
                let state = self.take_out::<SessionState>(&id.as_str().into());
                if let Some(user) = state.and_then(|state| state.user) {
                    self.known_user(&user, |state| state.sessions.remove(id));
                }
            }
            SubjectKind::Device(id) => {
                let state = self.take_out::<DeviceState>(&id.as_str().into());
                if let Some(user) = state.and_then(|state| state.user) {
                    self.disown(&user, id);
                }
            }
            SubjectKind::Ip(ip) => {
                self.take_out::<IpState>(ip);
            }
        }
    }

    fn take_out<S: Subject>(&mut self, key: &S::Key) -> Option<Box<S>> {
        let mut state = S::records(self.core).remove(key)?;
        self.core.forget_record(&mut *state);
        Some(state)
    }

    fn tell_change(&mut self, done: &str, subject: &SubjectKind, detail: String) {
        let about = EventSubject::from(subject.clone());
        self.notices.push(Notification {
            kind: NotificationKind::SubjectChanged,
            name: done.to_owned(),
            id: super::change_id(done, &about, self.now),
            at: Timestamp::from_millis(self.now),
            severity: Severity::Low,
            risk: Score::ZERO,
            subject: about,
            detail,
        });
    }
}
