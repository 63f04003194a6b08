//! Operations on values: equality, order, sets, and the methods of extension values.
//!
//! What must hold: work that grows with data is charged to the [`Meter`]; an error is the one Cedar reports.

use super::ir::{Method, Method2, Order, SetOp};
use super::outcome::ErrorCode;
use super::runtime::V;
use crate::base::hash;
use crate::entities::{SEARCHED, SetValue, Value, to_date, to_time};
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

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

/// The hash of a value, as groups file it; equal values have equal hashes.
pub(crate) fn hash_of(value: V<'_>) -> u64 {
    let mut hasher = hash::hasher(0);
    feed(value, &mut hasher);
    hasher.finish()
}

fn feed(value: V<'_>, hasher: &mut impl Hasher) {
    hasher.write_u8(rank(value));
    match value {
        V::Bool(v) => hasher.write_u8(u8::from(v)),
        V::Long(v) | V::Decimal(v) | V::Datetime(v) | V::Duration(v) => hasher.write_i64(v),
        V::Str(v) => hasher.write(v.as_bytes()),
        V::Entity(v) => hasher.write_u32(v.raw()),
        V::Ip(v) => v.hash(hasher),
        V::Set(v) => v.items().iter().for_each(|item| feed(item.into(), hasher)),
        V::Record(v) => v.fields().iter().for_each(|(name, value)| {
            name.hash(hasher);
            feed(value.into(), hasher);
        }),
    }
}

/// The order of kinds, which is that of the variants of [`Value`].
const fn rank(value: V<'_>) -> u8 {
    match value {
        V::Bool(_) => 0,
        V::Long(_) => 1,
        V::Str(_) => 2,
        V::Entity(_) => 3,
        V::Set(_) => 4,
        V::Record(_) => 5,
        V::Decimal(_) => 6,
        V::Datetime(_) => 7,
        V::Duration(_) => 8,
        V::Ip(_) => 9,
    }
}

/// How two values stand in the order in which sets keep them: the derived one of [`Value`].
pub(crate) fn order(left: V<'_>, right: V<'_>) -> Ordering {
    match (left, right) {
        (V::Bool(a), V::Bool(b)) => a.cmp(&b),
        (V::Long(a), V::Long(b))
        | (V::Decimal(a), V::Decimal(b))
        | (V::Datetime(a), V::Datetime(b))
        | (V::Duration(a), V::Duration(b)) => a.cmp(&b),
        (V::Str(a), V::Str(b)) => a.cmp(b),
        (V::Entity(a), V::Entity(b)) => a.cmp(&b),
        (V::Set(a), V::Set(b)) => a.cmp(b),
        (V::Record(a), V::Record(b)) => a.cmp(b),
        (V::Ip(a), V::Ip(b)) => a.cmp(b),
        (a, b) => rank(a).cmp(&rank(b)),
    }
}

/// What comparing or hashing a value costs: everything inside it.
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
    let items = set.items();
    let before = meter.left;
    weight(meter, value)?;
    if items.len() <= SEARCHED {
        for item in items {
            meter.spend(1)?;
            if equal(meter, item.into(), value)? {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    // One comparison a round, none of which looks at more than the whole value.
    let rounds = u64::from(items.len().ilog2());
    meter.spend((before - meter.left).saturating_mul(rounds))?;
    let found = items.binary_search_by(|item| order(item.into(), value));
    Ok(found.is_ok())
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
