//! `/keys`: API keys in the state directory.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Json;
use axum::extract::{Extension, Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{
    self, Answer, By, Params, Queries, Shared, blocking, invalid, not_kept, reply, store,
};
use crate::base::caller::{Caller, InlineRule, KEY_PREFIX};
use crate::base::timestamp::Timestamp;
use crate::service::http::problem::Problem;
use crate::storage::keys::{ApiKey, KeyError, KeyLimits, Made, NewKey};

/// Longest time for which a rotated secret is still taken.
const LONGEST_OVERLAP: Duration = Duration::from_secs(30 * 24 * 3_600);

/// A key to be made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
    scopes: Vec<String>,
    inline: Option<String>,
    #[serde(default)]
    handles: BTreeSet<String>,
    limits: Option<KeyLimits>,
    expires: Option<String>,
}

/// How long the present secret is still taken.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotate {
    overlap: Option<String>,
}

/// Every key, without secrets.
pub(crate) async fn list(State(app): Shared) -> Answer {
    let keys: Vec<Value> = store(&app)?
        .keys()
        .list()
        .iter()
        .map(ApiKey::to_json)
        .collect();
    reply(json!({ "keys": keys }))
}

/// Makes a key within what the caller may do. Only this answer holds the key.
pub(crate) async fn create(State(app): Shared, Extension(caller): By, http: HttpRequest) -> Answer {
    let store = store(&app)?;
    let create: Create = body::read(&app, http).await?;
    let inline = match create.inline.as_deref() {
        None => InlineRule::Add.min(caller.inline()),
        Some(name) => InlineRule::from_name(name)
            .ok_or_else(|| invalid("`inline` is off, add or override"))?,
    };
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
    if let Some(reason) = app.gate.reserves(&new.name) {
        return Err(problem(KeyError::Reserved(reason)));
    }
    let now = (app.clock)();
    let maker = caller.clone();
    let made = blocking(move || store.keys().create_by(new, &maker, now)).await?;
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
pub(crate) async fn rotate(
    State(app): Shared,
    Extension(caller): By,
    Params(id): Params<String>,
    http: HttpRequest,
) -> Answer {
    let store = store(&app)?;
    let rotate: Rotate = body::read(&app, http).await?;
    let overlap = match rotate.overlap.as_deref() {
        None => Duration::ZERO,
        Some(text) => humantime::parse_duration(text)
            .ok()
            .filter(|overlap| *overlap <= LONGEST_OVERLAP)
            .ok_or_else(|| invalid("`overlap` is a duration such as 1h, at most 30 days"))?,
    };
    store.keys().may_change(&caller, &id).map_err(problem)?;
    if app.gate.is_named_by_a_rule(&id) && !may_be(&caller, &id) {
        return Err(problem(KeyError::Exceeds(
            "a rule of `trust.enforce` names the key: only its own caller and the owner of the state \
             directory may have its secret"
                .to_owned(),
        )));
    }
    let now = (app.clock)();
    let rotated = blocking(move || store.keys().rotate(&id, overlap, now)).await?;
    let (key, secret) = rotated.map_err(problem)?;
    tracing::info!(
        by = caller.name(),
        key = key.id,
        name = key.name,
        "key rotated"
    );
    reply(with_secret(&key, &secret))
}

/// What else ends with a key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revoke {
    /// `keep` for the keys that it made to stay; they end with it otherwise.
    made: Option<String>,
}

/// Ends a key for good, and the keys that it made.
pub(crate) async fn revoke(
    State(app): Shared,
    Extension(caller): By,
    Params(id): Params<String>,
    Queries(query): Queries<Revoke>,
) -> Answer {
    let store = store(&app)?;
    let made = match query.made.as_deref() {
        None | Some("revoke") => Made::Revoke,
        Some("keep") => Made::Keep,
        Some(_) => return Err(invalid("`made` is revoke or keep")),
    };
    store.keys().may_change(&caller, &id).map_err(problem)?;
    let now = (app.clock)();
    let revoked = blocking(move || store.keys().revoke(&id, made, now)).await?;
    let (key, ended) = revoked.map_err(problem)?;
    tracing::info!(
        by = caller.name(),
        key = key.id,
        name = key.name,
        with = ended.len(),
        "key revoked"
    );
    let mut json = key.to_json();
    if let Some(members) = json.as_object_mut() {
        members.insert("revokedWithIt".to_owned(), ended.into());
    }
    reply(json)
}

/// Whether a caller is that of the key, or may read the state directory.
fn may_be(caller: &Caller, id: &str) -> bool {
    caller.is_owner() || caller.id().strip_prefix(KEY_PREFIX) == Some(id)
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
        KeyError::NameTaken(_) | KeyError::Reserved(_) | KeyError::Revoked(_) => {
            StatusCode::CONFLICT
        }
        KeyError::Exceeds(_) => StatusCode::FORBIDDEN,
        KeyError::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
        KeyError::Unknown(_) => StatusCode::NOT_FOUND,
        KeyError::State(error) => return not_kept(error),
    };
    Problem::new(status, error.code(), error.to_string())
}
