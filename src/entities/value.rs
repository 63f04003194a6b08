//! Values: what attributes, tags and contexts hold.
//!
//! What must hold: a set is sorted and without doubles, a record is sorted by name, so equality is
//! element by element. Nesting is bounded where values are read ([`super::VALUE_DEPTH`]), so the derived
//! comparisons, which recurse, are bounded too.

use super::index::Table;
use super::symbol::{Sym, Uid, hash_text};
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

    /// The fields, sorted by name.
    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Sets one field.
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

/// Sets of more elements than this carry a hash table.
const HASHED: usize = 12;

/// A set: sorted, without doubles, hashed when it is large.
#[derive(Debug, Clone, Default)]
pub(crate) struct SetValue {
    items: Box<[Value]>,
    table: Option<Box<Table>>,
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
        let table = (items.len() > HASHED).then(|| {
            let mut table = Table::default();
            (0u32..)
                .zip(&items)
                .for_each(|(at, item)| table.insert(item.content_hash(), at));
            Box::new(table)
        });
        Self {
            items: items.into(),
            table,
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

    /// Whether an element with this hash that `is` accepts is there.
    #[inline]
    pub(crate) fn find(
        &self,
        hash: impl FnOnce() -> u64,
        mut is: impl FnMut(&Value) -> bool,
    ) -> bool {
        match &self.table {
            None => self.items.iter().any(is),
            Some(table) => table
                .find(hash(), |at| {
                    self.items.get(at as usize).is_some_and(&mut is)
                })
                .is_some(),
        }
    }

    /// Whether `value` is an element.
    pub(crate) fn contains(&self, value: &Value) -> bool {
        self.find(|| value.content_hash(), |item| item == value)
    }
}

const HASH_SEED: u64 = 0x5eed_0f5e_7500_0001;

/// Mixes one more number into a hash.
#[inline]
pub(crate) fn mix(hash: u64, more: u64) -> u64 {
    let wide =
        u128::from(hash ^ more ^ HASH_SEED).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    (wide as u64) ^ ((wide >> 64) as u64)
}

/// The hash of a string as an element of a set.
#[inline]
pub(crate) fn hash_str(text: &str) -> u64 {
    hash_text(HASH_SEED, text)
}

/// The hash of a scalar: its kind and its bits.
#[inline]
pub(crate) fn hash_scalar(kind: u64, bits: u64) -> u64 {
    mix(kind.wrapping_mul(0xd6e8_feb8_6659_fd93), bits)
}

pub(crate) fn hash_ip(ip: &Ip) -> u64 {
    let bits = match ip.addr {
        IpAddr::V4(addr) => u128::from(u32::from(addr)),
        IpAddr::V6(addr) => u128::from(addr) ^ 1,
    };
    mix(
        mix(hash_scalar(8, u64::from(ip.prefix)), bits as u64),
        (bits >> 64) as u64,
    )
}

impl Value {
    /// Equal values have equal hashes.
    pub(crate) fn content_hash(&self) -> u64 {
        match self {
            Self::Bool(v) => hash_scalar(1, u64::from(*v)),
            Self::Long(v) => hash_scalar(2, v.cast_unsigned()),
            Self::Str(v) => hash_str(v),
            Self::Entity(v) => hash_scalar(4, u64::from(v.raw())),
            Self::Decimal(v) => hash_scalar(5, v.cast_unsigned()),
            Self::Datetime(v) => hash_scalar(6, v.cast_unsigned()),
            Self::Duration(v) => hash_scalar(7, v.cast_unsigned()),
            Self::Ip(v) => hash_ip(v),
            Self::Set(v) => v.items().iter().fold(hash_scalar(9, 0), |hash, item| {
                mix(hash, item.content_hash())
            }),
            Self::Record(v) => hash_fields(v.fields()),
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

pub(crate) fn hash_fields(fields: &Fields) -> u64 {
    fields
        .iter()
        .fold(hash_scalar(10, 0), |hash, (name, value)| {
            mix(mix(hash, u64::from(name.index())), value.content_hash())
        })
}

#[cfg(test)]
mod tests {
    use super::{SetValue, Sym, Value};

    #[test]
    fn values_are_small() {
        assert_eq!(size_of::<Value>(), 24);
        assert_eq!(size_of::<(Sym, Value)>(), 32);
    }

    #[test]
    fn sets_find_their_elements_whether_hashed_or_not() {
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
