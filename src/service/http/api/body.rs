//! Bodies of management requests, and what their handlers share.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use axum::extract::{Extension, FromRequestParts, Path, Query, Request as HttpRequest, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{BoxError, Json};
use http_body_util::BodyExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::shape;
use crate::base::caller::Caller;
use crate::base::json;
use crate::request::RequestError;
use crate::service::config::LimitsConfig;
use crate::service::http::app::App;
use crate::service::http::net::bodies::Turned;
use crate::service::http::observe::metrics::Shed;
use crate::service::http::problem::Problem;
use crate::storage::{StateDirError, Store};

/// The body of a request, from a connection or through the router.
pub(crate) trait Incoming: HttpBody<Data = Bytes, Error: Into<BoxError>> {}

impl<B: HttpBody<Data = Bytes, Error: Into<BoxError>>> Incoming for B {}

/// Reads a JSON body: strict, within size and depth. Null for an optional member is not a member.
pub(crate) async fn read<T: DeserializeOwned>(app: &App, http: HttpRequest) -> Result<T, Problem> {
    let limits = **app.limits.load();
    let body = read_body(app, http, &limits).await?;
    let turn = app.lane.turn(body.len()).await.ok_or_else(busy)?;
    turn.run(|| {
        let value = json::read(&body, limits.json_depth).map_err(RequestError::Invalid)?;
        shape::read(value).map_err(|faults| RequestError::Invalid(faults).into())
    })
}

/// Reads a JSON body within size and time.
pub(crate) async fn read_body<B: Incoming>(
    app: &App,
    http: Request<B>,
    limits: &LimitsConfig,
) -> Result<Bytes, Problem> {
    if !is_json(http.headers()) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "send the body with `Content-Type: application/json` and no Content-Encoding",
        ));
    }
    read_bytes(app, http, limits.body_bytes, *limits.read_timeout).await
}

/// Reads a body of at most `most` bytes within a time.
pub(crate) async fn read_bytes<B: Incoming>(
    app: &App,
    http: Request<B>,
    most: usize,
    time: Duration,
) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("the body is larger than {most} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    };
    let announced = http.headers().get(header::CONTENT_LENGTH);
    let announced: Option<usize> = announced.and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length| length > most) {
        return Err(too_large());
    }
    let mut collecting = pin!(collect(http.into_body(), most));
    // Most bodies came with their head: then no clock is started.
    let at_once = poll_fn(|context| Poll::Ready(collecting.as_mut().poll(context))).await;
    let collected = match at_once {
        Poll::Ready(collected) => Ok(collected),
        Poll::Pending => tokio::time::timeout(time, collecting).await,
    };
    match collected {
        Ok(Ok(Some(body))) => Ok(body),
        Ok(Ok(None)) => Err(too_large()),
        Ok(Err(error)) => Err(match Turned::of(&*error) {
            Some(turned) => {
                app.metrics.shed(Shed::Bodies);
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Problem::new(status, "overloaded", turned.to_string()).retry_after(1)
            }
            None => Problem::new(
                StatusCode::BAD_REQUEST,
                "incomplete",
                "the body ended before it was whole",
            ),
        }),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            "the body did not arrive in time",
        )),
    }
}

/// Collects a body; `None` when it is longer than `most` bytes. What arrives in small parts is copied, so
/// that no part keeps the buffer that it was read into.
async fn collect<B: Incoming>(body: B, most: usize) -> Result<Option<Bytes>, BoxError> {
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        // Trailers say nothing here.
        let Ok(data) = frame.map_err(Into::into)?.into_data() else {
            continue;
        };
        if first
            .len()
            .saturating_add(whole.len())
            .saturating_add(data.len())
            > most
        {
            return Ok(None);
        }
        if whole.is_empty() && first.is_empty() {
            first = data;
        } else {
            whole.extend_from_slice(&std::mem::take(&mut first));
            whole.extend_from_slice(&data);
        }
    }
    Ok(Some(if whole.is_empty() {
        first
    } else {
        whole.into()
    }))
}

/// JSON must be announced: a web page can send other types to this machine without being asked.
fn is_json(headers: &HeaderMap) -> bool {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter().peekable();
    if kinds.peek().is_none() || headers.contains_key(header::CONTENT_ENCODING) {
        return false;
    }
    // Some clients and proxies add a second header; each has to be JSON.
    kinds.all(|kind| {
        if kind == "application/json" {
            return true;
        }
        let kind = kind.to_str().unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/json") || {
            let kind = kind.to_ascii_lowercase();
            kind.len() > 12 && kind.starts_with("application/") && kind.ends_with("+json")
        }
    })
}

/// Too many large bodies are being worked on.
pub(crate) fn busy() -> Problem {
    let detail = "too many large requests are under way";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail).retry_after(1)
}

/// A fault of the request without a place.
pub(crate) fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_request", detail)
}

/// What a handler answers.
pub(crate) type Answer = Result<Response, Problem>;
/// What all handlers share.
pub(crate) type Shared = State<Arc<App>>;
/// Who asks.
pub(crate) type By = Extension<Caller>;

/// The answer with this body.
pub(crate) fn reply(body: impl Serialize) -> Answer {
    Ok(Json(body).into_response())
}

/// The parameters of a path, or a problem where they cannot be read.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::from_request_parts(parts, state).await;
        let Path(params) = path.map_err(|error| invalid(error.body_text()))?;
        Ok(Self(params))
    }
}

/// The parameters of a query, or a problem where they cannot be read.
pub(crate) struct Queries<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Queries<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::from_request_parts(parts, state).await;
        let Query(params) = query.map_err(|error| {
            let text = error.body_text();
            let bare = text.strip_prefix("Failed to deserialize query string: ");
            let text = bare.map_or_else(|| text.clone(), |text| shape::words(text, None));
            invalid(format!("the query: {text}"))
        })?;
        Ok(Self(params))
    }
}

/// Something that is not there.
pub(crate) fn missing(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
}

/// The state directory, for what needs one.
pub(crate) fn store(app: &App) -> Result<Store, Problem> {
    app.store.clone().ok_or_else(no_state)
}

pub(crate) fn no_state() -> Problem {
    let detail = "this needs a state directory; set `state.dir`";
    Problem::new(StatusCode::NOT_IMPLEMENTED, "no_state", detail)
}

/// What could not be kept: a full disk, for instance. Nothing is acknowledged.
pub(crate) fn not_kept(error: &StateDirError) -> Problem {
    tracing::error!(%error, "state directory");
    let detail = if error.is_damage() {
        DAMAGED
    } else {
        "the change could not be made durable; it may be there after a restart"
    };
    Problem::new(StatusCode::INSUFFICIENT_STORAGE, error.code(), detail)
}

/// What could not be read of the state directory.
pub(crate) fn not_read(error: &StateDirError) -> Problem {
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
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "a request handler panicked");
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Problem::new(status, "internal", "an internal error")
    })
}
