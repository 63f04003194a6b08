//! The state of subjects in memory.
//!
//! What must hold: no lock is held over I/O, nor two at a time; what a decision asks for is ready, so that
//! answering walks through no list of events.

mod changes;
mod describe;
mod entries;
mod events;
mod observe;
mod security;
mod standing;
mod states;
mod strangers;
pub(super) mod subject;
mod sweep;
mod usage;

#[cfg(test)]
pub(super) mod tests;

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicUsize};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};

use super::config::SignalsConfig;
use super::dedup::Dedup;
use super::event::{Event, EventSubject};
use super::finding::{Finding, Growth};
use super::record::{DeviceState, IpState, SessionState, User};
use super::shard::{Reporter, Sharded};
use super::store::{
    Change, ChangeError, EventAnswer, Notification, NotificationKind, Observation, SignalStore,
    SubjectKind, SubjectQuery, SubjectState, Usage,
};
use super::window::{Millis, StoredEvent};
use crate::base::entity_ref::EntityRef;
use crate::base::hex::hex;
use crate::base::lock::lock;
use crate::base::timestamp::Timestamp;

/// Receives findings, incidents and changes. It is called while nothing is locked, and must not
/// wait.
pub type NotificationSink = Arc<dyn Fn(Notification) + Send + Sync>;

/// The state of subjects in memory: it ends with the process.
#[derive(Debug)]
pub struct MemorySignals {
    pub(super) core: Arc<Core>,
}

/// Everything that is known.
pub(super) struct Core {
    pub(super) config: ArcSwap<SignalsConfig>,
    pub(super) users: Sharded<EntityRef, User>,
    pub(super) sessions: Sharded<Box<str>, SessionState>,
    pub(super) devices: Sharded<Box<str>, DeviceState>,
    pub(super) ips: Sharded<IpAddr, IpState>,
    pub(super) ids: Dedup,
    notices: Option<NotificationSink>,
    /// Subjects that are to be written and nobody waits for; `None` where nothing is written.
    pub(super) unsaved: Option<Mutex<HashSet<SubjectKind>>>,
    /// Users that others may take the place of, as they were found last.
    idle: Mutex<entries::Idle>,
    /// Users of whom only decisions are known and for whom nothing vouches.
    pub(super) strangers: strangers::Strangers,
    /// The part that is swept next, and when one was swept last.
    next_swept: AtomicUsize,
    last_swept: AtomicI64,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("users", &self.users.len())
            .field("sessions", &self.sessions.len())
            .field("devices", &self.devices.len())
            .field("ips", &self.ips.len())
            .finish_non_exhaustive()
    }
}

/// What one call touched and has to tell.
pub(super) struct Update<'a> {
    core: &'a Core,
    config: &'a SignalsConfig,
    now: Millis,
    /// Who reports what is worked on, by whom room is shared.
    by: Reporter,
    /// Subjects whose records changed.
    pub(super) touched: HashSet<SubjectKind>,
    notices: Vec<Notification>,
}

/// What one call changed and has to tell once that is durable.
pub(super) struct Done {
    /// Subjects whose records changed.
    pub(super) touched: HashSet<SubjectKind>,
    /// What is to be told of.
    pub(super) notices: Vec<Notification>,
}

impl Core {
    pub(super) fn new(
        config: SignalsConfig,
        notices: Option<NotificationSink>,
        written: bool,
    ) -> Self {
        Self {
            config: ArcSwap::from_pointee(config),
            users: Sharded::new(),
            sessions: Sharded::new(),
            devices: Sharded::new(),
            ips: Sharded::new(),
            ids: Dedup::new(),
            notices,
            unsaved: written.then(Mutex::default),
            idle: Mutex::default(),
            strangers: strangers::Strangers::default(),
            next_swept: AtomicUsize::new(0),
            last_swept: AtomicI64::new(0),
        }
    }

    /// Takes events in; the answers, and what has to be written and told before they are given.
    pub(super) fn report(&self, events: Vec<Event>, now: Timestamp) -> (Vec<EventAnswer>, Done) {
        let config = self.config.load();
        let mut work = Update::new(self, &config, now);
        let answers = events.into_iter().map(|event| work.take(event)).collect();
        let done = work.done();
        self.sweep_some(now);
        (answers, done)
    }

    /// Makes a change, for a reporter where there is one; what has to be written and told before it is
    /// acknowledged.
    pub(super) fn change(
        &self,
        reporter: Option<&str>,
        change: Change,
        now: Timestamp,
    ) -> Result<Done, ChangeError> {
        let config = self.config.load();
        let mut work = Update::new(self, &config, now);
        work.by = reporter.map_or(Reporter::NOBODY, |name| self.ids.reporter(name));
        let made = work.make(change);
        let done = work.done();
        match made {
            Ok(()) => Ok(done),
            Err(error) => {
                // Something may have made room for what then was refused.
                self.mark(done.touched);
                Err(error)
            }
        }
    }

    /// Tells what there is to tell. Nothing is locked here.
    pub(super) fn tell(&self, notices: Vec<Notification>) {
        if let Some(sink) = &self.notices {
            notices.into_iter().for_each(|notice| sink(notice));
        }
    }

    /// Marks subjects that are to be written some time.
    pub(super) fn mark(&self, subjects: impl IntoIterator<Item = SubjectKind>) {
        if let Some(unsaved) = &self.unsaved {
            let mut unsaved = lock(unsaved);
            unsaved.extend(subjects);
        }
    }

    /// Forgets the names of events that are kept no more.
    pub(super) fn forget_events(&self, gone: impl IntoIterator<Item = StoredEvent>) {
        for label in gone.into_iter().filter_map(|kept| kept.label) {
            self.ids.forget(&label);
        }
    }
}

impl<'a> Update<'a> {
    fn new(core: &'a Core, config: &'a SignalsConfig, now: Timestamp) -> Self {
        Self {
            core,
            config,
            now: now.as_millis(),
            by: Reporter::NOBODY,
            touched: HashSet::new(),
            notices: Vec::new(),
        }
    }

    fn done(self) -> Done {
        Done {
            touched: self.touched,
            notices: self.notices,
        }
    }

    /// Findings that are new, or are incidents now.
    fn tell(&mut self, news: impl IntoIterator<Item = (Growth, Finding)>, subject: &EventSubject) {
        if self.core.notices.is_none() {
            return;
        }
        for (grown, finding) in news {
            let kind = match grown {
                Growth::No => continue,
                Growth::Finding => NotificationKind::Finding,
                Growth::Incident => NotificationKind::Incident,
            };
            self.notices.push(Notification {
                kind,
                name: finding.kind.as_str().to_owned(),
                id: finding.id(&scope(subject)),
                at: Timestamp::from_millis(finding.at),
                severity: finding.severity,
                risk: finding.risk,
                subject: subject.clone(),
                detail: describe::sentence(&finding, subject),
            });
        }
    }
}

/// A name of a change that another one does not have.
fn change_id(done: &str, subject: &EventSubject, now: Millis) -> String {
    let name = format!("{done}\0{}\0{now}", scope(subject));
    let hash = Sha256::digest(name.as_bytes());
    hex(hash.iter().take(16))
}

/// The name of what a finding is about.
fn scope(subject: &EventSubject) -> String {
    let mut name = String::new();
    if let Some(user) = &subject.user {
        name += &format!("user\0{}\0{}\0", user.type_name(), user.id());
    }
    if let Some(ip) = subject.ip {
        name += &format!("ip\0{ip}\0");
    }
    if let Some(session) = &subject.session {
        name += &format!("session\0{session}\0");
    }
    if let Some(device) = &subject.device {
        name += &format!("device\0{device}\0");
    }
    name
}

impl MemorySignals {
    /// An empty store. `notices` receives findings, incidents and changes.
    #[must_use]
    pub fn new(config: SignalsConfig, notices: Option<NotificationSink>) -> Self {
        Self {
            core: Arc::new(Core::new(config, notices, false)),
        }
    }

    /// Changes the configuration, from the next call on.
    pub fn set_config(&self, config: SignalsConfig) {
        self.core.config.store(Arc::new(config));
    }
}

impl SignalStore for MemorySignals {
    fn standing(&self, ask: &SubjectQuery<'_>) -> SubjectState {
        self.core.standing(ask)
    }

    fn observe(&self, seen: &Observation<'_>) {
        self.core.observe(seen);
    }

    fn report(&self, events: Vec<Event>, now: Timestamp) -> Vec<EventAnswer> {
        let (answers, done) = self.core.report(events, now);
        self.core.tell(done.notices);
        answers
    }

    fn change(&self, change: Change, now: Timestamp) -> Result<(), ChangeError> {
        let done = self.core.change(None, change, now)?;
        self.core.tell(done.notices);
        Ok(())
    }

    fn change_by(&self, reporter: &str, change: Change, now: Timestamp) -> Result<(), ChangeError> {
        let done = self.core.change(Some(reporter), change, now)?;
        self.core.tell(done.notices);
        Ok(())
    }

    fn configure(&self, config: SignalsConfig) {
        self.set_config(config);
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
