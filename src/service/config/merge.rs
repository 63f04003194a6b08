//! The one merge: the file, over it the environment, over it flags; and where each value came from.
//!
//! What enters: the layers, from the lowest to the highest. What leaves: a [`Config`], or every fault at once, each
//! with its place and the nearest known name.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use serde_path_to_error::Segment;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::schema::{self, join};
use super::{Config, Flag};
use crate::base::fault::{Fault, Faults, Location, SourceText};
use crate::base::nearest::nearest;
use crate::trust::model::meant;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Nobody said otherwise.
    Default,
    /// The configuration file, at a line.
    File(Arc<str>, usize),
    /// An environment variable.
    Env(String),
    /// A command-line flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(name, line) => write!(f, "{name}:{line}"),
            Self::Env(name) => write!(f, "${name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// Where each value that was given came from, by its whole key, such as `callers[0].name`.
pub(super) type Origins = BTreeMap<String, Origin>;

/// The environment variable of a key: that of `limits.body_bytes` is `DEODAR_LIMITS_BODY_BYTES`.
pub(super) fn variable(key: &str) -> String {
    format!("DEODAR_{}", key.replace('.', "_").to_uppercase())
}

/// What the layers say so far.
#[derive(Debug, Default)]
pub(super) struct Merge {
    values: Map<String, Value>,
    origins: Origins,
    /// The places of values of the file.
    places: BTreeMap<String, Location>,
    faults: Faults,
    /// Keys with a fault.
    faulty: Vec<String>,
}

/// The configuration file.
struct File<'a> {
    source: SourceText,
    /// Its directory.
    base: &'a Path,
}

impl File<'_> {
    fn location(&self, span: Range<usize>) -> Location {
        Location {
            source: self.source.clone(),
            offset: span.start,
            length: span.len(),
            label: None,
        }
    }
}

impl Merge {
    /// Puts a configuration file on top.
    pub(super) fn file(&mut self, path: &Path, text: &str) {
        let file = File {
            source: SourceText {
                name: path.display().to_string().into(),
                text: text.into(),
            },
            base: path.parent().unwrap_or(Path::new("")),
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let place = file.location(error.span().unwrap_or(0..0));
            self.faults
                .push(Fault::new("config", error.message()).at(place));
        }
        self.values = self.table(table.get_ref(), schema::root(), "", &file);
    }

    fn table(
        &mut self,
        table: &DeTable<'_>,
        schema: &'static Value,
        path: &str,
        file: &File<'_>,
    ) -> Map<String, Value> {
        let mut values = Map::new();
        for (name, value) in table {
            let full = join(path, name.get_ref());
            let Some(of) = schema::key(schema, name.get_ref()) else {
                let fault = Fault::new("config", format!("unknown key `{full}`"));
                let fault = fault.help(suggest(schema, path, name.get_ref()));
                self.faults.push(fault.at(file.location(name.span())));
                self.faulty.push(full);
                continue;
            };
            let line = file.source.position(name.span().start).0;
            let origin = Origin::File(Arc::clone(&file.source.name), line);
            self.origins.insert(full.clone(), origin);
            if let Some(value) = self.value(value, of, &full, file) {
                values.insert(name.get_ref().to_string(), value);
            }
        }
        values
    }

    fn value(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        schema: &'static Value,
        path: &str,
        file: &File<'_>,
    ) -> Option<Value> {
        let place = file.location(value.span());
        self.places.insert(path.to_owned(), place);
        let read = match (value.get_ref(), schema::items(schema)) {
            (DeValue::Table(table), _)
                if schema::takes(schema, "object") && !schema::is_secret(schema) =>
            {
                return Some(Value::Object(self.table(table, schema, path, file)));
            }
            (DeValue::Array(array), Some(items)) => {
                let values = array.iter().enumerate().map(|(number, item)| {
                    let path = format!("{path}[{number}]");
                    let line = file.source.position(item.span().start).0;
                    let origin = Origin::File(Arc::clone(&file.source.name), line);
                    self.origins.insert(path.clone(), origin);
                    // Those that follow keep their number.
                    self.value(item, items, &path, file).unwrap_or(Value::Null)
                });
                return Some(Value::Array(values.collect()));
            }
            (other, _) => plain(other),
        };
        let empty = |value: &Value| {
            value == "" && !path.contains('[') && schema.get("default") != Some(value)
        };
        let read = match read {
            Ok(value) if empty(&value) => Err("is empty".to_owned()),
            Ok(value) => {
                let value = schema::placed(schema, value, file.base);
                schema::fits(schema, &value).map(|()| value)
            }
            Err(message) => Err(message),
        };
        read.map_err(|message| self.fault(path, &message)).ok()
    }

    /// Puts the environment on top: every `DEODAR_*` variable.
    pub(super) fn environment(&mut self, variables: impl Iterator<Item = (String, String)>) {
        let leaves = schema::leaves();
        let known: Vec<String> = leaves.iter().map(|(key, _)| variable(key)).collect();
        for (name, text) in variables {
            // An empty variable is one that was not set: nobody means to switch a guard off by it.
            let ours = name.starts_with("DEODAR_") && name != super::CONFIG_VARIABLE;
            if text.is_empty() || !ours || is_kubernetes(&name) {
                continue;
            }
            let mut fitting = leaves
                .iter()
                .zip(&known)
                .filter(|(_, known)| **known == name);
            match (fitting.next(), fitting.next()) {
                (Some(((key, schema), _)), None) => {
                    let value = schema::from_text(schema, &text);
                    self.set(key, Origin::Env(name), value);
                }
                (Some(_), Some(_)) => {
                    let message = format!("environment variable `{name}` stands for several keys");
                    let fault = Fault::new("config", message);
                    self.faults
                        .push(fault.help("set the one that you mean in the file"));
                }
                (None, _) => {
                    let help = match nearest(&name, known.iter().map(String::as_str)) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "`deodar config` prints every key".to_owned(),
                    };
                    let message = format!("unknown environment variable `{name}`");
                    self.faults.push(Fault::new("config", message).help(help));
                }
            }
        }
    }

    /// Puts flags on top.
    pub(super) fn flags(&mut self, flags: &[Flag]) {
        let leaves = schema::leaves();
        for flag in flags {
            let Some((_, schema)) = leaves.iter().find(|(key, _)| key == flag.key) else {
                continue;
            };
            let value = match (schema::items(schema), flag.values.as_slice()) {
                (Some(items), many) => many
                    .iter()
                    .map(|one| schema::from_text(items, one))
                    .collect(),
                (None, [one]) => schema::from_text(schema, one),
                (None, _) => Err("is given more than once".to_owned()),
            };
            self.set(flag.key, Origin::Flag(flag.flag.to_owned()), value);
        }
    }

    fn set(&mut self, key: &str, origin: Origin, value: Result<Value, String>) {
        let value = match value {
            Ok(value) => value,
            Err(message) => {
                let message = format!(
                    "`{}`: {message}",
                    origin.to_string().trim_start_matches('$')
                );
                return self.faults.push(Fault::new("config", message));
            }
        };
        self.places.remove(key);
        self.origins.insert(key.to_owned(), origin);
        let mut tables: Vec<&str> = key.split('.').collect();
        let Some(name) = tables.pop() else { return };
        let mut place = &mut self.values;
        for table in tables {
            let below = place.entry(table).or_insert_with(|| json!({}));
            if !below.is_object() {
                *below = json!({});
            }
            let Value::Object(below) = below else { return };
            place = below;
        }
        place.insert(name.to_owned(), value);
    }

    fn fault(&mut self, key: &str, message: &str) {
        let fault = match self.origins.get(key) {
            Some(origin @ (Origin::Env(_) | Origin::Flag(_))) => {
                let given = origin.to_string();
                let given = given.trim_start_matches('$');
                Fault::new("config", format!("`{given}`: {message}"))
            }
            _ => Fault::new("config", format!("`{key}`: {message}")),
        };
        self.faults.push(match self.places.get(key) {
            Some(place) => fault.at(place.clone()),
            None => fault,
        });
        self.faulty.push(key.to_owned());
    }

    /// The configuration and the origins of its values.
    ///
    /// # Errors
    /// Every fault of every layer.
    pub(super) fn read(mut self) -> Result<(Config, Origins), Faults> {
        let mut rest = Map::new();
        for (name, value) in std::mem::take(&mut self.values) {
            let Value::Array(tables) = value else {
                rest.insert(name, value);
                continue;
            };
            for (number, table) in tables
                .iter()
                .enumerate()
                .filter(|(_, table)| !table.is_null())
            {
                let alone = Map::from_iter([(name.clone(), json!([table]))]);
                let first = format!("{name}[0]");
                self.try_read(Value::Object(alone), &first, &format!("{name}[{number}]"));
            }
            self.values.insert(name, Value::Array(tables));
        }
        self.try_read(Value::Object(rest.clone()), "", "");
        self.values.append(&mut rest);
        let faults = self.faults;
        let read = Config::deserialize(Value::Object(self.values));
        match read {
            Ok(config) => faults.or((config, self.origins)),
            Err(error) if faults.is_empty() => Err(Fault::new("config", error.to_string()).into()),
            Err(_) => Err(faults.sorted()),
        }
    }

    /// Reads values, and leaves out what cannot be read until the rest can. `first` is what the key at fault begins
    /// with here, and `shown` what it begins with in the configuration.
    fn try_read(&mut self, mut values: Value, first: &str, shown: &str) {
        while let Err(error) = serde_path_to_error::deserialize::<_, Config>(&values) {
            let path = error.path().to_string();
            let key = match path.strip_prefix(first) {
                Some(rest) => format!("{shown}{rest}"),
                None => shown.to_owned(),
            };
            // What follows from a fault that is known is none of its own.
            let within = |faulty: &String| {
                let rest = faulty.strip_prefix(&key);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            };
            if !self.faulty.iter().any(within) {
                self.fault(&key, &error.inner().to_string());
            }
            if !leave_out(&mut values, error.path().iter(), !first.is_empty()) {
                return;
            }
        }
    }
}

/// Leaves out the value at a path, or the innermost one around it that is not an element of an array; the only element of
/// the outermost array counts as a table where there is one. Says whether there was one.
fn leave_out<'a>(
    values: &mut Value,
    path: impl Iterator<Item = &'a Segment>,
    in_array: bool,
) -> bool {
    let mut names = Vec::new();
    for (depth, segment) in path.enumerate() {
        match segment {
            Segment::Map { key } | Segment::Enum { variant: key } => names.push(key.clone()),
            Segment::Seq { index: 0 } if depth == 1 && in_array => names.push("0".to_owned()),
            _ => break,
        }
    }
    let Some(last) = names.pop().filter(|last| last != "0") else {
        return false;
    };
    let mut place = values;
    for name in &names {
        let below = match place {
            Value::Object(table) => table.get_mut(name),
            Value::Array(tables) => tables.first_mut(),
            _ => None,
        };
        let Some(below) = below else { return false };
        place = below;
    }
    place
        .as_object_mut()
        .is_some_and(|table| table.remove(&last).is_some())
}

/// A value of the file in JSON.
fn plain(value: &DeValue<'_>) -> Result<Value, String> {
    Ok(match value {
        DeValue::String(text) => json!(text),
        DeValue::Boolean(value) => json!(value),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => json!(number),
            Err(_) => return Err(format!("`{number}` is too large a number")),
        },
        DeValue::Float(number) => match number.as_str().parse::<f64>() {
            Ok(value) if value.is_finite() => json!(value),
            _ => return Err(format!("`{}` is not a number", number.as_str())),
        },
        // As the reader of TOML writes it; no key takes a date.
        DeValue::Datetime(date) => json!({"$__toml_private_datetime": date.to_string()}),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| plain(item.get_ref()));
            return items.collect();
        }
        DeValue::Table(table) => {
            let members = table
                .iter()
                .map(|(name, value)| Ok((name.get_ref().to_string(), plain(value.get_ref())?)));
            Value::Object(members.collect::<Result<_, String>>()?)
        }
    })
}

/// What to say about a key that a table does not have.
fn suggest(schema: &Value, path: &str, name: &str) -> String {
    let known = schema::keys(schema);
    let names = || known.into_iter().flatten().map(|(name, _)| name.as_str());
    if let Some(near) = meant(name, names().collect::<Vec<_>>()) {
        return match path {
            "" => format!("did you mean the section `{near}`?"),
            _ => format!("did you mean `{}`?", join(path, near)),
        };
    }
    let full = join(path, name);
    let leaves = schema::leaves();
    if let Some(near) = nearest(&full, leaves.iter().map(|(key, _)| key.as_str())) {
        return format!("did you mean `{near}`?");
    }
    let names = names().collect::<Vec<_>>().join(", ");
    match path {
        "" => format!("sections are {names}"),
        _ => format!("known here are {names}"),
    }
}

/// Variables that Kubernetes sets for a service named `deodar` or `deodar-*`; nobody meant them for
/// us, and refusing them would keep the server from starting in such a cluster.
fn is_kubernetes(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let port = |text: &str| {
        let mut parts = text.splitn(3, '_');
        parts.next().is_some_and(digits)
            && parts
                .next()
                .is_some_and(|p| ["TCP", "UDP", "SCTP"].contains(&p))
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.ends_with("_PORT")
        || name
            .split_once("_PORT_")
            .is_some_and(|(_, rest)| port(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_variables_are_told_apart() {
        for name in [
            "DEODAR_SERVICE_HOST",
            "DEODAR_PORT",
            "DEODAR_PORT_8180_TCP_ADDR",
            "DEODAR_OPS_SERVICE_PORT_HTTP",
            "DEODAR_PORT_8180_TCP",
        ] {
            assert!(is_kubernetes(name), "{name}");
        }
        for (key, _) in schema::leaves() {
            assert!(!is_kubernetes(&variable(&key)), "{key}");
        }
        assert!(!is_kubernetes("DEODAR_SERVER_LISTNE"));
    }

    #[test]
    fn no_two_keys_have_one_variable() {
        let mut variables: Vec<_> = schema::leaves()
            .iter()
            .map(|(key, _)| variable(key))
            .collect();
        let all = variables.len();
        variables.sort();
        variables.dedup();
        assert_eq!(variables.len(), all);
        assert!(variables.contains(&"DEODAR_TRUST_SIGNALS_HALF_LIFE".to_owned()));
    }
}
