//! A request through the compiled policies. What only Cedar's reader takes is spelled out and evaluated by them
//! too, within the same budget.

use std::cell::RefCell;

use super::read::{Refused, read};
use super::reference::resolve::resolve;
use super::{Counts, Evaluated, PolicyError, PolicyErrorCode, PolicyIndices, reference, spelled};
use crate::base::meter::weight;
use crate::engine;
use crate::engine::{Budget, Decision, EngineRequest, ErrorCode, EvaluateError, Scratch};
use crate::pdp::score::stage::Scored;
use crate::request::{Limits, RequestError};

#[derive(Default)]
struct Buffers {
    bound: EngineRequest,
    scratch: Scratch,
}

thread_local! {
    /// Buffers reused between decisions of a thread.
    static ROOM: RefCell<Buffers> = RefCell::default();
}

/// Evaluates by the compiled policies.
pub(super) fn evaluate(
    scored: &Scored<'_>,
    limits: &Limits,
    counts: &Counts,
) -> Result<Evaluated, RequestError> {
    ROOM.with(|room| match room.try_borrow_mut() {
        Ok(mut room) => evaluate_in(scored, limits, counts, &mut room),
        Err(_) => evaluate_in(scored, limits, counts, &mut Buffers::default()),
    })
}

fn evaluate_in(
    scored: &Scored<'_>,
    limits: &Limits,
    counts: &Counts,
    Buffers { bound, scratch }: &mut Buffers,
) -> Result<Evaluated, RequestError> {
    let (state, meter) = (scored.state, &scored.meter);
    let given = scored.request.entities.iter().chain(&*scored.facts);
    let given: u64 = given.map(weight).sum();
    if !meter.take(given + scored.request.context.weight()) {
        return Err(meter.exhausted().into());
    }
    let overlay = match read(scored, limits, bound) {
        Ok(overlay) => overlay,
        Err(Refused) => {
            meter.check()?;
            let resolved = resolve(scored, limits)?;
            let overlay = spelled::bind(scored, &resolved, bound)?;
            counts.fell_back();
            overlay
        }
    };
    let evaluated = engine::evaluate(
        state.compiled(),
        state.store().version(),
        overlay.as_ref(),
        bound,
        scored.known,
        scratch,
        Budget(meter.left()),
    );
    let evaluation = evaluated.map_err(|error| match error {
        EvaluateError::BudgetExhausted(_) => RequestError::from(meter.exhausted()),
        // INVARIANT: version, policies and request are all of this state.
        EvaluateError::Mismatched => RequestError::invalid("", error.to_string()),
    })?;
    // INVARIANT: evaluation took no more than was left.
    let _ = meter.take(evaluation.steps);
    let mut found = Evaluated {
        allow: evaluation.decision() == Decision::Allow,
        determining: PolicyIndices::from_slice(evaluation.determining_policies()),
        errors: match evaluation.errors() {
            [] => Vec::new(),
            errors => errors.iter().map(error_of).collect(),
        },
    };
    if scored.request.explain() && !found.errors.is_empty() {
        explain(scored, limits, &mut found);
    }
    Ok(found)
}

/// Policies whose failure is explained by Cedar's message; further ones have their code alone.
const EXPLAINED: usize = 50;

/// Adds Cedar's messages, as long as there are steps left: running out of them does not cost the answer.
fn explain(scored: &Scored<'_>, limits: &Limits, found: &mut Evaluated) {
    let Ok(resolved) = resolve(scored, limits) else {
        return;
    };
    for error in found.errors.iter_mut().take(EXPLAINED) {
        if !scored.meter.take(MESSAGE) {
            return;
        }
        error.message = reference::message(scored.state, error.policy, &resolved, &scored.meter);
    }
}

/// Steps for a message, besides those for the entities.
const MESSAGE: u64 = 1_000;

fn error_of((policy, code): &(engine::PolicyIndex, ErrorCode)) -> PolicyError {
    PolicyError {
        policy: policy.index(),
        code: code_of(*code),
        message: None,
    }
}

fn code_of(code: ErrorCode) -> PolicyErrorCode {
    match code {
        ErrorCode::EntityMissing => PolicyErrorCode::EntityMissing,
        ErrorCode::EntityAttrMissing | ErrorCode::RecordAttrMissing => {
            PolicyErrorCode::AttributeMissing
        }
        ErrorCode::Type => PolicyErrorCode::TypeError,
        ErrorCode::Overflow => PolicyErrorCode::Overflow,
        ErrorCode::Extension | ErrorCode::Arity => PolicyErrorCode::Extension,
    }
}
