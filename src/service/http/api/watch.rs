//! `GET /watch`: changes of the state as they happen, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use serde_json::json;

use crate::base::caller::Scope;
use crate::pdp::{NoChange, StateChange, Subscription};
use crate::service::http::api::body::{Answer, Shared};
use crate::service::http::app::{App, Phase};
use crate::service::http::net::peer::Peer;
use crate::service::http::problem::Problem;

/// How often a change is looked for; what watches decides nothing.
const LOOK: Duration = Duration::from_millis(100);
/// How often the caller is recognised again.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// How often a line is sent when nothing happens, so that a lost connection is noticed.
const ALIVE: Duration = Duration::from_secs(15);

/// What one client watches.
struct Watching {
    app: Arc<App>,
    /// By what its caller was recognised.
    headers: HeaderMap,
    peer: Arc<Peer>,
    asked: Instant,
    first: Option<StateChange>,
    changes: Subscription,
}

/// First the present state, then each change: `published`, `rejected`, `held`. A client that falls
/// 256 changes behind loses the oldest; the next `published` says where the state is.
pub(crate) async fn watch(
    State(app): Shared,
    peer: Option<Extension<Arc<Peer>>>,
    headers: HeaderMap,
) -> Answer {
    let pdp = app.pdp().ok_or_else(Problem::not_ready)?;
    let changes = pdp.subscribe();
    let state = pdp.state();
    let first = StateChange::Published {
        revision: state.revision().clone(),
        sequence: state.sequence(),
    };
    let watching = Watching {
        app: Arc::clone(&app),
        headers,
        peer: peer.map(|peer| peer.0).unwrap_or_default(),
        asked: Instant::now(),
        first: Some(first),
        changes,
    };
    let events = futures_util::stream::unfold(watching, |mut watching| async {
        let change = watching.next().await?;
        Some((Ok::<_, Infallible>(event(&change)), watching))
    });
    let alive = KeepAlive::new().interval(ALIVE);
    Ok(Sse::new(events).keep_alive(alive).into_response())
}

impl Watching {
    /// Whether the caller still may watch: keys are revoked, and tokens and certificates end.
    async fn may_go_on(&mut self) -> bool {
        if self.asked.elapsed() < ASK_AGAIN {
            return true;
        }
        self.asked = Instant::now();
        let now = (self.app.clock)();
        let gate = &self.app.gate;
        let caller = gate.recognise(&self.headers, None, &self.peer, now);
        caller.await.is_ok_and(|caller| caller.has(Scope::Watch))
    }

    /// The next change; `None` when the server ends or the caller may no longer watch.
    async fn next(&mut self) -> Option<StateChange> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            if self.app.phase() == Phase::Draining || !self.may_go_on().await {
                return None;
            }
            match self.changes.try_next() {
                Ok(change) => return Some(change),
                Err(NoChange::NotYet) => {}
                Err(NoChange::Ended) => return None,
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn event(change: &StateChange) -> Event {
    let (name, data) = match change {
        StateChange::Published { revision, sequence } => (
            "published",
            json!({"revision": revision.as_str(), "sequence": sequence}),
        ),
        StateChange::Rejected(faults) => {
            let faults: Vec<_> = faults
                .iter()
                .map(crate::base::fault::Fault::to_json)
                .collect();
            ("rejected", json!({ "faults": faults }))
        }
        StateChange::Held { reason } => ("held", json!({ "reason": reason })),
    };
    Event::default().event(name).data(data.to_string())
}
