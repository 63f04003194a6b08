//! Bodies of management requests, and what their handlers share.

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Request as HttpRequest};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::app::App;
use super::authorize::read_body;
use super::problem::Problem;
use super::shape;
use crate::base::json;
use crate::request::RequestError;
use crate::storage::{StateDirError, Store};

/// Reads a JSON body: strict, within size and depth. Null for an optional member is not a member.
pub(super) async fn read<T: DeserializeOwned>(app: &App, http: HttpRequest) -> Result<T, Problem> {
    let limits = **app.limits.load();
    let body = read_body(app, http, &limits).await?;
    let turn = app.lane.turn(body.len()).await.ok_or_else(busy)?;
    turn.run(|| {
        let value = json::read(&body, limits.request.json_depth).map_err(RequestError::Invalid)?;
        shape::read(value).map_err(|faults| RequestError::Invalid(faults).into())
    })
}

/// Too many large bodies are being worked on.
pub(super) fn busy() -> Problem {
    let detail = "too many large requests are under way";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail).retry_after(1)
}

/// A fault of the request without a place.
pub(super) fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_request", detail)
}

/// The parameters of a path, or a problem where they cannot be read.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::from_request_parts(parts, state).await;
        let Path(params) = path.map_err(|error| invalid(error.body_text()))?;
        Ok(Self(params))
    }
}

/// A query that cannot be read.
pub(super) fn query(error: &QueryRejection) -> Problem {
    let text = error.body_text();
    let text = text.strip_prefix("Failed to deserialize query string: ");
    let text = text.map_or_else(|| error.body_text(), |text| shape::words(text, None));
    invalid(format!("the query: {text}"))
}

/// Something that is not there.
pub(super) fn missing(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
}

/// The state directory, for what needs one.
pub(super) fn store(app: &App) -> Result<Store, Problem> {
    app.store.clone().ok_or_else(no_state)
}

pub(super) fn no_state() -> Problem {
    let detail = "this needs a state directory; set `state.dir`";
    Problem::new(StatusCode::NOT_IMPLEMENTED, "no_state", detail)
}

/// What could not be kept: a full disk, for instance. Nothing is acknowledged.
pub(super) fn not_kept(error: &StateDirError) -> Problem {
    tracing::error!(%error, "state directory");
    let detail = if error.is_damage() {
        DAMAGED
    } else {
        "the change could not be made durable; it may be there after a restart"
    };
    Problem::new(StatusCode::INSUFFICIENT_STORAGE, error.code(), detail)
}

/// What could not be read of the state directory.
pub(super) fn not_read(error: &StateDirError) -> Problem {
    tracing::error!(%error, "state directory");
    let detail = if error.is_damage() {
        DAMAGED
    } else {
        "the state directory cannot be read; the log says why"
    };
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    Problem::new(status, error.code(), detail)
}

/// What callers are told of a damaged state directory; the log names the file and what to do.
const DAMAGED: &str = "the state directory is damaged and is not written to any more; decisions go on \
     from memory; an operator has to restore it from a backup, or start with an empty one";

/// Runs what waits for a disk where waiting keeps nobody from being decided.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "a request handler panicked");
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Problem::new(status, "internal", "an internal error")
    })
}
