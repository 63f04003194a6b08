//! Events to state, each by itself.

use super::super::event::{CredentialChange, Event, EventKind, EventSubject};
use super::super::kind::Sort;
use super::super::latest::Latest;
use super::super::record::{DeviceState, SessionState, User};
use super::super::sessions::Proof;
use super::super::store::{ChangeError, EventAnswer, SubjectKind};
use super::super::track::{Lasting, News, Track};
use super::super::window::{Kept, Label, Millis};
use super::{SignalsConfig, Work};
use crate::request::EntityRef;

/// Longest name that is kept of anything.
const LONGEST: usize = 256;

/// A refusal.
pub(super) fn refused(code: &'static str, message: impl Into<String>) -> ChangeError {
    ChangeError::Refused {
        code,
        message: message.into(),
    }
}

/// Refuses a name that is empty or too long.
pub(super) fn name(what: &str, name: &str) -> Result<(), ChangeError> {
    match name.len() {
        0 => Err(refused("empty", format!("{what} is empty"))),
        1..=LONGEST => Ok(()),
        size => Err(refused(
            "too_long",
            format!("{what} has {size} bytes; {LONGEST} are allowed"),
        )),
    }
}

/// Refuses a user whose name is too long.
pub(super) fn user_name(user: &EntityRef) -> Result<(), ChangeError> {
    name("the user's type", user.type_name())?;
    name("the user's id", user.id())
}

impl Work<'_> {
    /// Takes an event in.
    pub(super) fn take(&mut self, event: Event) -> EventAnswer {
        if let Err(error) = self.check(&event) {
            return EventAnswer::Refused(error);
        }
        let user = match self.user_of(&event) {
            Ok(user) => user,
            Err(error) => return EventAnswer::Refused(error),
        };
        if !self.core.ids.add(&event.source, &event.id) {
            // It may wait to be written still, or may not have been.
            self.touch_all(&event.subject, user.as_ref());
            return EventAnswer::Duplicate;
        }
        let (source, id) = (event.source.clone(), event.id.clone());
        let taken = match Sort::of(&event.kind).security() {
            true => self.security(event, user),
            false => self.state(event, user),
        };
        match taken {
            Ok(()) => EventAnswer::Accepted,
            Err(error) => {
                self.core.ids.remove(&source, &id);
                EventAnswer::Refused(error)
            }
        }
    }

    fn check(&self, event: &Event) -> Result<(), ChangeError> {
        name("the event's id", &event.id)?;
        name("the event's source", &event.source)?;
        let subject = &event.subject;
        subject.user.as_ref().map_or(Ok(()), user_name)?;
        subject
            .session
            .as_ref()
            .map_or(Ok(()), |id| name("the session", id))?;
        subject
            .device
            .as_ref()
            .map_or(Ok(()), |id| name("the device", id))?;
        if subject == &EventSubject::default() {
            let message = "the event has no subject; give a user, an ip, a session or a device";
            return Err(refused("no_subject", message));
        }
        let at = event.at.as_millis();
        let ahead = at.saturating_sub(self.now);
        if ahead > self.config.clock_skew.millis() {
            let message = format!(
                "the event is {ahead} ms in the future; {} are allowed (`clock_skew`)",
                self.config.clock_skew
            );
            return Err(refused("future", message));
        }
        if self.now.saturating_sub(at) > self.config.max_event_age.millis() {
            let message = format!(
                "the event is older than {} (`max_event_age`)",
                self.config.max_event_age
            );
            return Err(refused("too_old", message));
        }
        if let EventKind::AssuranceLevelChange { level } = event.kind
            && level > 4
        {
            let message = format!("level {level} is none; it must be 0 to 4");
            return Err(refused("no_such_level", message));
        }
        Ok(())
    }

    /// The user that an event is about: the one it names, or for what needs one the session's.
    fn user_of(&self, event: &Event) -> Result<Option<EntityRef>, ChangeError> {
        let subject = &event.subject;
        let sort = Sort::of(&event.kind);
        let missing = |what: &str| {
            let message = format!("`{}` needs {what} as its subject", sort.name());
            Err(refused("no_subject", message))
        };
        let session_needed = sort == Sort::AssuranceLevelChange;
        if session_needed && subject.session.is_none() {
            return missing("a session");
        }
        if sort == Sort::DeviceComplianceChange {
            return match subject.device {
                Some(_) => Ok(subject.user.clone()),
                None => missing("a device"),
            };
        }
        if sort.security() || subject.user.is_some() {
            return Ok(subject.user.clone());
        }
        if sort == Sort::SessionRevoked && subject.session.is_some() {
            return Ok(None);
        }
        // Only what is of a session by its nature is its user's; all else would depend on what was known
        // when it came.
        let owner = subject
            .session
            .as_deref()
            .filter(|_| session_needed)
            .and_then(|id| {
                let of = |state: &mut SessionState| state.user.clone();
                self.core.sessions.with(id, of).flatten()
            });
        match owner {
            Some(owner) => Ok(Some(owner)),
            None => missing("a user"),
        }
    }

    fn touch_all(&mut self, subject: &EventSubject, user: Option<&EntityRef>) {
        self.touched.extend(user.cloned().map(SubjectKind::User));
        self.touched.extend(subject.ip.map(SubjectKind::Ip));
        self.touched
            .extend(subject.session.clone().map(SubjectKind::Session));
        self.touched
            .extend(subject.device.clone().map(SubjectKind::Device));
    }

    fn label(&self, event: &Event) -> Box<Label> {
        Box::new(Label {
            source: self.core.ids.source(&event.source),
            id: event.id.as_str().into(),
        })
    }

    /// A security event counts for the user at whose hands it happened, for the user at that address, the
    /// address, the session and the device. Rules that count events count it once, for the narrowest.
    fn security(&mut self, event: Event, user: Option<EntityRef>) -> Result<(), ChangeError> {
        let sort = Sort::of(&event.kind);
        let subject = &event.subject;
        // Where the event is told apart from others: at the first that takes it.
        let kept = |work: &Self, counts: bool, first: bool| Kept {
            at: event.at.as_millis(),
            sort,
            severity: event.severity,
            counts,
            label: first.then(|| work.label(&event)),
        };
        let (mut taken, mut counted) = (false, false);
        if let Some(user) = &user {
            let own = sort.attributable();
            counted = own || subject.ip.is_some();
            self.of_user(user, subject, kept(self, counted, true), own)?;
            taken = true;
        }
        let may = |work: &mut Self| match &user {
            Some(user) => work.may_add(user),
            None => true,
        };
        if let Some(ip) = subject.ip {
            let took = self.of_ip(ip, kept(self, !counted, !taken), may);
            (taken, counted) = (taken || took, counted || took);
        }
        if let Some(session) = &subject.session {
            let took = self.of_session(session, kept(self, !counted, !taken), may);
            (taken, counted) = (taken || took, counted || took);
        }
        if let Some(device) = &subject.device {
            taken |= self.of_device(device, kept(self, !counted, !taken), may);
        }
        match taken {
            true => Ok(()),
            false => {
                let most = self.config.bounds.max_windows;
                let message = format!(
                    "{most} addresses, sessions or devices are held already; raise \
                     `trust.signals.bounds.max_windows`"
                );
                Err(refused("too_many_windows", message))
            }
        }
    }

    /// What an event does to the user it names.
    fn of_user(
        &mut self,
        user: &EntityRef,
        subject: &EventSubject,
        mut first: Kept,
        own: bool,
    ) -> Result<(), ChangeError> {
        let (now, config) = (self.now, self.config);
        let (mut news, mut at_ip) = (News::new(), News::new());
        let mut gone = Vec::new();
        self.user(user, |state| {
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
                gone.extend(track.insert(second, most, Lasting::No, config, &mut at_ip));
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
        kept: Kept,
        may: impl FnOnce(&mut Self) -> bool,
    ) -> bool {
        let (now, config) = (self.now, self.config);
        let mut news = News::new();
        let mut kept = Some(kept);
        let mut insert = |track: &mut Track| {
            let most = config.bounds.window_events;
            let kept = kept.take()?;
            track.insert(kept, most, Lasting::No, config, &mut news)
        };
        let there = self.core.ips.with(&ip, |state| insert(&mut state.track));
        let mut gone = Vec::new();
        let inserted = match there {
            Some(out) => Some(out),
            None if may(self) => {
                let most = windows(config);
                let spare = |state: &super::IpState| state.spare(now, config);
                let work = |state: &mut super::IpState| insert(&mut state.track);
                self.core
                    .ips
                    .with_or_make(&ip, most, spare, &mut gone, work)
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
        kept: Kept,
        may: impl FnOnce(&mut Self) -> bool,
    ) -> bool {
        let (now, config) = (self.now, self.config);
        let there = self.core.sessions.with(session, |_| ()).is_some();
        if !there && !may(self) {
            return false;
        }
        let mut news = News::new();
        let made = self.session(session, windows(config), |state| {
            state.touched = state.touched.max(now);
            let most = config.bounds.window_events;
            state
                .track
                .insert(kept, most, Lasting::No, config, &mut news)
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

    fn of_device(&mut self, device: &str, kept: Kept, may: impl FnOnce(&mut Self) -> bool) -> bool {
        let config = self.config;
        let there = self.core.devices.with(device, |_| ()).is_some();
        if !there && !may(self) {
            return false;
        }
        let mut news = News::new();
        let made = self.device(device, windows(config), |state| {
            let most = config.bounds.window_events;
            state
                .track
                .insert(kept, most, Lasting::No, config, &mut news)
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

    /// Works on a user, who is made where unknown.
    pub(super) fn user<R>(
        &mut self,
        user: &EntityRef,
        work: impl FnOnce(&mut User) -> R,
    ) -> Result<R, ChangeError> {
        let (now, config) = (self.now, self.config);
        let most = usize::try_from(config.bounds.max_subjects).unwrap_or(usize::MAX);
        let mut gone = Vec::new();
        let spare = |state: &User| state.spare(now, config);
        let made = self
            .core
            .users
            .with_or_make(user, most, spare, &mut gone, work);
        for (user, mut state) in gone {
            let events: Vec<_> = state.events().map(|kept| kept.clone()).collect();
            self.core.forget_events(events);
            self.touched.insert(SubjectKind::User(user));
        }
        self.touched.insert(SubjectKind::User(user.clone()));
        made.ok_or(ChangeError::Full(most))
    }

    /// Works on a session, which is made where unknown.
    pub(super) fn session<R>(
        &mut self,
        session: &str,
        most: usize,
        work: impl FnOnce(&mut SessionState) -> R,
    ) -> Result<R, ChangeError> {
        let (now, config) = (self.now, self.config);
        let mut gone = Vec::new();
        let spare = |state: &SessionState| state.spare(now, config);
        let key = session.into();
        let made = self
            .core
            .sessions
            .with_or_make(&key, most, spare, &mut gone, work);
        for (session, mut state) in gone {
            let events: Vec<_> = state.events().map(|kept| kept.clone()).collect();
            self.core.forget_events(events);
            self.touched.insert(SubjectKind::Session(session.into()));
        }
        self.touched
            .insert(SubjectKind::Session(session.to_owned()));
        made.ok_or(ChangeError::Full(most))
    }

    /// Works on a device, which is made where unknown.
    pub(super) fn device<R>(
        &mut self,
        device: &str,
        most: usize,
        work: impl FnOnce(&mut DeviceState) -> R,
    ) -> Result<R, ChangeError> {
        let (now, config) = (self.now, self.config);
        let mut gone = Vec::new();
        let spare = |state: &DeviceState| state.spare(now, config);
        let key = device.into();
        let made = self
            .core
            .devices
            .with_or_make(&key, most, spare, &mut gone, work);
        for (device, mut state) in gone {
            let events: Vec<_> = state.events().map(|kept| kept.clone()).collect();
            self.core.forget_events(events);
            self.touched.insert(SubjectKind::Device(device.into()));
        }
        self.touched.insert(SubjectKind::Device(device.to_owned()));
        made.ok_or(ChangeError::Full(most))
    }

    /// An event that says how a state is. That of the latest instant holds.
    fn state(&mut self, event: Event, user: Option<EntityRef>) -> Result<(), ChangeError> {
        let at = event.at.as_millis();
        let kept = Kept {
            at,
            sort: Sort::of(&event.kind),
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
                let gone = self.device(device, subjects(self.config), |state| {
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
        kept: Kept,
    ) -> Result<(), ChangeError> {
        let (now, config, at) = (self.now, self.config, kept.at);
        if let Some(session) = session
            && matches!(
                kind,
                EventKind::SessionEstablished | EventKind::AssuranceLevelChange { .. }
            )
        {
            self.own(session, user)?;
        }
        let mut news = News::new();
        let gone = self.user(user, |state| {
            state.known = true;
            state.touched = state.touched.max(now);
            match kind {
                EventKind::SessionRevoked => state.revoked_before = state.revoked_before.max(at),
                EventKind::SessionEstablished => match session {
                    Some(session) => state.begin(session, at, config),
                    None => state.last_session = state.last_session.max(at),
                },
                EventKind::AssuranceLevelChange { level } => {
                    let session = session.unwrap_or_default();
                    state.last_session = state.last_session.max(at);
                    let proof = Some(Proof::level(*level, at));
                    state.sessions.begin(session, at, proof, config);
                    state.sessions.limit(session, *level, at);
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
                EventKind::AccountDisabled => set(&mut state.disabled, at, true),
                EventKind::AccountEnabled => set(&mut state.disabled, at, false),
                EventKind::CredentialCompromise => {
                    let found = state.compromise(at, config);
                    news.extend(found.map(|finding| (super::Grown::Finding, finding)));
                }
                _ => {}
            }
            state.states.insert(kept, config.bounds.window_events)
        })?;
        self.core.forget_events(gone);
        let about = EventSubject {
            user: Some(user.clone()),
            ..EventSubject::default()
        };
        self.tell(news, &about);
        Ok(())
    }

    /// Revokes a session for good.
    fn revoke(
        &mut self,
        session: &str,
        user: Option<&EntityRef>,
        kept: Kept,
    ) -> Result<(), ChangeError> {
        let (now, at, config) = (self.now, kept.at, self.config);
        let (owner, gone) = self.session(session, all_sessions(config), |state| {
            state.revoked = state.revoked.max(at);
            state.touched = state.touched.max(now);
            if state.user.is_none() {
                state.user = user.cloned();
            }
            let most = config.bounds.window_events;
            (state.user.clone(), state.states.insert(kept, most))
        })?;
        self.core.forget_events(gone);
        for user in owner.iter().chain(user) {
            let revoked = self
                .core
                .users
                .with(user, |state| state.sessions.revoke(session));
            if revoked.is_some() {
                self.touched.insert(SubjectKind::User(user.clone()));
            }
        }
        Ok(())
    }

    /// Makes a session a user's; nobody else's evidence holds in it any more.
    pub(super) fn own(&mut self, session: &str, user: &EntityRef) -> Result<(), ChangeError> {
        let now = self.now;
        let before = self.session(session, all_sessions(self.config), |state| {
            state.touched = state.touched.max(now);
            state.user.replace(user.clone())
        })?;
        if let Some(before) = before.filter(|before| before != user) {
            self.core
                .users
                .with(&before, |state| state.sessions.remove(session));
            self.touched.insert(SubjectKind::User(before));
        }
        Ok(())
    }
}

fn set(latest: &mut Latest<bool>, at: Millis, value: bool) {
    latest.set(at, value);
}

fn windows(config: &SignalsConfig) -> usize {
    usize::try_from(config.bounds.max_windows).unwrap_or(usize::MAX)
}

/// Devices that are registered or reported on.
pub(super) fn subjects(config: &SignalsConfig) -> usize {
    let subjects = usize::try_from(config.bounds.max_subjects).unwrap_or(usize::MAX);
    subjects.saturating_add(windows(config))
}

/// Sessions that are recorded or revoked: some for each user.
fn all_sessions(config: &SignalsConfig) -> usize {
    let subjects = usize::try_from(config.bounds.max_subjects).unwrap_or(usize::MAX);
    subjects.saturating_mul(4).saturating_add(windows(config))
}
