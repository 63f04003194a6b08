//! One typed configuration: defaults < `deodar.toml` < `DEODAR_*` environment < flags.
//!
//! What enters: a file, the environment, flags. What leaves: a [`Config`], or every fault found, each
//! with the place and the nearest known name. Nothing is half-applied.

mod audit;
mod callers;
mod event_filter;
mod issuers;
mod keys;
mod layers;
mod receivers;
mod reserved;
mod secret;
mod tables;
#[cfg(test)]
mod tests;
mod tls;
mod value;
mod webhooks;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::caller::CallerLimits;
use crate::base::fault::{Fault, Faults};
use crate::base::files;
use crate::pdp::evaluate::ShadowSettings;
use crate::pdp::{Pdp, PdpBuilder};
use crate::policy::{EngineChoice, OnError};
use crate::request::Limits;
use crate::service::net::url::Url;
use crate::source::ReadLimits;
use crate::source::watch::WatchMode;
use crate::storage::{SealKey, SealKeys, StateDirError, Store, StoreSettings};
use crate::trust::{Trust, TrustConfig};

pub use audit::{AuditConfig, ChainKind, Fsync, Overflow, Recording};
pub(crate) use audit::{MASKABLE, mask};
pub use callers::{CallerConfig, CallerLimitsConfig, TokenMatch};
pub(crate) use callers::{check as check_callers, folded as folded_san};
pub(crate) use event_filter::{EventFilter, TYPE_PREFIX as EVENT_TYPE_PREFIX};
pub use issuers::{
    GroupClaim, IntrospectionConfig, IssuerConfig, OnFailure, Preset, StatusListConfig,
    TokenAlgorithm, TokenUsage, check as check_issuers,
};
use layers::Layers;
pub use layers::Origin;
pub use receivers::{
    PollConfig, PushConfig, ReceiverConfig, SubjectFormat, check as check_receivers,
};
pub(crate) use reserved::ReservedNames;
pub use secret::{Secret, SecretRef};
pub use tls::{ClientAuth, ClientConfig, TlsConfig, TlsVersion};
use value::Value;
pub(crate) use webhooks::check_name as check_webhook_name;
pub use webhooks::{WebhookConfig, WebhookDeliveryConfig};

/// The environment variable that names the configuration file.
pub const CONFIG_VARIABLE: &str = "DEODAR_CONFIG";
/// The configuration file that is read when none is named and it is there.
pub const DEFAULT_FILE: &str = "deodar.toml";
/// A longer configuration file is a mistake.
const LONGEST_FILE: u64 = 1 << 20;

/// The whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Files and directories of policies.
    pub policies: Vec<PathBuf>,
    /// Files and directories of schema fragments.
    pub schema: Vec<PathBuf>,
    /// Files and directories of entities.
    pub entities: Vec<PathBuf>,
    /// The state directory, where there is one.
    pub state_dir: Option<PathBuf>,
    /// Whether to refuse to start on the last good sources.
    pub strict_start: bool,
    /// The key that seals secrets in the state directory.
    pub state_key: Option<SecretRef>,
    /// Keys that sealed them before; every secret is sealed again at the start.
    pub state_previous_keys: Vec<SecretRef>,
    /// Revisions whose sources are kept.
    pub keep_revisions: usize,
    /// How the server notices changes of the sources.
    pub watch: WatchMode,
    /// How long sources must be unchanged before a reload reads them.
    pub debounce: Duration,
    /// Time between two polls of the files.
    pub poll_interval: Duration,
    /// Whether reloads that look like an accident are held back.
    pub guard: bool,
    /// What a forbid means whose evaluation fails.
    pub on_error: OnError,
    /// The engine that evaluates policies.
    pub engine: EngineChoice,
    /// The share of decisions that the reference engine checks.
    pub shadow: ShadowSettings,
    /// The context member that carries `Deodar::Env`.
    pub env_member: String,
    /// The context members that carry what the trust model says.
    pub trust_member: String,
    /// As above, for how the principal was authenticated.
    pub auth_member: String,
    /// How requests are scored; without it only where policies ask for it.
    pub trust: Option<TrustConfig>,
    /// Whether it is injected where there is no schema.
    pub inject_without_schema: bool,
    /// Prefix of the names of annotations that Deodar reads; empty unless set.
    pub annotation_prefix: String,
    /// Names that `@obligation` may use.
    pub obligations: Vec<String>,
    /// Names that `@advice` may use.
    pub advice: Vec<String>,
    /// The HTTP server.
    pub server: ServerConfig,
    /// Callers that the file names.
    pub callers: Vec<CallerConfig>,
    /// Issuers whose tokens are accepted.
    pub issuers: Vec<IssuerConfig>,
    /// Webhooks: receivers of findings and incidents.
    pub webhooks: Vec<WebhookConfig>,
    /// How.
    pub webhook_delivery: WebhookDeliveryConfig,
    /// Transmitters whose security event tokens are accepted.
    pub receivers: Vec<ReceiverConfig>,
    /// The key that commands show to a server.
    pub client_key: Option<SecretRef>,
    /// Certificates by which commands trust a server.
    pub client: ClientConfig,
    /// Bounds on requests and on what is read from disk.
    pub limits: LimitsConfig,
    /// Metrics.
    pub metrics: MetricsConfig,
    /// Where spans are sent.
    pub otlp: OtlpConfig,
    /// The decision log.
    pub audit: AuditConfig,
    /// Logging.
    pub log: LogConfig,
    layers: Layers,
    file: Option<PathBuf>,
}

/// The HTTP server.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// The address for decisions.
    pub listen: SocketAddr,
    /// The address for probes and metrics, if another one.
    pub ops_listen: Option<SocketAddr>,
    /// Names that the Host header may have, without a port.
    pub hosts: Vec<String>,
    /// Whether anonymous callers are served on other addresses than loopback.
    pub danger_allow_anonymous: bool,
    /// Whether callers on this machine may decide without saying who they are.
    pub anonymous_loopback: bool,
    /// Origins of web pages that may read answers (CORS), such as `https://admin.example.org`.
    pub cors_origins: Vec<String>,
    /// How long requests are accepted after readiness fell.
    pub drain_delay: Duration,
    /// How long requests under way may take after that.
    pub drain_timeout: Duration,
    /// A Unix-domain socket to listen on as well.
    pub socket: Option<PathBuf>,
    /// Its permissions.
    pub socket_mode: u32,
    /// TLS on `listen`, where it is configured.
    pub tls: Option<TlsConfig>,
}

/// Bounds on requests and on what is read from disk.
#[derive(Debug, Clone, Copy)]
pub struct LimitsConfig {
    /// Bytes of a request body.
    pub body_bytes: usize,
    /// Bytes of memory that the bodies of all requests may take together, beyond the first 32 KiB of each.
    /// A body takes two bytes for each that it has.
    pub bodies_bytes: usize,
    /// Bounds on a request's content.
    pub request: Limits,
    /// Time for reading a request, headers and body each.
    pub read_timeout: Duration,
    /// Time a connection may stay open between two requests.
    pub idle_timeout: Duration,
    /// How long a request may wait for a place.
    pub queue_timeout: Duration,
    /// How long requests may wait for a processor; beyond it a share of them is refused. Zero means no bound.
    pub target_wait: Duration,
    /// Requests under way at once.
    pub concurrent_requests: usize,
    /// Connections open at once.
    pub connections: usize,
    /// Connections, and bytes of bodies, that one remote address may take, in percent of all.
    pub address_percent: usize,
    /// Bounds on the decisions of each caller that has none of its own.
    pub caller: CallerLimits,
    /// Bounds on what each caller manages.
    pub manage: CallerLimits,
    /// Bounds on what is read from disk.
    pub read: ReadLimits,
}

/// Metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsConfig {
    /// Whether decisions are counted by the policies that determined them.
    pub policies: bool,
    /// How many policies have a label of their own.
    pub policy_limit: usize,
}

/// Where spans are sent; needs the feature `otlp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpConfig {
    /// The collector: `http://` or `https://`, without the path `/v1/traces`. Without one there are no
    /// spans.
    pub endpoint: Option<String>,
    /// Headers for the collector: `name=value` pairs, divided by commas.
    pub headers: Option<SecretRef>,
    /// How many requests out of a hundred have a span, of those that their caller does not trace.
    pub sample_percent: u64,
}

/// Logging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// A level, or directives such as `info,deodar=debug`.
    pub level: String,
    /// `auto`, `human` or `json`.
    pub format: String,
}

/// A flag on top of everything else.
#[derive(Debug, Clone)]
pub struct Flag {
    /// The key it sets, such as `server.listen`.
    pub key: &'static str,
    /// The flag as it is written, such as `--listen`.
    pub flag: &'static str,
    /// Its values; more than one for a list of paths.
    pub values: Vec<String>,
}

impl Config {
    /// Reads the configuration: from `file`, else the file that the environment names, else
    /// `deodar.toml` where there is one; then the environment; then `flags`.
    ///
    /// # Errors
    /// Every unknown key and every wrong value, with its place.
    pub fn load(file: Option<&Path>, flags: &[Flag]) -> Result<Self, Faults> {
        let named = file.map(Path::to_owned).or_else(|| {
            let name = std::env::var_os(CONFIG_VARIABLE)?;
            (!name.is_empty()).then(|| name.into())
        });
        let path = named.or_else(|| {
            let default = PathBuf::from(DEFAULT_FILE);
            default.is_file().then_some(default)
        });
        let text = match &path {
            Some(path) => Some(read(path)?),
            None => None,
        };
        let file = path.as_deref().zip(text.as_deref());
        Self::from_parts(file, std::env::vars_os().filter_map(utf8), flags)
    }

    /// As [`Config::load`], from parts that were read before.
    pub(crate) fn from_parts(
        file: Option<(&Path, &str)>,
        environment: impl Iterator<Item = (String, String)>,
        flags: &[Flag],
    ) -> Result<Self, Faults> {
        let mut faults = Faults::new();
        let mut layers = Layers::defaults(&mut faults);
        if let Some((path, text)) = file {
            layers.file(path, text, &mut faults);
        }
        layers.environment(environment, &mut faults);
        for flag in flags {
            let Some(key) = keys::key(flag.key) else {
                continue;
            };
            let value = match (key.kind, flag.values.as_slice()) {
                (keys::Kind::Paths, many) => {
                    Ok(Value::Paths(many.iter().map(PathBuf::from).collect()))
                }
                (kind, [one]) => Value::from_text(kind, one),
                (_, _) => Err("is given more than once".to_owned()),
            };
            match value {
                Ok(value) => layers.flag(flag.key, flag.flag, value),
                Err(message) => {
                    faults.push(Fault::new("config", format!("`{}`: {message}", flag.flag)));
                }
            }
        }
        let layers = faults.or(layers)?;
        let config = Self::typed(layers, file.map(|(path, _)| path.to_owned()));
        config.check()?;
        Ok(config)
    }

    fn typed(layers: Layers, file: Option<PathBuf>) -> Self {
        let flag = |name: &str| matches!(layers.value(name), Value::Bool(true));
        let number = |name: &str| match layers.value(name) {
            Value::Int(value) => *value,
            _ => 0,
        };
        let size = |name: &str| usize::try_from(number(name)).unwrap_or(usize::MAX);
        let small = |name: &str| u32::try_from(number(name)).unwrap_or(u32::MAX);
        let text = |name: &str| match layers.value(name) {
            Value::Text(value) => value.clone(),
            _ => String::new(),
        };
        let duration = |name: &str| match layers.value(name) {
            Value::Duration(value) => *value,
            _ => Duration::ZERO,
        };
        let paths = |name: &str| match layers.value(name) {
            Value::Paths(value) => value.clone(),
            _ => Vec::new(),
        };
        let names = |name: &str| match layers.value(name) {
            Value::Names(value) => value.clone(),
            _ => Vec::new(),
        };
        let secret = |name: &str| match layers.value(name) {
            Value::Secret(secret) => Some(secret.clone()),
            _ => None,
        };
        let address = |name: &str| match layers.value(name) {
            Value::Address(value) => Some(*value),
            _ => None,
        };
        Self {
            policies: paths("sources.policies"),
            schema: paths("sources.schema"),
            entities: paths("sources.entities"),
            state_dir: layers.path("state.dir"),
            strict_start: flag("state.strict_start"),
            state_key: secret("state.key"),
            state_previous_keys: match layers.value("state.previous_keys") {
                Value::Secrets(secrets) => secrets.clone(),
                _ => Vec::new(),
            },
            keep_revisions: size("state.keep_revisions"),
            watch: match text("reload.watch").as_str() {
                "poll" => WatchMode::Poll,
                "off" => WatchMode::Off,
                _ => WatchMode::Auto,
            },
            debounce: duration("reload.debounce"),
            poll_interval: duration("reload.poll_interval"),
            guard: flag("reload.guard"),
            on_error: match text("decide.on_error").as_str() {
                "skip" => OnError::Skip,
                _ => OnError::Deny,
            },
            engine: match text("decide.engine").as_str() {
                "reference" => EngineChoice::Reference,
                _ => EngineChoice::Compiled,
            },
            shadow: ShadowSettings {
                share: number("decide.shadow_percent") as f64 / 100.0,
                queue: size("decide.shadow_queue"),
                entities: size("decide.shadow_entities"),
            },
            env_member: text("decide.env_member"),
            inject_without_schema: flag("decide.inject_without_schema"),
            annotation_prefix: text("decide.annotation_prefix"),
            obligations: names("vocabulary.obligations"),
            advice: names("vocabulary.advice"),
            server: ServerConfig {
                listen: address("server.listen")
                    .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8180))),
                ops_listen: address("server.ops_listen"),
                hosts: names("server.hosts"),
                danger_allow_anonymous: flag("server.danger_allow_anonymous"),
                anonymous_loopback: text("server.anonymous") == "loopback",
                cors_origins: names("server.cors_origins"),
                drain_delay: duration("server.drain_delay"),
                drain_timeout: duration("server.drain_timeout"),
                socket: layers.path("server.socket"),
                socket_mode: tls::mode(&text("server.socket_mode")).unwrap_or(0o600),
                tls: TlsConfig::read(&layers),
            },
            trust: layers.tables().trust.clone(),
            trust_member: text("decide.trust_member"),
            auth_member: text("decide.auth_member"),
            callers: layers.tables().callers.clone(),
            issuers: layers.tables().issuers.clone(),
            webhooks: layers.tables().webhooks.clone(),
            webhook_delivery: WebhookDeliveryConfig::typed(&layers),
            receivers: layers.tables().receivers.clone(),
            client_key: secret("client.key"),
            client: ClientConfig::read(&layers),
            limits: LimitsConfig {
                body_bytes: size("limits.body_bytes"),
                bodies_bytes: size("limits.bodies_bytes"),
                request: Limits {
                    json_depth: size("limits.json_depth"),
                    inline_entities: size("limits.inline_entities"),
                    inline_parent_depth: size("limits.inline_parent_depth"),
                    decision_steps: number("limits.decision_steps"),
                },
                read_timeout: duration("limits.read_timeout"),
                idle_timeout: duration("limits.idle_timeout"),
                queue_timeout: duration("limits.queue_timeout"),
                target_wait: duration("limits.target_wait"),
                concurrent_requests: size("limits.concurrent_requests"),
                connections: size("limits.connections"),
                address_percent: size("limits.address_percent"),
                caller: CallerLimits {
                    requests_per_second: small("limits.caller_per_second"),
                    burst: small("limits.caller_burst"),
                    concurrent: small("limits.caller_concurrent"),
                },
                manage: CallerLimits {
                    requests_per_second: small("limits.manage_per_second"),
                    ..CallerLimits::default()
                },
                read: ReadLimits {
                    policy_file_bytes: number("limits.policy_file_bytes"),
                    entity_file_bytes: number("limits.entity_file_bytes"),
                    files: size("limits.source_files"),
                    entity_parent_depth: size("limits.entity_parent_depth"),
                    entities: size("limits.entities"),
                    entity_names: size("limits.entity_names"),
                    entity_bytes: size("limits.entity_bytes"),
                },
            },
            metrics: MetricsConfig {
                policies: text("metrics.policies") != "off",
                policy_limit: size("metrics.policy_limit"),
            },
            otlp: OtlpConfig {
                endpoint: Some(text("otlp.endpoint")).filter(|endpoint| !endpoint.is_empty()),
                headers: match layers.value("otlp.headers") {
                    Value::Secret(secret) => Some(secret.clone()),
                    _ => None,
                },
                sample_percent: number("otlp.sample_percent"),
            },
            audit: AuditConfig::typed(&layers),
            log: LogConfig {
                level: text("log.level"),
                format: text("log.format"),
            },
            layers,
            file,
        }
    }

    /// What no single key can say: combinations that would not be safe or could not work.
    fn check(&self) -> Result<(), Faults> {
        let mut faults = Faults::new();
        let mut fault = |key: &str, message: String, help: &str| {
            let origin = self.layers.origin(key);
            faults.push(Fault::new("config", format!("`{key}` ({origin}): {message}")).help(help));
        };
        let listen = self.server.listen;
        if !listen.ip().is_loopback()
            && !self.server.danger_allow_anonymous
            && !self.knows_callers()
        {
            fault(
                "server.listen",
                format!("{listen} can be reached from other machines, and no caller is configured"),
                "name `[[callers]]`, set `state.dir` and create keys, or set \
                 `server.danger_allow_anonymous = true`",
            );
        }
        let limits = &self.limits;
        let share = limits.bodies_bytes as u128 * limits.address_percent as u128 / 100;
        if share < 2 * limits.body_bytes as u128 {
            fault(
                "limits.bodies_bytes",
                format!(
                    "the share of one address, {share} bytes, has no room for one body of `limits.body_bytes`"
                ),
                "raise it to three times `limits.body_bytes` or more",
            );
        }
        for origin in &self.server.cors_origins {
            // An origin has neither a path nor anything after it.
            let named = Url::parse(origin)
                .is_ok_and(|url| origin.matches('/').count() == 2 && url.uri.query().is_none());
            if !named {
                fault(
                    "server.cors_origins",
                    format!("`{origin}` is not an origin"),
                    "an origin is scheme, host and port, such as https://admin.example.org",
                );
            }
        }
        if let Some(endpoint) = &self.otlp.endpoint {
            if !cfg!(feature = "otlp") {
                fault(
                    "otlp.endpoint",
                    "this deodar was built without the feature `otlp`".to_owned(),
                    "build it with `cargo build --release --features otlp`, or leave the key out",
                );
            }
            if let Err((message, help)) = collector(endpoint, self.otlp.headers.is_some()) {
                fault("otlp.endpoint", message, help);
            }
        }
        if self.poll_interval < Duration::from_millis(10) {
            fault(
                "reload.poll_interval",
                "is shorter than 10ms".to_owned(),
                "a second or two is usual",
            );
        }
        for (key, value, most) in [
            ("reload.debounce", self.debounce, 60),
            ("reload.poll_interval", self.poll_interval, 3_600),
            ("server.drain_delay", self.server.drain_delay, 3_600),
            ("server.drain_timeout", self.server.drain_timeout, 3_600),
            ("limits.read_timeout", self.limits.read_timeout, 3_600),
            ("limits.idle_timeout", self.limits.idle_timeout, 86_400),
            ("limits.queue_timeout", self.limits.queue_timeout, 3_600),
            ("limits.target_wait", self.limits.target_wait, 60),
        ] {
            if value > Duration::from_secs(most) {
                let message = format!("is longer than {most} seconds");
                fault(key, message, "shorten it");
            }
        }
        if self.state_key.is_none() && !self.state_previous_keys.is_empty() {
            fault(
                "state.previous_keys",
                "there is no newest key to seal with".to_owned(),
                "set `state.key`",
            );
        }
        for (key, message, help) in tls::contradictions(&self.layers) {
            fault(key, message, help);
        }
        self.audit.check(&mut fault);
        self.webhook_delivery.check(&self.layers, &mut fault);
        if let Err(found) = check_callers(&self.callers) {
            faults.extend(found);
        }
        faults.extend(check_issuers(&self.issuers));
        if let Some(Err(found)) = self.trust.clone().map(Trust::new) {
            faults.extend(found);
        }
        faults.extend(webhooks::check(&self.webhooks, &self.webhook_delivery));
        faults.extend(check_receivers(&self.receivers, &self.callers));
        faults.or(())
    }

    /// Whether there is a way to say who asks.
    fn knows_callers(&self) -> bool {
        let issued = |issuer: &IssuerConfig| issuer.usage == TokenUsage::Caller;
        !self.callers.is_empty() || self.state_dir.is_some() || self.issuers.iter().any(issued)
    }

    /// The file that was read.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Every key with its value and where it came from, in a stable order. A secret is shown by its
    /// reference.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, serde_json::Value, &Origin)> {
        self.layers
            .entries()
            .map(|(name, value, origin)| (name, value.to_json(), origin))
    }

    /// The keys in which `newer` differs and that take effect only after a restart.
    #[must_use]
    pub fn restart_needed(&self, newer: &Self) -> Vec<&'static str> {
        self.layers.restart_needed(&newer.layers)
    }

    /// Opens the configured state directory with the keys that it is sealed with; `None` where none is
    /// configured.
    pub(crate) fn open_store(&self) -> Result<Option<Store>, StoreError> {
        let Some(path) = &self.state_dir else {
            return Ok(None);
        };
        let read = |key: &'static str, secret: &SecretRef| {
            let parsed = secret.read().and_then(|s| SealKey::parse(s.reveal()));
            parsed.map_err(|message| StoreError::Key { key, message })
        };
        let newest = self.state_key.iter().map(|secret| ("state.key", secret));
        let previous = self.state_previous_keys.iter();
        let all = newest.chain(previous.map(|secret| ("state.previous_keys", secret)));
        let keys: Result<Vec<SealKey>, _> = all.map(|(key, secret)| read(key, secret)).collect();
        let settings = StoreSettings {
            keep_revisions: self.keep_revisions,
            seal: SealKeys::new(keys?),
        };
        Ok(Some(Store::open(path, settings)?))
    }

    /// A decision point with the configured settings and no sources yet.
    #[must_use]
    pub fn settings(&self) -> PdpBuilder {
        let builder = match &self.trust {
            Some(trust) => Pdp::builder().trust(trust.clone()),
            None => Pdp::builder(),
        };
        builder
            .trust_members(self.trust_member.clone(), self.auth_member.clone())
            .engine(self.engine)
            .shadow(self.shadow)
            .on_error(self.on_error)
            .annotation_prefix(&self.annotation_prefix)
            .obligations(self.obligations.iter().cloned())
            .advice(self.advice.iter().cloned())
            .env_member(self.env_member.clone())
            .inject_without_schema(self.inject_without_schema)
            .limits(self.limits.request)
            .read_limits(self.limits.read)
            .guard(self.guard)
            .strict_start(self.strict_start)
    }

    /// A decision point with the configured settings and sources, not yet built.
    #[must_use]
    pub fn pdp(&self) -> PdpBuilder {
        let builder = self.settings();
        let builder = self.policies.iter().fold(builder, PdpBuilder::policies);
        let builder = self.schema.iter().fold(builder, PdpBuilder::schema);
        self.entities.iter().fold(builder, PdpBuilder::entities)
    }
}

/// Why the configured state directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// A key could not be read.
    #[error("`{key}`: {message}")]
    Key {
        /// The configuration key.
        key: &'static str,
        /// Why; without the key itself.
        message: String,
    },
    /// The directory cannot be used.
    #[error(transparent)]
    Open(#[from] StateDirError),
}

/// Whether this is where spans can be sent.
fn collector(endpoint: &str, headers: bool) -> Result<(), (String, &'static str)> {
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

fn utf8((name, value): (std::ffi::OsString, std::ffi::OsString)) -> Option<(String, String)> {
    Some((
        name.into_string().ok()?,
        value.to_string_lossy().into_owned(),
    ))
}

/// Reads a configuration file.
pub(crate) fn read(path: &Path) -> Result<String, Faults> {
    let fault = |message: String| {
        Faults::from(Fault::new("config", message).in_file(path.display().to_string()))
    };
    files::read_text(path, LONGEST_FILE).map_err(|error| fault(format!("cannot read: {error}")))
}
