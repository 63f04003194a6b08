//! A typed request against a state: entity names, context and inline entities become Cedar's values,
//! and every fault of them is named at once.

use std::borrow::Cow;

use cedar_policy::{Context, Entities, Entity, EntityUid};
use serde_json::Value;

use super::slice::{named_in, slice};
use crate::enrich::Enriched;
use crate::fault::chain;
use crate::nearest::nearest;
use crate::policy::schema::{Model, SchemaSet};
use crate::request::inline::Merge;
use crate::request::{EntityRef, InputFault, Limits, RequestError, locate};
use crate::state::State;

/// A request that Cedar accepts.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) request: cedar_policy::Request,
    /// The context with explicit escapes.
    pub(super) context: Value,
    /// The inline entities, laid over the stored ones of the same ids.
    pub(super) inline: Vec<Entity>,
}

impl Resolved {
    /// The entities that Cedar needs for this request: the stored ones, or what it can reach of them
    /// under the inline ones.
    pub(super) fn entities<'a>(&self, state: &'a State) -> Result<Cow<'a, Entities>, RequestError> {
        if self.inline.is_empty() {
            return Ok(Cow::Borrowed(state.entities()));
        }
        let request = &self.request;
        let parts = [request.principal(), request.action(), request.resource()];
        let mut roots: Vec<EntityUid> = parts.into_iter().flatten().cloned().collect();
        named_in(&self.context, &mut roots);
        roots.extend(state.snapshot().literals().iter().cloned());
        let reached = slice(state.entities(), self.inline.clone(), roots.into_iter());
        Entities::from_entities(reached, state.snapshot().schema())
            .map(Cow::Owned)
            .map_err(|error| RequestError::invalid("/entities", chain(&error)))
    }
}

pub(super) fn resolve(enriched: Enriched<'_>, limits: &Limits) -> Result<Resolved, RequestError> {
    let Enriched {
        request,
        state,
        context,
        mut faults,
        ..
    } = enriched;
    let schema = state.snapshot().schema_set();
    let principal = uid(request.principal(), "/principal", &mut faults);
    let action = uid(request.action(), "/action", &mut faults);
    let resource = uid(request.resource(), "/resource", &mut faults);
    let checked = schema.filter(|_| !state.snapshot().settings().unvalidated_requests);
    if let Some(schema) = checked {
        declared(&schema.model, request, &mut faults);
    }
    let inline = if request.entities.is_empty() {
        Vec::new()
    } else {
        let merge = Merge {
            stored: state.entities(),
            schema: schema.map(|schema| &schema.schema),
            rule: request.caller().inline(),
            parent_depth: limits.inline_parent_depth,
        };
        merge.apply(&request.entities).unwrap_or_else(|found| {
            faults.extend(found);
            Vec::new()
        })
    };
    let action_known = !faults.iter().any(|fault| fault.pointer == "/action");
    let context = if action_known {
        read_context(context, action.as_ref(), checked)
            .map_err(|found| faults.extend(found))
            .ok()
    } else {
        None
    };
    match (principal, action, resource, context) {
        (Some(principal), Some(action), Some(resource), Some(context)) if faults.is_empty() => {
            let explicit = context
                .to_json_value()
                .map_err(|error| RequestError::invalid("/context", chain(&error)))?;
            let schema = checked.map(|schema| &schema.schema);
            cedar_policy::Request::new(principal, action, resource, context, schema)
                .map(|request| Resolved {
                    request,
                    context: explicit,
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
fn declared(model: &Model, request: &crate::request::Request, faults: &mut Vec<InputFault>) {
    let action = request.action().to_string();
    let action_model = model.action(&action);
    if action_model.is_none() {
        let hint = match nearest(&action, model.actions()) {
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
            let hint = match nearest(name, model.entity_types()) {
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
    context: serde_json::Map<String, Value>,
    action: Option<&EntityUid>,
    schema: Option<&SchemaSet>,
) -> Result<Context, Vec<InputFault>> {
    if context.is_empty() && schema.is_none() {
        return Ok(Context::empty());
    }
    let typed = schema
        .zip(action)
        .map(|(schema, action)| (&schema.schema, action));
    let read = Context::from_json_value(Value::Object(context.clone()), typed)
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
            .and_then(|(schema, action)| schema.model.action(&action_key(action)))
            .map(|action| &action.context);
        let found = locate(&context, declared);
        if found.is_empty() {
            vec![InputFault::new("/context", message)]
        } else {
            found
        }
    })
}

fn action_key(action: &EntityUid) -> String {
    EntityRef::from(action).to_string()
}
