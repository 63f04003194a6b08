//! The context of a request as it was given, before its types are known.

use std::slice;

use cedar_policy::pst::SmolStr;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::base::meter;

/// The members of a context in the order they were given, each name once. Short names and texts take no
/// allocation.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Context {
    members: Vec<(SmolStr, ContextValue)>,
    /// What all members weigh (`base::meter`).
    weight: u64,
}

/// The value of a member: what most of them are, or any JSON.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ContextValue {
    Bool(bool),
    Long(i64),
    Text(SmolStr),
    /// Neither a boolean nor a whole number of 64 bits nor a string.
    Json(Box<Value>),
}

impl From<Value> for ContextValue {
    fn from(value: Value) -> Self {
        match value {
            Value::Bool(value) => Self::Bool(value),
            Value::String(text) => Self::Text(text.into()),
            Value::Number(number) => match number.as_i64() {
                Some(number) => Self::Long(number),
                None => Self::Json(Box::new(Value::Number(number))),
            },
            other => Self::Json(Box::new(other)),
        }
    }
}

impl ContextValue {
    /// The same as JSON.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Bool(value) => (*value).into(),
            Self::Long(value) => (*value).into(),
            Self::Text(text) => text.as_str().into(),
            Self::Json(value) => Value::clone(value),
        }
    }
}

impl Serialize for ContextValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Long(value) => serializer.serialize_i64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Json(value) => value.serialize(serializer),
        }
    }
}

impl From<Map<String, Value>> for Context {
    fn from(members: Map<String, Value>) -> Self {
        let mut context = Self::default();
        for (name, value) in members {
            context.push(&name, value.into());
        }
        context
    }
}

impl Context {
    /// Room for the members of an ordinary context.
    pub(super) fn begin() -> Self {
        Self {
            members: Vec::with_capacity(4),
            weight: 0,
        }
    }

    /// How many members there are.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is a member of this name.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.members.iter().any(|(known, _)| known == name)
    }

    /// Adds a member whose name is not there yet.
    pub(super) fn push(&mut self, name: &str, value: ContextValue) {
        self.weight += weight(name, &value);
        self.members.push((name.into(), value));
    }

    /// Adds a member, in place of the one of the same name if there is one.
    pub(super) fn insert(&mut self, name: &str, value: Value) {
        let value = value.into();
        match self.members.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => {
                self.weight -= weight(name, old);
                self.weight += weight(name, &value);
                *old = value;
            }
            None => self.push(name, value),
        }
    }

    /// Names and values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &ContextValue)> {
        self.into_iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The values that are neither booleans nor whole numbers nor strings.
    pub(crate) fn nested(&self) -> impl Iterator<Item = &Value> {
        self.members.iter().filter_map(|(_, value)| match value {
            ContextValue::Json(value) => Some(&**value),
            _ => None,
        })
    }

    /// The same as JSON.
    pub(crate) fn to_json(&self) -> Map<String, Value> {
        let members = self.iter();
        members
            .map(|(name, value)| (name.to_owned(), value.to_json()))
            .collect()
    }

    /// What it weighs (`base::meter`): one for each value, and more for long names and texts.
    pub(crate) fn weight(&self) -> u64 {
        self.weight
    }
}

/// What a member weighs.
fn weight(name: &str, value: &ContextValue) -> u64 {
    meter::of_text(name)
        + match value {
            ContextValue::Bool(_) | ContextValue::Long(_) => 1,
            ContextValue::Text(text) => 1 + meter::of_text(text),
            ContextValue::Json(value) => meter::weight(value),
        }
}

impl<'a> IntoIterator for &'a Context {
    type Item = &'a (SmolStr, ContextValue);
    type IntoIter = slice::Iter<'a, (SmolStr, ContextValue)>;

    fn into_iter(self) -> Self::IntoIter {
        self.members.iter()
    }
}

impl Serialize for Context {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(Some(self.len()))?;
        for (name, value) in self {
            members.serialize_entry(name.as_str(), value)?;
        }
        members.end()
    }
}

#[cfg(test)]
mod tests {
    use super::Context;
    use crate::base::meter::weight;
    use serde_json::json;

    #[test]
    fn nothing_is_lost_and_weighs_what_it_weighed_as_json() {
        let json = json!({
            "b": true, "n": -3, "big": u64::MAX, "f": 1.5, "s": "x".repeat(100), "null": null,
            "l": [1, {"a": "y".repeat(50)}], "long name ".repeat(9): {},
        });
        let map = json.as_object().unwrap();
        let context = Context::from(map.clone());
        assert_eq!(&context.to_json(), map);
        assert_eq!(serde_json::to_value(&context).unwrap(), json);
        assert_eq!(1 + context.weight(), weight(&json));
        assert_eq!(context.nested().count(), 5);
    }

    #[test]
    fn a_member_that_is_set_again_is_replaced() {
        let mut context = Context::default();
        context.insert("a", 1.into());
        context.insert("b", 2.into());
        context.insert("a", "x".repeat(100).into());
        context.insert("a", "x".into());
        assert_eq!(context.weight(), 2);
        assert_eq!(
            serde_json::to_string(&context).unwrap(),
            r#"{"a":"x","b":2}"#
        );
    }
}
