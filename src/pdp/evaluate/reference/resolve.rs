//! A typed request against a state by Cedar's readers: entity names, context and inline entities become
//! Cedar's values, and every fault of them is named at once.
//!
//! This is how the reference reads, and who is asked where our own readers ([`super::read`]) refuse.

use cedar_policy::{Context, Entities, Entity, EntityUid, Policy};
use serde_json::{Map, Value};

use super::slice::{Slice, TooLarge, named_in};
use crate::base::caller::InlineRule;
use crate::base::entity_ref::EntityRef;
use crate::base::fault::chain;
use crate::base::json::{InputFault, pointer};
use crate::base::meter::{BY_CEDAR, Meter};
use crate::base::nearest::nearest_type;
use crate::entities::{Exporter, has_unknown};
use crate::pdp::evaluate::reference::inline::Merge;
use crate::pdp::evaluate::reference::locate::locate;
use crate::pdp::score::stage::Scored;
use crate::request::{Limits, RequestError};
use crate::schema::{Model, SchemaSet};
use crate::state::State;

/// A request that Cedar accepts.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) request: cedar_policy::Request,
    /// The context as it came.
    context: Value,
    /// The inline entities, laid over the stored ones of the same ids.
    inline: Vec<Entity>,
}

/// Why Cedar gets no entities.
#[derive(Debug)]
pub(crate) enum NoEntities {
    /// There are too many, or collecting them takes more work than the request may cause.
    TooLarge,
    Faulty(RequestError),
}

impl Resolved {
    /// The inline entities as Cedar reads them, merged with the stored ones.
    pub(crate) fn inline(&self) -> &[Entity] {
        &self.inline
    }

    /// What Cedar can reach for this request and `policies` of the stored entities, under the inline
    /// ones; at most `most`.
    pub(crate) fn entities<'p>(
        &self,
        state: &State,
        policies: impl Iterator<Item = &'p Policy>,
        most: usize,
        meter: &Meter,
    ) -> Result<Entities, NoEntities> {
        let slice = self.slice(state, policies, most, meter);
        let slice = slice.and_then(Slice::closable);
        let slice = slice.map_err(|TooLarge| NoEntities::TooLarge)?;
        // Each was checked against the schema when it was read; the actions are among the stored ones.
        Entities::from_entities(slice.into_entities(), None)
            .map_err(|error| NoEntities::Faulty(RequestError::invalid("/entities", chain(&error))))
    }

    /// The same, one by one.
    pub(crate) fn slice<'s, 'p>(
        &self,
        state: &'s State,
        policies: impl Iterator<Item = &'p Policy>,
        most: usize,
        meter: &'s Meter,
    ) -> Result<Slice<'s>, TooLarge> {
        let request = &self.request;
        let stored = Exporter {
            version: state.store().version(),
            locals: None,
        };
        let parts = [request.principal(), request.action(), request.resource()];
        let mut roots: Vec<EntityUid> = parts.into_iter().flatten().cloned().collect();
        named_in(&self.context, &mut roots);
        let mut slice = Slice::new(stored, self.inline.clone(), most, meter)?;
        slice.reach(roots)?;
        slice.reach_literals(request, policies)?;
        Ok(slice)
    }
}

/// Reads `scored` by Cedar's readers. They cost more than ours, and are charged accordingly.
pub(crate) fn resolve(scored: &Scored<'_>, limits: &Limits) -> Result<Resolved, RequestError> {
    let found = read(scored, limits);
    scored.meter.check()?;
    found
}

fn read(scored: &Scored<'_>, limits: &Limits) -> Result<Resolved, RequestError> {
    let (request, state, meter) = (scored.request, scored.state, &scored.meter);
    if !meter.take(BY_CEDAR * (1 + request.context.weight())) {
        return Err(meter.exhausted().into());
    }
    let set_by_caller = scored.set_by_caller().map(|member| {
        InputFault::new(
            pointer("/context", &member.name),
            "is set by the decision point for this action; leave it out",
        )
    });
    let mut faults: Vec<InputFault> = set_by_caller.collect();
    let schema = state.snapshot().schema_set();
    let principal = uid(request.principal(), "/principal", &mut faults);
    let action = uid(request.action(), "/action", &mut faults);
    let resource = uid(request.resource(), "/resource", &mut faults);
    let checked = schema.filter(|_| !state.snapshot().settings().unvalidated_requests);
    if let Some(schema) = checked {
        declared(&schema.model, request, &mut faults, meter);
    }
    let inline = if request.entities.is_empty() && scored.facts.is_empty() {
        Vec::new()
    } else {
        let merge = Merge {
            stored: Exporter {
                version: state.store().version(),
                locals: None,
            },
            schema: schema.map(|schema| &schema.schema),
            model: schema.map(|schema| &schema.model),
            parent_depth: limits.inline_parent_depth,
            meter,
        };
        let given = [
            (&*scored.facts, InlineRule::Override, "/token"),
            (&*request.entities, request.caller().inline(), "/entities"),
        ];
        merge.apply(given).unwrap_or_else(|found| {
            faults.extend(found);
            Vec::new()
        })
    };
    let action_known = !faults.iter().any(|fault| fault.pointer == "/action");
    let given = Value::Object(scored.context());
    let context = if request.context.nested().any(has_unknown) {
        faults.push(InputFault::new("/context", "`unknown` is not a value"));
        None
    } else if action_known {
        read_context(&given, action.as_ref(), checked, meter)
            .map_err(|found| faults.extend(found))
            .ok()
    } else {
        None
    };
    match (principal, action, resource, context) {
        (Some(principal), Some(action), Some(resource), Some(context)) if faults.is_empty() => {
            let schema = checked.map(|schema| &schema.schema);
            cedar_policy::Request::new(principal, action, resource, context, schema)
                .map(|request| Resolved {
                    request,
                    context: given,
                    inline,
                })
                .map_err(|error| RequestError::invalid("", chain(&error)))
        }
        _ => {
            if faults.is_empty() {
                faults.push(InputFault::new("", "the request could not be read"));
            }
            Err(RequestError::Invalid(faults))
        }
    }
}

fn uid(entity: &EntityRef, at: &str, faults: &mut Vec<InputFault>) -> Option<EntityUid> {
    let uid = entity.to_uid();
    if uid.is_none() {
        let detail = format!("`{}` is not a Cedar type name", entity.type_name());
        faults.push(InputFault::new(at, detail));
    }
    uid
}

/// Checks principal, action and resource against what the schema declares.
fn declared(
    model: &Model,
    request: &crate::request::Request,
    faults: &mut Vec<InputFault>,
    meter: &Meter,
) {
    let action_model = model.action(request.action().type_name(), request.action().id());
    let action = request.action().to_string();
    if action_model.is_none() {
        // Comparing with every name is for schemas that are not too large.
        let known: Vec<String> = model
            .actions()
            .take_while(|_| meter.take(4 * BY_CEDAR))
            .map(|(ty, id, _)| format!("{ty}::\"{}\"", id.escape_debug()))
            .collect();
        let hint = match nearest_type(&action, known.iter().map(String::as_str)) {
            Some(near) => format!("; did you mean `{near}`?"),
            None => String::new(),
        };
        faults.push(InputFault::new(
            "/action",
            format!("the schema declares no action `{action}`{hint}"),
        ));
    }
    for (at, entity, allowed) in [
        (
            "/principal",
            request.principal(),
            action_model.map(|a| &a.principals),
        ),
        (
            "/resource",
            request.resource(),
            action_model.map(|a| &a.resources),
        ),
    ] {
        let name = entity.type_name();
        if !model.has_entity_type(name) {
            let hint = match nearest_type(
                name,
                model
                    .entity_types()
                    .take_while(|_| meter.take(4 * BY_CEDAR)),
            ) {
                Some(near) => format!("; did you mean `{near}`?"),
                None => String::new(),
            };
            faults.push(InputFault::new(
                at,
                format!("the schema declares no entity type `{name}`{hint}"),
            ));
        } else if let Some(allowed) = allowed
            && !allowed.iter().any(|allowed| allowed == name)
        {
            let role = at.trim_start_matches('/');
            let allowed = match allowed.as_slice() {
                [] => "none".to_owned(),
                some => some.join(", "),
            };
            faults.push(InputFault::new(
                at,
                format!("`{name}` cannot be the {role} of {action}; it takes {allowed}"),
            ));
        }
    }
}

fn read_context(
    context: &Value,
    action: Option<&EntityUid>,
    schema: Option<&SchemaSet>,
    meter: &Meter,
) -> Result<Context, Vec<InputFault>> {
    let typed = schema
        .zip(action)
        .map(|(schema, action)| (&schema.schema, action));
    let read = Context::from_json_value(context.clone(), typed)
        .map_err(|error| chain(&error))
        .and_then(|read| match typed {
            // Reading alone does not notice what the type leaves open; validation does.
            Some((schema, action)) => read
                .validate(schema, action)
                .map(|()| read)
                .map_err(|error| chain(&error)),
            None => Ok(read),
        });
    read.map_err(|message| {
        let declared = schema
            .zip(action)
            .and_then(|(schema, action)| {
                let ty = action.type_name().to_string();
                schema.model.action(&ty, action.id().unescaped())
            })
            .map(|action| &action.context);
        let empty = Map::new();
        let found = locate(context.as_object().unwrap_or(&empty), declared, meter);
        if found.is_empty() {
            vec![InputFault::new("/context", message)]
        } else {
            found
        }
    })
}
