//! The other end of a connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Who is at the other end, as far as the connection tells.
#[derive(Debug, Clone, Default)]
pub(super) struct Peer {
    /// Its address; `None` on a Unix socket.
    pub(super) address: Option<SocketAddr>,
    /// Its certificate, where it showed one that the configured authorities vouch for.
    pub(super) certificate: Option<Arc<ClientCertificate>>,
    /// Its process, on a Unix socket.
    pub(super) unix: Option<UnixPeer>,
    /// Whether nobody in between can read or change what is said.
    pub(super) secure: bool,
}

/// What identifies a client by its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientCertificate {
    /// Subject alternative names: URIs, DNS names and mail addresses.
    pub(super) sans: Vec<String>,
    /// SHA-256 of the certificate, in hexadecimal.
    pub(super) fingerprint: String,
}

/// The process at the other end of a Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnixPeer {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) pid: Option<i32>,
}

impl Peer {
    /// A peer of which the address is known.
    pub(super) fn at(address: SocketAddr) -> Self {
        Self {
            address: Some(address),
            ..Self::default()
        }
    }

    /// Its IP address; one of IPv4 within IPv6 as IPv4.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip().to_canonical())
    }
}
