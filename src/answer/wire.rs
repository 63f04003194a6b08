//! An [`Outcome`] as the JSON answer of `POST /authorize`, written without copies.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::parts::{List, text, unmet};
use super::trust;
use crate::base::write::JsonText;
use crate::pdp::decide::{Obligation, Outcome, TrustOutcome};
#[cfg(feature = "json")]
use crate::request::Request;
use crate::request::RequestError;

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

#[cfg(feature = "json")]
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
}

impl WireAnswer<'_> {
    /// Its bytes.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, RequestError> {
        let mut json = JsonText::with_capacity(512);
        // INVARIANT: an answer is made of strings and numbers, which always serialize.
        self.write(&mut json)
            .map_err(|error| RequestError::invalid("", error.to_string()))?;
        Ok(json.into_bytes())
    }

    /// The same as a value.
    pub(crate) fn to_json(&self) -> Result<Value, RequestError> {
        let read = |bytes: Vec<u8>| serde_json::from_slice(&bytes);
        read(self.to_bytes()?).map_err(|error| RequestError::invalid("", error.to_string()))
    }

    fn write(&self, json: &mut JsonText) -> serde_json::Result<()> {
        let Self {
            explain, outcome, ..
        } = *self;
        let state = outcome.state();
        json.raw("{");
        // Ids of decisions, names of decisions and causes, and revisions hold nothing that would be escaped.
        if let Some(id) = self.decision_id {
            json.plain("\"decisionId\":", id);
            json.raw(",");
        }
        if let Some(id) = self.request_id {
            json.raw("\"requestId\":");
            json.string(id);
            json.raw(",");
        }
        json.plain("\"decision\":", outcome.decision().as_str());
        json.plain(",\"cause\":", outcome.cause().as_str());
        json.raw(",\"reasons\":");
        json.list(outcome.determining_policies(), |json, id| {
            json.string(text(id))
        });
        if explain {
            let (annotations, all) = annotations(outcome);
            json.raw(",\"annotations\":");
            json.value(&annotations)?;
            if !all {
                json.raw(",\"annotationsTruncated\":true");
            }
        }
        if outcome.unmet().next().is_some() {
            json.raw(",\"unmet\":");
            json.value(&List(|| unmet(outcome)))?;
        }
        json.raw(",\"policyErrors\":");
        json.list(outcome.policy_errors(), |json, failure| {
            json.raw("{\"policy\":");
            json.string(text(failure.policy()));
            json.raw(",\"code\":");
            json.string(failure.code().as_str());
            if let Some(message) = failure.message().filter(|_| explain) {
                json.raw(",\"detail\":");
                json.string(message);
            }
            json.raw("}");
        });
        let found = outcome.trust();
        let asked = found.map_or_else(Vec::new, |_| trust::requirements(outcome));
        let would_be = found.and_then(TrustOutcome::would_be);
        json.raw(",\"obligations\":");
        let own = outcome.obligations();
        if asked.is_empty() || would_be.is_some() {
            json.list(own, obligation);
        } else {
            let all: Vec<_> = own.map(Ok).chain(asked.iter().map(Err)).collect();
            json.list(all.into_iter(), |json, one| match one {
                Ok(own) => obligation(json, own),
                // INVARIANT: a JSON value always serializes, and memory takes it.
                Err(asked) => _ = json.value(asked),
            });
        }
        json.raw(",\"advice\":");
        json.list(outcome.advice(), obligation);
        if let (Some(found), Some(config)) = (found, state.snapshot().trust()) {
            json.raw(",\"trust\":");
            json.value(&trust::WireTrust {
                found,
                config,
                explain,
            })?;
        }
        if let Some(would_be) = would_be {
            json.raw(",\"wouldBe\":");
            json.value(&json!({
                "decision": would_be.decision.as_str(),
                "cause": would_be.cause.as_str(),
                "obligations": asked,
            }))?;
        }
        json.plain(",\"revision\":", state.revision().as_str());
        json.raw(",\"sequence\":");
        json.number(state.sequence());
        json.plain(",\"evaluatedAt\":", outcome.evaluated_at().text().as_str());
        json.raw("}");
        Ok(())
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

/// Writes an obligation or a piece of advice: `id` is `<policy>:<name>`.
fn obligation(json: &mut JsonText, obligation: Obligation<'_>) {
    json.raw("{\"id\":\"");
    json.escaped(text(obligation.policy()));
    json.raw(":");
    json.escaped(obligation.name());
    json.raw("\",\"type\":");
    json.string(obligation.name());
    json.raw(",\"properties\":{");
    if let Some(argument) = obligation.argument() {
        json.raw("\"argument\":");
        json.string(argument);
    }
    json.raw("}}");
}
