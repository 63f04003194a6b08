//! An [`Outcome`] as the JSON answer of `POST /authorize`, written without copies.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::json;

use super::parts::{List, Shown, text, unmet};
use super::trust;
use crate::pdp::decide::{Obligation, Outcome, TrustOutcome};
#[cfg(feature = "server")]
use crate::request::{Request, RequestError};

/// The answer to a request, as it goes over the wire.
#[derive(Debug)]
pub(crate) struct WireAnswer<'a> {
    /// The decision's id, where it has one.
    pub(crate) decision_id: Option<&'a str>,
    /// The id that the request was given.
    pub(crate) request_id: Option<&'a str>,
    /// Whether an explanation is asked for.
    pub(crate) explain: bool,
    pub(crate) outcome: &'a Outcome,
}

#[cfg(feature = "server")]
impl<'a> WireAnswer<'a> {
    /// The answer to `request`.
    pub(crate) fn new(
        request: &'a Request,
        outcome: &'a Outcome,
        decision_id: Option<&'a str>,
    ) -> Self {
        Self {
            decision_id,
            request_id: request.request_id(),
            explain: request.explain(),
            outcome,
        }
    }

    /// Its bytes.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, RequestError> {
        let mut bytes = Vec::with_capacity(512);
        // INVARIANT: an answer is made of strings and numbers, which always serialize.
        serde_json::to_writer(&mut bytes, self)
            .map_err(|error| RequestError::invalid("", error.to_string()))?;
        Ok(bytes)
    }
}

impl Serialize for WireAnswer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self {
            explain, outcome, ..
        } = *self;
        let state = outcome.state();
        let mut members = serializer.serialize_map(None)?;
        if let Some(id) = self.decision_id {
            members.serialize_entry("decisionId", id)?;
        }
        if let Some(id) = self.request_id {
            members.serialize_entry("requestId", id)?;
        }
        members.serialize_entry("decision", outcome.decision().as_str())?;
        members.serialize_entry("cause", outcome.cause().as_str())?;
        members.serialize_entry(
            "reasons",
            &List(|| outcome.determining_policies().map(text)),
        )?;
        if explain {
            let (annotations, all) = annotations(outcome);
            members.serialize_entry("annotations", &annotations)?;
            if !all {
                members.serialize_entry("annotationsTruncated", &true)?;
            }
        }
        if outcome.unmet().next().is_some() {
            members.serialize_entry("unmet", &List(|| unmet(outcome)))?;
        }
        let errors = || {
            outcome.policy_errors().map(|failure| WireError {
                policy: text(failure.policy()),
                code: failure.code().as_str(),
                detail: failure.message().filter(|_| explain).map(str::to_owned),
            })
        };
        members.serialize_entry("policyErrors", &List(errors))?;
        let obligations = || outcome.obligations().map(wire_obligation);
        let asked = match outcome.trust() {
            Some(_) => trust::requirements(outcome),
            None => Vec::new(),
        };
        let would_be = outcome.trust().and_then(TrustOutcome::would_be);
        if asked.is_empty() || would_be.is_some() {
            members.serialize_entry("obligations", &List(obligations))?;
        } else {
            let own = obligations().map(|obligation| json!(obligation));
            let all: Vec<_> = own.chain(asked.iter().cloned()).collect();
            members.serialize_entry("obligations", &all)?;
        }
        members.serialize_entry("advice", &List(|| outcome.advice().map(wire_obligation)))?;
        if let (Some(found), Some(config)) = (outcome.trust(), state.snapshot().trust()) {
            let wire = trust::WireTrust {
                found,
                config,
                explain,
            };
            members.serialize_entry("trust", &wire)?;
        }
        if let Some(would_be) = would_be {
            members.serialize_entry(
                "wouldBe",
                &json!({
                    "decision": would_be.decision.as_str(),
                    "cause": would_be.cause.as_str(),
                    "obligations": asked,
                }),
            )?;
        }
        members.serialize_entry("revision", state.revision().as_str())?;
        members.serialize_entry("sequence", &state.sequence())?;
        members.serialize_entry("evaluatedAt", &Shown(outcome.evaluated_at()))?;
        members.end()
    }
}

/// Most bytes of annotations in an answer.
const ANNOTATIONS: usize = 16 << 10;

/// The annotations of the determining policies, by policy and name, as many policies as there is room for;
/// whether these are all.
fn annotations(outcome: &Outcome) -> (BTreeMap<&str, BTreeMap<&str, &str>>, bool) {
    let (mut shown, mut room) = (BTreeMap::new(), ANNOTATIONS);
    for found in outcome.annotations() {
        let id = text(found.policy());
        let size: usize = found
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        match room.checked_sub(size + id.len()) {
            Some(left) => room = left,
            None => return (shown, false),
        }
        shown.insert(id, found.iter().collect());
    }
    (shown, true)
}

/// A policy that failed; `detail` (Cedar's message, which may quote data) only when explained.
#[derive(Debug, Serialize)]
struct WireError<'a> {
    policy: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// An obligation or a piece of advice: `id` is `<policy>:<name>`.
#[derive(Debug, Serialize)]
struct WireObligation<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: &'a str,
    properties: Properties<'a>,
}

#[derive(Debug, Serialize)]
struct Properties<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    argument: Option<&'a str>,
}

fn wire_obligation(obligation: Obligation<'_>) -> WireObligation<'_> {
    WireObligation {
        id: format!("{}:{}", obligation.policy(), obligation.name()),
        kind: obligation.name(),
        properties: Properties {
            argument: obligation.argument(),
        },
    }
}
