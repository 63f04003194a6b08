//! Which path leads where and what it takes to go there, and what every request passes on its way.

pub(crate) mod exchange;
pub(crate) mod guard;
use std::any::Any;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request as HttpRequest, State};
use axum::handler::Handler;
use axum::http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, get, on};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;

use self::exchange::Exchange;
use self::guard::Needs;
use super::api::authorize::respond;
use super::api::body::Incoming;
use super::api::subjects::{assurance, devices, events, users};
use super::api::{
    admin, audit, denials, entities, keys, policies, probes, revisions, ssf, watch, webhooks,
    whoami,
};
use super::app::App;
use super::gate::hosts;
use super::gate::limit::Class;
use super::headers::{X_DECISION_ID, X_REQUEST_ID, request_id};
use super::net::peer::Peer;
use super::problem::Problem;
use crate::base::caller::Scope;

/// One way in: the table of them is what the router is made of and what tests go through.
pub(super) struct Route {
    #[cfg_attr(
        not(test),
        allow(dead_code, reason = "handlers know theirs; tests go by it")
    )]
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) needs: Needs,
    pub(super) class: Class,
    handler: MethodRouter<Arc<App>>,
}

impl Route {
    /// The same for another class than what callers manage.
    fn of(mut self, class: Class) -> Self {
        self.class = class;
        self
    }
}

fn route<H: Handler<T, Arc<App>>, T: 'static>(
    method: Method,
    path: &'static str,
    needs: impl Into<Needs>,
    handler: H,
) -> Route {
    // INVARIANT: every method of the table has a filter; another one would serve nothing.
    let filter = MethodFilter::try_from(method.clone());
    let handler = filter.map_or_else(|_| MethodRouter::new(), |filter| on(filter, handler));
    Route {
        method,
        path,
        needs: needs.into(),
        class: Class::Manage,
        handler,
    }
}

/// Every route of the main listener.
#[rustfmt::skip]
pub(super) fn table() -> Vec<Route> {
    vec![
        route(Method::POST, "/authorize", Scope::Decide, authorize).of(Class::Decide),
        route(Method::GET, "/whoami", Needs::Caller, whoami::whoami),
        route(Method::GET, "/policies", Scope::PoliciesRead, policies::list),
        route(Method::GET, "/policies/{id}", Scope::PoliciesRead, policies::get),
        route(Method::POST, "/admin/reload", Scope::PoliciesWrite, admin::reload),
        route(Method::GET, "/admin/mismatches", Scope::AuditRead, admin::mismatches),
        route(Method::GET, "/revisions", Scope::PoliciesRead, revisions::list),
        route(Method::GET, "/revisions/{sequence}", Scope::PoliciesRead, revisions::get),
        route(Method::GET, "/entities", Scope::EntitiesRead, entities::types),
        route(Method::POST, "/entities", Scope::EntitiesWrite, entities::batch),
        route(Method::GET, "/entities/{type}", Scope::EntitiesRead, entities::list),
        route(Method::GET, "/entities/{type}/{id}", Scope::EntitiesRead, entities::get),
        route(Method::PUT, "/entities/{type}/{id}", Scope::EntitiesWrite, entities::put),
        route(Method::PATCH, "/entities/{type}/{id}", Scope::EntitiesWrite, entities::patch),
        route(Method::DELETE, "/entities/{type}/{id}", Scope::EntitiesWrite, entities::delete),
        route(Method::GET, "/keys", Scope::KeysWrite, keys::list),
        route(Method::POST, "/keys", Scope::KeysWrite, keys::create),
        route(Method::POST, "/keys/{id}/rotate", Scope::KeysWrite, keys::rotate),
        route(Method::DELETE, "/keys/{id}", Scope::KeysWrite, keys::revoke),
        route(Method::GET, "/denials", Scope::SubjectsRead, denials::list),
        route(Method::POST, "/denials", Scope::SubjectsWrite, denials::deny),
        route(Method::DELETE, "/denials", Scope::SubjectsWrite, denials::remove),
        route(Method::POST, "/events", Scope::Events, events::report),
        route(Method::POST, "/devices", Scope::DevicesWrite, devices::register),
        route(Method::GET, "/devices/{id}", Scope::SubjectsRead, devices::get),
        route(Method::DELETE, "/devices/{id}", Scope::DevicesWrite, devices::remove),
        route(Method::POST, "/assurance", Scope::AssuranceWrite, assurance::record),
        route(Method::GET, "/subjects", Scope::SubjectsRead, users::held),
        route(Method::GET, "/subjects/{type}/{id}", Scope::SubjectsRead, users::get),
        route(Method::DELETE, "/subjects/{type}/{id}", Scope::SubjectsWrite, users::erase),
        route(Method::POST, "/subjects/{type}/{id}/remediate", Scope::SubjectsWrite, users::remediate),
        route(Method::POST, "/subjects/{type}/{id}/override", Scope::SubjectsWrite, users::set_override),
        route(Method::DELETE, "/subjects/{type}/{id}/override", Scope::SubjectsWrite, users::end_override),
        route(Method::PUT, "/subjects/{type}/{id}/account", Scope::SubjectsWrite, users::account),
        route(Method::GET, "/ssf", Scope::SubjectsRead, ssf::list),
        route(Method::POST, "/ssf/{receiver}", Needs::Nothing, ssf::push),
        route(Method::GET, "/webhooks", Scope::WebhooksWrite, webhooks::list),
        route(Method::POST, "/webhooks", Scope::WebhooksWrite, webhooks::create),
        route(Method::GET, "/webhooks/dead", Scope::WebhooksWrite, webhooks::dead),
        route(Method::POST, "/webhooks/dead/replay", Scope::WebhooksWrite, webhooks::replay),
        route(Method::GET, "/webhooks/{name}", Scope::WebhooksWrite, webhooks::show),
        route(Method::PUT, "/webhooks/{name}", Scope::WebhooksWrite, webhooks::update),
        route(Method::DELETE, "/webhooks/{name}", Scope::WebhooksWrite, webhooks::remove),
        route(Method::POST, "/webhooks/{name}/rotate", Scope::WebhooksWrite, webhooks::rotate),
        route(Method::POST, "/webhooks/{name}/test", Scope::WebhooksWrite, webhooks::test),
        route(Method::GET, "/audit", Scope::AuditRead, audit::status),
        route(Method::GET, "/watch", Scope::Watch, watch::watch),
        route(Method::GET, "/healthz", Needs::Nothing, probes::healthz).of(Class::Operate),
        route(Method::GET, "/readyz", Needs::Nothing, probes::readyz).of(Class::Operate),
        route(Method::GET, "/metrics", Scope::MetricsRead, probes::metrics).of(Class::Operate),
    ]
}

/// The paths of the table, each at the place that metrics know it by; `/authorize` is the first.
pub(super) fn paths() -> &'static [&'static str] {
    static PATHS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
        let mut paths: Vec<_> = table().iter().map(|route| route.path).collect();
        let mut known = HashSet::new();
        paths.retain(|path| known.insert(*path));
        paths
    });
    &PATHS
}

/// The place of `/authorize`.
const AUTHORIZE: usize = 0;

/// The main listener: everything, for those who may, under a configured host name.
pub(super) fn main(app: Arc<App>) -> Router {
    let mut router = Router::new();
    let mut deciding = MethodRouter::new();
    for route in table() {
        if route.path == "/authorize" {
            deciding = route.handler.clone();
            // For the methods that it does not have; those that it has do not come here.
            router = router.route(route.path, route.handler);
            continue;
        }
        let guard = guard::Guard {
            app: Arc::clone(&app),
            needs: route.needs,
            class: route.class,
        };
        let handler = route
            .handler
            .route_layer(from_fn_with_state(guard, guard::pass));
        router = router.route(route.path, handler);
    }
    let router = router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(Arc::clone(&app), known_host));
    let (router, deciding) = match cors(&app) {
        Some(cors) => (router.layer(cors.clone()), deciding.route_layer(cors)),
        None => (router, deciding),
    };
    let rest = finish(router, Arc::clone(&app));
    let deciding = deciding.with_state(app).fallback_service(rest.clone());
    Router::new()
        .route("/authorize", deciding)
        .fallback_service(rest)
}

/// The operations listener: probes and metrics for every client that reaches it, under any host name, because
/// probes come by address.
pub(super) fn ops(app: Arc<App>) -> Router {
    let router = Router::new()
        .route("/healthz", get(probes::healthz))
        .route("/readyz", get(probes::readyz_in_full))
        .route("/metrics", get(probes::metrics))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed);
    finish(router, app)
}

/// Passes requests under a configured name on, and probes under any: those come by the address of a
/// container, or over HTTP/1.0 without a name, and what they learn is not a secret.
async fn known_host(State(app): State<Arc<App>>, http: HttpRequest, next: Next) -> Response {
    if hosts::is_probe(&http) {
        return next.run(http).await;
    }
    let peer = http.extensions().get::<Arc<Peer>>();
    match hosts::unknown(&app.hosts, peer.map(Arc::as_ref), &http) {
        Some(refusal) => refusal,
        None => next.run(http).await,
    }
}

fn finish(router: Router<Arc<App>>, app: Arc<App>) -> Router {
    router
        .layer(from_fn(harden))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(Arc::clone(&app), measured))
        .with_state(app)
}

/// Lets the configured origins' pages read answers (the Fetch standard's CORS protocol).
fn cors(app: &App) -> Option<CorsLayer> {
    let origins = app.cors_origins.iter();
    let origins: Vec<HeaderValue> = origins.filter_map(|origin| origin.parse().ok()).collect();
    if origins.is_empty() {
        return None;
    }
    Some(
        CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([
                Method::GET,
                Method::POST,
                Method::PUT,
                Method::PATCH,
                Method::DELETE,
            ])
            .allow_headers([
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                header::IF_MATCH,
                header::IF_NONE_MATCH,
                X_REQUEST_ID,
                HeaderName::from_static("traceparent"),
            ])
            .expose_headers([
                header::WWW_AUTHENTICATE,
                header::ETAG,
                HeaderName::from_static("ratelimit"),
                HeaderName::from_static("ratelimit-policy"),
                X_REQUEST_ID,
                X_DECISION_ID,
                header::RETRY_AFTER,
            ])
            .max_age(std::time::Duration::from_secs(600)),
    )
}

/// `POST /authorize` where the router leads to it.
async fn authorize(State(app): State<Arc<App>>, http: HttpRequest) -> Response {
    let peer = http.extensions().get::<Arc<Peer>>().cloned();
    decide(&app, &peer.unwrap_or_default(), http).await
}

/// `POST /authorize`, whether or not the router is on its way: it passes none of the router's layers and does itself
/// what they do.
pub(super) async fn decide<B: Incoming>(app: &App, peer: &Peer, http: Request<B>) -> Response {
    let exchange = Exchange::begin(app, AUTHORIZE, &http);
    let response = hardened(match hosts::unknown(&app.hosts, Some(peer), &http) {
        Some(refusal) => refusal,
        None => caught(guarded(app, peer, exchange.began(), http)).await,
    });
    exchange.end(app, &response);
    response
}

async fn guarded<B: Incoming>(
    app: &App,
    peer: &Peer,
    began: Instant,
    http: Request<B>,
) -> Response {
    let needs = Needs::Scope(Scope::Decide);
    let (headers, query) = (http.headers(), http.uri().query());
    let admitted = match guard::admit(app, headers, query, peer, needs, Class::Decide).await {
        Ok(admitted) => admitted,
        Err(problem) => return problem.respond(request_id(http.headers()).as_deref()),
    };
    let mut response = respond(app, admitted.caller, (began, admitted.now), http).await;
    admitted.ticket.tell(response.headers_mut());
    response
}

/// What a panic is answered with, as the router does it.
async fn caught(answer: impl Future<Output = Response>) -> Response {
    let mut answer = std::pin::pin!(answer);
    std::future::poll_fn(|context| {
        let polled = AssertUnwindSafe(|| answer.as_mut().poll(context));
        catch_unwind(polled).unwrap_or_else(|panic| Poll::Ready(panicked(panic)))
    })
    .await
}

/// Counts what the router answers, refusals and paths that lead nowhere among it.
async fn measured(State(app): State<Arc<App>>, http: HttpRequest, next: Next) -> Response {
    let matched = http.extensions().get::<MatchedPath>();
    let place = matched.and_then(|path| paths().iter().position(|known| *known == path.as_str()));
    let exchange = Exchange::begin(&app, place.unwrap_or(paths().len()), &http);
    let response = next.run(http).await;
    exchange.end(&app, &response);
    response
}

/// Whether a request is one for [`decide`].
pub(super) fn decides<B>(app: &App, http: &Request<B>) -> bool {
    // Where pages of other origins may ask, the router answers them.
    http.method() == Method::POST
        && http.uri().path() == "/authorize"
        && app.cors_origins.is_empty()
}

async fn harden(http: HttpRequest, next: Next) -> Response {
    hardened(next.run(http).await)
}

/// Headers by which a browser that is shown an answer does nothing with it.
fn hardened(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn not_found(uri: Uri, http: HttpRequest) -> Response {
    let detail = match crate::base::nearest::nearest(uri.path(), paths().iter().copied()) {
        Some(near) => format!("there is nothing here; did you mean `{near}`?"),
        None => "there is nothing here".to_owned(),
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
