//! A request by our own readers: checked against the schema and turned into the engine's numbers.
//!
//! What enters: an scored request. What leaves: its names, context and inline entities bound to the
//! state's version of the store. What is refused here is not refused yet: [`super::resolve`] asks Cedar,
//! whose word and whose message count.

use serde_json::{Map, Value};
use smallvec::SmallVec;

use super::inline;
use crate::base::caller::InlineRule;
use crate::base::entity_ref::EntityRef;
use crate::engine::EngineRequest;
use crate::entities::{EntityVersion, Overlay, RawValue, Record, Typed, Value as EngineValue};
use crate::pdp::score::stage::{Scored, decimals};
use crate::request::{Limits, Request};
use crate::schema::{ActionModel, Model, Type};
use crate::trust::model::Score;

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
    if !scored.faults.is_empty() {
        return Err(Refused);
    }
    let version = state.store().version();
    bind(request, version, bound);
    let model = state.snapshot().schema_set().map(|schema| &schema.model);
    let checked = model.filter(|_| !state.snapshot().settings().unvalidated_requests);
    let action = checked
        .map(|model| declared(model, scored.action, request))
        .transpose()?;
    match checked.zip(action) {
        Some((model, action)) => typed_context(scored, model, action, version, bound)?,
        None => plain_context(&request.context, version, bound)?,
    }
    bound.context.settle();
    inject(scored, version, bound);
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
            && Typed::new(model).is_declared(entity.type_name(), entity.id())
    };
    if fits(request.principal(), &action.principals) && fits(request.resource(), &action.resources)
    {
        Ok(action)
    } else {
        Err(Refused)
    }
}

fn typed_context(
    scored: &Scored<'_>,
    model: &Model,
    action: &ActionModel,
    version: &EntityVersion,
    bound: &mut EngineRequest,
) -> Result<(), Refused> {
    let Type::Record(members) = action.context.resolved() else {
        return Err(Refused);
    };
    let take = |name: &str, value| bound.add_context(version, name, value);
    Typed::charged(model, &scored.meter)
        .members(
            &scored.request.context,
            members,
            &scored.injected.names(),
            take,
        )
        .map_err(|_| Refused)
}

/// Sets the members that the decision point sets.
fn inject(scored: &Scored<'_>, version: &EntityVersion, bound: &mut EngineRequest) {
    let mut set = |member: &str, fields: &[(&str, EngineValue)]| {
        let fields = fields.iter();
        let fields = fields.map(|(name, value)| (bound.name(version, name), value.clone()));
        let record = EngineValue::Record(Record::new(fields.collect()).into());
        let member = bound.name(version, member);
        bound.context.set(member, record);
    };
    if let Some(member) = scored.injected.env {
        set(
            member,
            &[("now", EngineValue::Datetime(scored.now.as_millis()))],
        );
    }
    let Some(assessment) = scored.assessment() else {
        return;
    };
    if let Some(member) = scored.injected.trust {
        let decimal = |score: Score| EngineValue::Decimal(score.ten_thousandths().into());
        let decimals = decimals(assessment).map(|(name, score)| (name, decimal(score)));
        let risk = ("risk", EngineValue::Str(assessment.band.as_str().into()));
        let all: SmallVec<[_; 9]> = decimals.into_iter().chain([risk]).collect();
        set(member, &all);
    }
    if let Some(member) = scored.injected.auth {
        let level = |level: u8| EngineValue::Long(level.into());
        let mut all: SmallVec<[_; 3]> = SmallVec::new();
        all.push(("level", level(assessment.level.reached)));
        all.push(("required", level(assessment.level.required)));
        let age = scored.authentication_age();
        all.extend(age.map(|age| ("age", EngineValue::Duration(age))));
        set(member, &all);
    }
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
        bound.add_context(version, name, value);
    }
    Ok(())
}
