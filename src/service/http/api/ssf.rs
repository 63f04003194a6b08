//! The receiver of Shared Signals over HTTP: tokens that are pushed, and how receivers fare.
//!
//! What must hold: a token is acknowledged only after the store has what it says.

pub(crate) mod poll;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::body::read_bytes;
use super::body::{Answer, Params, Shared, missing, reply};
use super::subjects::no_signals;
use super::subjects::types::unknown_type;
use crate::base::timestamp::Timestamp;
use crate::service::http::app::App;
use crate::service::http::net::peer::Peer;
use crate::service::http::observe::metrics::EventResult;
use crate::service::http::problem::Problem;
use crate::service::ssf::{Receiver, SetResult};
use crate::trust::subjects::{ChangeError, EventAnswer, SignalStore};

/// The media type of a security event token.
const TYPE: &str = "application/secevent+jwt";
/// Longest body of a push, in bytes.
const LONGEST: usize = 64 << 10;

/// How each receiver fares.
pub(crate) async fn list(State(app): Shared) -> Answer {
    let receivers = app.receivers.iter().map(|receiver| {
        let mut shown = receiver.standing().to_json();
        if let Some(members) = shown.as_object_mut() {
            members.insert("name".to_owned(), receiver.name().into());
            members.insert("issuer".to_owned(), receiver.issuer().into());
            members.insert("push".to_owned(), receiver.is_pushed_to().into());
            members.insert("poll".to_owned(), receiver.poll().is_some().into());
            members.insert("keys".to_owned(), json!(receiver.trouble()));
        }
        shown
    });
    let receivers: Vec<_> = receivers.collect();
    reply(json!({ "receivers": receivers }))
}

/// Takes a token that is pushed (RFC 8935).
pub(crate) async fn push(
    State(app): Shared,
    Params(name): Params<String>,
    http: HttpRequest,
) -> Answer {
    let receiver = app.receivers.named(&name);
    let receiver = receiver.filter(|receiver| receiver.is_pushed_to());
    let receiver = receiver.ok_or_else(|| missing("tokens are not pushed here"))?;
    let receiver = Arc::clone(receiver);
    let standing = receiver.standing();
    let now = (app.clock)();
    if !shows(&receiver, http.headers()) {
        standing.counts.add(SetResult::AuthenticationFailed);
        standing.failed(now, "a push without the `Authorization` that is configured");
        let peer = http.extensions().get::<Arc<Peer>>().cloned();
        let wait = app.gate.failed(&peer.unwrap_or_default());
        return match wait {
            Ok(()) => Ok(refusal(
                "authentication_failed",
                "the `Authorization` is not the one that is configured",
            )),
            Err(wait) => {
                let detail = "too many pushes with a wrong `Authorization` came from this address";
                let status = StatusCode::TOO_MANY_REQUESTS;
                Err(Problem::new(status, "too_many_attempts", detail).retry_after(wait))
            }
        };
    }
    let store = app.signals().ok_or_else(no_signals)?;
    let limits = **app.limits.load();
    let set = match body(&app, http).await {
        Ok(set) => set,
        Err(Unread::Later(problem)) => {
            standing.counts.add(SetResult::Unavailable);
            return Err(problem);
        }
        Err(Unread::Refused(reason)) => {
            standing.counts.add(SetResult::InvalidRequest);
            standing.failed(now, reason);
            return Ok(refusal("invalid_request", reason));
        }
    };
    let Some(_place) = app.pushes.take(*limits.queue_timeout).await else {
        standing.counts.add(SetResult::Unavailable);
        return Err(later("too many tokens are being taken"));
    };
    match take(&app, &receiver, &store, &set, now).await {
        SetOutcome::Kept => Ok(StatusCode::ACCEPTED.into_response()),
        SetOutcome::Refused(code, description) => Ok(refusal(code, &description)),
        SetOutcome::Later(reason) => {
            tracing::warn!(receiver = receiver.name(), reason, "a token was not taken");
            Err(later("the token cannot be taken at present"))
        }
    }
}

fn later(detail: &str) -> Problem {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Problem::new(status, "not_taken", detail).retry_after(5)
}

/// Whether a push shows what it is to show, once.
fn shows(receiver: &Receiver, headers: &HeaderMap) -> bool {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    match (given.next(), given.next()) {
        (Some(one), None) => receiver.knows(one.as_bytes()),
        _ => false,
    }
}

/// Why the token of a push was not read.
enum Unread {
    /// Sending it again would change nothing.
    Refused(&'static str),
    /// It may be sent again.
    Later(Problem),
}

/// The token of a push.
async fn body(app: &App, http: HttpRequest) -> Result<String, Unread> {
    let limits = **app.limits.load();
    let mut kinds = http.headers().get_all(header::CONTENT_TYPE).iter();
    let kind = kinds.next().and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or("");
    let several = kinds.next().is_some() || http.headers().contains_key(header::CONTENT_ENCODING);
    if several || !kind.trim().eq_ignore_ascii_case(TYPE) {
        let reason = "send the token with `Content-Type: application/secevent+jwt`, uncompressed";
        return Err(Unread::Refused(reason));
    }
    let longest = limits.body_bytes.min(LONGEST);
    let body = read_bytes(app, http, longest, *limits.read_timeout).await;
    let body = body.map_err(|problem| match problem.code() {
        "overloaded" => Unread::Later(problem),
        "timeout" => Unread::Refused("the token did not arrive in time"),
        _ => Unread::Refused("the token is not whole, or too long"),
    })?;
    let text = std::str::from_utf8(&body).map_err(|_| Unread::Refused("the token is not text"))?;
    Ok(text.trim_ascii().to_owned())
}

/// A refusal in the words of RFC 8935, section 2.3.
fn refusal(code: &str, description: &str) -> Response {
    let body = json!({"err": code, "description": description}).to_string();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::CONTENT_LANGUAGE, "en"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The result of a token.
#[derive(Debug, PartialEq, Eq)]
enum SetOutcome {
    /// What it says is stored, or is nothing to store: it is acknowledged.
    Kept,
    /// It is not taken, however often it is sent.
    Refused(&'static str, String),
    /// It may be sent again.
    Later(String),
}

/// Verifies, reads and stores a token, and counts what became of it.
async fn take(
    app: &App,
    receiver: &Receiver,
    store: &Arc<dyn SignalStore>,
    set: &str,
    now: Timestamp,
) -> SetOutcome {
    let standing = receiver.standing();
    let mut reading = match receiver.read(set, now).await {
        Ok(reading) => reading,
        Err(error) => {
            let reason = error.to_string();
            standing.counts.add(SetResult::of_code(error.code()));
            standing.failed(now, reason.clone());
            return match error.code() {
                Some(code) => SetOutcome::Refused(code, reason),
                None => SetOutcome::Later(reason),
            };
        }
    };
    // A mapping to a type that the schema does not know maps to nobody.
    let read = reading.events.len();
    reading.events.retain(|event| {
        let wrong = event.subject.user.as_ref();
        let wrong = wrong.and_then(|user| unknown_type(app, user));
        if let Some(reason) = &wrong {
            let receiver = receiver.name();
            tracing::warn!(
                receiver,
                reason,
                "`subjects` of this receiver names no type"
            );
            standing.failed(now, format!("`subjects`: {reason}"));
        }
        wrong.is_none()
    });
    let unmapped = read - reading.events.len();
    reading
        .passed
        .extend((0..unmapped).map(|_| SetResult::Unmapped));
    let events = reading.events.iter();
    let types: Vec<_> = events.map(|event| event.kind.event_type()).collect();
    let answers = match reading.events.is_empty() {
        true => Vec::new(),
        false => {
            let (store, events) = (Arc::clone(store), reading.events);
            let reported = tokio::task::spawn_blocking(move || store.report(events, now)).await;
            reported.unwrap_or_default()
        }
    };
    let mut refused = None;
    let mut failed = (answers.len() < types.len()).then(|| "the store has failed".to_owned());
    for (kind, answer) in types.into_iter().zip(answers) {
        let name = kind.name();
        let (result, tally) = match answer {
            EventAnswer::Accepted => (EventResult::Accepted, SetResult::Accepted),
            EventAnswer::Duplicate => (EventResult::Duplicate, SetResult::Duplicate),
            EventAnswer::Refused(ChangeError::Refused { code, message }) => {
                // Sending it again would change nothing, and it is not kept: the transmitter hears it.
                tracing::warn!(
                    receiver = receiver.name(),
                    event = name,
                    code,
                    message,
                    "event refused"
                );
                refused.get_or_insert_with(|| format!("its event `{name}` is refused: {message}"));
                (EventResult::Refused, SetResult::Refused)
            }
            EventAnswer::Refused(error) => {
                failed.get_or_insert(error.to_string());
                (EventResult::NotKept, SetResult::Unavailable)
            }
        };
        app.metrics.event(Some(kind), result);
        standing.counts.add(tally);
    }
    if let Some(reason) = failed {
        standing.failed(now, reason.clone());
        return SetOutcome::Later(reason);
    }
    for tally in reading.passed {
        standing.counts.add(tally);
    }
    standing.heard(now);
    match refused {
        Some(reason) => {
            standing.failed(now, reason.clone());
            SetOutcome::Refused("invalid_request", reason)
        }
        None => SetOutcome::Kept,
    }
}
