//! `deodar reload`.

use std::time::Duration;

use serde_json::{Value, json};

use super::args::{Args, Reload};
use super::ask::{Call, Members, send};
use super::client::Server;
use super::output::Output;
use super::{Done, Exit, Failure};

/// How long a server may take to load; millions of entities take their time.
const LOADING: Duration = Duration::from_secs(600);

pub(super) fn run(command: &Reload, args: &Args, output: Output) -> Done {
    let config = args.load_config()?;
    let key = super::client_key(args, &config)?;
    let at = &command.at;
    let server = Server::find(at.url.as_deref(), &config, false, at.ca.as_deref())?;
    let body = json!({"confirm": command.confirm});
    let call = Call {
        wait: LOADING,
        ..Call::new("POST", "/admin/reload", Some(body), "policies:write")
    };
    let (_, answer) = send(&call, &server, key.as_ref())?;
    if output.is_json() {
        output.value(&answer);
    }
    let text = |member: &str| answer.text(member).unwrap_or("unknown");
    let say = |line: String| {
        if !output.is_json() {
            output.line(&line);
        }
    };
    match text("result") {
        "published" => {
            let sequence = answer.get("sequence").and_then(Value::as_u64).unwrap_or(0);
            say(format!(
                "published revision {}, sequence {sequence}",
                text("revision")
            ));
            Ok(Exit::Holds)
        }
        "unchanged" => {
            say("unchanged".to_owned());
            Ok(Exit::Holds)
        }
        "held" => {
            say(format!(
                "held back: {}; repeat with --confirm if it is meant",
                text("reason")
            ));
            Ok(Exit::DoesNotHold)
        }
        "faulty" => {
            for fault in answer.items("faults") {
                let line = fault.get("line").and_then(Value::as_u64);
                let place = fault.text("file").map(|file| match line {
                    Some(line) => format!("{file}:{line}: "),
                    None => format!("{file}: "),
                });
                say(format!(
                    "{}{}",
                    place.unwrap_or_default(),
                    fault.text("message").unwrap_or_default()
                ));
            }
            Ok(Exit::Invalid)
        }
        _ => Err(Failure::CouldNotRun(format!(
            "{} answers: {}",
            server.base,
            text("detail")
        ))),
    }
}
