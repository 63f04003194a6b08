//! Operations on values: equality, order, sets, and the methods of extension values.
//!
//! What must hold: work that grows with data is charged to the [`Meter`]; an error is the one Cedar reports.

use super::ir::{Method, Method2, Order, SetOp};
use super::outcome::ErrorCode;
use super::runtime::V;
use crate::entities::{
    SetValue, Value, hash_fields, hash_ip, hash_scalar, hash_str, mix, to_date, to_time,
};

/// Why an expression has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The policy fails.
    Error(ErrorCode),
    /// The request is out of steps.
    Exhausted,
}

pub(crate) const TYPE: Fault = Fault::Error(ErrorCode::Type);

/// Counts the steps of one request down.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meter {
    pub(crate) left: u64,
}

impl Meter {
    #[inline]
    pub(crate) fn spend(&mut self, steps: u64) -> Result<(), Fault> {
        match self.left.checked_sub(steps) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Fault::Exhausted),
        }
    }
}

/// `left == right`; values of different types are not equal.
pub(crate) fn equal(meter: &mut Meter, left: V<'_>, right: V<'_>) -> Result<bool, Fault> {
    Ok(match (left, right) {
        (V::Bool(a), V::Bool(b)) => a == b,
        (V::Long(a), V::Long(b))
        | (V::Decimal(a), V::Decimal(b))
        | (V::Datetime(a), V::Datetime(b))
        | (V::Duration(a), V::Duration(b)) => a == b,
        (V::Str(a), V::Str(b)) => {
            meter.spend((a.len() / 64) as u64)?;
            a == b
        }
        (V::Entity(a), V::Entity(b)) => a == b,
        (V::Ip(a), V::Ip(b)) => a == b,
        (V::Set(a), V::Set(b)) => {
            a.items().len() == b.items().len() && equal_items(meter, a.items(), b.items())?
        }
        (V::Record(a), V::Record(b)) => {
            if a.fields().len() != b.fields().len() {
                return Ok(false);
            }
            for ((a_name, a), (b_name, b)) in a.fields().iter().zip(b.fields()) {
                meter.spend(1)?;
                if a_name != b_name || !equal(meter, a.into(), b.into())? {
                    return Ok(false);
                }
            }
            true
        }
        _ => false,
    })
}

fn equal_items(meter: &mut Meter, left: &[Value], right: &[Value]) -> Result<bool, Fault> {
    for (a, b) in left.iter().zip(right) {
        meter.spend(1)?;
        if !equal(meter, a.into(), b.into())? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The hash of a value, as sets and groups file it.
pub(crate) fn hash_of(value: V<'_>) -> u64 {
    match value {
        V::Bool(v) => hash_scalar(1, u64::from(v)),
        V::Long(v) => hash_scalar(2, v.cast_unsigned()),
        V::Str(v) => hash_str(v),
        V::Entity(v) => hash_scalar(4, u64::from(v.raw())),
        V::Decimal(v) => hash_scalar(5, v.cast_unsigned()),
        V::Datetime(v) => hash_scalar(6, v.cast_unsigned()),
        V::Duration(v) => hash_scalar(7, v.cast_unsigned()),
        V::Ip(v) => hash_ip(v),
        V::Set(v) => v.items().iter().fold(hash_scalar(9, 0), |hash, item| {
            mix(hash, item.content_hash())
        }),
        V::Record(v) => hash_fields(v.fields()),
    }
}

/// What hashing a value costs: everything inside it.
pub(crate) fn weight(meter: &mut Meter, value: V<'_>) -> Result<(), Fault> {
    meter.spend(1 + value.width())?;
    match value {
        V::Set(set) => set
            .items()
            .iter()
            .filter(|item| is_nested(item))
            .try_for_each(|item| weight(meter, item.into())),
        V::Record(record) => record
            .fields()
            .iter()
            .filter(|(_, value)| is_nested(value))
            .try_for_each(|(_, value)| weight(meter, value.into())),
        _ => Ok(()),
    }
}

fn is_nested(value: &Value) -> bool {
    matches!(value, Value::Set(_) | Value::Record(_) | Value::Str(_))
}

/// Whether `value` is an element of `set`.
pub(crate) fn contains(meter: &mut Meter, set: &SetValue, value: V<'_>) -> Result<bool, Fault> {
    weight(meter, value)?;
    let mut fault = None;
    let found = set.find(
        || hash_of(value),
        |item| match meter
            .spend(1)
            .and_then(|()| equal(meter, item.into(), value))
        {
            Ok(is) => is,
            Err(found) => {
                fault = Some(found);
                true
            }
        },
    );
    fault.map_or(Ok(found), Err)
}

/// `left.contains(right)`, `containsAll`, `containsAny`.
pub(crate) fn set_op(
    meter: &mut Meter,
    op: SetOp,
    left: V<'_>,
    right: V<'_>,
) -> Result<bool, Fault> {
    let V::Set(set) = left else { return Err(TYPE) };
    if op == SetOp::Contains {
        return contains(meter, set, right);
    }
    let V::Set(other) = right else {
        return Err(TYPE);
    };
    if op == SetOp::All {
        if other.items().len() > set.items().len() {
            return Ok(false);
        }
        for item in other.items() {
            if !contains(meter, set, item.into())? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    let (few, many) = if set.items().len() < other.items().len() {
        (set, other)
    } else {
        (other, set)
    };
    for item in few.items() {
        if contains(meter, many, item.into())? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn in_order(order: Order, left: i64, right: i64) -> bool {
    match order {
        Order::Less => left < right,
        Order::LessEq => left <= right,
        Order::Greater => left > right,
        Order::GreaterEq => left >= right,
    }
}

/// `<`, `<=`, `>`, `>=`: two integers, two points in time or two spans of time.
pub(crate) fn compare(order: Order, left: V<'_>, right: V<'_>) -> Result<bool, Fault> {
    match (left, right) {
        (V::Long(a), V::Long(b))
        | (V::Datetime(a), V::Datetime(b))
        | (V::Duration(a), V::Duration(b)) => Ok(in_order(order, a, b)),
        _ => Err(TYPE),
    }
}

/// Methods of one extension value.
pub(crate) fn method<'a>(method: Method, of: V<'a>) -> Result<V<'a>, Fault> {
    Ok(match (method, of) {
        (Method::IsIpv4, V::Ip(ip)) => V::Bool(ip.addr.is_ipv4()),
        (Method::IsIpv6, V::Ip(ip)) => V::Bool(ip.addr.is_ipv6()),
        (Method::IsLoopback, V::Ip(ip)) => V::Bool(ip.is_loopback()),
        (Method::IsMulticast, V::Ip(ip)) => V::Bool(ip.is_multicast()),
        (Method::ToDate, V::Datetime(at)) => {
            V::Datetime(to_date(at).ok_or(Fault::Error(ErrorCode::Extension))?)
        }
        (Method::ToTime, V::Datetime(at)) => V::Duration(to_time(at)),
        (Method::ToMilliseconds, V::Duration(ms)) => V::Long(ms),
        (Method::ToSeconds, V::Duration(ms)) => V::Long(ms / 1_000),
        (Method::ToMinutes, V::Duration(ms)) => V::Long(ms / 60_000),
        (Method::ToHours, V::Duration(ms)) => V::Long(ms / 3_600_000),
        (Method::ToDays, V::Duration(ms)) => V::Long(ms / 86_400_000),
        _ => return Err(TYPE),
    })
}

/// Methods of two extension values.
pub(crate) fn method2<'a>(method: Method2, left: V<'a>, right: V<'a>) -> Result<V<'a>, Fault> {
    let failed = Fault::Error(ErrorCode::Extension);
    Ok(match (method, left, right) {
        (Method2::IsInRange, V::Ip(ip), V::Ip(range)) => V::Bool(ip.is_in_range(range)),
        (Method2::Offset, V::Datetime(at), V::Duration(by)) => {
            V::Datetime(at.checked_add(by).ok_or(failed)?)
        }
        (Method2::DurationSince, V::Datetime(at), V::Datetime(since)) => {
            V::Duration(at.checked_sub(since).ok_or(failed)?)
        }
        (Method2::Decimal(order), V::Decimal(a), V::Decimal(b)) => V::Bool(in_order(order, a, b)),
        _ => return Err(TYPE),
    })
}
