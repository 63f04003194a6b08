//! `[metrics]`, `[otlp]` and `[log]`: what the server tells of itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::notes::{Notes, wrong};
use super::secret::SecretRef;
use crate::base::settings::settings;
use crate::service::net::url::Url;

settings! {
    /// Metrics.
    pub struct MetricsConfig {
        /// Whether decisions are counted by the policies that determined them.
        pub policies: Switch = Switch::On,
        /// How many policies have a label of their own.
        #[schemars(range(min = 1, max = 100_000))]
        pub policy_limit: usize = 200,
    }
}

/// Whether something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

settings! {
    /// Where spans are sent; needs the feature `otlp`.
    pub struct OtlpConfig {
        /// The collector: `http://` or `https://`, without the path `/v1/traces`. Without one there are no
        /// spans.
        pub endpoint: Option<String>,
        /// Headers for the collector: `name=value` pairs, divided by commas.
        pub headers: Option<SecretRef>,
        /// How many requests out of a hundred have a span, of those that their caller does not trace.
        #[schemars(range(min = 0, max = 100))]
        pub sample_percent: u64 = 1,
    }
}

impl OtlpConfig {
    /// What no single key can say.
    pub(super) fn check(&self, notes: &mut Notes<'_>) {
        let Some(endpoint) = &self.endpoint else {
            return;
        };
        wrong! { notes.add;
            !cfg!(feature = "otlp") => "otlp.endpoint", "this deodar was built without the feature `otlp`",
                "build it with `cargo build --release --features otlp`, or leave the key out";
        }
        if let Err((message, help)) = collector(endpoint, self.headers.is_some()) {
            notes.add("otlp.endpoint", message, help);
        }
    }
}

/// Whether this is where spans can be sent.
pub(super) fn collector(endpoint: &str, headers: bool) -> Result<(), (String, &'static str)> {
    let expected =
        "such as http://127.0.0.1:4318, without a path of signals and without a password";
    let url = Url::parse(endpoint).map_err(|reason| (reason, expected))?;
    if url.uri.query().is_some() {
        return Err(("the address holds a query".to_owned(), expected));
    }
    if endpoint.trim_end_matches('/').ends_with("/v1/traces") {
        return Err(("ends with /v1/traces, which is added".to_owned(), expected));
    }
    if headers && url.is_in_clear() {
        return Err((
            "would carry `otlp.headers` over the network in the clear".to_owned(),
            "use https://, or a collector on this machine",
        ));
    }
    Ok(())
}

settings! {
    /// Logging.
    pub struct LogConfig {
        /// A level, or directives such as `info,deodar=debug`.
        pub level: String = "info".to_owned(),
        /// The form of the lines.
        pub format: LogFormat = LogFormat::Auto,
    }
}

/// The form of lines of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LogFormat {
    /// For people on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Human,
    /// JSON.
    Json,
}
