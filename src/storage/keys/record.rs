//! What is known of an API key, as it is stored and as callers see it.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::KeyError;
use crate::base::caller::{
    Caller, CallerLimits, Handles, InlineRule, KEY_PREFIX, OWNER, Scope, check_name,
};
use crate::base::nearest::nearest;
use crate::base::timestamp::Timestamp;

/// Most names of obligations that a key handles.
const MOST_HANDLES: usize = 100;
/// Longest name of an obligation, in bytes.
const LONGEST_OBLIGATION: usize = 200;

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
    /// The id of the caller that made it; none where it was made in the state directory itself.
    pub(crate) made_by: Option<String>,
}

/// Who made a key, as far as it bounds the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Maker<'a> {
    /// Nobody with bounds: the owner of the state directory.
    Owner,
    /// The key of this id.
    Key(&'a str),
    /// A caller of the configuration, by its name.
    Configured(&'a str),
    /// A token's caller. Its scopes and its end were those of the key from the start.
    Token,
}

/// How much a key's caller may ask for; zero means no bound.
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
        let caller = Caller::new(self.name.clone(), scopes, self.inline, handles)
            .of_key(self.identity())
            .until(self.expires);
        match self.limits {
            None => caller,
            Some(limits) => caller.with_limits(CallerLimits {
                requests_per_second: limits.requests_per_second,
                burst: limits.burst,
                concurrent: limits.concurrent,
            }),
        }
    }

    /// The id of its caller.
    pub(crate) fn identity(&self) -> String {
        format!("{KEY_PREFIX}{}", self.id)
    }

    /// Who made it.
    pub(super) fn maker(&self) -> Maker<'_> {
        match self.made_by.as_deref() {
            None | Some(OWNER) => Maker::Owner,
            Some(id) => match id.strip_prefix(KEY_PREFIX) {
                Some(key) => Maker::Key(key),
                None if id.contains('#') => Maker::Token,
                None => Maker::Configured(id),
            },
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

/// Checks that there can be such a key.
pub(super) fn check(new: &NewKey, now: Timestamp) -> Result<(), KeyError> {
    let invalid = |message: String| Err(KeyError::Invalid(message));
    check_name(&new.name).map_err(KeyError::Invalid)?;
    let too_long = |name: &String| name.is_empty() || name.len() > LONGEST_OBLIGATION;
    if new.handles.len() > MOST_HANDLES || new.handles.iter().any(too_long) {
        return invalid(format!(
            "a key handles at most {MOST_HANDLES} obligations, with names of 1 to {LONGEST_OBLIGATION} bytes"
        ));
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
            let shown: String = scope.chars().take(40).collect();
            return invalid(format!("unknown scope `{}`; {help}", shown.escape_debug()));
        }
    }
    if new.expires.is_some_and(|expires| expires <= now) {
        return invalid("`expires` is in the past".to_owned());
    }
    Ok(())
}

mod inline {
    use super::{Deserialize, Deserializer, Serializer};
    use crate::base::caller::InlineRule;
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
