//! `POST /admin/reload`, what `deodar reload` asks of a running server, and `GET /admin/mismatches`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use subtle::ConstantTimeEq;

use super::app::App;
use super::authorize::read_body;
use super::metrics::AuthenticationFailure;
use super::problem::Problem;
use crate::engine::EngineAnswer;
use crate::pdp::{ReloadError, Reloaded};

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    confirm: bool,
}

/// Reloads the sources, for a caller with the administrator's token, or from this machine when none
/// is configured.
pub(super) async fn reload(
    State(app): State<Arc<App>>,
    peer: Option<Extension<Peer>>,
    http: HttpRequest,
) -> Result<Response, Problem> {
    admit(&app, peer.map(|peer| peer.0), http.headers())?;
    let limits = **app.limits.load();
    let body = read_body(http, &limits).await?;
    let wish: Wish = serde_json::from_slice(&body).map_err(|error| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            format!("expected {{\"confirm\": true or false}}: {error}"),
        )
    })?;
    let pdp = app.pdp().ok_or_else(Problem::not_ready)?.clone();
    let reload = move || {
        if wish.confirm {
            pdp.reload_confirmed()
        } else {
            pdp.reload()
        }
    };
    let done = tokio::task::spawn_blocking(reload).await.map_err(|error| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            error.to_string(),
        )
    })?;
    let restart_needed = app.config_trouble().restart_needed;
    Ok(match done {
        Ok(Reloaded::Published { revision, sequence }) => Json(json!({
            "result": "published", "revision": revision.as_str(), "sequence": sequence,
            "restartNeeded": restart_needed,
        }))
        .into_response(),
        Ok(Reloaded::Unchanged) => {
            Json(json!({"result": "unchanged", "restartNeeded": restart_needed})).into_response()
        }
        Err(ReloadError::Held(reason)) => (
            StatusCode::CONFLICT,
            Json(json!({"result": "held", "reason": reason})),
        )
            .into_response(),
        Err(ReloadError::Faulty(faults)) => {
            let faults: Vec<_> = faults.iter().map(crate::fault::Fault::to_json).collect();
            let body = json!({"result": "faulty", "faults": faults});
            (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
        }
    })
}

/// The decisions on which a shadow check found that the engines differ, each with what it takes to
/// decide it again.
pub(super) async fn mismatches(
    State(app): State<Arc<App>>,
    peer: Option<Extension<Peer>>,
    http: HttpRequest,
) -> Result<Response, Problem> {
    admit(&app, peer.map(|peer| peer.0), http.headers())?;
    let pdp = app.pdp().ok_or_else(Problem::not_ready)?;
    let answer = |answer: &EngineAnswer| {
        let errors = answer.errors.iter();
        let errors: Vec<_> = errors
            .map(|(policy, code)| json!({"policy": policy, "code": code.as_str()}))
            .collect();
        json!({"allow": answer.allow, "reasons": answer.reasons, "policyErrors": errors})
    };
    let kept: Vec<_> = pdp
        .shadow_mismatches()
        .iter()
        .map(|mismatch| {
            json!({
                "revision": mismatch.revision.as_str(),
                "sequence": mismatch.sequence,
                "now": mismatch.now.to_string(),
                "request": mismatch.request.to_json(),
                "compiled": answer(&mismatch.compiled),
                "reference": mismatch.reference.as_ref().map(answer),
            })
        })
        .collect();
    Ok(Json(json!({ "mismatches": kept })).into_response())
}

fn admit(app: &App, peer: Option<Peer>, headers: &HeaderMap) -> Result<(), Problem> {
    match &app.admin_token {
        Some(token) => {
            let given = headers
                .get(header::AUTHORIZATION)
                .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
                .unwrap_or_default();
            if bool::from(given.as_bytes().ct_eq(token.reveal().as_bytes())) {
                Ok(())
            } else {
                let failure = AuthenticationFailure::AdminToken;
                app.metrics.authentication_failed(failure);
                let detail = "send the administrator's token as `Authorization: Bearer ..`";
                Err(Problem::new(
                    StatusCode::UNAUTHORIZED,
                    "unauthenticated",
                    detail,
                ))
            }
        }
        None if peer.is_some_and(|peer| peer.0.ip().is_loopback()) => Ok(()),
        None => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "only this machine may do this, unless `server.admin_token` is configured",
        )),
    }
}
