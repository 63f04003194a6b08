//! `/denials`: tokens that are not taken although their issuers signed them.

use axum::Json;
use axum::extract::{Extension, Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::body::{self, Answer, By, Shared, blocking, invalid, missing, not_kept, reply};
use crate::base::hex::hex;
use crate::base::lock::lock;
use crate::base::timestamp::Timestamp;
use crate::service::http::problem::Problem;
use crate::service::tokens::{Denial, DenialKind, Denied};
use crate::storage::{Denial as Kept, Store};

/// Longest value and issuer, in bytes.
const LONGEST: usize = 1_024;
/// An end for what has none.
const NEVER: i64 = i64::MAX / 2;

/// What a denial is of.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    kind: DenialKind,
    value: String,
    issuer: Option<String>,
}

/// Takes over what a state directory kept.
pub(crate) fn load(denied: &Denied, store: &Store, now: Timestamp) -> Result<(), String> {
    let kept = store.denials(now).map_err(|error| error.to_string())?;
    let kept = kept
        .into_iter()
        .map(|kept| serde_json::from_value::<Denial>(kept.json))
        .collect::<Result<Vec<_>, _>>();
    // Whoever was shut out must not come in because this version cannot read why.
    let kept = kept.map_err(|error| format!("a kept denial of tokens cannot be read: {error}"))?;
    denied.load(kept, now).map_err(|error| error.to_string())
}

/// Everything that is denied.
pub(crate) async fn list(State(app): Shared) -> Answer {
    let denials = app.denied.list((app.clock)());
    reply(json!({ "denials": denials }))
}

/// Denies a token, a session or a subject, at once; durably where there is a state directory.
pub(crate) async fn deny(State(app): Shared, Extension(caller): By, http: HttpRequest) -> Answer {
    let denial: Denial = body::read(&app, http).await?;
    let now = (app.clock)();
    fits(&denial.value, "value")?;
    if let Some(issuer) = &denial.issuer {
        fits(issuer, "issuer")?;
    }
    if denial.expires.is_some_and(|expires| expires <= now) {
        return Err(invalid("`expires` is past: nothing would be denied"));
    }
    let kind = denial.kind;
    let durable = app.store.is_some();
    // One after the other, and to the end although the client may go: memory and disk say the same.
    let held = blocking(move || {
        let _one_at_a_time = lock(&app.denying);
        let held = app.denied.deny(denial, now).map_err(|error| {
            let status = StatusCode::INSUFFICIENT_STORAGE;
            Problem::new(status, "denials_full", error.to_string())
        })?;
        if let Some(store) = &app.store {
            let kept = Kept {
                id: id(held.kind, &held.value, held.issuer.as_deref()),
                expires: held.expires.unwrap_or(Timestamp::from_millis(NEVER)),
                json: serde_json::to_value(&held).unwrap_or_default(),
            };
            store.deny(kept, now).map_err(|error| not_kept(&error))?;
        }
        Ok::<_, Problem>(held)
    });
    let held = held.await??;
    tracing::info!(by = caller.name(), ?kind, "tokens denied");
    let body = json!({"denial": held, "durable": durable});
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// Takes a denial back.
pub(crate) async fn remove(State(app): Shared, Extension(caller): By, http: HttpRequest) -> Answer {
    let which: Which = body::read(&app, http).await?;
    let kind = which.kind;
    let removed = blocking(move || {
        let _one_at_a_time = lock(&app.denying);
        let issuer = which.issuer.as_deref();
        if let Some(store) = &app.store {
            let done = store.undeny(&id(which.kind, &which.value, issuer));
            done.map_err(|error| not_kept(&error))?;
        }
        Ok::<_, Problem>(app.denied.remove(which.kind, &which.value, issuer))
    });
    if !removed.await?? {
        return Err(missing("there is no such denial"));
    }
    tracing::info!(by = caller.name(), ?kind, "denial taken back");
    reply(json!({"removed": true}))
}

/// Bounds what is kept of each of many.
fn fits(text: &str, member: &str) -> Result<(), Problem> {
    if text.is_empty() || text.len() > LONGEST {
        return Err(invalid(format!("`{member}` has 1 to {LONGEST} bytes")));
    }
    Ok(())
}

/// One for each thing that can be denied.
fn id(kind: DenialKind, value: &str, issuer: Option<&str>) -> String {
    let named = json!([kind, value, issuer]).to_string();
    let hash = Sha256::digest(named);
    hex(&hash)
}
