//! What all handlers share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::Clock;
use super::metrics::Metrics;
use super::places::Places;
use super::routes::PATHS;
use crate::config::{Config, LimitsConfig, Secret};
use crate::pdp::Pdp;
use arc_swap::ArcSwap;

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
    pdp: OnceLock<Pdp>,
    draining: AtomicBool,
    pub(super) limits: ArcSwap<LimitsConfig>,
    /// For requests under way.
    pub(super) requests: Places,
    /// For open connections.
    pub(super) connections: Places,
    pub(super) hosts: Vec<String>,
    pub(super) admin_token: Option<Secret>,
    pub(super) metrics: Metrics,
    /// Set where a collector is configured.
    #[cfg(feature = "otlp")]
    pub(super) spans: OnceLock<super::spans::Spans>,
    config_trouble: Mutex<ConfigTrouble>,
    pub(super) clock: Clock,
}

/// What is the matter with the configuration file since the start.
#[derive(Debug, Default, Clone)]
pub(super) struct ConfigTrouble {
    /// Why the changed file was refused.
    pub(super) refused: Option<String>,
    /// Keys that changed and need a restart.
    pub(super) restart_needed: Vec<&'static str>,
}

impl App {
    pub(super) fn new(config: &Config, admin_token: Option<Secret>, clock: Clock) -> Self {
        let hosts = config.server.hosts.iter();
        let metrics = Metrics::new(&config.metrics, PATHS);
        let requests = Places::new(config.limits.concurrent_requests);
        let connections = Places::new(config.limits.connections);
        for (name, help, places) in [
            (
                "requests_under_way",
                "Requests that hold a place among `limits.concurrent_requests`",
                &requests,
            ),
            (
                "connections",
                "Places among `limits.connections` that are taken, one by each listener that waits",
                &connections,
            ),
        ] {
            let places = places.clone();
            metrics.watch_gauge(name, help, move || places.taken() as u64);
        }
        Self {
            pdp: OnceLock::new(),
            draining: AtomicBool::new(false),
            limits: ArcSwap::from_pointee(config.limits),
            requests,
            connections,
            hosts: hosts.map(|host| host.to_ascii_lowercase()).collect(),
            admin_token,
            metrics,
            #[cfg(feature = "otlp")]
            spans: OnceLock::new(),
            config_trouble: Mutex::default(),
            clock,
        }
    }

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
        self.connections.resize(limits.connections);
        if let Some(pdp) = self.pdp() {
            pdp.set_limits(limits.request, limits.read);
        }
    }

    pub(super) fn config_trouble(&self) -> ConfigTrouble {
        let trouble = self.config_trouble.lock();
        trouble.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_config_trouble(&self, trouble: ConfigTrouble) {
        let keys = trouble.restart_needed.len();
        self.metrics.config_trouble(trouble.refused.is_some(), keys);
        let mut now = self
            .config_trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *now = trouble;
    }
}
