//! Evaluation: an enriched request against one state's policies and entities.
//!
//! What enters: [`Enriched`]. What leaves: an [`Evaluation`], which says which policies are satisfied
//! and which failed; it is not yet a decision. No I/O, no clock.
//!
//! Two evaluators give the same answer: [`compiled`], whose cost follows the policies that can match,
//! and [`reference`], Cedar's own authorizer, which looks at all of them. Reading and checking the
//! request is Cedar's in either case.

mod compiled;
mod error;
mod reference;
mod resolve;
mod run;
mod slice;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::enrich::Enriched;
use crate::policy::EngineChoice;
use crate::request::{Limits, Request, RequestError};
use crate::state::State;
use crate::timestamp::Timestamp;

pub(crate) use compiled::CompiledPolicies;
pub use error::PolicyErrorCode;
pub(crate) use run::Room;

/// What evaluating all policies found, by their places in the snapshot's table, in rising order.
#[derive(Debug)]
pub(crate) struct Evaluation<'a> {
    pub(crate) request: &'a Request,
    pub(crate) state: &'a Arc<State>,
    pub(crate) now: Timestamp,
    /// Whether a permit is satisfied and no forbid is.
    pub(crate) allow: bool,
    /// The satisfied permits of an Allow, else the satisfied forbids.
    pub(crate) determining: Vec<usize>,
    pub(crate) errors: Vec<PolicyError>,
}

/// A policy whose evaluation failed; it counts as not satisfied.
#[derive(Debug, Clone)]
pub(crate) struct PolicyError {
    pub(crate) policy: usize,
    pub(crate) code: PolicyErrorCode,
    /// Cedar's message, where the request asks for explanations or Cedar evaluated.
    pub(crate) message: Option<String>,
}

/// What an evaluator found.
#[derive(Debug)]
struct Found {
    allow: bool,
    determining: Vec<usize>,
    errors: Vec<PolicyError>,
}

/// Evaluates a request: every fault of it is an error that names them all.
pub(crate) fn evaluate<'a>(
    enriched: Enriched<'a>,
    limits: &Limits,
    room: &Room,
) -> Result<Evaluation<'a>, RequestError> {
    let (request, state, now) = (enriched.request, enriched.state, enriched.now);
    let resolved = resolve::resolve(enriched, limits)?;
    let found = match state.snapshot().settings().engine {
        EngineChoice::Reference => {
            let entities = resolved.entities(state)?;
            reference::evaluate(state.snapshot(), &resolved.request, &entities)
        }
        EngineChoice::Compiled => run::evaluate(state, request, &resolved, limits, room)?,
    };
    Ok(Evaluation {
        request,
        state,
        now,
        allow: found.allow,
        determining: found.determining,
        errors: found.errors,
    })
}
