//! Accepting connections: bounded in number, slow ones cut, finished gracefully.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

use super::ServeError;
use super::app::App;
use super::peer::Peer;
use super::places::{Place, Places};
use super::routes;

/// Longest head of a request, in bytes.
const LONGEST_HEAD: usize = 64 << 10;
/// Most headers of a request.
const MOST_HEADERS: usize = 100;
/// Pause after a failed accept: out of file descriptors, for instance.
const PAUSE: Duration = Duration::from_millis(50);

/// Binds an address.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| ServeError::Listen { address, error })
}

/// What a listener serves.
#[derive(Debug, Clone)]
pub(super) struct Served {
    pub(super) router: Router,
    /// Whether decisions are among it; they go past the router.
    pub(super) decides: bool,
}

/// Serves connections until `stop` becomes true, then finishes those that are open, for as long as
/// the caller waits.
pub(super) async fn serve(
    listener: TcpListener,
    served: Served,
    app: Arc<App>,
    mut stop: watch::Receiver<bool>,
) {
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &app.connections) => accepted,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                let connection = connection(stream, peer, served.clone(), &app);
                let connection = graceful.watch(connection);
                tokio::spawn(async move {
                    // The client went away or spoke something else; nothing to do about it.
                    let _ = connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    connections: &Places,
) -> std::io::Result<(TcpStream, SocketAddr, Place)> {
    let place = connections.wait().await;
    let place = place.ok_or_else(|| std::io::Error::other("no more connections"))?;
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, peer, place))
}

fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    served: Served,
    app: &Arc<App>,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + use<> {
    let state = Arc::clone(app);
    let peer = Arc::new(Peer::at(peer));
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut request = request.map(axum::body::Body::new);
        let decides = served.decides && routes::decides(&state, &request);
        let (app, router) = (Arc::clone(&state), served.router.clone());
        let peer = Arc::clone(&peer);
        async move {
            if decides {
                return Ok::<_, Infallible>(routes::decide(app, request, &peer).await);
            }
            request.extensions_mut().insert(peer);
            router.oneshot(request).await
        }
    });
    let read_timeout = app.limits.load().read_timeout;
    // A client that does not take its answers must not hold its place for ever.
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(read_timeout));
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(read_timeout.max(Duration::from_millis(1)))
        .max_buf_size(LONGEST_HEAD)
        .max_headers(MOST_HEADERS)
        .serve_connection(TokioIo::new(Box::pin(stream)), service)
}
