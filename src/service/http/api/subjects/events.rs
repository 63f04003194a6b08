//! `POST /events`: security events, one or many, each answered separately.

use axum::Json;
use axum::extract::{Extension, Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::fields::problem;
use super::types::unknown_type;
use super::{event, store};
use crate::base::caller::Scope;
use crate::base::entity_ref::EntityRef;
use crate::base::json::{InputFault, MAX_FAULTS, kind, shown};
use crate::service::http::api::body;
use crate::service::http::api::body::{Answer, By, Shared, blocking};
use crate::service::http::observe::metrics::EventResult;
use crate::service::http::problem::Problem;
use crate::trust::subjects::{ChangeError, Event, EventAnswer};

/// Most events of one request.
const MOST: usize = 1_000;

/// Takes events. The caller is their source: nobody reports in another's name.
pub(crate) async fn report(State(app): Shared, Extension(caller): By, http: HttpRequest) -> Answer {
    let store = store(&app)?;
    let body: Value = body::read(&app, http).await?;
    let unknown = |user: &EntityRef| unknown_type(&app, user);
    let read = read(body, caller.name(), &unknown).map_err(|faults| {
        app.metrics.event(None, EventResult::Refused);
        problem(faults)
    })?;
    let (mut results, mut places, mut events) = (Vec::new(), Vec::new(), Vec::new());
    for one in read {
        match one {
            Ok(event) => {
                let kind = event.kind.event_type();
                let lacking = event.kind.scope().filter(|scope| !caller.has(*scope));
                if let Some(scope) = lacking {
                    app.metrics.event(Some(kind), EventResult::Refused);
                    results.push(beyond(&event, kind.name(), scope));
                    continue;
                }
                places.push((results.len(), kind));
                results.push(json!({ "id": event.id }));
                events.push(event);
            }
            Err(refused) => {
                app.metrics.event(None, EventResult::Refused);
                results.push(refused);
            }
        }
    }
    let now = (app.clock)();
    let answers = match events.is_empty() {
        true => Vec::new(),
        false => blocking(move || store.report(events, now)).await?,
    };
    let mut unkept = Unkept::default();
    // A store that answers fewer than it was asked has not taken the rest.
    let missing = std::iter::repeat_with(|| {
        EventAnswer::Refused(ChangeError::State("the store has not answered".to_owned()))
    });
    for ((place, kind), answer) in places.into_iter().zip(answers.into_iter().chain(missing)) {
        let (result, shown) = unkept.note(answer);
        app.metrics.event(Some(kind), result);
        if let Some(Value::Object(members)) = results.get_mut(place) {
            members.extend(shown);
        }
    }
    unkept.check()?;
    let body = json!({ "results": results });
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

/// The answer to an event that its caller may not report.
fn beyond(event: &Event, kind: &str, scope: Scope) -> Value {
    let scope = scope.name();
    let detail = format!("this `{kind}` can better a state; it takes the scope `{scope}` too");
    json!({
        "id": event.id, "status": EventResult::Refused.status(), "code": "scope_required",
        "detail": detail,
    })
}

/// Says what is wrong with the type of a user, if anything is.
type Unknown<'a> = dyn Fn(&EntityRef) -> Option<String> + 'a;

/// Reads one event, whose user must be of a known type.
fn read_one(
    value: Value,
    at: &str,
    source: &str,
    unknown: &Unknown<'_>,
) -> Result<Event, Vec<InputFault>> {
    let event = event::read(value, at, source)?;
    match event.subject.user.as_ref().and_then(unknown) {
        Some(detail) => Err(vec![InputFault::new(format!("{at}/subject/user"), detail)]),
        None => Ok(event),
    }
}

/// The events of a body, or the answers to those that cannot be read.
type Read = Vec<Result<Event, Value>>;

/// Reads a body: an event, or `{"events": [..]}`. Faults of one event among several are answered in its
/// place; those of a single one are those of the request.
///
/// `unknown` says what is wrong with the type of a user.
fn read(body: Value, source: &str, unknown: &Unknown<'_>) -> Result<Read, Vec<InputFault>> {
    let Value::Object(mut members) = body else {
        let detail = format!("expected an object, found {}", kind(&body));
        return Err(vec![InputFault::new("", detail)]);
    };
    let Some(events) = members.remove("events") else {
        return read_one(members.into(), "", source, unknown).map(|event| vec![Ok(event)]);
    };
    let mut faults = Vec::new();
    for name in members.keys().take(MAX_FAULTS) {
        let detail = "stands beside `events`; put it into each event, or leave `events` out";
        let place = crate::base::json::pointer("", &shown(name));
        faults.push(InputFault::new(place, detail));
    }
    let events = match events {
        Value::Array(events) if events.is_empty() => {
            faults.push(InputFault::new("/events", "is empty"));
            events
        }
        Value::Array(events) if events.len() > MOST => {
            let detail = format!("{} events, at most {MOST} are taken", events.len());
            faults.push(InputFault::new("/events", detail));
            events
        }
        Value::Array(events) => events,
        other => {
            let detail = format!("expected an array, found {}", kind(&other));
            faults.push(InputFault::new("/events", detail));
            Vec::new()
        }
    };
    if !faults.is_empty() {
        return Err(faults);
    }
    let read = events.into_iter().enumerate().map(|(at, value)| {
        let id = value.get("id").and_then(Value::as_str).map(shown);
        read_one(value, &format!("/events/{at}"), source, unknown).map_err(|faults| {
            let detail = match faults.as_slice() {
                [one] => one.to_string(),
                many => format!("the event has {} faults", many.len()),
            };
            let errors = faults.iter();
            let errors = errors.map(|f| json!({"pointer": f.pointer, "detail": f.detail}));
            json!({
                "id": id, "status": "refused", "code": "invalid_request", "detail": detail,
                "errors": errors.collect::<Vec<_>>(),
            })
        })
    });
    Ok(read.collect())
}

/// What the store could not keep. Only where it kept nothing at all, the whole is to be sent again.
#[derive(Default)]
struct Unkept {
    answered: usize,
    failed: Option<ChangeError>,
}

impl Unkept {
    fn note(&mut self, answer: EventAnswer) -> (EventResult, serde_json::Map<String, Value>) {
        let (result, code, detail) = match answer {
            EventAnswer::Accepted => (EventResult::Accepted, None, None),
            EventAnswer::Duplicate => (EventResult::Duplicate, None, None),
            EventAnswer::Refused(ChangeError::Refused { code, message }) => {
                (EventResult::Refused, Some(code), Some(message))
            }
            EventAnswer::Refused(error) => {
                let (code, detail) = match &error {
                    ChangeError::Full(_) | ChangeError::Share(_) => {
                        ("signals_full", error.to_string())
                    }
                    _ => {
                        let detail =
                            "the event could not be made durable and has no effect; send it again";
                        ("signals_not_kept", detail.to_owned())
                    }
                };
                self.failed.get_or_insert(error);
                (EventResult::NotKept, Some(code), Some(detail))
            }
        };
        self.answered += usize::from(result != EventResult::NotKept);
        let mut shown = serde_json::Map::new();
        let members = [
            ("status", Some(result.status().to_owned())),
            ("code", code.map(str::to_owned)),
            ("detail", detail),
        ];
        for (name, value) in members {
            if let Some(value) = value {
                shown.insert(name.to_owned(), value.into());
            }
        }
        (result, shown)
    }

    fn check(self) -> Result<(), Problem> {
        let Some(error) = self.failed else {
            return Ok(());
        };
        tracing::error!(%error, "events could not be kept");
        if self.answered > 0 {
            return Ok(());
        }
        let code = match &error {
            ChangeError::Full(_) | ChangeError::Share(_) => "signals_full",
            _ => "signals_not_kept",
        };
        let detail = match &error {
            ChangeError::State(_) => {
                "no event could be made durable, and none has an effect; send them again later"
                    .to_owned()
            }
            full => format!("no event could be kept: {full}"),
        };
        Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after(5))
    }
}
