//! `POST /assurance`: an authentication that a session has seen.

use std::time::Duration;

use axum::Json;
use axum::extract::{Extension, Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::fields::{Fields, LONGEST_ID, problem};
use super::{change, store, types};
use crate::base::json::{InputFault, shown};
use crate::base::timestamp::Timestamp;
use crate::service::http::api::body;
use crate::service::http::api::body::{Answer, By, Shared};
use crate::service::http::app::App;
use crate::trust::model::{Evidence, Method};
use crate::trust::subjects::{AssuranceRecord, Change};

/// Members of a record.
const MEMBERS: &[&str] = &[
    "session",
    "user",
    "method",
    "level",
    "acr",
    "userVerified",
    "at",
    "expires",
];
/// How far the clock of whoever reports may be ahead.
const AHEAD: Duration = Duration::from_secs(60);
/// How long ago an authentication may have been.
const OLDEST: Duration = Duration::from_secs(24 * 3_600);

/// Records that a session reached an authentication level.
pub(crate) async fn record(State(app): Shared, Extension(caller): By, http: HttpRequest) -> Answer {
    store(&app)?;
    let body: Value = body::read(&app, http).await?;
    let record = read(body, &app, (app.clock)()).map_err(problem)?;
    types::check(&app, Some(&record.user), "/user")?;
    let shown = json!({
        "session": record.session,
        "user": {"type": record.user.type_name(), "id": record.user.id()},
        "method": record.evidence.method.map(Method::as_str),
        "level": record.evidence.level,
        "userVerified": record.evidence.user_verified,
        "at": record.evidence.at.to_string(),
        "expires": record.evidence.until.map(|until| until.to_string()),
    });
    let user = record.user.to_string();
    change(&app, &caller, Change::Assurance(record)).await?;
    tracing::info!(by = caller.name(), user, "assurance recorded");
    let body = json!({ "assurance": shown });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// The names of the methods that prove something of a session; an approval is another's word.
fn proving() -> Vec<&'static str> {
    let proving = Method::ALL.into_iter();
    let proving = proving.filter(|method| *method != Method::AdminApproval);
    proving.map(Method::as_str).collect()
}

fn read(body: Value, app: &App, now: Timestamp) -> Result<AssuranceRecord, Vec<InputFault>> {
    let mut fields = Fields::of(body, "", MEMBERS)?;
    let session = fields.required_id("session");
    let user = fields.required_entity("user");
    let clean = fields.is_clean();
    let method = fields.word("method", &proving().join(", "), |name| {
        Method::from_name(name).filter(|method| *method != Method::AdminApproval)
    });
    let level = fields.number("level", 4);
    let acr = fields.text("acr", LONGEST_ID);
    let said = [method.is_some(), level.is_some(), acr.is_some()];
    match said.iter().filter(|said| **said).count() {
        1 => {}
        0 if clean != fields.is_clean() => {}
        0 => fields.whole("give `method`, `level` or `acr`"),
        _ => fields.whole("give one of `method`, `level` and `acr`"),
    }
    let level = match &acr {
        None => level,
        Some(acr) => {
            let known = app.acr_level(acr);
            if known.is_none() {
                let detail = format!("`{}` is not a class of authentication here", shown(acr));
                fields.fault("acr", detail);
            }
            known
        }
    };
    let user_verified = fields.boolean("userVerified").unwrap_or(false);
    let at = fields.time("at").unwrap_or(now);
    let ahead = at.as_millis().saturating_sub(now.as_millis());
    if u128::try_from(ahead).is_ok_and(|ahead| ahead > AHEAD.as_millis()) {
        fields.fault("at", "is still to come");
    }
    let ago = now.as_millis().saturating_sub(at.as_millis());
    if u128::try_from(ago).is_ok_and(|ago| ago > OLDEST.as_millis()) {
        fields.fault("at", "is more than 24 hours ago");
    }
    let until = fields.time("expires");
    if until.is_some_and(|until| until <= now || until <= at) {
        fields.fault("expires", "is past: nothing would be proved");
    }
    fields.end()?;
    let named = session.zip(user);
    let (session, user) =
        named.ok_or_else(|| vec![InputFault::new("", "the record is not whole")])?;
    Ok(AssuranceRecord {
        session,
        user,
        evidence: Evidence {
            method,
            level,
            user_verified,
            at,
            until,
        },
    })
}
