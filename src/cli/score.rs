//! `deodar score`: a request's trust, factor by factor, and what it would be if something were otherwise.

use std::fmt::Write;
use std::io::IsTerminal;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::args::{Args, Score};
use super::ask::Members;
use super::authorize::body;
use super::output::Output;
use super::{Done, Exit, Failure, sample};
use crate::answer::WireAnswer;
use crate::base::json;
use crate::base::timestamp::Timestamp;
use crate::cases;
use crate::pdp::Pdp;
use crate::request::{Authentication, Purpose, Request};
use crate::service::config::Config;

pub(super) fn run(command: &Score, args: &Args, output: Output) -> Done {
    let config = args.load_config()?;
    let depth = config.limits.json_depth;
    let bytes = body(&command.request, &config)?;
    let given = json::read(&bytes, depth).map_err(|faults| {
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        Failure::CouldNotRun(format!("the request: {}", faults.join("; ")))
    })?;
    let now: Timestamp = match &command.request.now {
        Some(text) => text
            .parse()
            .map_err(|error| Failure::CouldNotRun(format!("`--now`: {error}")))?,
        None => Timestamp::now(),
    };
    let pdp = decision_point(command, &config)?;
    let as_it_is = Asked::new(given, now, &command.authentication)?;
    let before = as_it_is.answer(&pdp, &config)?;
    let after = match command.what_if.as_slice() {
        [] => None,
        changes => {
            let mut changed = as_it_is.clone();
            for change in changes {
                changed.change(change)?;
            }
            Some(changed.answer(&pdp, &config)?)
        }
    };
    if output.is_json() {
        match &after {
            None => output.value(&before),
            Some(after) => output.value(&json!({"asItIs": before, "whatIf": after})),
        }
    } else {
        let bars = std::io::stdout().is_terminal() || command.bars;
        output.text(&human(&before, None, bars));
        if let Some(after) = &after {
            output.text(&format!("\nWith {}:\n\n", command.what_if.join(", ")));
            output.text(&human(after, Some(&before), bars));
        }
    }
    output.note(match config.trust {
        Some(_) => sample::scored_by(&command.request.sources, &config),
        None => {
            "scored by the shipped numbers on this request alone: the configuration has no [trust], so \
             `deodar authorize` and a server score only what policies ask for"
        }
    });
    let shown = after.as_ref().unwrap_or(&before);
    let cause = shown.pointer("/wouldBe/decision").or(shown.get("decision"));
    Ok(match cause.and_then(Value::as_str) {
        Some("Allow") => Exit::Holds,
        _ => Exit::DoesNotHold,
    })
}

/// Scores by the configuration's trust, or by the shipped numbers.
fn decision_point(command: &Score, config: &Config) -> Result<Pdp, Failure> {
    let mut builder = sample::builder(&command.request.sources, config)?;
    if config.trust.is_none() {
        builder = builder.trust(crate::trust::TrustConfig::default());
    }
    Ok(builder.build()?)
}

/// A request and how its principal was authenticated.
#[derive(Clone)]
struct Asked {
    body: Value,
    authentication: Option<Authentication>,
    now: Timestamp,
}

impl Asked {
    fn new(body: Value, now: Timestamp, authentication: &[String]) -> Result<Self, Failure> {
        let mut asked = Self {
            body,
            authentication: None,
            now,
        };
        for change in authentication {
            asked.change(&format!("auth.{change}"))?;
        }
        Ok(asked)
    }

    fn answer(&self, pdp: &Pdp, config: &Config) -> Result<Value, Failure> {
        let limits = &config.limits.request();
        let mut request = Request::from_value(self.body.clone(), limits, cases::caller())?;
        request = request.with_now(self.now);
        request.explain = true;
        // A look ahead teaches nothing: what is asked next is compared with it.
        request.purpose = Purpose::Probe;
        request.authentication = self.authentication.clone().map(Box::new);
        let outcome = pdp.authorize(&request)?;
        let id = Uuid::now_v7().to_string();
        let answer = WireAnswer::new(&request, &outcome, Some(&id)).to_json();
        answer.map_err(|error| Failure::CouldNotRun(error.to_string()))
    }

    /// Makes a change such as `device.registered=true`.
    fn change(&mut self, change: &str) -> Result<(), Failure> {
        let wrong = |message: String| Failure::CouldNotRun(format!("`{change}`: {message}"));
        let (key, text) = change
            .split_once('=')
            .ok_or_else(|| wrong("write it as `device.registered=true`".to_owned()))?;
        let value: Value = serde_json::from_str(text).unwrap_or_else(|_| text.into());
        let body = self.body.as_object_mut();
        let body = body.ok_or_else(|| wrong("the request is not an object".to_owned()))?;
        match key.split_once('.') {
            Some(("auth", fact)) => self.authenticate(fact, text).map_err(wrong),
            Some(("client", member)) => set(body, &["client", member], value).map_err(wrong),
            Some((group, member)) => set(body, &["signals", group, member], value).map_err(wrong),
            None if key == "ip" || key == "session" => {
                set(body, &["client", key], value).map_err(wrong)
            }
            None => set(body, &["signals", key], value).map_err(wrong),
        }
    }

    fn authenticate(&mut self, fact: &str, text: &str) -> Result<(), String> {
        let now = self.now;
        let known = self.authentication.get_or_insert_with(|| Authentication {
            auth_time: Some(now),
            ..Authentication::default()
        });
        match fact {
            "acr" => known.acr = Some(text.to_owned()),
            "amr" => known.amr = text.split(',').map(str::to_owned).collect(),
            "time" => {
                let time = text.parse::<Timestamp>();
                known.auth_time = Some(time.map_err(|error| error.to_string())?);
            }
            other => {
                return Err(format!(
                    "`auth.{other}` is none of `auth.acr`, `auth.amr`, `auth.time`"
                ));
            }
        }
        Ok(())
    }
}

/// Sets a member, making the objects on the way to it.
fn set(object: &mut Map<String, Value>, path: &[&str], value: Value) -> Result<(), String> {
    let [name, rest @ ..] = path else {
        return Ok(());
    };
    if rest.is_empty() {
        object.insert((*name).to_owned(), value);
        return Ok(());
    }
    let inner = object
        .entry((*name).to_owned())
        .or_insert_with(|| json!({}));
    let inner = inner.as_object_mut();
    let inner = inner.ok_or_else(|| format!("`{name}` of the request is not an object"))?;
    set(inner, rest, value)
}

/// Width of a bar.
const BAR: usize = 20;

fn human(answer: &Value, before: Option<&Value>, bars: bool) -> String {
    let mut text = String::new();
    let word = |at: &str| answer.pointer(at).and_then(Value::as_str).unwrap_or("");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}  ({})", word("/decision"), word("/cause"));
    if let Some(would_be) = answer.get("wouldBe") {
        let word = |name: &str| would_be.text(name).unwrap_or("");
        let _ = writeln!(
            text,
            "  enforced it would be {} ({})",
            word("decision"),
            word("cause")
        );
    }
    let trust = answer.get("trust").cloned().unwrap_or_default();
    let number = |name: &str| trust.get(name).and_then(Value::as_f64).unwrap_or(0.0);
    let was = |at: &str| before.and_then(|before| before.pointer(at)?.as_f64());
    let _ = writeln!(
        text,
        "\nscore {:.4}{} of {:.4} required; risk of the request {}, of the subject {:.4}; level {} of {} \
         required\n",
        number("score"),
        change(number("score"), was("/trust/score")),
        number("required"),
        trust.text("risk").unwrap_or(""),
        number("subjectRisk"),
        number("level"),
        number("requiredLevel"),
    );
    for name in trust.items("knockOuts") {
        let _ = writeln!(text, "  knocked out: {}", name.as_str().unwrap_or(""));
    }
    for (n, factor) in trust.items("factors").enumerate() {
        // What takes no part by the preset is not worth a line.
        let idle = factor.text("status") == Some("unavailable");
        if idle && factor.text("id") == Some("resource_sensitivity") {
            continue;
        }
        let was = was(&format!("/trust/factors/{n}/score"));
        human_factor(&mut text, factor, was, bars);
    }
    let list = |text: &mut String, title: &str, items: Vec<String>| {
        if !items.is_empty() {
            let _ = writeln!(text, "\n{title}");
            for item in items {
                let _ = writeln!(text, "  {item}");
            }
        }
    };
    let fix = trust.items("fix").filter_map(Value::as_str);
    list(
        &mut text,
        "What would raise it:",
        fix.map(str::to_owned).collect(),
    );
    let asked = answer
        .pointer("/wouldBe/obligations")
        .or(answer.get("obligations"));
    let asked = asked.and_then(Value::as_array).into_iter().flatten();
    list(
        &mut text,
        "What is asked for:",
        asked.map(obligation).collect(),
    );
    text
}

fn human_factor(text: &mut String, factor: &Value, was: Option<f64>, bars: bool) {
    let number = |name: &str| factor.get(name).and_then(Value::as_f64).unwrap_or(0.0);
    let word = |name: &str| factor.text(name).unwrap_or("");
    let score = number("score");
    let bar = match bars {
        true => {
            let full = ((score * BAR as f64).round() as usize).min(BAR);
            format!("{}{} ", "█".repeat(full), "░".repeat(BAR - full))
        }
        false => String::new(),
    };
    let _ = writeln!(
        text,
        "  {:<20} {bar}{score:.4}{}  confidence {:.2}, weight {:.2}, adds {:.4}  {}",
        word("id"),
        change(score, was),
        number("confidence"),
        number("weight"),
        number("contribution"),
        word("status"),
    );
    for reason in factor.items("reasons") {
        let reason = reason.text("text").unwrap_or("");
        let _ = writeln!(text, "      {reason}");
    }
}

fn change(now: f64, was: Option<f64>) -> String {
    match was {
        Some(was) if (now - was).abs() > 0.00005 => format!(" ({:+.4})", now - was),
        _ => String::new(),
    }
}

fn obligation(value: &Value) -> String {
    let kind = value.text("type").unwrap_or("");
    let properties = value.get("properties").and_then(Value::as_object);
    let properties: Vec<String> = properties
        .into_iter()
        .flatten()
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name} {text}"),
            Value::Array(items) => {
                let items = items.iter().map(|item| match item {
                    Value::String(text) => text.clone(),
                    other => {
                        let method = other.text("method");
                        method.map_or_else(|| other.to_string(), str::to_owned)
                    }
                });
                format!("{name} {}", items.collect::<Vec<_>>().join(" or "))
            }
            other => format!("{name} {other}"),
        })
        .collect();
    if properties.is_empty() {
        kind.to_owned()
    } else {
        format!("{kind}: {}", properties.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(body: Value, changes: &[&str]) -> Result<Value, String> {
        let mut asked = Asked::new(body, Timestamp::from_millis(0), &[]).unwrap();
        for change in changes {
            if let Err(Failure::CouldNotRun(message)) = asked.change(change) {
                return Err(message);
            }
        }
        Ok(asked.body)
    }

    #[test]
    fn changes_go_where_they_belong() {
        assert_eq!(
            changed(
                json!({"signals": {"device": {"managed": false}}}),
                &[
                    "device.managed=true",
                    "device.trust=high",
                    "risk=LOW",
                    "client.ip=10.0.0.1"
                ]
            ),
            Ok(json!({
                "signals": {"device": {"managed": true, "trust": "high"}, "risk": "LOW"},
                "client": {"ip": "10.0.0.1"},
            }))
        );
        let wrong = changed(json!({}), &["device.managed"]).unwrap_err();
        assert!(wrong.contains("write it as"), "{wrong}");
        let wrong = changed(json!({}), &["auth.level=3"]).unwrap_err();
        assert!(wrong.contains("`auth.acr`"), "{wrong}");
        assert!(changed(json!({"signals": 1}), &["device.managed=true"]).is_err());
    }
}
