//! `GET /policies`: the policies that decide now, page by page; `GET /policies/{id}`: one of them.

use axum::extract::State;
use axum::http::StatusCode;
use cedar_policy::{Effect, PolicyId};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::body::{Answer, Params, Queries, Shared, missing, reply};
use crate::policy::{PolicyInfo, Snapshot};
use crate::service::http::problem::Problem;

/// Policies of a page, where the query does not say.
const PAGE: usize = 100;
/// Most policies of a page.
const LARGEST_PAGE: usize = 1_000;

/// Where a page begins and how long it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    after: Option<String>,
    limit: Option<usize>,
}

/// Ids in order, each with its effect and the place it is written at.
pub(crate) async fn list(State(app): Shared, Queries(page): Queries<Page>) -> Answer {
    let limit = page.limit.unwrap_or(PAGE);
    if limit == 0 || limit > LARGEST_PAGE {
        let detail = format!("`limit` is a whole number from 1 to {LARGEST_PAGE}");
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            detail,
        ));
    }
    let state = app.pdp().ok_or_else(Problem::not_ready)?.state();
    let snapshot = state.snapshot();
    let first = match &page.after {
        None => 0,
        Some(id) => match snapshot.position(&PolicyId::new(id)) {
            Some(at) => at + 1,
            None => {
                let detail =
                    "`after` is not a policy of the present revision; begin again without it";
                return Err(Problem::new(StatusCode::CONFLICT, "stale_page", detail));
            }
        },
    };
    let mut policies = Vec::new();
    let mut last = None;
    for at in first..first.saturating_add(limit) {
        let Some(policy) = snapshot.policy(at) else {
            break;
        };
        let id: &str = policy.id.as_ref();
        policies.push(shown(snapshot, policy));
        last = Some(id.to_owned());
    }
    let (all, _) = snapshot.counts();
    let next = last.filter(|_| first + policies.len() < all);
    reply(json!({
        "revision": state.revision().as_str(),
        "sequence": state.sequence(),
        "policies": policies,
        "next": next,
    }))
}

/// One policy, with its annotations.
pub(crate) async fn get(State(app): Shared, Params(id): Params<String>) -> Answer {
    let state = app.pdp().ok_or_else(Problem::not_ready)?.state();
    let snapshot = state.snapshot();
    let at = snapshot.position(&PolicyId::new(&id));
    let Some(policy) = at.and_then(|at| snapshot.policy(at)) else {
        let id = crate::base::json::shown(&id);
        return Err(missing(format!("no policy `{id}` decides now")));
    };
    let annotations: Map<String, Value> = policy
        .annotations
        .iter()
        .map(|(name, value)| (name.to_string(), Value::from(&**value)))
        .collect();
    let mut body = shown(snapshot, policy);
    if let Some(members) = body.as_object_mut() {
        members.insert("annotations".to_owned(), annotations.into());
        members.insert("revision".to_owned(), state.revision().as_str().into());
        members.insert("sequence".to_owned(), state.sequence().into());
    }
    reply(body)
}

fn shown(snapshot: &Snapshot, policy: PolicyInfo<'_>) -> Value {
    let place = snapshot.source_of(policy.id).map(|place| {
        let (line, column) = place.source.position(place.offset);
        json!({"file": &*place.source.name, "line": line, "column": column})
    });
    let id: &str = policy.id.as_ref();
    let effect = match policy.effect {
        Effect::Permit => "permit",
        Effect::Forbid => "forbid",
    };
    json!({"id": id, "effect": effect, "place": place})
}
