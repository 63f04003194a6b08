//! What an operator does with webhooks: register, look at, change, rotate, test, remove; and dead
//! letters.

use std::sync::Arc;

use serde_json::{Value, json};

use super::cloudevent;
use super::deliver::{Tried, send};
use super::hook::{Hook, KeptSecrets, Settings};
use super::queue::Delivery;
use super::sign::SigningKey;
use super::{Shared, Webhooks};
use crate::service::config::check_webhook_name as check_name;
use crate::storage::{StateDirError, Store};
use crate::trust::subjects::Severity;

/// Webhooks that there may be.
const MOST: usize = 100;

/// A webhook to be registered, or what one is to be from now on.
#[derive(Debug, Clone)]
pub(crate) struct Registration {
    pub(crate) url: String,
    /// None for all.
    pub(crate) events: Vec<String>,
    pub(crate) min_severity: Severity,
}

/// Which dead letters are sent again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Replay {
    /// By `webhook-id`; none for all.
    pub(crate) ids: Option<Vec<String>>,
    /// Those of this webhook only.
    pub(crate) webhook: Option<String>,
}

/// Why something was not done.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum WebhookError {
    /// What was asked for is not a webhook.
    #[error("{0}")]
    Invalid(String),
    /// There is one already.
    #[error("there is a webhook `{0}` already")]
    NameTaken(String),
    /// It is not for the API to change.
    #[error("the configuration names the webhook `{0}`; change it there")]
    Configured(String),
    /// There is none.
    #[error("there is no webhook `{0}`")]
    Unknown(String),
    /// There are enough.
    #[error("there are {MOST} webhooks, which is as many as there may be; remove some")]
    Full,
    /// Nothing can be registered.
    #[error("webhooks are registered in a state directory; set `state.dir`")]
    NoState,
    /// Secrets cannot be kept.
    #[error("secrets of webhooks are kept sealed; set `state.key`")]
    NoKey,
    /// It could not be written.
    #[error("{0}")]
    State(#[from] StateDirError),
    /// Something else.
    #[error("{0}")]
    Failed(String),
}

impl WebhookError {
    /// A stable name for the kind of error.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid_webhook",
            Self::NameTaken(_) => "webhook_name_taken",
            Self::Configured(_) => "webhook_configured",
            Self::Unknown(_) => "unknown_webhook",
            Self::Full => "webhooks_full",
            Self::NoState => "no_state",
            Self::NoKey => "state_seal_key",
            Self::State(error) => error.code(),
            Self::Failed(_) => "internal",
        }
    }
}

/// The name under which a webhook's secrets are kept.
fn secret_name(name: &str) -> String {
    format!("webhook/{name}")
}

/// The secrets of a registered webhook.
pub(super) fn secrets(store: &Store, name: &str) -> Result<KeptSecrets, String> {
    let sealed = store.secret(&secret_name(name));
    let sealed = sealed.map_err(|error| error.to_string())?;
    let sealed = sealed.ok_or("its secret is not there; rotate it")?;
    serde_json::from_slice(&sealed).map_err(|_| "its secret is damaged; rotate it".to_owned())
}

fn put_secrets(store: &Store, name: &str, secrets: &KeptSecrets) -> Result<(), WebhookError> {
    // Strings and numbers always have a JSON form.
    let json = serde_json::to_vec(secrets).unwrap_or_default();
    store
        .put_secret(&secret_name(name), &json)
        .map_err(|error| {
            if error.code() == "state_seal_key" {
                WebhookError::NoKey
            } else {
                WebhookError::State(error)
            }
        })
}

impl Webhooks {
    /// Every webhook with its statistics.
    pub(crate) fn list(&self) -> Vec<Value> {
        let now = (self.shared.clock)();
        let hooks = self.shared.hooks();
        hooks.values().map(|hook| hook.to_json(now)).collect()
    }

    /// One webhook.
    pub(crate) fn get(&self, name: &str) -> Result<Value, WebhookError> {
        let hook = self.shared.hook(name)?;
        Ok(hook.to_json((self.shared.clock)()))
    }

    /// Registers a webhook; the answer is the only place where its secret stands.
    pub(crate) fn create(&self, name: &str, new: &Registration) -> Result<Value, WebhookError> {
        let shared = &self.shared;
        let store = shared.store.as_ref().ok_or(WebhookError::NoState)?;
        check_name(name).map_err(|message| WebhookError::Invalid(format!("`name`: {message}")))?;
        let now = (shared.clock)();
        let settings = Settings {
            created: Some(now.as_millis()),
            ..shared.settings(new)?
        };
        let _one_at_a_time = shared.changing();
        let hooks = shared.hooks();
        if hooks.contains_key(name) {
            return Err(WebhookError::NameTaken(name.to_owned()));
        }
        if hooks.len() >= MOST {
            return Err(WebhookError::Full);
        }
        let key = SigningKey::generate().map_err(WebhookError::Failed)?;
        let secrets = KeptSecrets::new(&key);
        // A secret without a webhook harms nobody, a webhook without a secret sends nothing.
        put_secrets(store, name, &secrets)?;
        let hook = Hook::registered(name, settings, Ok(secrets), shared.config.queue);
        let hook = Arc::new(hook);
        store.put_webhook(name, hook.kept().unwrap_or_default())?;
        if let Err(message) = self.deliver(&hook) {
            // What is refused is not there after a restart either.
            store.remove_webhook(name)?;
            return Err(WebhookError::Failed(message));
        }
        let json = with_secret(&hook.to_json(now), &key);
        shared.change_hooks(|hooks| {
            hooks.insert(name.to_owned(), hook);
        });
        Ok(json)
    }

    /// Changes a webhook, and lets it be sent to again.
    pub(crate) fn update(&self, name: &str, new: &Registration) -> Result<Value, WebhookError> {
        let shared = &self.shared;
        let _one_at_a_time = shared.changing();
        let (hook, store) = shared.registered(name)?;
        let settings = Settings {
            created: hook.settings.load().created,
            ..shared.settings(new)?
        };
        let before = hook.settings.swap(Arc::new(settings));
        let disabled = hook.disabled();
        hook.set_disabled(None);
        if let Err(error) = store.put_webhook(name, hook.kept().unwrap_or_default()) {
            hook.settings.store(before);
            hook.set_disabled(disabled);
            return Err(error.into());
        }
        let now = (shared.clock)();
        hook.lane.hurry(now);
        Ok(hook.to_json(now))
    }

    /// Gives a webhook a new secret; the present one signs too for a day.
    pub(crate) fn rotate(&self, name: &str) -> Result<Value, WebhookError> {
        let shared = &self.shared;
        let _one_at_a_time = shared.changing();
        let (hook, store) = shared.registered(name)?;
        let now = (shared.clock)();
        let key = SigningKey::generate().map_err(WebhookError::Failed)?;
        let rotated = match hook.secrets() {
            Ok(secrets) => secrets.rotated(&key, now),
            // What cannot be read cannot sign either.
            Err(_) => KeptSecrets::new(&key),
        };
        put_secrets(store, name, &rotated)?;
        hook.set_secrets(rotated);
        Ok(with_secret(&hook.to_json(now), &key))
    }

    /// Sends a test, once and at once. If it is taken, a disabled webhook is sent to again.
    pub(crate) fn test(&self, name: &str) -> Result<Value, WebhookError> {
        let shared = &self.shared;
        let hook = shared.hook(name)?;
        let now = (shared.clock)();
        let message = cloudevent::test(&shared.config.source, name, now);
        let message = message.map_err(WebhookError::Failed)?;
        let tried = send(shared, &hook, &message.id, &message.body);
        let (delivered, status, error) = match tried {
            Tried::Taken(status) => (true, Some(status), None),
            Tried::Gone => (false, Some(410), Some("status 410".to_owned())),
            Tried::Failed { status, error, .. } => (false, status, Some(error)),
        };
        hook.stats.tried((shared.clock)(), status, error.as_deref());
        if delivered && hook.disabled().is_some() {
            shared.disable(&hook, None);
        }
        Ok(json!({
            "delivered": delivered,
            "status": status,
            "error": error,
            "webhookId": message.id,
            "enabled": hook.disabled().is_none(),
        }))
    }

    /// Removes a webhook and what waits for it.
    pub(crate) fn remove(&self, name: &str) -> Result<(), WebhookError> {
        let shared = &self.shared;
        let _one_at_a_time = shared.changing();
        let (hook, store) = shared.registered(name)?;
        store.remove_webhook(name)?;
        shared.change_hooks(|hooks| {
            hooks.remove(name);
        });
        hook.lane.remove();
        let left: Vec<u64> = hook.lane.drain().iter().map(|left| left.number).collect();
        // It is removed. What is left of it on disk is sent to nobody.
        if let Err(error) = store.remove_deliveries(left) {
            tracing::warn!(%error, webhook = name, "deliveries of a removed webhook are left on disk");
        }
        if let Err(error) = store.remove_secret(&secret_name(name)) {
            tracing::warn!(%error, webhook = name, "the secret of a removed webhook is left on disk");
        }
        Ok(())
    }

    /// Dead letters, the newest first; `most` of them, and how many there are.
    pub(crate) fn dead(&self, most: usize) -> Result<Value, WebhookError> {
        let dead = &self.shared.dead;
        let letters = dead.list().map_err(WebhookError::Failed)?;
        let shown: Vec<Value> = letters
            .iter()
            .rev()
            .take(most)
            .map(Delivery::to_json)
            .collect();
        Ok(json!({
            "kept": dead.kept(),
            "count": letters.len(),
            "dead": shown,
        }))
    }

    /// Has dead letters sent again, with all tries before them. Those whose webhook is gone, disabled
    /// or full stay.
    pub(crate) fn replay(&self, which: &Replay) -> Result<Value, WebhookError> {
        let shared = &self.shared;
        let _one_at_a_time = shared.changing();
        let hooks = shared.hooks();
        let mut revived: Vec<(Arc<Hook>, Delivery)> = Vec::new();
        let mut left = Vec::new();
        let now = (shared.clock)().as_millis();
        for letter in shared.dead.list().map_err(WebhookError::Failed)? {
            let ids = which.ids.as_ref();
            let webhook = which.webhook.as_ref();
            if ids.is_some_and(|ids| !ids.contains(&letter.id))
                || webhook.is_some_and(|webhook| *webhook != letter.webhook)
            {
                continue;
            }
            let reason = match hooks.get(&letter.webhook) {
                None => "there is no such webhook",
                Some(hook) if hook.disabled().is_some() => "the webhook is disabled",
                Some(hook) if !hook.lane.reserve() => "the queue is full",
                Some(hook) => {
                    let again = Delivery {
                        attempts: 0,
                        due: now,
                        died: None,
                        ..letter
                    };
                    revived.push((Arc::clone(hook), again));
                    continue;
                }
            };
            left.push(json!({"id": letter.id, "webhook": letter.webhook, "reason": reason}));
        }
        let deliveries: Vec<Delivery> = revived.iter().map(|(_, again)| again.clone()).collect();
        if let Err(message) = shared.dead.revive(&deliveries) {
            for (hook, _) in &revived {
                hook.lane.release();
            }
            return Err(WebhookError::Failed(message));
        }
        let replayed = revived.len();
        for (hook, delivery) in revived {
            if let Err(delivery) = hook.lane.push(delivery) {
                shared.bury(&hook, vec![*delivery]);
            }
        }
        Ok(json!({"replayed": replayed, "left": left}))
    }
}

impl Shared {
    fn hook(&self, name: &str) -> Result<Arc<Hook>, WebhookError> {
        let hooks = self.hooks();
        let hook = hooks.get(name).cloned();
        hook.ok_or_else(|| WebhookError::Unknown(name.to_owned()))
    }

    /// A webhook that is the API's to change, and where it is kept.
    fn registered(&self, name: &str) -> Result<(Arc<Hook>, &Store), WebhookError> {
        let hook = self.hook(name)?;
        if hook.is_configured() {
            return Err(WebhookError::Configured(name.to_owned()));
        }
        let store = self.store.as_ref().ok_or(WebhookError::NoState)?;
        Ok((hook, store))
    }

    fn settings(&self, new: &Registration) -> Result<Settings, WebhookError> {
        let private = self.config.danger_allow_private;
        Settings::new(&new.url, &new.events, new.min_severity, private)
            .map_err(WebhookError::Invalid)
    }
}

fn with_secret(json: &Value, key: &SigningKey) -> Value {
    let mut json = json.clone();
    if let Some(members) = json.as_object_mut() {
        members.insert("secret".to_owned(), key.reveal().into());
    }
    json
}
