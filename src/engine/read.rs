//! A request by our own readers: checked against the schema and turned into the engine's numbers.
//!
//! What enters: an enriched request. What leaves: its names, context and inline entities bound to the
//! state's version of the store. What is refused here is not refused yet: [`super::resolve`] asks Cedar,
//! whose word and whose message count.

use serde_json::{Map, Value};

use super::compiled::EngineRequest;
use super::inline;
use crate::caller::InlineRule;
use crate::enrich::Enriched;
use crate::entities::{EntityVersion, Overlay, RawValue, Record, Typed, Value as EngineValue};
use crate::policy::schema::{ActionModel, Model, Type};
use crate::request::{EntityRef, Limits, Request};

/// Our readers do not take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused;

/// Reads `enriched` into `bound`; the inline entities come back apart.
pub(super) fn read(
    enriched: &Enriched<'_>,
    limits: &Limits,
    bound: &mut EngineRequest,
) -> Result<Option<Overlay>, Refused> {
    let Enriched { request, state, .. } = enriched;
    if !enriched.faults.is_empty() {
        return Err(Refused);
    }
    let version = state.store().version();
    bind(request, version, bound);
    let model = state.snapshot().schema_set().map(|schema| &schema.model);
    let checked = model.filter(|_| !state.snapshot().settings().unvalidated_requests);
    let action = checked
        .map(|model| declared(model, enriched.action, request))
        .transpose()?;
    let env = enriched.env;
    match checked.zip(action) {
        Some((model, action)) => typed_context(enriched, model, action, version, bound)?,
        None => plain_context(&request.context, version, bound)?,
    }
    if let Some(name) = env {
        let now = bound.name(version, "now");
        let at = EngineValue::Datetime(enriched.now.as_millis());
        let record = EngineValue::Record(Record::new(vec![(now, at)]).into());
        let name = bound.name(version, name);
        bound.context.set(name, record);
    }
    if request.entities.is_empty() && enriched.facts.is_empty() {
        return Ok(None);
    }
    let merge = inline::Merge {
        version,
        typed: model.map(Typed),
        parent_depth: limits.inline_parent_depth,
    };
    let given = [
        (&*enriched.facts, InlineRule::Override),
        (&*request.entities, request.caller().inline()),
    ];
    merge.overlay(given, bound.locals()).map(Some)
}

/// Looks up who asks for what.
pub(super) fn bind(request: &Request, version: &EntityVersion, bound: &mut EngineRequest) {
    fn name(entity: &EntityRef) -> (&str, &str) {
        (entity.type_name(), entity.id())
    }
    bound.bind(
        version,
        name(request.principal()),
        name(request.action()),
        name(request.resource()),
    );
}

/// The declaration of the request's action, if principal and resource fit it.
fn declared<'m>(
    model: &Model,
    action: Option<&'m ActionModel>,
    request: &Request,
) -> Result<&'m ActionModel, Refused> {
    let action = action.filter(|action| action.known).ok_or(Refused)?;
    let fits = |entity: &EntityRef, types: &[String]| {
        types.iter().any(|ty| ty == entity.type_name())
            && Typed(model).is_declared(entity.type_name(), entity.id())
    };
    if fits(request.principal(), &action.principals) && fits(request.resource(), &action.resources)
    {
        Ok(action)
    } else {
        Err(Refused)
    }
}

fn typed_context(
    enriched: &Enriched<'_>,
    model: &Model,
    action: &ActionModel,
    version: &EntityVersion,
    bound: &mut EngineRequest,
) -> Result<(), Refused> {
    let Type::Record(members) = action.context.resolved() else {
        return Err(Refused);
    };
    let take = |name: &str, value| bound.set_context(version, name, value);
    Typed(model)
        .members(&enriched.request.context, members, enriched.env, take)
        .map_err(|_| Refused)
}

fn plain_context(
    context: &Map<String, Value>,
    version: &EntityVersion,
    bound: &mut EngineRequest,
) -> Result<(), Refused> {
    // A context could be one of the escapes as a whole.
    if context.len() == 1 && context.keys().any(|name| name.starts_with("__")) {
        let whole = RawValue::from_json(&Value::Object(context.clone()));
        if !matches!(whole, Ok(RawValue::Record(_))) {
            return Err(Refused);
        }
    }
    for (name, json) in context {
        let value = RawValue::from_json(json).map_err(|_| Refused)?;
        bound.set_context(version, name, value);
    }
    Ok(())
}
