//! What a JSON file holds, by its content.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// What a JSON text holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Policies,
    Links,
    Entities,
    Request,
    Schema,
}

/// What a JSON text plainly holds; `None` for what could be anything, is empty, or is not JSON.
pub(crate) fn of(text: &str) -> Option<Content> {
    let text = text.trim_start();
    match text.as_bytes().first()? {
        b'[' => {
            // Only the names of members are looked at, and nothing is kept.
            let List { uids, links, all } = serde_json::from_str(text).ok()?;
            if links > 0 {
                Some(Content::Links)
            } else if all > 0 && uids == all {
                Some(Content::Entities)
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
            } else if is_request(&members) {
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

/// A request names three entities. A policy with a typo in `effect` has its scope under the same names, and must
/// not be taken for one.
fn is_request(members: &Members<'_>) -> bool {
    let names_entity = |name: &str| {
        members.get(name).is_some_and(|raw| {
            let object: Result<Members<'_>, _> = serde_json::from_str(raw.get());
            match object {
                Ok(object) => {
                    let is = |name: &str| object.contains_key(name);
                    is("__entity") || (is("type") && is("id"))
                }
                Err(_) => raw.get().starts_with('"'),
            }
        })
    };
    let of_policy = ["conditions", "annotations"];
    ["principal", "action", "resource"]
        .into_iter()
        .all(names_entity)
        && !of_policy.iter().any(|name| members.contains_key(*name))
}

/// How many elements a list has, and how many of them have a member that only entities, or only links, have.
#[derive(Default)]
struct List {
    uids: usize,
    links: usize,
    all: usize,
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = List;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of objects")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<List, A::Error> {
                let mut list = List::default();
                while let Some(Element { is_entity, is_link }) = seq.next_element()? {
                    list.all += 1;
                    list.uids += usize::from(is_entity && !is_link);
                    list.links += usize::from(is_link);
                }
                Ok(list)
            }
        }
        deserializer.deserialize_seq(Visitor)
    }
}

/// What the names of an object's members say.
struct Element {
    is_entity: bool,
    is_link: bool,
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Element;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Element, A::Error> {
                let (mut is_entity, mut is_link, mut is_policy) = (false, false, false);
                while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                    is_entity |= name == "uid";
                    is_policy |= name == "effect" || name == "conditions";
                    is_link |= name == "template_id" || name == "link_id";
                    map.next_value::<serde::de::IgnoredAny>()?;
                }
                is_entity &= !is_policy;
                Ok(Element { is_entity, is_link })
            }
        }
        deserializer.deserialize_map(Visitor)
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
            (r#"[{"uid": {}}, {"uid": {}}]"#, Some(Content::Entities)),
            (
                r#"[{"uid": {}}, {"template_id": "t"}]"#,
                Some(Content::Links),
            ),
            (r#"[{"uid": {}}, {}]"#, None),
            (r#"[{"uid": {}, "effect": "forbid"}]"#, None),
            (r#"[{"uid": {}}, 7]"#, None),
            (
                r#"{"principal": "A::\"a\"", "action": {"type": "A", "id": "x"}, "resource": {"__entity": {}}}"#,
                Some(Content::Request),
            ),
            (
                r#"{"": {"entityTypes": {}, "actions": {}}}"#,
                Some(Content::Schema),
            ),
            // A typo must not hide a policy.
            (r#"{"staticPolicy": {}}"#, None),
            (
                r#"{"efect": "forbid", "principal": {"op": "All"}, "action": {"op": "All"}, "resource": {"op": "All"}}"#,
                None,
            ),
            (
                r#"{"principal": "a", "action": "b", "resource": "c", "conditions": []}"#,
                None,
            ),
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
