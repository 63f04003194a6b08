//! `deodar authorize`.

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use super::args::{Args, Authorize};
use super::output::Output;
use super::{Done, Exit, Failure, sample};
use crate::cases;
use crate::config::Config;
use crate::decide::{Cause, Outcome};
use crate::fault::Fault;
use crate::json;
use crate::request::Request;
use crate::response::Answer;
use crate::timestamp::Timestamp;

pub(super) fn run(command: &Authorize, args: &Args, output: Output) -> Done {
    let config = args.load_config()?;
    let body = body(command, &config)?;
    let mut request = Request::from_json(&body, &config.limits.request, cases::caller())?;
    if let Some(now) = &command.now {
        let now: Timestamp = now
            .parse()
            .map_err(|error| Failure::CouldNotRun(format!("`--now`: {error}")))?;
        request = request.with_now(now);
    }
    // People are told why a policy failed; JSON says so where the request asks for it.
    request.explain |= !output.is_json();
    let pdp = sample::builder(&command.sources, &config)?.build()?;
    let outcome = pdp.authorize(&request)?;
    if output.is_json() {
        let answer = serde_json::to_value(Answer::new(&request, &outcome));
        output.value(&answer.map_err(|error| Failure::CouldNotRun(error.to_string()))?);
    } else {
        output.text(&human(&outcome));
    }
    Ok(if outcome.is_allow() {
        Exit::Holds
    } else {
        Exit::DoesNotHold
    })
}

/// The request's JSON: from a file, from standard input, or from flags.
pub(super) fn body(command: &Authorize, config: &Config) -> Result<Vec<u8>, Failure> {
    let longest = config.limits.body_bytes;
    match &command.request {
        Some(path) if path.as_os_str() == "-" => read(std::io::stdin(), "standard input", longest),
        Some(path) => read_file(path, longest),
        None => from_flags(command, longest, config.limits.request.json_depth),
    }
}

fn read_file(path: &Path, longest: usize) -> Result<Vec<u8>, Failure> {
    let name = format!("`{}`", path.display());
    let file = crate::files::open(path)
        .map_err(|error| Failure::CouldNotRun(format!("{name}: {error}")))?;
    read(file, &name, longest)
}

fn read(from: impl Read, name: &str, longest: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    from.take(longest as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::CouldNotRun(format!("{name}: {error}")))?;
    if bytes.len() > longest {
        let message = format!("{name}: larger than `limits.body_bytes`, {longest} bytes");
        return Err(Failure::CouldNotRun(message));
    }
    Ok(bytes)
}

fn from_flags(command: &Authorize, longest: usize, depth: usize) -> Result<Vec<u8>, Failure> {
    let mut body = Map::new();
    let flags = [
        ("principal", &command.principal),
        ("action", &command.action),
        ("resource", &command.resource),
    ];
    let missing: Vec<_> = flags
        .iter()
        .filter(|(_, value)| value.is_none())
        .map(|(name, _)| format!("--{name}"))
        .collect();
    if !missing.is_empty() {
        return Err(Failure::CouldNotRun(format!(
            "give {}, or a request as JSON: a file, or `-` for standard input",
            missing.join(" and ")
        )));
    }
    for (name, value) in flags {
        if let Some(value) = value {
            body.insert(name.to_owned(), value.clone().into());
        }
    }
    if let Some(context) = &command.context {
        let inline = context.trim_start().starts_with(['{', '[']) || context.trim().is_empty();
        let bytes = if inline {
            context.clone().into_bytes()
        } else {
            read_file(Path::new(context), longest)?
        };
        let value = json::read(&bytes, depth).map_err(|faults| {
            let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
            Failure::CouldNotRun(format!("`--context`: {}", faults.join("; ")))
        })?;
        body.insert("context".to_owned(), value);
    }
    if !command.obligations.is_empty() {
        body.insert("obligations".to_owned(), command.obligations.clone().into());
    }
    Ok(Value::Object(body).to_string().into_bytes())
}

fn human(outcome: &Outcome) -> String {
    let mut text = format!("{}  ({})\n", outcome.decision(), outcome.cause());
    let places = outcome.state().snapshot();
    for policy in outcome.determining_policies() {
        let place = places.place(policy).map(|place| format!("  {place}"));
        text.push_str(&format!("  policy {policy}{}\n", place.unwrap_or_default()));
    }
    for unmet in outcome.unmet() {
        let mut lacks: Vec<String> = Vec::new();
        lacks.extend(unmet.trust.map(|trust| format!("a score of {trust}")));
        lacks.extend(
            unmet
                .level
                .map(|level| format!("authentication level {level}")),
        );
        if outcome.cause() == Cause::UnsupportedObligation || lacks.is_empty() {
            let obligations = unmet.obligations.iter();
            lacks.extend(obligations.map(|duty| format!("the obligation {duty}")));
        }
        let with = match lacks.as_slice() {
            [] => String::new(),
            lacks => format!(" with {}", lacks.join(", ")),
        };
        text.push_str(&format!("  policy {} permits it{with}\n", unmet.policy));
    }
    if let Some(trust) = outcome.trust() {
        let found = trust.assessment();
        text.push_str(&format!(
            "  trust {} (risk {}), authentication level {}\n",
            found.composite,
            found.band.as_str(),
            found.level.reached
        ));
        if let Some(would_be) = trust.would_be() {
            let (decision, cause) = (would_be.decision, would_be.cause);
            text.push_str(&format!("  enforced it would be {decision} ({cause})\n"));
        }
    }
    for asked in outcome.requirements() {
        text.push_str(&format!("  asks for {}\n", asked.name()));
    }
    for obligation in outcome.obligations() {
        text.push_str(&format!("  obligation {obligation}\n"));
    }
    for advice in outcome.advice() {
        text.push_str(&format!("  advice {advice}\n"));
    }
    for failure in outcome.policy_errors() {
        text.push_str(&format!(
            "  policy {} failed: {}\n",
            failure.policy(),
            failure.message().unwrap_or_else(|| failure.code().as_str())
        ));
    }
    text
}

impl crate::policy::Snapshot {
    /// `file:line` of a policy, where it is known.
    fn place(&self, id: &cedar_policy::PolicyId) -> Option<String> {
        let place = self.source_of(id)?;
        let fault = Fault::new("place", "").at(place.clone());
        let (line, _) = fault.position()?;
        Some(format!("{}:{line}", fault.file()?))
    }
}
