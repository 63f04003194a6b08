//! What subjects were before a call, so that a call that cannot be made durable leaves nothing behind.
//!
//! What enters: the events or the change of a call, before it is made. What leaves: the records of everybody it
//! may concern, to be put back. What must hold: it needs neither the disk nor room on it. Subjects that only made
//! room for others are not among them: nothing was held against those.

use std::collections::HashMap;
use std::hash::Hash;

use crate::trust::subjects::event::Event;
use crate::trust::subjects::memory::Core;
use crate::trust::subjects::record::{DeviceState, IpState, SessionState, User};
use crate::trust::subjects::shard::{Copied, PARTS, Sharded};
use crate::trust::subjects::store::{Change, SubjectKind};
use crate::trust::subjects::window::StoredEvent;

/// A record as it was; `None` where there was none.
#[derive(Debug)]
enum Before {
    User(Option<Copied<User>>),
    Session(Option<Copied<SessionState>>),
    Device(Option<Copied<DeviceState>>),
    Ip(Option<Copied<IpState>>),
}

/// What subjects were before a call.
#[derive(Debug, Default)]
pub(super) struct Undo(HashMap<SubjectKind, Before>);

impl Undo {
    /// Of everybody whom events may concern.
    pub(super) fn of_events(core: &Core, events: &[Event]) -> Self {
        let mut undo = Self::default();
        for event in events {
            let subject = &event.subject;
            if let Some(user) = &subject.user {
                undo.keep(core, SubjectKind::User(user.clone()));
            }
            if let Some(ip) = subject.ip {
                undo.keep(core, SubjectKind::Ip(ip.to_canonical()));
            }
            if let Some(session) = &subject.session {
                undo.keep_session(core, session);
            }
            if let Some(device) = &subject.device {
                undo.keep_device(core, device);
            }
        }
        undo
    }

    /// Of everybody whom a change may concern.
    pub(super) fn of_change(core: &Core, change: &Change) -> Self {
        let mut undo = Self::default();
        match change {
            Change::Device(record) => {
                undo.keep_device(core, &record.id);
                if let Some(user) = &record.user {
                    undo.keep(core, SubjectKind::User(user.clone()));
                }
            }
            Change::RemoveDevice(id) => undo.keep_device(core, id),
            Change::Assurance(record) => {
                undo.keep_session(core, &record.session);
                undo.keep(core, SubjectKind::User(record.user.clone()));
            }
            Change::Account { user, .. } | Change::Override { user, .. } => {
                undo.keep(core, SubjectKind::User(user.clone()));
            }
            Change::Remediate { subject, .. } => undo.keep(core, canonical(subject)),
            Change::Erase { subject, .. } => undo.keep_all(core, &canonical(subject)),
        }
        undo
    }

    /// A subject and whatever is erased with it.
    fn keep_all(&mut self, core: &Core, subject: &SubjectKind) {
        match subject {
            SubjectKind::User(user) => {
                let (mut sessions, mut devices) = (Vec::new(), Vec::new());
                for part in 0..PARTS {
                    core.sessions.retain(part, |id, state| {
                        if state.user.as_ref() == Some(user) {
                            sessions.push(id.to_string());
                        }
                        true
                    });
                    core.devices.retain(part, |id, state| {
                        if state.user.as_ref() == Some(user) {
                            devices.push(id.to_string());
                        }
                        true
                    });
                }
                self.keep(core, subject.clone());
                let sessions = sessions.into_iter().map(SubjectKind::Session);
                let devices = devices.into_iter().map(SubjectKind::Device);
                sessions
                    .chain(devices)
                    .for_each(|subject| self.keep(core, subject));
            }
            SubjectKind::Session(id) => self.keep_session(core, id),
            SubjectKind::Device(id) => self.keep_device(core, id),
            SubjectKind::Ip(_) => self.keep(core, subject.clone()),
        }
    }

    /// A session and its user.
    fn keep_session(&mut self, core: &Core, id: &str) {
        let owner = core.sessions.with(id, |state| state.user.clone()).flatten();
        self.keep(core, SubjectKind::Session(id.to_owned()));
        if let Some(owner) = owner {
            self.keep(core, SubjectKind::User(owner));
        }
    }

    /// A device and its user.
    fn keep_device(&mut self, core: &Core, id: &str) {
        let owner = core.devices.with(id, |state| state.user.clone()).flatten();
        self.keep(core, SubjectKind::Device(id.to_owned()));
        if let Some(owner) = owner {
            self.keep(core, SubjectKind::User(owner));
        }
    }

    fn keep(&mut self, core: &Core, subject: SubjectKind) {
        let entry = self.0.entry(subject);
        entry.or_insert_with_key(|subject| match subject {
            SubjectKind::User(user) => Before::User(core.users.copy(user)),
            SubjectKind::Session(id) => Before::Session(core.sessions.copy(id.as_str())),
            SubjectKind::Device(id) => Before::Device(core.devices.copy(id.as_str())),
            SubjectKind::Ip(ip) => Before::Ip(core.ips.copy(ip)),
        });
    }

    /// Makes every record what it was. What decisions showed in between is lost with that.
    pub(super) fn undo(self, core: &Core) {
        for (subject, before) in self.0 {
            match (subject, before) {
                (SubjectKind::User(user), Before::User(before)) => {
                    restore(core, &core.users, user, before, |state| {
                        state.events().map(|kept| kept.clone()).collect()
                    });
                }
                (SubjectKind::Session(id), Before::Session(before)) => {
                    restore(core, &core.sessions, id.into(), before, |state| {
                        state.events().map(|kept| kept.clone()).collect()
                    });
                }
                (SubjectKind::Device(id), Before::Device(before)) => {
                    restore(core, &core.devices, id.into(), before, |state| {
                        state.events().map(|kept| kept.clone()).collect()
                    });
                }
                (SubjectKind::Ip(ip), Before::Ip(before)) => {
                    restore(core, &core.ips, ip, before, |state| {
                        state.track.window.events().to_vec()
                    });
                }
                // INVARIANT: `keep` makes a record of the subject's own kind.
                _ => {}
            }
        }
    }
}

/// Makes a record what it was; the names of its events too.
fn restore<K: Hash + Eq + Clone, V: Default>(
    core: &Core,
    records: &Sharded<K, V>,
    key: K,
    mut before: Option<Copied<V>>,
    events: impl Fn(&mut V) -> Vec<StoredEvent>,
) {
    // Nobody takes events in meanwhile: `DurableSignals` makes one change after the other.
    core.forget_events(
        records
            .with(&key, |state| events(state))
            .unwrap_or_default(),
    );
    if let Some((_, state)) = &mut before {
        core.name_events(events(state).iter_mut());
    }
    records.restore(key, before);
}

/// An address by the name it is kept under.
fn canonical(subject: &SubjectKind) -> SubjectKind {
    match subject {
        SubjectKind::Ip(ip) => SubjectKind::Ip(ip.to_canonical()),
        other => other.clone(),
    }
}
