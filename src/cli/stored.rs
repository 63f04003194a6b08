//! Notes on a decision about entities that are not stored: the usual reason for an unexpected Deny.

use std::collections::BTreeSet;

use cedar_policy::{PrincipalConstraint, ResourceConstraint};

use crate::base::entity_ref::EntityRef;
use crate::base::json::shown;
use crate::base::nearest::{nearest, nearest_type};
use crate::pdp::Pdp;
use crate::request::Request;

/// Ids of one type that are compared with an id that is not stored.
const COMPARED: usize = 10_000;

/// One sentence for the principal and the resource of the request, if it is neither stored nor in the request, and
/// one for a type that nothing knows. Each has a hint where another name is likely to be meant.
pub(super) fn notes(pdp: &Pdp, request: &Request) -> Vec<String> {
    // With a schema, requests of unknown types are refused before they are decided.
    let types = match pdp.state().snapshot().schema() {
        Some(_) => None,
        None => Some(types(pdp)),
    };
    let other_type = |entity| other_type(entity, types.as_ref()?);
    let mut notes = Vec::new();
    for (role, entity) in [
        ("principal", request.principal()),
        ("resource", request.resource()),
    ] {
        if pdp.entity(entity).is_some() || is_inline(request, entity) {
            continue;
        }
        let name = shown(&entity.to_string());
        let hint = match other_type(entity) {
            Some(near) => format!("; did you mean the type `{near}`?"),
            None => other_id(pdp, entity),
        };
        notes.push(format!(
            "the {role} `{name}` is not among the stored entities: it has no attributes and no parents{hint}"
        ));
    }
    if let Some(near) = other_type(request.action()) {
        let name = shown(request.action().type_name());
        notes.push(format!(
            "no policy and no entity is about actions of the type `{name}`; did you mean `{near}`?"
        ));
    }
    notes
}

/// The types of stored entities and of the entities that policies name.
fn types(pdp: &Pdp) -> BTreeSet<String> {
    let mut types: BTreeSet<String> = pdp.entity_types().into_iter().map(|(ty, _)| ty).collect();
    let state = pdp.state();
    for policy in state.snapshot().policies().policies() {
        let literals = policy.entity_literals();
        types.extend(literals.iter().map(|uid| uid.type_name().to_string()));
        match policy.principal_constraint() {
            PrincipalConstraint::Is(ty) | PrincipalConstraint::IsIn(ty, _) => {
                types.insert(ty.to_string());
            }
            _ => {}
        }
        match policy.resource_constraint() {
            ResourceConstraint::Is(ty) | ResourceConstraint::IsIn(ty, _) => {
                types.insert(ty.to_string());
            }
            _ => {}
        }
    }
    types
}

/// The known type that is likely to be meant, if the type of the entity is unknown.
fn other_type<'a>(entity: &EntityRef, types: &'a BTreeSet<String>) -> Option<&'a str> {
    if types.contains(entity.type_name()) {
        return None;
    }
    nearest_type(entity.type_name(), types.iter().map(String::as_str))
}

/// A hint at a stored entity of the same type with nearly the same id, or nothing.
fn other_id(pdp: &Pdp, entity: &EntityRef) -> String {
    let page = pdp.entities_of(entity.type_name(), None, COMPARED);
    let ids = page.entities.iter();
    let ids = ids.filter_map(|(json, _)| json.pointer("/uid/id")?.as_str());
    match nearest(entity.id(), ids) {
        Some(near) => format!("; did you mean the id `{}`?", shown(near)),
        None => String::new(),
    }
}

/// Whether the request has the entity itself.
fn is_inline(request: &Request, entity: &EntityRef) -> bool {
    request.entities.iter().any(|inline| {
        let uid = inline.get("uid");
        let uid = uid.map(|uid| uid.get("__entity").unwrap_or(uid));
        let is = |member: &str, wanted: &str| {
            uid.and_then(|uid| uid.get(member))
                .and_then(|text| text.as_str())
                == Some(wanted)
        };
        is("type", entity.type_name()) && is("id", entity.id())
    })
}
