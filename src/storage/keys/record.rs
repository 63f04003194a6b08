//! What is known of an API key, as it is stored and as callers see it.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::KeyError;
use crate::caller::{Caller, CallerLimits, Handles, InlineRule, RESERVED, Scope};
use crate::nearest::nearest;
use crate::timestamp::Timestamp;

/// Longest name of a key, in bytes.
const LONGEST_NAME: usize = 200;

/// What is known of an API key; its secret is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiKey {
    /// 12 letters and digits, the public part of the key.
    pub(crate) id: String,
    /// The caller's name in records.
    pub(crate) name: String,
    /// Its rights by name; a name that this version does not know gives none.
    pub(crate) scopes: Vec<String>,
    /// What it may assert about entities.
    #[serde(with = "inline")]
    pub(crate) inline: InlineRule,
    /// Obligations that it discharges whatever its requests say.
    #[serde(default)]
    pub(crate) handles: BTreeSet<String>,
    /// Bounds of its own, in place of those that all have.
    #[serde(default)]
    pub(crate) limits: Option<KeyLimits>,
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    pub(crate) created: Timestamp,
    #[serde(default, serialize_with = "write_some", deserialize_with = "read_some")]
    pub(crate) expires: Option<Timestamp>,
    /// To the hour.
    #[serde(default, serialize_with = "write_some", deserialize_with = "read_some")]
    pub(crate) last_used: Option<Timestamp>,
    #[serde(default, serialize_with = "write_some", deserialize_with = "read_some")]
    pub(crate) revoked: Option<Timestamp>,
}

/// How much a key's caller may ask for; zero is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct KeyLimits {
    #[serde(default)]
    pub(crate) requests_per_second: u32,
    #[serde(default)]
    pub(crate) burst: u32,
    #[serde(default)]
    pub(crate) concurrent: u32,
}

/// A key as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) key: ApiKey,
    /// SHA-256 of the secret.
    pub(super) secret: [u8; 32],
    /// That of the secret before, and until when it is taken, in milliseconds since the Unix epoch.
    pub(super) previous: Option<([u8; 32], i64)>,
}

/// A key to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewKey {
    pub(crate) name: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) inline: InlineRule,
    pub(crate) handles: BTreeSet<String>,
    pub(crate) limits: Option<KeyLimits>,
    pub(crate) expires: Option<Timestamp>,
}

impl ApiKey {
    /// The caller that the key stands for.
    pub(super) fn caller(&self) -> Caller {
        let scopes = self.scopes.iter();
        let scopes = scopes.filter_map(|name| Scope::from_name(name));
        let handles = Handles::Only(self.handles.clone());
        let caller = Caller::new(self.name.clone(), scopes, self.inline, handles);
        match self.limits {
            None => caller,
            Some(limits) => caller.with_limits(CallerLimits {
                requests_per_second: limits.requests_per_second,
                burst: limits.burst,
                concurrent: limits.concurrent,
            }),
        }
    }

    /// Whether the key's time is over.
    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// The key as callers see it; no secret and no hash of one is in it.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// Whether there can be such a key.
pub(super) fn check(new: &NewKey, now: Timestamp) -> Result<(), KeyError> {
    let invalid = |message: String| Err(KeyError::Invalid(message));
    if new.name.trim().is_empty() || new.name.chars().any(char::is_control) {
        return invalid("a key needs a name without control characters".to_owned());
    }
    if new.name.len() > LONGEST_NAME {
        return invalid(format!("a key's name has at most {LONGEST_NAME} bytes"));
    }
    if RESERVED.contains(&new.name.as_str()) || new.name.contains('#') {
        return invalid(format!("`{}` is a caller of its own", new.name));
    }
    if new.scopes.is_empty() {
        return invalid("a key needs a scope, such as `decide`".to_owned());
    }
    for scope in &new.scopes {
        if Scope::from_name(scope).is_none() {
            let near = nearest(scope, Scope::ALL.iter().map(|scope| scope.name()));
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    let all: Vec<_> = Scope::ALL.iter().map(|scope| scope.name()).collect();
                    format!("scopes are {}", all.join(", "))
                }
            };
            return invalid(format!("unknown scope `{}`; {help}", scope.escape_debug()));
        }
    }
    if new.expires.is_some_and(|expires| expires <= now) {
        return invalid("the key would have expired already".to_owned());
    }
    Ok(())
}

mod inline {
    use super::{Deserialize, Deserializer, InlineRule, Serializer};
    use serde::de::Error;

    pub(super) fn serialize<S: Serializer>(rule: &InlineRule, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(rule.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<InlineRule, D::Error> {
        let name = String::deserialize(from)?;
        InlineRule::from_name(&name).ok_or_else(|| D::Error::custom("no rule for inline entities"))
    }
}

fn write_time<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(time)
}

fn write_some<S: Serializer>(time: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => to.collect_str(time),
        None => to.serialize_none(),
    }
}

fn read_time<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(serde::de::Error::custom)
}

fn read_some<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    let time = text.map(|text| text.parse()).transpose();
    time.map_err(serde::de::Error::custom)
}
