//! Accepting connections: bounded in number, finished gracefully.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;

use super::connection;
use crate::service::http::ServeError;
use crate::service::http::app::App;
use crate::service::http::net::connections::{Connections, Entry};
use crate::service::http::net::pace::IdleTracker;
use crate::service::http::net::peer::UnixPeer;
use crate::service::http::net::permits::Permits;
use crate::service::http::net::tls::Side;

/// Pause after a failed accept: out of file descriptors, for instance.
const PAUSE: Duration = Duration::from_millis(50);

/// Binds an address.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| ServeError::Listen { address, error })
}

/// Where connections come in.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A connection that came in.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream, UnixPeer),
}

/// What a listener serves.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) router: Router,
    /// Whether decisions are among it; they go past the router.
    pub(crate) decides: bool,
    /// TLS, on TCP.
    pub(crate) tls: Option<Side>,
    /// Connections open at once.
    pub(crate) connections: Connections,
    /// Requests under way at once on connections that several share.
    pub(crate) streams: Permits,
}

/// Serves connections until `stop` becomes true, then finishes those that are open, for as long as
/// the caller waits.
pub(crate) async fn serve(
    listener: Listener,
    served: Served,
    app: Arc<App>,
    mut stop: watch::Receiver<bool>,
) {
    let served = Arc::new(served);
    // Every connection holds a receiver until it is over.
    let (over, open) = watch::channel(());
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &served.connections) => accepted,
        };
        match accepted {
            Ok(Some((stream, pace, entry))) => {
                let (served, app) = (Arc::clone(&served), Arc::clone(&app));
                let held = (open.clone(), entry);
                let stop = stop.clone();
                tokio::spawn(async move {
                    connection::serve(stream, pace, served, app, stop).await;
                    drop(held);
                });
            }
            // Its address has its share of connections; it is closed.
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop((listener, open));
    over.closed().await;
}

/// Accepts a connection and takes a place for it; `None` when its address may not have another.
async fn accept(
    listener: &Listener,
    connections: &Connections,
) -> std::io::Result<Option<(Stream, Arc<IdleTracker>, Entry)>> {
    let stream = match listener {
        Listener::Tcp(listener) => {
            let (stream, peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Stream::Tcp(stream, peer)
        }
        Listener::Unix(listener) => {
            let (stream, _) = listener.accept().await?;
            let process = stream.peer_cred()?;
            let process = UnixPeer { uid: process.uid() };
            Stream::Unix(stream, process)
        }
    };
    let address = match &stream {
        Stream::Tcp(_, address) => Some(address.ip()),
        Stream::Unix(..) => None,
    };
    let pace = IdleTracker::new(Instant::now());
    // Only then: a listener that nobody comes to must not keep a place from the others.
    let entry = connections.enter(address, &pace).await;
    Ok(entry.map(|entry| (stream, pace, entry)))
}
