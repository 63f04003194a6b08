//! `deodar webhooks`: through a running server.

use std::time::Duration;

use serde_json::{Value, json};

use super::args::{Args, Remote, WebhooksCommand};
use super::ask::{Call, Members, ask};
use super::output::Output;
use super::{Done, Exit, Failure};

/// How long a server may take: a test waits for the receiver.
const WAITING: Duration = Duration::from_secs(90);

pub(super) fn run(command: &Remote<WebhooksCommand>, args: &Args, output: Output) -> Done {
    let call = request(&command.command)?;
    let answer = ask(&call, command.server.as_deref(), args)?.done()?;
    if output.is_json() {
        output.value(&answer);
    } else {
        show(&command.command, &answer, output)?;
    }
    let delivered = answer.get("delivered").and_then(Value::as_bool);
    match (&command.command, delivered) {
        (WebhooksCommand::Test { .. }, Some(false)) => Ok(Exit::DoesNotHold),
        _ => Ok(Exit::Holds),
    }
}

fn request(command: &WebhooksCommand) -> Result<Call, Failure> {
    let ask = |method, path: String, body| {
        Ok(Call {
            wait: WAITING,
            ..Call::new(method, path, body, "webhooks:write")
        })
    };
    let named =
        |name: &str, rest: &str| in_path(name).map(|name| format!("/webhooks/{name}{rest}"));
    match command {
        WebhooksCommand::List => ask("GET", "/webhooks".to_owned(), None),
        WebhooksCommand::Add {
            name,
            url,
            events,
            min_severity,
        } => {
            let body = json!({
                "name": name,
                "url": url,
                "events": events,
                "minSeverity": min_severity,
            });
            ask("POST", "/webhooks".to_owned(), Some(body))
        }
        WebhooksCommand::Rotate { name } => ask("POST", named(name, "/rotate")?, None),
        WebhooksCommand::Test { name } => ask("POST", named(name, "/test")?, None),
        WebhooksCommand::Remove { name } => ask("DELETE", named(name, "")?, None),
        WebhooksCommand::Dead { limit } => {
            ask("GET", format!("/webhooks/dead?limit={limit}"), None)
        }
        WebhooksCommand::Replay { id, all, webhook } => {
            let mut body = if *all {
                json!({ "all": true })
            } else {
                json!({ "ids": id })
            };
            if let (Some(webhook), Some(members)) = (webhook, body.as_object_mut()) {
                members.insert("webhook".to_owned(), webhook.as_str().into());
            }
            ask("POST", "/webhooks/dead/replay".to_owned(), Some(body))
        }
    }
}

fn show(command: &WebhooksCommand, answer: &Value, output: Output) -> Result<(), Failure> {
    let text = |member: &str| answer.text(member);
    match command {
        WebhooksCommand::List => list(answer, output),
        WebhooksCommand::Add { .. } | WebhooksCommand::Rotate { .. } => {
            // Alone on standard output, so that it can be piped to where it belongs.
            let secret = text("secret").ok_or_else(|| {
                Failure::CouldNotRun("the server has answered without a secret".to_owned())
            })?;
            output.note(&format!(
                "the secret of the webhook `{}`, which is not shown again:",
                text("name").unwrap_or_default()
            ));
            output.line(secret);
        }
        WebhooksCommand::Test { name } => match text("error") {
            None => output.note(&format!("delivered to `{name}`")),
            Some(error) => output.note(&format!("not delivered to `{name}`: {error}")),
        },
        WebhooksCommand::Remove { name } => {
            output.note(&format!("the webhook `{name}` is removed"));
        }
        WebhooksCommand::Dead { .. } => dead(answer, output),
        WebhooksCommand::Replay { .. } => replayed(answer, output),
    }
    Ok(())
}

fn list(answer: &Value, output: Output) {
    for webhook in answer.items("webhooks") {
        let text = |member: &str| webhook.text(member);
        let figures = webhook.get("statistics");
        let figure = |member: &str| {
            let figure = figures.and_then(|figures| figures.get(member));
            figure.and_then(Value::as_u64).unwrap_or(0)
        };
        let mut line = format!(
            "{}  {}  delivered {}  failed {}  pending {}  dead {}",
            text("name").unwrap_or_default(),
            text("url").unwrap_or_default(),
            figure("delivered"),
            figure("failed"),
            figure("pending"),
            figure("dead"),
        );
        let error = figures.and_then(|figures| figures.get("lastError"));
        let disabled = webhook.get("disabled").and_then(|d| d.get("reason"));
        for (what, value) in [
            ("disabled", disabled),
            ("last error", error),
            ("secret", webhook.get("secretError")),
        ] {
            if let Some(value) = value.and_then(Value::as_str) {
                line.push_str(&format!("  {what}: {value}"));
            }
        }
        output.line(&line);
    }
}

fn dead(answer: &Value, output: Output) {
    if answer.get("kept").and_then(Value::as_bool) == Some(false) {
        output.note(
            "dead letters are not kept: set `state.dir` or `webhook_delivery.dead_letter_file`",
        );
    }
    for letter in answer.items("dead") {
        let text = |member: &str| letter.text(member);
        output.line(&format!(
            "{}  {}  {}  {}  {}",
            text("id").unwrap_or_default(),
            text("webhook").unwrap_or_default(),
            text("event").unwrap_or_default(),
            text("died").unwrap_or_default(),
            text("lastError").unwrap_or_default()
        ));
    }
}

fn replayed(answer: &Value, output: Output) {
    let replayed = answer.get("replayed").and_then(Value::as_u64);
    output.note(&format!("{} are sent again", replayed.unwrap_or(0)));
    for letter in answer.items("left") {
        let text = |member: &str| letter.text(member);
        output.line(&format!(
            "{}  {}  stays: {}",
            text("id").unwrap_or_default(),
            text("webhook").unwrap_or_default(),
            text("reason").unwrap_or_default()
        ));
    }
}

/// A name as it may stand in a path: those of webhooks need no escape.
fn in_path(name: &str) -> Result<&str, Failure> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !name.is_empty() && name.bytes().all(plain) {
        return Ok(name);
    }
    let message = format!(
        "`{}` is not a name of a webhook; `deodar webhooks list` shows them",
        name.escape_debug()
    );
    Err(Failure::CouldNotRun(message))
}
