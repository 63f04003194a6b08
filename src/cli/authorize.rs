//! `deodar authorize`.

use std::path::Path;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::args::{Args, Authorize, Decide};
use super::ask::{Call, Members, ask_configured};
use super::client::given;
use super::output::{Output, count};
use super::{Done, Exit, Failure, sample, stored};
use crate::answer::WireAnswer;
use crate::answer::trust::missing;
use crate::base::fault::Fault;
use crate::base::files;
use crate::base::json;
use crate::base::timestamp::Timestamp;
use crate::cases;
use crate::pdp::decide::{Cause, Outcome};
use crate::request::{Request, RequestError};
use crate::service::config::Config;

pub(super) fn run(command: &Decide, args: &Args, output: Output) -> Done {
    let config = args.load_config()?;
    let body = body(&command.request, &config)?;
    if let Some(url) = &command.server {
        return asked(url, command, &body, args, &config, output);
    }
    let mut request = Request::from_json(&body, &config.limits.request(), cases::caller())?;
    if let Some(now) = &command.request.now {
        let now: Timestamp = now
            .parse()
            .map_err(|error| Failure::CouldNotRun(format!("`--now`: {error}")))?;
        request = request.with_now(now);
    }
    // People are told why a policy failed; JSON says so where the request asks for it.
    request.explain |= !output.is_json() || command.explain;
    let sources = &command.request.sources;
    let mut builder = sample::builder(sources, &config)?;
    let mut state = if sources.sample {
        "the built-in sample".to_owned()
    } else {
        "files".to_owned()
    };
    match (&command.state_dir, &config.state.dir) {
        (Some(dir), _) => {
            let written = written(dir, &config)?;
            state = format!(
                "files, and {} that were written through the API, from `{}`",
                count(written.len(), "entity"),
                dir.display()
            );
            builder = builder.entities_text("written.ndjson", &written.join("\n"));
        }
        (None, Some(dir)) if !sources.sample => output.note(&format!(
            "decided on files alone: entities that were written through the API are in `{}`; \
             give --state-dir, or --server to ask the server",
            dir.display()
        )),
        _ => {}
    }
    let pdp = builder.build()?;
    let outcome = pdp.authorize(&request)?;
    if output.is_json() {
        let id = Uuid::now_v7().to_string();
        let answer = WireAnswer::new(&request, &outcome, Some(&id)).to_json();
        output.value(&answer.map_err(|error| Failure::CouldNotRun(error.to_string()))?);
    } else {
        output.text(&human(&outcome));
        let revision = outcome.state().revision().as_str();
        output.line(&format!("  decided on {state}; revision {revision}"));
        for note in stored::notes(&pdp, &request) {
            output.note(&note);
        }
        if outcome.trust().is_some() {
            output.note(sample::scored_by(&command.request.sources, &config));
        }
    }
    Ok(if outcome.is_allow() {
        Exit::Holds
    } else {
        Exit::DoesNotHold
    })
}

/// Entities that were written through the API, one JSON text each. Nothing is made where there is no
/// directory.
fn written(dir: &Path, config: &Config) -> Result<Vec<String>, Failure> {
    if !dir.is_dir() {
        let message = format!("--state-dir: `{}` is not a directory", dir.display());
        return Err(Failure::CouldNotRun(message));
    }
    let mut config = config.clone();
    config.state.dir = Some(dir.to_owned());
    let store = config.open_store().map_err(|error| {
        let message = error.to_string();
        let help = if message.contains("is in use by") {
            "; ask the server that uses it with --server"
        } else {
            ""
        };
        Failure::CouldNotRun(format!("{message}{help}"))
    })?;
    let entities = store.map_or(Ok(Vec::new()), |store| store.entities());
    entities.map_err(|error| Failure::CouldNotRun(error.to_string()))
}

/// Has a server decide.
fn asked(
    url: &str,
    command: &Decide,
    body: &[u8],
    args: &Args,
    config: &Config,
    output: Output,
) -> Done {
    let depth = config.limits.json_depth;
    let mut body = json::read(body, depth).map_err(RequestError::Invalid)?;
    if let Some(members) = body.as_object_mut().filter(|_| command.explain) {
        members.insert("explain".to_owned(), true.into());
    }
    let call = Call::new("POST", "/authorize", Some(body), "decide");
    let answer = ask_configured(&call, Some(url), args, config)?.done()?;
    let decision = answer.text("decision");
    let Some(decision) = decision else {
        let message = format!("{url} gives an answer without a decision");
        return Err(Failure::CouldNotRun(message));
    };
    if output.is_json() {
        output.value(&answer);
    } else {
        output.text(&of_server(&answer, &given(url)?));
    }
    Ok(if decision == "Allow" {
        Exit::Holds
    } else {
        Exit::DoesNotHold
    })
}

/// A server's answer for people.
fn of_server(answer: &Value, url: &str) -> String {
    let at = |pointer: &str| answer.pointer(pointer);
    let text = |pointer: &str| at(pointer).and_then(Value::as_str).unwrap_or("unknown");
    let names = |pointer: &str| -> Vec<&str> {
        let list = at(pointer).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    };
    let duties = |pointer: &str| -> Vec<&str> {
        let list = at(pointer).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|duty| duty.get("type")?.as_str()).collect()
    };
    let mut lines = vec![format!("{}  ({})", text("/decision"), text("/cause"))];
    let mut list = |what: &str, names: Vec<&str>| {
        if !names.is_empty() {
            lines.push(format!("  {what} {}", names.join(", ")));
        }
    };
    list("policy", names("/reasons"));
    list("obligation", duties("/obligations"));
    list("advice", duties("/advice"));
    list("knocked out by", names("/trust/knockOuts"));
    list("not known:", names("/trust/missing"));
    if let Some(trust) = at("/trust").filter(|trust| trust.is_object()) {
        let number = |member: &str| trust.get(member).map(Value::to_string).unwrap_or_default();
        lines.push(format!(
            "  trust {} of {} required (risk of the request {}), authentication level {} of {}",
            number("score"),
            number("required"),
            text("/trust/risk"),
            number("level"),
            number("requiredLevel"),
        ));
    }
    if at("/wouldBe").is_some() {
        lines.push(format!(
            "  under `enforce` it would be {} ({})",
            text("/wouldBe/decision"),
            text("/wouldBe/cause")
        ));
    }
    lines.push(format!(
        "  decided by {url}; revision {}, sequence {}\n",
        text("/revision"),
        at("/sequence").and_then(Value::as_u64).unwrap_or(0)
    ));
    lines.join("\n")
}

/// The request's JSON: from a file, from standard input, or from flags.
pub(super) fn body(command: &Authorize, config: &Config) -> Result<Vec<u8>, Failure> {
    let longest = config.limits.body_bytes;
    match &command.request {
        Some(path) if path.as_os_str() == "-" => {
            let read = files::read_stream(std::io::stdin(), longest as u64);
            read.map_err(|error| Failure::CouldNotRun(format!("standard input: {error}")))
        }
        Some(path) => read_file(path, longest),
        None => from_flags(command, longest, config.limits.json_depth),
    }
}

fn read_file(path: &Path, longest: usize) -> Result<Vec<u8>, Failure> {
    let read = files::read(path, longest as u64);
    read.map_err(|error| Failure::CouldNotRun(format!("`{}`: {error}", path.display())))
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
        let annotations = outcome.annotations();
        for found in annotations.filter(|found| found.policy() == policy) {
            for (name, value) in found.iter() {
                let value = json::shown_within(value, 200);
                text.push_str(&format!("    @{name}({value:?})\n"));
            }
        }
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
            "  trust {} of {} required (risk of the request {}), authentication level {} of {}\n",
            found.composite,
            found.required,
            found.band.as_str(),
            found.level.reached,
            found.level.required,
        ));
        if found.subject_risk > crate::trust::model::Score::ZERO {
            text.push_str(&format!("  risk of the subject {}\n", found.subject_risk));
        }
        let missing: Vec<_> = missing(found).collect();
        if !missing.is_empty() {
            text.push_str(&format!("  not known: {}\n", missing.join(", ")));
        }
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
