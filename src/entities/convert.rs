//! Values on their way in: text still spelled out, not yet numbers of a store or a request.
//!
//! [`RawValue`] is what a batch carries, because a batch is made before it is known which numbers the store
//! will give. [`Symbols`] is whoever turns text into numbers: a store being written, or one request.

use super::locals::Locals;
use super::symbol::{Sym, Uid};
use super::value::{Record, SetValue, Value};
use super::version::EntityVersion;
use cedar_policy::pst::SmolStr;
use std::sync::Arc;

/// Whoever turns text into numbers.
pub(crate) trait Symbols {
    fn name(&mut self, text: &str) -> Sym;
    fn entity(&mut self, ty: &str, id: &str) -> Uid;
}

/// One request's view of a version: what the store does not know becomes local.
#[derive(Debug)]
pub(crate) struct RequestSymbols<'a> {
    pub(crate) version: &'a EntityVersion,
    pub(crate) locals: &'a mut Locals,
}

impl Symbols for RequestSymbols<'_> {
    fn name(&mut self, text: &str) -> Sym {
        self.locals.name(self.version, text)
    }

    fn entity(&mut self, ty: &str, id: &str) -> Uid {
        self.locals.entity(self.version, (ty, id).into())
    }
}

/// A value with its text spelled out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RawValue {
    /// Anything that names nothing: booleans, integers, strings and extension values.
    Plain(Value),
    /// A reference to an entity: type and id.
    Entity(SmolStr, SmolStr),
    /// A set.
    Set(Vec<RawValue>),
    /// A record.
    Record(Vec<(SmolStr, RawValue)>),
}

impl RawValue {
    /// As [`RawValue::resolve`], of a value that nobody needs any more.
    pub(crate) fn into_value(self, symbols: &mut impl Symbols) -> Value {
        match self {
            Self::Plain(value) => value,
            other => other.resolve(symbols),
        }
    }

    pub(crate) fn resolve(&self, symbols: &mut impl Symbols) -> Value {
        match self {
            Self::Plain(value) => value.clone(),
            Self::Entity(ty, id) => Value::Entity(symbols.entity(ty, id)),
            Self::Set(items) => Value::Set(Arc::new(SetValue::new(
                items.iter().map(|item| item.resolve(symbols)).collect(),
            ))),
            Self::Record(fields) => {
                Value::Record(Arc::new(Record::new(resolve_fields(fields, symbols))))
            }
        }
    }
}

pub(crate) fn resolve_fields(
    fields: &[(SmolStr, RawValue)],
    symbols: &mut impl Symbols,
) -> Vec<(Sym, Value)> {
    fields
        .iter()
        .map(|(name, value)| (symbols.name(name), value.resolve(symbols)))
        .collect()
}
