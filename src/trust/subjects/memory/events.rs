//! Events to state, each separately.

use super::Update;
use crate::base::entity_ref::EntityRef;
use crate::trust::subjects::dedup::key;
use crate::trust::subjects::event::{Event, EventSubject};
use crate::trust::subjects::kind::{EventKind, EventType};
use crate::trust::subjects::record::SessionState;
use crate::trust::subjects::store::{ChangeError, EventAnswer, SubjectKind};
use crate::trust::subjects::window::{Label, Millis};

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

impl Update<'_> {
    /// Takes an event in.
    pub(super) fn take(&mut self, mut event: Event) -> EventAnswer {
        if let Err(error) = self.check(&event) {
            return EventAnswer::Refused(error);
        }
        event.subject.ip = event.subject.ip.map(|ip| ip.to_canonical());
        self.by = self.core.ids.reporter(&event.source);
        let user = match self.user_of(&event) {
            Ok(user) => user,
            Err(error) => return EventAnswer::Refused(error),
        };
        let ids = &self.core.ids;
        let key = key(&event.source, &event.id);
        // The same event at the same time is answered once this one is where it will be found.
        let _turn = ids.turn(key);
        if !ids.add(key) {
            // It may wait to be written still, or may not have been.
            self.touched.extend(event.subject.kinds());
            self.touched.extend(user.map(SubjectKind::User));
            return EventAnswer::Duplicate;
        }
        let taken = match event.kind.event_type().security() {
            true => self.security(event, user),
            false => self.state(event, user),
        };
        match taken {
            Ok(()) => EventAnswer::Accepted,
            Err(error) => {
                ids.remove(key);
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
        if event.kind.event_type().security() {
            self.timely(event.at.as_millis())?;
        }
        if let EventKind::AssuranceLevelChange { level } = event.kind
            && level > 4
        {
            let message = format!("level {level} is none; it must be 0 to 4");
            return Err(refused("no_such_level", message));
        }
        Ok(())
    }

    /// Refuses a security event of another time. An event that says how a state is may be of any: however
    /// late it comes it is the latest that is known, and of the future it is taken as of now.
    fn timely(&self, at: Millis) -> Result<(), ChangeError> {
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
        Ok(())
    }

    /// The user that an event is about: the one it names, or for what needs one the session's.
    fn user_of(&self, event: &Event) -> Result<Option<EntityRef>, ChangeError> {
        let subject = &event.subject;
        let kind = event.kind.event_type();
        let missing = |what: &str| {
            let message = format!("`{}` needs {what} as its subject", kind.name());
            Err(refused("no_subject", message))
        };
        let session_needed = kind == EventType::AssuranceLevelChange;
        if session_needed && subject.session.is_none() {
            return missing("a session");
        }
        if kind == EventType::DeviceComplianceChange {
            return match subject.device {
                Some(_) => Ok(subject.user.clone()),
                None => missing("a device"),
            };
        }
        if kind.security() || subject.user.is_some() {
            return Ok(subject.user.clone());
        }
        if kind == EventType::SessionRevoked && subject.session.is_some() {
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

    pub(super) fn label(&self, event: &Event) -> Box<Label> {
        Box::new(Label {
            source: self.core.ids.source(&event.source),
            id: event.id.as_str().into(),
        })
    }
}
