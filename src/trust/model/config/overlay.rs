//! The operator's numbers over those of a preset.
//!
//! What enters: a partial table. What leaves: a whole configuration. What must hold: a key that is not
//! one of the model is refused, and every fault is named with its key, all of them at once.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ModelConfig, Preset};
use crate::base::nearest::nearest;

/// A part of a [`ModelConfig`]: only what differs from the preset.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelOverlay(Map<String, Value>);

#[cfg(feature = "server")]
impl schemars::JsonSchema for ModelOverlay {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ModelOverlay".into()
    }

    /// As that of the whole, and nothing of it is required. What a key has by default depends on the preset; only the
    /// hours of work are the operator's own.
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        fn optional(schema: &mut Value, of_preset: bool) {
            match schema {
                Value::Object(members) => {
                    members.remove("required");
                    if of_preset {
                        members.remove("default");
                    }
                    let inner = members.values_mut();
                    inner.for_each(|inner| optional(inner, of_preset));
                }
                Value::Array(items) => items.iter_mut().for_each(|item| optional(item, of_preset)),
                _ => {}
            }
        }
        let mut schema = ModelConfig::json_schema(generator).to_value();
        // A key may be called `required` too.
        if let Some(Value::Object(tables)) = schema.pointer_mut("/properties") {
            for (name, table) in tables {
                optional(table, name != "working_hours");
                if let Value::Object(members) = table {
                    members.remove("default");
                }
            }
        }
        if let Value::Object(members) = &mut schema {
            members.remove("required");
        }
        schema.try_into().unwrap_or_default()
    }
}

/// Names that keys had before all times were written as such, and what they are called.
const RENAMED: [(&str, &str); 15] = [
    ("clock_skew_seconds", "clock_skew"),
    ("max_age_seconds", "max_age"),
    ("session_monitoring_seconds", "session_monitoring_for"),
    ("known_locations_seconds", "known_locations_for"),
    ("speed_least_seconds", "speed_least_time"),
    ("seconds", "takes"),
    ("verified_seconds", "verified_for"),
    ("time_delay_seconds", "time_delay_for"),
    ("supervisor_approval_seconds", "supervisor_approval_for"),
    ("restricted_access_seconds", "restricted_access_for"),
    ("account_age_days", "account_older_than"),
    ("scan_recent_days", "scan_recent_within"),
    ("scan_old_days", "scan_old_after"),
    ("clean_days", "clean_for"),
    ("utc_offset_minutes", "utc_offset"),
];

/// The known key that a wrong one most likely was meant to be: its new name where it has one, else the nearest.
pub(crate) fn meant<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let renamed = RENAMED.iter().find(|(old, _)| *old == name);
    let renamed = renamed.and_then(|(_, new)| known.clone().into_iter().find(|key| key == new));
    renamed.or_else(|| nearest(name, known))
}

/// The one table whose keys are the operator's own.
const OPEN: &str = "required.classifications";

impl ModelOverlay {
    /// The preset's numbers with these in their place.
    ///
    /// # Errors
    /// Every key that is not known, and every value that cannot be read, with what to do.
    pub fn over(&self, preset: Preset) -> Result<ModelConfig, Vec<String>> {
        let mut config = ModelConfig::preset(preset);
        let mut whole = serde_json::to_value(&config).map_err(|e| vec![e.to_string()])?;
        let mut faults = Vec::new();
        let mut leaves = Vec::new();
        if let Value::Object(base) = &whole {
            leaves_of("", &self.0, base, &mut leaves, &mut faults);
        }
        for (path, value) in leaves {
            let mut changed = whole.clone();
            let place = changed.pointer_mut(&format!("/{}", path.replace('.', "/")));
            match place {
                Some(place) => *place = value.clone(),
                None => open(&mut changed, &path, value),
            }
            // One key after the other, so that an error is known to be of this one.
            match serde_json::from_value(changed.clone()) {
                Ok(read) => (config, whole) = (read, changed),
                Err(error) => faults.push(format!("`trust.model.{path}`: {error}")),
            }
        }
        if faults.is_empty() {
            Ok(config)
        } else {
            Err(faults)
        }
    }
}

/// Puts a key into the open table.
fn open(whole: &mut Value, path: &str, value: &Value) {
    let pointer = format!("/{}", OPEN.replace('.', "/"));
    let name = path.strip_prefix(OPEN).and_then(|n| n.strip_prefix('.'));
    if let (Some(Value::Object(table)), Some(name)) = (whole.pointer_mut(&pointer), name) {
        table.insert(name.to_owned(), value.clone());
    }
}

fn leaves_of<'a>(
    at: &str,
    given: &'a Map<String, Value>,
    base: &Map<String, Value>,
    leaves: &mut Vec<(String, &'a Value)>,
    faults: &mut Vec<String>,
) {
    for (key, value) in given {
        let path = if at.is_empty() {
            key.clone()
        } else {
            format!("{at}.{key}")
        };
        match (base.get(key), value) {
            (None, _) if at == OPEN => leaves.push((path, value)),
            (None, _) => {
                let known = meant(key, base.keys().map(String::as_str));
                let known: Vec<&str> = known.map_or_else(
                    || base.keys().map(String::as_str).collect(),
                    |known| vec![known],
                );
                faults.push(format!(
                    "`trust.model.{path}` is not known; known here: `{}`",
                    known.join("`, `")
                ));
            }
            (Some(Value::Object(base)), Value::Object(given)) => {
                leaves_of(&path, given, base, leaves, faults);
            }
            (Some(Value::Object(_)), _) => {
                faults.push(format!("`trust.model.{path}` is a table, not a value"));
            }
            (Some(_), value) => leaves.push((path, value)),
        }
    }
}
