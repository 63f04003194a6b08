//! What a JSON file holds, by its content.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// What a JSON text holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Policies,
    Links,
    Entities,
    Request,
    Schema,
}

/// What a JSON text plainly holds; `None` for what could be anything, is empty, or is not JSON.
pub(super) fn of(text: &str) -> Option<Content> {
    let text = text.trim_start();
    match text.as_bytes().first()? {
        b'[' => {
            // Only the first element is looked at, and nothing of a list of a million is kept.
            let first = serde_json::from_str::<First>(text).ok()?.0?;
            if first.contains_key("uid") {
                Some(Content::Entities)
            } else if first.contains_key("template_id") || first.contains_key("link_id") {
                Some(Content::Links)
            } else {
                None
            }
        }
        b'{' => {
            let members: Members<'_> = serde_json::from_str(text).ok()?;
            let has = |name: &str| members.contains_key(name);
            let has_any = |names: &[&str]| names.iter().any(|name| has(name));
            if has_any(&["staticPolicies", "templates", "templateLinks", "effect"]) {
                Some(Content::Policies)
            } else if has("principal") && has("action") && has("resource") {
                Some(Content::Request)
            } else if !members.is_empty() && members.values().all(|raw| is_namespace(raw)) {
                Some(Content::Schema)
            } else {
                None
            }
        }
        _ => None,
    }
}

type Members<'a> = BTreeMap<String, &'a RawValue>;

/// A namespace of a schema in JSON.
fn is_namespace(raw: &RawValue) -> bool {
    let members: Result<Members<'_>, _> = serde_json::from_str(raw.get());
    members
        .is_ok_and(|members| members.contains_key("entityTypes") && members.contains_key("actions"))
}

/// The first element of a list, if it is an object; the others are passed over.
struct First(Option<BTreeMap<String, serde::de::IgnoredAny>>);

impl<'de> Deserialize<'de> for First {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = First;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of objects")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<First, A::Error> {
                let first = seq.next_element()?;
                while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {}
                Ok(First(first))
            }
        }
        deserializer.deserialize_seq(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_told_by_what_only_it_has() {
        let cases = [
            (r#"{"staticPolicies": {}}"#, Some(Content::Policies)),
            (
                r#"{"effect": "permit", "principal": {}, "action": {}, "resource": {}}"#,
                Some(Content::Policies),
            ),
            (
                r#" [{"template_id": "t", "link_id": "l", "args": {}}]"#,
                Some(Content::Links),
            ),
            (r#"[{"uid": {}}, 7]"#, Some(Content::Entities)),
            (
                r#"{"principal": "", "action": "", "resource": "", "context": {}}"#,
                Some(Content::Request),
            ),
            (
                r#"{"": {"entityTypes": {}, "actions": {}}}"#,
                Some(Content::Schema),
            ),
            // A typo must not hide a policy.
            (r#"{"staticPolicy": {}}"#, None),
            (r#"{"principal": {}, "action": {}}"#, None),
            ("{}", None),
            ("[]", None),
            ("[7]", None),
            ("", None),
            ("permit(principal, action, resource);", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(of(text), wanted, "{text}");
        }
    }
}
