//! One webhook: where it leads, what it wants, what it is signed with, and what waits for it.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::queue::DeliveryQueue;
use super::sign::SigningKey;
use super::stats::Stats;
use crate::base::lock::lock;
use crate::base::timestamp::Timestamp;
use crate::service::config::{
    EventFilter, Secret, SecretRef, WebhookConfig, check_webhook_name as check_name,
};
use crate::service::net::address::check_url;
use crate::trust::subjects::Severity;

/// How long a secret that was rotated out still signs.
const OVERLAP: Duration = Duration::from_secs(24 * 3_600);

/// A webhook.
#[derive(Debug)]
pub(crate) struct Hook {
    pub(crate) name: String,
    pub(crate) settings: ArcSwap<Settings>,
    keys: Keys,
    pub(crate) lane: DeliveryQueue,
    pub(crate) stats: Stats,
    /// Why nothing is sent, and since when.
    disabled: Mutex<Option<Disabled>>,
}

/// What can be changed of a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) url: String,
    pub(crate) events: EventFilter,
    pub(crate) min_severity: Severity,
    pub(crate) allow_private: bool,
    /// When it was registered; `None` for one of the configuration.
    pub(crate) created: Option<i64>,
}

impl Settings {
    /// From what was given, checked.
    pub(crate) fn new(
        url: &str,
        events: &[String],
        min_severity: Severity,
        allow_private: bool,
    ) -> Result<Self, String> {
        check_url(url, allow_private).map_err(|message| format!("`url`: {message}"))?;
        Ok(Self {
            url: url.to_owned(),
            events: EventFilter::new(events).map_err(|message| format!("`events`: {message}"))?,
            min_severity,
            allow_private,
            created: None,
        })
    }
}

/// Why nothing is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Disabled {
    pub(crate) reason: String,
    /// In milliseconds since the Unix epoch.
    pub(crate) at: i64,
}

/// A registered webhook, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StoredHook {
    url: String,
    events: Vec<String>,
    min_severity: Severity,
    created: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    disabled: Option<Disabled>,
}

/// The secrets of a registered webhook, as they are kept sealed.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct KeptSecrets {
    current: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<String>,
    /// Until when the previous one signs, in milliseconds since the Unix epoch.
    #[serde(default)]
    until: i64,
}

impl fmt::Debug for KeptSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeptSecrets(..)")
    }
}

impl KeptSecrets {
    pub(crate) fn new(key: &SigningKey) -> Self {
        Self {
            current: key.reveal(),
            previous: None,
            until: 0,
        }
    }

    /// The same with a new secret; the present one signs for another day.
    pub(crate) fn rotated(&self, key: &SigningKey, now: Timestamp) -> Self {
        let overlap = i64::try_from(OVERLAP.as_millis()).unwrap_or(i64::MAX);
        Self {
            current: key.reveal(),
            previous: Some(self.current.clone()),
            until: now.as_millis().saturating_add(overlap),
        }
    }

    fn previous(&self, now: Timestamp) -> Option<&str> {
        let previous = self.previous.as_deref();
        previous.filter(|_| now.as_millis() < self.until)
    }
}

/// Where secrets come from.
#[derive(Debug)]
enum Keys {
    /// Read each time: the file may have been replaced.
    Configured {
        current: SecretRef,
        previous: Option<SecretRef>,
    },
    /// Unsealed once; or why they could not be.
    Kept(Mutex<Result<KeptSecrets, String>>),
}

impl Hook {
    /// One of the configuration.
    pub(crate) fn configured(
        config: &WebhookConfig,
        allow_private: bool,
        queue: usize,
    ) -> Result<Self, String> {
        check_name(&config.name)?;
        let settings = Settings::new(
            &config.url,
            &config.events,
            config.min_severity,
            config.allow_private || allow_private,
        )?;
        let keys = Keys::Configured {
            current: config.secret.clone(),
            previous: config.previous_secret.clone(),
        };
        let hook = Self::with(&config.name, settings, keys, queue);
        hook.keys(Timestamp::from_millis(0))?;
        Ok(hook)
    }

    /// One that was registered.
    pub(crate) fn registered(
        name: &str,
        settings: Settings,
        secrets: Result<KeptSecrets, String>,
        queue: usize,
    ) -> Self {
        Self::with(name, settings, Keys::Kept(Mutex::new(secrets)), queue)
    }

    /// One that was registered before.
    pub(crate) fn read(
        name: &str,
        json: &str,
        secrets: Result<KeptSecrets, String>,
        allow_private: bool,
        queue: usize,
    ) -> Result<Self, String> {
        let kept: StoredHook = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let settings = Settings {
            url: kept.url,
            // An address that is no longer allowed is refused at every delivery, and shown as it is.
            events: EventFilter::new(&kept.events)?,
            min_severity: kept.min_severity,
            allow_private,
            created: Some(kept.created),
        };
        let hook = Self::registered(name, settings, secrets, queue);
        hook.set_disabled(kept.disabled);
        Ok(hook)
    }

    fn with(name: &str, settings: Settings, keys: Keys, queue: usize) -> Self {
        Self {
            name: name.to_owned(),
            settings: ArcSwap::from_pointee(settings),
            keys,
            lane: DeliveryQueue::new(queue),
            stats: Stats::default(),
            disabled: Mutex::default(),
        }
    }

    /// As it is kept; `None` for one of the configuration.
    pub(crate) fn kept(&self) -> Option<String> {
        let settings = self.settings.load();
        let kept = StoredHook {
            url: settings.url.clone(),
            events: settings.events.patterns().to_vec(),
            min_severity: settings.min_severity,
            created: settings.created?,
            disabled: self.disabled(),
        };
        // Strings and numbers always have a JSON form.
        Some(serde_json::to_string(&kept).unwrap_or_default())
    }

    /// Whether the configuration names it: it is changed there.
    pub(crate) fn is_configured(&self) -> bool {
        matches!(self.keys, Keys::Configured { .. })
    }

    /// Whether it wants an event of this name and severity.
    pub(crate) fn wants(&self, event: &str, severity: Severity) -> bool {
        let settings = self.settings.load();
        severity >= settings.min_severity && settings.events.takes(event)
    }

    /// What to sign with at this instant, the newest first.
    pub(crate) fn keys(&self, now: Timestamp) -> Result<Vec<SigningKey>, String> {
        match &self.keys {
            Keys::Configured { current, previous } => {
                let read = |secret: &SecretRef, what: &str| {
                    let read: Result<Secret, String> = secret.read();
                    read.and_then(|secret| SigningKey::parse(secret.reveal()))
                        .map_err(|message| format!("`{what}`: {message}"))
                };
                let mut keys = vec![read(current, "secret")?];
                if let Some(previous) = previous {
                    keys.push(read(previous, "previous_secret")?);
                }
                Ok(keys)
            }
            Keys::Kept(secrets) => {
                let secrets = lock(secrets).clone()?;
                let texts = std::iter::once(secrets.current.as_str()).chain(secrets.previous(now));
                texts.map(SigningKey::parse).collect()
            }
        }
    }

    /// The secrets of a registered one.
    pub(crate) fn secrets(&self) -> Result<KeptSecrets, String> {
        match &self.keys {
            Keys::Configured { .. } => Err("the configuration has its secret".to_owned()),
            Keys::Kept(secrets) => lock(secrets).clone(),
        }
    }

    /// Signs with other secrets from now on.
    pub(crate) fn set_secrets(&self, new: KeptSecrets) {
        if let Keys::Kept(secrets) = &self.keys {
            *lock(secrets) = Ok(new);
        }
    }

    /// Why nothing is sent.
    pub(crate) fn disabled(&self) -> Option<Disabled> {
        lock(&self.disabled).clone()
    }

    /// Stops sending, or begins again.
    pub(crate) fn set_disabled(&self, disabled: Option<Disabled>) {
        *lock(&self.disabled) = disabled;
    }

    /// As it stands in answers; never with a secret.
    pub(crate) fn to_json(&self, now: Timestamp) -> Value {
        let settings = self.settings.load();
        let time = |millis: i64| Timestamp::from_millis(millis).to_string();
        let disabled = self.disabled();
        let mut json = json!({
            "name": self.name,
            "url": settings.url,
            "events": settings.events.patterns(),
            "minSeverity": settings.min_severity.as_str(),
            "origin": if self.is_configured() { "configuration" } else { "api" },
            "enabled": disabled.is_none(),
            "statistics": self.stats.to_json(self.lane.len()),
        });
        let mut add = |name: &str, value: Value| {
            if let Some(members) = json.as_object_mut() {
                members.insert(name.to_owned(), value);
            }
        };
        if let Some(created) = settings.created {
            add("created", time(created).into());
        }
        if let Some(disabled) = disabled {
            let since = json!({"reason": disabled.reason, "at": time(disabled.at)});
            add("disabled", since);
        }
        if let Keys::Kept(secrets) = &self.keys {
            match &*lock(secrets) {
                Ok(secrets) if secrets.previous(now).is_some() => {
                    add("previousSecretUntil", time(secrets.until).into());
                }
                Ok(_) => {}
                Err(message) => add("secretError", message.clone().into()),
            }
        }
        json
    }
}

/// All webhooks, by name.
pub(crate) type Hooks = std::collections::BTreeMap<String, Arc<Hook>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_paths() {
        for name in ["soc", "a-b_C9", &"x".repeat(64)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "a b", "a/b", "..", "dead", "é", &"x".repeat(65)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_rotated_secret_signs_for_a_day_and_none_is_shown() {
        let (first, second) = (
            SigningKey::generate().unwrap(),
            SigningKey::generate().unwrap(),
        );
        let now = Timestamp::from_millis(1_000);
        let settings = Settings::new("https://a.example/", &[], Severity::Low, false).unwrap();
        let settings = Settings {
            created: Some(1),
            ..settings
        };
        let hook = Hook::registered("a", settings, Ok(KeptSecrets::new(&first)), 1);
        assert_eq!(
            hook.keys(now).unwrap().as_slice(),
            std::slice::from_ref(&first)
        );
        hook.set_secrets(hook.secrets().unwrap().rotated(&second, now));
        assert_eq!(hook.keys(now).unwrap(), [second.clone(), first.clone()]);
        let later = Timestamp::from_millis(1_000 + 24 * 3_600_000);
        assert_eq!(
            hook.keys(later).unwrap().as_slice(),
            std::slice::from_ref(&second)
        );
        let all = format!("{hook:?} {} {}", hook.to_json(now), hook.kept().unwrap());
        for key in [first, second] {
            assert!(!all.contains(&key.reveal()), "{all}");
        }
        assert!(hook.to_json(now)["previousSecretUntil"].is_string());
    }

    #[test]
    fn severity_and_filter_both_decide() {
        let events = ["incident.*".to_owned()];
        let settings = Settings::new("https://a.example/", &events, Severity::High, false).unwrap();
        let hook = Hook::registered("a", settings, Err("none".to_owned()), 1);
        assert!(hook.wants("incident.x", Severity::High));
        assert!(hook.wants("incident.x", Severity::Critical));
        assert!(!hook.wants("incident.x", Severity::Medium));
        assert!(!hook.wants("finding.x", Severity::Critical));
        assert_eq!(hook.keys(Timestamp::from_millis(0)), Err("none".to_owned()));
    }
}
