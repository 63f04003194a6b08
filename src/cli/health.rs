//! `deodar health` and what commands share that talk to a server.

use std::time::Duration;

use serde_json::Value;

use super::args::{Args, Health};
use super::output::Output;
use super::{Done, Exit, Failure};
use crate::config::Config;

/// How long making a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a probe may take.
const PROBE: Duration = Duration::from_secs(5);
/// Longest answer of a server that is read.
const LONGEST: u64 = 16 << 20;

pub(super) fn run(command: &Health, args: &Args, output: Output) -> Done {
    let config = args.load_config()?;
    let base = base(command.url.as_deref(), &config, true);
    let (status, body) = ask(&base, PROBE, |agent| {
        agent.get(format!("{base}/readyz")).call()
    })?;
    if output.is_json() {
        output.value(&body);
    } else {
        let text = |member: &str| {
            body.get(member)
                .and_then(Value::as_str)
                .unwrap_or("unknown")
        };
        output.line(text("status"));
        if let Some(sequence) = body.get("sequence").and_then(Value::as_u64) {
            output.line(&format!(
                "  revision {}, sequence {sequence}",
                text("revision")
            ));
        }
        let reasons = body.get("reasons").and_then(Value::as_array);
        for reason in reasons.into_iter().flatten().filter_map(Value::as_str) {
            output.line(&format!("  {reason}"));
        }
        let keys = body.get("restartNeeded").and_then(Value::as_array);
        for key in keys.into_iter().flatten().filter_map(Value::as_str) {
            output.line(&format!("  `{key}` has changed: restart needed"));
        }
    }
    Ok(if status == 200 {
        Exit::Holds
    } else {
        Exit::DoesNotHold
    })
}

/// The server's address without a path: as given, or as configured.
pub(super) fn base(url: Option<&str>, config: &Config, probe: bool) -> String {
    match url {
        Some(url) => {
            let url = url.trim_end_matches('/');
            let url = url.strip_suffix("/readyz").unwrap_or(url);
            if url.contains("://") {
                url.to_owned()
            } else {
                format!("http://{url}")
            }
        }
        None => {
            let ops = config.server.ops_listen.filter(|_| probe);
            let mut address = ops.unwrap_or(config.server.listen);
            if address.ip().is_unspecified() {
                address.set_ip(match address.ip() {
                    std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                    std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
                });
            }
            format!("http://{address}")
        }
    }
}

/// Asks a server; its status and its JSON answer.
pub(super) fn ask(
    base: &str,
    timeout: Duration,
    call: impl FnOnce(&ureq::Agent) -> Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<(u16, Value), Failure> {
    if base.starts_with("https://") {
        let message = "this version speaks to servers over http:// only".to_owned();
        return Err(Failure::CouldNotRun(message));
    }
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT))
        .timeout_global(Some(timeout))
        .build()
        .into();
    let mut response = call(&agent).map_err(|error| {
        Failure::CouldNotRun(match error {
            ureq::Error::Timeout(ureq::Timeout::Global) => {
                format!("{base} has not answered within {timeout:?}; what came of it is unknown")
            }
            error => format!("no answer from {base}: {error}; is `deodar serve` running?"),
        })
    })?;
    let status = response.status().as_u16();
    let text = response
        .body_mut()
        .with_config()
        .limit(LONGEST)
        .read_to_string()
        .map_err(|error| Failure::CouldNotRun(format!("{base}: {error}")))?;
    let value = serde_json::from_str(&text).map_err(|_| {
        Failure::CouldNotRun(format!("{base} answers {status}, but not as deodar does"))
    })?;
    Ok((status, value))
}
