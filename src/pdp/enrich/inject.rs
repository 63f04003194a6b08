//! The context members that the decision point sets, for this request's action.

use super::Enriched;
use crate::base::json::{InputFault, pointer};

/// Refuses what the caller says in their place: their names are settings, and an action has them that declares
/// them by the shipped types. Elsewhere such a member is the caller's.
pub(super) fn refuse_given(enriched: &mut Enriched<'_>) {
    for member in enriched.plan.injected.members() {
        if enriched.request.context.contains(&member.name) {
            enriched.faults.push(InputFault::new(
                pointer("/context", &member.name),
                "is set by the decision point for this action; leave it out",
            ));
        }
    }
}
