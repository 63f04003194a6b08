//! Defaults under the file under the environment under flags, and where each value came from.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::keys::{KEYS, key};
use super::tables::{TABLES, Tables};
use super::value::Value;
use crate::base::fault::{Fault, Faults, Location, SourceText};
use crate::base::nearest::nearest;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// Every key's value and origin.
#[derive(Debug, Clone)]
pub(super) struct Layers {
    values: BTreeMap<&'static str, (Value, Origin)>,
    tables: Tables,
}

impl Layers {
    pub(super) fn value(&self, name: &str) -> &Value {
        self.values
            .get(name)
            .map_or(&Value::Unset, |(value, _)| value)
    }

    pub(super) fn origin(&self, name: &str) -> &Origin {
        self.values
            .get(name)
            .map_or(&Origin::Default, |(_, origin)| origin)
    }

    pub(super) fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The defaults.
    pub(super) fn defaults(faults: &mut Faults) -> Self {
        let mut values = BTreeMap::new();
        for key in KEYS {
            match Value::from_default(key.kind, key.default) {
                Ok(value) => {
                    values.insert(key.name, (value, Origin::Default));
                }
                Err(message) => {
                    faults.push(Fault::new("config", format!("{}: {message}", key.name)))
                }
            }
        }
        Self {
            values,
            tables: Tables::default(),
        }
    }

    /// Puts a configuration file on top.
    pub(super) fn file(&mut self, path: &Path, text: &str, faults: &mut Faults) {
        let source = SourceText {
            name: path.display().to_string().into(),
            text: text.into(),
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let fault = Fault::new("config", error.message());
            faults.push(at(fault, &source, error.span().unwrap_or(0..0)));
        }
        let base = path.parent().unwrap_or(Path::new(""));
        self.table(table.get_ref(), "", &source, base, faults);
    }

    fn table(
        &mut self,
        table: &DeTable<'_>,
        prefix: &str,
        source: &SourceText,
        base: &Path,
        faults: &mut Faults,
    ) {
        for (name, value) in table {
            let full = format!("{prefix}{}", name.get_ref());
            match (key(&full), value.get_ref()) {
                (Some(key), _) => match Value::from_toml(key.kind, value.get_ref()) {
                    Ok(value) => {
                        let line = source.position(name.span().start).0;
                        let origin = Origin::File(Arc::clone(&source.name), line);
                        self.values
                            .insert(key.name, (value.relative_to(base), origin));
                    }
                    Err(message) => {
                        let fault = Fault::new("config", format!("`{full}`: {message}"));
                        faults.push(at(fault, source, name.span()));
                    }
                },
                (None, _) if prefix.is_empty() && TABLES.contains(&full.as_str()) => {
                    for (message, span) in self.tables.read(&full, value, base) {
                        let fault = Fault::new("config", format!("`{full}`: {message}"));
                        faults.push(at(fault, source, span));
                    }
                }
                (None, DeValue::Table(inner)) if is_section(&full) => {
                    self.table(inner, &format!("{full}."), source, base, faults);
                }
                (None, _) => {
                    let fault = Fault::new("config", format!("unknown key `{full}`"));
                    let fault = fault.help(suggest(&full, prefix));
                    faults.push(at(fault, source, name.span()));
                }
            }
        }
    }

    /// Puts the environment on top: every `DEODAR_*` variable.
    pub(super) fn environment(
        &mut self,
        variables: impl Iterator<Item = (String, String)>,
        faults: &mut Faults,
    ) {
        for (name, text) in variables {
            // An empty variable is one that was not set: nobody means to switch a guard off by it.
            if text.is_empty() {
                continue;
            }
            if !name.starts_with("DEODAR_")
                || name == super::CONFIG_VARIABLE
                || is_kubernetes(&name)
            {
                continue;
            }
            let Some(key) = KEYS.iter().find(|key| key.variable() == name) else {
                let known: Vec<_> = KEYS.iter().map(super::keys::Key::variable).collect();
                let help = match nearest(&name, known.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "`deodar config` prints every key".to_owned(),
                };
                let fault = Fault::new("config", format!("unknown environment variable `{name}`"));
                faults.push(fault.help(help));
                continue;
            };
            match Value::from_text(key.kind, &text) {
                Ok(value) => {
                    self.values.insert(key.name, (value, Origin::Env(name)));
                }
                Err(message) => faults.push(Fault::new("config", format!("`{name}`: {message}"))),
            }
        }
    }

    /// Puts one flag on top.
    pub(super) fn flag(&mut self, name: &str, flag: &str, value: Value) {
        if let Some(key) = key(name) {
            self.values
                .insert(key.name, (value, Origin::Flag(flag.to_owned())));
        }
    }

    /// Every key's name, value and origin, in the order of the table.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'static str, &Value, &Origin)> {
        KEYS.iter()
            .map(|key| (key.name, self.value(key.name), self.origin(key.name)))
    }

    /// The names of keys whose values differ and that only a restart takes up.
    pub(super) fn restart_needed(&self, other: &Self) -> Vec<&'static str> {
        KEYS.iter()
            .filter(|key| !key.live && self.value(key.name) != other.value(key.name))
            .map(|key| key.name)
            .chain(self.tables.restart_needed(&other.tables))
            .collect()
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        match self.value(name) {
            Value::Paths(paths) => paths.first().cloned(),
            _ => None,
        }
    }
}

fn at(fault: Fault, source: &SourceText, span: Range<usize>) -> Fault {
    fault.at(Location {
        source: source.clone(),
        offset: span.start,
        length: span.len(),
        label: None,
    })
}

fn is_section(name: &str) -> bool {
    let prefix = format!("{name}.");
    KEYS.iter().any(|key| key.name.starts_with(&prefix))
}

fn suggest(full: &str, prefix: &str) -> String {
    let names = KEYS.iter().map(|key| key.name);
    if let Some(near) = nearest(full, names) {
        return format!("did you mean `{near}`?");
    }
    let sections: std::collections::BTreeSet<_> = KEYS
        .iter()
        .filter_map(|key| key.name.split('.').next())
        .collect();
    if let Some(near) = nearest(full, sections.iter().copied()) {
        return format!("did you mean the section `{near}`?");
    }
    let known: Vec<_> = KEYS
        .iter()
        .filter_map(|key| key.name.strip_prefix(prefix))
        .filter(|_| !prefix.is_empty())
        .collect();
    if known.is_empty() {
        format!(
            "sections are {}",
            sections.into_iter().collect::<Vec<_>>().join(", ")
        )
    } else {
        format!("known here are {}", known.join(", "))
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
        for key in KEYS {
            assert!(!is_kubernetes(&key.variable()), "{}", key.name);
        }
        assert!(!is_kubernetes("DEODAR_SERVER_LISTNE"));
    }
}
