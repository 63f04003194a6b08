//! Masks: what no sink may see, by JSON pointer.
//!
//! A masked value becomes a keyed hash of it, so that equal values stay equal. A text that is masked
//! in one place is masked wherever the same record holds it as a whole value: the id of a principal
//! stands in inline entities too.

use std::collections::HashSet;

use serde_json::Value;

use super::canonical::MaskKey;
use crate::base::json::Pointer;
use crate::service::config::MASKABLE;

/// What is masked, and with which key.
#[derive(Debug)]
pub(crate) struct Masks {
    pointers: Vec<Pointer>,
    key: MaskKey,
}

impl Masks {
    pub(super) fn new(mut pointers: Vec<Pointer>, key: MaskKey) -> Self {
        // What lies within goes first, and nothing is masked twice.
        pointers.sort_by_key(|pointer| std::cmp::Reverse(pointer.depth()));
        pointers.dedup();
        Self { pointers, key }
    }

    /// Masks a record.
    pub(super) fn apply(&self, record: &mut Value) {
        let mut hidden = HashSet::new();
        for pointer in &self.pointers {
            pointer.visit(record, &mut |value| {
                texts(value, &mut hidden);
                *value = Value::String(self.key.mask(value));
            });
        }
        if hidden.is_empty() {
            return;
        }
        let members = record.as_object_mut().into_iter().flatten();
        for (_, member) in members.filter(|(name, _)| MASKABLE.contains(&name.as_str())) {
            self.hide(member, &hidden);
        }
    }

    /// Masks every text that is among the hidden ones.
    fn hide(&self, value: &mut Value, hidden: &HashSet<String>) {
        match value {
            Value::String(text) if hidden.contains(text.as_str()) => {
                *value = Value::String(self.key.mask(value));
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.hide(item, hidden)),
            Value::Object(object) => object.values_mut().for_each(|item| self.hide(item, hidden)),
            _ => {}
        }
    }
}

/// The texts that a masked value holds, but for the names of types and functions: those say nothing
/// about anybody, and hiding them everywhere would hide the shape of the record.
fn texts(value: &Value, found: &mut HashSet<String>) {
    match value {
        Value::String(text) => {
            found.insert(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(object) => {
            for (name, item) in object {
                if !(matches!(name.as_str(), "type" | "fn") && item.is_string()) {
                    texts(item, found);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    use crate::service::config::mask;

    fn masks(pointers: &[&str]) -> Masks {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "a key of sixteen bytes").unwrap();
        let secret = crate::service::config::SecretRef::File(path)
            .read()
            .unwrap();
        let pointers = pointers.iter().map(|text| mask(text).unwrap());
        Masks::new(pointers.collect(), MaskKey::new(&secret).unwrap())
    }

    #[track_caller]
    fn check(pointers: &[&str], record: Value, expect: Value) {
        let masks = masks(pointers);
        let mut got = record;
        masks.apply(&mut got);
        fn fill(expect: Value, key: &MaskKey) -> Value {
            match expect {
                Value::Object(object) if object.contains_key("$") => key.mask(&object["$"]).into(),
                Value::Object(object) => object
                    .into_iter()
                    .map(|(name, value)| (name, fill(value, key)))
                    .collect(),
                Value::Array(items) => items.into_iter().map(|item| fill(item, key)).collect(),
                other => other,
            }
        }
        assert_eq!(got, fill(expect, &masks.key));
    }

    #[test]
    fn what_a_pointer_names_is_masked() {
        check(
            &["/request/context/ssn", "/request/entities/*/attrs/email"],
            json!({"request": {"context": {"ssn": 7, "mfa": true}, "entities": [
                {"attrs": {"email": "a@x", "age": 3}}, {"attrs": {}}, 5]}}),
            json!({"request": {"context": {"ssn": {"$": 7}, "mfa": true}, "entities": [
                {"attrs": {"email": {"$": "a@x"}, "age": 3}}, {"attrs": {}}, 5]}}),
        );
    }

    #[test]
    fn a_masked_text_is_masked_wherever_it_stands_as_a_value() {
        check(
            &["/request/principal/id", "/request/context/address"],
            json!({
                "caller": "shop", "id": "alice", "prev": "alice",
                "request": {
                    "principal": {"type": "User", "id": "alice"},
                    "context": {"address": {"type": "home", "street": "Elm"}, "of": ["alice", "alice's"]},
                },
                "slice": [{"uid": {"type": "User", "id": "alice"}, "attrs": {"home": "Elm", "kind": "home"}}],
            }),
            json!({
                "caller": "shop", "id": "alice", "prev": "alice",
                "request": {
                    "principal": {"type": "User", "id": {"$": "alice"}},
                    "context": {
                        "address": {"$": {"type": "home", "street": "Elm"}},
                        "of": [{"$": "alice"}, "alice's"],
                    },
                },
                "slice": [{
                    "uid": {"type": "User", "id": {"$": "alice"}},
                    "attrs": {"home": {"$": "Elm"}, "kind": "home"},
                }],
            }),
        );
    }

    #[test]
    fn masks_within_masks_change_nothing() {
        check(
            &["/request/context/a", "/request/context", "/request/context"],
            json!({"request": {"context": {"a": "x"}, "purpose": "x"}}),
            json!({"request": {
                "context": {"$": {"a": masks(&["/request"]).key.mask(&json!("x"))}},
                "purpose": {"$": "x"},
            }}),
        );
    }

    #[test]
    fn only_content_can_be_masked() {
        for (text, expect) in [
            ("request", "expected `/`"),
            ("", "expected `/`"),
            ("/prev", "begins with none of"),
            ("/*/id", "begins with none of"),
            ("/request/~2", "`~0`"),
        ] {
            let error = mask(text).unwrap_err();
            assert!(error.contains(expect), "{text}: {error}");
        }
    }
}
