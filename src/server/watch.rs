//! `GET /watch`: changes of the state as they happen, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::app::{App, Phase};
use super::problem::Problem;
use crate::pdp::{StateChange, Subscription};

/// How often a change is looked for; what watches decides nothing.
const LOOK: Duration = Duration::from_millis(100);
/// How often a line is sent when nothing happens, so that a lost connection is noticed.
const ALIVE: Duration = Duration::from_secs(15);

/// What one client watches.
struct Watching {
    app: Arc<App>,
    first: Option<StateChange>,
    changes: Subscription,
}

/// First the present state, then each change: `published`, `rejected`, `held`. A client that falls
/// 256 changes behind loses the oldest; the next `published` says where the state is.
pub(super) async fn watch(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let pdp = app.pdp().ok_or_else(Problem::not_ready)?;
    let changes = pdp.subscribe();
    let state = pdp.state();
    let first = StateChange::Published {
        revision: state.revision().clone(),
        sequence: state.sequence(),
    };
    let watching = Watching {
        app: Arc::clone(&app),
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
    /// The next change; `None` when the server ends.
    async fn next(&mut self) -> Option<StateChange> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            if self.app.phase() == Phase::Draining {
                return None;
            }
            if let Some(change) = self.changes.try_next() {
                return Some(change);
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
            let faults: Vec<_> = faults.iter().map(crate::fault::Fault::to_json).collect();
            ("rejected", json!({ "faults": faults }))
        }
        StateChange::Held { reason } => ("held", json!({ "reason": reason })),
    };
    Event::default().event(name).data(data.to_string())
}
