//! The common body of `POST /authorize`, read in one pass without a tree.
//!
//! Whatever is not of the common kind, faulty or merely rare, is left to [`super::read`], which names
//! every fault: nothing is refused here, and what is taken here is what would be taken there.

use std::borrow::Cow;

use super::cursor::{Cursor, Name};
use super::read::{MAX_REQUEST_ID, MAX_TOKEN, nobody};
use super::{Body, Context, ContextValue, Limits, Pending, Purpose, Request};
use crate::base::caller::{Caller, Scope};
use crate::base::entity_ref::EntityRef;
use crate::base::json::{Strict, levels};

/// Contexts of more members are left to the other reader, whose search for a name that is there twice does not
/// grow with their number.
const MOST_MEMBERS: usize = 64;

/// Reads a body of the common kind.
pub(super) fn read(body: &[u8], limits: &Limits, caller: &Caller) -> Option<Body> {
    let wire = Wire::read(std::str::from_utf8(body).ok()?, limits)?;
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
        (Some(principal), None) => (principal, None),
        (None, Some(token)) if !token.is_empty() && token.len() <= MAX_TOKEN => {
            (nobody()?, Some(token.into_owned()))
        }
        _ => return None,
    };
    let request = Request {
        principal,
        action: wire.action?,
        resource: wire.resource?,
        context: wire.context.unwrap_or_default(),
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

/// The members of a common body; none of them may be there twice, and there is no other.
#[derive(Default)]
struct Wire<'a> {
    principal: Option<EntityRef>,
    token: Option<Cow<'a, str>>,
    action: Option<EntityRef>,
    resource: Option<EntityRef>,
    context: Option<Context>,
    explain: Option<bool>,
    at_least: Option<u64>,
    request_id: Option<Cow<'a, str>>,
}

/// In the order in which they are expected.
const MEMBERS: [Name; 8] = [
    Name::new("\"principal\":"),
    Name::new("\"action\":"),
    Name::new("\"resource\":"),
    Name::new("\"context\":"),
    Name::new("\"token\":"),
    Name::new("\"explain\":"),
    Name::new("\"atLeast\":"),
    Name::new("\"requestId\":"),
];
/// Of an entity, in the same way.
const ENTITY: [Name; 2] = [Name::new("\"type\":"), Name::new("\"id\":")];

impl<'a> Wire<'a> {
    fn read(body: &'a str, limits: &Limits) -> Option<Self> {
        let mut wire = Self::default();
        let mut cursor = Cursor::new(body);
        cursor.members(&MEMBERS, |cursor, at| match at {
            0 => once(&mut wire.principal, entity(cursor)?),
            1 => once(&mut wire.action, entity(cursor)?),
            2 => once(&mut wire.resource, entity(cursor)?),
            3 => once(&mut wire.context, context(cursor, limits)?),
            4 => once(&mut wire.token, cursor.text()?),
            5 => once(&mut wire.explain, cursor.boolean()?),
            6 => once(&mut wire.at_least, cursor.long()?.try_into().ok()?),
            7 => once(&mut wire.request_id, cursor.text()?),
            _ => None,
        })?;
        cursor.end()?;
        Some(wire)
    }
}

/// Sets what was not set before.
fn once<T>(member: &mut Option<T>, value: T) -> Option<()> {
    match member.replace(value) {
        None => Some(()),
        Some(_) => None,
    }
}

/// An entity as `"Type::\"id\""` or as `{"type", "id"}`.
fn entity(cursor: &mut Cursor<'_>) -> Option<EntityRef> {
    if cursor.peek()? == b'"' {
        return cursor.text()?.parse().ok();
    }
    let (mut ty, mut id) = (None, None);
    cursor.members(&ENTITY, |cursor, at| match at {
        0 => once(&mut ty, cursor.text()?),
        _ => once(&mut id, cursor.text()?),
    })?;
    EntityRef::of(&ty?, &id?).ok()
}

fn context(cursor: &mut Cursor<'_>, limits: &Limits) -> Option<Context> {
    let mut context = Context::begin();
    // The body is one level, the context the next.
    let deepest = limits.json_depth.checked_sub(2)?;
    // One bit of each name: most names are told apart by it alone.
    let mut seen = 0_u64;
    cursor.object(|cursor, name| {
        let last = name.as_bytes().last().copied().unwrap_or(0);
        let bit = 1 << ((name.len() ^ usize::from(last)) & 63);
        if seen & bit != 0 && context.contains(name) || context.len() == MOST_MEMBERS {
            return None;
        }
        seen |= bit;
        let value = match cursor.peek()? {
            b'"' => ContextValue::Text(cursor.text()?.into()),
            b't' | b'f' => ContextValue::Bool(cursor.boolean()?),
            b'-' | b'0'..=b'9' => ContextValue::Long(cursor.long()?),
            _ => {
                let Strict(value) = cursor.value()?;
                if levels(&value) > deepest {
                    return None;
                }
                value.into()
            }
        };
        context.push(name, value);
        Some(())
    })?;
    Some(context)
}

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
