//! Evaluation to [`Outcome`]: the decision, its cause, and what the enforcement point has to do.
//!
//! Only this module can make an `Outcome`, so no stage before it can be skipped. Pure: no I/O, no
//! clock.

mod outcome;

use cedar_policy::Effect;

use crate::caller::Handles;
use crate::engine::{Evaluation, Places};
use crate::policy::{OnError, PolicyInfo};

pub(crate) use outcome::Verdict;
pub use outcome::{Cause, Decision, Denied, Obligation, Outcome, PolicyFailure, Unmet};

/// Decides. In order: a satisfied forbid wins; then a forbid that failed where failing denies; then
/// the satisfied permits, if every obligation they carry is handled.
pub(crate) fn decide(evaluation: Evaluation<'_>) -> Verdict {
    let snapshot = evaluation.state.snapshot();
    let unhandled = if evaluation.allow {
        unhandled(&evaluation)
    } else {
        Vec::new()
    };
    let failed_forbid = evaluation.errors.iter().any(|error| {
        snapshot.policy(error.policy).is_some_and(|policy| {
            let on_error = policy.meaning.on_error;
            policy.effect == Effect::Forbid
                && on_error.unwrap_or(snapshot.settings().on_error) == OnError::Deny
        })
    });
    let (decision, cause) = if !evaluation.allow && !evaluation.determining.is_empty() {
        (Decision::Deny, Cause::Forbidden)
    } else if failed_forbid {
        (Decision::Deny, Cause::PolicyError)
    } else if !evaluation.allow {
        (Decision::Deny, Cause::NotPermitted)
    } else if !unhandled.is_empty() {
        (Decision::Deny, Cause::UnsupportedObligation)
    } else {
        (Decision::Allow, Cause::Permitted)
    };
    let determining = match cause {
        Cause::Permitted | Cause::Forbidden => evaluation.determining,
        _ => Places::new(),
    };
    let unmet = if cause == Cause::UnsupportedObligation {
        unhandled
    } else {
        Vec::new()
    };
    Verdict(outcome::Parts {
        evaluated_at: evaluation.now,
        decision,
        cause,
        determining,
        unmet,
        errors: evaluation.errors,
    })
}

/// The satisfied permits that carry an obligation the caller does not handle, by place.
fn unhandled(evaluation: &Evaluation<'_>) -> Vec<usize> {
    let handles = evaluation.request.caller().handles();
    let Handles::Only(names) = handles else {
        return Vec::new();
    };
    let handled = |name: &str| {
        names.contains(name) || evaluation.request.obligations.iter().any(|o| o == name)
    };
    let carries_unhandled = |policy: PolicyInfo<'_>| {
        let mut obligations = policy.meaning.obligations.iter();
        obligations.any(|duty| !handled(duty.name()))
    };
    let snapshot = evaluation.state.snapshot();
    let permits = evaluation.determining.iter().copied();
    permits
        .filter(|at| snapshot.policy(*at).is_some_and(carries_unhandled))
        .collect()
}
