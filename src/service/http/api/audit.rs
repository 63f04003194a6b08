//! The decision log as the server uses it: records, how it is, `GET /audit`.

use axum::extract::State;
use serde_json::{Value, json};

use crate::service::audit::{DecisionLog, Entry};
use crate::service::http::api::body::{Answer, Shared, reply};
use crate::service::http::app::App;
use crate::service::http::observe::metrics::{Metrics, Shed, figures};
use crate::service::http::problem::Problem;
use axum::http::StatusCode;

/// Routes that `audit.routes` may name.
pub(crate) const ROUTES: &[&str] = &["authorize"];

/// Records a decision. `Err` when it must not be told because it cannot be recorded.
pub(crate) fn record(app: &App, log: &DecisionLog, entry: Entry) -> Result<(), Problem> {
    let recorded = if log.may_wait() && may_block() {
        tokio::task::block_in_place(|| log.record(entry))
    } else {
        log.record(entry)
    };
    recorded.map_err(|full| {
        app.metrics.shed(Shed::LogFull);
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Problem::new(status, "audit_unavailable", full.to_string()).retry_after(1)
    })
}

/// Whether this thread may wait: others of the runtime go on meanwhile.
fn may_block() -> bool {
    use tokio::runtime::{Handle, RuntimeFlavor};
    let runtime = Handle::try_current();
    runtime.is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
}

/// Shows the log's figures among the metrics.
pub(crate) fn watch(log: &DecisionLog, metrics: &Metrics) {
    let counts = |read: fn(&crate::service::audit::AuditCounts) -> u64| {
        let log = log.clone();
        move || read(&log.counts())
    };
    figures! { metrics;
        watch_counter "audit_records" "Records that the decision log took" = counts(|counts| counts.recorded);
        watch_counter "audit_dropped" "Decisions that were not recorded for want of room"
            = counts(|counts| counts.dropped);
        watch_gauge "audit_queue" "Records of the decision log that wait to be written"
            = counts(|counts| counts.queued);
    }
}

/// The results of decisions since the start.
pub(crate) async fn status(State(app): Shared) -> Answer {
    let Some(log) = &app.audit else {
        return reply(json!({"recording": false}));
    };
    let counts = log.counts();
    let sinks: Vec<Value> = counts
        .sinks
        .iter()
        .filter(|sink| sink.on)
        .map(|sink| {
            json!({
                "name": sink.name, "written": sink.written, "failed": sink.failed, "lost": sink.lost,
            })
        })
        .collect();
    reply(json!({
        "recording": true,
        "trouble": log.health(),
        "recorded": counts.recorded,
        "dropped": counts.dropped,
        "refused": counts.refused,
        "filtered": counts.filtered,
        "reduced": counts.reduced,
        "queued": counts.queued,
        "bytes": counts.bytes,
        "sinks": sinks,
    }))
}
