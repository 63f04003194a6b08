//! What all handlers share, made from the configuration.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};

use arc_swap::ArcSwap;

use crate::base::fault::{Fault, Faults};
use crate::service::audit::DecisionLog;
use crate::service::config::Config;
use crate::service::http::api::{audit, denials, principal, webhooks};
use crate::service::http::app::{App, Clock, defaults};
use crate::service::http::gate::auth::Gate;
use crate::service::http::gate::limit::Limiter;
use crate::service::http::gate::shed::Shedder;
use crate::service::http::net::bodies::Bodies;
use crate::service::http::net::connections::Connections;
use crate::service::http::net::lane::Lane;
use crate::service::http::net::permits::Permits;
use crate::service::http::observe::metrics::{Capacity, Metrics, figures};
use crate::service::http::routes::paths;
use crate::service::net::fetch::{Client, Fetch};
use crate::service::ssf::Receivers;
use crate::service::tokens::{Denied, Issuers};
use crate::service::webhooks::{Setup, Webhooks};
use crate::storage::Store;

/// Security event tokens that are verified and stored at once.
const PUSHES: usize = 64;

/// Opens what the configuration names, and shares it.
///
/// # Errors
/// What of the configuration cannot be opened, or contradicts itself.
pub(crate) fn app(config: &Config, store: Option<Store>, clock: Clock) -> Result<App, Faults> {
    let denied = Denied::default();
    if let Some(store) = &store {
        denials::load(&denied, store, clock()).map_err(|error| Fault::new("state", error))?;
    }
    let fetch: Option<Arc<dyn Fetch>> =
        if config.issuers.is_empty() && config.receivers.is_empty() && config.audit.url.is_none() {
            None
        } else {
            let client = Client::new(config.client.ca.as_deref())
                .map_err(|message| Fault::new("config", format!("`client.ca`: {message}")))?;
            Some(Arc::new(client))
        };
    let issuers = match &fetch {
        Some(fetch) if !config.issuers.is_empty() => {
            let (issuers, fetch) = (config.issuers.clone(), Arc::clone(fetch));
            Some(Issuers::start(issuers, denied.clone(), fetch)?)
        }
        _ => None,
    };
    let receivers = match &fetch {
        Some(fetch) => Receivers::new(&config.receivers, fetch)?,
        None => Receivers::default(),
    };
    let audit = DecisionLog::start(&config.audit, audit::ROUTES, fetch.clone())
        .map_err(|error| Fault::new("config", error.to_string()))?;
    let setup = Setup::new(
        &config.webhook_delivery,
        &config.webhooks,
        config.client.ca.clone(),
        store.clone(),
    );
    let (webhooks, notices) =
        Webhooks::start(setup).map_err(|message| Fault::new("config", message))?;
    let hosts = config.server.hosts.iter();
    let metrics = Metrics::new(&config.metrics, paths());
    if let Some(issuers) = &issuers {
        principal::watch(issuers, &metrics);
    }
    if let Some(log) = &audit {
        audit::watch(log, &metrics);
    }
    webhooks::watch(&webhooks, &metrics);
    metrics.watch_receivers(receivers.clone());
    let shedder = Arc::new(Shedder::default());
    let (watched, kept) = (Arc::clone(&shedder), store.clone());
    figures! { metrics;
        watch_gauge "shed_percent" "Share of decisions that are refused because work waits too long, in percent"
            = move || watched.percent();
        watch_gauge "api_keys" "API keys that are kept, those that have ended among them; at most 10,000"
            = move || kept.as_ref().map_or(0, |store| store.keys().count() as u64);
    }
    let gate = Gate::new(config, store.clone(), issuers.clone())?;
    gate.warn_of_shared_names(clock());
    let limits = config.limits;
    let requests = Permits::new(limits.concurrent_requests);
    let streams = Permits::new(limits.connections);
    let connections = Connections::new(limits.connections, limits.address_percent);
    let bodies = Bodies::new(limits.bodies_bytes, limits.address_percent);
    let lane = Arc::new(Lane::new());
    metrics.watch_capacity(&Capacity {
        requests: &requests,
        streams: &streams,
        connections: &connections,
        bodies: &bodies,
        lane: &lane,
    });
    Ok(App {
        pdp: OnceLock::new(),
        draining: AtomicBool::new(false),
        limits: ArcSwap::from_pointee(config.limits),
        requests,
        connections,
        streams,
        bodies,
        lane,
        hosts: hosts.map(|host| host.to_ascii_lowercase()).collect(),
        cors_origins: config.server.cors_origins.clone(),
        gate,
        store,
        audit,
        denied,
        denying: Mutex::new(()),
        webhooks,
        notices,
        issuers,
        receivers,
        pushes: Permits::new(PUSHES),
        fetch,
        geo: Arc::default(),
        kept_signals: OnceLock::new(),
        limiter: Limiter::new(defaults(&config.limits)),
        shedder,
        metrics,
        #[cfg(feature = "otlp")]
        spans: OnceLock::new(),
        reread: OnceLock::new(),
        config_trouble: Mutex::default(),
        tls: OnceLock::new(),
        clock,
    })
}
