//! The state of subjects in memory and in the state directory.
//!
//! What enters: what [`MemorySignals`](super::MemorySignals) takes. What leaves: the same after a restart.
//! What must hold:
//! - an event or a change is answered, and told of, once the records it touched are on disk;
//! - what is refused because it cannot be written is undone: the records it touched are what they were. So one
//!   call at a time changes records and writes them;
//! - what decisions show is written every few seconds and at the end; `kill -9` loses the last of it.

#[cfg(test)]
mod tests;
mod undo;

use std::collections::HashSet;
use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::config::SignalsConfig;
use super::dedup::key;
use super::event::Event;
use super::memory::subject::with_record;
use super::memory::{Core, NotificationSink};
use super::record::{Record, User};
use super::shard::PARTS;
use super::store::{
    Change, ChangeError, EventAnswer, Observation, SignalStore, SubjectKind, SubjectQuery,
    SubjectState, Usage,
};
use super::window::StoredEvent;
use crate::base::lock::lock;
use undo::Undo;

use crate::base::entity_ref::EntityRef;
use crate::base::timestamp::Timestamp;
use crate::storage::{StateDirError, Store};

/// How often what decisions show is written.
const EVERY: Duration = Duration::from_secs(3);
/// Records that one transaction writes of those nobody waits for.
const TOGETHER: usize = 256;

/// The state of subjects, durable.
pub(crate) struct DurableSignals {
    core: Arc<Core>,
    store: Store,
    /// Held from a change in memory until it is on disk or undone.
    writing: Arc<Mutex<()>>,
    /// Dropped to end the thread that writes what nobody waits for.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for DurableSignals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.fmt(f)
    }
}

impl DurableSignals {
    /// Reads what is stored. `notices` is told of findings, incidents and changes.
    pub(crate) fn open(
        config: SignalsConfig,
        notices: Option<NotificationSink>,
        store: Store,
    ) -> Result<Self, StateDirError> {
        let core = Arc::new(Core::new(config, notices, true));
        let into = Arc::clone(&core);
        store.each_signal(move |kind, name, record| into.load(kind, name, record))?;
        let (stop, stopped) = channel::<()>();
        let writing: Arc<Mutex<()>> = Arc::default();
        let (flushed, to, turn) = (Arc::clone(&core), store.clone(), Arc::clone(&writing));
        let flush = move || {
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                flushed.sweep_some(Timestamp::now());
                flush(&flushed, &to, &turn);
            }
            flush(&flushed, &to, &turn);
        };
        let thread = std::thread::Builder::new()
            .name("deodar-signals".to_owned())
            .spawn(flush)
            .map_err(|error| store.no_thread(&error))?;
        Ok(Self {
            core,
            store,
            writing,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Waits until the records of subjects are on disk; where they cannot be written, what was changed is undone.
    fn write(&self, touched: HashSet<SubjectKind>, undo: Undo) -> Result<(), ChangeError> {
        if touched.is_empty() {
            return Ok(());
        }
        let subjects: Arc<[SubjectKind]> = touched.into_iter().collect();
        write(&self.core, &self.store, &subjects).map_err(|error| {
            undo.undo(&self.core);
            // Whoever made room for others is gone, and of the rest nobody knows what is on disk.
            self.core.mark(subjects.iter().cloned());
            ChangeError::State(error.to_string())
        })
    }

    fn make(
        &self,
        reporter: Option<&str>,
        change: Change,
        now: Timestamp,
    ) -> Result<(), ChangeError> {
        let turn = self.turn();
        let undo = Undo::of_change(&self.core, &change);
        let done = self.core.change(reporter, change, now)?;
        self.write(done.touched, undo)?;
        drop(turn);
        self.core.tell(done.notices);
        Ok(())
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        lock(&self.writing)
    }
}

impl Drop for DurableSignals {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write(
    core: &Arc<Core>,
    store: &Store,
    subjects: &Arc<[SubjectKind]>,
) -> Result<(), StateDirError> {
    let (core, subjects) = (Arc::clone(core), Arc::clone(subjects));
    store.write_signals(move |write| {
        for subject in subjects.iter() {
            let (kind, name) = named(subject);
            write(kind, &name, core.record(subject).as_deref())?;
        }
        Ok(())
    })
}

/// Writes what is marked. Of what is to be written each part takes its turn with the calls that wait.
fn flush(core: &Arc<Core>, store: &Store, turn: &Mutex<()>) {
    let subjects = core.take_unsaved();
    for subjects in subjects.chunks(TOGETHER) {
        let subjects: Arc<[SubjectKind]> = subjects.into();
        let _turn = lock(turn);
        if let Err(error) = write(core, store, &subjects) {
            tracing::warn!(%error, "what decisions show of subjects is not written; it is tried again");
            core.mark(subjects.iter().cloned());
        }
    }
}

/// The name of a record.
fn named(subject: &SubjectKind) -> (&'static str, String) {
    match subject {
        // A type name holds no NUL.
        SubjectKind::User(user) => ("user", format!("{}\0{}", user.type_name(), user.id())),
        SubjectKind::Session(id) => ("session", id.clone()),
        SubjectKind::Device(id) => ("device", id.clone()),
        SubjectKind::Ip(ip) => ("ip", ip.to_string()),
    }
}

impl Core {
    /// The present record of a subject; `None` when there is none any more.
    fn record(&self, subject: &SubjectKind) -> Option<Vec<u8>> {
        let record = with_record!(self, subject, |state| serde_json::to_vec(state));
        // INVARIANT: records have no map with keys that JSON lacks, so they are always written.
        record.and_then(Result::ok)
    }

    /// What is to be written and nobody waits for.
    fn take_unsaved(&self) -> Vec<SubjectKind> {
        let mut subjects = match &self.unsaved {
            Some(unsaved) => std::mem::take(&mut *lock(unsaved)),
            None => HashSet::new(),
        };
        for part in 0..PARTS {
            self.users.retain(part, |user, state| {
                if std::mem::take(&mut state.unsaved) {
                    subjects.insert(SubjectKind::User(user.clone()));
                }
                true
            });
        }
        subjects.into_iter().collect()
    }

    /// Takes a record in; why it cannot be read.
    fn load(&self, kind: &str, name: &str, record: &[u8]) -> Result<(), String> {
        let unreadable =
            |error: serde_json::Error| format!("the record of {kind} `{name}`: {error}");
        match kind {
            "user" => {
                let (ty, id) = name.split_once('\0').unwrap_or((name, ""));
                let user = EntityRef::of(ty, id).map_err(|error| error.to_string())?;
                let state: User = self.read(record).map_err(unreadable)?;
                if state.stranger {
                    self.strangers.add(user.clone(), state.touched);
                }
                self.users.put(user, state);
            }
            "session" => self
                .sessions
                .put(name.into(), self.read(record).map_err(unreadable)?),
            "device" => self
                .devices
                .put(name.into(), self.read(record).map_err(unreadable)?),
            "ip" => {
                let ip = name
                    .parse()
                    .map_err(|_| format!("`{name}` is not an address"))?;
                self.ips.put(ip, self.read(record).map_err(unreadable)?);
            }
            other => tracing::warn!(kind = other, "records of a newer version are left alone"),
        }
        Ok(())
    }

    /// Reads a record and takes the names of its events in.
    fn read<S: Record + DeserializeOwned>(&self, record: &[u8]) -> Result<S, serde_json::Error> {
        let mut state: S = serde_json::from_slice(record)?;
        self.name_events(state.events());
        Ok(state)
    }

    pub(super) fn name_events<'a>(&self, events: impl Iterator<Item = &'a mut StoredEvent>) {
        for label in events.filter_map(|kept| kept.label.as_deref_mut()) {
            label.source = self.ids.source(&label.source);
            self.ids.add(key(&label.source, &label.id));
        }
    }
}

impl SignalStore for DurableSignals {
    fn standing(&self, ask: &SubjectQuery<'_>) -> SubjectState {
        self.core.standing(ask)
    }

    fn observe(&self, seen: &Observation<'_>) {
        self.core.observe(seen);
    }

    fn report(&self, events: Vec<Event>, now: Timestamp) -> Vec<EventAnswer> {
        let turn = self.turn();
        let undo = Undo::of_events(&self.core, &events);
        let (mut answers, done) = self.core.report(events, now);
        match self.write(done.touched, undo) {
            Ok(()) => {
                drop(turn);
                self.core.tell(done.notices);
            }
            Err(error) => {
                for answer in &mut answers {
                    if !matches!(answer, EventAnswer::Refused(_)) {
                        *answer = EventAnswer::Refused(error.clone());
                    }
                }
            }
        }
        answers
    }

    fn change(&self, change: Change, now: Timestamp) -> Result<(), ChangeError> {
        self.make(None, change, now)
    }

    fn change_by(&self, reporter: &str, change: Change, now: Timestamp) -> Result<(), ChangeError> {
        self.make(Some(reporter), change, now)
    }

    fn configure(&self, config: SignalsConfig) {
        self.core.config.store(Arc::new(config));
    }

    fn describe(&self, subject: &SubjectKind, now: Timestamp) -> Option<serde_json::Value> {
        self.core.describe(subject, now)
    }

    fn held(&self, now: Timestamp, limit: usize) -> Vec<SubjectKind> {
        self.core.held(now, limit)
    }

    fn usage(&self) -> Vec<Usage> {
        self.core.usage()
    }
}
