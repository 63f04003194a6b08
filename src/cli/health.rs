//! `deodar health`.

use std::time::Duration;

use serde_json::Value;

use super::args::{Args, ServerArgs};
use super::ask::Members;
use super::client::Server;
use super::output::Output;
use super::{Done, Exit};

/// How long a probe may take.
const PROBE: Duration = Duration::from_secs(5);
pub(super) fn run(command: &ServerArgs, args: &Args, output: Output) -> Done {
    let config = args.load_config()?;
    let server = Server::find(command.url.as_deref(), &config, true, command.ca.as_deref())?;
    let (status, body) = server.ask(PROBE, |agent| {
        agent.get(format!("{}/readyz", server.base)).call()
    })?;
    if output.is_json() {
        output.value(&body);
    } else {
        let text = |member: &str| body.text(member).unwrap_or("unknown");
        output.line(text("status"));
        if let Some(sequence) = body.get("sequence").and_then(Value::as_u64) {
            output.line(&format!(
                "  revision {}, sequence {sequence}",
                text("revision")
            ));
        }
        for reason in body.items("reasons").filter_map(Value::as_str) {
            output.line(&format!("  {reason}"));
        }
        for key in body.items("restartNeeded").filter_map(Value::as_str) {
            output.line(&format!("  `{key}` has changed: restart needed"));
        }
    }
    Ok(if status == 200 {
        Exit::Holds
    } else {
        Exit::DoesNotHold
    })
}
