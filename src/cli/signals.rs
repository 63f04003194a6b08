//! `deodar events`, `deodar devices` and `deodar assurance`: what is reported to a running server.

use std::io::ErrorKind;
use std::path::Path;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::args::{
    Args, Assurance, AssuranceCommand, Devices, DevicesCommand, Events, EventsCommand,
};
use super::ask::{CHANGING, Call, ask};
use super::output::Output;
use super::{Done, Exit, Failure, subject};
use crate::base::files;
use crate::base::timestamp::Timestamp;
use crate::service::net::fetch::form_encoded;

/// Longest file of events that is sent.
const LONGEST: u64 = 16 << 20;

pub(super) fn events(command: &Events, args: &Args, output: Output) -> Done {
    let EventsCommand::Send(event) = &command.command;
    let body = match &event.file {
        Some(file) => read(file)?,
        None => {
            let Some(kind) = &event.kind else {
                let message =
                    "say what happened: --type auth.login_failed and so on, or a file of JSON";
                return Err(Failure::CouldNotRun(message.to_owned()));
            };
            let mut subject = Map::new();
            put(&mut subject, "user", event.user.as_deref());
            put(&mut subject, "ip", event.ip.as_deref());
            put(&mut subject, "session", event.session.as_deref());
            put(&mut subject, "device", event.device.as_deref());
            let mut body = Map::new();
            let made = Uuid::now_v7().to_string();
            let id = event.id.clone().unwrap_or(made);
            let now = Timestamp::now().to_string();
            put(&mut body, "id", Some(&id));
            put(&mut body, "type", Some(kind));
            put(
                &mut body,
                "timestamp",
                Some(event.at.as_ref().unwrap_or(&now)),
            );
            put(&mut body, "severity", event.severity.as_deref());
            body.insert("subject".to_owned(), subject.into());
            if let Some(data) = &event.data {
                body.insert("data".to_owned(), text_as_json("--data", data)?);
            }
            Value::Object(body)
        }
    };
    let call = Call {
        method: "POST",
        path: "/events".to_owned(),
        body: Some(body),
        scope: "events",
        wait: CHANGING,
    };
    let answer = ask(&call, command.server.as_deref(), args)?.done()?;
    let results = answer.get("results").and_then(Value::as_array);
    let results = results.map(Vec::as_slice).unwrap_or_default();
    if output.is_json() {
        output.value(&answer);
    } else {
        for result in results {
            let word = |member: &str| result.get(member).and_then(Value::as_str);
            let detail = word("detail").map(|detail| format!(": {detail}"));
            output.line(&format!(
                "{} {}{}",
                word("id").unwrap_or("-").escape_debug(),
                word("status").unwrap_or("-"),
                detail.unwrap_or_default(),
            ));
        }
    }
    let kept = |result: &Value| {
        let status = result.get("status").and_then(Value::as_str);
        matches!(status, Some("accepted" | "duplicate"))
    };
    Ok(match results.iter().all(kept) {
        true => Exit::Holds,
        false => Exit::DoesNotHold,
    })
}

pub(super) fn devices(command: &Devices, args: &Args, output: Output) -> Done {
    let path = |id: &str| format!("/devices/{}", form_encoded(id));
    let (call, done) = match &command.command {
        DevicesCommand::Register(device) => {
            let mut body = Map::new();
            put(&mut body, "id", Some(&device.id));
            put(&mut body, "user", device.user.as_deref());
            put(&mut body, "trust", device.trust.as_deref());
            put(&mut body, "lastScan", device.last_scan.as_deref());
            for (name, said) in [
                ("jailbroken", device.jailbroken),
                ("currentOs", device.current_os),
                ("managed", device.managed),
                ("certificate", device.certificate),
                ("compliant", device.compliant),
            ] {
                if let Some(said) = said {
                    body.insert(name.to_owned(), said.into());
                }
            }
            if device.no_indicators || !device.indicators.is_empty() {
                body.insert("indicators".to_owned(), json!(device.indicators));
            }
            let call = Call {
                method: "POST",
                path: "/devices".to_owned(),
                body: Some(body.into()),
                scope: "devices:write",
                wait: CHANGING,
            };
            (call, format!("device {} is kept", device.id.escape_debug()))
        }
        DevicesCommand::Show { id, .. } => {
            let call = Call {
                method: "GET",
                path: path(id),
                body: None,
                scope: "subjects:read",
                wait: CHANGING,
            };
            (call, String::new())
        }
        DevicesCommand::Remove { id } => {
            let call = Call {
                method: "DELETE",
                path: path(id),
                body: None,
                scope: "devices:write",
                wait: CHANGING,
            };
            (
                call,
                format!("device {} is registered to nobody", id.escape_debug()),
            )
        }
    };
    let answer = ask(&call, command.server.as_deref(), args)?;
    let Some(answer) = answer.found(output) else {
        return Ok(Exit::DoesNotHold);
    };
    match &command.command {
        _ if output.is_json() => output.value(&answer),
        DevicesCommand::Show { verbose, .. } => subject::show(&answer, *verbose, output),
        _ => output.note(&done),
    }
    Ok(Exit::Holds)
}

pub(super) fn assurance(command: &Assurance, args: &Args, output: Output) -> Done {
    let AssuranceCommand::Record(record) = &command.command;
    let mut body = Map::new();
    put(&mut body, "session", Some(&record.session));
    put(&mut body, "user", Some(&record.user));
    put(&mut body, "method", record.method.as_deref());
    put(&mut body, "acr", record.acr.as_deref());
    put(&mut body, "at", record.at.as_deref());
    put(&mut body, "expires", record.expires.as_deref());
    if let Some(level) = record.level {
        body.insert("level".to_owned(), level.into());
    }
    if record.user_verified {
        body.insert("userVerified".to_owned(), true.into());
    }
    let call = Call {
        method: "POST",
        path: "/assurance".to_owned(),
        body: Some(body.into()),
        scope: "assurance:write",
        wait: CHANGING,
    };
    let answer = ask(&call, command.server.as_deref(), args)?.done()?;
    if output.is_json() {
        output.value(&answer);
    } else {
        output.note(&format!(
            "the authentication of session {} is recorded",
            record.session.escape_debug()
        ));
    }
    Ok(Exit::Holds)
}

fn put(members: &mut Map<String, Value>, name: &str, text: Option<&str>) {
    if let Some(text) = text {
        members.insert(name.to_owned(), text.into());
    }
}

/// The JSON of a file, or of standard input for `-`.
fn read(file: &Path) -> Result<Value, Failure> {
    let name = format!("`{}`", file.display());
    let read = match file.as_os_str() == "-" {
        true => files::read_stream(std::io::stdin(), LONGEST),
        false => files::read(file, LONGEST),
    };
    let text = read.and_then(files::text);
    let text = text.map_err(|error| {
        let help = match error.kind() {
            ErrorKind::FileTooLarge => "; send it in parts",
            _ => "",
        };
        Failure::CouldNotRun(format!("{name}: {error}{help}"))
    })?;
    text_as_json(&name, &text)
}

fn text_as_json(name: &str, text: &str) -> Result<Value, Failure> {
    let wrong = |error| Failure::CouldNotRun(format!("{name} is not JSON: {error}"));
    serde_json::from_str(text).map_err(wrong)
}
