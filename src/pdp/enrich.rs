//! What a request gains before it is scored and evaluated: the numbers of its names, the plan of its action, and
//! what a verified token says.
//!
//! What enters: a [`Request`] and the state it is decided against. What leaves: the same request with
//! everything that its evaluation reads. Sources that do I/O run before `authorize` and hand in facts;
//! nothing here waits.

mod facts;

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use crate::base::meter::Meter;
use crate::base::timestamp::Timestamp;
use crate::entities::Known;
use crate::policy::{ActionPlan, InjectedMember};
use crate::request::Request;
use crate::state::State;
use crate::trust::Asked;

/// A request with everything that evaluation reads, but for its score.
#[derive(Debug)]
pub(crate) struct Enriched<'a> {
    pub(crate) request: &'a Request,
    pub(crate) state: &'a Arc<State>,
    pub(crate) now: Timestamp,
    /// What the store knows of principal, action and resource.
    pub(crate) known: [Option<Known<'a>>; 3],
    /// What is known of the action beforehand.
    pub(crate) plan: &'a ActionPlan,
    /// Entities that a verified token brought, as far as the schema declares them.
    pub(crate) facts: Cow<'a, [Value]>,
    /// The work that the request may still cause.
    pub(crate) meter: Meter,
}

impl Enriched<'_> {
    /// The request as rules of the trust configuration see it.
    pub(crate) fn asked(&self) -> Asked<'_> {
        Asked {
            names: self.request.names(),
            known: self.known,
            version: self.state.store().version(),
            meter: &self.meter,
        }
    }

    /// Members of the context that the decision point sets and the caller gives all the same. Their names are
    /// settings, and an action has them that declares them by the shipped types; elsewhere such a member is the
    /// caller's.
    pub(crate) fn set_by_caller(&self) -> impl Iterator<Item = &InjectedMember> {
        let members = self.plan.injected.members();
        members.filter(|member| self.request.context.contains(&member.name))
    }
}

/// Completes `request`, which may cause `steps` of work from here on.
pub(crate) fn enrich<'a>(
    request: &'a Request,
    state: &'a Arc<State>,
    now: Timestamp,
    steps: u64,
) -> Enriched<'a> {
    let version = state.store().version();
    let known @ [_, action, _] = request.names().map(|name| version.look_up(name));
    Enriched {
        request,
        state,
        now,
        known,
        plan: state.snapshot().plan(action.map(|known| known.uid)),
        facts: facts::fitting(
            request.facts(),
            state.snapshot().schema_set().map(|schema| &schema.model),
        ),
        meter: Meter::new(steps),
    }
}
