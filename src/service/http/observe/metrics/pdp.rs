//! What the decision point counts itself, read when somebody asks.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::info::Info;

use super::{encode_counter, encode_gauge};
use crate::pdp::Pdp;
use crate::state::State;

pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, pdp: &Pdp, state: &State) -> fmt::Result {
    let counts = pdp.reload_counts();
    by_result(
        encoder,
        "reloads",
        "Reloads by result",
        &[
            ("published", counts.published),
            ("unchanged", counts.unchanged),
            ("failed", counts.failed),
            ("held", counts.held),
        ],
    )?;
    let checks = pdp.shadow_counts();
    by_result(
        encoder,
        "shadow_checks",
        "Decisions that the reference decided again, by result",
        &[
            ("matched", checks.matched),
            ("mismatched", checks.mismatched),
            ("dropped", checks.dropped),
            ("not_checked", checks.not_checked),
        ],
    )?;
    encode_counter(
        encoder,
        "engine_fallbacks",
        "Requests that only Cedar's reader took",
        pdp.engine_fallbacks(),
    )?;
    let (policies, forbids) = state.snapshot().counts();
    let limits = pdp.limits().1;
    for (name, help, value) in [
        (
            "sequence",
            "Sequence of the state that decides",
            state.sequence(),
        ),
        (
            "degraded",
            "1 when the state that decides is not the one last given",
            u64::from(pdp.health().is_degraded()),
        ),
        (
            "policies",
            "Policies that can determine a decision",
            policies as u64,
        ),
        ("forbids", "Policies that can forbid", forbids as u64),
        (
            "entities",
            "Stored entities, the actions of the schema among them",
            state.entity_count() as u64,
        ),
        (
            "entities_limit",
            "Entities that may be stored",
            limits.entities as u64,
        ),
        (
            "entities_held_back",
            "Entities written through the API that conflict with files or the schema",
            state.store().held_back_count() as u64,
        ),
        (
            "entity_names",
            "Different names of attributes, tags and types in stored entities and policies",
            state.entity_name_count() as u64,
        ),
        (
            "entity_names_limit",
            "Different names that may be used",
            limits.entity_names as u64,
        ),
    ] {
        encode_gauge(encoder, name, help, value)?;
    }
    let revision = Info::new(vec![("revision", state.revision().as_str().to_owned())]);
    let help = "The revision that decides: the same everywhere unless an update is under way";
    revision.encode(encoder.encode_descriptor("state", help, None, MetricType::Info)?)
}

fn by_result(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    results: &[(&'static str, u64)],
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (result, count) in results {
        let labels = [("result", *result)];
        ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
