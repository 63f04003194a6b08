//! `/subjects`: what is known of users, sessions, devices and addresses, and the ways back.

use std::net::IpAddr;

use axum::extract::{Extension, Request as HttpRequest, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::event::methods;
use super::fields::{Fields, LONGEST_ID, LONGEST_REASON, problem};
use super::types::unknown_type;
use super::{change, store};
use crate::base::caller::Caller;
use crate::base::entity_ref::EntityRef;
use crate::base::timestamp::Timestamp;
use crate::service::audit::SubjectChange;
use crate::service::http::api::body;
use crate::service::http::api::body::{
    Answer, By, Params, Queries, Shared, blocking, invalid, missing, reply,
};
use crate::service::http::app::App;
use crate::service::http::problem::Problem;
use crate::trust::model::Method;
use crate::trust::subjects::{Change, SignalStore, SubjectKind};

/// Subjects of an answer, where the query does not say.
const HELD: usize = 1_000;
/// Most subjects of an answer.
const MOST_HELD: usize = 10_000;

/// How many subjects are wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limit {
    limit: Option<usize>,
}

/// The subjects that something is held against.
pub(crate) async fn held(State(app): Shared, Queries(query): Queries<Limit>) -> Answer {
    let limit = query.limit.unwrap_or(HELD);
    if limit == 0 || limit > MOST_HELD {
        let detail = format!("`limit` is a whole number from 1 to {MOST_HELD}");
        return Err(invalid(detail));
    }
    let (store, now) = (store(&app)?, (app.clock)());
    let held = blocking(move || store.held(now, limit.saturating_add(1))).await?;
    let subjects: Vec<_> = held.iter().take(limit).map(named).collect();
    let more = held.len() > limit;
    reply(json!({"subjects": subjects, "more": more}))
}

/// Everything that is known of a subject, and why.
pub(crate) async fn get(State(app): Shared, Params(name): Params<(String, String)>) -> Answer {
    let subject = subject(&name)?;
    match described(&app, subject.clone()).await? {
        Some(known) => reply(known),
        None => Err(nothing_known(&app, &subject)),
    }
}

/// The answer where nothing is known; it says so where the schema does not know the type either.
fn nothing_known(app: &App, subject: &SubjectKind) -> Problem {
    let wrong = match subject {
        SubjectKind::User(user) => unknown_type(app, user),
        _ => None,
    };
    match wrong {
        Some(detail) => missing(format!("nothing is known of this subject: {detail}")),
        None => missing("nothing is known of this subject"),
    }
}

/// Refuses to say something of a user whose type the schema does not know. What was said before can still be
/// looked at, ended and forgotten.
fn check_type(app: &App, user: &EntityRef) -> Result<(), Problem> {
    unknown_type(app, user).map_or(Ok(()), |detail| Err(invalid(detail)))
}

/// Ends findings, incidents, lock-outs, blocks and supplied risk levels.
pub(crate) async fn remediate(
    State(app): Shared,
    Extension(caller): By,
    Params(name): Params<(String, String)>,
    http: HttpRequest,
) -> Answer {
    let subject = subject(&name)?;
    store(&app)?;
    let body: Value = body::read(&app, http).await?;
    let mut fields = Fields::of(body, "", &["reason"]).map_err(problem)?;
    let reason = fields.required_text("reason", LONGEST_REASON);
    fields.end().map_err(problem)?;
    let reason = reason.unwrap_or_default();
    let order = Change::Remediate {
        subject: subject.clone(),
        reason: reason.clone(),
        by: caller.name().to_owned(),
    };
    if let SubjectKind::User(user) = &subject
        && unknown_type(&app, user).is_some()
        && described(&app, subject.clone()).await?.is_none()
    {
        return Err(nothing_known(&app, &subject));
    }
    change(&app, &caller, order).await?;
    log(&app, &caller, &subject, "remediated", Some(&reason), None);
    answer(&app, subject).await
}

/// Leaves what is held against a user aside for a while.
pub(crate) async fn set_override(
    State(app): Shared,
    Extension(caller): By,
    Params(name): Params<(String, String)>,
    http: HttpRequest,
) -> Answer {
    let user = user(&name)?;
    store(&app)?;
    check_type(&app, &user)?;
    let body: Value = body::read(&app, http).await?;
    let mut fields = Fields::of(body, "", &["until", "reason"]).map_err(problem)?;
    let until = fields.time("until");
    match until {
        None => fields.missing("until"),
        Some(until) if until <= (app.clock)() => fields.fault("until", "is past"),
        Some(_) => {}
    }
    let reason = fields.required_text("reason", LONGEST_REASON);
    fields.end().map_err(problem)?;
    order(&app, &caller, user, until, reason.unwrap_or_default()).await
}

/// Ends that.
pub(crate) async fn end_override(
    State(app): Shared,
    Extension(caller): By,
    Params(name): Params<(String, String)>,
) -> Answer {
    let user = user(&name)?;
    order(&app, &caller, user, None, "ended".to_owned()).await
}

async fn order(
    app: &App,
    caller: &Caller,
    user: EntityRef,
    until: Option<Timestamp>,
    reason: String,
) -> Answer {
    let subject = SubjectKind::User(user.clone());
    let order = Change::Override {
        user,
        until,
        reason: reason.clone(),
        by: caller.name().to_owned(),
    };
    change(app, caller, order).await?;
    let what = match until {
        Some(_) => "overridden",
        None => "override_ended",
    };
    log(app, caller, &subject, what, Some(&reason), until);
    answer(app, subject).await
}

/// Says what is known of a user's account.
pub(crate) async fn account(
    State(app): Shared,
    Extension(caller): By,
    Params(name): Params<(String, String)>,
    http: HttpRequest,
) -> Answer {
    let user = user(&name)?;
    store(&app)?;
    check_type(&app, &user)?;
    let body: Value = body::read(&app, http).await?;
    let mut fields = Fields::of(body, "", &["created", "enrolled"]).map_err(problem)?;
    let created = fields.time("created");
    let enrolled = fields.words("enrolled", &methods(), Method::from_name);
    if created.is_some_and(|created| created > (app.clock)()) {
        fields.fault("created", "is still to come");
    }
    if created.is_none() && enrolled.is_none() && fields.is_clean() {
        fields.whole("give `created`, `enrolled` or both");
    }
    fields.end().map_err(problem)?;
    let subject = SubjectKind::User(user.clone());
    let order = Change::Account {
        user,
        created,
        enrolled: enrolled.map(|methods| methods.into_iter().collect()),
    };
    change(&app, &caller, order).await?;
    log(&app, &caller, &subject, "account_described", None, None);
    answer(&app, subject).await
}

/// Forgets a subject. A revocation and a disabled account are forgotten too.
pub(crate) async fn erase(
    State(app): Shared,
    Extension(caller): By,
    Params(name): Params<(String, String)>,
) -> Answer {
    let subject = subject(&name)?;
    let (store, now) = (store(&app)?, (app.clock)());
    let sought = subject.clone();
    if !blocking(move || is_known(&*store, &sought, now)).await? {
        return Err(nothing_known(&app, &subject));
    }
    let order = Change::Erase {
        subject: subject.clone(),
        by: caller.name().to_owned(),
    };
    change(&app, &caller, order).await?;
    log(&app, &caller, &subject, "erased", None, None);
    reply(json!({"erased": true}))
}

/// What a subject's state is after a change.
async fn answer(app: &App, subject: SubjectKind) -> Answer {
    let bare = named(&subject);
    let known = described(app, subject).await?;
    reply(known.unwrap_or(bare))
}

/// Says in the logs who changed what is held against whom.
pub(super) fn log(
    app: &App,
    caller: &Caller,
    subject: &SubjectKind,
    what: &'static str,
    reason: Option<&str>,
    until: Option<Timestamp>,
) {
    if let Some(log) = &app.audit {
        log.note(SubjectChange {
            caller: caller.name().to_owned(),
            subject: subject.clone(),
            change: what,
            reason: reason.map(str::to_owned),
            until: until.map(|until| until.to_string()),
        });
    }
    let subject = named(subject).to_string();
    tracing::info!(by = caller.name(), subject, what, reason, "subject changed");
}

/// Whether anything is known of a subject.
pub(super) fn is_known(store: &dyn SignalStore, subject: &SubjectKind, now: Timestamp) -> bool {
    store.describe(subject, now).is_some()
}

/// What is known of a subject, with its name.
pub(super) async fn described(app: &App, subject: SubjectKind) -> Result<Option<Value>, Problem> {
    let (store, now) = (store(app)?, (app.clock)());
    let described = blocking(move || {
        let mut known = store.describe(&subject, now)?;
        if let (Value::Object(members), Value::Object(name)) = (&mut known, named(&subject)) {
            members.extend(name);
        }
        Some(known)
    });
    described.await
}

/// `{"type", "id"}`.
fn named(subject: &SubjectKind) -> Value {
    match subject {
        SubjectKind::User(user) => json!({"type": user.type_name(), "id": user.id()}),
        SubjectKind::Session(id) => json!({"type": "session", "id": id}),
        SubjectKind::Device(id) => json!({"type": "device", "id": id}),
        SubjectKind::Ip(ip) => json!({"type": "ip", "id": ip.to_string()}),
    }
}

/// The subject of a path. The words `session`, `device` and `ip` are no entity types here.
fn subject(name: &(String, String)) -> Result<SubjectKind, Problem> {
    let (of, id) = name;
    if id.is_empty() || id.len() > LONGEST_ID {
        return Err(invalid(format!("an id has 1 to {LONGEST_ID} bytes")));
    }
    Ok(match of.as_str() {
        "session" => SubjectKind::Session(id.clone()),
        "device" => SubjectKind::Device(id.clone()),
        "ip" => {
            let ip = id.parse::<IpAddr>();
            let ip = ip.map_err(|_| invalid("the id of an `ip` is an IP address"))?;
            SubjectKind::Ip(ip.to_canonical())
        }
        _ => SubjectKind::User(EntityRef::of(of, id).map_err(|error| invalid(error.to_string()))?),
    })
}

/// The user of a path.
fn user(name: &(String, String)) -> Result<EntityRef, Problem> {
    match subject(name)? {
        SubjectKind::User(user) => Ok(user),
        _ => Err(invalid("this is for principals; give an entity type")),
    }
}
