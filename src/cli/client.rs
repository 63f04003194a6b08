//! What commands share that talk to a server: where it is, how it is trusted, how it is asked.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig};
use serde_json::Value;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::{Failure, socket};
use crate::service::config::Config;
use crate::service::http::net::tls;
use crate::service::net::fetch;
use crate::service::net::fetch::{LONGEST_FILE, Trust, certificates, system_roots};
use crate::service::net::url::Url;

/// How long making a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest answer of a server that is read.
const LONGEST: u64 = 16 << 20;

/// How to get rights on a server, for who was refused.
const RIGHTS: &str = "give a key by --key-file or `client.key`, or set `server.socket` in the \
     configuration that the server and this command read: over it the server's own user may do everything";

/// A server to talk to.
pub(super) struct Server {
    /// Its address without a path, such as `http://127.0.0.1:8180`.
    pub(super) base: String,
    /// Where it is, if not where its name says.
    at: Option<SocketAddr>,
    tls: Arc<ClientConfig>,
    /// The socket that it is asked over, in place of its address.
    socket: Option<PathBuf>,
    /// Whether it is asked without a proxy, whatever the environment says: it is on this machine.
    direct: bool,
}

impl Server {
    /// The server at `url`, else the one that the configuration is for. That is asked over its socket where
    /// there is one, since there its own user may do everything; with `probe` it is asked where it listens,
    /// on its operations listener if it has one. Over TLS it is trusted if its certificate comes from `ca`, else from
    /// `client.ca`, else from the machine's authorities; the server of this configuration also by
    /// its own certificates.
    pub(super) fn find(
        url: Option<&str>,
        config: &Config,
        probe: bool,
        ca: Option<&Path>,
    ) -> Result<Self, Failure> {
        let mut own = Vec::new();
        let socket = match url {
            None if !probe => config.server.socket.as_deref().and_then(socket::listening),
            _ => None,
        };
        let (base, at) = match url {
            Some(url) => (given(url)?, None),
            None if socket.is_some() => ("http://localhost".to_owned(), None),
            None => {
                let address = address(config, probe);
                match config.tls.pair().filter(|_| {
                    let ops = probe && config.server.ops_listen.is_some();
                    config.tls.ops || !ops
                }) {
                    None => (format!("http://{address}"), None),
                    Some((certificate, _)) => {
                        own = read(certificate, "tls.certificate")?;
                        // The server is where it is; by which name it can be asked there, its
                        // certificate says.
                        match tls::name_for(&own, address.ip(), &config.server.hosts) {
                            Some(name) => {
                                (format!("https://{name}:{}", address.port()), Some(address))
                            }
                            None => (format!("https://{address}"), None),
                        }
                    }
                }
            }
        };
        let trust = if base.starts_with("https://") {
            trust(config, ca, &own)?
        } else {
            Trust::default()
        };
        let direct = url.is_none();
        Ok(Self {
            base,
            at,
            tls: fetch::tls::config(trust).map_err(Failure::CouldNotRun)?,
            socket,
            direct,
        })
    }

    /// Asks it; its status and its JSON answer.
    pub(super) fn ask(
        &self,
        timeout: Duration,
        call: impl FnOnce(&ureq::Agent) -> Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<(u16, Value), Failure> {
        let base = &self.base;
        let mut settings = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(timeout));
        if self.direct {
            settings = settings.proxy(None);
        }
        let (settings, resolver) = (settings.build(), At(self.at, DefaultResolver::default()));
        let agent = match &self.socket {
            Some(path) => {
                let socket = socket::Socket(path.clone());
                ureq::Agent::with_parts(settings, socket, resolver)
            }
            None => fetch::agent(settings, Arc::clone(&self.tls), resolver),
        };
        let mut response = call(&agent).map_err(|error| {
            Failure::CouldNotRun(match error {
                ureq::Error::Timeout(ureq::Timeout::Global) => {
                    format!(
                        "{base} has not answered within {timeout:?}; what came of it is unknown"
                    )
                }
                error => no_answer(base, &error),
            })
        })?;
        let status = response.status().as_u16();
        let text = response
            .body_mut()
            .with_config()
            .limit(LONGEST)
            .read_to_string()
            .map_err(|error| Failure::CouldNotRun(format!("{base}: {error}")))?;
        let mut value: Value = serde_json::from_str(&text).map_err(|_| {
            Failure::CouldNotRun(format!(
                "{base} answers {status} with something that is not JSON: it is not a deodar server, or it \
                 speaks TLS and is asked without (`https://`)"
            ))
        })?;
        if let (401 | 403, Some(detail)) = (status, value.get_mut("detail")) {
            let text = detail.as_str().unwrap_or_default();
            *detail = format!("{text}; {RIGHTS}").into();
        }
        Ok((status, value))
    }
}

/// The address that the user gave, without a path.
pub(super) fn given(text: &str) -> Result<String, Failure> {
    let url = text.trim_end_matches('/');
    let url = url.strip_suffix("/readyz").unwrap_or(url);
    let url = if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    };
    match Url::parse(&url) {
        Ok(_) => Ok(url),
        Err(reason) => Err(Failure::CouldNotRun(format!(
            "the server's address: {reason}"
        ))),
    }
}

/// Why there is no answer, and what to do about it.
fn no_answer(base: &str, error: &ureq::Error) -> String {
    let source = match error {
        ureq::Error::Io(error) => error.get_ref(),
        _ => None,
    };
    let tls = source.and_then(|source| source.downcast_ref::<rustls::Error>());
    let (why, help) = match (error, tls) {
        (_, Some(rustls::Error::InvalidCertificate(why))) => match why {
            CertificateError::UnknownIssuer | CertificateError::Other(_) => (
                "its certificate comes from no authority that is trusted here".to_owned(),
                "name the authority, or the certificate itself, by --ca or `client.ca`",
            ),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                ("its certificate has expired".to_owned(), "renew it")
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                (why.to_string(), "ask it by a name that the certificate has")
            }
            why => (format!("its certificate is not valid: {why}"), "renew it"),
        },
        (_, Some(rustls::Error::InvalidMessage(_))) => (
            "it does not speak TLS".to_owned(),
            "ask it by `http://`, or configure [tls]",
        ),
        (_, Some(rustls::Error::AlertReceived(alert))) => (
            format!("it ended the TLS handshake ({alert:?})"),
            "if it requires a certificate, set `client.certificate` and `client.certificate_key`",
        ),
        (ureq::Error::Io(error), None) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            (
                "nobody listens there".to_owned(),
                "is `deodar serve` running?",
            )
        }
        _ => (error.to_string(), "check the address"),
    };
    format!("no answer from {base}: {why}; {help}")
}

/// Where the configured server can be reached from this machine.
fn address(config: &Config, probe: bool) -> SocketAddr {
    let ops = config.server.ops_listen.filter(|_| probe);
    let mut address = ops.unwrap_or(config.server.listen);
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn read(path: &Path, key: &str) -> Result<Vec<u8>, Failure> {
    crate::base::files::read(path, LONGEST_FILE)
        .map_err(|error| Failure::CouldNotRun(format!("`{key}`: `{}`: {error}", path.display())))
}

fn trust(config: &Config, ca: Option<&Path>, own: &[u8]) -> Result<Trust, Failure> {
    // Says so where this processor cannot do TLS.
    tls::crypto().map_err(Failure::CouldNotRun)?;
    let faulty = |key: &str, message: String| Failure::CouldNotRun(format!("`{key}` {message}"));
    let authorities = match (ca, &config.client.ca) {
        (Some(path), _) => Some((path, "--ca")),
        (None, Some(path)) => Some((path.as_path(), "client.ca")),
        (None, None) => None,
    };
    let trusted = match authorities {
        Some((path, key)) => {
            certificates(&read(path, key)?).map_err(|message| faulty(key, message))?
        }
        None => {
            let mut roots = system_roots();
            roots.extend(certificates(own).unwrap_or_default());
            roots
        }
    };
    let mut own = None;
    if let (Some(certificate), Some(key)) =
        (&config.client.certificate, &config.client.certificate_key)
    {
        let chain = certificates(&read(certificate, "client.certificate")?)
            .map_err(|message| faulty("client.certificate", message))?;
        let key = PrivateKeyDer::from_pem_slice(&read(key, "client.certificate_key")?)
            .map_err(|error| faulty("client.certificate_key", error.to_string()))?;
        own = Some((chain, key));
    }
    Ok(Trust {
        certificates: trusted,
        own,
    })
}

/// Resolves every name to one address, if there is one, else as usual.
#[derive(Debug)]
struct At(Option<SocketAddr>, DefaultResolver);

impl Resolver for At {
    fn resolve(
        &self,
        uri: &ureq::http::Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        match self.0 {
            Some(address) => {
                let mut addresses = self.empty();
                addresses.push(address);
                Ok(addresses)
            }
            None => self.1.resolve(uri, config, timeout),
        }
    }
}
