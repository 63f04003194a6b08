//! Claims at their places, read as what they are to be: a text, or a list of texts.
//!
//! A claim that is missing is one that the token does not make. A claim that is there in another form, or
//! that the token says is kept elsewhere, is not known: it is never taken for a missing or an empty one,
//! because a policy that forbids by it would be passed by. Such a token is refused.

use serde_json::{Map, Value};

use super::error::{TokenError, quoted};

/// Longest id that a claim may list, in bytes.
const LONGEST_ID: usize = 1_024;

/// The claims of a token, and which of them it keeps elsewhere.
pub(super) struct Claims<'a> {
    all: &'a Map<String, Value>,
    /// Names of distributed and aggregated claims (OpenID Connect Core 1.0, section 5.6.2).
    elsewhere: Vec<&'a str>,
}

impl<'a> Claims<'a> {
    /// # Errors
    /// When it cannot be told which claims are kept elsewhere.
    pub(super) fn new(all: &'a Map<String, Value>) -> Result<Self, TokenError> {
        let mut elsewhere: Vec<&str> = match all.get("_claim_names") {
            Some(Value::Object(names)) => names.keys().map(String::as_str).collect(),
            None if all.contains_key("_claim_sources") => {
                let detail =
                    "`_claim_sources` without `_claim_names`: some claims are kept elsewhere";
                return Err(unknown(detail));
            }
            None => Vec::new(),
            Some(_) => return Err(unknown("`_claim_names` is not an object")),
        };
        // Microsoft Entra ID says so of groups that are too many for a token.
        let too_many = all
            .get("hasgroups")
            .is_some_and(|has| *has != Value::Bool(false));
        if too_many || all.contains_key("http://schemas.microsoft.com/claims/groups.link") {
            elsewhere.push("groups");
        }
        Ok(Self { all, elsewhere })
    }

    /// Names of all claims, those that are kept elsewhere among them.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        let here = self.all.keys().map(String::as_str);
        here.chain(self.elsewhere.iter().copied())
    }

    /// The claim at a JSON pointer; none where it is missing.
    ///
    /// # Errors
    /// When it is kept elsewhere, or something on the way to it is neither an object nor a list.
    pub(super) fn at(&self, pointer: &str) -> Result<Option<&'a Value>, TokenError> {
        let mut steps = steps(pointer);
        let first = steps.next().unwrap_or_default();
        self.must_be_here(&first)?;
        let mut found = self.all.get(&first);
        for step in steps {
            let Some(value) = found else { return Ok(None) };
            found = below(value, &step).ok_or_else(|| unreadable(pointer, value))?;
        }
        Ok(found)
    }

    /// A text at a JSON pointer; a whole number is written out.
    ///
    /// # Errors
    /// When something else is there.
    pub(super) fn text(&self, pointer: &str) -> Result<Option<String>, TokenError> {
        let Some(value) = self.at(pointer)? else {
            return Ok(None);
        };
        match id(value) {
            Some(text) => Ok(Some(text)),
            None => Err(unreadable(pointer, value)),
        }
    }

    /// The texts that are listed at a JSON pointer, in which `*` stands for every element of a list or every
    /// member of an object. What is read: a list of texts, one text, texts divided by `split`, an object whose
    /// names are the texts.
    ///
    /// # Errors
    /// When something else is there.
    pub(super) fn list(
        &self,
        pointer: &str,
        split: Option<&str>,
    ) -> Result<Vec<String>, TokenError> {
        let mut steps = steps(pointer);
        let first = steps.next().unwrap_or_default();
        self.must_be_here(&first)?;
        let Some(first) = self.all.get(&first) else {
            return Ok(Vec::new());
        };
        let mut found = vec![first];
        // What a `*` has found is there, so that nothing on the way below it may be missing.
        let mut each = false;
        for step in steps {
            let mut next = Vec::new();
            for value in found {
                match (step.as_str(), value) {
                    ("*", Value::Array(items)) => next.extend(items),
                    ("*", Value::Object(members)) => next.extend(members.values()),
                    ("*", _) => return Err(unreadable(pointer, value)),
                    (step, value) => match below(value, step) {
                        Some(Some(value)) => next.push(value),
                        Some(None) if !each => return Ok(Vec::new()),
                        _ => return Err(unreadable(pointer, value)),
                    },
                }
            }
            each |= step == "*";
            found = next;
        }
        let split = split.or_else(|| pointer.ends_with("/scope").then_some(" "));
        let split = split.or_else(|| pointer.ends_with("/scp").then_some(" "));
        let mut ids = Vec::new();
        for value in found {
            ids.extend(listed(value, split).ok_or_else(|| unreadable(pointer, value))?);
        }
        Ok(ids)
    }

    fn must_be_here(&self, name: &str) -> Result<(), TokenError> {
        if self.elsewhere.contains(&name) {
            let detail = format!(
                "the token says that claim {} is kept elsewhere",
                quoted(name)
            );
            return Err(unknown(&detail));
        }
        Ok(())
    }
}

/// The names on the way that a JSON pointer says.
fn steps(pointer: &str) -> impl Iterator<Item = String> + '_ {
    let names = pointer.split('/').skip(1);
    names.map(|name| name.replace("~1", "/").replace("~0", "~"))
}

/// What is below a value: none within where it is missing, none at all where nothing can be below.
fn below<'a>(value: &'a Value, step: &str) -> Option<Option<&'a Value>> {
    match value {
        Value::Object(members) => Some(members.get(step)),
        Value::Array(items) => {
            let place: usize = step.parse().ok()?;
            Some(items.get(place))
        }
        _ => None,
    }
}

/// The texts that a value lists; none where it is of no form that is read.
fn listed(value: &Value, split: Option<&str>) -> Option<Vec<String>> {
    match value {
        Value::Array(items) => items.iter().map(id).collect(),
        Value::String(text) => match split {
            Some("") => Some(vec![id(value)?]),
            Some(mark) => {
                let parts = text
                    .split(mark)
                    .map(str::trim)
                    .filter(|part| !part.is_empty());
                parts.map(|part| id(&Value::from(part))).collect()
            }
            // One name with a blank, or several names: the token does not say.
            None if text.contains([' ', ',', ';', '\t', '\n']) => None,
            None => Some(vec![id(value)?]),
        },
        Value::Object(members) => {
            let mut names = Vec::with_capacity(members.len());
            for (name, value) in members {
                if holds(value)? {
                    names.push(id(&Value::from(name.as_str()))?);
                }
            }
            Some(names)
        }
        one => Some(vec![id(one)?]),
    }
}

/// Whether an object whose names are roles says that its subject has this one: `true`, or an object that
/// says where (`{"<organisation>": "<domain>"}`). Other values have no meaning that is known.
fn holds(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(holds) => Some(*holds),
        Value::Object(members) if !members.is_empty() => {
            members.values().all(Value::is_string).then_some(true)
        }
        _ => None,
    }
}

/// A text, or a whole number written out.
fn id(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() && text.len() <= LONGEST_ID => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// A claim that is there and cannot be read. Its value is not told: it may be about a person.
fn unreadable(pointer: &str, value: &Value) -> TokenError {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(text) if text.is_empty() => "an empty text",
        Value::String(text) if text.len() > LONGEST_ID => "a long text",
        Value::String(_) => "a text that may be one name or several (set `split`)",
        Value::Array(items) if items.iter().any(Value::is_object) => {
            "a list with objects (name the member that counts, as in `/roles/*/name`)"
        }
        Value::Array(_) => "a list with something else than texts",
        Value::Object(_) => "an object whose names are not the values",
    };
    let detail = format!("claim `{pointer}` is there in a form that is not read: {kind}");
    TokenError::Unsuitable(detail.into())
}

fn unknown(detail: &str) -> TokenError {
    TokenError::Unsuitable(detail.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn pointers_reach_namespaces_and_lists() {
        let all = map(json!({"https://a/roles": ["x"], "a": {"b~c": [1, {"d": "e"}]}, "": 1}));
        let claims = Claims::new(&all).unwrap();
        let at = |pointer| claims.at(pointer).unwrap();
        assert_eq!(at("/https:~1~1a~1roles"), Some(&json!(["x"])));
        assert_eq!(at("/a/b~0c/1/d"), Some(&json!("e")));
        assert_eq!(at("/"), Some(&json!(1)));
        assert_eq!(at("/a/x"), None);
        assert_eq!(at("/a/b~0c/7"), None);
        assert_eq!(at("/x/y/z"), None);
        // What is below something that has no members is not missing: it is not as it should be.
        for pointer in ["/a/b~0c/0/x", "/a/b~0c/x", "//x"] {
            assert!(claims.at(pointer).is_err(), "{pointer}");
        }
    }

    #[track_caller]
    fn check(claim: Value, pointer: &str, split: Option<&str>, expect: Option<&[&str]>) {
        let all = map(json!({ "r": claim }));
        let list = Claims::new(&all).unwrap().list(pointer, split);
        match (list, expect) {
            (Ok(list), Some(expect)) => assert_eq!(list, expect, "{all:?}"),
            (Err(TokenError::Unsuitable(_)), None) => {}
            (list, _) => panic!("{all:?}: {list:?}"),
        }
    }

    #[test]
    fn lists_are_read_in_the_usual_forms() {
        check(json!(["a", "b c", 7]), "/r", None, Some(&["a", "b c", "7"]));
        check(json!([]), "/r", None, Some(&[]));
        check(json!("a"), "/r", None, Some(&["a"]));
        check(json!(7), "/r", None, Some(&["7"]));
        check(json!("a b"), "/r", Some(" "), Some(&["a", "b"]));
        check(json!("a, b"), "/r", Some(","), Some(&["a", "b"]));
        check(json!("a b"), "/r", Some(""), Some(&["a b"]));
        check(
            json!({"scope": "a  b"}),
            "/r/scope",
            None,
            Some(&["a", "b"]),
        );
        check(
            json!({"scp": ["a", "b"]}),
            "/r/scp",
            None,
            Some(&["a", "b"]),
        );
        check(
            json!({"a": {"312": "acme.example.com"}}),
            "/r",
            None,
            Some(&["a"]),
        );
        check(json!({"a": true, "b": false}), "/r", None, Some(&["a"]));
        check(json!({}), "/r", None, Some(&[]));
        check(
            json!([{"name": "a"}, {"name": "b"}]),
            "/r/*/name",
            None,
            Some(&["a", "b"]),
        );
        check(json!([]), "/r/*/name", None, Some(&[]));
        check(
            json!({"x": {"roles": ["a"]}, "y": {"roles": ["b"]}}),
            "/r/*/roles",
            None,
            Some(&["a", "b"]),
        );
        check(json!({"other": 1}), "/r/roles", None, Some(&[]));
        check(json!([]), "/x/*/y", None, Some(&[]));
    }

    #[test]
    fn what_is_there_in_another_form_is_not_an_empty_list() {
        for claim in [
            json!(null),
            json!(true),
            json!(1.5),
            json!(""),
            json!("a b"),
            json!("a,b"),
            json!([null]),
            json!(["a", ""]),
            json!(["a", 1.5]),
            json!(["a", ["b"]]),
            json!(["a", true]),
            json!([{"name": "a"}]),
            json!({"a": null}),
            json!({"a": "b"}),
            json!({"a": ["b"]}),
            json!({"a": {}}),
            json!({"a": {"roles": ["b"]}}),
            json!({"": true}),
            json!("x".repeat(LONGEST_ID + 1)),
        ] {
            check(claim, "/r", None, None);
        }
        for claim in [
            json!("a"),
            json!(null),
            json!([{"name": "a"}, {}]),
            json!([{"name": "a"}, "b"]),
            json!([{"name": {"en": ["a"]}}]),
            json!([{"name": null}]),
        ] {
            check(claim, "/r/*/name", None, None);
        }
        // Also what is on the way.
        for claim in [json!("a"), json!(null), json!(["a"]), json!(5)] {
            check(claim, "/r/roles", None, None);
        }
    }

    #[test]
    fn claims_that_are_kept_elsewhere_are_not_missing() {
        for more in [
            json!({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://x"}}}),
            json!({"_claim_names": {"groups": "src1"}}),
            json!({"_claim_names": {"groups": "src1"}, "groups": ["a"]}),
            json!({"hasgroups": true}),
            json!({"hasgroups": "true"}),
            json!({"http://schemas.microsoft.com/claims/groups.link": "https://x"}),
        ] {
            let all = map(more);
            let claims = Claims::new(&all).unwrap();
            for pointer in ["/groups", "/groups/*/id", "/groups/0"] {
                assert!(claims.list(pointer, None).is_err(), "{all:?}");
            }
            assert!(claims.at("/groups").is_err() && claims.text("/groups").is_err());
            assert_eq!(claims.list("/roles", None).unwrap(), [""; 0]);
        }
        for more in [
            json!({"_claim_names": ["groups"]}),
            json!({"_claim_names": null}),
            json!({"_claim_sources": {}}),
        ] {
            assert!(Claims::new(&map(more)).is_err());
        }
        let none = map(json!({"hasgroups": false}));
        assert!(Claims::new(&none).unwrap().list("/groups", None).is_ok());
    }
}
