//! A store of signals that records what it is told, and fails when it is to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::base::timestamp::Timestamp;
use crate::service::http::app::App;
use crate::trust::subjects::{
    Change, ChangeError, Event, EventAnswer, Observation, SignalStore, SubjectKind, SubjectQuery,
    SubjectState,
};

#[derive(Debug, Default)]
pub(super) struct Recorder {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    events: Vec<Event>,
    ids: BTreeSet<(String, String)>,
    changes: Vec<Change>,
    fails: Option<ChangeError>,
    known: BTreeMap<SubjectKind, Value>,
}

impl Recorder {
    /// A store of signals that this server has from now on.
    pub(super) fn of(app: &Arc<App>) -> Arc<Self> {
        let recorder = Arc::new(Self::default());
        let store = Arc::clone(&recorder);
        assert!(app.kept_signals.set(store).is_ok());
        recorder
    }

    /// From now on nothing is taken, for this reason; or everything is.
    pub(super) fn fail(&self, error: Option<ChangeError>) {
        self.inner.lock().unwrap().fails = error;
    }

    pub(super) fn know(&self, subject: SubjectKind) {
        let mut inner = self.inner.lock().unwrap();
        inner.known.insert(subject, json!({"findings": []}));
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.inner.lock().unwrap().events.clone()
    }

    pub(super) fn changes(&self) -> Vec<Change> {
        self.inner.lock().unwrap().changes.clone()
    }
}

impl SignalStore for Recorder {
    fn standing(&self, _: &SubjectQuery<'_>) -> SubjectState {
        SubjectState::default()
    }

    fn observe(&self, _: &Observation<'_>) {}

    fn report(&self, events: Vec<Event>, _: Timestamp) -> Vec<EventAnswer> {
        let mut inner = self.inner.lock().unwrap();
        let answer = |event: Event| {
            if event.id == "old" {
                return EventAnswer::Refused(ChangeError::Refused {
                    code: "too_old",
                    message: "older than what is kept".to_owned(),
                });
            }
            if event.id == "unlucky" {
                return EventAnswer::Refused(ChangeError::State("disk full".to_owned()));
            }
            if let Some(error) = &inner.fails {
                return EventAnswer::Refused(error.clone());
            }
            let id = (event.source.clone(), event.id.clone());
            if !inner.ids.insert(id) {
                return EventAnswer::Duplicate;
            }
            inner.events.push(event);
            EventAnswer::Accepted
        };
        events.into_iter().map(answer).collect()
    }

    fn change(&self, change: Change, _: Timestamp) -> Result<(), ChangeError> {
        let mut inner = self.inner.lock().unwrap();
        if let Some(error) = &inner.fails {
            return Err(error.clone());
        }
        inner.changes.push(change);
        Ok(())
    }

    fn describe(&self, subject: &SubjectKind, _: Timestamp) -> Option<Value> {
        self.inner.lock().unwrap().known.get(subject).cloned()
    }

    fn held(&self, _: Timestamp, limit: usize) -> Vec<SubjectKind> {
        let inner = self.inner.lock().unwrap();
        inner.known.keys().take(limit).cloned().collect()
    }
}
