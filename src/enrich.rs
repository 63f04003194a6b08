//! What a request gains before it is evaluated: injected context.
//!
//! What enters: a [`Request`] and the state it is decided against. What leaves: the same request with
//! its raw context complete. Sources that do I/O run before `authorize` and hand in facts; nothing
//! here waits.

mod facts;
mod geo;
mod inject;

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::json::InputFault;
use crate::policy::schema::ActionModel;
use crate::request::Request;
use crate::state::State;
use crate::timestamp::Timestamp;

#[cfg(feature = "server")]
pub use geo::MaxMind;
pub use geo::{GeoAnswer, GeoSource};

/// A request with everything that evaluation reads.
#[derive(Debug)]
pub(crate) struct Enriched<'a> {
    pub(crate) request: &'a Request,
    pub(crate) state: &'a Arc<State>,
    pub(crate) now: Timestamp,
    /// What the schema declares for the request's action.
    pub(crate) action: Option<&'a ActionModel>,
    /// The context member that is set to `{now}`.
    pub(crate) env: Option<&'a str>,
    /// Entities that a verified token brought, as far as the schema declares them.
    pub(crate) facts: Cow<'a, [Value]>,
    /// Faults found so far; they are named together with those of the next stage.
    pub(crate) faults: Vec<InputFault>,
}

impl Enriched<'_> {
    /// The context in Cedar's JSON form, complete.
    pub(crate) fn context(&self) -> Map<String, Value> {
        let mut context = self.request.context.clone();
        if let Some(name) = self.env {
            let now = json!({"__extn": {"fn": "datetime", "arg": self.now.to_string()}});
            context.insert(name.to_owned(), json!({"now": now}));
        }
        context
    }
}

/// Completes the raw context of `request`.
pub(crate) fn enrich<'a>(
    request: &'a Request,
    state: &'a Arc<State>,
    now: Timestamp,
) -> Enriched<'a> {
    let mut enriched = Enriched {
        request,
        state,
        now,
        action: None,
        env: None,
        facts: facts::fitting(
            request.facts(),
            state.snapshot().schema_set().map(|schema| &schema.model),
        ),
        faults: Vec::new(),
    };
    inject::env(&mut enriched);
    enriched
}
