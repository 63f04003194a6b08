//! Facts of the decision itself, put into the raw context before it is read.

use super::Enriched;
use crate::base::json::{InputFault, pointer};
use crate::policy::{AUTH_TYPE, ENV_TYPE, TRUST_TYPE};
use crate::schema::ActionModel;

/// Finds the members that the decision point sets: their names are settings, and an action has them that
/// declares them by the shipped types. Elsewhere such a member is the caller's.
pub(super) fn find(enriched: &mut Enriched<'_>) {
    let snapshot = enriched.state.snapshot();
    let inject = &snapshot.settings().inject;
    if let Some(schema) = snapshot.schema_set() {
        let action = enriched.request.action();
        enriched.action = schema.model.action(action.type_name(), action.id());
    }
    let has_schema = snapshot.schema_set().is_some();
    let wanted = |action: Option<&ActionModel>, member: &str, ty: &str| match action {
        Some(action) => action.injects(member, ty),
        None => !has_schema && inject.without_schema,
    };
    let injected = &mut enriched.injected;
    for (set, member, ty) in [
        (&mut injected.env, &inject.env, ENV_TYPE),
        (&mut injected.trust, &inject.trust, TRUST_TYPE),
        (&mut injected.auth, &inject.auth, AUTH_TYPE),
    ] {
        if !wanted(enriched.action, member, ty) {
            continue;
        }
        *set = Some(member);
        if enriched.request.context.contains_key(member) {
            enriched.faults.push(InputFault::new(
                pointer("/context", member),
                "is set by the decision point for this action; leave it out",
            ));
        }
    }
}
