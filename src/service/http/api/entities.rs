//! `/entities`: stored entities, read and written.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Request as HttpRequest, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::body::{
    self, Answer, By, Params, Queries, Shared, blocking, invalid, missing, not_kept, reply,
};
use crate::base::caller::Caller;
use crate::base::entity_ref::EntityRef;
use crate::base::json::InputFault;
use crate::pdp::{
    Condition, EntitiesWritten, EntityChange, EntityOrigin, EntityWriteError, entity_tag,
};
use crate::request::RequestError;
use crate::service::http::app::App;
use crate::service::http::problem::Problem;

/// Entities of a page, where the query does not say.
const PAGE: usize = 100;
/// Most changes of a batch.
const LARGEST_BATCH: usize = 10_000;
/// Most faults of a body that are named.
const MOST_FAULTS: usize = 100;

/// Where a page begins and how long it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    after: Option<String>,
    limit: Option<usize>,
}

/// A batch: all of it or nothing.
struct Batch {
    changes: Vec<EntityChange>,
    if_sequence: Option<u64>,
}

/// What is wrong with a body, and where.
struct Faults(Vec<InputFault>);

impl Faults {
    fn add(&mut self, pointer: String, detail: &str) {
        if self.0.len() < MOST_FAULTS {
            self.0.push(InputFault::new(pointer, detail));
        }
    }

    /// Names the members that are not among `known`.
    fn unknown(&mut self, at: &str, members: &Map<String, Value>, known: &[&str]) {
        let room = MOST_FAULTS.saturating_sub(self.0.len());
        let found = crate::base::json::unknown_members(members, known, at);
        self.0.extend(found.into_iter().take(room));
    }
}

impl Batch {
    /// Reads it, or names every fault.
    fn read(body: &Map<String, Value>) -> Result<Self, Problem> {
        let mut faults = Faults(Vec::new());
        faults.unknown("", body, &["changes", "ifSequence"]);
        let if_sequence = match body.get("ifSequence") {
            None | Some(Value::Null) => None,
            Some(value) => {
                let number = value.as_u64();
                if number.is_none() {
                    faults.add("/ifSequence".to_owned(), "expected a whole number from 0");
                }
                number
            }
        };
        let mut changes = Vec::new();
        match body.get("changes") {
            Some(Value::Array(all)) if all.len() > LARGEST_BATCH => {
                let detail = format!("a batch has at most {LARGEST_BATCH} changes");
                faults.add("/changes".to_owned(), &detail);
            }
            Some(Value::Array(all)) => {
                for (at, change) in all.iter().enumerate() {
                    changes.extend(Self::change(&format!("/changes/{at}"), change, &mut faults));
                }
            }
            Some(_) => faults.add("/changes".to_owned(), "expected a list"),
            None => faults.add("/changes".to_owned(), "missing"),
        }
        if faults.0.is_empty() {
            Ok(Self {
                changes,
                if_sequence,
            })
        } else {
            Err(faulty(faults.0))
        }
    }

    fn change(at: &str, change: &Value, faults: &mut Faults) -> Option<EntityChange> {
        let expected = "expected {\"upsert\": entity}, {\"patch\": entity} or \
                        {\"delete\": {\"type\", \"id\"}}";
        let mut members = change.as_object().into_iter().flatten();
        let (Some((kind, value)), None) = (members.next(), members.next()) else {
            faults.add(at.to_owned(), expected);
            return None;
        };
        match kind.as_str() {
            "upsert" => Some(EntityChange::Upsert(without_nulls(value.clone()))),
            "patch" => Some(EntityChange::Patch(value.clone())),
            "delete" => Self::deleted(&format!("{at}/delete"), value, faults),
            _ => {
                faults.add(at.to_owned(), expected);
                None
            }
        }
    }

    fn deleted(at: &str, value: &Value, faults: &mut Faults) -> Option<EntityChange> {
        let Some(members) = value.as_object() else {
            faults.add(at.to_owned(), "expected {\"type\", \"id\"}");
            return None;
        };
        faults.unknown(at, members, &["type", "id"]);
        let [ty, id] = ["type", "id"].map(|member| {
            let text = members.get(member).and_then(Value::as_str);
            if text.is_none() {
                faults.add(format!("{at}/{member}"), "expected a string");
            }
            text
        });
        match EntityRef::new(ty?, id?) {
            Ok(entity) => Some(EntityChange::Delete(entity)),
            Err(error) => {
                faults.add(at.to_owned(), &error.to_string());
                None
            }
        }
    }
}

/// An entity whose members that are null are left out: null for an optional member is not a member.
fn without_nulls(mut entity: Value) -> Value {
    if let Some(members) = entity.as_object_mut() {
        crate::base::json::drop_nulls(members, &["attrs", "parents", "tags"]);
    }
    entity
}

fn faulty(errors: Vec<InputFault>) -> Problem {
    RequestError::Invalid(errors).into()
}

/// The types that entities are stored of, with how many.
pub(crate) async fn types(State(app): Shared) -> Answer {
    let pdp = app.pdp().ok_or_else(Problem::not_ready)?;
    let types: Vec<_> = pdp
        .entity_types()
        .into_iter()
        .map(|(name, count)| json!({"type": name, "count": count}))
        .collect();
    reply(json!({ "types": types }))
}

/// Entities of a type in the order of their ids.
pub(crate) async fn list(
    State(app): Shared,
    Params(type_name): Params<String>,
    Queries(page): Queries<Page>,
) -> Answer {
    let limit = page.limit.unwrap_or(PAGE);
    if limit == 0 || limit > 1_000 {
        return Err(invalid("`limit` is a whole number from 1 to 1000"));
    }
    let pdp = app.pdp().ok_or_else(Problem::not_ready)?;
    let found = pdp.entities_of(&type_name, page.after.as_deref(), limit);
    let entities: Vec<_> = found.entities.iter().map(shown).collect();
    reply(json!({
        "entities": entities, "next": found.next, "sequence": found.sequence,
    }))
}

/// One entity.
pub(crate) async fn get(State(app): Shared, Params(name): Params<(String, String)>) -> Answer {
    let pdp = app.pdp().ok_or_else(Problem::not_ready)?;
    let name = entity(&name)?;
    match pdp.entity(&name) {
        Some(found) => {
            let tag = format!("\"{}\"", entity_tag(&found));
            Ok(([(header::ETAG, tag)], Json(shown(&found))).into_response())
        }
        None => Err(missing(format!("no entity `{name}` is stored"))),
    }
}

/// Stores one entity: `{"attrs", "parents", "tags"}`.
pub(crate) async fn put(
    State(app): Shared,
    Extension(caller): By,
    Params(name): Params<(String, String)>,
    http: HttpRequest,
) -> Answer {
    let name = entity(&name)?;
    let condition = condition(http.headers(), &name)?;
    let json = without_nulls(named(&name, body::read(&app, http).await?)?);
    let changes = vec![EntityChange::Upsert(json)];
    write(&app, &caller, changes, condition, false).await
}

/// Changes parts of one entity by a JSON Merge Patch of `{"attrs", "parents", "tags"}`.
pub(crate) async fn patch(
    State(app): Shared,
    Extension(caller): By,
    Params(name): Params<(String, String)>,
    http: HttpRequest,
) -> Answer {
    let name = entity(&name)?;
    let kinds = http.headers().get_all(header::CONTENT_TYPE).iter();
    let mut kinds = kinds.filter_map(|kind| kind.to_str().ok());
    if kinds.any(|kind| kind.to_ascii_lowercase().contains("json-patch")) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "send a JSON Merge Patch (RFC 7396) as `application/merge-patch+json`",
        ));
    }
    let condition = condition(http.headers(), &name)?;
    let json = named(&name, body::read(&app, http).await?)?;
    let changes = vec![EntityChange::Patch(json)];
    write(&app, &caller, changes, condition, false).await
}

/// The body with the entity that the path names.
fn named(name: &EntityRef, body: Value) -> Result<Value, Problem> {
    let Value::Object(mut members) = body else {
        return Err(invalid("expected an object"));
    };
    if members.contains_key("uid") {
        return Err(invalid("the path says which entity it is; leave `uid` out").at("/uid"));
    }
    let mut faults = Faults(Vec::new());
    faults.unknown("", &members, &["attrs", "parents", "tags"]);
    if !faults.0.is_empty() {
        return Err(faulty(faults.0));
    }
    let uid = json!({"type": name.type_name(), "id": name.id()});
    members.insert("uid".to_owned(), uid);
    Ok(Value::Object(members))
}

/// What `If-Match` and `If-None-Match` (RFC 9110) ask for.
fn condition(headers: &HeaderMap, name: &EntityRef) -> Result<Condition, Problem> {
    let values = |header: HeaderName| {
        let all = headers.get_all(header).iter();
        let all: Result<Vec<&str>, _> = all.map(|value| value.to_str()).collect();
        all.map(|all| all.join(","))
    };
    let malformed = |header: &str| {
        invalid(format!(
            "`{header}` is a tag in quotes, as the `ETag` of the entity has it, or `*`"
        ))
    };
    let matched = values(header::IF_MATCH).map_err(|_| malformed("If-Match"))?;
    let absent = values(header::IF_NONE_MATCH).map_err(|_| malformed("If-None-Match"))?;
    match (matched.trim(), absent.trim()) {
        ("", "") => Ok(Condition::None),
        ("", "*") => Ok(Condition::Absent(name.clone())),
        ("", _) => Err(invalid("`If-None-Match` is `*` here")),
        (_, "") => {
            let mut tags = Vec::new();
            for tag in matched.split(',').map(str::trim) {
                if tag == "*" {
                    return Ok(Condition::Stored(name.clone(), Vec::new()));
                }
                let bare = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
                tags.push(bare.ok_or_else(|| malformed("If-Match"))?.to_owned());
            }
            Ok(Condition::Stored(name.clone(), tags))
        }
        _ => Err(invalid("give `If-Match` or `If-None-Match`, not both")),
    }
}

/// Deletes one entity.
pub(crate) async fn delete(
    State(app): Shared,
    Extension(caller): By,
    Params(name): Params<(String, String)>,
    http: HttpRequest,
) -> Answer {
    let name = entity(&name)?;
    let condition = condition(http.headers(), &name)?;
    let changes = vec![EntityChange::Delete(name)];
    write(&app, &caller, changes, condition, false).await
}

/// Writes a batch.
pub(crate) async fn batch(State(app): Shared, Extension(caller): By, http: HttpRequest) -> Answer {
    let body: Value = body::read(&app, http).await?;
    let body = body
        .as_object()
        .ok_or_else(|| invalid("expected an object with `changes`"))?;
    let Batch {
        changes,
        if_sequence,
    } = Batch::read(body)?;
    let condition = if_sequence.map_or(Condition::None, Condition::Sequence);
    write(&app, &caller, changes, condition, true).await
}

async fn write(
    app: &Arc<App>,
    caller: &Caller,
    changes: Vec<EntityChange>,
    condition: Condition,
    batch: bool,
) -> Answer {
    let pdp = app.pdp().ok_or_else(Problem::not_ready)?.clone();
    let written = blocking(move || pdp.write_entities_where(&condition, &changes));
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
    reply(json!({
        "revision": revision.as_str(), "sequence": sequence, "stored": stored, "deleted": deleted,
    }))
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
        EntityWriteError::Sequence { .. } | EntityWriteError::Precondition => {
            Problem::new(StatusCode::PRECONDITION_FAILED, code, detail)
        }
        EntityWriteError::Full(_) => Problem::new(StatusCode::INSUFFICIENT_STORAGE, code, detail),
        EntityWriteError::Graph(_) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail),
        EntityWriteError::Refused(faults) => {
            let managed = faults.iter().any(|fault| fault.code == "managed_by_file");
            let unknown = faults.iter().any(|fault| fault.code == "unknown_entity");
            let status = if managed {
                StatusCode::CONFLICT
            } else if unknown && !batch {
                StatusCode::NOT_FOUND
            } else {
                StatusCode::UNPROCESSABLE_ENTITY
            };
            let errors = faults.iter().take(MOST_FAULTS).map(|fault| {
                // A body that is one entity has no place for its change.
                let at = if batch {
                    format!("/changes/{}{}", fault.at, fault.pointer)
                } else {
                    fault.pointer.clone()
                };
                InputFault::new(at, fault.message.clone())
            });
            Problem::new(status, code, detail).errors(errors.collect())
        }
    }
}
