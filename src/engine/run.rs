//! A request through the compiled policies.

use std::cell::RefCell;

use super::compiled::{
    self, Budget, Decision, EngineRequest, ErrorCode, EvaluateError, Scratch, Silent,
};
use super::read::{Refused, read};
use super::resolve::resolve;
use super::{Counts, Found, PolicyError, PolicyErrorCode, reference};
use crate::request::{Limits, RequestError};
use crate::trust::Scored;

#[derive(Default)]
struct Room {
    bound: EngineRequest,
    scratch: Scratch,
}

thread_local! {
    /// Room that a decision leaves to the next one on its thread.
    static ROOM: RefCell<Room> = RefCell::default();
}

/// Evaluates by the compiled policies; by the reference where only Cedar reads the request.
pub(super) fn evaluate(
    scored: &Scored<'_>,
    limits: &Limits,
    counts: &Counts,
) -> Result<Found, RequestError> {
    ROOM.with(|room| match room.try_borrow_mut() {
        Ok(mut room) => evaluate_in(scored, limits, counts, &mut room),
        Err(_) => evaluate_in(scored, limits, counts, &mut Room::default()),
    })
}

fn evaluate_in(
    scored: &Scored<'_>,
    limits: &Limits,
    counts: &Counts,
    Room { bound, scratch }: &mut Room,
) -> Result<Found, RequestError> {
    let overlay = match read(scored, limits, bound) {
        Ok(overlay) => overlay,
        Err(Refused) => {
            let found = reference::decide(scored, limits)?;
            counts.fell_back();
            return Ok(found);
        }
    };
    let state = scored.state;
    let evaluated = compiled::evaluate(
        state.compiled(),
        state.store().version(),
        overlay.as_ref(),
        bound,
        scratch,
        Budget(limits.decision_steps),
        &mut Silent,
    );
    let evaluation = evaluated.map_err(|error| match error {
        EvaluateError::BudgetExhausted(steps) => RequestError::BudgetExhausted { steps },
        // INVARIANT: version, policies and request are all of this state.
        EvaluateError::Mismatched => RequestError::invalid("", error.to_string()),
    })?;
    let determining = evaluation.determining_policies().iter();
    let mut found = Found {
        allow: evaluation.decision() == Decision::Allow,
        determining: determining.map(|policy| policy.index()).collect(),
        errors: evaluation.errors().iter().map(error_of).collect(),
    };
    if scored.request.explain() && !found.errors.is_empty() {
        let resolved = resolve(scored, limits)?;
        for error in &mut found.errors {
            error.message = reference::message(state, error.policy, &resolved);
        }
    }
    Ok(found)
}

fn error_of((policy, code): &(compiled::PolicyIndex, ErrorCode)) -> PolicyError {
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
