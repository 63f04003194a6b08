//! What all handlers share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::gate::auth::Gate;
use super::gate::limit::{Defaults, Limiter};
use super::gate::shed::Shedder;
use super::net::bodies::Bodies;
use super::net::connections::Connections;
use super::net::lane::Lane;
use super::net::permits::Permits;
use super::net::tls::Tls;
use super::observe::metrics::Metrics;
use crate::base::lock::lock;
use crate::base::timestamp::Timestamp;
use crate::pdp::Pdp;
use crate::service::audit::DecisionLog;
use crate::service::config::{Config, LimitsConfig};
use crate::service::net::fetch::Fetch;
use crate::service::ssf::Receivers;
use crate::service::tokens::{Denied, Issuers};
use crate::service::webhooks::Webhooks;
use crate::storage::Store;
use crate::trust::geo::live::LiveGeo;
use crate::trust::subjects::{DurableSignals, MemorySignals, NotificationSink, SignalStore};
use arc_swap::ArcSwap;

/// Tells the instant that a request is decided for.
pub type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

/// Where the server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The first state is loading.
    Starting,
    /// Requests are decided.
    Serving,
    /// Requests are still decided, but no new ones should be sent.
    Draining,
}

/// Shared by all connections.
pub(super) struct App {
    pub(super) pdp: OnceLock<Pdp>,
    pub(super) draining: AtomicBool,
    pub(super) limits: ArcSwap<LimitsConfig>,
    /// For requests under way.
    pub(super) requests: Permits,
    /// For open connections.
    pub(super) connections: Connections,
    /// For requests under way on connections that several share.
    pub(super) streams: Permits,
    /// For bodies of requests, in bytes.
    pub(super) bodies: Bodies,
    /// Where large bodies are worked on.
    pub(super) lane: Arc<Lane>,
    pub(super) hosts: Vec<String>,
    /// Origins whose pages may read answers.
    pub(super) cors_origins: Vec<String>,
    pub(super) gate: Gate,
    /// The state directory.
    pub(super) store: Option<Store>,
    /// The decision log.
    pub(super) audit: Option<DecisionLog>,
    /// Tokens that are not taken.
    pub(super) denied: Denied,
    /// Held while they change: one change at a time.
    pub(super) denying: Mutex<()>,
    /// Who is told of findings and incidents.
    pub(super) webhooks: Webhooks,
    /// Where those come in.
    pub(super) notices: NotificationSink,
    /// Whose tokens are taken, for callers and for principals.
    pub(super) issuers: Option<Issuers>,
    /// Whose security event tokens are taken.
    pub(super) receivers: Receivers,
    /// For tokens that are being verified and stored.
    pub(super) pushes: Permits,
    /// Calls other services; set where something is called.
    pub(super) fetch: Option<Arc<dyn Fetch>>,
    /// Where addresses are.
    pub(super) geo: Arc<LiveGeo>,
    /// What keeps signals, where it is not the decision point's.
    pub(super) kept_signals: OnceLock<Arc<dyn SignalStore>>,
    pub(super) limiter: Limiter,
    pub(super) shedder: Arc<Shedder>,
    pub(super) metrics: Metrics,
    /// Set where a collector is configured.
    #[cfg(feature = "otlp")]
    pub(super) spans: OnceLock<super::observe::spans::Spans>,
    /// Reads the configuration file again, once serving.
    pub(super) reread: OnceLock<Arc<dyn Fn() + Send + Sync>>,
    pub(super) config_trouble: Mutex<ConfigTrouble>,
    /// Certificates, where there is TLS.
    pub(super) tls: OnceLock<Arc<Tls>>,
    pub(super) clock: Clock,
}

/// What is the matter with the configuration file since the start.
#[derive(Debug, Default, Clone)]
pub(super) struct ConfigTrouble {
    /// Why the changed file was refused.
    pub(super) refused: Option<String>,
    /// Keys that changed and need a restart.
    pub(super) restart_needed: Vec<String>,
}

impl App {
    /// From now on requests are decided.
    pub(super) fn begin(&self, pdp: Pdp) {
        self.metrics.watch(pdp.clone());
        // A second call would be a mistake of ours; the first decision point stays.
        let _ = self.pdp.set(pdp);
        self.metrics.ready(self.phase() == Phase::Serving);
    }

    /// The decision point, once there is something to decide with.
    pub(super) fn pdp(&self) -> Option<&Pdp> {
        self.pdp.get()
    }

    /// What keeps signals; `None` where nothing is scored.
    pub(super) fn signals(&self) -> Option<Arc<dyn SignalStore>> {
        let kept = self.kept_signals.get().cloned();
        kept.or_else(|| self.pdp()?.signals())
    }

    /// Opens what keeps signals: the state directory where there is one, memory otherwise.
    pub(super) fn keep_signals(&self, config: &Config) -> Result<Arc<dyn SignalStore>, String> {
        let settings = config.trust.as_ref().map(|trust| trust.signals.clone());
        let (settings, notices) = (settings.unwrap_or_default(), Arc::clone(&self.notices));
        let kept: Arc<dyn SignalStore> = match &self.store {
            Some(store) => {
                let opened = DurableSignals::open(settings, Some(notices), store.clone());
                Arc::new(opened.map_err(|error| error.to_string())?)
            }
            None => Arc::new(MemorySignals::new(settings, Some(notices))),
        };
        self.metrics.watch_signals(Arc::clone(&kept));
        // Nothing was set before.
        let _ = self.kept_signals.set(Arc::clone(&kept));
        Ok(kept)
    }

    /// The authentication level that a class of authentication (`acr`) stands for.
    pub(super) fn acr_level(&self, acr: &str) -> Option<u8> {
        let state = self.pdp().map(Pdp::state);
        let trust = state.as_ref().and_then(|state| state.snapshot().trust());
        let configured = trust.and_then(|trust| trust.assurances().levels.get(acr).copied());
        configured.or_else(|| crate::service::ssf::level_of(acr))
    }

    pub(super) fn phase(&self) -> Phase {
        if self.draining.load(Ordering::SeqCst) {
            Phase::Draining
        } else if self.pdp.get().is_none() {
            Phase::Starting
        } else {
            Phase::Serving
        }
    }

    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.metrics.ready(false);
    }

    /// Takes up changed limits, from the next request on.
    pub(super) fn set_limits(&self, limits: LimitsConfig) {
        self.limits.store(Arc::new(limits));
        self.requests.resize(limits.concurrent_requests);
        let percent = limits.address_percent;
        self.connections.resize(limits.connections, percent);
        self.bodies.resize(limits.bodies_bytes, percent);
        self.limiter.set_defaults(defaults(&limits));
        self.streams.resize(limits.connections);
        if let Some(pdp) = self.pdp() {
            pdp.set_limits(limits.request(), limits.read());
        }
    }

    /// Takes up what has changed in the configuration file, as far as a running server can.
    pub(super) fn reread(&self) {
        if let Some(reread) = self.reread.get() {
            reread();
        }
    }

    /// Takes up certificates that have changed; what comes of it is logged, and told by readiness.
    pub(super) fn reload_certificates(&self) {
        if let Some(tls) = self.tls.get() {
            tls.reload((self.clock)());
        }
    }

    pub(super) fn config_trouble(&self) -> ConfigTrouble {
        lock(&self.config_trouble).clone()
    }

    pub(super) fn set_config_trouble(&self, trouble: ConfigTrouble) {
        let keys = trouble.restart_needed.len();
        self.metrics.config_trouble(trouble.refused.is_some(), keys);
        let mut now = lock(&self.config_trouble);
        *now = trouble;
    }
}

/// Rates of callers that have none of their own.
pub(super) fn defaults(limits: &LimitsConfig) -> Defaults {
    Defaults {
        decide: limits.caller(),
        manage: limits.manage(),
    }
}
