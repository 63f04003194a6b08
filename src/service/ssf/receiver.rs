//! One transmitter's tokens: verified, and read as events.

use std::sync::Arc;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::standing::{ReceiverStatus, SetResult};
use super::subject::{self, Unread};
use super::table::{About, Meaning, meaning};
use crate::base::fault::{Fault, Faults};
use crate::base::hex::hex;
use crate::base::timestamp::Timestamp;
use crate::service::config::{PollConfig, ReceiverConfig, Secret};
use crate::service::net::fetch::Fetch;
use crate::service::tokens::{SetError, SetVerifier, date};
use crate::trust::subjects::{Event, EventSubject};

/// Most events of one token: they are aspects of one thing that happened.
const MOST_EVENTS: usize = 16;

/// All transmitters that are configured; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Receivers(Arc<[Arc<Receiver>]>);

/// One transmitter.
#[derive(Debug)]
pub(crate) struct Receiver {
    config: ReceiverConfig,
    verifier: SetVerifier,
    /// SHA-256 of the `Authorization` that is to be shown; where pushing is configured.
    authorization: Option<[u8; 32]>,
    /// Where polling is configured, with what is shown.
    poll: Option<(PollConfig, Secret)>,
    standing: ReceiverStatus,
}

/// What a token says.
#[derive(Debug)]
pub(crate) struct Reading {
    /// Events to store, in their order.
    pub(crate) events: Vec<Event>,
    /// What is to be counted of the others.
    pub(crate) passed: Vec<SetResult>,
}

impl Receivers {
    /// The receivers of a configuration. Nothing is fetched yet.
    ///
    /// # Errors
    /// Secrets and key files that cannot be read.
    pub(crate) fn new(configs: &[ReceiverConfig], fetch: &Arc<dyn Fetch>) -> Result<Self, Faults> {
        let mut faults = Faults::new();
        let mut all = Vec::new();
        for config in configs {
            match Receiver::new(config, Arc::clone(fetch)) {
                Ok(receiver) => all.push(Arc::new(receiver)),
                Err(message) => {
                    let message = format!("[[receivers]] `{}`: {message}", config.name);
                    faults.push(Fault::new("config", message));
                }
            }
        }
        faults.or(Self(all.into()))
    }

    /// The receiver of this name.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Receiver>> {
        self.0.iter().find(|receiver| receiver.name() == name)
    }

    /// What is the matter with the transmitters' keys, one sentence for each.
    pub(crate) fn troubles(&self) -> impl Iterator<Item = String> {
        let troubled = self
            .iter()
            .filter_map(|one| Some((one.name(), one.trouble()?)));
        troubled.map(|(name, reason)| format!("keys of receiver `{name}`: {reason}"))
    }

    /// Every receiver.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Receiver>> {
        self.0.iter()
    }
}

impl Receiver {
    fn new(config: &ReceiverConfig, fetch: Arc<dyn Fetch>) -> Result<Self, String> {
        let authorization = match &config.push {
            None => None,
            Some(push) => {
                let secret = push.authorization.read();
                let secret = secret.map_err(|m| format!("`push.authorization`: {m}"))?;
                let shown = match secret.reveal() {
                    whole if whole.contains(' ') => whole.to_owned(),
                    token => format!("Bearer {token}"),
                };
                Some(Sha256::digest(shown).into())
            }
        };
        let poll = match &config.poll {
            None => None,
            Some(poll) => {
                let token = poll.token.read();
                let token = token.map_err(|message| format!("`poll.token`: {message}"))?;
                Some((poll.clone(), token))
            }
        };
        Ok(Self {
            verifier: SetVerifier::new(config, fetch)?,
            config: config.clone(),
            authorization,
            poll,
            standing: ReceiverStatus::default(),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.config.issuer
    }

    /// How it fares.
    pub(crate) fn standing(&self) -> &ReceiverStatus {
        &self.standing
    }

    /// What is the matter with the transmitter's keys.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.verifier.trouble()
    }

    /// Fetches the keys, so that the first token need not wait for them.
    pub(crate) async fn warm(&self, now: Timestamp) {
        self.verifier.warm(now).await;
    }

    /// How it is polled, and with what.
    pub(crate) fn poll(&self) -> Option<&(PollConfig, Secret)> {
        self.poll.as_ref()
    }

    /// Whether tokens may be pushed here at all.
    pub(crate) fn is_pushed_to(&self) -> bool {
        self.authorization.is_some()
    }

    /// Whether this is the `Authorization` that the transmitter shows; in constant time.
    pub(crate) fn knows(&self, authorization: &[u8]) -> bool {
        let shown: [u8; 32] = Sha256::digest(authorization).into();
        let expected = self.authorization.as_ref();
        expected.is_some_and(|expected| bool::from(expected.ct_eq(&shown)))
    }

    /// Verifies and reads a token. To be called within a tokio runtime.
    ///
    /// # Errors
    /// Why it is not taken.
    pub(crate) async fn read(&self, set: &str, now: Timestamp) -> Result<Reading, SetError> {
        let set = self.verifier.verify(set, now).await?;
        let events = match set.claims.get("events") {
            Some(Value::Object(events)) if !events.is_empty() => events,
            _ => {
                let detail = "its `events` names no event".to_owned();
                return Err(SetError::Request(detail));
            }
        };
        if events.len() > MOST_EVENTS {
            let detail = format!("its `events` names more than {MOST_EVENTS}");
            return Err(SetError::Request(detail));
        }
        let happened = date(&set.claims, "toe")?.unwrap_or(set.issued);
        let mut reading = Reading {
            events: Vec::new(),
            passed: Vec::new(),
        };
        for (uri, payload) in events {
            let Some(payload) = payload.as_object() else {
                let detail = "the payload of its event is not an object".to_owned();
                return Err(SetError::Request(detail));
            };
            let meaning = match meaning(uri, payload, &self.config.levels) {
                Some(meaning) => meaning.map_err(SetError::Request)?,
                None => {
                    let uri = crate::base::json::shown(uri);
                    tracing::debug!(receiver = self.name(), uri, "event of an unknown type");
                    reading.passed.push(SetResult::Ignored);
                    continue;
                }
            };
            let (kind, severity, about) = match meaning {
                Meaning::Event(kind, severity, about) => (kind, severity, about),
                other => {
                    self.note(other, now);
                    reading.passed.push(SetResult::Ignored);
                    continue;
                }
            };
            let at = date(payload, "event_timestamp")?.unwrap_or(happened);
            let Some(subject) = self.subject(&set.claims, payload, about)? else {
                reading.passed.push(SetResult::Unmapped);
                continue;
            };
            // A token is mostly one event; several need ids of their own that a repetition has again.
            let id = match events.len() {
                1 => set.jti.clone(),
                _ => event_id(&set.jti, uri.rsplit('/').next().unwrap_or_default()),
            };
            reading.events.push(Event {
                id,
                kind,
                at,
                source: self.config.issuer.clone(),
                severity,
                subject,
            });
        }
        Ok(reading)
    }

    /// Whom an event is about; `None` where that is nobody who is known here.
    fn subject(
        &self,
        claims: &Map<String, Value>,
        payload: &Map<String, Value>,
        about: About,
    ) -> Result<Option<EventSubject>, SetError> {
        // Drafts had it within the event.
        let Some(value) = claims.get("sub_id").or_else(|| payload.get("subject")) else {
            return Err(SetError::Request("it has no `sub_id`".to_owned()));
        };
        let read = match subject::read(value, &self.config) {
            Ok(read) => read,
            Err(Unread::Malformed(message)) => {
                return Err(SetError::Request(format!("its `sub_id`: {message}")));
            }
            Err(Unread::Unmapped(what)) => {
                tracing::debug!(receiver = self.name(), what, "subject that is not mapped");
                return Ok(None);
            }
        };
        let none = EventSubject::default();
        let subject = match about {
            About::Named => read,
            About::User => EventSubject {
                user: read.user,
                ..none
            },
            About::Session => EventSubject {
                session: read.session,
                ..none
            },
            About::Device => EventSubject {
                device: read.device,
                ..none
            },
        };
        Ok((subject != EventSubject::default()).then_some(subject))
    }

    /// What the transmitter says of the stream itself.
    fn note(&self, meaning: Meaning, now: Timestamp) {
        match meaning {
            Meaning::Verification(state) => {
                tracing::info!(receiver = self.name(), "the stream of events is verified");
                self.standing.verified(now, state);
            }
            Meaning::StreamUpdated(status, reason) => {
                let shown = reason.as_deref().unwrap_or("none given");
                tracing::warn!(
                    receiver = self.name(),
                    status,
                    reason = shown,
                    "the transmitter has changed the stream of events"
                );
                self.standing.stream(now, status, reason);
            }
            Meaning::Event(..) | Meaning::Nothing => {}
        }
    }
}

/// The id of one of several events of a token; the same whenever the token comes.
fn event_id(jti: &str, name: &str) -> String {
    let id = format!("{jti}#{name}");
    if id.len() <= subject::LONGEST {
        return id;
    }
    // INVARIANT: names of known events are far shorter than what is left beside a hash.
    let hash = hex(&Sha256::digest(jti));
    format!("sha256:{hash}#{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_several_events_are_kept_whole_or_hashed() {
        assert_eq!(event_id("j1", "session-revoked"), "j1#session-revoked");
        let (one, other) = ("x".repeat(256), format!("{}y", "x".repeat(255)));
        let long = event_id(&one, "session-revoked");
        assert!(long.len() <= subject::LONGEST && long.ends_with("#session-revoked"));
        assert_eq!(long, event_id(&one, "session-revoked"));
        assert_ne!(long, event_id(&other, "session-revoked"));
    }
}
