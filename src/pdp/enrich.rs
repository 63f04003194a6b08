//! What a request gains before it is scored and evaluated: which context members are injected, what a
//! verified token says, and what is known of its circumstances.
//!
//! What enters: a [`Request`] and the state it is decided against. What leaves: the same request with
//! everything that its evaluation reads. Sources that do I/O run before `authorize` and hand in facts;
//! nothing here waits.

mod facts;
mod inject;

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;
use smallvec::SmallVec;

use crate::base::json::InputFault;
use crate::base::meter::Meter;
use crate::base::timestamp::Timestamp;
use crate::request::Request;
use crate::schema::ActionModel;
use crate::state::State;

/// A request with everything that evaluation reads, but for its score.
#[derive(Debug)]
pub(crate) struct Enriched<'a> {
    pub(crate) request: &'a Request,
    pub(crate) state: &'a Arc<State>,
    pub(crate) now: Timestamp,
    /// What the schema declares for the request's action.
    pub(crate) action: Option<&'a ActionModel>,
    /// The context members that the decision point sets.
    pub(crate) injected: Injected<'a>,
    /// Entities that a verified token brought, as far as the schema declares them.
    pub(crate) facts: Cow<'a, [Value]>,
    /// Faults found so far; they are named together with those of the next stage.
    pub(crate) faults: Vec<InputFault>,
    /// The work that the request may still cause.
    pub(crate) meter: Meter,
}

/// Names of context members that the decision point sets.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Injected<'a> {
    /// `{now}`.
    pub(crate) env: Option<&'a str>,
    /// What the trust model says of the request.
    pub(crate) trust: Option<&'a str>,
    /// How the principal was authenticated.
    pub(crate) auth: Option<&'a str>,
}

impl<'a> Injected<'a> {
    /// All of them.
    pub(crate) fn names(&self) -> SmallVec<[&'a str; 3]> {
        let all = [self.env, self.trust, self.auth];
        all.into_iter().flatten().collect()
    }
}

/// Completes `request`, which may cause `steps` of work from here on.
pub(crate) fn enrich<'a>(
    request: &'a Request,
    state: &'a Arc<State>,
    now: Timestamp,
    steps: u64,
) -> Enriched<'a> {
    let mut enriched = Enriched {
        request,
        state,
        now,
        action: None,
        injected: Injected::default(),
        facts: facts::fitting(
            request.facts(),
            state.snapshot().schema_set().map(|schema| &schema.model),
        ),
        faults: Vec::new(),
        meter: Meter::new(steps),
    };
    inject::find(&mut enriched);
    enriched
}
