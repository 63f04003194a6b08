//! A request that only Cedar's readers take, spelled out for the compiled policies.
//!
//! What enters: the context and the inline entities as Cedar holds them. What leaves: the same in the engine's
//! numbers, so that the request is evaluated within its budget like any other.

use cedar_policy::Entity;
use serde_json::Value;

use super::read::bind as bind_names;
use super::reference::resolve::Resolved;
use crate::base::meter::{BY_CEDAR, weight};
use crate::engine::EngineRequest;
use crate::entities::{NewEntity, Overlay, RawValue, RequestSymbols};
use crate::pdp::score::stage::Scored;
use crate::request::RequestError;

/// Binds `resolved`; the inline entities come back apart.
pub(super) fn bind(
    scored: &Scored<'_>,
    resolved: &Resolved,
    bound: &mut EngineRequest,
) -> Result<Option<Overlay>, RequestError> {
    let version = scored.state.store().version();
    bind_names(scored, bound);
    let context = resolved
        .request
        .context()
        .map(cedar_policy::Context::to_json_value);
    let context = context
        .transpose()
        .map_err(|error| no_form("/context", &error))?;
    if let Some(Value::Object(members)) = &context {
        for (name, json) in members {
            let value = RawValue::from_json(json).map_err(|error| no_form("/context", &error))?;
            bound.add_context(version, name, value);
        }
    }
    bound.context.settle();
    if resolved.inline().is_empty() {
        return Ok(None);
    }
    let mut symbols = RequestSymbols {
        version,
        locals: bound.locals(),
    };
    let mut overlay = Overlay::begin(version);
    for entity in resolved.inline() {
        add(entity, scored, &mut symbols, &mut overlay)?;
    }
    // Cycles and long chains were refused when Cedar read it.
    Ok(Some(overlay))
}

fn add(
    entity: &Entity,
    scored: &Scored<'_>,
    symbols: &mut RequestSymbols<'_>,
    overlay: &mut Overlay,
) -> Result<(), RequestError> {
    let json = entity
        .to_json_value()
        .map_err(|error| no_form("/entities", &error))?;
    if !scored.meter.take(BY_CEDAR * weight(&json)) {
        return Err(scored.meter.exhausted().into());
    }
    let entity = NewEntity::from_json(0, &json).map_err(|error| no_form("/entities", &error))?;
    // Each is there once: Cedar's reader has seen to it.
    let _ = overlay.put(&entity, symbols);
    Ok(())
}

/// What Cedar reads and cannot write, such as a record with a reserved member.
fn no_form(at: &str, error: &impl std::fmt::Display) -> RequestError {
    RequestError::invalid(at, format!("cannot be evaluated: {error}"))
}
