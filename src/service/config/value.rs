//! Values of configuration keys, read from TOML or from text and checked against their kind.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::keys::Kind;
use super::secret::SecretRef;

/// A checked value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Unset,
    Bool(bool),
    Int(u64),
    Text(String),
    Paths(Vec<PathBuf>),
    Names(Vec<String>),
    Duration(Duration),
    Address(SocketAddr),
    Secret(SecretRef),
    Secrets(Vec<SecretRef>),
}

impl Value {
    /// From the text of a default; an empty one is not a value, or an empty list.
    pub(super) fn from_default(kind: Kind, text: &str) -> Result<Self, String> {
        match kind {
            _ if !text.is_empty() => Self::from_text(kind, text),
            Kind::Paths => Ok(Self::Paths(Vec::new())),
            Kind::Names => Ok(Self::Names(Vec::new())),
            Kind::Secrets => Ok(Self::Secrets(Vec::new())),
            _ => Ok(Self::Unset),
        }
    }

    /// From text as it stands in the environment or behind a flag.
    pub(super) fn from_text(kind: Kind, text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty".to_owned());
        }
        match kind {
            Kind::Bool => match text {
                "true" => Ok(Self::Bool(true)),
                "false" => Ok(Self::Bool(false)),
                _ => Err(format!("expected true or false, found `{text}`")),
            },
            Kind::Int(low, high) => text
                .parse()
                .ok()
                .filter(|n| (low..=high).contains(n))
                .map(Self::Int)
                .ok_or_else(|| format!("expected a whole number from {low} to {high}, found `{text}`")),
            Kind::Text => Ok(Self::Text(text.to_owned())),
            Kind::Path => Ok(Self::Paths(vec![text.into()])),
            Kind::Paths => Ok(Self::Paths(std::env::split_paths(text).collect())),
            Kind::Names => Ok(Self::Names(
                text.split(',').map(|name| name.trim().to_owned()).collect(),
            )),
            Kind::Duration => humantime::parse_duration(text)
                .map(Self::Duration)
                .map_err(|_| format!("expected a duration such as 5s or 100ms, found `{text}`")),
            Kind::Choice(words) if words.contains(&text) => Ok(Self::Text(text.to_owned())),
            Kind::Choice(words) => {
                let near = crate::base::nearest::nearest(text, words.iter().copied());
                let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                Err(format!("expected one of {}, found `{text}`{hint}", words.join(", ")))
            }
            Kind::Address => text
                .parse()
                .map(Self::Address)
                .map_err(|_| format!("expected an address such as 127.0.0.1:8180, found `{text}`")),
            Kind::Secret | Kind::Secrets => Err(
                "a secret is never given itself; in the file write {file = \"..\"} or {env = \"..\"}"
                    .to_owned(),
            ),
        }
    }

    /// From a value of the configuration file.
    pub(super) fn from_toml(kind: Kind, value: &DeValue<'_>) -> Result<Self, String> {
        match (kind, value) {
            (Kind::Paths | Kind::Names, DeValue::Array(items)) => {
                let texts = items
                    .iter()
                    .map(|item| match item.get_ref() {
                        DeValue::String(text) => Ok(text.to_string()),
                        _ => Err("expected strings within the array".to_owned()),
                    })
                    .collect::<Result<Vec<_>, _>>()?;
                Ok(if kind == Kind::Names {
                    Self::Names(texts)
                } else {
                    Self::Paths(texts.into_iter().map(PathBuf::from).collect())
                })
            }
            (Kind::Paths, DeValue::String(text)) => Ok(Self::Paths(vec![text.as_ref().into()])),
            (Kind::Names, _) => Err("expected an array of strings".to_owned()),
            (Kind::Bool, DeValue::Boolean(value)) => Ok(Self::Bool(*value)),
            (Kind::Int(..), DeValue::Integer(number)) if number.radix() == 10 => {
                Self::from_text(kind, number.as_str())
            }
            (Kind::Secret, DeValue::Table(_)) => secret(value).map(Self::Secret),
            (Kind::Secrets, DeValue::Array(items)) => {
                let each = items.iter().map(|item| secret(item.get_ref()));
                each.collect::<Result<_, _>>().map(Self::Secrets)
            }
            (
                Kind::Text
                | Kind::Path
                | Kind::Duration
                | Kind::Choice(_)
                | Kind::Address
                | Kind::Secret
                | Kind::Secrets,
                DeValue::String(text),
            ) => Self::from_text(kind, text),
            (kind, other) => Err(format!(
                "expected {}, found {}",
                kind.expected(),
                name(other)
            )),
        }
    }

    /// Resolves relative paths against the directory of the file they stand in.
    pub(super) fn relative_to(self, base: &std::path::Path) -> Self {
        match self {
            Self::Paths(paths) => Self::Paths(paths.iter().map(|path| base.join(path)).collect()),
            Self::Secret(secret) => Self::Secret(below(base, secret)),
            Self::Secrets(secrets) => {
                let each = secrets.into_iter().map(|secret| below(base, secret));
                Self::Secrets(each.collect())
            }
            other => other,
        }
    }

    /// The value in JSON; a secret by its reference only.
    pub(super) fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Unset => serde_json::Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Int(value) => (*value).into(),
            Self::Text(value) => value.clone().into(),
            Self::Paths(paths) => paths
                .iter()
                .map(|path| path.display().to_string())
                .collect::<Vec<_>>()
                .into(),
            Self::Names(names) => names.clone().into(),
            Self::Duration(value) => humantime::format_duration(*value).to_string().into(),
            Self::Address(value) => value.to_string().into(),
            Self::Secret(secret) => shown(secret),
            Self::Secrets(secrets) => secrets.iter().map(shown).collect(),
        }
    }
}

fn secret(value: &DeValue<'_>) -> Result<SecretRef, String> {
    let expected = || "expected {file = \"..\"} or {env = \"..\"}".to_owned();
    let DeValue::Table(table) = value else {
        return Err(expected());
    };
    let mut members = table.iter();
    match (members.next(), members.next()) {
        (Some((name, value)), None) => match (name.get_ref().as_ref(), value.get_ref()) {
            ("file", DeValue::String(path)) => Ok(SecretRef::File(path.as_ref().into())),
            ("env", DeValue::String(name)) => Ok(SecretRef::Env(name.to_string())),
            _ => Err(expected()),
        },
        _ => Err(expected()),
    }
}

fn below(base: &std::path::Path, secret: SecretRef) -> SecretRef {
    match secret {
        SecretRef::File(path) => SecretRef::File(base.join(path)),
        other => other,
    }
}

fn shown(secret: &SecretRef) -> serde_json::Value {
    match secret {
        SecretRef::File(path) => serde_json::json!({"file": path.display().to_string()}),
        SecretRef::Env(name) => serde_json::json!({"env": name}),
    }
}

impl Kind {
    fn expected(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Int(..) => "a whole number",
            Self::Duration => "a duration in quotes, such as \"5s\"",
            Self::Paths => "an array of paths",
            Self::Names => "an array of strings",
            Self::Secret => "{file = \"..\"} or {env = \"..\"}",
            Self::Secrets => "an array of {file = \"..\"} or {env = \"..\"}",
            Self::Address => "an address in quotes, such as \"127.0.0.1:8180\"",
            Self::Text | Self::Path | Self::Choice(_) => "a string",
        }
    }
}

fn name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => f.write_str("(none)"),
            other => other.to_json().fmt(f),
        }
    }
}
