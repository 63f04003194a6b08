//! What signals come to: every number on both sides of its boundary, the ways back, the bounds, and what
//! must hold whatever comes.

mod bounds;
mod history;
mod properties;
mod rules;
mod speed;
mod states;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use super::*;
use crate::trust::model::{Band, Country, KnockOuts, Score};
use crate::trust::subjects::{Change, EventKind, Severity};

/// An instant that everything begins at: a Tuesday at 10:00 UTC.
pub(crate) const START: i64 = 1_773_136_800_000;
pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

pub(crate) fn at(offset: i64) -> Timestamp {
    Timestamp::from_millis(START + offset)
}

pub(crate) fn user(id: &str) -> EntityRef {
    EntityRef::new("User", id).unwrap()
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) const HERE: &str = "192.0.2.1";
pub(crate) const THERE: &str = "198.51.100.7";

/// A store that notes what it tells.
pub(crate) struct Bench {
    pub(crate) signals: MemorySignals,
    pub(crate) notices: Arc<Mutex<Vec<Notification>>>,
    next: std::cell::Cell<u32>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(crate) fn with(change: impl FnOnce(&mut SignalsConfig)) -> Self {
        let mut config = SignalsConfig::default();
        change(&mut config);
        assert_eq!(config.check(), Vec::<String>::new());
        let notices: Arc<Mutex<Vec<Notification>>> = Arc::default();
        let told = Arc::clone(&notices);
        let sink: NotificationSink = Arc::new(move |notice| told.lock().unwrap().push(notice));
        Self {
            signals: MemorySignals::new(config, Some(sink)),
            notices,
            next: std::cell::Cell::new(0),
        }
    }

    pub(crate) fn event(&self, kind: EventKind, offset: i64, about: &About) -> Event {
        self.next.set(self.next.get() + 1);
        Event {
            id: self.next.get().to_string(),
            kind,
            at: at(offset),
            source: "idp".to_owned(),
            severity: about.severity,
            subject: about.subject.clone(),
        }
    }

    /// Reports an event at its instant.
    #[track_caller]
    pub(crate) fn happens(&self, kind: EventKind, offset: i64, about: &About) {
        let event = self.event(kind, offset, about);
        let answers = self.signals.report(vec![event], at(offset));
        assert_eq!(answers, [EventAnswer::Accepted]);
    }

    pub(crate) fn standing(&self, id: &str, address: &str, offset: i64) -> SubjectState {
        self.stands(&user(id), Some(address), None, None, offset)
    }

    pub(crate) fn in_session(&self, id: &str, session: &str, offset: i64) -> SubjectState {
        self.stands(&user(id), None, Some(session), None, offset)
    }

    pub(crate) fn stands(
        &self,
        user: &EntityRef,
        address: Option<&str>,
        session: Option<&str>,
        device: Option<&str>,
        offset: i64,
    ) -> SubjectState {
        self.signals.standing(&SubjectQuery {
            user,
            caller: "app",
            session,
            device,
            ip: address.map(ip),
            country: None,
            now: at(offset),
        })
    }

    #[track_caller]
    pub(crate) fn change(&self, change: Change, offset: i64) {
        self.signals.change(change, at(offset)).unwrap();
    }

    #[track_caller]
    pub(crate) fn remediate(&self, subject: SubjectKind, offset: i64) {
        let (reason, by) = ("looked into".to_owned(), "operator".to_owned());
        self.change(
            Change::Remediate {
                subject,
                reason,
                by,
            },
            offset,
        );
    }

    /// Kinds and names of what was told since the last time.
    pub(crate) fn told(&self) -> Vec<(NotificationKind, String)> {
        let notices = std::mem::take(&mut *self.notices.lock().unwrap());
        notices
            .into_iter()
            .map(|notice| (notice.kind, notice.name))
            .collect()
    }
}

/// Who an event is about, and how severe it is.
#[derive(Clone)]
pub(crate) struct About {
    pub(crate) subject: EventSubject,
    pub(crate) severity: Severity,
}

pub(crate) fn about() -> About {
    About {
        subject: EventSubject::default(),
        severity: Severity::Low,
    }
}

impl About {
    pub(crate) fn user(mut self, id: &str) -> Self {
        self.subject.user = Some(user(id));
        self
    }

    pub(crate) fn ip(mut self, text: &str) -> Self {
        self.subject.ip = Some(ip(text));
        self
    }

    pub(crate) fn session(mut self, id: &str) -> Self {
        self.subject.session = Some(id.to_owned());
        self
    }

    pub(crate) fn device(mut self, id: &str) -> Self {
        self.subject.device = Some(id.to_owned());
        self
    }

    pub(crate) fn of(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}

pub(crate) fn seen<'a>(user: &'a EntityRef, address: &str, offset: i64) -> Observation<'a> {
    Observation {
        ask: SubjectQuery {
            user,
            caller: "app",
            session: None,
            device: None,
            ip: Some(ip(address)),
            country: Country::new("CH"),
            now: at(offset),
        },
        allowed: true,
        named: true,
        vouched: true,
        by_trust: false,
        point: None,
        band: Band::Low,
        impossible_speed: None,
        unusual_hour: false,
        unusual_rate: false,
    }
}

fn risk(ten_thousandths: i32) -> Score {
    Score::new(ten_thousandths)
}

fn knocked(standing: &SubjectState, what: KnockOuts) -> bool {
    standing.knock_outs.contains(what)
}
