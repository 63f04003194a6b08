//! Cedar's own `Authorizer`.

use cedar_policy::{AuthorizationError, Authorizer, Decision, Entities, PolicyId, Request};

use super::{PolicyError, PolicyErrorCode};
use crate::policy::Snapshot;

/// What the authorizer found, by places in the snapshot's table.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) allow: bool,
    pub(super) determining: Vec<usize>,
    pub(super) errors: Vec<PolicyError>,
}

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
                message: error.inner().to_string(),
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

#[cfg(test)]
mod tests {
    #[test]
    fn partial_evaluation_is_not_compiled_in() {
        // The feature `partial-eval` would add `unknown()` to the language.
        let text = "permit(principal, action, resource) when { unknown(\"x\") };";
        assert!(cedar_policy::Policy::parse(None, text).is_err());
    }
}
