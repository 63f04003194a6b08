//! `[[webhooks]]` and `[webhook_delivery]`: who is told of findings and incidents, and how.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::event_filter::EventFilter;
use super::notes::{Notes, wrong};
use super::secret::SecretRef;
use crate::base::fault::{Fault, Faults};
use crate::base::files::PathText;
use crate::base::settings::settings;
use crate::base::span::Span;
use crate::service::net::address::check_url;
use crate::trust::subjects::Severity;

/// What paths of the interface are called, and no webhook.
const RESERVED: [&str; 1] = ["dead"];
/// Longest name, in bytes.
const LONGEST_NAME: usize = 64;
/// Whether a webhook may have this name, which stands in paths, logs and file names.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(plain) {
        return Err(format!(
            "a name has 1 to {LONGEST_NAME} letters, digits, `-` and `_`"
        ));
    }
    if RESERVED.contains(&name) {
        return Err(format!("the name `{name}` is taken by a path"));
    }
    Ok(())
}

/// One receiver of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Its name in answers, logs and records.
    pub name: String,
    /// Where events are posted.
    pub url: String,
    /// What deliveries are signed with: `whsec_` and the base64 of 24 to 64 bytes.
    pub secret: SecretRef,
    /// A secret that signs too, while the receiver changes over.
    #[serde(default)]
    pub previous_secret: Option<SecretRef>,
    /// Which events it wants, such as `incident.*`; none for all.
    #[serde(default)]
    pub events: Vec<String>,
    /// Least severity of these.
    #[serde(default = "low")]
    pub min_severity: Severity,
    /// Whether its address may be a private one.
    #[serde(default)]
    pub allow_private: bool,
}

fn low() -> Severity {
    Severity::Low
}

settings! {
    /// How events are delivered.
    pub struct WebhookDeliveryConfig {
        /// `source` of events, a URI.
        pub source: String = "urn:deodar:pdp".to_owned(),
        /// Time for one try.
        pub timeout: Span = Span::seconds(15),
        /// Waits before each try; the first is before the first try.
        pub retries: Vec<Span> = retries(),
        /// Deliveries that may wait for each webhook.
        #[schemars(range(min = 1, max = 100_000))]
        pub queue: usize = 1_000,
        /// Dead letters that are kept.
        #[schemars(range(min = 1, max = 1_000_000))]
        pub dead_letters: usize = 10_000,
        /// The file of dead letters, where there is no state directory.
        #[schemars(with = "Option<PathText>")]
        pub dead_letter_file: Option<PathBuf>,
        /// Whether every webhook may have a private address.
        pub danger_allow_private: bool,
    }
}

fn retries() -> Vec<Span> {
    [0, 5, 300, 1_800, 7_200, 18_000, 36_000]
        .map(Span::seconds)
        .to_vec()
}

/// Longest wait between two tries.
const LONGEST_WAIT: Span = Span::days(7);
/// Most tries.
const MOST_TRIES: usize = 50;
/// Longest time for one try.
const LONGEST_TRY: Span = Span::minutes(1);
/// Most webhooks of a configuration.
const MOST: usize = 100;

impl WebhookDeliveryConfig {
    /// What no single key can say.
    pub(super) fn check(&self, notes: &mut Notes<'_>) {
        let usual = "such as [\"0s\", \"5s\", \"5m\", \"30m\", \"2h\", \"5h\", \"10h\"]";
        let key = "webhook_delivery.retries";
        for wait in self.retries.iter().filter(|wait| **wait > LONGEST_WAIT) {
            notes.add(key, format!("`{wait}` is longer than 7 days"), usual);
        }
        wrong! { notes.add;
            self.retries.is_empty() || self.retries.len() > MOST_TRIES => key,
                format!("has {} waits", self.retries.len()), usual;
        }
        if self.timeout < Span::milliseconds(100) || self.timeout > LONGEST_TRY {
            let message = "is not between 100ms and 60s";
            notes.add("webhook_delivery.timeout", message, "15s is usual");
        }
        let uri = !self.source.is_empty() && self.source.parse::<ureq::http::Uri>().is_ok();
        let uri = uri || self.source.starts_with("urn:");
        if !uri || self.source.len() > 256 || self.source.contains([' ', '"', '\\']) {
            let message = "is not a URI";
            notes.add(
                "webhook_delivery.source",
                message,
                "such as urn:deodar:pdp:eu-1",
            );
        }
    }
}

/// Everything that is wrong with the webhooks of a configuration.
pub(super) fn check(hooks: &[WebhookConfig], delivery: &WebhookDeliveryConfig) -> Faults {
    let mut faults = Faults::new();
    let mut names = std::collections::BTreeSet::new();
    if hooks.len() > MOST {
        let message = format!("`webhooks`: {} of them, more than {MOST}", hooks.len());
        faults.push(Fault::new("config", message));
    }
    for hook in hooks {
        let mut fault = |message: String| {
            let message = format!("webhook `{}`: {message}", hook.name.escape_debug());
            faults.push(Fault::new("config", message));
        };
        if let Err(message) = check_name(&hook.name) {
            fault(message);
        }
        let allow_private = hook.allow_private || delivery.danger_allow_private;
        if let Err(message) = check_url(&hook.url, allow_private) {
            fault(format!("`url`: {message}"));
        }
        if let Err(message) = EventFilter::new(&hook.events) {
            fault(format!("`events`: {message}"));
        }
        if !names.insert(&hook.name) {
            fault("another one has this name".to_owned());
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::base::fault::Faults;
    use crate::service::config::Config;

    const HOOK: &str = "[[webhooks]]\nname = \"soc\"\nurl = \"https://soc.example.org/d\"\nsecret = {env = \"S\"}\n";

    fn parsed(text: &str) -> Result<Config, Faults> {
        let file = Path::new("/etc/deodar/deodar.toml");
        Config::from_parts(Some((file, text)), std::iter::empty(), &[])
    }

    #[test]
    fn a_webhook_is_read() {
        let config: Config = parsed(&format!(
            "{HOOK}events = [\"incident.*\"]\nmin_severity = \"high\"\n[webhook_delivery]\n\
             retries = [\"0s\", \"1m\"]\ntimeout = \"3s\"\n"
        ))
        .unwrap();
        let hook = &config.webhooks[0];
        assert_eq!((hook.name.as_str(), hook.events.len()), ("soc", 1));
        assert_eq!(hook.min_severity, crate::trust::subjects::Severity::High);
        assert!(!hook.allow_private);
        let delivery = &config.webhook_delivery;
        assert_eq!(delivery.retries.len(), 2);
        assert_eq!(delivery.timeout.as_secs(), 3);
        let usual = parsed("").unwrap().webhook_delivery;
        let waits: Vec<u64> = usual.retries.iter().map(|wait| wait.as_secs()).collect();
        assert_eq!(waits, [0, 5, 300, 1_800, 7_200, 18_000, 36_000]);
        assert!(!usual.danger_allow_private);
    }

    #[track_caller]
    fn refused(text: &str, expect: &str) {
        let error = parsed(text).unwrap_err().summary();
        assert!(error.contains(expect), "{error}");
    }

    #[test]
    fn what_could_not_work_is_named() {
        refused(&HOOK.replace("https", "http"), "only https");
        refused(&HOOK.replace("soc.example.org", "10.0.0.1"), "private");
        refused(&HOOK.replace("soc\"", "s o c\""), "name");
        refused(&format!("{HOOK}{HOOK}"), "another one has this name");
        refused(
            &format!("{HOOK}events = [\"incidents.*\"]"),
            "did you mean `incident`",
        );
        refused(&format!("{HOOK}min_severity = \"extreme\""), "extreme");
        refused(&format!("{HOOK}colour = \"red\""), "colour");
        refused(
            "[webhook_delivery]\nretries = [\"soon\"]",
            "`soon` is not a duration",
        );
        refused("[webhook_delivery]\nretries = []", "has 0 waits");
        refused(
            "[webhook_delivery]\ntimeout = \"5m\"",
            "between 100ms and 60s",
        );
        refused("[webhook_delivery]\nsource = \"a b\"", "not a URI");
    }

    #[test]
    fn private_addresses_take_a_setting() {
        let private = HOOK.replace("https://soc.example.org", "http://127.0.0.1:9");
        refused(&private, "only https");
        assert!(parsed(&format!("{private}allow_private = true")).is_ok());
        let all = format!("{private}[webhook_delivery]\ndanger_allow_private = true");
        assert!(parsed(&all).is_ok());
    }
}
