//! One typed configuration: defaults < `deodar.toml` < `DEODAR_*` environment < flags.
//!
//! What enters: a file, the environment, flags. What leaves: a [`Config`], or every fault found, each
//! with the place and the nearest known name. Nothing is half-applied.
//!
//! Every table is a struct with its defaults and its check. Keys, types, bounds and documentation are what the
//! structs say; the merge, `deodar config` and the JSON schema follow them.

mod audit;
mod callers;
mod decide;
mod event_filter;
mod issuers;
mod limits;
mod merge;
mod notes;
mod observe;
mod receivers;
mod reserved;
mod schema;
mod secret;
mod server;
#[cfg(test)]
mod tests;
mod webhooks;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::fault::{Fault, Faults};
use crate::base::files;
use crate::base::words::words;
use crate::pdp::{Pdp, PdpBuilder};
use crate::storage::{SealKey, SealKeys, StateDirError, Store, StoreSettings};
use crate::trust::{Trust, TrustConfig};

pub use audit::{AuditConfig, ChainKind, Fsync, Overflow, Recording};
pub(crate) use audit::{MASKABLE, mask};
pub use callers::{CallerConfig, CallerLimitsConfig, TokenMatch};
pub(crate) use callers::{check as check_callers, folded as folded_san};
pub use decide::{DecideConfig, ReloadConfig, SourcesConfig, StateConfig, VocabularyConfig};
pub(crate) use event_filter::{EventFilter, TYPE_PREFIX as EVENT_TYPE_PREFIX};
pub use issuers::{
    GroupClaim, IntrospectionConfig, IssuerConfig, OnFailure, Preset, StatusListConfig,
    TokenAlgorithm, TokenUsage, check as check_issuers,
};
pub use limits::LimitsConfig;
pub use merge::Origin;
use merge::{Merge, Origins};
use notes::Notes;
pub use observe::{LogConfig, LogFormat, MetricsConfig, OtlpConfig, Switch};
pub use receivers::{
    PollConfig, PushConfig, ReceiverConfig, SubjectFormat, check as check_receivers,
};
pub(crate) use reserved::ReservedNames;
pub use secret::{Secret, SecretRef};
pub use server::{Anonymous, ClientAuth, ClientConfig, Mode, ServerConfig, TlsConfig, TlsVersion};
pub(crate) use webhooks::check_name as check_webhook_name;
pub use webhooks::{WebhookConfig, WebhookDeliveryConfig};

/// The environment variable that names the configuration file.
pub const CONFIG_VARIABLE: &str = "DEODAR_CONFIG";
/// The configuration file that is read when none is named and it is there.
pub const DEFAULT_FILE: &str = "deodar.toml";
/// A longer configuration file is a mistake.
const LONGEST_FILE: u64 = 1 << 20;

/// The whole configuration.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is decided on.
    pub sources: SourcesConfig,
    /// The state directory.
    pub state: StateConfig,
    /// How changes of the sources are taken up.
    pub reload: ReloadConfig,
    /// How requests are decided.
    pub decide: DecideConfig,
    /// Names that annotations of policies may use.
    pub vocabulary: VocabularyConfig,
    /// The HTTP server.
    pub server: ServerConfig,
    /// TLS of the server.
    pub tls: TlsConfig,
    /// What commands show to a server, and how they trust it.
    pub client: ClientConfig,
    /// Bounds on requests and on what is read from disk.
    pub limits: LimitsConfig,
    /// Metrics.
    pub metrics: MetricsConfig,
    /// Where spans are sent.
    pub otlp: OtlpConfig,
    /// The decision log.
    pub audit: AuditConfig,
    /// How events are delivered to webhooks.
    pub webhook_delivery: WebhookDeliveryConfig,
    /// Logging.
    pub log: LogConfig,
    /// Callers that the file names.
    pub callers: Vec<CallerConfig>,
    /// How requests are scored; without it only where policies ask for it.
    pub trust: Option<TrustConfig>,
    /// Issuers whose tokens are accepted.
    pub issuers: Vec<IssuerConfig>,
    /// Transmitters whose security event tokens are accepted.
    pub receivers: Vec<ReceiverConfig>,
    /// Webhooks: receivers of findings and incidents.
    pub webhooks: Vec<WebhookConfig>,
    #[serde(skip)]
    origins: Origins,
    #[serde(skip)]
    file: Option<PathBuf>,
}

words! {
    /// A table whose changes a running server takes up.
    #[non_exhaustive]
    pub enum LiveTable by name {
        /// `[limits]`.
        Limits = "limits",
        /// `[[callers]]`.
        Callers = "callers",
        /// `[trust]`.
        Trust = "trust",
        /// `[log]`.
        Log = "log",
    }
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

    /// Does the same as [`Config::load`] with parts that were read before.
    pub(crate) fn from_parts(
        file: Option<(&Path, &str)>,
        environment: impl Iterator<Item = (String, String)>,
        flags: &[Flag],
    ) -> Result<Self, Faults> {
        let mut merge = Merge::default();
        if let Some((path, text)) = file {
            merge.file(path, text);
        }
        merge.environment(environment);
        merge.flags(flags);
        let (mut config, origins) = merge.read()?;
        config.origins = origins;
        config.file = file.map(|(path, _)| path.to_owned());
        config.check()?;
        Ok(config)
    }

    /// What no single key can say: combinations that would not be safe or could not work.
    fn check(&self) -> Result<(), Faults> {
        let mut notes = Notes::new(&self.origins);
        self.state.check(&mut notes);
        self.reload.check(&mut notes);
        self.server.check(self.knows_callers(), &mut notes);
        self.tls.check(&mut notes);
        self.client.check(&mut notes);
        self.limits.check(&mut notes);
        self.otlp.check(&mut notes);
        self.audit.check(&mut notes);
        self.webhook_delivery.check(&mut notes);
        if let Err(found) = check_callers(&self.callers) {
            notes.extend(found);
        }
        if let Some(Err(found)) = self.trust.clone().map(Trust::new) {
            notes.extend(found);
        }
        notes.extend(check_issuers(&self.issuers));
        notes.extend(webhooks::check(&self.webhooks, &self.webhook_delivery));
        notes.extend(check_receivers(&self.receivers, &self.callers));
        notes.done()
    }

    /// Whether there is a way to say who asks.
    fn knows_callers(&self) -> bool {
        let issued = |issuer: &IssuerConfig| issuer.usage == TokenUsage::Caller;
        !self.callers.is_empty() || self.state.dir.is_some() || self.issuers.iter().any(issued)
    }

    /// The file that was read.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The JSON schema of the file: every key with its meaning, its type, its bounds and its default.
    #[must_use]
    pub fn json_schema() -> &'static Value {
        schema::root()
    }

    /// Every key with its value and where it came from, in the order of the tables. A secret is shown by its
    /// reference. The numbers of the trust model are those in effect.
    #[must_use]
    pub fn entries(&self) -> Vec<(String, Value, Origin)> {
        let mut whole = serde_json::to_value(self).unwrap_or_default();
        let trust = self.trust.as_ref();
        let model = trust.and_then(|trust| trust.model.over(trust.preset).ok());
        if let Some(place) = whole.pointer_mut("/trust/model") {
            *place = serde_json::to_value(model).unwrap_or_default();
        }
        schema::values(&whole)
            .into_iter()
            .map(|(key, value)| {
                let origin = self.origins.get(&key).cloned().unwrap_or(Origin::Default);
                (key, value, origin)
            })
            .collect()
    }

    /// The keys in which `newer` differs and that take effect only after a restart; the name of the table for tables
    /// that may be given several times.
    #[must_use]
    pub fn restart_needed(&self, newer: &Self) -> Vec<String> {
        let table = |key: &str| key.split(['.', '[']).next().map(str::to_owned);
        let values = |config: &Self| {
            let entries = config.entries().into_iter();
            let entries = entries.map(|(key, value, _)| (key, value.to_string()));
            entries.collect::<std::collections::BTreeSet<_>>()
        };
        let (ours, theirs) = (values(self), values(newer));
        let changed = ours.symmetric_difference(&theirs).map(|(key, _)| key);
        let live = |key: &&String| {
            let of = |live: LiveTable| table(key).is_some_and(|table| table == live.name());
            LiveTable::ALL.into_iter().any(of)
        };
        let changed = changed
            .filter(|key| !live(key))
            .map(|key| match key.contains('[') {
                true => table(key).unwrap_or_default(),
                false => key.clone(),
            });
        let changed: std::collections::BTreeSet<String> = changed.collect();
        changed.into_iter().collect()
    }

    /// Opens the configured state directory with the keys that it is sealed with; `None` where none is
    /// configured.
    pub(crate) fn open_store(&self) -> Result<Option<Store>, StoreError> {
        let Some(path) = &self.state.dir else {
            return Ok(None);
        };
        let read = |key: &'static str, secret: &SecretRef| {
            let parsed = secret.read().and_then(|s| SealKey::parse(s.reveal()));
            parsed.map_err(|message| StoreError::Key { key, message })
        };
        let newest = self.state.key.iter().map(|secret| ("state.key", secret));
        let previous = self.state.previous_keys.iter();
        let all = newest.chain(previous.map(|secret| ("state.previous_keys", secret)));
        let keys: Result<Vec<SealKey>, _> = all.map(|(key, secret)| read(key, secret)).collect();
        let settings = StoreSettings {
            keep_revisions: self.state.keep_revisions,
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
        let decide = &self.decide;
        builder
            .trust_members(decide.trust_member.clone(), decide.auth_member.clone())
            .engine(decide.engine)
            .shadow(decide.shadow())
            .on_error(decide.on_error)
            .annotation_prefix(&decide.annotation_prefix)
            .obligations(self.vocabulary.obligations.iter().cloned())
            .advice(self.vocabulary.advice.iter().cloned())
            .env_member(decide.env_member.clone())
            .inject_without_schema(decide.inject_without_schema)
            .limits(self.limits.request())
            .read_limits(self.limits.read())
            .guard(self.reload.guard)
            .strict_start(self.state.strict_start)
    }

    /// A decision point with the configured settings and sources, not yet built.
    #[must_use]
    pub fn pdp(&self) -> PdpBuilder {
        let (sources, builder) = (&self.sources, self.settings());
        let builder = sources.policies.iter().fold(builder, PdpBuilder::policies);
        let builder = sources.schema.iter().fold(builder, PdpBuilder::schema);
        sources.entities.iter().fold(builder, PdpBuilder::entities)
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
