//! `/webhooks`: who is told of findings and incidents, and what they did not get.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::json;

use super::body::{self, Answer, By, Params, Queries, Shared, blocking, invalid, not_kept, reply};
use crate::base::caller::Caller;
use crate::service::http::app::App;
use crate::service::http::observe::metrics::{Metrics, figures};
use crate::service::http::problem::Problem;
use crate::service::webhooks::{Registration, Replay, WebhookError, Webhooks};
use crate::trust::subjects::Severity;

/// Dead letters in an answer, unless asked otherwise; and at most.
const SHOWN: usize = 100;
const MOST_SHOWN: usize = 1_000;

/// A webhook to be registered.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Create {
    name: String,
    url: String,
    #[serde(default)]
    events: Vec<String>,
    min_severity: Option<Severity>,
}

/// What a webhook is to be from now on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Update {
    url: String,
    #[serde(default)]
    events: Vec<String>,
    min_severity: Option<Severity>,
}

/// Which dead letters are sent again: these, or all.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Again {
    ids: Option<Vec<String>>,
    #[serde(default)]
    all: bool,
    webhook: Option<String>,
}

/// How many dead letters are shown.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shown {
    limit: Option<usize>,
}

/// Shows figures of webhooks among the metrics.
pub(crate) fn watch(webhooks: &Webhooks, metrics: &Metrics) {
    let help = "Deliveries to webhooks by what became of them; `failed` counts tries";
    metrics.watch_counts("result", "webhook_deliveries", help, webhooks.results());
    let (pending, dead) = (webhooks.counter(), webhooks.counter());
    figures! { metrics;
        watch_gauge "webhook_pending" "Deliveries to webhooks that wait" = move || pending.pending();
        watch_gauge "webhook_dead_letters" "Deliveries to webhooks that were given up and are kept"
            = move || dead.dead();
    }
}

/// Every webhook with its statistics, without secrets.
pub(crate) async fn list(State(app): Shared) -> Answer {
    reply(json!({ "webhooks": app.webhooks.list() }))
}

/// One webhook.
pub(crate) async fn show(State(app): Shared, Params(name): Params<String>) -> Answer {
    let webhook = app.webhooks.get(&name).map_err(problem)?;
    reply(webhook)
}

/// Registers a webhook; the answer is the only place where its secret stands.
pub(crate) async fn create(State(app): Shared, Extension(caller): By, http: HttpRequest) -> Answer {
    let create: Create = body::read(&app, http).await?;
    let new = Registration {
        url: create.url,
        events: create.events,
        min_severity: create.min_severity.unwrap_or(Severity::Low),
    };
    let work = move |hooks: &Webhooks, name: &str| hooks.create(name, &new);
    let made = act(app, &caller, create.name, "webhook registered", work).await?;
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// Changes a webhook.
pub(crate) async fn update(
    State(app): Shared,
    Extension(caller): By,
    Params(name): Params<String>,
    http: HttpRequest,
) -> Answer {
    let update: Update = body::read(&app, http).await?;
    let new = Registration {
        url: update.url,
        events: update.events,
        min_severity: update.min_severity.unwrap_or(Severity::Low),
    };
    let work = move |hooks: &Webhooks, name: &str| hooks.update(name, &new);
    let changed = act(app, &caller, name, "webhook changed", work).await?;
    reply(changed)
}

/// Gives a webhook a new secret.
pub(crate) async fn rotate(
    State(app): Shared,
    Extension(caller): By,
    Params(name): Params<String>,
) -> Answer {
    let said = "secret of a webhook rotated";
    let rotated = act(app, &caller, name, said, Webhooks::rotate).await?;
    reply(rotated)
}

/// Sends a test event and says what came of it.
pub(crate) async fn test(
    State(app): Shared,
    Extension(caller): By,
    Params(name): Params<String>,
) -> Answer {
    let tried = act(app, &caller, name, "webhook tested", Webhooks::test).await?;
    reply(tried)
}

/// Removes a webhook and what waits for it.
pub(crate) async fn remove(
    State(app): Shared,
    Extension(caller): By,
    Params(name): Params<String>,
) -> Answer {
    act(app, &caller, name, "webhook removed", Webhooks::remove).await?;
    reply(json!({ "removed": true }))
}

/// Deliveries that were given up, the newest first.
pub(crate) async fn dead(State(app): Shared, Queries(shown): Queries<Shown>) -> Answer {
    let most = shown.limit.unwrap_or(SHOWN);
    if most > MOST_SHOWN {
        return Err(invalid(format!("`limit` is at most {MOST_SHOWN}")));
    }
    let dead = blocking(move || app.webhooks.dead(most)).await?;
    reply(dead.map_err(problem)?)
}

/// Has dead letters sent again.
pub(crate) async fn replay(State(app): Shared, Extension(caller): By, http: HttpRequest) -> Answer {
    let again: Again = body::read(&app, http).await?;
    if again.ids.is_some() == again.all {
        return Err(invalid("give `ids`, or `all` as true"));
    }
    let which = Replay {
        ids: again.ids,
        webhook: again.webhook,
    };
    let replayed = blocking(move || app.webhooks.replay(&which)).await?;
    let replayed = replayed.map_err(problem)?;
    tracing::info!(by = caller.name(), "dead letters replayed");
    reply(replayed)
}

/// Does something to the webhook of this name, and says in the log who did it.
async fn act<T: Send + 'static>(
    app: Arc<App>,
    caller: &Caller,
    name: String,
    said: &'static str,
    work: impl FnOnce(&Webhooks, &str) -> Result<T, WebhookError> + Send + 'static,
) -> Result<T, Problem> {
    let which = name.clone();
    let done = blocking(move || work(&app.webhooks, &which)).await?;
    let done = done.map_err(problem)?;
    tracing::info!(by = caller.name(), webhook = name, "{said}");
    Ok(done)
}

fn problem(error: WebhookError) -> Problem {
    let status = match &error {
        WebhookError::Invalid(_) => StatusCode::BAD_REQUEST,
        WebhookError::NameTaken(_) | WebhookError::Configured(_) | WebhookError::Full => {
            StatusCode::CONFLICT
        }
        WebhookError::Unknown(_) => StatusCode::NOT_FOUND,
        WebhookError::NoState | WebhookError::NoKey => StatusCode::NOT_IMPLEMENTED,
        WebhookError::State(error) => return not_kept(error),
        WebhookError::Failed(message) => {
            tracing::error!(message, "webhooks");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return Problem::new(status, error.code(), "an internal error");
        }
    };
    Problem::new(status, error.code(), error.to_string())
}
