//! The server as a whole: what it starts from, its listeners, and its end.

pub(crate) mod connection;
pub(crate) mod lifecycle;
pub(crate) mod listen;
pub(crate) mod live;
pub(crate) mod start;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::app::Clock;
use super::net::{bodies, lane};
use super::routes;
use crate::base::fault::Faults;
use crate::pdp::{BuildError, Pdp, PdpBuilder};
use crate::service::config::{Config, LimitsConfig, LogConfig};

/// Reads the configuration as it is now.
pub type Reread = Box<dyn Fn() -> Result<Config, Faults> + Send + Sync>;
/// Takes up logging settings, or says why not.
pub type Relog = Box<dyn Fn(&LogConfig) -> Result<(), String> + Send + Sync>;

/// What a server runs on.
pub struct Serve {
    /// The configuration it starts with.
    pub config: Config,
    /// The decision point it decides with, built once the listeners are open.
    pub pdp: PdpBuilder,
    /// Reads the configuration again, when its file has changed.
    pub reread: Reread,
    /// Takes up changed logging settings.
    pub relog: Relog,
    /// Called once requests are decided, with the addresses that were bound.
    pub ready: Box<dyn Fn(&Bound) + Send + Sync>,
}

impl std::fmt::Debug for Serve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serve")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// The addresses a server listens on.
#[derive(Debug, Clone)]
pub struct Bound {
    /// Where decisions are asked for.
    pub listen: SocketAddr,
    /// Where probes and metrics are served, if not there.
    pub ops_listen: Option<SocketAddr>,
    /// The Unix-domain socket where decisions are asked for too.
    pub socket: Option<PathBuf>,
    /// Whether `listen` speaks TLS.
    pub tls: bool,
    /// Whether `ops_listen` does.
    pub ops_tls: bool,
}

/// Why a server could not start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// A Unix-domain socket cannot be listened on.
    #[error("cannot listen on `{path}`: {error}")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The certificates cannot be used.
    #[error("`[tls]`: {0}")]
    Tls(String),
    /// The decision point could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The configuration contradicts itself.
    #[error(transparent)]
    Config(#[from] Faults),
    /// The system refused threads or signals.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
}

/// Memory that clients can make a server take under these limits, in bytes: every connection open, every
/// request unfinished or unanswered, and every large body parsed at once. What policies and entities take
/// comes on top. The manifests in `deploy/` are checked against it.
#[must_use]
pub fn most_memory(limits: &LimitsConfig) -> usize {
    // Buffers of TLS, and the task of a connection.
    const CONNECTION: usize = (32 << 10) + (8 << 10);
    // What a parsed body takes for each byte that it has, at the worst.
    const PARSED: usize = 16;
    let connection = connection::READ_AHEAD as usize + CONNECTION;
    let unread = connection::LONGEST_HEAD as usize + bodies::FREE;
    let request = unread.max(connection::SEND_BUFFER);
    // Over HTTP/1.1 each connection has a request; as many more share connections.
    let each = connection.saturating_add(request.saturating_mul(2));
    let connections = limits.connections.saturating_add(lifecycle::PROBES);
    let parsed = (lane::WIDEST + lane::PARKED).saturating_mul(limits.body_bytes);
    connections
        .saturating_mul(each)
        .saturating_add(limits.bodies_bytes)
        .saturating_add(parsed.saturating_mul(PARSED))
}

/// The service behind the main listener, without a socket: for tests, and for programs that serve it
/// along with their own routes. Requests count as coming from this machine if `server.listen` is a
/// loopback address.
///
/// # Errors
/// Callers that are configured in contradiction.
pub fn router(config: &Config, pdp: Pdp, clock: Clock) -> Result<axum::Router, Faults> {
    routers(config, pdp, clock).map(|(main, _)| main)
}

/// As [`router`], and the service behind the operations listener: probes and metrics of the same
/// server, for every client that reaches it.
///
/// # Errors
/// As [`router`].
pub fn routers(
    config: &Config,
    pdp: Pdp,
    clock: Clock,
) -> Result<(axum::Router, axum::Router), Faults> {
    let app = Arc::new(start::app(config, pdp.store(), clock)?);
    app.begin(pdp);
    Ok((routes::main(Arc::clone(&app)), routes::ops(app)))
}
