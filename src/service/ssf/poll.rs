//! The wire of polling (RFC 8936): what is asked, and what is answered.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::base::json;

/// Deepest nesting of an answer.
const DEPTH: usize = 8;

/// What a poll asks for and acknowledges.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PollBody {
    /// Most tokens that are wanted.
    pub(crate) max_events: usize,
    /// Whether to answer at once although there is none.
    pub(crate) return_immediately: bool,
    /// Ids of tokens that were taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) ack: Vec<String>,
    /// Those that were not, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) set_errs: BTreeMap<String, SetFault>,
}

/// Why a token was not taken, in the words of RFC 8935.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SetFault {
    /// The code.
    pub(crate) err: &'static str,
    /// A sentence for a person.
    pub(crate) description: String,
}

/// What a poll brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Tokens by the id under which they are acknowledged.
    pub(crate) sets: Vec<(String, String)>,
    /// Whether there are more.
    pub(crate) more: bool,
}

/// Reads an answer; tokens beyond `most` are left for the next poll.
///
/// # Errors
/// When it is not what the specification says.
pub(crate) fn read(body: &[u8], most: usize) -> Result<Batch, String> {
    let value = json::read(body, DEPTH).map_err(|faults| match faults.first() {
        Some(fault) => format!("the answer: {fault}"),
        None => "the answer is not JSON".to_owned(),
    })?;
    let Value::Object(mut members) = value else {
        return Err("the answer is not an object".to_owned());
    };
    let sets = match members.remove("sets") {
        None | Some(Value::Null) => serde_json::Map::new(),
        Some(Value::Object(sets)) => sets,
        Some(_) => return Err("the answer's `sets` is not an object".to_owned()),
    };
    let left = sets.len() > most;
    let read = sets.into_iter().take(most).map(|(id, set)| match set {
        Value::String(set) => (id, set),
        // What is not text is not a token; it is refused as one.
        _ => (id, String::new()),
    });
    let more = members.get("moreAvailable").and_then(Value::as_bool);
    Ok(Batch {
        sets: read.collect(),
        more: left || more.unwrap_or(false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_within_bounds() {
        let batch = read(br#"{"sets":{"a":"x.y.z","b":7},"moreAvailable":false}"#, 9).unwrap();
        assert_eq!(
            batch.sets,
            [("a".into(), "x.y.z".into()), ("b".into(), String::new())]
        );
        assert!(!batch.more);
        let batch = read(br#"{"sets":{"a":"x","b":"y"}}"#, 1).unwrap();
        assert!(batch.more && batch.sets.len() == 1);
        assert_eq!(read(b"{}", 1), Ok(Batch::default()));
        for bad in [
            "",
            "[]",
            "<html>",
            r#"{"sets":[]}"#,
            r#"{"sets":{"a":"x","a":"y"}}"#,
        ] {
            assert!(read(bad.as_bytes(), 9).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_asked_has_the_names_of_the_specification() {
        let body = PollBody {
            max_events: 5,
            return_immediately: true,
            ack: vec!["a".to_owned()],
            set_errs: BTreeMap::from([(
                "b".to_owned(),
                SetFault {
                    err: "invalid_key",
                    description: "no".to_owned(),
                },
            )]),
        };
        let value = serde_json::to_value(&body).unwrap();
        assert_eq!(
            value,
            serde_json::json!({
                "maxEvents": 5, "returnImmediately": true, "ack": ["a"],
                "setErrs": {"b": {"err": "invalid_key", "description": "no"}},
            })
        );
    }
}
