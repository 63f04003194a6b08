//! Where a [`Pdp`]'s policies, schema and entities come from, and how it behaves.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cedar_policy::{Entities, PolicySet, SchemaFragment};

use super::Pdp;
use super::reading::Reading;
use super::reload::{Reloader, Sources};
use super::score::Scoring;
use crate::base::fault::Faults;
use crate::pdp::evaluate::{Engine, Shadow, ShadowSettings};
#[cfg(feature = "cli")]
use crate::policy::Ids;
use crate::policy::{EngineChoice, OnError, Settings};
use crate::request::Limits;
use crate::source::ReadLimits;
#[cfg(feature = "watch")]
use crate::source::watch::{Watch, WatchMode};
use crate::source::{Form, Kind, SourceFile};
use crate::storage::Store;
use crate::trust::geo::GeoSource;
use crate::trust::subjects::{MemorySignals, NotificationSink, SignalStore};
use crate::trust::{Trust, TrustConfig};
use arc_swap::ArcSwap;

/// Why a [`Pdp`] could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The sources are faulty; every fault is named.
    #[error("{0}")]
    Sources(Faults),
    /// The state directory cannot be used.
    #[error("{0}")]
    StateDir(#[from] crate::storage::StateDirError),
    /// The thread for shadow checks could not be started.
    #[error("cannot check in the shadow: {0}")]
    Shadow(std::io::Error),
    /// The watching thread could not be started.
    #[error("cannot watch the sources: {0}")]
    Watch(std::io::Error),
}

/// Builds a [`Pdp`] from directories, files, texts and already parsed Cedar values, all of which may
/// be mixed.
///
/// A path names a file or a directory tree. A tree is read for `*.cedar`, `*.links.json` and
/// policy-set `*.json` (policies), `*.cedarschema` and `*.cedarschema.json` (schema), `*.json`,
/// `*.ndjson` and `*.jsonl` (entities); hidden files are left out, and so is what another kind claims
/// by its name.
///
/// ```
/// use deodar::{BuildError, Pdp};
///
/// let builder = || {
///     Pdp::builder()
///         .schema_text("s.cedarschema", "entity User, Doc; action read appliesTo { principal: User, resource: Doc };")
///         .entities_text("e.json", r#"[{"uid": {"type": "User", "id": "ada"}}]"#)
/// };
/// let good = r#"permit(principal == User::"ada", action == Action::"read", resource);"#;
/// assert!(builder().policies_text("p.cedar", good).build().is_ok());
///
/// // Everything is validated against the schema, and every fault is named with its place.
/// let typo = r#"permit(principal == Usr::"ada", action == Action::"read", resource);"#;
/// let Err(BuildError::Sources(faults)) = builder().policies_text("p.cedar", typo).build() else {
///     panic!("`Usr` is not an entity type");
/// };
/// assert_eq!(faults.iter().next().and_then(|fault| fault.file()), Some("p.cedar"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct PdpBuilder {
    sources: Sources,
    settings: Settings,
    limits: Limits,
    read_limits: ReadLimits,
    unguarded: bool,
    #[cfg(feature = "state")]
    state_dir: Option<PathBuf>,
    store: Option<Store>,
    strict_start: bool,
    #[cfg(feature = "watch")]
    watch: Option<Watch>,
    shadow: ShadowSettings,
    trust: Option<TrustConfig>,
    signals: Option<Arc<dyn SignalStore>>,
    geo: Option<Arc<dyn GeoSource>>,
    notices: Notices,
}

/// Where notices go.
#[derive(Default)]
struct Notices(Option<NotificationSink>);

impl std::fmt::Debug for Notices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Notices" } else { "None" })
    }
}

/// How long a file must have been unchanged before a reload takes it, where nothing else is set.
const REST: Duration = Duration::from_millis(100);

impl PdpBuilder {
    /// Policies from a file or a directory tree.
    #[must_use]
    pub fn policies(self, path: impl Into<PathBuf>) -> Self {
        self.root(Kind::Policies, path.into())
    }

    /// Policies from Cedar text; `name` stands in messages and in the ids of unnamed policies.
    #[must_use]
    pub fn policies_text(self, name: &str, text: &str) -> Self {
        self.text(name, text, Form::Cedar)
    }

    /// Template links from the text of a links file.
    #[must_use]
    pub fn links_text(self, name: &str, text: &str) -> Self {
        self.text(name, text, Form::Links)
    }

    /// The names that `@obligation` and `@advice` may use, from the text of a vocabulary file:
    /// `{"obligations": ["log_access"], "advice": []}`.
    #[must_use]
    pub fn vocabulary_text(self, name: &str, text: &str) -> Self {
        self.text(name, text, Form::Vocabulary)
    }

    /// Policies that were parsed already; their ids stay.
    #[must_use]
    pub fn policy_set(mut self, set: PolicySet) -> Self {
        self.sources.policies.push(std::sync::Arc::new(set));
        self
    }

    /// Schema from a file or a directory tree.
    #[must_use]
    pub fn schema(self, path: impl Into<PathBuf>) -> Self {
        self.root(Kind::Schema, path.into())
    }

    /// A schema fragment in Cedar's schema syntax.
    #[must_use]
    pub fn schema_text(self, name: &str, text: &str) -> Self {
        self.text(name, text, Form::SchemaCedar)
    }

    /// A schema fragment that was parsed already.
    #[must_use]
    pub fn schema_fragment(mut self, fragment: SchemaFragment) -> Self {
        self.sources.schema.push(fragment);
        self
    }

    /// Entities from a file or a directory tree.
    #[must_use]
    pub fn entities(self, path: impl Into<PathBuf>) -> Self {
        self.root(Kind::Entities, path.into())
    }

    /// Entities from the text of a JSON array.
    #[must_use]
    pub fn entities_text(self, name: &str, text: &str) -> Self {
        let form = match name.rsplit_once('.') {
            Some((_, "ndjson" | "jsonl")) => Form::EntitiesNdjson,
            _ => Form::EntitiesJson,
        };
        self.text(name, text, form)
    }

    /// Entities that were parsed already.
    #[must_use]
    pub fn entity_set(mut self, entities: Entities) -> Self {
        self.sources.entities.push(entities);
        self
    }

    fn root(mut self, kind: Kind, path: PathBuf) -> Self {
        Arc::make_mut(&mut self.sources.roots).0.push((kind, path));
        self
    }

    fn text(mut self, name: &str, text: &str, form: Form) -> Self {
        self.sources
            .texts
            .push(SourceFile::new(name, name, text, form));
        self
    }

    /// What evaluates policies; [`EngineChoice::Compiled`] unless set. Both give the same answers.
    #[must_use]
    pub fn engine(mut self, engine: EngineChoice) -> Self {
        self.settings.engine = engine;
        self
    }

    /// Decides a share of requests again by the reference, on a thread of its own; answers neither wait
    /// for it nor change. Nothing is checked unless set.
    #[must_use]
    pub fn shadow(mut self, settings: ShadowSettings) -> Self {
        self.shadow = settings;
        self
    }

    /// Scores requests by this configuration. Without one requests are scored only where policies ask for
    /// it, by the numbers as they are shipped, and no floor is looked at.
    #[must_use]
    pub fn trust(mut self, config: TrustConfig) -> Self {
        self.trust = Some(config);
        self
    }

    /// Keeps signals here. Unless set they are kept in the state directory where there is one, in memory
    /// otherwise, if there is a trust configuration.
    #[must_use]
    pub fn signals(mut self, store: Arc<dyn SignalStore>) -> Self {
        self.signals = Some(store);
        self
    }

    /// Looks up where addresses are.
    #[must_use]
    pub fn geo(mut self, source: Arc<dyn GeoSource>) -> Self {
        self.geo = Some(source);
        self
    }

    /// Tells findings, incidents and the acts of break-glass principals. It is called on the way of
    /// decisions and must not wait.
    #[must_use]
    pub fn notices(mut self, sink: NotificationSink) -> Self {
        self.notices = Notices(Some(sink));
        self
    }

    /// What an evaluation error in a forbid means where its `@on_error` does not say;
    /// [`OnError::Deny`] unless set: a forbid that could not be evaluated denies. [`OnError::Skip`] is
    /// what Cedar's own authorizer does.
    #[must_use]
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.settings.on_error = on_error;
        self
    }

    /// What the names of the annotations that Deodar reads begin with: with `deodar_` only
    /// `@deodar_obligation(..)` and the like have a meaning, and `@obligation(..)` is text. `@id` stays as it
    /// is. Empty unless set.
    #[must_use]
    pub fn annotation_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.settings.annotation_prefix = prefix.into();
        self
    }

    /// Names that `@obligation` may use, besides those of vocabulary files beside the policies.
    #[must_use]
    pub fn obligations<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        let names = names.into_iter().map(Into::into);
        self.settings.vocabulary.obligations.extend(names);
        self
    }

    /// Names that `@advice` may use, besides those of vocabulary files beside the policies.
    #[must_use]
    pub fn advice<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        let names = names.into_iter().map(Into::into);
        self.settings.vocabulary.advice.extend(names);
        self
    }

    /// The context member that is set to `{now}` for actions that declare it as `Deodar::Env`; `env`
    /// unless set.
    #[must_use]
    pub fn env_member(mut self, name: impl Into<String>) -> Self {
        self.settings.inject.env = name.into();
        self
    }

    /// The context members that are set to what the trust model says of the request, for actions that
    /// declare them as `Deodar::Trust` and `Deodar::Auth`; `trust` and `auth` unless set.
    #[must_use]
    pub fn trust_members(mut self, trust: impl Into<String>, auth: impl Into<String>) -> Self {
        self.settings.inject.trust = trust.into();
        self.settings.inject.auth = auth.into();
        self
    }

    /// Whether those members are set for every action where there is no schema; off unless set.
    #[must_use]
    pub fn inject_without_schema(mut self, inject: bool) -> Self {
        self.settings.inject.without_schema = inject;
        self
    }

    /// Bounds on one request.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Bounds on what is read from disk.
    #[must_use]
    pub fn read_limits(mut self, limits: ReadLimits) -> Self {
        self.read_limits = limits;
        self
    }

    /// Whether a reload that lost everything, all forbids or half the policies at once is held back
    /// until it is confirmed; on unless set.
    #[must_use]
    pub fn guard(mut self, guard: bool) -> Self {
        self.unguarded = !guard;
        self
    }

    /// A directory that keeps the last good sources and the entities that are written, and makes
    /// sequences last across restarts. One process owns it at a time.
    #[cfg(feature = "state")]
    #[must_use]
    pub fn state_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(path.into());
        self
    }

    /// The state directory that was handed in.
    #[cfg(feature = "server")]
    pub(crate) fn opened_store(&self) -> Option<Store> {
        self.store.clone()
    }

    /// As [`PdpBuilder::state_dir`], of a directory that is open already.
    #[cfg(feature = "server")]
    pub(crate) fn store(mut self, store: Store) -> Self {
        self.store = Some(store);
        self
    }

    /// Whether to refuse to start on the last good sources when the present ones are faulty.
    #[must_use]
    pub fn strict_start(mut self, strict: bool) -> Self {
        self.strict_start = strict;
        self
    }

    /// Watches the paths and reloads on change. A change is taken up once no file has changed for
    /// `debounce` (100 ms for reloads where nothing is watched); every `poll_interval` the files are
    /// compared in any case.
    #[cfg(feature = "watch")]
    #[must_use]
    pub fn watch(mut self, mode: WatchMode, debounce: Duration, poll_interval: Duration) -> Self {
        self.watch = Some(Watch {
            mode,
            debounce,
            poll_interval,
        });
        self
    }

    /// Keeps Cedar's own policy ids and skips policies that fail, for Cedar's test formats.
    #[cfg(feature = "cli")]
    pub(crate) fn with_cedar_ids(mut self) -> Self {
        self.settings.ids = Ids::Cedar;
        self.settings.on_error = OnError::Skip;
        self
    }

    /// Keeps Cedar's own policy ids and takes policies that fail validation.
    #[cfg(feature = "cli")]
    pub(crate) fn with_cedar_ids_unvalidated(mut self) -> Self {
        self.settings.lenient = true;
        self.with_cedar_ids()
    }

    /// Takes requests that do not fit the schema.
    #[cfg(feature = "cli")]
    pub(crate) fn unvalidated_requests(mut self) -> Self {
        self.settings.unvalidated_requests = true;
        self
    }

    /// Puts these entities into the store in place of those of the same id, or of all others.
    #[cfg(feature = "cli")]
    pub(crate) fn entities_given(mut self, entities: Vec<serde_json::Value>, only: bool) -> Self {
        self.sources.given = Some((entities, only));
        self
    }

    /// Checks the trust configuration and finds what keeps signals.
    fn scoring(&mut self, state_dir: Option<&Store>) -> Result<Scoring, BuildError> {
        let config = self.trust.take();
        if let Some(config) = &config {
            let trust = Trust::new(config.clone()).map_err(BuildError::Sources)?;
            self.settings.trust = Some(trust);
        }
        let notices = self.notices.0.take();
        let store: Option<Arc<dyn SignalStore>> = match (self.signals.take(), config) {
            (Some(store), _) => Some(store),
            (None, None) => None,
            (None, Some(config)) => Some(match state_dir {
                #[cfg(feature = "state")]
                Some(dir) => {
                    let (notices, dir) = (notices.clone(), dir.clone());
                    let store =
                        crate::trust::subjects::DurableSignals::open(config.signals, notices, dir)?;
                    Arc::new(store)
                }
                _ => Arc::new(MemorySignals::new(config.signals, notices.clone())),
            }),
        };
        Ok(Scoring {
            store,
            geo: self.geo.take(),
            notices,
        })
    }

    /// Reads, validates and publishes the first state.
    ///
    /// # Errors
    /// When the sources are faulty or hold no policy, and there is no last good state to fall back
    /// to; when the state directory cannot be used.
    pub fn build(mut self) -> Result<Pdp, BuildError> {
        let state_dir = self.store.take();
        #[cfg(feature = "state")]
        let state_dir = match (state_dir, &self.state_dir) {
            (None, Some(path)) => {
                Some(Store::open(path, crate::storage::StoreSettings::default())?)
            }
            (opened, _) => opened,
        };
        let scoring = self.scoring(state_dir.as_ref())?;
        #[cfg(feature = "watch")]
        let rest = self.watch.map_or(REST, |watch| watch.debounce);
        #[cfg(not(feature = "watch"))]
        let rest = REST;
        let reloader = Reloader {
            sources: self.sources,
            settings: ArcSwap::from_pointee(self.settings),
            guard: !self.unguarded,
            state_dir,
            rest,
            reading: Reading::default(),
            not_read: std::sync::Mutex::default(),
        };
        let engine = Engine {
            shadow: Shadow::start(self.shadow).map_err(BuildError::Shadow)?,
            ..Engine::default()
        };
        let strict = self.strict_start;
        let pdp = Pdp::start(
            reloader,
            self.limits,
            self.read_limits,
            strict,
            (engine, scoring),
        )?;
        #[cfg(feature = "watch")]
        if let Some(watch) = self.watch {
            pdp.watch(watch).map_err(BuildError::Watch)?;
        }
        Ok(pdp)
    }
}
