//! Values from JSON where a schema declares their type: read and checked in one pass.
//!
//! Enters: parsed JSON and the declared type. Leaves: a [`RawValue`] of that type, or the reason why Cedar
//! would refuse it too. The escapes `__entity` and `__extn` may be left out, as in Cedar.

use super::convert::RawValue;
use super::json::{
    VALUE_DEPTH, ValueError, call_of_readable, called, entity_ref, has_unknown, plain,
};
use super::value::Value;
use crate::base::meter::Meter;
use crate::schema::ExtFn;
use crate::schema::{Member, Model, Type};
use cedar_policy::pst::SmolStr;
use serde_json::Value as Json;
use std::collections::BTreeMap;

type Object = serde_json::Map<String, Json>;

/// Reads by the declarations of one schema.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Typed<'a> {
    pub(crate) model: &'a Model,
    /// What pays for reading, where a request is read.
    meter: Option<&'a Meter>,
}

impl<'a> Typed<'a> {
    /// Reads by the declarations of `model`.
    pub(crate) fn new(model: &'a Model) -> Self {
        Self { model, meter: None }
    }

    /// The same, paid for by `meter`.
    pub(crate) fn charged(model: &'a Model, meter: &'a Meter) -> Self {
        let meter = Some(meter);
        Self { model, meter }
    }

    /// A value of the declared type.
    pub(crate) fn value(&self, json: &Json, ty: &Type) -> Result<RawValue, ValueError> {
        if has_unknown(json) {
            return Err(ValueError::Escape("__extn"));
        }
        self.read(json, ty, VALUE_DEPTH)
    }

    /// Calls `take` for every member of a record of the declared members.
    pub(crate) fn members<'j>(
        &self,
        object: &'j Object,
        declared: &BTreeMap<String, Member>,
        mut take: impl FnMut(&'j str, RawValue),
    ) -> Result<(), ValueError> {
        if object.values().any(has_unknown) {
            return Err(ValueError::Escape("__extn"));
        }
        self.read_members(object, declared, VALUE_DEPTH, &mut take)
    }

    /// A value of the declared type as a member of a context, which is one level itself.
    pub(crate) fn member(&self, json: &Json, ty: &Type) -> Result<RawValue, ValueError> {
        if has_unknown(json) {
            return Err(ValueError::Escape("__extn"));
        }
        self.read(json, ty, VALUE_DEPTH - 1)
    }

    /// Whether the type is declared and, where it lists its ids, lists this one.
    pub(crate) fn is_declared(&self, ty: &str, id: &str) -> bool {
        self.model.entity(ty).is_some_and(|entity| {
            let ids = entity.ids.as_ref();
            ids.is_none_or(|ids| ids.binary_search_by(|known| known.as_str().cmp(id)).is_ok())
        })
    }

    fn read_members<'j>(
        &self,
        object: &'j Object,
        declared: &BTreeMap<String, Member>,
        depth: usize,
        take: &mut impl FnMut(&'j str, RawValue),
    ) -> Result<(), ValueError> {
        let inner = depth.checked_sub(1).ok_or(ValueError::TooDeep)?;
        let mut required = 0;
        for (name, json) in object {
            let member = declared.get(name).ok_or(ValueError::Unexpected)?;
            required += usize::from(member.required);
            take(name, self.read(json, &member.ty, inner)?);
        }
        // Every declared member is looked at, however few there are.
        let looked_at = declared.len() as u64 / 4;
        if self.meter.is_some_and(|meter| !meter.take(looked_at)) {
            return Err(ValueError::Exhausted);
        }
        let wanted = declared.values().filter(|member| member.required).count();
        if required < wanted {
            return Err(ValueError::Missing);
        }
        Ok(())
    }

    fn read(&self, json: &Json, ty: &Type, depth: usize) -> Result<RawValue, ValueError> {
        let inner = depth.checked_sub(1).ok_or(ValueError::TooDeep)?;
        let scalar = |is: fn(&Value) -> bool, expected| match plain(json, depth)? {
            RawValue::Plain(value) if is(&value) => Ok(RawValue::Plain(value)),
            _ => Err(ValueError::Expected(expected)),
        };
        match ty.resolved() {
            Type::Bool => scalar(|value| matches!(value, Value::Bool(_)), "true or false"),
            Type::Long => scalar(|value| matches!(value, Value::Long(_)), "a whole number"),
            Type::String => scalar(|value| matches!(value, Value::Str(_)), "a string"),
            Type::Entity(name) => {
                let (ty, id) = entity_ref(json)?;
                if ty == name && self.is_declared(ty, id) {
                    Ok(RawValue::Entity(ty.into(), id.into()))
                } else {
                    Err(ValueError::Expected("an entity of the declared type"))
                }
            }
            Type::Extension(function) => match implied(json, *function, inner)? {
                RawValue::Plain(value) if function.makes(&value) => Ok(RawValue::Plain(value)),
                _ => Err(ValueError::Expected(
                    "a value of the declared extension type",
                )),
            },
            Type::Set(of) => match json {
                Json::Array(items) => {
                    let items = items.iter().map(|item| self.read(item, of, inner));
                    items.collect::<Result<_, _>>().map(RawValue::Set)
                }
                _ => Err(ValueError::Expected("a set")),
            },
            Type::Record(members) => match json {
                Json::Object(object) => {
                    let mut fields: Vec<(SmolStr, RawValue)> = Vec::with_capacity(object.len());
                    let mut take = |name: &str, value| fields.push((name.into(), value));
                    self.read_members(object, members, depth, &mut take)?;
                    Ok(RawValue::Record(fields))
                }
                _ => Err(ValueError::Expected("a record")),
            },
            Type::Unknown | Type::Common(..) => Err(ValueError::Expected("a known type")),
        }
    }
}

/// A value of an extension type: a call with or without its escape, or what the constructor is given.
fn implied(json: &Json, function: ExtFn, depth: usize) -> Result<RawValue, ValueError> {
    let inner = depth.checked_sub(1).ok_or(ValueError::TooDeep)?;
    if json.get("__expr").is_some_and(Json::is_string) {
        return Err(ValueError::Escape("__expr"));
    }
    let escaped = json.get("__extn").and_then(call_of_readable);
    if let Some((name, args)) = escaped.or_else(|| call_of_readable(json)) {
        let types = parameters(name).ok_or_else(|| ValueError::Function(name.to_owned()))?;
        if types.len() != args.len() {
            return Err(ValueError::Function(name.to_owned()));
        }
        let typed = |(arg, ty): (&Json, &Option<ExtFn>)| match ty {
            Some(function) => implied(arg, *function, inner),
            None => plain(arg, inner),
        };
        let args = args.iter().zip(types).map(typed);
        return called(name, &args.collect::<Result<Vec<_>, _>>()?);
    }
    let argument = plain(json, depth)?;
    called(function.name(), &[argument])
}

/// The extension types of a function's parameters; `None` for a string.
fn parameters(function: &str) -> Option<&'static [Option<ExtFn>]> {
    use ExtFn::{Datetime, Decimal, Duration, Ip};
    Some(match function {
        "ip" | "decimal" | "datetime" | "duration" => &[None],
        "isIpv4" | "isIpv6" | "isLoopback" | "isMulticast" => &[Some(Ip)],
        "isInRange" => &[Some(Ip), Some(Ip)],
        "lessThan" | "lessThanOrEqual" | "greaterThan" | "greaterThanOrEqual" => {
            &[Some(Decimal), Some(Decimal)]
        }
        "toDate" | "toTime" => &[Some(Datetime)],
        "offset" => &[Some(Datetime), Some(Duration)],
        "durationSince" => &[Some(Datetime), Some(Datetime)],
        "toMilliseconds" | "toSeconds" | "toMinutes" | "toHours" | "toDays" => &[Some(Duration)],
        _ => return None,
    })
}
