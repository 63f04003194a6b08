//! `deodar events`, `deodar devices` and `deodar assurance`: what is reported to a running server.

use std::io::ErrorKind;
use std::path::Path;

use serde_json::{Value, json};
use uuid::Uuid;

use super::args::{Args, AssuranceCommand, DevicesCommand, EventsCommand, Remote};
use super::ask::{Call, Members, ask};
use super::output::Output;
use super::{Done, Exit, Failure, subject};
use crate::base::files;
use crate::base::timestamp::Timestamp;
use crate::service::net::fetch::form_encoded;

/// Longest file of events that is sent.
const LONGEST: u64 = 16 << 20;

pub(super) fn events(command: &Remote<EventsCommand>, args: &Args, output: Output) -> Done {
    let EventsCommand::Send(event) = &command.command;
    let body = match &event.file {
        Some(file) => read(file)?,
        None => {
            let Some(kind) = &event.kind else {
                let message =
                    "say what happened: --type auth.login_failed and so on, or a file of JSON";
                return Err(Failure::CouldNotRun(message.to_owned()));
            };
            let id = event.id.clone();
            let at = event.at.clone();
            let data = event.data.as_deref();
            given(json!({
                "id": id.unwrap_or_else(|| Uuid::now_v7().to_string()),
                "type": kind,
                "timestamp": at.unwrap_or_else(|| Timestamp::now().to_string()),
                "severity": event.severity,
                "subject": given(json!({
                    "user": event.user, "ip": event.ip, "session": event.session, "device": event.device,
                })),
                "data": data.map(|data| text_as_json("--data", data)).transpose()?,
            }))
        }
    };
    let call = Call::new("POST", "/events", Some(body), "events");
    let answer = ask(&call, command.server.as_deref(), args)?.done()?;
    if output.is_json() {
        output.value(&answer);
    } else {
        for result in answer.items("results") {
            let word = |member: &str| result.text(member);
            let detail = word("detail").map(|detail| format!(": {detail}"));
            output.line(&format!(
                "{} {}{}",
                word("id").unwrap_or("-").escape_debug(),
                word("status").unwrap_or("-"),
                detail.unwrap_or_default(),
            ));
        }
    }
    let kept = |result: &Value| matches!(result.text("status"), Some("accepted" | "duplicate"));
    Ok(match answer.items("results").all(kept) {
        true => Exit::Holds,
        false => Exit::DoesNotHold,
    })
}

pub(super) fn devices(command: &Remote<DevicesCommand>, args: &Args, output: Output) -> Done {
    let path = |id: &str| format!("/devices/{}", form_encoded(id));
    let (call, done) = match &command.command {
        DevicesCommand::Register(device) => {
            let looked = device.no_indicators || !device.indicators.is_empty();
            let body = given(json!({
                "id": device.id,
                "user": device.user,
                "trust": device.trust,
                "lastScan": device.last_scan,
                "jailbroken": device.jailbroken,
                "currentOs": device.current_os,
                "managed": device.managed,
                "certificate": device.certificate,
                "compliant": device.compliant,
                "indicators": looked.then_some(&device.indicators),
            }));
            let call = Call::new("POST", "/devices", Some(body), "devices:write");
            (call, format!("device {} is kept", device.id.escape_debug()))
        }
        DevicesCommand::Show { id, .. } => {
            let call = Call::new("GET", path(id), None, "subjects:read");
            (call, String::new())
        }
        DevicesCommand::Remove { id } => {
            let call = Call::new("DELETE", path(id), None, "devices:write");
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

pub(super) fn assurance(command: &Remote<AssuranceCommand>, args: &Args, output: Output) -> Done {
    let AssuranceCommand::Record(record) = &command.command;
    let body = given(json!({
        "session": record.session,
        "user": record.user,
        "method": record.method,
        "acr": record.acr,
        "at": record.at,
        "expires": record.expires,
        "level": record.level,
        "userVerified": record.user_verified.then_some(true),
    }));
    let call = Call::new("POST", "/assurance", Some(body), "assurance:write");
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

/// The members that are given: none that is null.
fn given(mut body: Value) -> Value {
    if let Some(members) = body.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    body
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
