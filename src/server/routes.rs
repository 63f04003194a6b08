//! Which path leads where, and what every request passes on its way.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;

use axum::Router;
use axum::extract::{MatchedPath, Request as HttpRequest, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;

use super::app::App;
use super::authorize::{authorize, request_id, respond};
use super::exchange::Exchange;
use super::problem::Problem;
use super::{admin, probes};

/// Every route, by the place that metrics know it by.
pub(super) const PATHS: &[&str] = &[
    "/authorize",
    "/admin/reload",
    "/admin/mismatches",
    "/healthz",
    "/readyz",
    "/metrics",
];

/// The place of `/authorize`.
const AUTHORIZE: usize = 0;

/// The main listener: everything, under a configured host name.
pub(super) fn main(app: Arc<App>) -> Router {
    let router = Router::new()
        .route("/authorize", post(authorize))
        .route("/admin/reload", post(admin::reload))
        .route("/admin/mismatches", get(admin::mismatches))
        .merge(operations())
        .layer(from_fn_with_state(Arc::clone(&app), known_host));
    finish(router, app)
}

/// The operations listener: probes and metrics, under any host name, because probes come by address.
pub(super) fn ops(app: Arc<App>) -> Router {
    finish(operations(), app)
}

fn operations() -> Router<Arc<App>> {
    Router::new()
        .route("/healthz", get(probes::healthz))
        .route("/readyz", get(probes::readyz))
        .route("/metrics", get(probes::metrics))
}

fn finish(router: Router<Arc<App>>, app: Arc<App>) -> Router {
    router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn(harden))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(Arc::clone(&app), measured))
        .with_state(app)
}

/// `POST /authorize` without the router on its way: what the router would do with it, and no more.
pub(super) async fn decide(app: Arc<App>, http: HttpRequest) -> Response {
    let exchange = Exchange::begin(&app, AUTHORIZE, &http);
    let response = hardened(match unknown_host(&app, &http) {
        Some(refusal) => refusal,
        None => guarded(&app, http).await,
    });
    exchange.end(&app, &response);
    response
}

async fn guarded(app: &App, http: HttpRequest) -> Response {
    let mut deciding = std::pin::pin!(respond(app, http));
    std::future::poll_fn(|context| {
        let polled = AssertUnwindSafe(|| deciding.as_mut().poll(context));
        catch_unwind(polled).unwrap_or_else(|panic| Poll::Ready(panicked(panic)))
    })
    .await
}

/// Counts what the router answers, refusals and paths that lead nowhere among it.
async fn measured(State(app): State<Arc<App>>, http: HttpRequest, next: Next) -> Response {
    let matched = http.extensions().get::<MatchedPath>();
    let place = matched.and_then(|path| PATHS.iter().position(|known| *known == path.as_str()));
    let exchange = Exchange::begin(&app, place.unwrap_or(PATHS.len()), &http);
    let response = next.run(http).await;
    exchange.end(&app, &response);
    response
}

/// Whether a request is one for [`decide`].
pub(super) fn decides(http: &HttpRequest) -> bool {
    http.method() == Method::POST && http.uri().path() == "/authorize"
}

async fn known_host(State(app): State<Arc<App>>, http: HttpRequest, next: Next) -> Response {
    match unknown_host(&app, &http) {
        Some(refusal) => refusal,
        None => next.run(http).await,
    }
}

/// Refuses host names that are not configured: a web page whose name was pointed at this machine
/// (DNS rebinding) cannot ask here.
fn unknown_host(app: &App, http: &HttpRequest) -> Option<Response> {
    let host = match http.uri().host() {
        // The absolute form of a request target goes before the header (RFC 9112 section 3.2.2).
        Some(host) => host,
        None => {
            let mut hosts = http.headers().get_all(header::HOST).iter();
            let host = match (hosts.next(), hosts.next()) {
                (Some(one), None) => one.to_str().unwrap_or_default(),
                // None, or several to choose from (RFC 9112 section 3.2).
                _ => "",
            };
            without_port(host)
        }
    };
    if app
        .hosts
        .iter()
        .any(|known| known.eq_ignore_ascii_case(host))
    {
        return None;
    }
    let id = request_id(http.headers());
    let detail = "the Host header is not a configured name; add it to `server.hosts`";
    let problem = Problem::new(StatusCode::MISDIRECTED_REQUEST, "unknown_host", detail);
    Some(problem.respond(id.as_deref()))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // The colons within `[::1]` divide no port.
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty() => name,
        _ => host,
    }
}

async fn harden(http: HttpRequest, next: Next) -> Response {
    hardened(next.run(http).await)
}

fn hardened(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let nosniff = axum::http::HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

async fn not_found(uri: Uri, http: HttpRequest) -> Response {
    let detail = match crate::nearest::nearest(uri.path(), PATHS.iter().copied()) {
        Some(near) => format!("there is nothing here; did you mean `{near}`?"),
        None => format!("there is nothing here; known are {}", PATHS.join(", ")),
    };
    let id = request_id(http.headers());
    Problem::new(StatusCode::NOT_FOUND, "not_found", detail).respond(id.as_deref())
}

async fn method_not_allowed(method: Method, http: HttpRequest) -> Response {
    let id = request_id(http.headers());
    let detail = format!("{method} is not served here; see the Allow header");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
        .respond(id.as_deref())
}

/// A panic is a defect of ours; the client still gets an answer that it can tell from a decision.
fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a request handler panicked");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "an internal error",
    )
    .respond(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_cut_from_host_names() {
        for (host, name) in [
            ("localhost:8180", "localhost"),
            ("localhost", "localhost"),
            ("[::1]:8180", "[::1]"),
            ("[::1]", "[::1]"),
            (":80", ":80"),
        ] {
            assert_eq!(without_port(host), name);
        }
    }
}
