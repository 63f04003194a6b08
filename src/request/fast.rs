//! The common body of `POST /authorize`, read in one pass without a tree.
//!
//! Whatever is not of the common kind, faulty or merely rare, is left to [`super::read`], which names
//! every fault: nothing is refused here, and what is taken here is what would be taken there.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::read::{MAX_REQUEST_ID, MAX_TOKEN, nobody};
use super::{Body, Limits, Pending, Purpose, Request};
use crate::base::caller::{Caller, Scope};
use crate::base::entity_ref::EntityRef;
use crate::base::json::{Strict, levels};

/// Reads a body of the common kind.
pub(super) fn read(body: &[u8], limits: &Limits, caller: &Caller) -> Option<Body> {
    let text = std::str::from_utf8(body).ok()?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let wire = Wire::deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    let context = match wire.context {
        Some(Strict(Value::Object(context))) => context,
        Some(_) => return None,
        None => Map::new(),
    };
    // The body is one level, the context the next.
    let deepest = context.values().map(levels).max().unwrap_or(0);
    if deepest + 2 > limits.json_depth {
        return None;
    }
    let explain = wire.explain.unwrap_or(false);
    if explain && !caller.has(Scope::Explain) {
        return None;
    }
    let request_id = match wire.request_id {
        Some(id) if id.len() > MAX_REQUEST_ID => return None,
        Some(id) if !id.bytes().all(|b| (0x20..0x7f).contains(&b)) => return None,
        id => id.map(Cow::into_owned),
    };
    let (principal, token) = match (wire.principal, wire.token) {
        (Some(principal), None) => (principal.0, None),
        (None, Some(token)) if !token.is_empty() && token.len() <= MAX_TOKEN => {
            (nobody()?, Some(token.into_owned()))
        }
        _ => return None,
    };
    let request = Request {
        principal,
        action: wire.action.0,
        resource: wire.resource.0,
        context,
        entities: Vec::new(),
        facts: None,
        authentication: None,
        obligations: Vec::new(),
        client: None,
        signals: None,
        purpose: Purpose::Enforce,
        explain,
        at_least: wire.at_least,
        request_id,
        trace: None,
        now: None,
        caller: caller.clone(),
    };
    Some(match token {
        None => Body::Whole(request),
        Some(token) => Body::WithToken(Pending { token, request }),
    })
}

/// Serde refuses unknown members and those that appear twice.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(default, deserialize_with = "present")]
    principal: Option<Name>,
    #[serde(default, borrow, deserialize_with = "present")]
    token: Option<Cow<'a, str>>,
    action: Name,
    resource: Name,
    #[serde(default, deserialize_with = "present")]
    context: Option<Strict>,
    #[serde(default, deserialize_with = "present")]
    explain: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    at_least: Option<u64>,
    #[serde(default, borrow, deserialize_with = "present")]
    request_id: Option<Cow<'a, str>>,
}

/// A member that is there; `null` is a value like any other.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    reader: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(reader).map(Some)
}

struct Name(EntityRef);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_any(NameVisitor).map(Name)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = EntityRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entity")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<EntityRef, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<EntityRef, A::Error> {
        let (mut ty, mut id): (Option<Text<'de>>, Option<Text<'de>>) = (None, None);
        while let Some(name) = members.next_key::<Text<'de>>()? {
            let member = match &*name.0 {
                "type" => &mut ty,
                "id" => &mut id,
                _ => return Err(A::Error::custom("unknown")),
            };
            if member.replace(members.next_value()?).is_some() {
                return Err(A::Error::custom("twice"));
            }
        }
        let (Some(ty), Some(id)) = (ty, id) else {
            return Err(A::Error::custom("missing"));
        };
        EntityRef::of(&ty.0, &id.0).map_err(A::Error::custom)
    }
}

/// A text, borrowed where it holds no escape.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::read::read as slow;

    #[track_caller]
    fn check(body: &str, taken: bool) {
        let limits = Limits {
            json_depth: 4,
            ..Limits::default()
        };
        let caller = Caller::library();
        let fast = read(body.as_bytes(), &limits, &caller);
        assert_eq!(fast.is_some(), taken, "{body}");
        if let Some(fast) = fast {
            let slow = slow(body.as_bytes(), &limits, caller).unwrap();
            assert_eq!(format!("{fast:?}"), format!("{slow:?}"));
        }
    }

    #[test]
    fn takes_nothing_that_the_slow_reader_would_read_otherwise() {
        let body = |more: &str| {
            format!(
                r#"{{"principal":{{"type":"A::U","id":"a\n"}},"action":"Action::\"x\"","resource":{{"id":"","type":"R"}}{more}}}"#
            )
        };
        check(&body(""), true);
        check(
            &body(
                r#","context":{"a":1,"b":[{}]},"explain":true,"atLeast":3,"requestId":"x"}"#[..]
                    .trim_end_matches('}'),
            ),
            true,
        );
        check(&body(r#","context":{"a":[[[1]]]}"#), false);
        check(&body(r#","context":{"a":[1],"a":2}"#), false);
        check(&body(r#","context":{"a":{"b":1,"b":2}}"#), false);
        check(&body(r#","context":null"#), false);
        check(&body(r#","context":[]"#), false);
        check(&body(r#","explain":null"#), false);
        check(&body(r#","atLeast":-1"#), false);
        check(&body(r#","requestId":"é""#), false);
        check(&body(r#","obligations":["x"]"#), false);
        check(&body(r#","entities":[]"#), false);
        check(&body(r#","principal":"U::\"b\"""#), false);
        check(&body(r#","more":1"#), false);
        check(
            r#"{"principal":{"type":"U","id":"a","id":"b"},"action":"A::\"x\"","resource":"R::\"r\""}"#,
            false,
        );
        check(
            r#"{"principal":{"type":"no type","id":"a"},"action":"A::\"x\"","resource":"R::\"r\""}"#,
            false,
        );
        check(r#"{"principal":"U::\"a\"","action":"A::\"x\""}"#, false);
        check(
            r#"{"token":"a.b.c","action":"A::\"x\"","resource":"R::\"r\""}"#,
            true,
        );
        check(&body(r#","token":"a.b.c""#), false);
        check(
            r#"{"token":"","action":"A::\"x\"","resource":"R::\"r\""}"#,
            false,
        );
        check("[]", false);
        check(&format!("{} x", body("")), false);
    }
}
