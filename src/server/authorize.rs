//! `POST /authorize`: bytes to a decision and back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body as HttpBody, Bytes};
use axum::extract::{Extension, Request as HttpRequest, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use http_body_util::BodyExt;
use uuid::Uuid;

use super::app::App;
use super::audit;
use super::bodies::Turned;
use super::lane::Turn;
use super::metrics::Shed;
use super::places::Place;
use super::principal;
use super::problem::Problem;
use super::trace::TraceContext;
use crate::answer::WireAnswer;
use crate::audit::Entry;
use crate::base::caller::Caller;
use crate::config::LimitsConfig;
use crate::pdp::Pdp;
use crate::request::{Body, Request};

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(super) const X_DECISION_ID: HeaderName = HeaderName::from_static("x-decision-id");

/// How long a request waits for the state that its `atLeast` demands.
const WAIT_FOR_SEQUENCE: Duration = Duration::from_millis(100);
const LOOK_FOR_SEQUENCE: Duration = Duration::from_millis(5);

/// Decides one request.
pub(super) async fn authorize(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    http: HttpRequest,
) -> Response {
    respond(&app, caller, http).await
}

/// As [`authorize`], for who has the server already.
pub(super) async fn respond(app: &App, caller: Caller, http: HttpRequest) -> Response {
    let mut id = request_id(http.headers());
    let answered = answer(app, http, caller, &mut id).await;
    let response = match answered {
        Ok(response) => response,
        Err(problem) => problem.respond(id.as_deref()),
    };
    with_request_id(response, id)
}

async fn answer(
    app: &App,
    http: HttpRequest,
    caller: Caller,
    id: &mut Option<String>,
) -> Result<Response, Problem> {
    let began = Instant::now();
    if app.shedder.refuses() {
        return Err(overloaded(app));
    }
    let limits = **app.limits.load();
    let trace = TraceContext::of(http.headers()).map(|context| context.trace);
    let body = read_body(app, http, &limits).await?;
    let turn = app.lane.turn(body.len()).await;
    let mut turn = turn.ok_or_else(|| overloaded(app))?;
    let place = app.requests.take(limits.queue_timeout).await;
    let mut place = place.ok_or_else(|| overloaded(app))?;
    let pdp = app.pdp().ok_or_else(|| not_ready(app))?;
    let now = (app.clock)();
    let request = match turn.run(|| Request::body(&body, &limits.request, caller))? {
        Body::Whole(request) => request,
        Body::WithToken(pending) => match principal::known(app, &pending, now)? {
            Some(verified) => principal::resolve(pending, &verified)?,
            None => {
                let verify = principal::verify(app, &pending, now);
                let verified;
                (verified, turn, place) = aside(app, turn, place, body.len(), verify).await?;
                principal::resolve(pending, &verified)?
            }
        },
    };
    let mut request = request.with_now(now);
    request.trace = trace;
    match (&request.request_id, &*id) {
        (Some(given), _) => *id = Some(given.clone()),
        (None, Some(header)) => request.request_id = Some(header.clone()),
        (None, None) => {
            let made = Uuid::now_v7().to_string();
            request.request_id = Some(made.clone());
            *id = Some(made);
        }
    }
    if request
        .at_least()
        .is_some_and(|at_least| at_least > pdp.state().sequence())
    {
        let wait = async {
            wait_for_sequence(pdp, &request).await;
            Ok(())
        };
        ((), turn, place) = aside(app, turn, place, body.len(), wait).await?;
    }
    let outcome = turn.run(|| pdp.authorize(&request))?;
    drop(place);
    app.metrics.decided(&outcome);
    let decision_id = Uuid::now_v7();
    let mut buffer = Uuid::encode_buffer();
    let shown = &*decision_id.hyphenated().encode_lower(&mut buffer);
    let bytes = WireAnswer::new(&request, &outcome, Some(shown)).to_bytes()?;
    let mut response = Response::new(HttpBody::from(bytes));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(decision_id) = HeaderValue::from_str(shown) {
        headers.insert(X_DECISION_ID, decision_id);
    }
    #[cfg(feature = "otlp")]
    if app.spans.get().is_some() {
        super::spans::note(&mut response, &outcome);
    }
    if let Some(log) = &app.audit {
        let took = began.elapsed();
        let entry = Entry::new(decision_id, "authorize", request, outcome, took, body.len());
        audit::record(app, log, entry)?;
    }
    Ok(response)
}

/// Waits for an issuer or a state. A request that does so keeps none from being decided: it gives its turn and its
/// place back, and takes others when it goes on.
async fn aside<T>(
    app: &App,
    turn: Turn,
    place: Place,
    size: usize,
    wait: impl Future<Output = Result<T, Problem>>,
) -> Result<(T, Turn, Place), Problem> {
    drop(place);
    let parked = app.lane.park(turn).await.ok_or_else(|| overloaded(app))?;
    let done = wait.await?;
    drop(parked);
    let turn = app.lane.turn(size).await.ok_or_else(|| overloaded(app))?;
    let place = app.requests.take(app.limits.load().queue_timeout).await;
    Ok((done, turn, place.ok_or_else(|| overloaded(app))?))
}

/// Reads a JSON body within size and time.
pub(super) async fn read_body(
    app: &App,
    http: HttpRequest,
    limits: &LimitsConfig,
) -> Result<Bytes, Problem> {
    if !is_json(http.headers()) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "send the body with `Content-Type: application/json` and no Content-Encoding",
        ));
    }
    read_bytes(app, http, limits.body_bytes, limits.read_timeout).await
}

/// Reads a body of at most `most` bytes within a time.
pub(super) async fn read_bytes(
    app: &App,
    http: HttpRequest,
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
    match tokio::time::timeout(time, collect(http.into_body(), most)).await {
        Ok(Ok(Some(body))) => Ok(body),
        Ok(Ok(None)) => Err(too_large()),
        Ok(Err(error)) => Err(match Turned::of(&error) {
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
async fn collect(mut body: HttpBody, most: usize) -> Result<Option<Bytes>, axum::Error> {
    let mut first = Bytes::new();
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        // Trailers say nothing here.
        let Ok(data) = frame?.into_data() else {
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
        let kind = kind.to_str().unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/json") || {
            let kind = kind.to_ascii_lowercase();
            kind.len() > 12 && kind.starts_with("application/") && kind.ends_with("+json")
        }
    })
}

fn not_ready(app: &App) -> Problem {
    app.metrics.shed(Shed::NotReady);
    Problem::not_ready()
}

fn overloaded(app: &App) -> Problem {
    app.metrics.shed(Shed::Overloaded);
    let detail = "too many requests are under way";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail).retry_after(1)
}

async fn wait_for_sequence(pdp: &Pdp, request: &Request) {
    let Some(at_least) = request.at_least() else {
        return;
    };
    let latest = Instant::now() + WAIT_FOR_SEQUENCE;
    while pdp.state().sequence() < at_least && Instant::now() < latest {
        tokio::time::sleep(LOOK_FOR_SEQUENCE).await;
    }
}

/// The client's own id for the request, if it is one that can be echoed.
pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(X_REQUEST_ID)?.to_str().ok()?;
    (!id.is_empty() && id.len() <= 128).then(|| id.to_owned())
}

fn with_request_id(mut response: Response, id: Option<String>) -> Response {
    if let Some(id) = id.and_then(|id| HeaderValue::from_str(&id).ok()) {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    response
}
