//! A JSON value as a type, with the fault in the words of whoever sent it: where it is, and what belongs there.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use crate::json::{InputFault, pointer, shown};

/// Reads `value`; the first fault, where it is none of `T`.
pub(super) fn decode<T: DeserializeOwned>(value: Value) -> Result<T, InputFault> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let at = place(error.path());
        let (member, detail) = plain(&error.inner().to_string());
        match member {
            Some(member) => InputFault::new(pointer(&at, &member), detail),
            None => InputFault::new(at, detail),
        }
    })
}

fn place(path: &Path) -> String {
    path.iter()
        .fold(String::new(), |at, segment| match segment {
            Segment::Seq { index } => format!("{at}/{index}"),
            Segment::Map { key } => pointer(&at, &shown(key)),
            Segment::Enum { variant } => pointer(&at, &shown(variant)),
            Segment::Unknown => at,
        })
}

/// What a message of serde says, and of which member where that is not the place itself.
fn plain(message: &str) -> (Option<String>, String) {
    let quoted = |text: &str| text.split('`').nth(1).map(shown);
    if let Some(rest) = message.strip_prefix("missing field ") {
        return (quoted(rest), "is required".to_owned());
    }
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let name = quoted(rest).unwrap_or_default();
        let known = rest.split_once("expected ").map_or("", |(_, known)| known);
        let known = known.trim_start_matches("one of ").replace('`', "");
        // The place is the member itself already.
        return (None, format!("unknown member `{name}`; known are {known}"));
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        let name = quoted(rest).unwrap_or_default();
        let known = rest.split_once("expected ").map_or("", |(_, known)| known);
        return (None, format!("`{name}` is not known; expected {known}"));
    }
    for prefix in ["invalid type: ", "invalid value: "] {
        if let Some((found, expected)) = message
            .strip_prefix(prefix)
            .and_then(|rest| rest.rsplit_once(", expected "))
        {
            let (expected, found) = (kind(expected), found_kind(found));
            return (None, format!("expected {expected}, found {found}"));
        }
    }
    if message.contains("untagged enum") {
        return (
            None,
            "is of none of the forms that are known here".to_owned(),
        );
    }
    (None, message.to_owned())
}

fn kind(expected: &str) -> &str {
    match expected {
        "a sequence" => "an array",
        "a map" => "an object",
        "a boolean" => "true or false",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        "f64" | "f32" => "a number",
        of if of.starts_with("struct ") || of.starts_with("internally tagged") => "an object",
        other => other,
    }
}

fn found_kind(found: &str) -> String {
    let kind = match found.split_whitespace().next().unwrap_or_default() {
        "sequence" => "an array",
        "map" => "an object",
        "null" | "unit" => "null",
        "boolean" => "a boolean",
        "string" => "a string",
        "integer" | "floating" => {
            return format!("`{}`", found.split('`').nth(1).unwrap_or("a number"));
        }
        _ => return shown(found),
    };
    kind.to_owned()
}

#[cfg(test)]
mod tests {
    use super::decode;
    use serde::Deserialize;
    use serde_json::{Value, json};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Of {
        name: String,
        list: Vec<Inner>,
        limit: Option<u32>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Inner {
        on: bool,
        kind: Kind,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        One,
        Two,
    }

    #[track_caller]
    fn check(value: Value, expect: &str) {
        assert_eq!(decode::<Of>(value).unwrap_err().to_string(), expect);
    }

    #[test]
    fn faults_have_a_place_and_plain_words() {
        let inner =
            |inner: Value| json!({"name": "x", "list": [{"on": true, "kind": "one"}, inner]});
        assert!(decode::<Of>(inner(json!({"on": true, "kind": "two"}))).is_ok());
        check(json!([1]), "/0: expected a string, found `1`");
        check(json!({"list": []}), "/name: is required");
        check(
            json!({"name": 5, "list": []}),
            "/name: expected a string, found `5`",
        );
        check(
            inner(json!({"on": "yes"})),
            "/list/1/on: expected true or false, found a string",
        );
        check(inner(json!({"on": true})), "/list/1/kind: is required");
        check(
            inner(json!({"on": true, "kind": "three"})),
            "/list/1/kind: `three` is not known; expected `one` or `two`",
        );
        check(
            inner(json!({"off": true})),
            "/list/1/off: unknown member `off`; known are on or kind",
        );
        check(
            json!({"name": "x", "list": {}}),
            "/list: expected an array, found an object",
        );
        check(
            json!({"name": "x", "list": [], "limit": -1}),
            "/limit: expected a whole number from 0, found `-1`",
        );
    }
}
