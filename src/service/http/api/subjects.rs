//! What is reported and known of users, sessions, devices and addresses, over HTTP.
//!
//! What enters: JSON of callers that have the scope for it. What leaves: events and changes for the
//! [`SignalStore`], and its answers. Nothing is acknowledged before the store has it; what changes what
//! is held against somebody is logged with who ordered it.

pub(crate) mod assurance;
pub(crate) mod devices;
mod event;
pub(crate) mod events;
mod fields;
pub(crate) mod types;
pub(crate) mod users;

use std::sync::Arc;

use axum::http::StatusCode;

use super::body::blocking;
use crate::base::caller::Caller;
use crate::service::http::app::App;
use crate::service::http::problem::Problem;
use crate::trust::subjects::{Change, ChangeError, SignalStore};

/// The store, for what needs one.
fn store(app: &App) -> Result<Arc<dyn SignalStore>, Problem> {
    app.signals().ok_or_else(no_signals)
}

/// The answer where nothing keeps signals.
pub(crate) fn no_signals() -> Problem {
    let detail =
        "this server keeps no signals: its decision point was built without a store of them";
    Problem::new(StatusCode::NOT_IMPLEMENTED, "no_signals", detail)
}

/// Codes of refusals because of what is known already.
const CONFLICTS: [&str; 3] = ["session_revoked", "session_of_another", "device_of_another"];

/// Has the store make a change for a caller; it is kept when this returns.
async fn change(app: &App, caller: &Caller, change: Change) -> Result<(), Problem> {
    let store = store(app)?;
    let now = (app.clock)();
    // What is wrong with an authentication by itself was found when it was read.
    let read = matches!(change, Change::Assurance(_));
    let reporter = caller.name().to_owned();
    let changed = blocking(move || store.change_by(&reporter, change, now)).await?;
    changed.map_err(|error| problem(error, read))
}

/// Why a change was not made; where its body can be at fault no more, what is refused is a conflict.
fn problem(error: ChangeError, read: bool) -> Problem {
    let detail = error.to_string();
    match error {
        ChangeError::Refused { code, .. } if read || CONFLICTS.contains(&code) => {
            Problem::new(StatusCode::CONFLICT, code, detail)
        }
        ChangeError::Refused { code, .. } => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
        }
        ChangeError::Full(_) | ChangeError::Share(_) => {
            Problem::new(StatusCode::INSUFFICIENT_STORAGE, "signals_full", detail)
        }
        ChangeError::State(_) => {
            tracing::error!(error = detail, "signals");
            let detail = "the change could not be made durable and is undone; send it again";
            Problem::new(StatusCode::INSUFFICIENT_STORAGE, "signals_not_kept", detail)
        }
    }
}
