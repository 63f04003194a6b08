//! Values while a decision runs: small, copied, borrowing from policies, entities, request and arena.

use crate::entities::{Ip, Record, SetValue, Uid, Value};
use cedar_policy::pst::SmolStr;
use std::sync::Arc;

/// A borrowed value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum V<'a> {
    Bool(bool),
    Long(i64),
    Str(&'a SmolStr),
    Entity(Uid),
    Set(&'a SetValue),
    Record(&'a Record),
    Decimal(i64),
    Datetime(i64),
    Duration(i64),
    Ip(&'a Ip),
}

impl<'a> From<&'a Value> for V<'a> {
    #[inline]
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Bool(v) => Self::Bool(*v),
            Value::Long(v) => Self::Long(*v),
            Value::Str(v) => Self::Str(v),
            Value::Entity(v) => Self::Entity(*v),
            Value::Set(v) => Self::Set(v),
            Value::Record(v) => Self::Record(v),
            Value::Decimal(v) => Self::Decimal(*v),
            Value::Datetime(v) => Self::Datetime(*v),
            Value::Duration(v) => Self::Duration(*v),
            Value::Ip(v) => Self::Ip(v),
        }
    }
}

impl V<'_> {
    /// A value of its own, for a set or record made at run time.
    pub(crate) fn to_value(self) -> Value {
        match self {
            Self::Bool(v) => Value::Bool(v),
            Self::Long(v) => Value::Long(v),
            Self::Str(v) => Value::Str(v.clone()),
            Self::Entity(v) => Value::Entity(v),
            Self::Set(v) => Value::Set(Arc::new(v.clone())),
            Self::Record(v) => Value::Record(Arc::new(v.clone())),
            Self::Decimal(v) => Value::Decimal(v),
            Self::Datetime(v) => Value::Datetime(v),
            Self::Duration(v) => Value::Duration(v),
            Self::Ip(v) => Value::Ip(*v),
        }
    }

    /// Elements and fields directly inside, for counting work.
    pub(crate) fn width(self) -> u64 {
        match self {
            Self::Set(v) => v.items().len() as u64,
            Self::Record(v) => v.fields().len() as u64,
            Self::Str(v) => (v.len() / 64) as u64,
            _ => 0,
        }
    }
}
