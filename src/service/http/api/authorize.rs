//! `POST /authorize`: bytes to a decision and back.

use std::time::{Duration, Instant};

use axum::body::Body as HttpBody;
use axum::http::{HeaderMap, HeaderValue, Request as HttpRequest, StatusCode, header};
use axum::response::Response;
use uuid::Uuid;

use super::audit;
use super::body::{Incoming, read_body};
use super::principal;
use crate::answer::{WireAnswer, decision_id};
use crate::base::caller::Caller;
use crate::base::timestamp::Timestamp;
use crate::pdp::Pdp;
use crate::request::{Body, Request};
use crate::service::audit::Entry;
use crate::service::http::app::App;
use crate::service::http::headers::{X_DECISION_ID, X_REQUEST_ID, request_id};
use crate::service::http::net::lane::Turn;
use crate::service::http::net::permits::Permit;
use crate::service::http::observe::metrics::Shed;
use crate::service::http::observe::trace::TraceContext;
use crate::service::http::problem::Problem;

/// How long a request waits for the state that its `atLeast` demands.
const WAIT_FOR_SEQUENCE: Duration = Duration::from_millis(100);
const LOOK_FOR_SEQUENCE: Duration = Duration::from_millis(5);
/// Room for the headers of an answer, so that the table of them does not grow.
const ANSWER_HEADERS: usize = 12;

/// Decides one request.
/// `at` is when the request came: by the clock that measures, and by the calendar.
pub(crate) async fn respond<B: Incoming>(
    app: &App,
    caller: Caller,
    at: (Instant, Timestamp),
    http: HttpRequest<B>,
) -> Response {
    let mut id = request_id(http.headers());
    let answered = answer(app, http, (caller, at), &mut id).await;
    let response = match answered {
        Ok(response) => response,
        Err(problem) => problem.respond(id.as_deref()),
    };
    with_request_id(response, id)
}

async fn answer<B: Incoming>(
    app: &App,
    http: HttpRequest<B>,
    (caller, (began, now)): (Caller, (Instant, Timestamp)),
    id: &mut Option<String>,
) -> Result<Response, Problem> {
    if app.shedder.refuses() {
        return Err(overloaded(app));
    }
    let limits = **app.limits.load();
    let trace = TraceContext::of(http.headers()).map(|context| context.trace);
    let body = read_body(app, http, &limits).await?;
    let turn = app.lane.turn(body.len()).await;
    let mut turn = turn.ok_or_else(|| overloaded(app))?;
    let place = app.requests.take(*limits.queue_timeout).await;
    let mut place = place.ok_or_else(|| overloaded(app))?;
    let pdp = app.pdp().ok_or_else(|| not_ready(app))?;
    let request = match turn.run(|| Request::body(&body, &limits.request(), caller))? {
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
    let decision_id = decision_id(now);
    let mut buffer = Uuid::encode_buffer();
    let shown = &*decision_id.hyphenated().encode_lower(&mut buffer);
    let mut request = request.with_now(now);
    request.trace = trace;
    match (&request.request_id, &*id) {
        (Some(given), _) => *id = Some(given.clone()),
        (None, Some(header)) => request.request_id = Some(header.clone()),
        (None, None) => {
            request.request_id = Some((*shown).to_owned());
            *id = Some((*shown).to_owned());
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
    let bytes = WireAnswer::new(&request, &outcome, Some(shown)).to_bytes()?;
    let mut response = Response::new(HttpBody::from(bytes));
    let headers = response.headers_mut();
    *headers = HeaderMap::with_capacity(ANSWER_HEADERS);
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
        crate::service::http::observe::spans::note(&mut response, &outcome);
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
    place: Permit,
    size: usize,
    wait: impl Future<Output = Result<T, Problem>>,
) -> Result<(T, Turn, Permit), Problem> {
    drop(place);
    let parked = app.lane.park(turn).await.ok_or_else(|| overloaded(app))?;
    let done = wait.await?;
    drop(parked);
    let turn = app.lane.turn(size).await.ok_or_else(|| overloaded(app))?;
    let place = app.requests.take(*app.limits.load().queue_timeout).await;
    Ok((done, turn, place.ok_or_else(|| overloaded(app))?))
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

fn with_request_id(mut response: Response, id: Option<String>) -> Response {
    if let Some(id) = id.and_then(|id| HeaderValue::from_str(&id).ok()) {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    response
}
