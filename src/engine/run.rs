//! A resolved request through the compiled policies.

use std::sync::{Mutex, PoisonError};

use super::compiled::{
    self, Budget, Decision, EngineRequest, ErrorCode, EvaluateError, Scratch, Silent,
};
use super::resolve::Resolved;
use super::{Found, PolicyError, PolicyErrorCode, reference};
use crate::entities::{NewEntity, Overlay};
use crate::fault::chain;
use crate::request::{Limits, Request, RequestError};
use crate::state::State;

/// Room that decisions leave to later ones; as much as were ever under way at once.
#[derive(Debug, Default)]
pub(crate) struct Room(Mutex<Vec<(EngineRequest, Scratch)>>);

impl Room {
    fn take(&self) -> (EngineRequest, Scratch) {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        taken.unwrap_or_else(|| (EngineRequest::new(), Scratch::new()))
    }

    fn give(&self, room: (EngineRequest, Scratch)) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(room);
    }
}

/// Evaluates by the compiled policies.
pub(super) fn evaluate(
    state: &State,
    request: &Request,
    resolved: &Resolved,
    limits: &Limits,
    room: &Room,
) -> Result<Found, RequestError> {
    let mut taken = room.take();
    let done = evaluate_in(state, request, resolved, limits, &mut taken);
    room.give(taken);
    done
}

fn evaluate_in(
    state: &State,
    request: &Request,
    resolved: &Resolved,
    limits: &Limits,
    (bound, scratch): &mut (EngineRequest, Scratch),
) -> Result<Found, RequestError> {
    let version = state.store().version();
    let name = |entity: &crate::request::EntityRef| {
        (entity.type_name().to_owned(), entity.id().to_owned())
    };
    let (principal, action, resource) = (
        name(request.principal()),
        name(request.action()),
        name(request.resource()),
    );
    bound.bind(
        version,
        (&principal.0, &principal.1),
        (&action.0, &action.1),
        (&resource.0, &resource.1),
    );
    bound
        .read_context(version, &resolved.context)
        .map_err(|error| RequestError::invalid("/context", error.to_string()))?;
    let overlay = overlay(state, resolved, bound)?;
    let budget = Budget(limits.decision_steps);
    let evaluated = compiled::evaluate(
        state.compiled(),
        version,
        overlay.as_ref(),
        bound,
        scratch,
        budget,
        &mut Silent,
    );
    let evaluation = evaluated.map_err(|error| match error {
        EvaluateError::BudgetExhausted(steps) => RequestError::BudgetExhausted { steps },
        // INVARIANT: version, policies and request are all of this state.
        EvaluateError::Mismatched => RequestError::invalid("", error.to_string()),
    })?;
    let determining = evaluation.determining_policies();
    let mut errors: Vec<PolicyError> = evaluation
        .errors()
        .iter()
        .map(|(policy, code)| PolicyError {
            policy: policy.index(),
            code: code_of(*code),
            message: None,
        })
        .collect();
    if request.explain() && !errors.is_empty() {
        let entities = resolved.entities(state)?;
        for error in &mut errors {
            error.message =
                reference::message(state.snapshot(), error.policy, &resolved.request, &entities);
        }
    }
    Ok(Found {
        allow: evaluation.decision() == Decision::Allow,
        determining: determining.iter().map(|policy| policy.index()).collect(),
        errors,
    })
}

/// The inline entities as the engine reads them, in front of the store.
fn overlay(
    state: &State,
    resolved: &Resolved,
    bound: &mut EngineRequest,
) -> Result<Option<Overlay>, RequestError> {
    if resolved.inline.is_empty() {
        return Ok(None);
    }
    let refuse = |message: String| RequestError::invalid("/entities", message);
    let mut entities = Vec::with_capacity(resolved.inline.len());
    for (at, entity) in resolved.inline.iter().enumerate() {
        let json = entity
            .to_json_value()
            .map_err(|error| refuse(chain(&error)))?;
        let entity = NewEntity::from_json(at, &json).map_err(|error| refuse(error.to_string()))?;
        entities.push(entity);
    }
    Overlay::new(state.store().version(), bound.locals(), &entities)
        .map(Some)
        .map_err(|error| refuse(error.to_string()))
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
