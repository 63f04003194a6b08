//! What a case expects of an answer; what is not expected is not checked.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::Value;

use crate::base::json;
use crate::pdp::decide::Cause;

/// Expectations of one answer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// `Allow` or `Deny`.
    #[serde(default, deserialize_with = "decision")]
    pub decision: Option<String>,
    /// The cause.
    #[serde(default, deserialize_with = "cause")]
    pub cause: Option<String>,
    /// The determining policies, all of them.
    pub reasons: Option<BTreeSet<String>>,
    /// Determining policies that must be among them.
    #[serde(skip)]
    pub some_reasons: Option<BTreeSet<String>>,
    /// The policies that failed, all of them.
    pub errors: Option<BTreeSet<String>>,
    /// How many policies failed.
    #[serde(skip)]
    pub num_errors: Option<usize>,
    /// The obligations as `name` or `name:argument`, all of them.
    pub obligations: Option<BTreeSet<String>>,
    /// The cause of the decision there would be if floors were enforced; `null` where it is the same.
    #[serde(rename = "wouldBe", default, deserialize_with = "given")]
    pub would_be: Option<Option<String>>,
    /// Members of the answer's `trust`; others are not checked.
    pub trust: Option<serde_json::Map<String, Value>>,
}

/// A cause that is there, even as `null`.
fn given<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<Option<String>>, D::Error> {
    cause(reader).map(Some)
}

fn decision<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<String>, D::Error> {
    one_of(reader, &["Allow", "Deny"])
}

fn cause<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<String>, D::Error> {
    one_of(reader, &Cause::ALL.map(Cause::as_str))
}

/// A word that an answer can have: a case that expects another one could never hold.
fn one_of<'de, D: Deserializer<'de>>(
    reader: D,
    known: &[&str],
) -> Result<Option<String>, D::Error> {
    let text: Option<String> = Option::deserialize(reader)?;
    match text {
        Some(text) if !known.contains(&text.as_str()) => Err(D::Error::custom(format!(
            "expected one of {}, found `{}`",
            known.join(", "),
            json::shown(&text)
        ))),
        text => Ok(text),
    }
}

impl Expect {
    /// Compares with the answer of `POST /authorize`; one sentence for each difference.
    #[must_use]
    pub fn check(&self, answer: &Value) -> Vec<String> {
        let mut failures = Vec::new();
        let mut differs = |what: &str, expected: String, found: String| {
            if expected != found {
                failures.push(format!("{what}: expected {expected}, found {found}"));
            }
        };
        let text = |member: &str| {
            let value = answer.get(member).and_then(Value::as_str);
            value.unwrap_or("nothing").to_owned()
        };
        for (member, expected) in [("decision", &self.decision), ("cause", &self.cause)] {
            if let Some(expected) = expected {
                differs(member, expected.clone(), text(member));
            }
        }
        if let Some(expected) = &self.would_be {
            let found = answer.pointer("/wouldBe/cause").and_then(Value::as_str);
            let shown = |cause: Option<&str>| cause.unwrap_or("the same").to_owned();
            differs("wouldBe", shown(expected.as_deref()), shown(found));
        }
        for (member, expected) in self.trust.iter().flatten() {
            let found = answer.get("trust").and_then(|trust| trust.get(member));
            let found = found.cloned().unwrap_or_default();
            differs(
                &format!("trust.{member}"),
                expected.to_string(),
                found.to_string(),
            );
        }
        let reasons = set(answer, "reasons", |reason| {
            reason.as_str().map(str::to_owned)
        });
        if let Some(expected) = &self.reasons {
            differs("reasons", list(expected), list(&reasons));
        }
        if let Some(expected) = &self.some_reasons
            && !expected.is_subset(&reasons)
        {
            differs("reasons", list(expected), list(&reasons));
        }
        let errors = set(answer, "policyErrors", |error| {
            error.get("policy")?.as_str().map(str::to_owned)
        });
        if let Some(expected) = &self.errors {
            differs("errors", list(expected), list(&errors));
        }
        if let Some(expected) = self.num_errors {
            differs(
                "number of errors",
                expected.to_string(),
                errors.len().to_string(),
            );
        }
        if let Some(expected) = &self.obligations {
            let found = set(answer, "obligations", |obligation| {
                let name = obligation.get("type")?.as_str()?;
                let argument = obligation.pointer("/properties/argument");
                Some(match argument.and_then(Value::as_str) {
                    Some(argument) => format!("{name}:{argument}"),
                    None => name.to_owned(),
                })
            });
            differs("obligations", list(expected), list(&found));
        }
        failures
    }
}

fn set(answer: &Value, member: &str, read: impl Fn(&Value) -> Option<String>) -> BTreeSet<String> {
    let items = answer.get(member).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(read).collect()
}

fn list(items: &BTreeSet<String>) -> String {
    let items: Vec<_> = items.iter().map(String::as_str).collect();
    format!("[{}]", items.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_expected_is_checked() {
        let answer = json!({
            "decision": "Deny", "cause": "forbidden", "reasons": ["b", "a"],
            "policyErrors": [{"policy": "e", "code": "overflow"}],
            "obligations": [{"type": "redact", "properties": {"argument": "pii"}}],
        });
        assert!(Expect::default().check(&answer).is_empty());
        let expect: Expect = serde_json::from_value(json!({
            "decision": "Allow", "reasons": ["a", "b"], "errors": [], "obligations": ["redact:pii"],
        }))
        .unwrap();
        assert_eq!(
            expect.check(&answer),
            [
                "decision: expected Allow, found Deny",
                "errors: expected [], found [e]"
            ]
        );
        let some = Expect {
            some_reasons: Some(["a".to_owned(), "z".to_owned()].into()),
            num_errors: Some(1),
            ..Expect::default()
        };
        assert_eq!(
            some.check(&answer),
            ["reasons: expected [a, z], found [a, b]"]
        );
    }
}
