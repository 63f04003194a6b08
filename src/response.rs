//! An [`Outcome`] as the JSON answer of `POST /authorize`: what goes over the wire, apart from the
//! types that decide.

use serde::Serialize;
use uuid::Uuid;

use crate::caller::Caller;
use crate::decide::{Obligation, Outcome};
use crate::pdp::Pdp;
use crate::request::{Request, RequestError};

/// Decides the JSON body of `POST /authorize` and gives the bytes of its JSON answer, without HTTP.
///
/// The answer to a request without a `requestId` carries none.
///
/// ```
/// use deodar::{Caller, Pdp, authorize_json};
///
/// let pdp = Pdp::builder().policies_text("p.cedar", "permit(principal, action, resource);").build()?;
/// let body = br#"{"principal": "User::\"ada\"", "action": "Action::\"read\"", "resource": "Doc::\"plan\""}"#;
/// let answer = authorize_json(&pdp, body, Caller::library())?;
/// assert!(String::from_utf8(answer)?.contains(r#""decision":"Allow""#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`RequestError`] when the body is no request or cannot be decided.
pub fn authorize_json(pdp: &Pdp, body: &[u8], caller: Caller) -> Result<Vec<u8>, RequestError> {
    let request = Request::from_json(body, &pdp.limits().0, caller)?;
    let outcome = pdp.authorize(&request)?;
    to_bytes(&Answer::new(&request, &outcome))
}

/// The bytes of an answer.
pub(crate) fn to_bytes(answer: &Answer<'_>) -> Result<Vec<u8>, RequestError> {
    let mut bytes = Vec::with_capacity(512);
    // INVARIANT: an answer is made of strings and numbers, which always serialize.
    serde_json::to_writer(&mut bytes, answer)
        .map_err(|error| RequestError::invalid("", error.to_string()))?;
    Ok(bytes)
}

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
