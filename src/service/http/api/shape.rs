//! JSON to a type of ours, with every fault in words of JSON and by JSON Pointer.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use crate::base::json;
use crate::base::json::InputFault;

/// Reads a value. Null for an optional member is not a member.
///
/// # Errors
/// Every fault: what is wrong is taken out, and the rest is read again.
pub(crate) fn read<T: DeserializeOwned>(mut value: Value) -> Result<T, Vec<InputFault>> {
    let (mut faults, mut taken) = (Vec::new(), Vec::new());
    // Each round takes out one member.
    for _ in 0..json::MAX_FAULTS {
        let error = match serde_path_to_error::deserialize(&value) {
            Ok(_) if !faults.is_empty() => return Err(sorted(faults)),
            Ok(read) => return Ok(read),
            Err(error) => error,
        };
        let at = pointer(error.path(), &value);
        let message = error.inner().to_string();
        if value.pointer(&at) == Some(&Value::Null) && take(&mut value, &at) {
            continue;
        }
        let unknown = between(&message, "unknown field `", "`");
        let absent = between(&message, "missing field `", "`");
        let place = match unknown {
            Some(name) => {
                let above = at.strip_suffix(&json::pointer("", name)).unwrap_or(&at);
                json::pointer(above, name)
            }
            None => at,
        };
        if absent.is_some_and(|name| taken.contains(&json::pointer(&place, name))) {
            break;
        }
        let found = value.pointer(&place).filter(|_| unknown.is_none());
        faults.push(InputFault::new(shown(&place), words(&message, found)));
        if absent.is_some() {
            break;
        }
        // An item of a list goes with its list.
        let mut gone = place.as_str();
        while !take(&mut value, gone) {
            match gone.rsplit_once('/') {
                Some((above, _)) => gone = above,
                None => return Err(sorted(faults)),
            }
        }
        taken.push(gone.to_owned());
    }
    Err(sorted(faults))
}

fn sorted(mut faults: Vec<InputFault>) -> Vec<InputFault> {
    faults.sort_by(|a, b| a.pointer.cmp(&b.pointer));
    faults
}

/// The pointer of a path, as far as the value has it.
fn pointer(path: &Path, value: &Value) -> String {
    let mut text = String::new();
    for segment in path {
        let next = match segment {
            Segment::Seq { index } => json::pointer(&text, &index.to_string()),
            Segment::Map { key } => json::pointer(&text, key),
            Segment::Enum { variant } => json::pointer(&text, variant),
            Segment::Unknown => break,
        };
        if value.pointer(&next).is_some() {
            text = next;
        }
    }
    text
}

fn take(value: &mut Value, pointer: &str) -> bool {
    let Some((above, name)) = pointer.rsplit_once('/') else {
        return false;
    };
    let name = name.replace("~1", "/").replace("~0", "~");
    let members = value.pointer_mut(above).and_then(Value::as_object_mut);
    members.is_some_and(|members| members.remove(&name).is_some())
}

fn shown(pointer: &str) -> String {
    let mut parts = pointer.split('/');
    let mut text = String::from(parts.next().unwrap_or_default());
    for part in parts {
        text.push('/');
        text.push_str(&json::shown(part));
    }
    text
}

/// What serde says, in words of JSON.
pub(crate) fn words(message: &str, found: Option<&Value>) -> String {
    let kind = found.map(json::kind);
    if let Some(name) = between(message, "missing field `", "`") {
        return format!("the member `{name}` is missing");
    }
    if let Some(name) = between(message, "unknown field `", "`") {
        let name = json::shown(name);
        return match message.split_once(", expected ") {
            Some((_, known)) => format!("unknown member `{name}`; known: {}", listed(known)),
            None => format!("unknown member `{name}`"),
        };
    }
    if let Some(name) = between(message, "unknown variant `", "`") {
        let name = json::shown(name);
        return match message.split_once(", expected ") {
            Some((_, known)) => format!("`{name}` is not allowed here; allowed: {}", listed(known)),
            None => format!("`{name}` is not allowed here"),
        };
    }
    if message.contains("untagged enum") {
        let kind = kind.unwrap_or("this");
        return format!("{kind} has none of the forms that are allowed here");
    }
    match message.split_once(", expected ") {
        Some((_, expected)) => {
            let expected = plain(expected);
            match kind {
                Some(kind) => format!("expected {expected}, found {kind}"),
                None => format!("expected {expected}"),
            }
        }
        None => json::shown_within(message, 300),
    }
}

fn listed(known: &str) -> String {
    known.trim_start_matches("one of ").replace(" or ", ", ")
}

/// The name of a type, for who writes JSON.
fn plain(expected: &str) -> String {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0".to_owned(),
        "i8" | "i16" | "i32" | "i64" => "a whole number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "an array".to_owned(),
        "a map" => "an object".to_owned(),
        "a string" | "a borrowed string" | "string" => "a string".to_owned(),
        expected if expected.starts_with("struct ") => "an object".to_owned(),
        expected if expected.contains("enum ") => "a string or an object".to_owned(),
        expected => json::shown_within(expected, 200),
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = text.strip_prefix(before)?;
    rest.split_once(after).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Body {
        name: String,
        #[serde(default)]
        confirm: bool,
        #[serde(default)]
        scopes: BTreeSet<String>,
        #[serde(default)]
        inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        per_second: u32,
        kind: Option<Kind>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Token,
        Key,
    }

    #[track_caller]
    fn check(body: Value, expected: &[&str]) {
        let faults = read::<Body>(body).unwrap_err();
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults, expected);
    }

    #[test]
    fn null_for_an_optional_member_is_no_member() {
        let body = json!({"name": "a", "confirm": null, "scopes": null, "inner": [{"per_second": 1, "kind": null}]});
        let read: Body = read(body).unwrap();
        assert!(!read.confirm && read.scopes.is_empty() && read.inner.len() == 1);
        check(json!({"name": null}), &["the member `name` is missing"]);
    }

    #[test]
    fn faults_have_a_place_and_no_words_of_the_program() {
        check(
            json!({"name": {"a": 1}}),
            &["/name: expected a string, found an object"],
        );
        check(
            json!({"name": "a", "confirm": "yes"}),
            &["/confirm: expected true or false, found a string"],
        );
        check(
            json!({"name": "a", "inner": [{"per_second": 1}, {"per_second": -1}]}),
            &["/inner/1/per_second: expected a whole number from 0, found a number"],
        );
        check(
            json!({"name": "a", "inner": [{"per_second": 1, "kind": "x"}]}),
            &["/inner/0/kind: `x` is not allowed here; allowed: `token`, `key`"],
        );
        check(
            json!({"name": 1, "confirm": 1, "inner": [{"per_second": 1}, 7]}),
            &[
                "/confirm: expected true or false, found a number",
                "/inner/1: expected an object, found a number",
                "/name: expected a string, found a number",
            ],
        );
        let body = json!({"name": 1, "x/y": 1, "z": 2, "inner": [{"per_second": 1, "w": 1}]});
        let faults = read::<Body>(body).unwrap_err();
        let places: BTreeSet<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(
            places,
            BTreeSet::from(["/inner/0/w", "/name", "/x~1y", "/z"])
        );
        assert!(
            faults[0].detail.starts_with("unknown member `"),
            "{faults:?}"
        );
    }

    #[test]
    fn long_names_are_cut() {
        let mut body = json!({"name": "a"});
        body["n".repeat(100_000)] = json!(1);
        for fault in read::<Body>(body).unwrap_err() {
            assert!(fault.to_string().len() < 400);
        }
    }
}
