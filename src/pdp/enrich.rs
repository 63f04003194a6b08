//! What a request gains before it is scored and evaluated: the numbers of its names, the plan of its action, and
//! what a verified token says.
//!
//! What enters: a [`Request`] and the state it is decided against. What leaves: the same request with
//! everything that its evaluation reads. Sources that do I/O run before `authorize` and hand in facts;
//! nothing here waits.

mod facts;
mod inject;

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use crate::base::json::InputFault;
use crate::base::meter::Meter;
use crate::base::timestamp::Timestamp;
use crate::entities::Uid;
use crate::policy::ActionPlan;
use crate::request::Request;
use crate::state::State;

/// A request with everything that evaluation reads, but for its score.
#[derive(Debug)]
pub(crate) struct Enriched<'a> {
    pub(crate) request: &'a Request,
    pub(crate) state: &'a Arc<State>,
    pub(crate) now: Timestamp,
    /// The numbers of principal, action and resource, as far as the store knows them.
    pub(crate) known: [Option<Uid>; 3],
    /// What is known of the action beforehand.
    pub(crate) plan: &'a ActionPlan,
    /// Entities that a verified token brought, as far as the schema declares them.
    pub(crate) facts: Cow<'a, [Value]>,
    /// Faults found so far; they are named together with those of the next stage.
    pub(crate) faults: Vec<InputFault>,
    /// The work that the request may still cause.
    pub(crate) meter: Meter,
}

/// Completes `request`, which may cause `steps` of work from here on.
pub(crate) fn enrich<'a>(
    request: &'a Request,
    state: &'a Arc<State>,
    now: Timestamp,
    steps: u64,
) -> Enriched<'a> {
    let version = state.store().version();
    let known @ [_, action, _] = request.names().map(|name| version.find(name));
    let mut enriched = Enriched {
        request,
        state,
        now,
        known,
        plan: state.snapshot().plan(action),
        facts: facts::fitting(
            request.facts(),
            state.snapshot().schema_set().map(|schema| &schema.model),
        ),
        faults: Vec::new(),
        meter: Meter::new(steps),
    };
    inject::refuse_given(&mut enriched);
    enriched
}
