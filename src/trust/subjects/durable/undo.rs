//! What subjects were before a call, so that a call that cannot be made durable leaves nothing behind.
//!
//! What enters: the events or the change of a call, before it is made. What leaves: the records of everybody it
//! may concern, to be put back. What must hold: it needs neither the disk nor room on it. Subjects that only made
//! room for others are not among them: nothing was held against those.

use std::collections::HashMap;

use crate::trust::subjects::event::Event;
use crate::trust::subjects::memory::Core;
use crate::trust::subjects::memory::subject::{Subject, with_record};
use crate::trust::subjects::record::{DeviceState, IpState, Record, SessionState, User};
use crate::trust::subjects::store::{Change, SubjectKind};
use crate::trust::subjects::window::StoredEvent;

/// Puts a record back.
type Restore = Box<dyn FnOnce(&Core)>;

/// What subjects were before a call.
#[derive(Default)]
pub(super) struct Undo(HashMap<SubjectKind, Restore>);

impl Undo {
    /// Of everybody whom events may concern.
    pub(super) fn of_events(core: &Core, events: &[Event]) -> Self {
        let mut undo = Self::default();
        for subject in events.iter().flat_map(|event| event.subject.kinds()) {
            undo.keep_owned(core, subject.canonical());
        }
        undo
    }

    /// Of everybody whom a change may concern.
    pub(super) fn of_change(core: &Core, change: &Change) -> Self {
        let mut undo = Self::default();
        match change {
            Change::Device(record) => {
                undo.keep_owned(core, SubjectKind::Device(record.id.clone()));
                if let Some(user) = &record.user {
                    undo.keep(core, SubjectKind::User(user.clone()));
                }
            }
            Change::RemoveDevice(id) => undo.keep_owned(core, SubjectKind::Device(id.clone())),
            Change::Assurance(record) => {
                undo.keep_owned(core, SubjectKind::Session(record.session.clone()));
                undo.keep(core, SubjectKind::User(record.user.clone()));
            }
            Change::Account { user, .. } | Change::Override { user, .. } => {
                undo.keep(core, SubjectKind::User(user.clone()));
            }
            Change::Remediate { subject, .. } => undo.keep(core, subject.clone().canonical()),
            Change::Erase { subject, .. } => {
                if let SubjectKind::User(user) = subject {
                    for owned in core.owned_by(user) {
                        undo.keep(core, owned);
                    }
                }
                undo.keep_owned(core, subject.clone().canonical());
            }
        }
        undo
    }

    /// A subject, and the user whose it is.
    fn keep_owned(&mut self, core: &Core, subject: SubjectKind) {
        let owner = with_record!(core, &subject, |state| state.owner().cloned()).flatten();
        self.keep(core, subject);
        if let Some(owner) = owner {
            self.keep(core, SubjectKind::User(owner));
        }
    }

    fn keep(&mut self, core: &Core, subject: SubjectKind) {
        let entry = self.0.entry(subject);
        entry.or_insert_with_key(|subject| match subject {
            SubjectKind::User(user) => restore::<User>(core, user.clone()),
            SubjectKind::Session(id) => restore::<SessionState>(core, id.as_str().into()),
            SubjectKind::Device(id) => restore::<DeviceState>(core, id.as_str().into()),
            SubjectKind::Ip(ip) => restore::<IpState>(core, *ip),
        });
    }

    /// Makes every record what it was. What decisions showed in between is lost with that.
    pub(super) fn undo(self, core: &Core) {
        self.0.into_values().for_each(|restore| restore(core));
    }
}

/// What makes a record, and the names of its events, what they are now.
fn restore<S: Subject<Key: 'static> + Clone + 'static>(core: &Core, key: S::Key) -> Restore {
    let mut before = S::records(core).copy(&key);
    Box::new(move |core| {
        // Nobody takes events in meanwhile: `DurableSignals` makes one change after the other.
        let events = |state: &mut S| state.events().map(|kept| kept.clone()).collect();
        let gone: Option<Vec<StoredEvent>> = S::records(core).with(&key, events);
        core.forget_events(gone.into_iter().flatten());
        if let Some((_, state)) = &mut before {
            core.name_events(state.events());
        }
        S::records(core).restore(key, before);
    })
}
