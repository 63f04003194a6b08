//! `/healthz`, `/readyz` and `/metrics`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::service::audit::DecisionLog;
use crate::service::http::api::body::Shared;
use crate::service::http::app::{App, Phase};
use crate::service::http::gate::hosts;
use crate::service::http::net::peer::Peer;
use crate::service::http::observe::metrics::{Certificate, Format};
use crate::service::tokens::Issuers;
use crate::trust::subjects::Usage;

/// Whether the process answers at all.
pub(crate) async fn healthz() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

/// Whether requests should be sent here: 200 for `ok` and `degraded`, 503 for `starting` and
/// `draining`. Only clients on this machine that use a configured host name are told the reasons: those
/// name files.
pub(crate) async fn readyz(
    State(app): Shared,
    peer: Option<Extension<Arc<Peer>>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let peer = peer.map(|peer| peer.0).unwrap_or_default();
    let (code, full) = readiness(&app);
    if app.gate.is_local(&headers, &peer)
        && hosts::is_known(&app.hosts, Some(&peer), &uri, &headers)
    {
        return (code, Json(full)).into_response();
    }
    let status = full.get("status").cloned().unwrap_or_default();
    (code, Json(json!({ "status": status }))).into_response()
}

/// As [`readyz`], with reasons, revision and sequence.
pub(crate) async fn readyz_in_full(State(app): Shared) -> Response {
    let (code, full) = readiness(&app);
    (code, Json(full)).into_response()
}

/// How full the server is.
fn capacity(app: &App) -> Value {
    let (connections, most_connections) = app.connections.used();
    let (bytes, most_bytes) = app.bodies.used();
    json!({
        "connections": {"used": connections, "limit": most_connections},
        "requests": {"used": app.requests.taken(), "limit": app.requests.most()},
        "streams": {"used": app.streams.taken(), "limit": app.streams.most()},
        "bodyBytes": {"used": bytes, "limit": most_bytes},
    })
}

fn readiness(app: &App) -> (StatusCode, Value) {
    let Some(pdp) = app.pdp() else {
        let status = match app.phase() {
            Phase::Draining => "draining",
            _ => "starting",
        };
        let body = json!({"status": status, "reasons": ["there is nothing to decide with yet"]});
        return (StatusCode::SERVICE_UNAVAILABLE, body);
    };
    let health = pdp.health();
    let config = app.config_trouble();
    let mut reasons = health.reasons.clone();
    reasons.extend(config.refused);
    reasons.extend(app.gate.troubles((app.clock)()));
    let issuers = app.issuers.as_ref().map(Issuers::troubles);
    reasons.extend(issuers.unwrap_or_default());
    reasons.extend(app.receivers.troubles());
    reasons.extend(app.audit.as_ref().and_then(DecisionLog::health));
    let usage = app.signals().map(|signals| signals.usage());
    reasons.extend(usage.iter().flatten().filter_map(Usage::runs_full));
    reasons.extend(app.tls.get().and_then(|tls| tls.trouble((app.clock)())));
    let (status, code) = match app.phase() {
        Phase::Draining => ("draining", StatusCode::SERVICE_UNAVAILABLE),
        Phase::Starting => ("starting", StatusCode::SERVICE_UNAVAILABLE),
        Phase::Serving if reasons.is_empty() => ("ok", StatusCode::OK),
        Phase::Serving => ("degraded", StatusCode::OK),
    };
    let mut body = json!({
        "status": status,
        "revision": health.revision.as_str(),
        "sequence": health.sequence,
        "reasons": reasons,
        "capacity": capacity(app),
    });
    if !config.restart_needed.is_empty()
        && let Some(body) = body.as_object_mut()
    {
        body.insert("restartNeeded".to_owned(), json!(config.restart_needed));
    }
    (code, body)
}

/// The figures, in the format that the client prefers: OpenMetrics, or Prometheus' text format 0.0.4.
pub(crate) async fn metrics(State(app): Shared, headers: HeaderMap) -> Response {
    if let Some(tls) = app.tls.get() {
        let seconds = u64::try_from(tls.not_after().as_millis() / 1_000).ok();
        app.metrics
            .certificate_expires(Certificate::Server, seconds);
    }
    let accept = headers.get_all(header::ACCEPT).iter();
    let accept: Vec<_> = accept.filter_map(|value| value.to_str().ok()).collect();
    let format = Format::preferred(&accept.join(","));
    match app.metrics.encode() {
        Ok(text) => (
            [
                (
                    header::CONTENT_TYPE,
                    HeaderValue::from_static(format.media_type()),
                ),
                (header::VARY, HeaderValue::from_static("accept")),
            ],
            format.text(text),
        )
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
