//! `/revisions`: what was published, from the state directory.

use axum::extract::{Extension, State};
use serde_json::{Value, json};

use super::body::{Answer, By, Params, Shared, blocking, missing, not_read, reply, store};
use crate::base::caller::Scope;
use crate::base::timestamp::Timestamp;
use crate::source::Kind;
use crate::storage::RevisionLine;

/// Lines that are listed.
const MOST: usize = 1_000;

/// The latest revisions, newest first.
pub(crate) async fn list(State(app): Shared) -> Answer {
    let store = store(&app)?;
    let lines = blocking(move || store.revisions(MOST)).await?;
    let lines = lines.map_err(|error| not_read(&error))?;
    let lines: Vec<_> = lines.iter().map(line).collect();
    reply(json!({ "revisions": lines }))
}

/// One revision with its sources, as long as they are kept.
pub(crate) async fn get(
    State(app): Shared,
    Extension(caller): By,
    Params(sequence): Params<u64>,
) -> Answer {
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
    reply(json)
}

fn line(line: &RevisionLine) -> Value {
    json!({
        "sequence": line.sequence,
        "revision": line.revision,
        "published": Timestamp::from_millis(line.published).to_string(),
        "files": line.files,
    })
}
