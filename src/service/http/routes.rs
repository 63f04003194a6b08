//! Which path leads where and what it takes to go there, and what every request passes on its way.

pub(crate) mod exchange;
pub(crate) mod guard;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;

use axum::Router;
use axum::extract::{MatchedPath, Request as HttpRequest, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;

use self::exchange::Exchange;
use self::guard::Needs;
use super::api::authorize::{authorize, respond};
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

/// Every route of the main listener.
pub(super) fn table() -> Vec<Route> {
    let route = |method, path, needs, class, handler| Route {
        method,
        path,
        needs,
        class,
        handler,
    };
    let needs = Needs::Scope;
    vec![
        route(
            Method::POST,
            "/authorize",
            needs(Scope::Decide),
            Class::Decide,
            post(authorize),
        ),
        route(
            Method::GET,
            "/whoami",
            Needs::Caller,
            Class::Manage,
            get(whoami::whoami),
        ),
        route(
            Method::GET,
            "/policies",
            needs(Scope::PoliciesRead),
            Class::Manage,
            get(policies::list),
        ),
        route(
            Method::GET,
            "/policies/{id}",
            needs(Scope::PoliciesRead),
            Class::Manage,
            get(policies::get),
        ),
        route(
            Method::POST,
            "/admin/reload",
            needs(Scope::PoliciesWrite),
            Class::Manage,
            post(admin::reload),
        ),
        route(
            Method::GET,
            "/admin/mismatches",
            needs(Scope::AuditRead),
            Class::Manage,
            get(admin::mismatches),
        ),
        route(
            Method::GET,
            "/revisions",
            needs(Scope::PoliciesRead),
            Class::Manage,
            get(revisions::list),
        ),
        route(
            Method::GET,
            "/revisions/{sequence}",
            needs(Scope::PoliciesRead),
            Class::Manage,
            get(revisions::get),
        ),
        route(
            Method::GET,
            "/entities",
            needs(Scope::EntitiesRead),
            Class::Manage,
            get(entities::types),
        ),
        route(
            Method::POST,
            "/entities",
            needs(Scope::EntitiesWrite),
            Class::Manage,
            post(entities::batch),
        ),
        route(
            Method::GET,
            "/entities/{type}",
            needs(Scope::EntitiesRead),
            Class::Manage,
            get(entities::list),
        ),
        route(
            Method::GET,
            "/entities/{type}/{id}",
            needs(Scope::EntitiesRead),
            Class::Manage,
            get(entities::get),
        ),
        route(
            Method::PUT,
            "/entities/{type}/{id}",
            needs(Scope::EntitiesWrite),
            Class::Manage,
            put(entities::put),
        ),
        route(
            Method::PATCH,
            "/entities/{type}/{id}",
            needs(Scope::EntitiesWrite),
            Class::Manage,
            patch(entities::patch),
        ),
        route(
            Method::DELETE,
            "/entities/{type}/{id}",
            needs(Scope::EntitiesWrite),
            Class::Manage,
            delete(entities::delete),
        ),
        route(
            Method::GET,
            "/keys",
            needs(Scope::KeysWrite),
            Class::Manage,
            get(keys::list),
        ),
        route(
            Method::POST,
            "/keys",
            needs(Scope::KeysWrite),
            Class::Manage,
            post(keys::create),
        ),
        route(
            Method::POST,
            "/keys/{id}/rotate",
            needs(Scope::KeysWrite),
            Class::Manage,
            post(keys::rotate),
        ),
        route(
            Method::DELETE,
            "/keys/{id}",
            needs(Scope::KeysWrite),
            Class::Manage,
            delete(keys::revoke),
        ),
        route(
            Method::GET,
            "/denials",
            needs(Scope::SubjectsRead),
            Class::Manage,
            get(denials::list),
        ),
        route(
            Method::POST,
            "/denials",
            needs(Scope::SubjectsWrite),
            Class::Manage,
            post(denials::deny),
        ),
        route(
            Method::DELETE,
            "/denials",
            needs(Scope::SubjectsWrite),
            Class::Manage,
            delete(denials::remove),
        ),
        route(
            Method::POST,
            "/events",
            needs(Scope::Events),
            Class::Manage,
            post(events::report),
        ),
        route(
            Method::POST,
            "/devices",
            needs(Scope::DevicesWrite),
            Class::Manage,
            post(devices::register),
        ),
        route(
            Method::GET,
            "/devices/{id}",
            needs(Scope::SubjectsRead),
            Class::Manage,
            get(devices::get),
        ),
        route(
            Method::DELETE,
            "/devices/{id}",
            needs(Scope::DevicesWrite),
            Class::Manage,
            delete(devices::remove),
        ),
        route(
            Method::POST,
            "/assurance",
            needs(Scope::AssuranceWrite),
            Class::Manage,
            post(assurance::record),
        ),
        route(
            Method::GET,
            "/subjects",
            needs(Scope::SubjectsRead),
            Class::Manage,
            get(users::held),
        ),
        route(
            Method::GET,
            "/subjects/{type}/{id}",
            needs(Scope::SubjectsRead),
            Class::Manage,
            get(users::get),
        ),
        route(
            Method::DELETE,
            "/subjects/{type}/{id}",
            needs(Scope::SubjectsWrite),
            Class::Manage,
            delete(users::erase),
        ),
        route(
            Method::POST,
            "/subjects/{type}/{id}/remediate",
            needs(Scope::SubjectsWrite),
            Class::Manage,
            post(users::remediate),
        ),
        route(
            Method::POST,
            "/subjects/{type}/{id}/override",
            needs(Scope::SubjectsWrite),
            Class::Manage,
            post(users::set_override),
        ),
        route(
            Method::DELETE,
            "/subjects/{type}/{id}/override",
            needs(Scope::SubjectsWrite),
            Class::Manage,
            delete(users::end_override),
        ),
        route(
            Method::PUT,
            "/subjects/{type}/{id}/account",
            needs(Scope::SubjectsWrite),
            Class::Manage,
            put(users::account),
        ),
        route(
            Method::GET,
            "/ssf",
            needs(Scope::SubjectsRead),
            Class::Manage,
            get(ssf::list),
        ),
        route(
            Method::POST,
            "/ssf/{receiver}",
            Needs::Nothing,
            Class::Manage,
            post(ssf::push),
        ),
        route(
            Method::GET,
            "/webhooks",
            needs(Scope::WebhooksWrite),
            Class::Manage,
            get(webhooks::list),
        ),
        route(
            Method::POST,
            "/webhooks",
            needs(Scope::WebhooksWrite),
            Class::Manage,
            post(webhooks::create),
        ),
        route(
            Method::GET,
            "/webhooks/dead",
            needs(Scope::WebhooksWrite),
            Class::Manage,
            get(webhooks::dead),
        ),
        route(
            Method::POST,
            "/webhooks/dead/replay",
            needs(Scope::WebhooksWrite),
            Class::Manage,
            post(webhooks::replay),
        ),
        route(
            Method::GET,
            "/webhooks/{name}",
            needs(Scope::WebhooksWrite),
            Class::Manage,
            get(webhooks::show),
        ),
        route(
            Method::PUT,
            "/webhooks/{name}",
            needs(Scope::WebhooksWrite),
            Class::Manage,
            put(webhooks::update),
        ),
        route(
            Method::DELETE,
            "/webhooks/{name}",
            needs(Scope::WebhooksWrite),
            Class::Manage,
            delete(webhooks::remove),
        ),
        route(
            Method::POST,
            "/webhooks/{name}/rotate",
            needs(Scope::WebhooksWrite),
            Class::Manage,
            post(webhooks::rotate),
        ),
        route(
            Method::POST,
            "/webhooks/{name}/test",
            needs(Scope::WebhooksWrite),
            Class::Manage,
            post(webhooks::test),
        ),
        route(
            Method::GET,
            "/audit",
            needs(Scope::AuditRead),
            Class::Manage,
            get(audit::status),
        ),
        route(
            Method::GET,
            "/watch",
            needs(Scope::Watch),
            Class::Manage,
            get(watch::watch),
        ),
        route(
            Method::GET,
            "/healthz",
            Needs::Nothing,
            Class::Operate,
            get(probes::healthz),
        ),
        route(
            Method::GET,
            "/readyz",
            Needs::Nothing,
            Class::Operate,
            get(probes::readyz),
        ),
        route(
            Method::GET,
            "/metrics",
            needs(Scope::MetricsRead),
            Class::Operate,
            get(probes::metrics),
        ),
    ]
}

/// The paths of the table, each at the place that metrics know it by.
pub(super) const PATHS: &[&str] = &[
    "/authorize",
    "/whoami",
    "/policies",
    "/policies/{id}",
    "/admin/reload",
    "/admin/mismatches",
    "/revisions",
    "/revisions/{sequence}",
    "/entities",
    "/entities/{type}",
    "/entities/{type}/{id}",
    "/keys",
    "/keys/{id}/rotate",
    "/keys/{id}",
    "/denials",
    "/webhooks",
    "/webhooks/dead",
    "/webhooks/dead/replay",
    "/webhooks/{name}",
    "/webhooks/{name}/rotate",
    "/webhooks/{name}/test",
    "/events",
    "/devices",
    "/devices/{id}",
    "/assurance",
    "/subjects",
    "/subjects/{type}/{id}",
    "/subjects/{type}/{id}/remediate",
    "/subjects/{type}/{id}/override",
    "/subjects/{type}/{id}/account",
    "/ssf",
    "/ssf/{receiver}",
    "/audit",
    "/watch",
    "/healthz",
    "/readyz",
    "/metrics",
];

/// The place of `/authorize`.
const AUTHORIZE: usize = 0;

/// The main listener: everything, for those who may, under a configured host name.
pub(super) fn main(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for route in table() {
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
    let router = match cors(&app) {
        Some(cors) => router.layer(cors),
        None => router,
    };
    finish(router, app)
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

/// `POST /authorize` without the router on its way: what the router would do with it, and no more.
pub(super) async fn decide(app: Arc<App>, peer: Arc<Peer>, http: HttpRequest) -> Response {
    let exchange = Exchange::begin(&app, AUTHORIZE, &http);
    let response = hardened(match hosts::unknown(&app.hosts, Some(&peer), &http) {
        Some(refusal) => refusal,
        None => caught(guarded(&app, &peer, http)).await,
    });
    exchange.end(&app, &response);
    response
}

async fn guarded(app: &App, peer: &Peer, http: HttpRequest) -> Response {
    let needs = Needs::Scope(Scope::Decide);
    let (headers, query) = (http.headers(), http.uri().query());
    let admitted = match guard::admit(app, headers, query, peer, needs, Class::Decide).await {
        Ok(admitted) => admitted,
        Err(problem) => return problem.respond(request_id(http.headers()).as_deref()),
    };
    let mut response = respond(app, admitted.caller, http).await;
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
    let place = matched.and_then(|path| PATHS.iter().position(|known| *known == path.as_str()));
    let exchange = Exchange::begin(&app, place.unwrap_or(PATHS.len()), &http);
    let response = next.run(http).await;
    exchange.end(&app, &response);
    response
}

/// Whether a request is one for [`decide`].
pub(super) fn decides(app: &App, http: &HttpRequest) -> bool {
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
    let known: std::collections::BTreeSet<_> = table().iter().map(|route| route.path).collect();
    let detail = match crate::base::nearest::nearest(uri.path(), known.iter().copied()) {
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
