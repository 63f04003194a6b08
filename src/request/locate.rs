//! Where in a context the fault lies that Cedar's reader found.
//!
//! Cedar decides whether a context is acceptable and says so in a sentence; this finds the members
//! that are to blame, so that the answer can point at each. It never refuses anything by itself.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::json::{InputFault, MAX_FAULTS, Path, kind, shown};
use crate::policy::schema::{Member, Type};

/// The faults of `context` against its declared type, or against Cedar's values in general where
/// there is none. May be empty for a context that Cedar refuses for another reason.
pub(crate) fn locate(context: &Map<String, Value>, declared: Option<&Type>) -> Vec<InputFault> {
    let mut locator = Locator { faults: Vec::new() };
    let root = Path::Root("/context");
    match declared.map(Type::resolved) {
        Some(Type::Record(members)) => locator.record(context, members, &root),
        _ => locator.object(context, &root),
    }
    locator.faults
}

struct Locator {
    faults: Vec<InputFault>,
}

impl Locator {
    fn fault(&mut self, at: &Path<'_>, detail: String) {
        if !self.is_full() {
            self.faults.push(InputFault::new(at.pointer(), detail));
        }
    }

    fn is_full(&self) -> bool {
        self.faults.len() >= MAX_FAULTS
    }

    fn visit(&mut self, value: &Value, declared: Option<&Type>, at: &Path<'_>) {
        match (value, declared.map(Type::resolved)) {
            (Value::Null, _) => {
                self.fault(
                    at,
                    "null is no Cedar value; leave the member out".to_owned(),
                );
            }
            (Value::Number(number), _) if number.as_i64().is_none() => self.fault(
                at,
                format!(
                    "{number} is not a whole number within 64 bits; for fractions use a `decimal`"
                ),
            ),
            (Value::Object(object), Some(Type::Record(members))) => {
                self.record(object, members, at);
            }
            (Value::Array(items), Some(Type::Set(element))) => {
                self.items(items, Some(element), at);
            }
            (Value::Array(items), None | Some(Type::Unknown)) => self.items(items, None, at),
            (Value::Object(object), None | Some(Type::Unknown)) => self.object(object, at),
            (Value::Bool(_), Some(Type::Bool))
            | (Value::Number(_), Some(Type::Long))
            | (Value::String(_), Some(Type::String | Type::Extension(_)))
            | (Value::Object(_), Some(Type::Entity(_) | Type::Extension(_)))
            | (_, None | Some(Type::Unknown | Type::Common(..))) => {}
            (other, Some(declared)) => {
                let detail = format!("expected {}, found {}", expected(declared), kind(other));
                self.fault(at, detail);
            }
        }
    }

    fn items(&mut self, items: &[Value], element: Option<&Type>, at: &Path<'_>) {
        for (n, item) in items.iter().enumerate() {
            if self.is_full() {
                return;
            }
            self.visit(item, element, &Path::Item(at, n));
        }
    }

    fn object(&mut self, object: &Map<String, Value>, at: &Path<'_>) {
        for (name, member) in object {
            if self.is_full() {
                return;
            }
            self.visit(member, None, &Path::Member(at, name));
        }
    }

    fn record(
        &mut self,
        object: &Map<String, Value>,
        members: &BTreeMap<String, Member>,
        at: &Path<'_>,
    ) {
        for (name, member) in object {
            if self.is_full() {
                return;
            }
            let here = Path::Member(at, name);
            match members.get(name) {
                Some(declared) => self.visit(member, Some(&declared.ty), &here),
                None => {
                    let near = crate::nearest::nearest(name, members.keys().map(String::as_str));
                    let hint = near.map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
                    let name = shown(name);
                    self.fault(
                        &here,
                        format!("the schema declares no member `{name}` here{hint}"),
                    );
                }
            }
        }
        for (name, declared) in members {
            if declared.required && !object.contains_key(name) {
                let detail = format!("is required: {}", expected(&declared.ty));
                self.fault(&Path::Member(at, name), detail);
            }
        }
    }
}

fn expected(ty: &Type) -> String {
    match ty.resolved() {
        Type::Bool => "true or false".to_owned(),
        Type::Long => "a whole number".to_owned(),
        Type::String => "a string".to_owned(),
        Type::Set(_) => "an array".to_owned(),
        Type::Record(_) => "an object".to_owned(),
        Type::Entity(name) => format!("an entity {{\"type\": \"{name}\", \"id\": ..}}"),
        Type::Extension(function) => format!("the text of a `{}`", function.type_name()),
        Type::Unknown | Type::Common(..) => "another type".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(context: Value, declared: Option<&Type>, expect: &[&str]) {
        let Value::Object(context) = context else {
            unreachable!()
        };
        let got: Vec<_> = locate(&context, declared)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn points_at_members_of_the_declared_type() {
        let member = |ty, required| Member { ty, required };
        let declared = Type::Record(BTreeMap::from([
            ("mfa".to_owned(), member(Type::Bool, true)),
            (
                "ips".to_owned(),
                member(
                    Type::Set(Box::new(Type::Extension(crate::entities::ExtFn::Ip))),
                    false,
                ),
            ),
            ("level".to_owned(), member(Type::Long, true)),
        ]));
        check(
            json!({"mfa": "yes", "ips": ["10.0.0.1", 4], "levle": 1}),
            Some(&declared),
            &[
                "/context/mfa: expected true or false, found a string",
                "/context/ips/1: expected the text of a `ipaddr`, found a number",
                "/context/levle: the schema declares no member `levle` here; did you mean `level`?",
                "/context/level: is required: a whole number",
            ],
        );
    }

    #[test]
    fn names_a_bounded_part_of_endless_faults() {
        let long = "k".repeat(300_000);
        let context = json!({ long: vec![Value::Null; 10_000] });
        let faults = locate(context.as_object().unwrap(), None);
        assert_eq!(faults.len(), MAX_FAULTS);
        assert!(faults.iter().all(|fault| fault.pointer.len() < 200));
    }

    #[test]
    fn points_at_what_is_no_cedar_value_without_a_schema() {
        check(
            json!({"a": {"b": [null, 1.5]}, "c": 18446744073709551615_u64}),
            None,
            &[
                "/context/a/b/0: null is no Cedar value; leave the member out",
                "/context/a/b/1: 1.5 is not a whole number within 64 bits; for fractions use a `decimal`",
                "/context/c: 18446744073709551615 is not a whole number within 64 bits; for fractions use a `decimal`",
            ],
        );
    }
}
