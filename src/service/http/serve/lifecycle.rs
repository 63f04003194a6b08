//! A server's life: listen, load, serve, drain, end.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::listen::{Listener, Served};
use super::{listen, live, start};
use crate::base::fault::Fault;
use crate::base::timestamp::Timestamp;
use crate::pdp::Pdp;
use crate::service::config::Config;
use crate::service::http::app::App;
use crate::service::http::gate::shed;
use crate::service::http::net::connections::Connections;
use crate::service::http::net::permits::Permits;
use crate::service::http::net::socket;
use crate::service::http::net::tls::Tls;
use crate::service::http::{Bound, Serve, ServeError, routes};
use crate::source::watch::Watcher;
use crate::trust::geo::GeoSource;

/// Connections of probes at once, and requests under way that share some of them; those of callers do not
/// count among them, nor the other way round.
pub(crate) const PROBES: usize = 64;
/// File descriptors besides connections: files that are read and written, calls to other services.
const OTHER_FILES: u64 = 128;
/// Time between two looks at how long certificates last.
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Serves until told to stop: SIGTERM drains (readiness falls at once, requests are taken for
/// `drain_delay`, then finished within `drain_timeout`), SIGINT does so without the delay, a second
/// signal ends at once. SIGHUP reloads the sources.
///
/// # Errors
/// When an address cannot be listened on, a secret cannot be read, or there is nothing to decide with.
pub fn serve(serve: Serve) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("deodar-serve")
        .build()?;
    let done = runtime.block_on(run(serve));
    // A load that is still under way must not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(100));
    done
}

async fn run(mut serve: Serve) -> Result<(), ServeError> {
    let mut signals = Signals::new()?;
    let config = serve.config.clone();
    let app = Arc::new(start::app(
        &config,
        serve.pdp.opened_store(),
        Box::new(Timestamp::now),
    )?);
    #[cfg(feature = "otlp")]
    if let Some(spans) = crate::service::http::observe::spans::start(&config.otlp, &app.metrics)? {
        // Nobody else sets it.
        let _ = app.spans.set(spans);
    }
    warn_of_few_files(config.limits.connections);
    let (stop, stopped) = watch::channel(false);
    let mut listeners = tokio::task::JoinSet::new();
    let (tls, _certificates) = certificates(&config, &app)?;
    let main = listen::bind(config.server.listen).await?;
    let mut bound = Bound {
        listen: main.local_addr()?,
        ops_listen: None,
        socket: None,
        tls: tls.is_some(),
        ops_tls: false,
    };
    if let Some(address) = config.server.ops_listen {
        let ops = listen::bind(address).await?;
        bound.ops_listen = Some(ops.local_addr()?);
        let served = Served {
            router: routes::ops(Arc::clone(&app)),
            decides: false,
            tls: tls.as_ref().and_then(Tls::ops),
            connections: Connections::new(PROBES, config.limits.address_percent),
            streams: Permits::new(PROBES),
        };
        bound.ops_tls = served.tls.is_some();
        let ops = Listener::Tcp(ops);
        listeners.spawn(listen::serve(
            ops,
            served,
            Arc::clone(&app),
            stopped.clone(),
        ));
    }
    let served = |tls| Served {
        router: routes::main(Arc::clone(&app)),
        decides: true,
        tls,
        connections: app.connections.clone(),
        streams: app.streams.clone(),
    };
    let mut _socket_file = None;
    if let Some(path) = &config.server.socket {
        let (socket, file) =
            socket::bind(path, config.server.socket_mode.bits()).map_err(|error| {
                ServeError::Socket {
                    path: path.clone(),
                    error,
                }
            })?;
        _socket_file = Some(file);
        bound.socket = Some(path.clone());
        let socket = Listener::Unix(socket);
        listeners.spawn(listen::serve(
            socket,
            served(None),
            Arc::clone(&app),
            stopped.clone(),
        ));
    }
    let served = served(tls.as_ref().map(Tls::main));
    let main = Listener::Tcp(main);
    listeners.spawn(listen::serve(main, served, Arc::clone(&app), stopped));

    let geoip = config
        .trust
        .as_ref()
        .and_then(|trust| trust.geoip.as_deref());
    app.geo.take_up(geoip).map_err(|message| {
        ServeError::Config(Fault::new("config", format!("`trust.geoip`: {message}")).into())
    })?;
    let kept = app.keep_signals(&config).map_err(std::io::Error::other)?;
    let builder = std::mem::take(&mut serve.pdp)
        .signals(kept)
        .geo(Arc::clone(&app.geo) as Arc<dyn GeoSource>)
        .notices(Arc::clone(&app.notices));
    let load = tokio::task::spawn_blocking(move || builder.build());
    let pdp = tokio::select! {
        built = load => built.map_err(std::io::Error::other)??,
        _ = signals.stop() => return Ok(()),
    };
    app.begin(pdp.clone());
    let limits = Arc::clone(&app);
    tokio::spawn(shed::watch(Arc::clone(&app.shedder), move || {
        *limits.limits.load().target_wait
    }));
    if let Some(issuers) = app.issuers.clone() {
        tokio::spawn(async move { issuers.warm(Timestamp::now()).await });
    }
    let polls = crate::service::http::api::ssf::poll::start(&app);
    let serve = Arc::new(serve);
    let _watcher = live::watch(&serve, &app)?;
    tracing::info!(
        listen = %bound.listen,
        revision = %pdp.state().revision(),
        sequence = pdp.state().sequence(),
        "serving"
    );
    (serve.ready)(&bound);

    let delay = signals.until_stop(&pdp, &app).await;
    app.drain();
    drop(polls);
    let delay = if delay {
        *config.server.drain_delay
    } else {
        Duration::ZERO
    };
    tracing::info!(?delay, timeout = ?config.server.drain_timeout, "draining");
    let finish = async {
        tokio::time::sleep(delay).await;
        // Fails only when no listener is left to tell.
        let _ = stop.send(true);
        while listeners.join_next().await.is_some() {}
    };
    tokio::select! {
        finished = tokio::time::timeout(delay + *config.server.drain_timeout, finish) => {
            if finished.is_err() {
                tracing::warn!("requests were still under way at the end of `drain_timeout`");
            }
        }
        _ = signals.stop() => tracing::warn!("ended at once by a second signal"),
    }
    #[cfg(feature = "otlp")]
    if app.spans.get().is_some() {
        let app = Arc::clone(&app);
        let close = move || {
            app.spans
                .get()
                .map(crate::service::http::observe::spans::Spans::close)
        };
        // Fails only if the thread panicked; the process ends anyhow.
        let _ = tokio::task::spawn_blocking(close).await;
    }
    let webhooks = app.webhooks.clone();
    // What was found is on its way, or kept, before the process ends.
    let _ = tokio::task::spawn_blocking(move || webhooks.close()).await;
    if let Some(log) = app.audit.clone() {
        // What was decided is written before the process ends.
        let _ = tokio::task::spawn_blocking(move || log.close()).await;
    }
    tracing::info!("ended");
    Ok(())
}

/// Warns when the process may open fewer files than there may be connections.
fn warn_of_few_files(connections: usize) {
    let needed = (connections as u64).saturating_add(PROBES as u64 + OTHER_FILES);
    if let Some(most) =
        crate::service::http::observe::metrics::most_files().filter(|most| *most < needed)
    {
        tracing::warn!(
            most,
            needed,
            "the limit of open files is too low for `limits.connections`; raise it (`LimitNOFILE=`, `--ulimit nofile=`) \
             or lower `limits.connections`"
        );
    }
}

/// Reads the certificates, where there is TLS, and keeps an eye on them.
fn certificates(
    config: &Config,
    app: &Arc<App>,
) -> Result<(Option<Arc<Tls>>, Option<Watcher>), ServeError> {
    if config.tls.pair().is_none() {
        return Ok((None, None));
    }
    let tls = Tls::load(&config.tls, Timestamp::now()).map_err(ServeError::Tls)?;
    // Nothing was set before.
    let _ = app.tls.set(Arc::clone(&tls));
    let watcher = tls.watch(config.reload.watcher(), Timestamp::now)?;
    let reminded = Arc::clone(&tls);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(DAY).await;
            reminded.warn_of_the_end(Timestamp::now());
        }
    });
    Ok((Some(tls), watcher))
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM (true) or SIGINT (false).
    async fn stop(&mut self) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => true,
            _ = self.interrupt.recv() => false,
        }
    }

    /// As [`Signals::stop`], reloading at every SIGHUP meanwhile.
    async fn until_stop(&mut self, pdp: &Pdp, app: &Arc<App>) -> bool {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return true,
                _ = self.interrupt.recv() => return false,
                _ = self.hangup.recv() => {
                    let (pdp, app) = (pdp.clone(), Arc::clone(app));
                    // What comes of it is logged, counted and told to subscribers.
                    tokio::task::spawn_blocking(move || {
                        app.reread();
                        app.reload_certificates();
                        pdp.reload()
                    });
                }
            }
        }
    }
}
