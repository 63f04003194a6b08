//! `POST /admin/reload`, what `deodar reload` asks of a running server, and `GET /admin/mismatches`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::json;

use super::body;
use crate::pdp::evaluate::EngineAnswer;
use crate::pdp::{ReloadError, Reloaded};
use crate::service::http::api::body::{Answer, Shared, reply};
use crate::service::http::problem::Problem;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    confirm: bool,
}

/// Reloads the sources.
pub(crate) async fn reload(State(app): Shared, http: HttpRequest) -> Answer {
    let wish: Wish = body::read(&app, http).await?;
    let pdp = app.pdp().ok_or_else(Problem::not_ready)?.clone();
    let certificates = Arc::clone(&app);
    let reload = move || {
        certificates.reread();
        certificates.reload_certificates();
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
            let body = json!({"result": "faulty", "faults": faults.to_json()});
            (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
        }
    })
}

/// The decisions on which a shadow check found that the engines differ, each with what it takes to
/// decide it again.
pub(crate) async fn mismatches(State(app): Shared) -> Answer {
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
    reply(json!({ "mismatches": kept }))
}
