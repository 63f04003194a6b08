//! `/denials`: tokens that are not taken although their issuers signed them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::app::App;
use super::body::{self, blocking, missing, not_kept};
use super::problem::Problem;
use crate::caller::Caller;
use crate::storage::{Denial as Kept, StateDirError, Store};
use crate::timestamp::Timestamp;
use crate::tokens::{Denial, DenialKind, Denied};

/// An end for what has none.
const NEVER: i64 = i64::MAX / 2;

/// What a denial is of.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    kind: DenialKind,
    value: String,
    #[serde(default)]
    issuer: Option<String>,
}

/// Takes over what a state directory kept.
pub(super) fn load(denied: &Denied, store: &Store, now: Timestamp) -> Result<(), StateDirError> {
    let kept = store.denials(now)?.into_iter();
    let kept = kept.filter_map(|kept| serde_json::from_value::<Denial>(kept.json).ok());
    if let Err(error) = denied.load(kept, now) {
        tracing::error!(%error, "not every kept denial holds");
    }
    Ok(())
}

/// Everything that is denied.
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let denials = app.denied.list((app.clock)());
    Ok(Json(json!({ "denials": denials })).into_response())
}

/// Denies a token, a session or a subject, at once; durably where there is a state directory.
pub(super) async fn deny(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    http: HttpRequest,
) -> Result<Response, Problem> {
    let denial: Denial = body::read(&app, http).await?;
    let now = (app.clock)();
    app.denied.deny(denial.clone(), now).map_err(|error| {
        let status = StatusCode::INSUFFICIENT_STORAGE;
        Problem::new(status, "denials_full", error.to_string())
    })?;
    tracing::info!(by = caller.name(), kind = ?denial.kind, "tokens denied");
    let durable = app.store.is_some();
    if let Some(store) = app.store.clone() {
        let kept = Kept {
            id: id(denial.kind, &denial.value, denial.issuer.as_deref()),
            expires: denial.expires.unwrap_or(Timestamp::from_millis(NEVER)),
            json: serde_json::to_value(&denial).unwrap_or_default(),
        };
        let done = blocking(move || store.deny(kept, now)).await?;
        done.map_err(|error| not_kept(&error))?;
    }
    let body = json!({"denial": denial, "durable": durable});
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// Takes a denial back.
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    http: HttpRequest,
) -> Result<Response, Problem> {
    let which: Which = body::read(&app, http).await?;
    let issuer = which.issuer.as_deref();
    if let Some(store) = app.store.clone() {
        let id = id(which.kind, &which.value, issuer);
        let done = blocking(move || store.undeny(&id)).await?;
        done.map_err(|error| not_kept(&error))?;
    }
    if !app.denied.remove(which.kind, &which.value, issuer) {
        return Err(missing("there is no such denial"));
    }
    tracing::info!(by = caller.name(), kind = ?which.kind, "denial taken back");
    Ok(Json(json!({"removed": true})).into_response())
}

/// One for each thing that can be denied.
fn id(kind: DenialKind, value: &str, issuer: Option<&str>) -> String {
    let named = json!([kind, value, issuer]).to_string();
    let hash = Sha256::digest(named);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
