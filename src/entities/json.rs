//! Values from JSON: the forms Cedar reads, and no others.
//!
//! Enters: parsed JSON with explicit escapes. Leaves: a [`RawValue`], or the reason why Cedar would
//! refuse it too. Where Cedar would take an unknown (`unknown("..")`) or nest deeper than
//! [`VALUE_DEPTH`], this reader refuses.

use super::convert::RawValue;
use super::ext::apply;
use super::value::Value;
use crate::base::entity_ref::is_type_name;
use thiserror::Error;

/// Values nested deeper than this are refused.
pub(crate) const VALUE_DEPTH: usize = 128;

/// A value that is not in Cedar's JSON format.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum ValueError {
    /// JSON `null`.
    #[error("`null` is not a Cedar value")]
    Null,
    /// A number with a fraction or out of range.
    #[error("`{0}` is not a 64-bit integer")]
    NotLong(String),
    /// An escape that is not of the known form.
    #[error("malformed escape `{0}`")]
    Escape(&'static str),
    /// A name that is not an entity type.
    #[error("`{0}` is not an entity type")]
    TypeName(String),
    /// A call that is of no extension function, or that fails.
    #[error("`{0}` does not take this argument")]
    Function(String),
    /// A declared member that is required and not there.
    #[error("a required member is missing")]
    Missing,
    /// A member that the declared type does not have.
    #[error("a member that is not declared")]
    Unexpected,
    /// Something of another kind than the declared type asks for.
    #[error("expected {0}")]
    Expected(&'static str),
    /// The request may cause no more work.
    #[error("reading it takes more work than a request may cause")]
    Exhausted,
    /// Nested beyond [`VALUE_DEPTH`].
    #[error("nested deeper than {VALUE_DEPTH}")]
    TooDeep,
}

type Json = serde_json::Value;
type Object = serde_json::Map<String, Json>;

impl RawValue {
    /// The value of Cedar's JSON format with explicit escapes.
    pub(crate) fn from_json(json: &Json) -> Result<Self, ValueError> {
        if has_unknown(json) {
            return Err(ValueError::Escape("__extn"));
        }
        plain(json, VALUE_DEPTH)
    }
}

/// Whether a value holds what would be an unknown to Cedar, or is too deep to tell. Nothing here is
/// evaluated in part.
pub(crate) fn has_unknown(json: &Json) -> bool {
    fn within(json: &Json, depth: usize) -> bool {
        match json {
            Json::Object(object) => {
                let function = object.get("__extn").and_then(|call| call.get("fn"));
                depth == 0
                    || function.and_then(Json::as_str) == Some("unknown")
                    || object.values().any(|value| within(value, depth - 1))
            }
            Json::Array(items) => depth == 0 || items.iter().any(|item| within(item, depth - 1)),
            _ => false,
        }
    }
    within(json, 2 * VALUE_DEPTH)
}

/// Whether an attribute or a tag of an entity does.
pub(crate) fn entity_has_unknown(json: &Json) -> bool {
    let object = |member: &str| json.get(member).and_then(Json::as_object);
    let attrs = object("attrs").into_iter().flatten();
    attrs
        .chain(object("tags").into_iter().flatten())
        .any(|(_, value)| has_unknown(value))
}

pub(super) fn plain(json: &Json, depth: usize) -> Result<RawValue, ValueError> {
    let inner = depth.checked_sub(1).ok_or(ValueError::TooDeep)?;
    Ok(match json {
        Json::Null => return Err(ValueError::Null),
        Json::Bool(v) => RawValue::Plain(Value::Bool(*v)),
        Json::Number(v) => RawValue::Plain(Value::Long(
            v.as_i64()
                .ok_or_else(|| ValueError::NotLong(v.to_string()))?,
        )),
        Json::String(v) => RawValue::Plain(Value::Str(v.as_str().into())),
        Json::Array(items) => RawValue::Set(
            items
                .iter()
                .map(|item| plain(item, inner))
                .collect::<Result<_, _>>()?,
        ),
        Json::Object(object) => match escape(object, inner)? {
            Some(value) => value,
            None => RawValue::Record(
                object
                    .iter()
                    .map(|(name, value)| Ok((name.as_str().into(), plain(value, inner)?)))
                    .collect::<Result<_, ValueError>>()?,
            ),
        },
    })
}

/// Type and id of an entity reference whose escape may be left out.
pub(crate) fn entity_ref(json: &Json) -> Result<(&str, &str), ValueError> {
    if json.get("__expr").is_some_and(Json::is_string) {
        return Err(ValueError::Escape("__expr"));
    }
    let explicit = json.get("__entity").and_then(type_and_id);
    let (ty, id) = explicit
        .or_else(|| type_and_id(json))
        .ok_or(ValueError::Expected("an entity reference"))?;
    if is_type_name(ty) {
        Ok((ty, id))
    } else {
        Err(ValueError::TypeName(ty.to_owned()))
    }
}

/// As an object, or as a list of both.
fn type_and_id(json: &Json) -> Option<(&str, &str)> {
    match json {
        Json::Array(items) => match items.as_slice() {
            [Json::String(ty), Json::String(id)] => Some((ty, id)),
            _ => None,
        },
        _ => Some((json.get("type")?.as_str()?, json.get("id")?.as_str()?)),
    }
}

/// The value an escape stands for; `None` where the object is a plain record.
fn escape(object: &Object, depth: usize) -> Result<Option<RawValue>, ValueError> {
    if object.len() != 1 {
        return Ok(None);
    }
    if object.get("__expr").is_some_and(Json::is_string) {
        return Err(ValueError::Escape("__expr"));
    }
    // What an escape does not use must be readable all the same.
    let readable = || {
        if object.values().all(is_readable) {
            Ok(())
        } else {
            Err(ValueError::NotLong("a number".to_owned()))
        }
    };
    if let Some(inner @ Json::Object(_)) = object.get("__entity")
        && let Some((ty, id)) = type_and_id(inner)
    {
        readable()?;
        if !is_type_name(ty) {
            return Err(ValueError::TypeName(ty.to_owned()));
        }
        return Ok(Some(RawValue::Entity(ty.into(), id.into())));
    }
    match object.get("__extn").and_then(call_of) {
        Some((function, args)) => {
            readable()?;
            let args = args
                .iter()
                .map(|arg| plain(arg, depth))
                .collect::<Result<Vec<_>, _>>()?;
            called(function, &args).map(Some)
        }
        None => Ok(None),
    }
}

/// Function and arguments of a call.
fn call_of(json: &Json) -> Option<(&str, &[Json])> {
    let function = json.get("fn")?.as_str()?;
    let args = match (json.get("arg"), json.get("args")) {
        (Some(arg), _) => std::slice::from_ref(arg),
        (None, Some(Json::Array(args))) => args,
        _ => return None,
    };
    Some((function, args))
}

/// The same where a part that cannot be read is as good as none.
pub(super) fn call_of_readable(json: &Json) -> Option<(&str, &[Json])> {
    let function = json.get("fn")?.as_str()?;
    if let Some(arg) = json.get("arg").filter(|arg| is_readable(arg)) {
        return Some((function, std::slice::from_ref(arg)));
    }
    let args = json.get("args")?.as_array()?;
    args.iter().all(is_readable).then_some((function, args))
}

pub(super) fn called(function: &str, args: &[RawValue]) -> Result<RawValue, ValueError> {
    let plain: Option<Vec<Value>> = args
        .iter()
        .map(|arg| {
            if let RawValue::Plain(value) = arg {
                Some(value.clone())
            } else {
                None
            }
        })
        .collect();
    let value = plain.and_then(|args| apply(function, &args));
    value
        .map(RawValue::Plain)
        .ok_or_else(|| ValueError::Function(function.to_owned()))
}

/// Whether every number in it is an integer of 64 bits, so that it can be an argument at all.
fn is_readable(json: &Json) -> bool {
    let mut waiting = vec![json];
    while let Some(json) = waiting.pop() {
        match json {
            Json::Number(number) if number.as_i64().is_none() => return false,
            Json::Array(items) => waiting.extend(items),
            Json::Object(object) => waiting.extend(object.values()),
            _ => {}
        }
    }
    true
}
