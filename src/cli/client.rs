//! What commands share that talk to a server: where it is, how it is trusted, how it is asked.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use super::Failure;
use crate::config::Config;
use crate::server::tls;

/// How long making a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest answer of a server that is read.
const LONGEST: u64 = 16 << 20;

/// A server to talk to.
pub(super) struct Server {
    /// Its address without a path, such as `http://127.0.0.1:8180`.
    pub(super) base: String,
    /// Where it is, if not where its name says.
    at: Option<SocketAddr>,
    tls: Option<TlsConfig>,
    /// Whether it is asked without a proxy, whatever the environment says: it is on this machine.
    direct: bool,
}

impl Server {
    /// The server at `url`, else the one that the configuration is for; `probe` prefers its
    /// operations listener. Over TLS it is trusted if its certificate comes from `ca`, else from
    /// `client.ca`, else from the machine's authorities; the server of this configuration also by
    /// its own certificates.
    pub(super) fn find(
        url: Option<&str>,
        config: &Config,
        probe: bool,
        ca: Option<&Path>,
    ) -> Result<Self, Failure> {
        let mut own = Vec::new();
        let (base, at) = match url {
            Some(url) => (given(url), None),
            None => {
                let address = address(config, probe);
                match config.server.tls.as_ref().filter(|tls| {
                    let ops = probe && config.server.ops_listen.is_some();
                    tls.ops || !ops
                }) {
                    None => (format!("http://{address}"), None),
                    Some(configured) => {
                        own = read(&configured.certificate, "tls.certificate")?;
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
        let tls = if base.starts_with("https://") {
            Some(trust(config, ca, &own)?)
        } else {
            None
        };
        let direct = url.is_none();
        Ok(Self {
            base,
            at,
            tls,
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
        if let Some(tls) = &self.tls {
            settings = settings.tls_config(tls.clone());
        }
        if self.direct {
            settings = settings.proxy(None);
        }
        let agent = ureq::Agent::with_parts(
            settings.build(),
            DefaultConnector::default(),
            At(self.at, DefaultResolver::default()),
        );
        let mut response = call(&agent).map_err(|error| {
            Failure::CouldNotRun(match error {
                ureq::Error::Timeout(ureq::Timeout::Global) => {
                    format!(
                        "{base} has not answered within {timeout:?}; what came of it is unknown"
                    )
                }
                error => format!("no answer from {base}: {error}; is `deodar serve` running?"),
            })
        })?;
        let status = response.status().as_u16();
        let text = response
            .body_mut()
            .with_config()
            .limit(LONGEST)
            .read_to_string()
            .map_err(|error| Failure::CouldNotRun(format!("{base}: {error}")))?;
        let value = serde_json::from_str(&text).map_err(|_| {
            Failure::CouldNotRun(format!("{base} answers {status}, but not as deodar does"))
        })?;
        Ok((status, value))
    }
}

/// The address that the user gave, without a path.
fn given(url: &str) -> String {
    let url = url.trim_end_matches('/');
    let url = url.strip_suffix("/readyz").unwrap_or(url);
    if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    }
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

/// Longest certificate or key file, in bytes.
const LONGEST_FILE: u64 = 16 << 20;

fn read(path: &Path, key: &str) -> Result<Vec<u8>, Failure> {
    crate::files::read(path, LONGEST_FILE)
        .map_err(|error| Failure::CouldNotRun(format!("`{key}`: `{}`: {error}", path.display())))
}

fn trust(config: &Config, ca: Option<&Path>, own: &[u8]) -> Result<TlsConfig, Failure> {
    let crypto = tls::crypto().map_err(Failure::CouldNotRun)?;
    let faulty = |key: &str, message: String| Failure::CouldNotRun(format!("`{key}` {message}"));
    let authorities = match (ca, &config.client.ca) {
        (Some(path), _) => Some((path, "--ca")),
        (None, Some(path)) => Some((path.as_path(), "client.ca")),
        (None, None) => None,
    };
    let roots = match authorities {
        Some((path, key)) => {
            tls::certificates(&read(path, key)?).map_err(|message| faulty(key, message))?
        }
        None => {
            let mut roots = rustls_native_certs::load_native_certs().certs;
            roots.extend(tls::certificates(own).unwrap_or_default());
            roots
        }
    };
    let roots = roots
        .iter()
        .map(|der| Certificate::from_der(der).to_owned());
    let mut trust = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(crypto)
        .root_certs(RootCerts::from(roots));
    if let (Some(certificate), Some(key)) = (&config.client.certificate, &config.client.key) {
        let chain = tls::certificates(&read(certificate, "client.certificate")?)
            .map_err(|message| faulty("client.certificate", message))?;
        let chain: Vec<_> = chain
            .iter()
            .map(|der| Certificate::from_der(der).to_owned())
            .collect();
        let key = PrivateKey::from_pem(&read(key, "client.certificate_key")?)
            .map_err(|error| faulty("client.certificate_key", error.to_string()))?;
        trust = trust.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
    }
    Ok(trust.build())
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
