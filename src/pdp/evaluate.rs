//! Evaluation: a scored request against one state's policies and entities.
//!
//! What enters: [`Scored`]. What leaves: an [`Evaluation`], which says which policies are satisfied
//! and which failed; it is not yet a decision. No I/O, no clock.
//!
//! Two evaluators give the same answer: [`compiled`], whose cost follows the policies that can match,
//! and [`reference`], Cedar's own authorizer, which looks at all of them. Each has its own readers of
//! requests: [`read`] and [`inline`] for the one, [`resolve`] for the other. What only Cedar's reader takes is
//! spelled out for the compiled policies ([`spelled`]).

mod error;
mod inline;
mod read;
mod reference;
#[cfg(feature = "server")]
mod replay;
mod run;
mod shadow;
mod spelled;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use smallvec::SmallVec;

use crate::base::timestamp::Timestamp;
use crate::pdp::score::stage::{Assessed, Scored};
use crate::policy::EngineChoice;
use crate::request::{Limits, Request, RequestError};
use crate::state::State;

use crate::engine::PolicyIndex;
pub use error::PolicyErrorCode;
#[cfg(feature = "server")]
pub(crate) use replay::Slicer;
pub(crate) use shadow::Shadow;
pub use shadow::{EngineAnswer, ShadowCounts, ShadowMismatch, ShadowSettings};

/// Policies by their index in the snapshot's table; up to sixteen take no allocation.
pub(crate) type PolicyIndices = SmallVec<[PolicyIndex; 16]>;

/// What evaluating all policies found, by their places in the snapshot's table, in rising order.
#[derive(Debug)]
pub(crate) struct Evaluation<'a> {
    pub(crate) request: &'a Request,
    pub(crate) state: &'a Arc<State>,
    pub(crate) now: Timestamp,
    /// Whether a permit is satisfied and no forbid is.
    pub(crate) allow: bool,
    /// The satisfied permits of an Allow, else the satisfied forbids.
    pub(crate) determining: PolicyIndices,
    pub(crate) errors: Vec<PolicyError>,
    pub(crate) trust: Option<&'a Assessed>,
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
#[derive(Debug, Clone)]
struct Evaluated {
    allow: bool,
    determining: PolicyIndices,
    errors: Vec<PolicyError>,
}

/// What a decision point's engine keeps between decisions.
#[derive(Debug, Default)]
pub(crate) struct Engine {
    pub(crate) counts: Counts,
    pub(crate) shadow: Option<Shadow>,
}

/// What happened to decisions.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    fallbacks: AtomicU64,
}

impl Counts {
    fn fell_back(&self) {
        self.fallbacks.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests that only Cedar's reader took.
    pub(crate) fn fallbacks(&self) -> u64 {
        self.fallbacks.load(Ordering::Relaxed)
    }
}

/// Evaluates a request: every fault of it is an error that names them all.
pub(crate) fn evaluate<'a>(
    scored: &Scored<'a>,
    limits: &Limits,
    engine: &Engine,
) -> Result<Evaluation<'a>, RequestError> {
    let (request, state, now) = (scored.request, scored.state, scored.now);
    let found = match state.snapshot().settings().engine {
        EngineChoice::Reference => reference::decide(scored, limits)?,
        EngineChoice::Compiled => {
            let found = run::evaluate(scored, limits, &engine.counts)?;
            if let Some(shadow) = &engine.shadow {
                shadow.look(scored, limits, &found);
            }
            found
        }
    };
    Ok(Evaluation {
        request,
        state,
        now,
        allow: found.allow,
        determining: found.determining,
        errors: found.errors,
        trust: scored.trust,
    })
}
