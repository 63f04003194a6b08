//! Cedar's own `Authorizer`, for the engine `reference`, for shadow checks, and for the messages of
//! evaluation errors.
//!
//! It holds no entities of its own: each request gets the slice of the store that it can reach.

pub(crate) mod inline;
pub(crate) mod locate;
pub(crate) mod resolve;
pub(crate) mod slice;
use cedar_policy::{AuthorizationError, Authorizer, Decision, Entities, PolicyId, Request};

use self::resolve::{NoEntities, Resolved, resolve};
use super::{Evaluated, PolicyError, PolicyErrorCode};
use crate::base::meter::Meter;
use crate::engine::PolicyIndex;
use crate::pdp::score::stage::Scored;
use crate::policy::Snapshot;
use crate::request::{Limits, RequestError};
use crate::state::State;

/// Why the reference has no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// The request reaches more entities than it may.
    TooLarge,
    Refused(RequestError),
}

/// Reads and decides by Cedar alone. Evaluation by Cedar counts no steps; what it is given does.
pub(super) fn decide(scored: &Scored<'_>, limits: &Limits) -> Result<Evaluated, RequestError> {
    match decide_within(scored, limits, usize::MAX) {
        Ok(found) => Ok(found),
        Err(NoAnswer::Refused(error)) => Err(error),
        // Nothing has more than `usize::MAX` elements: the meter ended.
        Err(NoAnswer::TooLarge) => Err(scored.meter.exhausted().into()),
    }
}

/// The same over at most `most` entities.
pub(super) fn decide_within(
    scored: &Scored<'_>,
    limits: &Limits,
    most: usize,
) -> Result<Evaluated, NoAnswer> {
    let resolved = resolve(scored, limits).map_err(NoAnswer::Refused)?;
    let snapshot = scored.state.snapshot();
    let entities = resolved
        .entities(
            scored.state,
            snapshot.policies().policies(),
            most,
            &scored.meter,
        )
        .map_err(|error| match error {
            NoEntities::TooLarge => NoAnswer::TooLarge,
            NoEntities::Faulty(error) => NoAnswer::Refused(error),
        })?;
    Ok(evaluate(snapshot, &resolved.request, &entities))
}

/// Asks Cedar. Its own order of reasons is random; here they rise by id.
fn evaluate(snapshot: &Snapshot, request: &Request, entities: &Entities) -> Evaluated {
    let response = Authorizer::new().is_authorized(request, snapshot.policies(), entities);
    let diagnostics = response.diagnostics();
    let position = |id: &PolicyId| snapshot.position(id);
    let index = |id: &PolicyId| u32::try_from(position(id)?).ok().map(PolicyIndex);
    let mut determining: super::PolicyIndices = diagnostics.reason().filter_map(index).collect();
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
    Evaluated {
        allow: response.decision() == Decision::Allow,
        determining,
        errors,
    }
}

/// Cedar's message of the error of one policy; `None` where there is no work left for it.
pub(super) fn message(
    state: &State,
    policy: usize,
    resolved: &Resolved,
    meter: &Meter,
) -> Option<String> {
    let alone = state.snapshot().policy_alone(policy)?;
    let entities = resolved
        .entities(state, alone.policies(), usize::MAX, meter)
        .ok()?;
    let response = Authorizer::new().is_authorized(&resolved.request, &alone, &entities);
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
