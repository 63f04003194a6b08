//! Cedar's own `Authorizer`.

use cedar_policy::{
    AuthorizationError, Authorizer, Decision, Entities, PolicyId, PolicySet, Request,
};

use super::{Found, PolicyError, PolicyErrorCode};
use crate::policy::Snapshot;

/// Asks Cedar. Its own order of reasons is random; here they rise by id.
pub(super) fn evaluate(snapshot: &Snapshot, request: &Request, entities: &Entities) -> Found {
    let response = Authorizer::new().is_authorized(request, snapshot.policies(), entities);
    let diagnostics = response.diagnostics();
    let position = |id: &PolicyId| snapshot.position(id);
    let mut determining: Vec<usize> = diagnostics.reason().filter_map(position).collect();
    determining.sort_unstable();
    let mut errors: Vec<PolicyError> = diagnostics
        .errors()
        .filter_map(|error| {
            let AuthorizationError::PolicyEvaluationError(error) = error;
            Some(PolicyError {
                policy: position(error.policy_id())?,
                code: PolicyErrorCode::from(error.inner()),
                message: Some(error.inner().to_string()),
            })
        })
        .collect();
    errors.sort_by_key(|error| error.policy);
    Found {
        allow: response.decision() == Decision::Allow,
        determining,
        errors,
    }
}

/// Cedar's message of the error of one policy.
pub(super) fn message(
    snapshot: &Snapshot,
    policy: usize,
    request: &Request,
    entities: &Entities,
) -> Option<String> {
    let id = &snapshot.policy(policy)?.id;
    let policy = snapshot.policies().policy(id)?;
    let mut alone = PolicySet::new();
    match (policy.template_id(), policy.template_links()) {
        (Some(template), Some(values)) => {
            let template = snapshot.policies().template(template)?;
            alone.add_template(template.clone()).ok()?;
            alone.link(template.id().clone(), id.clone(), values).ok()?;
        }
        _ => alone.add(policy.clone()).ok()?,
    }
    let response = Authorizer::new().is_authorized(request, &alone, entities);
    let AuthorizationError::PolicyEvaluationError(error) =
        response.diagnostics().errors().next()?;
    Some(error.inner().to_string())
}

#[cfg(test)]
mod tests {
    #[test]
    fn partial_evaluation_is_not_compiled_in() {
        // The feature `partial-eval` would add `unknown()` to the language.
        let text = "permit(principal, action, resource) when { unknown(\"x\") };";
        assert!(cedar_policy::Policy::parse(None, text).is_err());
    }
}
