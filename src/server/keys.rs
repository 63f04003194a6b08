//! `/keys`: API keys in the state directory.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Extension, Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::app::App;
use super::body::{self, Params, blocking, invalid, not_kept, store};
use super::problem::Problem;
use crate::caller::{Caller, InlineRule, Scope};
use crate::storage::keys::{ApiKey, KeyError, KeyLimits, NewKey};
use crate::timestamp::Timestamp;

/// Longest time for which a rotated secret is still taken.
const LONGEST_OVERLAP: Duration = Duration::from_secs(30 * 24 * 3_600);

/// A key to be made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
    scopes: Vec<String>,
    #[serde(default)]
    inline: Option<String>,
    #[serde(default)]
    handles: BTreeSet<String>,
    #[serde(default)]
    limits: Option<KeyLimits>,
    #[serde(default)]
    expires: Option<String>,
}

/// How long the present secret is still taken.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotate {
    #[serde(default)]
    overlap: Option<String>,
}

/// Every key, without secrets.
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let keys: Vec<Value> = store(&app)?
        .keys()
        .list()
        .iter()
        .map(ApiKey::to_json)
        .collect();
    Ok(Json(json!({ "keys": keys })).into_response())
}

/// Makes a key; the answer is the only place where it stands.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    http: HttpRequest,
) -> Result<Response, Problem> {
    let store = store(&app)?;
    let create: Create = body::read(&app, http).await?;
    let inline = create.inline.as_deref().unwrap_or("add");
    let inline =
        InlineRule::from_name(inline).ok_or_else(|| invalid("`inline` is off, add or override"))?;
    let expires = create.expires.as_deref().map(str::parse::<Timestamp>);
    let expires = expires
        .transpose()
        .map_err(|error| invalid(format!("`expires`: {error}")))?;
    let new = NewKey {
        name: create.name,
        scopes: create.scopes,
        inline,
        handles: create.handles,
        limits: create.limits,
        expires,
    };
    may_give(&caller, &new.scopes, new.inline)?;
    let new = NewKey {
        limits: within(&caller, new.limits)?,
        ..new
    };
    if app.gate.configures(&new.name) {
        let detail = "a caller of the configuration has this name; callers are told apart by it";
        return Err(Problem::new(StatusCode::CONFLICT, "key_name_taken", detail));
    }
    if app.receivers.iter().any(|r| r.issuer() == new.name) {
        let detail = "a transmitter of events has this name; events are told apart by it";
        return Err(Problem::new(StatusCode::CONFLICT, "key_name_taken", detail));
    }
    let now = (app.clock)();
    let made = blocking(move || store.keys().create(new, now)).await?;
    let (key, secret) = made.map_err(problem)?;
    tracing::info!(
        by = caller.name(),
        key = key.id,
        name = key.name,
        "key created"
    );
    Ok((StatusCode::CREATED, Json(with_secret(&key, &secret))).into_response())
}

/// Gives a key a new secret.
pub(super) async fn rotate(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Params(id): Params<String>,
    http: HttpRequest,
) -> Result<Response, Problem> {
    let store = store(&app)?;
    let rotate: Rotate = body::read(&app, http).await?;
    let overlap = match rotate.overlap.as_deref() {
        None => Duration::ZERO,
        Some(text) => humantime::parse_duration(text)
            .ok()
            .filter(|overlap| *overlap <= LONGEST_OVERLAP)
            .ok_or_else(|| invalid("`overlap` is a duration such as 1h, at most 30 days"))?,
    };
    may_change(&caller, &store.keys().list(), &id)?;
    let now = (app.clock)();
    let rotated = blocking(move || store.keys().rotate(&id, overlap, now)).await?;
    let (key, secret) = rotated.map_err(problem)?;
    tracing::info!(
        by = caller.name(),
        key = key.id,
        name = key.name,
        "key rotated"
    );
    Ok(Json(with_secret(&key, &secret)).into_response())
}

/// Ends a key for good.
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Params(id): Params<String>,
) -> Result<Response, Problem> {
    let store = store(&app)?;
    may_change(&caller, &store.keys().list(), &id)?;
    let now = (app.clock)();
    let revoked = blocking(move || store.keys().revoke(&id, now)).await?;
    let key = revoked.map_err(problem)?;
    tracing::info!(
        by = caller.name(),
        key = key.id,
        name = key.name,
        "key revoked"
    );
    Ok(Json(key.to_json()).into_response())
}

/// Nobody gives others rights that they do not have themselves.
fn may_give(caller: &Caller, scopes: &[String], inline: InlineRule) -> Result<(), Problem> {
    let more = |detail: String| {
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "scope_required",
            detail,
        ))
    };
    for scope in scopes.iter().filter_map(|name| Scope::from_name(name)) {
        if !caller.has(scope) {
            let detail = format!(
                "a key cannot have `{}`, which its maker lacks",
                scope.name()
            );
            return more(detail);
        }
    }
    if inline == InlineRule::Override && caller.inline() != InlineRule::Override {
        return more("a key cannot override stored entities if its maker cannot".to_owned());
    }
    Ok(())
}

/// The bounds of a key that a bounded caller makes: its own where it gives none, never wider ones.
fn within(caller: &Caller, limits: Option<KeyLimits>) -> Result<Option<KeyLimits>, Problem> {
    let Some(own) = caller.limits() else {
        return Ok(limits);
    };
    let own = KeyLimits {
        requests_per_second: own.requests_per_second,
        burst: own.burst,
        concurrent: own.concurrent,
    };
    let Some(given) = limits else {
        return Ok(Some(own));
    };
    let fits = |given: u32, own: u32| own == 0 || (given != 0 && given <= own);
    if fits(given.requests_per_second, own.requests_per_second)
        && fits(given.burst, own.burst)
        && fits(given.concurrent, own.concurrent)
    {
        return Ok(Some(given));
    }
    let detail = "a key cannot have wider limits than its maker";
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "scope_required",
        detail,
    ))
}

/// Whoever rotates a key learns it, and has its rights.
fn may_change(caller: &Caller, keys: &[ApiKey], id: &str) -> Result<(), Problem> {
    match keys.iter().find(|key| key.id == id) {
        Some(key) => may_give(caller, &key.scopes, key.inline),
        None => Ok(()),
    }
}

fn with_secret(key: &ApiKey, secret: &str) -> Value {
    let mut json = key.to_json();
    if let Some(members) = json.as_object_mut() {
        members.insert("key".to_owned(), secret.into());
    }
    json
}

fn problem(error: KeyError) -> Problem {
    let status = match &error {
        KeyError::Invalid(_) => StatusCode::BAD_REQUEST,
        KeyError::NameTaken(_) | KeyError::Revoked(_) => StatusCode::CONFLICT,
        KeyError::Unknown(_) => StatusCode::NOT_FOUND,
        KeyError::State(error) => return not_kept(error),
    };
    Problem::new(status, error.code(), error.to_string())
}
