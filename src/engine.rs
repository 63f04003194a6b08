//! Evaluation: an enriched request against one state's policies and entities.
//!
//! What enters: [`Enriched`]. What leaves: an [`Evaluation`], which says which policies are satisfied
//! and which failed; it is not yet a decision. No I/O, no clock.

mod error;
mod reference;
mod resolve;
mod slice;

use std::sync::Arc;

use crate::enrich::Enriched;
use crate::request::{Limits, Request, RequestError};
use crate::state::State;
use crate::timestamp::Timestamp;

pub use error::PolicyErrorCode;

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
    pub(crate) message: String,
}

/// Evaluates a request: every fault of it is an error that names them all.
pub(crate) fn evaluate<'a>(
    enriched: Enriched<'a>,
    limits: &Limits,
) -> Result<Evaluation<'a>, RequestError> {
    let (request, state, now) = (enriched.request, enriched.state, enriched.now);
    let resolved = resolve::resolve(enriched, limits)?;
    let entities = resolved
        .entities
        .as_ref()
        .unwrap_or_else(|| state.entities());
    let found = reference::evaluate(state.snapshot(), &resolved.request, entities);
    Ok(Evaluation {
        request,
        state,
        now,
        allow: found.allow,
        determining: found.determining,
        errors: found.errors,
    })
}
