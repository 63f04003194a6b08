//! A decision as it stands in the log: a format of its own, apart from the types that decide.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use uuid::Uuid;

use super::canonical::{self, MaskKey};
use super::entry::Entry;
use crate::answer::parts::{List, text, unmet};
use crate::answer::trust::{WireTrust, factors};
use crate::base::caller::{Handles, InlineRule};
use crate::base::entity_ref::EntityRef;
use crate::base::write::JsonText;
use crate::pdp::decide::{Obligation, TrustOutcome};
use crate::policy::{EngineChoice, OnError};
use crate::request::{Client, Purpose, Request};
use crate::service::config::Recording;

/// What was read of the stored entities.
#[derive(Debug, Default)]
pub(super) enum EntitySlice {
    /// Nobody wants to know.
    #[default]
    Unasked,
    /// The entities that the request can reach, in Cedar's JSON form.
    Whole(Vec<Value>),
    /// More than are kept, or they could not be told.
    Truncated,
}

/// Hashes of content, so that a summary can be compared with what somebody says was asked.
#[derive(Debug, Default, Serialize)]
pub(super) struct Hashes {
    context: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    entities: Option<String>,
}

impl Hashes {
    /// Of a request's content; `room` is used for its text.
    pub(super) fn of(request: &Request, key: Option<&MaskKey>, room: &mut Vec<u8>) -> Self {
        let mut hash = |write: &dyn Fn(&mut Vec<u8>)| {
            room.clear();
            write(room);
            canonical::hash(room, key)
        };
        Self {
            context: hash(&|room| canonical::write_context(&request.context, room)),
            entities: (!request.entities.is_empty())
                .then(|| hash(&|room| canonical::write_array(&request.entities, room))),
        }
    }
}

/// A decision's record, without what the chain adds to it.
#[derive(Debug)]
pub(super) struct DecisionRecord<'a> {
    pub(super) entry: &'a Entry,
    pub(super) sequence: u64,
    pub(super) recording: Recording,
    /// Whether the record would have been too long as it was asked for.
    pub(super) reduced: bool,
    pub(super) hashes: &'a Hashes,
    pub(super) read: &'a EntitySlice,
}

impl DecisionRecord<'_> {
    /// Writes the record as a JSON object.
    pub(super) fn write(&self, json: &mut JsonText) -> serde_json::Result<()> {
        let Entry {
            request, outcome, ..
        } = self.entry;
        let state = outcome.state();
        let settings = state.snapshot().settings();
        // Ids of decisions, revisions, and names of ours hold nothing that would be escaped.
        json.raw("{\"kind\":\"decision\",\"sequence\":");
        json.number(self.sequence);
        json.plain(",\"time\":", self.entry.time.text().as_str());
        let mut buffer = Uuid::encode_buffer();
        let id = self.entry.id.hyphenated().encode_lower(&mut buffer);
        json.plain(",\"id\":", id);
        if let Some(id) = request.request_id() {
            json.raw(",\"requestId\":");
            json.string(id);
        }
        json.raw(",\"caller\":");
        json.string(request.caller().name());
        let any = matches!(request.caller().handles(), Handles::Any);
        json.plain(",\"inline\":", inline(request.caller().inline()));
        json.plain(",\"handles\":", if any { "any" } else { "listed" });
        json.plain(",\"route\":", self.entry.route);
        json.plain(",\"revision\":", state.revision().as_str());
        json.raw(",\"stateSequence\":");
        json.number(state.sequence());
        json.plain(",\"engine\":", engine(settings.engine));
        json.plain(",\"onError\":", on_error(settings.on_error));
        let trust = outcome.trust();
        let mode = trust.map_or("off", |trust| trust.enforcement().as_str());
        json.plain(",\"enforcement\":", mode);
        json.plain(",\"now\":", outcome.evaluated_at().text().as_str());
        json.raw(",\"request\":");
        self.request(json)?;
        let both = trust.zip(state.snapshot().trust());
        let factors = both.map(|(trust, config)| factors(trust.assessment(), config));
        json.raw(",\"factors\":");
        json.value(&factors)?;
        json.plain(",\"decision\":", outcome.decision().as_str());
        json.plain(",\"cause\":", outcome.cause().as_str());
        json.raw(",\"reasons\":");
        json.list(outcome.determining_policies(), |json, id| {
            json.string(text(id))
        });
        if outcome.unmet().next().is_some() {
            json.raw(",\"unmet\":");
            json.value(&List(|| unmet(outcome)))?;
        }
        // Messages of errors may quote what a mask hides.
        json.raw(",\"policyErrors\":");
        json.list(outcome.policy_errors(), |json, failure| {
            json.raw("{\"policy\":");
            json.string(text(failure.policy()));
            json.plain(",\"code\":", failure.code().as_str());
            json.raw("}");
        });
        json.raw(",\"obligations\":");
        json.list(outcome.obligations(), duty);
        json.raw(",\"advice\":");
        json.list(outcome.advice(), duty);
        let score = both.map(|(found, config)| WireTrust {
            found,
            config,
            explain: false,
        });
        json.raw(",\"score\":");
        json.value(&score)?;
        if let Some(would_be) = trust.and_then(TrustOutcome::would_be) {
            json.plain(",\"wouldBe\":{\"decision\":", would_be.decision.as_str());
            json.plain(",\"cause\":", would_be.cause.as_str());
            json.raw("}");
        }
        json.raw(",\"hashes\":");
        json.value(self.hashes)?;
        match self.read {
            EntitySlice::Unasked => {}
            EntitySlice::Whole(entities) => {
                json.raw(",\"slice\":");
                json.value(entities)?;
            }
            EntitySlice::Truncated => json.raw(",\"sliceTruncated\":true"),
        }
        json.raw(",\"latencyMicros\":");
        json.number(u64::try_from(self.entry.latency.as_micros()).unwrap_or(u64::MAX));
        json.plain(",\"recording\":", self.recording.as_str());
        if self.reduced {
            json.raw(",\"reduced\":true");
        }
        json.raw("}");
        Ok(())
    }

    /// Writes the request; its members are those of `POST /authorize`.
    fn request(&self, json: &mut JsonText) -> serde_json::Result<()> {
        let request = &self.entry.request;
        let [principal, action, resource] = request.names();
        json.raw("{\"principal\":");
        name(json, principal);
        json.raw(",\"action\":");
        name(json, action);
        json.raw(",\"resource\":");
        name(json, resource);
        if self.recording == Recording::Replayable {
            json.raw(",\"context\":");
            json.value(&request.context)?;
            if !request.entities.is_empty() {
                json.raw(",\"entities\":");
                json.value(&request.entities)?;
            }
        }
        if let Some(client) = request.client() {
            json.raw(",\"client\":");
            json.value(&Asking(client))?;
        }
        json.raw(",\"obligations\":");
        json.list(handled(request), |json, name| json.string(name));
        let purpose = match request.purpose() {
            Purpose::Enforce => "enforce",
            Purpose::Probe => "probe",
        };
        json.plain(",\"purpose\":", purpose);
        json.raw("}");
        Ok(())
    }
}

/// The obligations that the caller said it discharges, by its settings and by its request.
fn handled(request: &Request) -> impl Iterator<Item = &str> {
    let by_settings = match request.caller().handles() {
        Handles::Only(names) => Some(names),
        Handles::Any => None,
    };
    let known = move |name: &&str| by_settings.is_none_or(|names| !names.contains(*name));
    let by_request = request.obligations.iter().map(String::as_str).filter(known);
    let by_settings = by_settings.into_iter().flatten();
    by_settings.map(String::as_str).chain(by_request)
}

fn name(json: &mut JsonText, entity: &EntityRef) {
    json.raw("{\"type\":");
    json.string(entity.type_name());
    json.raw(",\"id\":");
    json.string(entity.id());
    json.raw("}");
}

struct Asking<'a>(&'a Client);

impl Serialize for Asking<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Client {
            session,
            device,
            ip,
            user_agent,
        } = self.0;
        let mut members = serializer.serialize_map(None)?;
        for (name, text) in [
            ("session", session),
            ("device", device),
            ("userAgent", user_agent),
        ] {
            if let Some(text) = text {
                members.serialize_entry(name, text)?;
            }
        }
        if let Some(ip) = ip {
            members.serialize_entry("ip", ip)?;
        }
        members.end()
    }
}

fn duty(json: &mut JsonText, obligation: Obligation<'_>) {
    json.raw("{\"policy\":");
    json.string(text(obligation.policy()));
    json.raw(",\"name\":");
    json.string(obligation.name());
    if let Some(argument) = obligation.argument() {
        json.raw(",\"argument\":");
        json.string(argument);
    }
    json.raw("}");
}

fn inline(rule: InlineRule) -> &'static str {
    match rule {
        InlineRule::Off => "off",
        InlineRule::Add => "add",
        InlineRule::Override => "override",
    }
}

fn engine(engine: EngineChoice) -> &'static str {
    match engine {
        EngineChoice::Compiled => "compiled",
        EngineChoice::Reference => "reference",
    }
}

fn on_error(on_error: OnError) -> &'static str {
    match on_error {
        OnError::Deny => "deny",
        OnError::Skip => "skip",
    }
}
