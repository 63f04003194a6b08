//! `/revisions`: what was published, from the state directory.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::body::{Params, blocking, missing, not_read, store};
use crate::base::caller::{Caller, Scope};
use crate::base::timestamp::Timestamp;
use crate::service::http::app::App;
use crate::service::http::problem::Problem;
use crate::source::Kind;
use crate::storage::RevisionLine;

/// Lines that are listed.
const MOST: usize = 1_000;

/// The latest revisions, newest first.
pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let store = store(&app)?;
    let lines = blocking(move || store.revisions(MOST)).await?;
    let lines = lines.map_err(|error| not_read(&error))?;
    let lines: Vec<_> = lines.iter().map(line).collect();
    Ok(Json(json!({ "revisions": lines })).into_response())
}

/// One revision with its sources, as long as they are kept.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Params(sequence): Params<u64>,
) -> Result<Response, Problem> {
    let store = store(&app)?;
    let found = blocking(move || store.revision(sequence)).await?;
    let found = found.map_err(|error| not_read(&error))?;
    let Some((revision, files)) = found else {
        return Err(missing(
            "its sources are not kept; see `state.keep_revisions`",
        ));
    };
    let mut json = line(&revision);
    let files: Vec<_> = files
        .iter()
        // Who may read policies may not read entities by that.
        .filter(|file| file.form.kind() != Kind::Entities || caller.has(Scope::EntitiesRead))
        .map(|file| json!({"name": &*file.relative, "text": &*file.source.text}))
        .collect();
    if let Some(members) = json.as_object_mut() {
        members.insert("sources".to_owned(), files.into());
    }
    Ok(Json(json).into_response())
}

fn line(line: &RevisionLine) -> Value {
    json!({
        "sequence": line.sequence,
        "revision": line.revision,
        "published": Timestamp::from_millis(line.published).to_string(),
        "files": line.files,
    })
}
