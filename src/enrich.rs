//! What a request gains before it is evaluated: injected context.
//!
//! What enters: a [`Request`] and the state it is decided against. What leaves: the same request with
//! its raw context complete. Sources that do I/O run before `authorize` and hand in facts; nothing
//! here waits.

mod inject;

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::request::{InputFault, Request};
use crate::state::State;
use crate::timestamp::Timestamp;

/// A request with everything that evaluation reads.
#[derive(Debug)]
pub(crate) struct Enriched<'a> {
    pub(crate) request: &'a Request,
    pub(crate) state: &'a Arc<State>,
    pub(crate) now: Timestamp,
    pub(crate) context: Map<String, Value>,
    /// Faults found so far; they are named together with those of the next stage.
    pub(crate) faults: Vec<InputFault>,
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
        context: request.context.clone(),
        faults: Vec::new(),
    };
    inject::env(&mut enriched);
    enriched
}
