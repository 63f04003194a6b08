//! JSON Merge Patch (RFC 7396) for entities.
//!
//! `attrs` and `tags` are merged by name, records within them too; `null` removes a member. Lists, `parents`
//! among them, are replaced. A Cedar value that is written as an object with `__entity` or `__extn` is one
//! value: it is replaced, never merged.

use serde_json::{Map, Value, json};

use super::json::VALUE_DEPTH;

/// Merges `patch` into `entity`, which has `attrs`, `parents` and `tags`. Other members of the patch are
/// ignored.
///
/// # Errors
/// The JSON pointer of what cannot be merged, and why.
pub(crate) fn merge(
    entity: &mut Map<String, Value>,
    patch: &Map<String, Value>,
) -> Result<(), (String, String)> {
    for (member, none) in [
        ("attrs", json!({})),
        ("tags", json!({})),
        ("parents", json!([])),
    ] {
        let Some(change) = patch.get(member) else {
            continue;
        };
        if change.is_null() {
            entity.insert(member.to_owned(), none);
            continue;
        }
        let fits = change.is_object() == none.is_object() && change.is_array() == none.is_array();
        if !fits {
            let what = if none.is_array() {
                "a list"
            } else {
                "an object"
            };
            return Err((format!("/{member}"), format!("expected {what} or null")));
        }
        let known = entity.entry(member).or_insert(none);
        if apply(known, change, VALUE_DEPTH).is_none() {
            return Err((format!("/{member}"), "nested too deep".to_owned()));
        }
    }
    Ok(())
}

/// `None` where the patch is nested deeper than `depth`.
fn apply(target: &mut Value, patch: &Value, depth: usize) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return Some(());
    };
    if is_value(changes) {
        *target = patch.clone();
        return Some(());
    }
    if target.as_object().is_none_or(is_value) {
        *target = json!({});
    }
    let known = target.as_object_mut()?;
    for (name, change) in changes {
        if change.is_null() {
            known.remove(name);
        } else {
            apply(known.entry(name).or_insert(Value::Null), change, depth)?;
        }
    }
    Some(())
}

/// Whether an object is the escape of a single value.
fn is_value(object: &Map<String, Value>) -> bool {
    ["__entity", "__extn", "__expr"]
        .iter()
        .any(|escape| object.contains_key(*escape))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(entity: Value, patch: Value, expected: Value) {
        let mut merged = entity.as_object().unwrap().clone();
        merge(&mut merged, patch.as_object().unwrap()).unwrap();
        assert_eq!(Value::Object(merged), expected);
    }

    #[test]
    fn members_are_merged_and_null_removes_one() {
        check(
            json!({"attrs": {"a": 1, "b": 2, "r": {"x": 1, "y": 2}}, "parents": [1, 2], "tags": {"t": 1}}),
            json!({"attrs": {"a": null, "c": 3, "r": {"x": null, "z": {"n": null, "m": 1}}}, "tags": {"u": 2}}),
            json!({"attrs": {"b": 2, "c": 3, "r": {"y": 2, "z": {"m": 1}}}, "parents": [1, 2], "tags": {"t": 1, "u": 2}}),
        );
        check(
            json!({"attrs": {"a": 1}, "parents": [1, 2], "tags": {"t": 1}}),
            json!({"attrs": null, "parents": [3], "tags": null}),
            json!({"attrs": {}, "parents": [3], "tags": {}}),
        );
    }

    #[test]
    fn escaped_values_and_lists_are_replaced() {
        let ip = |arg: &str| json!({"__extn": {"fn": "ip", "arg": arg}});
        let user = |id: &str| json!({"__entity": {"type": "U", "id": id}});
        check(
            json!({"attrs": {"ip": ip("1.1.1.1"), "boss": user("a"), "s": [1, 2], "r": {"k": 1}}}),
            json!({"attrs": {"ip": ip("2.2.2.2"), "boss": {"type": "U", "id": "b"}, "s": [3], "r": user("c")}}),
            json!({"attrs": {"ip": ip("2.2.2.2"), "boss": {"type": "U", "id": "b"}, "s": [3], "r": user("c")}}),
        );
    }

    #[test]
    fn what_has_another_form_or_is_too_deep_is_refused() {
        let merged = |patch: Value| merge(&mut Map::new(), patch.as_object().unwrap());
        assert_eq!(merged(json!({"attrs": 1})).unwrap_err().0, "/attrs");
        assert_eq!(merged(json!({"parents": {}})).unwrap_err().0, "/parents");
        let mut deep = json!(1);
        for _ in 0..1_000 {
            deep = json!({ "a": deep });
        }
        assert!(
            merged(json!({ "attrs": deep }))
                .unwrap_err()
                .1
                .contains("deep")
        );
    }
}
