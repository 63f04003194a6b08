//! Evaluation and score to [`Outcome`]: the decision, its cause, and what the enforcement point has to do.
//!
//! Only this module can make an `Outcome`, so no stage before it can be skipped. Pure: no I/O, no
//! clock.

mod outcome;
mod trust;

use cedar_policy::Effect;

use crate::base::caller::Handles;
use crate::engine::PolicyIndex;
use crate::pdp::evaluate::{Evaluation, PolicyIndices};
use crate::policy::{OnError, PolicyInfo};
use crate::trust::Enforcement;

pub(crate) use outcome::Verdict;
pub use outcome::{
    Cause, Decision, Denied, Obligation, Outcome, PolicyAnnotations, PolicyFailure, Unmet,
};
pub use trust::{Requirement, TrustOutcome, WouldBe};

use trust::{Floors, Mend};

/// Decides. In order: a satisfied forbid wins; then a forbid that failed where failing denies; then what
/// knocks out; then the satisfied permits whose own requirements are met, the configured floors, and the
/// obligations, all of which have to be handled.
pub(crate) fn decide(evaluation: Evaluation<'_>) -> Verdict {
    let by_policies = policies(&evaluation);
    let now = evaluation.now;
    let (found, would_be) = match by_policies {
        Err(Cause::Forbidden) => (Ruling::on_all(Cause::Forbidden), None),
        Err(cause) => (Ruling::on(PolicyIndices::new(), cause), None),
        Ok(()) => match evaluation
            .trust
            .map_or(Enforcement::Off, |trust| trust.mode)
        {
            Enforcement::Off => (permitted(&evaluation, Floors::default()), None),
            Enforcement::Enforce => (permitted(&evaluation, Floors::of(&evaluation)), None),
            Enforcement::Report => {
                let decided = permitted(&evaluation, Floors::default());
                // What authentication would mend is looked for when somebody asks.
                let floors = Floors::of(&evaluation);
                let enforced = match decided.cause.is_of_trust() {
                    true => permitted(&evaluation, floors),
                    false => permitted(&evaluation, floors.left_open()),
                };
                let differs = decided.cause != enforced.cause;
                (decided, differs.then_some(enforced))
            }
        },
    };
    let scored = evaluation.trust;
    let finding = scored.map(|trust| trust::finding(&evaluation, trust, &found, would_be.as_ref()));
    let parts = outcome::Parts {
        evaluated_at: now,
        cause: found.cause,
        policies: found.policies.unwrap_or(evaluation.determining),
        errors: evaluation.errors,
    };
    Verdict { parts, finding }
}

/// What was decided.
#[derive(Debug)]
struct Ruling {
    cause: Cause,
    /// The policies that it rests on, by place; `None` for all that evaluation found.
    policies: Option<PolicyIndices>,
    /// What would mend it.
    mend: Mend,
}

impl Ruling {
    /// One that rests on all that evaluation found.
    fn on_all(cause: Cause) -> Self {
        Self {
            cause,
            policies: None,
            mend: Mend::Nothing,
        }
    }

    /// One that rests on these.
    fn on(policies: PolicyIndices, cause: Cause) -> Self {
        Self {
            policies: Some(policies),
            ..Self::on_all(cause)
        }
    }
}

/// What policies alone decide; `Ok` when a permit is satisfied and no forbid stands against it.
fn policies(evaluation: &Evaluation<'_>) -> Result<(), Cause> {
    let snapshot = evaluation.state.snapshot();
    let failed_forbid = evaluation.errors.iter().any(|error| {
        snapshot.policy(error.policy).is_some_and(|policy| {
            let on_error = policy.meaning.on_error;
            policy.effect == Effect::Forbid
                && on_error.unwrap_or(snapshot.settings().on_error) == OnError::Deny
        })
    });
    if !evaluation.allow && !evaluation.determining.is_empty() {
        Err(Cause::Forbidden)
    } else if failed_forbid {
        Err(Cause::PolicyError)
    } else if !evaluation.allow {
        Err(Cause::NotPermitted)
    } else {
        Ok(())
    }
}

/// What satisfied permits amount to: their own requirements and obligations always count, knock-outs and
/// the resource's and the action's requirements where `floors` has them.
fn permitted(evaluation: &Evaluation<'_>, floors: Floors) -> Ruling {
    let snapshot = evaluation.state.snapshot();
    let info = |policy: &PolicyIndex| snapshot.policy(policy.index());
    let all = evaluation.determining.iter().copied();
    if floors.knocked_out {
        return Ruling::on(PolicyIndices::new(), Cause::KnockedOut);
    }
    let mut indices = evaluation.determining.iter();
    let plain = !indices.any(|policy| snapshot.is_meaningful(policy.index()));
    if plain && !floors.unmet() && !trust::unhandled(evaluation, &floors) {
        return Ruling::on_all(Cause::Permitted);
    }
    let met = |policy: PolicyInfo<'_>| trust::meets(evaluation, policy.meaning);
    let permits: PolicyIndices = all.filter(|at| info(at).is_some_and(met)).collect();
    if permits.is_empty() || floors.unmet() {
        let mend = trust::mend(evaluation, &floors);
        return Ruling {
            cause: mend.cause(),
            policies: None,
            mend,
        };
    }
    let unhandled = unhandled(evaluation, &permits);
    if !unhandled.is_empty() || trust::unhandled(evaluation, &floors) {
        return Ruling::on(unhandled, Cause::UnsupportedObligation);
    }
    Ruling::on(permits, Cause::Permitted)
}

/// The permits that carry an obligation the caller does not handle, by place.
fn unhandled(evaluation: &Evaluation<'_>, permits: &PolicyIndices) -> PolicyIndices {
    if matches!(evaluation.request.caller().handles(), Handles::Any) {
        return PolicyIndices::new();
    }
    let carries_unhandled = |policy: PolicyInfo<'_>| {
        let mut obligations = policy.meaning.obligations.iter();
        obligations.any(|duty| !handles(evaluation, duty.name()))
    };
    let snapshot = evaluation.state.snapshot();
    let permits = permits.iter().copied();
    permits
        .filter(|policy| {
            let policy = snapshot.policy(policy.index());
            policy.is_some_and(carries_unhandled)
        })
        .collect()
}

/// Whether the caller discharges obligations of this name.
fn handles(evaluation: &Evaluation<'_>, name: &str) -> bool {
    match evaluation.request.caller().handles() {
        Handles::Any => true,
        Handles::Only(names) => {
            names.contains(name) || evaluation.request.obligations.iter().any(|o| o == name)
        }
    }
}
