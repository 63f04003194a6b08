//! An [`Outcome`] as the JSON answer of `POST /authorize`: what goes over the wire, apart from the
//! types that decide.

use serde::Serialize;
use uuid::Uuid;

use crate::decide::{Obligation, Outcome};
use crate::request::Request;

/// The answer to a request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer<'a> {
    /// A UUIDv7: unique, and rising with time.
    pub(crate) decision_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request_id: Option<&'a str>,
    pub(crate) decision: &'static str,
    pub(crate) cause: &'static str,
    pub(crate) reasons: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) unmet: Vec<WireUnmet<'a>>,
    pub(crate) policy_errors: Vec<WireError<'a>>,
    pub(crate) obligations: Vec<WireObligation<'a>>,
    pub(crate) advice: Vec<WireObligation<'a>>,
    pub(crate) revision: &'a str,
    pub(crate) sequence: u64,
    pub(crate) evaluated_at: String,
}

/// A satisfied permit that did not make an Allow, and the obligations that were not handled.
#[derive(Debug, Serialize)]
pub(crate) struct WireUnmet<'a> {
    policy: &'a str,
    obligations: Vec<String>,
}

/// A policy that failed; `detail` (Cedar's message, which may quote data) only when explained.
#[derive(Debug, Serialize)]
pub(crate) struct WireError<'a> {
    policy: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

/// An obligation or a piece of advice: `id` is `<policy>:<name>`.
#[derive(Debug, Serialize)]
pub(crate) struct WireObligation<'a> {
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

impl<'a> Answer<'a> {
    /// The answer to `request`.
    pub(crate) fn new(request: &'a Request, outcome: &'a Outcome) -> Self {
        let state = outcome.state();
        Self {
            decision_id: Uuid::now_v7().to_string(),
            request_id: request.request_id(),
            decision: outcome.decision().as_str(),
            cause: outcome.cause().as_str(),
            reasons: outcome.determining_policies().map(AsRef::as_ref).collect(),
            unmet: outcome
                .unmet()
                .map(|unmet| WireUnmet {
                    policy: unmet.policy.as_ref(),
                    obligations: unmet.obligations.iter().map(ToString::to_string).collect(),
                })
                .collect(),
            policy_errors: outcome
                .policy_errors()
                .map(|failure| WireError {
                    policy: failure.policy().as_ref(),
                    code: failure.code().as_str(),
                    detail: failure.message().filter(|_| request.explain()),
                })
                .collect(),
            obligations: outcome.obligations().map(wire_obligation).collect(),
            advice: outcome.advice().map(wire_obligation).collect(),
            revision: state.revision().as_str(),
            sequence: state.sequence(),
            evaluated_at: outcome.evaluated_at().to_string(),
        }
    }
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
