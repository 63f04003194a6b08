//! Facts of the decision itself, put into the raw context before it is parsed.

use serde_json::json;

use super::Enriched;
use crate::policy::ENV_TYPE;
use crate::request::{InputFault, pointer};

/// Sets the `env` member (its name is a setting) to `{now}`, for actions that declare it as
/// `Deodar::Env`; elsewhere the member is the caller's.
pub(super) fn env(enriched: &mut Enriched<'_>) {
    let snapshot = enriched.state.snapshot();
    let inject = &snapshot.settings().inject;
    let wanted = match snapshot.schema_set() {
        Some(schema) => {
            let action = enriched.request.action().to_string();
            schema.model.injects(&action, &inject.env, ENV_TYPE)
        }
        None => inject.without_schema,
    };
    if !wanted {
        return;
    }
    let now = json!({"__extn": {"fn": "datetime", "arg": enriched.now.to_string()}});
    let previous = enriched
        .context
        .insert(inject.env.clone(), json!({"now": now}));
    if previous.is_some() {
        enriched.faults.push(InputFault::new(
            pointer("/context", &inject.env),
            "is set by the decision point for this action; leave it out",
        ));
    }
}
