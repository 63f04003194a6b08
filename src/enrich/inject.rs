//! Facts of the decision itself, put into the raw context before it is read.

use super::Enriched;
use crate::json::{InputFault, pointer};
use crate::policy::ENV_TYPE;

/// Sets the `env` member (its name is a setting) to `{now}`, for actions that declare it as
/// `Deodar::Env`; elsewhere the member is the caller's.
pub(super) fn env(enriched: &mut Enriched<'_>) {
    let snapshot = enriched.state.snapshot();
    let inject = &snapshot.settings().inject;
    let wanted = match snapshot.schema_set() {
        Some(schema) => {
            let action = enriched.request.action();
            let action = schema.model.action(action.type_name(), action.id());
            enriched.action = action;
            action.is_some_and(|action| action.injects(&inject.env, ENV_TYPE))
        }
        None => inject.without_schema,
    };
    if !wanted {
        return;
    }
    enriched.env = Some(&inject.env);
    if enriched.request.context.contains_key(&inject.env) {
        enriched.faults.push(InputFault::new(
            pointer("/context", &inject.env),
            "is set by the decision point for this action; leave it out",
        ));
    }
}
