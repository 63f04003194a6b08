//! `/entities`: stored entities, read and written.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::app::App;
use super::body::{self, Params, blocking, invalid, missing, not_kept};
use super::problem::Problem;
use crate::caller::Caller;
use crate::json::InputFault;
use crate::pdp::{EntitiesWritten, EntityChange, EntityOrigin, EntityWriteError};
use crate::request::EntityRef;

/// Entities of a page, where the query does not say.
const PAGE: usize = 100;
/// Most changes of a batch.
const LARGEST_BATCH: usize = 10_000;

/// Where a page begins and how long it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    after: Option<String>,
    limit: Option<usize>,
}

/// A batch: all of it or nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Batch {
    changes: Vec<Change>,
    #[serde(default)]
    if_sequence: Option<u64>,
}

/// `{"upsert": entity}` or `{"delete": {"type", "id"}}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum Change {
    Upsert(Value),
    Delete(Name),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    r#type: String,
    id: String,
}

/// The types that entities are stored of, with how many.
pub(super) async fn types(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let pdp = app.pdp().ok_or_else(Problem::not_ready)?;
    let types: Vec<_> = pdp
        .entity_types()
        .into_iter()
        .map(|(name, count)| json!({"type": name, "count": count}))
        .collect();
    Ok(Json(json!({ "types": types })).into_response())
}

/// Entities of a type in the order of their ids.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Params(type_name): Params<String>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(page) = page.map_err(|error| body::query(&error))?;
    let limit = page.limit.unwrap_or(PAGE);
    if limit == 0 || limit > 1_000 {
        return Err(invalid("`limit` is a whole number from 1 to 1000"));
    }
    let pdp = app.pdp().ok_or_else(Problem::not_ready)?;
    let found = pdp.entities_of(&type_name, page.after.as_deref(), limit);
    let entities: Vec<_> = found.entities.iter().map(shown).collect();
    Ok(Json(json!({
        "entities": entities, "next": found.next, "sequence": found.sequence,
    }))
    .into_response())
}

/// One entity.
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Params(name): Params<(String, String)>,
) -> Result<Response, Problem> {
    let pdp = app.pdp().ok_or_else(Problem::not_ready)?;
    let name = entity(&name)?;
    match pdp.entity(&name) {
        Some(found) => Ok(Json(shown(&found)).into_response()),
        None => Err(missing(format!("no entity `{name}` is stored"))),
    }
}

/// Stores one entity: `{"attrs", "parents", "tags"}`.
pub(super) async fn put(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Params(name): Params<(String, String)>,
    http: HttpRequest,
) -> Result<Response, Problem> {
    let name = entity(&name)?;
    let mut json: Map<String, Value> = body::read(&app, http).await?;
    if json.contains_key("uid") {
        return Err(invalid("the path says which entity it is; leave `uid` out"));
    }
    let uid = json!({"type": name.type_name(), "id": name.id()});
    json.insert("uid".to_owned(), uid);
    for (member, none) in [("attrs", json!({})), ("parents", json!([]))] {
        json.entry(member).or_insert(none);
    }
    write(
        &app,
        &caller,
        vec![EntityChange::Upsert(json.into())],
        None,
        false,
    )
    .await
}

/// Deletes one entity.
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Params(name): Params<(String, String)>,
) -> Result<Response, Problem> {
    let name = entity(&name)?;
    write(&app, &caller, vec![EntityChange::Delete(name)], None, false).await
}

/// Writes a batch.
pub(super) async fn batch(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    http: HttpRequest,
) -> Result<Response, Problem> {
    let batch: Batch = body::read(&app, http).await?;
    if batch.changes.len() > LARGEST_BATCH {
        let detail = format!("a batch has at most {LARGEST_BATCH} changes");
        return Err(invalid(detail));
    }
    let changes = batch.changes.into_iter().map(|change| match change {
        Change::Upsert(json) => Ok(EntityChange::Upsert(json)),
        Change::Delete(name) => entity(&(name.r#type, name.id)).map(EntityChange::Delete),
    });
    let changes = changes.collect::<Result<Vec<_>, _>>()?;
    write(&app, &caller, changes, batch.if_sequence, true).await
}

async fn write(
    app: &Arc<App>,
    caller: &Caller,
    changes: Vec<EntityChange>,
    if_sequence: Option<u64>,
    batch: bool,
) -> Result<Response, Problem> {
    let pdp = app.pdp().ok_or_else(Problem::not_ready)?.clone();
    let written = blocking(move || match if_sequence {
        Some(sequence) => pdp.write_entities_if(sequence, changes),
        None => pdp.write_entities(changes),
    });
    let EntitiesWritten {
        revision,
        sequence,
        stored,
        deleted,
    } = written.await?.map_err(|error| problem(error, batch))?;
    tracing::info!(
        by = caller.name(),
        sequence,
        stored,
        deleted,
        "entities written"
    );
    Ok(Json(json!({
        "revision": revision.as_str(), "sequence": sequence, "stored": stored, "deleted": deleted,
    }))
    .into_response())
}

fn shown((json, origin): &(Value, EntityOrigin)) -> Value {
    let mut json = json.clone();
    if let Some(members) = json.as_object_mut() {
        members.insert("origin".to_owned(), origin.as_str().into());
    }
    json
}

fn entity((type_name, id): &(String, String)) -> Result<EntityRef, Problem> {
    EntityRef::new(type_name, id).map_err(|error| invalid(error.to_string()))
}

fn problem(error: EntityWriteError, batch: bool) -> Problem {
    let (code, detail) = (error.code(), error.to_string());
    match error {
        EntityWriteError::NoState => body::no_state(),
        EntityWriteError::State(error) => not_kept(&error),
        EntityWriteError::Sequence { .. } => {
            Problem::new(StatusCode::PRECONDITION_FAILED, code, detail)
        }
        EntityWriteError::Full(_) => Problem::new(StatusCode::INSUFFICIENT_STORAGE, code, detail),
        EntityWriteError::Graph(_) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail),
        EntityWriteError::Refused(faults) => {
            let managed = faults.iter().any(|fault| fault.code == "managed_by_file");
            let status = if managed {
                StatusCode::CONFLICT
            } else {
                StatusCode::UNPROCESSABLE_ENTITY
            };
            let errors = faults.iter().map(|fault| {
                // A body that is one entity has no place for its change.
                let at = if batch {
                    format!("/changes/{}", fault.at)
                } else {
                    String::new()
                };
                InputFault::new(at, fault.message.clone())
            });
            Problem::new(status, code, detail).errors(errors.collect())
        }
    }
}
