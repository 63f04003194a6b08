//! The JSON schema of the configuration: the one source of its keys, of what each takes, of bounds and defaults.
//! It is derived from the structs that the configuration is read into.

use std::path::Path;
use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::Config;
use crate::base::nearest::nearest;

static ROOT: LazyLock<Value> = LazyLock::new(|| {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings
        .into_generator()
        .into_root_schema_for::<Config>()
        .to_value()
});

/// The schema of the whole.
pub(super) fn root() -> &'static Value {
    &ROOT
}

/// The forms that a value may have, where a schema names several.
fn forms(schema: &Value) -> impl Iterator<Item = &Value> {
    let several = ["anyOf", "oneOf"].into_iter();
    let several = several.filter_map(|name| schema.get(name)?.as_array());
    let forms = several.flatten().flat_map(|form| {
        let inner = ["anyOf", "oneOf"].into_iter();
        let inner = inner
            .filter_map(|name| form.get(name)?.as_array())
            .flatten();
        std::iter::once(form).chain(inner)
    });
    std::iter::once(schema).chain(forms)
}

/// The keys of a table, where a schema names them.
pub(super) fn keys(schema: &Value) -> Option<&Map<String, Value>> {
    forms(schema).find_map(|form| form.get("properties")?.as_object())
}

/// The schema of a key of a table; `None` where the table does not have it.
pub(super) fn key<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    static ANYTHING: Value = Value::Bool(true);
    if let Some(known) = keys(schema).and_then(|keys| keys.get(name)) {
        return Some(known);
    }
    let more = forms(schema).find_map(|form| form.get("additionalProperties"));
    match more {
        Some(Value::Bool(false)) => None,
        Some(schema) => Some(schema),
        None => Some(&ANYTHING),
    }
}

/// The schema of the elements of an array.
pub(super) fn items(schema: &Value) -> Option<&Value> {
    forms(schema).find_map(|form| form.get("items"))
}

fn has_format(schema: &Value, name: &str) -> bool {
    forms(schema).any(|form| form.get("format").is_some_and(|format| format == name))
}

/// Whether the value says where a secret is.
pub(super) fn is_secret(schema: &Value) -> bool {
    has_format(schema, "secret")
}

/// Whether a value of this type fits.
pub(super) fn takes(schema: &Value, wanted: &str) -> bool {
    let types = |form: &Value| match form.get("type") {
        Some(Value::Array(types)) => types.iter().any(|of| of == wanted),
        Some(of) => of == wanted,
        None => false,
    };
    let any = forms(schema).all(|form| {
        let says = ["type", "const", "enum", "anyOf", "oneOf"];
        says.iter().all(|name| form.get(name).is_none())
    });
    any || forms(schema).any(types)
}

/// The words of which the value is one.
fn words(schema: &Value) -> Vec<&str> {
    let one = forms(schema).filter_map(|form| form.get("const")?.as_str());
    let many = forms(schema).filter_map(|form| form.get("enum")?.as_array());
    one.chain(many.flatten().filter_map(Value::as_str))
        .collect()
}

/// The bounds of a whole number.
fn bounds(schema: &Value) -> (Option<i128>, Option<i128>) {
    let bound = |name: &str| forms(schema).find_map(|form| whole(form.get(name)?));
    (bound("minimum"), bound("maximum"))
}

fn whole(value: &Value) -> Option<i128> {
    let signed = value.as_i64().map(i128::from);
    signed.or_else(|| value.as_u64().map(i128::from))
}

/// What is expected, for people.
fn expected(schema: &Value) -> String {
    if is_secret(schema) {
        return "{file = \"..\"} or {env = \"..\"}".to_owned();
    }
    for (name, what) in [
        ("boolean", "true or false"),
        ("number", "a number"),
        ("object", "a table"),
        ("array", "an array"),
    ] {
        if takes(schema, name) {
            return what.to_owned();
        }
    }
    match (takes(schema, "integer"), bounds(schema)) {
        (false, _) => "a string".to_owned(),
        (true, (Some(low), Some(high))) => format!("a whole number from {low} to {high}"),
        (true, (Some(low), None)) => format!("a whole number from {low} on"),
        (true, _) => "a whole number".to_owned(),
    }
}

/// Whether a value fits: its type, its bounds, the words that it is one of.
///
/// # Errors
/// What is expected instead. It does not hold what may be a secret.
pub(super) fn fits(schema: &Value, value: &Value) -> Result<(), String> {
    let wrong = |found: String| Err(format!("expected {}, found {found}", expected(schema)));
    if is_secret(schema) {
        let reference = |table: &Map<String, Value>| {
            let mut members = table.iter();
            let one = members.next().filter(|_| table.len() == 1);
            one.is_some_and(|(name, at)| ["file", "env"].contains(&name.as_str()) && at.is_string())
        };
        return match value {
            Value::Object(table) if reference(table) => Ok(()),
            other => wrong(name(other).to_owned()),
        };
    }
    match value {
        Value::Number(number) if takes(schema, "integer") && !takes(schema, "number") => {
            let (low, high) = bounds(schema);
            let within =
                |n: i128| low.is_none_or(|low| low <= n) && high.is_none_or(|high| n <= high);
            match whole(value) {
                Some(n) if within(n) => Ok(()),
                Some(_) => wrong(format!("`{number}`")),
                None => wrong(name(value).to_owned()),
            }
        }
        Value::Number(_) if takes(schema, "number") => Ok(()),
        Value::String(text) if takes(schema, "string") => {
            let words = words(schema);
            if words.is_empty() || words.contains(&text.as_str()) {
                return Ok(());
            }
            let near = nearest(text, words.iter().copied());
            let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            Err(format!(
                "expected one of {}, found `{text}`{hint}",
                words.join(", ")
            ))
        }
        Value::Bool(_) if takes(schema, "boolean") => Ok(()),
        Value::Array(_) if takes(schema, "array") => Ok(()),
        Value::Object(_) if takes(schema, "object") => Ok(()),
        other => wrong(name(other).to_owned()),
    }
}

/// The value of a text, as it stands in the environment or behind a flag.
///
/// # Errors
/// What is expected instead.
pub(super) fn from_text(schema: &Value, text: &str) -> Result<Value, String> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    if is_secret(schema) {
        let message =
            "a secret is never given itself; in the file write {file = \"..\"} or {env = \"..\"}";
        return Err(message.to_owned());
    }
    if let Some(items) = items(schema) {
        let parts: Vec<String> = match has_format(items, "path") {
            true => std::env::split_paths(text)
                .map(|path| path.display().to_string())
                .collect(),
            false => text.split(',').map(|part| part.trim().to_owned()).collect(),
        };
        return parts.iter().map(|part| from_text(items, part)).collect();
    }
    let value = match text {
        "true" | "false" if takes(schema, "boolean") => json!(text == "true"),
        _ if takes(schema, "boolean") || takes(schema, "integer") => match text.parse::<i64>() {
            Ok(number) => json!(number),
            Err(_) => return Err(format!("expected {}, found `{text}`", expected(schema))),
        },
        _ => json!(text),
    };
    fits(schema, &value)?;
    Ok(value)
}

/// A value of the file as the program takes it: one path may stand without brackets where several may be given, and
/// relative paths are against the directory of the file.
pub(super) fn placed(schema: &Value, value: Value, base: &Path) -> Value {
    let below = |text: &str| json!(base.join(text).display().to_string());
    match value {
        Value::String(text) if has_format(schema, "path") => below(&text),
        Value::String(text) if items(schema).is_some_and(|items| has_format(items, "path")) => {
            Value::Array(vec![below(&text)])
        }
        Value::Object(mut table) if is_secret(schema) => {
            if let Some(file) = table.get_mut("file") {
                *file = below(file.as_str().unwrap_or_default());
            }
            Value::Object(table)
        }
        other => other,
    }
}

/// Every key that has one value, by its whole name.
pub(super) fn leaves() -> Vec<(String, &'static Value)> {
    fn add(schema: &'static Value, path: &str, found: &mut Vec<(String, &'static Value)>) {
        for (name, schema) in keys(schema).into_iter().flatten() {
            let path = join(path, name);
            let tables =
                items(schema).is_some_and(|items| takes(items, "object") && !is_secret(items));
            match is_secret(schema) || !takes(schema, "object") {
                true if tables => {}
                true => found.push((path, schema)),
                false => add(schema, &path, found),
            }
        }
    }
    let mut found = Vec::new();
    add(root(), "", &mut found);
    found
}

/// Every value of a configuration, by its whole key.
pub(super) fn values(whole: &Value) -> Vec<(String, Value)> {
    fn add(value: &Value, schema: &Value, path: &str, found: &mut Vec<(String, Value)>) {
        let tables = |items: &[Value]| items.iter().any(Value::is_object);
        match value {
            Value::Object(table) if !table.is_empty() && !is_secret(schema) => {
                for (name, value) in table {
                    let schema = key(schema, name).unwrap_or(&Value::Null);
                    add(value, schema, &join(path, name), found);
                }
            }
            Value::Array(array) if tables(array) && !items(schema).is_some_and(is_secret) => {
                let schema = items(schema).unwrap_or(&Value::Null);
                for (number, value) in array.iter().enumerate() {
                    add(value, schema, &format!("{path}[{number}]"), found);
                }
            }
            value => found.push((path.to_owned(), value.clone())),
        }
    }
    let mut found = Vec::new();
    add(whole, root(), "", &mut found);
    found
}

/// The whole name of a key of a table.
pub(super) fn join(table: &str, name: &str) -> String {
    match table {
        "" => name.to_owned(),
        table => format!("{table}.{name}"),
    }
}

fn name(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Number(number) if number.is_f64() => "a fraction",
        Value::Number(_) => "a number",
        Value::Bool(_) => "a boolean",
        Value::Array(_) => "an array",
        Value::Object(_) => "a table",
        Value::Null => "nothing",
    }
}
