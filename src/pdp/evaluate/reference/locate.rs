//! Where in a context or an inline entity the fault lies that Cedar's reader found.
//!
//! Cedar decides whether a context is acceptable and says so in a sentence; this finds the members
//! that are to blame, so that the answer can point at each. It never refuses anything by itself.

use std::collections::BTreeMap;

use cedar_policy::EntityUid;
use serde_json::{Map, Value};

use crate::base::json::{InputFault, MAX_FAULTS, Path, kind, shown};
use crate::base::meter::{BY_CEDAR, Meter, weight};
use crate::entities::{RawValue, entity_ref};
use crate::schema::ExtFn;
use crate::schema::{EntityModel, Member, Type};

/// The faults of `context` against its declared type, or against Cedar's values in general where
/// there is none. May be empty for a context that Cedar refuses for another reason.
pub(crate) fn locate(
    context: &Map<String, Value>,
    declared: Option<&Type>,
    meter: &Meter,
) -> Vec<InputFault> {
    let mut locator = Locator::new(meter);
    let root = Path::Root("/context");
    match declared.map(Type::resolved) {
        Some(Type::Record(members)) => locator.record(context, members, true, &root),
        _ => locator.object(context, &root),
    }
    locator.faults
}

/// The same of an inline entity at the pointer `at`, by the declaration of its type: `None` without a schema,
/// `Some(None)` where the schema declares no such type.
pub(crate) fn locate_entity(
    entity: &Map<String, Value>,
    declared: Option<Option<&EntityModel>>,
    uid: &EntityUid,
    at: &str,
    meter: &Meter,
) -> Vec<InputFault> {
    let mut locator = Locator::new(meter);
    let root = Path::Root(at);
    let ty = shown(&uid.type_name().to_string());
    let members = declared.flatten();
    if let Some(None) = declared {
        let detail = format!("the schema declares no entity type `{ty}`");
        locator.fault(&Path::Member(&root, "uid"), detail);
        return locator.faults;
    }
    if let Some(ids) = members.and_then(|members| members.ids.as_ref())
        && !ids.iter().any(|id| id == uid.id().unescaped())
    {
        let detail = format!("the schema lists the ids of `{ty}`, and this is none of them");
        locator.fault(&Path::Member(&root, "uid"), detail);
    }
    for member in ["attrs", "tags"] {
        let here = Path::Member(&root, member);
        let Some(values) = entity.get(member) else {
            continue;
        };
        let Value::Object(values) = values else {
            locator.fault(&here, format!("expected an object, found {}", kind(values)));
            continue;
        };
        match (member, members) {
            (_, None) => locator.object(values, &here),
            ("attrs", Some(members)) => locator.record(values, members.attrs(), false, &here),
            (_, Some(members)) => match &members.tags {
                Some(ty) => locator.each(values, Some(ty), &here),
                None if values.is_empty() => {}
                None => locator.fault(&here, format!("the schema declares no tags for `{ty}`")),
            },
        }
    }
    let here = Path::Member(&root, "parents");
    match entity.get("parents") {
        Some(Value::Array(parents)) => {
            for (n, parent) in parents.iter().enumerate() {
                let here = Path::Item(&here, n);
                match (entity_ref(parent), members) {
                    (Err(_), _) => locator.fault(
                        &here,
                        format!("expected {{\"type\", \"id\"}}, found {}", kind(parent)),
                    ),
                    (Ok((parent, _)), Some(members)) if !members.above.contains(parent) => {
                        let parent = shown(parent);
                        let detail = format!("the schema lets no `{ty}` be in a `{parent}`");
                        locator.fault(&here, detail);
                    }
                    _ => {}
                }
            }
        }
        Some(other) => locator.fault(&here, format!("expected an array, found {}", kind(other))),
        None => {}
    }
    locator.faults
}

struct Locator<'m> {
    faults: Vec<InputFault>,
    meter: &'m Meter,
}

impl<'m> Locator<'m> {
    fn new(meter: &'m Meter) -> Self {
        Self {
            faults: Vec::new(),
            meter,
        }
    }

    fn fault(&mut self, at: &Path<'_>, detail: String) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(InputFault::new(at.pointer(), detail));
        }
    }

    /// Whether there are faults enough, or no work may be done any more.
    fn is_full(&self) -> bool {
        self.faults.len() >= MAX_FAULTS || !self.meter.take(1)
    }

    fn visit(&mut self, value: &Value, declared: Option<&Type>, at: &Path<'_>) {
        match (value, declared.map(Type::resolved)) {
            (Value::Null, _) => {
                self.fault(
                    at,
                    "null is not a Cedar value; leave the member out".to_owned(),
                );
            }
            (Value::Number(number), _) if number.as_i64().is_none() => self.fault(
                at,
                format!(
                    "{number} is not a whole number within 64 bits; for fractions use a `decimal`"
                ),
            ),
            (Value::Object(object), Some(Type::Record(members))) => {
                self.record(object, members, true, at);
            }
            (Value::Array(items), Some(Type::Set(element))) => {
                self.items(items, Some(element), at);
            }
            (Value::Array(items), None | Some(Type::Unknown)) => self.items(items, None, at),
            (Value::Object(object), None | Some(Type::Unknown)) => self.untyped(object, at),
            (Value::String(_) | Value::Object(_), Some(Type::Extension(function))) => {
                self.extension(value, *function, at);
            }
            (Value::Object(_), Some(Type::Entity(name))) => self.entity(value, name, at),
            (Value::Bool(_), Some(Type::Bool))
            | (Value::Number(_), Some(Type::Long))
            | (Value::String(_), Some(Type::String))
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
        self.each(object, None, at);
    }

    /// Every member by one type.
    fn each(&mut self, object: &Map<String, Value>, ty: Option<&Type>, at: &Path<'_>) {
        for (name, member) in object {
            if self.is_full() {
                return;
            }
            self.visit(member, ty, &Path::Member(at, name));
        }
    }

    /// An object of no declared type: a record, or one of the escapes.
    fn untyped(&mut self, object: &Map<String, Value>, at: &Path<'_>) {
        let escape = object.iter().find(|(name, _)| name.starts_with("__"));
        match escape {
            Some((name, inner)) if object.len() == 1 && name == "__entity" => {
                if entity_ref(inner).is_err() {
                    let here = Path::Member(at, name);
                    self.fault(&here, "expected {\"type\", \"id\"} of an entity".to_owned());
                }
            }
            Some((name, _)) if object.len() == 1 && name == "__extn" => self.call(object, at),
            Some((name, _)) if object.len() == 1 && name == "__expr" => {
                let detail = "`__expr` is not read any more; use `__entity` or `__extn`";
                self.fault(&Path::Member(at, name), detail.to_owned());
            }
            _ => self.object(object, at),
        }
    }

    /// A call that has no value.
    fn call(&mut self, object: &Map<String, Value>, at: &Path<'_>) {
        let json = Value::Object(object.clone());
        if self.meter.take(weight(&json))
            && let Err(error) = RawValue::from_json(&json)
        {
            self.fault(at, error.to_string());
        }
    }

    /// Text, or a call, that stands for a value of an extension type.
    fn extension(&mut self, value: &Value, function: ExtFn, at: &Path<'_>) {
        let name = function.type_name();
        match value {
            Value::String(text) if function.call(text).is_none() => {
                let detail = format!("`{}` is not the text of a `{name}`", shown(text));
                self.fault(at, detail);
            }
            Value::Object(object) if object.contains_key("__extn") => self.call(object, at),
            _ => {}
        }
    }

    /// A reference to an entity of a declared type.
    fn entity(&mut self, value: &Value, name: &str, at: &Path<'_>) {
        match entity_ref(value) {
            Ok((ty, _)) if ty == name => {}
            Ok((ty, _)) => {
                let detail = format!("expected an entity of type `{name}`, found `{}`", shown(ty));
                self.fault(at, detail);
            }
            Err(_) => {
                let detail = format!("expected {{\"type\": \"{name}\", \"id\": ..}}");
                self.fault(at, detail);
            }
        }
    }

    fn record(
        &mut self,
        object: &Map<String, Value>,
        members: &BTreeMap<String, Member>,
        complete: bool,
        at: &Path<'_>,
    ) {
        if !self.meter.take(members.len() as u64) {
            return;
        }
        for (name, member) in object {
            if self.is_full() {
                return;
            }
            let here = Path::Member(at, name);
            match members.get(name) {
                Some(declared) => self.visit(member, Some(&declared.ty), &here),
                None => {
                    // A hint is worth comparing with each of them, but not the whole budget.
                    let near = self
                        .meter
                        .take(4 * BY_CEDAR * members.len() as u64)
                        .then(|| members.keys().map(String::as_str))
                        .and_then(|names| crate::base::nearest::nearest(name, names));
                    let hint = near.map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
                    let name = shown(name);
                    self.fault(
                        &here,
                        format!("the schema declares no member `{name}` here{hint}"),
                    );
                }
            }
        }
        for (name, declared) in members.iter().filter(|_| complete) {
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
        let got: Vec<_> = locate(&context, declared, &Meter::new(u64::MAX))
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
                    Type::Set(Box::new(Type::Extension(crate::schema::ExtFn::Ip))),
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
        let faults = locate(context.as_object().unwrap(), None, &Meter::new(u64::MAX));
        assert_eq!(faults.len(), MAX_FAULTS);
        assert!(faults.iter().all(|fault| fault.pointer.len() < 200));
    }

    #[test]
    fn points_at_what_is_no_cedar_value_without_a_schema() {
        check(
            json!({"a": {"b": [null, 1.5]}, "c": 18446744073709551615_u64}),
            None,
            &[
                "/context/a/b/0: null is not a Cedar value; leave the member out",
                "/context/a/b/1: 1.5 is not a whole number within 64 bits; for fractions use a `decimal`",
                "/context/c: 18446744073709551615 is not a whole number within 64 bits; for fractions use a `decimal`",
            ],
        );
    }
}
