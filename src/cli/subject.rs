//! `deodar subject`: what a running server knows of a user, a session, a device or an address, and the
//! ways back.

use serde_json::{Value, json};

use super::args::{Args, Remote, SubjectCommand};
use super::ask::{Call, Members, ask};
use super::output::Output;
use super::{Done, Exit, Failure};
use crate::base::entity_ref::EntityRef;
use crate::base::timestamp::Timestamp;
use crate::service::net::fetch::form_encoded;

pub(super) fn run(command: &Remote<SubjectCommand>, args: &Args, output: Output) -> Done {
    let call = call(&command.command, Timestamp::now())?;
    let answer = ask(&call, command.server.as_deref(), args)?;
    let Some(answer) = answer.found(output) else {
        return Ok(Exit::DoesNotHold);
    };
    if output.is_json() {
        output.value(&answer);
        return Ok(Exit::Holds);
    }
    match &command.command {
        SubjectCommand::List { .. } => list(&answer, output),
        SubjectCommand::Show { verbose, .. } => show(&answer, *verbose, output),
        SubjectCommand::Remediate { subject, .. } => {
            output.note(&format!(
                "findings, lock-outs, blocks and reported risk of {subject} are ended; a revoked session stays \
                 revoked, and a disabled account disabled"
            ));
        }
        SubjectCommand::Override {
            subject, end: true, ..
        } => {
            output.note(&format!("the override of {subject} is ended"));
        }
        SubjectCommand::Override { subject, .. } => {
            output.note(&format!("what is held against {subject} is left aside"));
        }
        SubjectCommand::Erase { subject } => output.note(&format!("{subject} is forgotten")),
    }
    Ok(Exit::Holds)
}

fn scope(command: &SubjectCommand) -> &'static str {
    match command {
        SubjectCommand::Show { .. } | SubjectCommand::List { .. } => "subjects:read",
        _ => "subjects:write",
    }
}

/// What is asked of the server.
fn call(command: &SubjectCommand, now: Timestamp) -> Result<Call, Failure> {
    let (method, path, body) = match command {
        SubjectCommand::List { limit } => ("GET", format!("/subjects?limit={limit}"), None),
        SubjectCommand::Show { subject, .. } => ("GET", path(subject)?, None),
        SubjectCommand::Remediate { subject, reason } => {
            let path = format!("{}/remediate", path(subject)?);
            ("POST", path, Some(json!({ "reason": reason })))
        }
        SubjectCommand::Override {
            subject, end: true, ..
        } => ("DELETE", format!("{}/override", path(subject)?), None),
        SubjectCommand::Override {
            subject,
            for_time,
            until,
            reason,
            ..
        } => {
            let path = format!("{}/override", path(subject)?);
            let until = match (until, for_time) {
                (Some(until), _) => until.clone(),
                (None, Some(text)) => after(now, text)?,
                (None, None) => {
                    let message = "say how long: --for 2h, --until a date and time, or --end";
                    return Err(Failure::CouldNotRun(message.to_owned()));
                }
            };
            let body = json!({"until": until, "reason": reason});
            ("POST", path, Some(body))
        }
        SubjectCommand::Erase { subject } => ("DELETE", path(subject)?, None),
    };
    Ok(Call::new(method, path, body, scope(command)))
}

fn after(now: Timestamp, text: &str) -> Result<String, Failure> {
    let time = humantime::parse_duration(text).map_err(|_| {
        let message = format!("expected a duration such as 30m or 2h, found `{text}`");
        Failure::CouldNotRun(message)
    })?;
    let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let end = now.as_millis().saturating_add(millis);
    Ok(Timestamp::from_millis(end).to_string())
}

/// The path of a subject: `User::"alice"`, `User/alice`, `session/ID`, `device/ID` or `ip/ADDRESS`.
fn path(subject: &str) -> Result<String, Failure> {
    let entity: Result<EntityRef, _> = subject.parse();
    let (of, id) = match (&entity, subject.split_once('/')) {
        (Ok(entity), _) => (entity.type_name(), entity.id()),
        (Err(_), Some((of, id))) if !of.is_empty() && !id.is_empty() => (of, id),
        (Err(_), _) => {
            let message = format!(
                "`{}` is not a subject: write User::\"alice\", session/ID, device/ID or ip/ADDRESS",
                subject.escape_debug()
            );
            return Err(Failure::CouldNotRun(message));
        }
    };
    Ok(format!(
        "/subjects/{}/{}",
        form_encoded(of),
        form_encoded(id)
    ))
}

fn list(answer: &Value, output: Output) {
    for subject in answer.items("subjects") {
        let (of, id) = (subject.text("type"), subject.text("id"));
        let id = id.unwrap_or_default().escape_debug();
        output.line(&format!("{}/{id}", of.unwrap_or_default()));
    }
    if answer.get("more").and_then(Value::as_bool) == Some(true) {
        output.note("there are more; give a higher --limit");
    }
}

/// Prints what is held against a subject, and all that is known of it where `verbose`.
pub(super) fn show(answer: &Value, verbose: bool, output: Output) {
    let mut text = super::held::summary(answer);
    if verbose {
        text.push('\n');
        lines(answer, 0, &mut text);
    } else {
        text.push_str("--verbose prints everything that is known\n");
    }
    output.text(&text);
}

/// Deepest nesting that is shown.
const DEEPEST: usize = 16;

fn lines(value: &Value, depth: usize, text: &mut String) {
    let margin = "  ".repeat(depth);
    let mut entry = |name: &str, value: &Value| match value {
        Value::Object(_) | Value::Array(_) if is_empty(value) => {
            text.push_str(&format!("{margin}{name}: none\n"));
        }
        Value::Object(_) | Value::Array(_) if depth < DEEPEST => {
            text.push_str(&format!("{margin}{name}:\n"));
            lines(value, depth + 1, text);
        }
        Value::String(inner) => {
            text.push_str(&format!("{margin}{name}: {}\n", inner.escape_debug()));
        }
        other => text.push_str(&format!("{margin}{name}: {other}\n")),
    };
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                entry(&name.escape_debug().to_string(), value);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                entry(&format!("{}", at + 1), item);
            }
        }
        other => entry("value", other),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(subject: &str, expect: &str) {
        assert_eq!(path(subject).unwrap(), expect);
    }

    #[test]
    fn subjects_are_written_as_paths() {
        check("User::\"alice\"", "/subjects/User/alice");
        check(
            "Acme::User::\"a b/c\"",
            "/subjects/Acme%3A%3AUser/a%20b%2Fc",
        );
        check("User/alice", "/subjects/User/alice");
        check("session/s/1", "/subjects/session/s%2F1");
        check("ip/2001:db8::1", "/subjects/ip/2001%3Adb8%3A%3A1");
        for bad in ["alice", "", "User/", "/x", "User::alice"] {
            assert!(path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_override_has_an_end() {
        let of = |for_time: Option<&str>, until: Option<&str>, end| SubjectCommand::Override {
            subject: "User/alice".to_owned(),
            for_time: for_time.map(str::to_owned),
            until: until.map(str::to_owned),
            reason: Some("travels".to_owned()),
            end,
        };
        let now = "2026-03-10T10:00:00Z".parse().unwrap();
        let asked = call(&of(Some("2h"), None, false), now).unwrap();
        assert_eq!(
            (asked.method, asked.path.as_str()),
            ("POST", "/subjects/User/alice/override")
        );
        assert_eq!(
            asked.body.unwrap(),
            json!({"until": "2026-03-10T12:00:00.000Z", "reason": "travels"})
        );
        let asked = call(&of(None, None, true), now).unwrap();
        assert_eq!((asked.method, asked.body), ("DELETE", None));
        assert!(call(&of(None, None, false), now).is_err());
        assert!(call(&of(Some("soon"), None, false), now).is_err());
    }

    #[test]
    fn what_is_known_is_shown_line_by_line() {
        let known = json!({
            "type": "User", "id": "a\nb",
            "findings": [{"kind": "correlated", "risk": 0.5}], "devices": [],
        });
        let mut text = String::new();
        lines(&known, 0, &mut text);
        for line in [
            "id: a\\nb",
            "devices: none",
            "findings:",
            "  1:",
            "    kind: correlated",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }
}
