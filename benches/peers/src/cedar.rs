//! The workload as values of cedar-policy.

use cedar_policy::{Context, Entities, EntityId, EntityTypeName, EntityUid, PolicySet, Request};
use serde_json::Value;

use crate::facts::{Question, Uid};
use crate::given::{Given, Result};

pub fn policies(given: &Given) -> Result<PolicySet> {
    Ok(given.workload.policies.parse()?)
}

pub fn entities(given: &Given) -> Result<Entities> {
    Ok(Entities::from_json_value(
        Value::from(given.workload.entities.clone()),
        None,
    )?)
}

pub fn requests(given: &Given) -> Result<Vec<Request>> {
    given.facts.questions.iter().map(request).collect()
}

fn request(question: &Question) -> Result<Request> {
    let context = Context::from_json_value(question.context.clone(), None)?;
    let (principal, action) = (uid(&question.principal)?, uid(&question.action)?);
    Ok(Request::new(
        principal,
        action,
        uid(&question.resource)?,
        context,
        None,
    )?)
}

pub fn uid((type_name, id): &Uid) -> Result<EntityUid> {
    let type_name: EntityTypeName = type_name.parse()?;
    Ok(EntityUid::from_type_name_and_id(
        type_name,
        EntityId::new(id),
    ))
}
