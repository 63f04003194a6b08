//! What the decision point counts itself, read when somebody asks.

use prometheus_client::metrics::info::Info;

use super::page::{Page, figures};
use crate::pdp::Pdp;
use crate::state::State;

pub(super) fn write(page: &mut Page<'_>, pdp: &Pdp, state: &State) {
    let counts = pdp.reload_counts();
    let reloads = [
        ("published", counts.published),
        ("unchanged", counts.unchanged),
        ("failed", counts.failed),
        ("held", counts.held),
    ];
    page.by("result", "reloads", "Reloads by result", reloads);
    let checks = pdp.shadow_counts();
    let help = "Decisions that the reference decided again, by result";
    let checks = [
        ("matched", checks.matched),
        ("mismatched", checks.mismatched),
        ("dropped", checks.dropped),
        ("not_checked", checks.not_checked),
    ];
    page.by("result", "shadow_checks", help, checks);
    let (policies, forbids) = state.snapshot().counts();
    let limits = pdp.limits().1;
    figures! { page;
        counter "engine_fallbacks" "Requests that only Cedar's reader took" = pdp.engine_fallbacks();
        gauge "sequence" "Sequence of the state that decides" = state.sequence();
        gauge "degraded" "1 when the state that decides is not the one last given"
            = u64::from(pdp.health().is_degraded());
        gauge "policies" "Policies that can determine a decision" = policies as u64;
        gauge "forbids" "Policies that can forbid" = forbids as u64;
        gauge "entities" "Stored entities, the actions of the schema among them" = state.entity_count() as u64;
        gauge "entities_limit" "Entities that may be stored" = limits.entities as u64;
        gauge "entities_held_back" "Entities written through the API that conflict with files or the schema"
            = state.store().held_back_count() as u64;
        gauge "entity_names" "Different names of attributes, tags and types in stored entities and policies"
            = state.entity_name_count() as u64;
        gauge "entity_names_limit" "Different names that may be used" = limits.entity_names as u64;
    }
    let revision = Info::new(vec![("revision", state.revision().as_str().to_owned())]);
    let help = "The revision that decides: the same everywhere unless an update is under way";
    page.family("state", help, &revision);
}
