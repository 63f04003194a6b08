//! An answer of a decision point elsewhere, read from its JSON.

use serde_json::{Map, Value};

use super::AnswerObligation;
use crate::base::json;
use crate::base::timestamp::Timestamp;
use crate::pdp::decide::Cause;

/// Bytes of a JSON answer that are read at most.
const LONGEST: usize = 16 << 20;
/// Nesting of a JSON answer.
const DEPTH: usize = 64;

/// Bytes are no answer of `POST /authorize`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no answer of a decision point: {0}")]
pub struct AnswerError(String);

/// What was read.
#[derive(Debug, Clone)]
pub(super) struct Remote {
    /// The answer as it came.
    pub(super) json: Map<String, Value>,
    pub(super) cause: Cause,
    pub(super) reasons: Vec<String>,
    pub(super) obligations: Vec<Duty>,
    pub(super) advice: Vec<Duty>,
    pub(super) revision: String,
    pub(super) sequence: u64,
    pub(super) evaluated_at: Timestamp,
    pub(super) decision_id: Option<String>,
}

/// An obligation or a piece of advice.
#[derive(Debug, Clone)]
pub(super) struct Duty {
    policy: Option<String>,
    name: String,
    argument: Option<String>,
}

impl<'a> From<&'a Duty> for AnswerObligation<'a> {
    fn from(duty: &'a Duty) -> Self {
        Self {
            policy: duty.policy.as_deref(),
            name: &duty.name,
            argument: duty.argument.as_deref(),
        }
    }
}

impl Remote {
    pub(super) fn read(body: &[u8]) -> Result<Self, AnswerError> {
        if body.len() > LONGEST {
            return Err(AnswerError(format!("more than {LONGEST} bytes")));
        }
        let json = json::read(body, DEPTH).map_err(|faults| {
            let first = faults.first().map(ToString::to_string);
            AnswerError(first.unwrap_or_default())
        })?;
        let Value::Object(json) = json else {
            return Err(AnswerError("expected an object".to_owned()));
        };
        let fields = Fields(&json);
        let cause = fields.text("cause")?;
        let known = Cause::ALL.into_iter().find(|known| known.as_str() == cause);
        let cause = known.ok_or_else(|| {
            AnswerError(format!("`cause`: `{}` is not known", json::shown(cause)))
        })?;
        let decision = fields.text("decision")?;
        if decision != cause.decision().as_str() {
            return Err(AnswerError(format!(
                "`decision`: `{}` contradicts the cause `{cause}`",
                json::shown(decision)
            )));
        }
        let evaluated_at = fields.text("evaluatedAt")?.parse();
        Ok(Self {
            cause,
            reasons: fields.list("reasons", |reason| reason.as_str().map(str::to_owned))?,
            obligations: fields.list("obligations", duty)?,
            advice: fields.list("advice", duty)?,
            revision: fields.text("revision")?.to_owned(),
            sequence: fields
                .get("sequence")?
                .as_u64()
                .ok_or_else(|| expected("sequence", "a whole number"))?,
            evaluated_at: evaluated_at.map_err(|_| expected("evaluatedAt", "a date and time"))?,
            decision_id: json
                .get("decisionId")
                .and_then(Value::as_str)
                .map(str::to_owned),
            json,
        })
    }
}

/// One of `obligations` or `advice`; its `id` is `<policy>:<type>`.
fn duty(json: &Value) -> Option<Duty> {
    let name = json.get("type")?.as_str().filter(|name| !name.is_empty())?;
    let argument = match json.get("properties").map(|all| all.get("argument")) {
        None | Some(None) => None,
        Some(Some(argument)) => Some(argument.as_str()?.to_owned()),
    };
    let id = json.get("id").and_then(Value::as_str);
    let policy = id.and_then(|id| id.strip_suffix(name)?.strip_suffix(':'));
    Some(Duty {
        policy: policy.map(str::to_owned),
        name: name.to_owned(),
        argument,
    })
}

fn expected(member: &str, what: &str) -> AnswerError {
    AnswerError(format!("`{member}`: expected {what}"))
}

/// Members that every answer has.
struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn get(&self, member: &str) -> Result<&'a Value, AnswerError> {
        self.0
            .get(member)
            .ok_or_else(|| expected(member, "a value, found none"))
    }

    fn text(&self, member: &str) -> Result<&'a str, AnswerError> {
        let text = self.get(member)?.as_str();
        text.ok_or_else(|| expected(member, "a text"))
    }

    fn list<T>(&self, member: &str, one: fn(&Value) -> Option<T>) -> Result<Vec<T>, AnswerError> {
        let list = self.get(member)?.as_array();
        let list = list
            .ok_or_else(|| expected(member, "a list"))?
            .iter()
            .enumerate();
        list.map(|(at, item)| {
            one(item).ok_or_else(|| AnswerError(format!("`{member}/{at}` cannot be read")))
        })
        .collect()
    }
}
