//! Where in a context the fault lies that Cedar's reader found.
//!
//! Cedar decides whether a context is acceptable and says so in a sentence; this finds the members
//! that are to blame, so that the answer can point at each. It never refuses anything by itself.

use serde_json::{Map, Value};

use super::error::{InputFault, pointer};
use super::read::kind;
use crate::policy::schema::Type;

/// The faults of `context` against its declared type, or against Cedar's values in general where
/// there is none. May be empty for a context that Cedar refuses for another reason.
pub(crate) fn locate(context: &Map<String, Value>, declared: Option<&Type>) -> Vec<InputFault> {
    let mut faults = Vec::new();
    match declared.map(Type::resolved) {
        Some(Type::Record(_)) => {
            let context = Value::Object(context.clone());
            visit(&context, declared, "/context", &mut faults);
        }
        _ => {
            for (name, value) in context {
                visit(value, None, &pointer("/context", name), &mut faults);
            }
        }
    }
    faults
}

fn visit(value: &Value, declared: Option<&Type>, at: &str, faults: &mut Vec<InputFault>) {
    let mut fault = |detail: String| faults.push(InputFault::new(at, detail));
    match (value, declared.map(Type::resolved)) {
        (Value::Null, _) => fault("null is no Cedar value; leave the member out".to_owned()),
        (Value::Number(number), _) if number.as_i64().is_none() => {
            fault(format!(
                "{number} is not a whole number within 64 bits; for fractions use a `decimal`"
            ));
        }
        (Value::Object(object), Some(Type::Record(members))) => {
            for (name, member) in object {
                let at = pointer(at, name);
                match members.get(name) {
                    Some(declared) => visit(member, Some(&declared.ty), &at, faults),
                    None => {
                        let near =
                            crate::nearest::nearest(name, members.keys().map(String::as_str));
                        let hint =
                            near.map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
                        faults.push(InputFault::new(
                            at,
                            format!("the schema declares no member `{name}` here{hint}"),
                        ));
                    }
                }
            }
            for (name, declared) in members {
                if declared.required && !object.contains_key(name) {
                    faults.push(InputFault::new(
                        pointer(at, name),
                        format!("is required: {}", expected(&declared.ty)),
                    ));
                }
            }
        }
        (Value::Array(items), Some(Type::Set(element))) => {
            for (n, item) in items.iter().enumerate() {
                visit(item, Some(element), &pointer(at, &n.to_string()), faults);
            }
        }
        (Value::Array(items), None | Some(Type::Unknown)) => {
            for (n, item) in items.iter().enumerate() {
                visit(item, None, &pointer(at, &n.to_string()), faults);
            }
        }
        (Value::Object(object), None | Some(Type::Unknown)) => {
            for (name, member) in object {
                visit(member, None, &pointer(at, name), faults);
            }
        }
        (Value::Bool(_), Some(Type::Bool))
        | (Value::Number(_), Some(Type::Long))
        | (Value::String(_), Some(Type::String | Type::Extension(_)))
        | (Value::Object(_), Some(Type::Entity(_) | Type::Extension(_)))
        | (_, None | Some(Type::Unknown | Type::Common(..))) => {}
        (other, Some(declared)) => {
            fault(format!(
                "expected {}, found {}",
                expected(declared),
                kind(other)
            ));
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
        Type::Extension(name) => format!("the text of a `{name}`"),
        Type::Unknown | Type::Common(..) => "another type".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::policy::schema::Member;

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
                member(Type::Set(Box::new(Type::Extension("ipaddr".into()))), false),
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
