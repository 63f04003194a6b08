//! Values: what attributes, tags and contexts hold.
//!
//! What must hold: a set is sorted and without doubles, a record is sorted by name, so equality is
//! element by element. Nesting is bounded where values are read ([`super::VALUE_DEPTH`]), so the derived
//! comparisons, which recurse, are bounded too.

use super::symbol::{Sym, Uid};
use cedar_policy::pst::SmolStr;
use std::net::IpAddr;
use std::sync::Arc;

/// A Cedar value. Numbers in it belong to a store, or to the request it came with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value {
    /// A boolean.
    Bool(bool),
    /// A 64-bit integer.
    Long(i64),
    /// A string.
    Str(SmolStr),
    /// A reference to an entity.
    Entity(Uid),
    /// A set.
    Set(Arc<SetValue>),
    /// A record.
    Record(Arc<Record>),
    /// A decimal, in ten-thousandths.
    Decimal(i64),
    /// A point in time, in milliseconds from the epoch.
    Datetime(i64),
    /// A span of time, in milliseconds.
    Duration(i64),
    /// An address or a range of them.
    Ip(Ip),
}

/// An IP address with its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ip {
    /// The address as written.
    pub(crate) addr: IpAddr,
    /// The length of the prefix.
    pub(crate) prefix: u8,
}

/// Named values sorted by name.
pub(crate) type Fields = [(Sym, Value)];

/// The value of `name`.
#[inline]
pub(crate) fn field(fields: &Fields, name: Sym) -> Option<&Value> {
    if fields.len() <= 8 {
        return fields
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value);
    }
    let at = fields
        .binary_search_by_key(&name, |(known, _)| *known)
        .ok()?;
    fields.get(at).map(|(_, value)| value)
}

/// A record: a context, or a value inside one.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    fields: Vec<(Sym, Value)>,
}

impl Record {
    /// A record of these fields; of two with one name the later counts.
    pub(crate) fn new(mut fields: Vec<(Sym, Value)>) -> Self {
        fields.sort_by_key(|(name, _)| *name);
        fields.reverse();
        fields.dedup_by_key(|(name, _)| *name);
        fields.reverse();
        Self { fields }
    }

    /// A record of fields that are sorted by name, each once.
    pub(crate) fn sorted(fields: Vec<(Sym, Value)>) -> Self {
        debug_assert!(fields.is_sorted_by(|(a, _), (b, _)| a < b));
        Self { fields }
    }

    /// The fields, sorted by name.
    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Adds a field without keeping the order, which [`Record::settle`] makes.
    pub(crate) fn push(&mut self, name: Sym, value: Value) {
        self.fields.push((name, value));
    }

    /// Orders what was pushed, each name once.
    pub(crate) fn settle(&mut self) {
        if !self.fields.is_sorted_by(|(a, _), (b, _)| a < b) {
            self.fields.sort_unstable_by_key(|(name, _)| *name);
        }
    }

    /// Sets one field of an ordered record.
    pub(crate) fn set(&mut self, name: Sym, value: Value) {
        match self.fields.binary_search_by_key(&name, |(known, _)| *known) {
            Ok(at) => {
                if let Some((_, old)) = self.fields.get_mut(at) {
                    *old = value;
                }
            }
            Err(at) => self.fields.insert(at, (name, value)),
        }
    }

    /// Forgets all fields and keeps the room.
    pub(crate) fn clear(&mut self) {
        self.fields.clear();
    }

    /// The fields alone.
    pub(crate) fn into_fields(self) -> Vec<(Sym, Value)> {
        self.fields
    }
}

/// A set: sorted, without doubles. There is no hash in it that anybody could make collide.
#[derive(Debug, Clone, Default)]
pub(crate) struct SetValue {
    items: Box<[Value]>,
    entities_only: bool,
}

impl PartialEq for SetValue {
    fn eq(&self, other: &Self) -> bool {
        self.items == other.items
    }
}

impl Eq for SetValue {}

impl PartialOrd for SetValue {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SetValue {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.items.cmp(&other.items)
    }
}

impl SetValue {
    /// The set of these values.
    pub(crate) fn new(mut items: Vec<Value>) -> Self {
        items.sort_unstable();
        items.dedup();
        let entities_only = items.iter().all(|item| matches!(item, Value::Entity(_)));
        Self {
            items: items.into(),
            entities_only,
        }
    }

    /// The elements in ascending order.
    pub(crate) fn items(&self) -> &[Value] {
        &self.items
    }

    /// Whether every element is an entity.
    pub(crate) fn entities_only(&self) -> bool {
        self.entities_only
    }

    /// Whether `value` is an element.
    #[inline]
    pub(crate) fn contains(&self, value: &Value) -> bool {
        if self.items.len() <= SEARCHED {
            self.items.contains(value)
        } else {
            self.items.binary_search(value).is_ok()
        }
    }
}

/// Sets of more elements than this are searched by halves.
pub(crate) const SEARCHED: usize = 12;

impl Value {
    /// What a value weighs: one for each value in it, and more for long texts.
    pub(crate) fn weight(&self) -> u64 {
        1 + match self {
            Self::Str(text) => text.len() as u64 / 32,
            Self::Set(set) => set.items().iter().map(Self::weight).sum(),
            Self::Record(record) => record
                .fields()
                .iter()
                .map(|(_, value)| value.weight())
                .sum(),
            _ => 0,
        }
    }

    /// Calls `each` for every name of a field in this value.
    pub(crate) fn each_name(&self, each: &mut impl FnMut(Sym)) {
        match self {
            Self::Set(set) => set.items().iter().for_each(|item| item.each_name(each)),
            Self::Record(record) => record.fields().iter().for_each(|(name, value)| {
                each(*name);
                value.each_name(each);
            }),
            _ => {}
        }
    }

    /// Calls `each` for every entity in this value.
    pub(crate) fn each_entity(&self, each: &mut impl FnMut(Uid)) {
        match self {
            Self::Entity(uid) => each(*uid),
            Self::Set(set) => set.items().iter().for_each(|item| item.each_entity(each)),
            Self::Record(record) => record
                .fields()
                .iter()
                .for_each(|(_, value)| value.each_entity(each)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{SetValue, Value};
    use crate::entities::symbol::Sym;

    #[test]
    fn values_are_small() {
        assert_eq!(size_of::<Value>(), 24);
        assert_eq!(size_of::<(Sym, Value)>(), 32);
    }

    #[test]
    fn sets_find_their_elements_however_many() {
        for len in [0i64, 1, 5, 12, 13, 500] {
            let set = SetValue::new(
                (0..len)
                    .flat_map(|v| [Value::Long(v * 3), Value::Str(v.to_string().into())])
                    .collect(),
            );
            for v in 0..len * 3 {
                assert_eq!(set.contains(&Value::Long(v)), v % 3 == 0);
                assert_eq!(set.contains(&Value::Str(v.to_string().into())), v < len);
            }
        }
    }
}
