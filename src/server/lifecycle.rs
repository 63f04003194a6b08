//! A server's life: listen, load, serve, drain, end.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::app::App;
use super::{Bound, Serve, ServeError, listen, live, routes};
use crate::pdp::Pdp;
use crate::timestamp::Timestamp;

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
    let admin_token = match &config.server.admin_token {
        Some(secret) => Some(secret.read().map_err(|message| ServeError::Secret {
            key: "server.admin_token",
            message,
        })?),
        None => None,
    };
    let app = Arc::new(App::new(&config, admin_token, Box::new(Timestamp::now)));
    #[cfg(feature = "otlp")]
    if let Some(spans) = super::spans::start(&config.otlp, &app.metrics)? {
        // Nobody else sets it.
        let _ = app.spans.set(spans);
    }
    let (stop, stopped) = watch::channel(false);
    let mut listeners = tokio::task::JoinSet::new();
    let main = listen::bind(config.server.listen).await?;
    let mut bound = Bound {
        listen: main.local_addr()?,
        ops_listen: None,
    };
    if let Some(address) = config.server.ops_listen {
        let ops = listen::bind(address).await?;
        bound.ops_listen = Some(ops.local_addr()?);
        let served = listen::Served {
            router: routes::ops(Arc::clone(&app)),
            decides: false,
        };
        listeners.spawn(listen::serve(
            ops,
            served,
            Arc::clone(&app),
            stopped.clone(),
        ));
    }
    let served = listen::Served {
        router: routes::main(Arc::clone(&app)),
        decides: true,
    };
    listeners.spawn(listen::serve(main, served, Arc::clone(&app), stopped));

    let builder = std::mem::take(&mut serve.pdp);
    let load = tokio::task::spawn_blocking(move || builder.build());
    let pdp = tokio::select! {
        built = load => built.map_err(std::io::Error::other)??,
        _ = signals.stop() => return Ok(()),
    };
    app.begin(pdp.clone());
    let serve = Arc::new(serve);
    let _watcher = live::watch(&serve, &app)?;
    tracing::info!(
        listen = %bound.listen,
        revision = %pdp.state().revision(),
        sequence = pdp.state().sequence(),
        "serving"
    );
    (serve.ready)(&bound);

    let delay = signals.until_stop(&pdp).await;
    app.drain();
    let delay = if delay {
        config.server.drain_delay
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
        finished = tokio::time::timeout(delay + config.server.drain_timeout, finish) => {
            if finished.is_err() {
                tracing::warn!("requests were still under way at the end of `drain_timeout`");
            }
        }
        _ = signals.stop() => tracing::warn!("ended at once by a second signal"),
    }
    #[cfg(feature = "otlp")]
    if app.spans.get().is_some() {
        let close = move || app.spans.get().map(super::spans::Spans::close);
        // Fails only if the thread panicked; the process ends anyhow.
        let _ = tokio::task::spawn_blocking(close).await;
    }
    tracing::info!("ended");
    Ok(())
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
    async fn until_stop(&mut self, pdp: &Pdp) -> bool {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return true,
                _ = self.interrupt.recv() => return false,
                _ = self.hangup.recv() => {
                    let pdp = pdp.clone();
                    // What comes of it is logged, counted and told to subscribers.
                    tokio::task::spawn_blocking(move || pdp.reload());
                }
            }
        }
    }
}
