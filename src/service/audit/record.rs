//! A decision as it stands in the log: a format of its own, apart from the types that decide.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use uuid::Uuid;

use super::canonical::{self, MaskKey};
use super::entry::Entry;
use crate::answer::parts::{List, unmet};
use crate::answer::trust::{WireTrust, factors};
use crate::base::caller::{Handles, InlineRule};
use crate::base::entity_ref::EntityRef;
use crate::pdp::decide::{Obligation, TrustOutcome};
use crate::policy::{EngineChoice, OnError};
use crate::request::{Client, Purpose, Request};
use crate::service::config::Recording;

/// Something that is written as its text.
struct Shown<T>(T);

impl<T: std::fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

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

impl Serialize for DecisionRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Entry {
            request, outcome, ..
        } = self.entry;
        let state = outcome.state();
        let settings = state.snapshot().settings();
        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry("kind", "decision")?;
        members.serialize_entry("sequence", &self.sequence)?;
        members.serialize_entry("time", &Shown(self.entry.time))?;
        let mut buffer = Uuid::encode_buffer();
        let id = self.entry.id.hyphenated();
        members.serialize_entry("id", &*id.encode_lower(&mut buffer))?;
        if let Some(id) = request.request_id() {
            members.serialize_entry("requestId", id)?;
        }
        members.serialize_entry("caller", request.caller().name())?;
        members.serialize_entry("inline", inline(request.caller().inline()))?;
        let any = matches!(request.caller().handles(), Handles::Any);
        members.serialize_entry("handles", if any { "any" } else { "listed" })?;
        members.serialize_entry("route", self.entry.route)?;
        members.serialize_entry("revision", state.revision().as_str())?;
        members.serialize_entry("stateSequence", &state.sequence())?;
        members.serialize_entry("engine", engine(settings.engine))?;
        members.serialize_entry("onError", on_error(settings.on_error))?;
        let trust = outcome.trust();
        let mode = trust.map_or("off", |trust| trust.enforcement().as_str());
        members.serialize_entry("enforcement", mode)?;
        members.serialize_entry("now", &Shown(outcome.evaluated_at()))?;
        let whole = self.recording == Recording::Replayable;
        members.serialize_entry("request", &Asked { request, whole })?;
        let both = trust.zip(state.snapshot().trust());
        let factors = both.map(|(trust, config)| factors(trust.assessment(), config));
        members.serialize_entry("factors", &factors)?;
        members.serialize_entry("decision", outcome.decision().as_str())?;
        members.serialize_entry("cause", outcome.cause().as_str())?;
        let reasons = || outcome.determining_policies().map(AsRef::<str>::as_ref);
        members.serialize_entry("reasons", &List(reasons))?;
        if outcome.unmet().next().is_some() {
            members.serialize_entry("unmet", &List(|| unmet(outcome)))?;
        }
        // Messages of errors may quote what a mask hides.
        let errors = || {
            outcome.policy_errors().map(|failure| Failed {
                policy: failure.policy().as_ref(),
                code: failure.code().as_str(),
            })
        };
        members.serialize_entry("policyErrors", &List(errors))?;
        members.serialize_entry("obligations", &List(|| outcome.obligations().map(duty)))?;
        members.serialize_entry("advice", &List(|| outcome.advice().map(duty)))?;
        let score = both.map(|(found, config)| WireTrust {
            found,
            config,
            explain: false,
        });
        members.serialize_entry("score", &score)?;
        if let Some(would_be) = trust.and_then(TrustOutcome::would_be) {
            let (decision, cause) = (would_be.decision.as_str(), would_be.cause.as_str());
            members.serialize_entry("wouldBe", &json!({"decision": decision, "cause": cause}))?;
        }
        members.serialize_entry("hashes", self.hashes)?;
        match self.read {
            EntitySlice::Unasked => {}
            EntitySlice::Whole(entities) => members.serialize_entry("slice", entities)?,
            EntitySlice::Truncated => members.serialize_entry("sliceTruncated", &true)?,
        }
        let micros = u64::try_from(self.entry.latency.as_micros()).unwrap_or(u64::MAX);
        members.serialize_entry("latencyMicros", &micros)?;
        members.serialize_entry("recording", self.recording.as_str())?;
        if self.reduced {
            members.serialize_entry("reduced", &true)?;
        }
        members.end()
    }
}

/// The request; its members are those of `POST /authorize`.
struct Asked<'a> {
    request: &'a Request,
    whole: bool,
}

impl Serialize for Asked<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let request = self.request;
        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry("principal", &Name(request.principal()))?;
        members.serialize_entry("action", &Name(request.action()))?;
        members.serialize_entry("resource", &Name(request.resource()))?;
        if self.whole {
            members.serialize_entry("context", &request.context)?;
            if !request.entities.is_empty() {
                members.serialize_entry("entities", &request.entities)?;
            }
        }
        if let Some(client) = request.client() {
            members.serialize_entry("client", &Asking(client))?;
        }
        members.serialize_entry("obligations", &List(|| handled(request)))?;
        let purpose = match request.purpose() {
            Purpose::Enforce => "enforce",
            Purpose::Probe => "probe",
        };
        members.serialize_entry("purpose", purpose)?;
        members.end()
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

struct Name<'a>(&'a EntityRef);

impl Serialize for Name<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(Some(2))?;
        members.serialize_entry("type", self.0.type_name())?;
        members.serialize_entry("id", self.0.id())?;
        members.end()
    }
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
            members.serialize_entry("ip", &Shown(ip))?;
        }
        members.end()
    }
}

#[derive(Serialize)]
struct Failed<'a> {
    policy: &'a str,
    code: &'static str,
}

#[derive(Serialize)]
struct WireDuty<'a> {
    policy: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    argument: Option<&'a str>,
}

fn duty(obligation: Obligation<'_>) -> WireDuty<'_> {
    WireDuty {
        policy: obligation.policy().as_ref(),
        name: obligation.name(),
        argument: obligation.argument(),
    }
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
