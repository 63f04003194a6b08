//! A request by our own readers: checked against the schema and turned into the engine's numbers.
//!
//! What enters: a scored request. What leaves: its names, context and inline entities bound to the
//! state's version of the store. What is refused here is not refused yet: [`super::resolve`] asks Cedar,
//! whose word and whose message count.

use serde_json::Value;

use super::inline;
use crate::base::caller::InlineRule;
use crate::base::entity_ref::EntityRef;
use crate::engine::EngineRequest;
use crate::entities::{EntityVersion, Overlay, RawValue, Record, Sym, Typed, Value as EngineValue};
use crate::pdp::score::stage::{Scored, decimals};
use crate::policy::{DeclaredType, InjectedMember, Kind};
use crate::request::{Context, ContextValue, Limits};
use crate::schema::Model;

/// Our readers do not take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused;

/// Reads `scored` into `bound`; the inline entities come back apart.
pub(super) fn read(
    scored: &Scored<'_>,
    limits: &Limits,
    bound: &mut EngineRequest,
) -> Result<Option<Overlay>, Refused> {
    let (request, state) = (scored.request, scored.state);
    if scored.set_by_caller().next().is_some() {
        return Err(Refused);
    }
    let version = state.store().version();
    bind(scored, bound);
    let settings = state.snapshot().settings();
    let model = state.snapshot().schema_set().map(|schema| &schema.model);
    match model.filter(|_| !settings.unvalidated_requests) {
        Some(model) => declared_context(scored, model, bound)?,
        None => plain_context(&request.context, version, bound)?,
    }
    bound.context.settle();
    inject(scored, bound);
    if request.entities.is_empty() && scored.facts.is_empty() {
        return Ok(None);
    }
    let merge = inline::Merge {
        version,
        typed: model.map(|model| Typed::charged(model, &scored.meter)),
        parent_depth: limits.inline_parent_depth,
        meter: &scored.meter,
    };
    let given = [
        (&*scored.facts, InlineRule::Override),
        (&*request.entities, request.caller().inline()),
    ];
    merge.overlay(given, bound.locals()).map(Some)
}

/// Binds who asks for what.
pub(super) fn bind(scored: &Scored<'_>, bound: &mut EngineRequest) {
    let version = scored.state.store().version();
    bound.begin(version, scored.request.names(), scored.known);
}

/// Reads the context of an action that the schema declares, for a principal and a resource that it takes.
fn declared_context(
    scored: &Scored<'_>,
    model: &Model,
    bound: &mut EngineRequest,
) -> Result<(), Refused> {
    let (request, version) = (scored.request, scored.state.store().version());
    let declared = scored.plan.declared.as_ref().ok_or(Refused)?;
    let fits = |ty: Sym, entity: &EntityRef, types: &[DeclaredType]| {
        types.iter().any(|declared| declared.takes(ty, entity))
    };
    let (principal, resource) = (bound.principal_type, bound.resource_type);
    if !fits(principal, &request.principal, &declared.principals)
        || !fits(resource, &request.resource, &declared.resources)
    {
        return Err(Refused);
    }
    let typed = Typed::charged(model, &scored.meter);
    let (mut next, mut required) = (0, 0);
    for (name, json) in &request.context {
        let member = declared.member(name, &mut next).ok_or(Refused)?;
        required += usize::from(member.required);
        let value = match (&member.kind, json) {
            (Kind::Bool, ContextValue::Bool(value)) => EngineValue::Bool(*value),
            (Kind::Long, ContextValue::Long(value)) => EngineValue::Long(*value),
            (Kind::String, ContextValue::Text(text)) => EngineValue::Str(text.clone()),
            (Kind::Other(ty), json) => {
                let value = match json {
                    ContextValue::Json(json) => typed.member(json, ty),
                    other => typed.member(&other.to_json(), ty),
                };
                bound.value(version, value.map_err(|_| Refused)?)
            }
            _ => return Err(Refused),
        };
        if member.is_read {
            bound.context.push(member.sym, value);
        }
    }
    // Every declared member is looked at, however few there are.
    let looked_at = declared.len() as u64 / 4;
    if required < declared.required || !scored.meter.take(looked_at) {
        return Err(Refused);
    }
    Ok(())
}

/// Sets the fields that policies read of the members that the decision point sets.
fn inject(scored: &Scored<'_>, bound: &mut EngineRequest) {
    let mut set = |member: &InjectedMember, value: &dyn Fn(usize) -> Option<EngineValue>| {
        let fields = member.fields.iter();
        let fields = fields.filter_map(|(name, at)| Some((*name, value(*at)?)));
        let record = EngineValue::Record(Record::sorted(fields.collect()).into());
        bound.context.set(member.sym, record);
    };
    let is_read = |member: &&InjectedMember| member.is_read;
    let injected = &scored.plan.injected;
    if let Some(member) = injected.env.as_ref().filter(is_read) {
        set(member, &|_| {
            Some(EngineValue::Datetime(scored.now.as_millis()))
        });
    }
    let Some(assessment) = scored.assessment() else {
        return;
    };
    if let Some(member) = injected.trust.as_ref().filter(is_read) {
        let decimals = decimals(assessment);
        set(member, &|at| {
            Some(match decimals.get(at) {
                Some(score) => EngineValue::Decimal(score.ten_thousandths().into()),
                None => EngineValue::Str(assessment.band.as_str().into()),
            })
        });
    }
    if let Some(member) = injected.auth.as_ref().filter(is_read) {
        let age = scored.authentication_age();
        let level = |level: u8| Some(EngineValue::Long(level.into()));
        set(member, &|at| match at {
            0 => level(assessment.level.reached),
            1 => level(assessment.level.required),
            _ => age.map(EngineValue::Duration),
        });
    }
}

fn plain_context(
    context: &Context,
    version: &EntityVersion,
    bound: &mut EngineRequest,
) -> Result<(), Refused> {
    // A context could be one of the escapes as a whole.
    if context.len() == 1 && context.iter().any(|(name, _)| name.starts_with("__")) {
        let whole = RawValue::from_json(&Value::Object(context.to_json()));
        if !matches!(whole, Ok(RawValue::Record(_))) {
            return Err(Refused);
        }
    }
    for (name, value) in context {
        let value = match value {
            ContextValue::Bool(value) => RawValue::Plain(EngineValue::Bool(*value)),
            ContextValue::Long(value) => RawValue::Plain(EngineValue::Long(*value)),
            ContextValue::Text(text) => RawValue::Plain(EngineValue::Str(text.clone())),
            ContextValue::Json(json) => RawValue::from_json(json).map_err(|_| Refused)?,
        };
        bound.add_context(version, name, value);
    }
    Ok(())
}
