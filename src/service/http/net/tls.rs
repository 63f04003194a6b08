//! TLS: certificates from files, taken up again when the files change, and how long they last.
//!
//! What enters: PEM files. What leaves: settings for the next handshake. A faulty file changes nothing
//! but readiness; connections go on with what they began with.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::base::files;
use crate::base::lock::lock;
use crate::base::timestamp::Timestamp;
use crate::service::config::{ClientAuth, TlsConfig, TlsVersion};
use crate::service::net::fetch::{LONGEST_FILE, certificates};
use crate::source::watch::{Reloading, Watch, WatchMode, Watcher};

/// A certificate that ends sooner than this is warned of.
const SOON_MS: i64 = 14 * 24 * 3_600 * 1_000;

/// The algorithms of TLS, or why this machine cannot run them.
pub(crate) fn crypto() -> Result<Arc<CryptoProvider>, String> {
    if graviola::util::is_cpu_supported() {
        Ok(Arc::new(rustls_graviola::default_provider()))
    } else {
        let needs = if cfg!(target_arch = "aarch64") {
            "NEON, AES, PMULL and SHA2"
        } else {
            "ADX, AES, AVX, AVX2, BMI1 and PCLMULQDQ"
        };
        Err(format!(
            "this processor cannot do TLS here: {needs} are needed; leave TLS to a proxy on this machine"
        ))
    }
}

/// A name by which the server with this certificate can be asked on this machine, other than its
/// address: the certificate's first DNS name, one of `hosts` before others. None if the certificate is
/// for the address.
pub(crate) fn name_for(pem: &[u8], address: IpAddr, hosts: &[String]) -> Option<String> {
    let chain = certificates(pem).ok()?;
    let (_, certificate) = X509Certificate::from_der(chain.first()?).ok()?;
    let extension = certificate.subject_alternative_name().ok()??;
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let mut names = Vec::new();
    for name in &extension.value.general_names {
        match name {
            GeneralName::IPAddress(bytes) if *bytes == octets => return None,
            GeneralName::DNSName(name) if !name.contains('*') => names.push(*name),
            _ => {}
        }
    }
    let known = |name: &&&str| hosts.iter().any(|host| host.eq_ignore_ascii_case(name));
    let name = names.iter().find(known).or(names.first())?;
    Some((*name).to_owned())
}

/// What a server shows and asks for, as the files last said.
pub(crate) struct Tls {
    config: TlsConfig,
    crypto: Arc<CryptoProvider>,
    current: ArcSwap<Current>,
    /// Why what the files say now is not taken.
    refused: Mutex<Option<String>>,
}

struct Current {
    main: Arc<ServerConfig>,
    ops: Arc<ServerConfig>,
    /// Of the files.
    digest: [u8; 32],
    not_after: Timestamp,
}

/// The content of the files.
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// One listener's side of it.
#[derive(Clone)]
pub(crate) struct Side {
    tls: Arc<Tls>,
    ops: bool,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Side")
            .field("ops", &self.ops)
            .finish_non_exhaustive()
    }
}

impl Side {
    /// Shakes hands with the next client.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let current = self.tls.current.load();
        let config = if self.ops {
            &current.ops
        } else {
            &current.main
        };
        TlsAcceptor::from(Arc::clone(config))
    }
}

impl Tls {
    /// Reads the files.
    pub(crate) fn load(config: &TlsConfig, now: Timestamp) -> Result<Arc<Self>, String> {
        let crypto = crypto()?;
        let current = Files::read(config)?.build(config, &crypto)?;
        let tls = Self {
            config: config.clone(),
            crypto,
            current: ArcSwap::from_pointee(current),
            refused: Mutex::default(),
        };
        tls.warn_of_the_end(now);
        Ok(Arc::new(tls))
    }

    /// The main listener's side.
    pub(crate) fn main(self: &Arc<Self>) -> Side {
        Side {
            tls: Arc::clone(self),
            ops: false,
        }
    }

    /// The operations listener's side, if it has one: it asks nobody for a certificate.
    pub(crate) fn ops(self: &Arc<Self>) -> Option<Side> {
        self.config.ops.then(|| Side {
            tls: Arc::clone(self),
            ops: true,
        })
    }

    /// Takes up what the files say now, if it is good.
    pub(crate) fn reload(&self, now: Timestamp) {
        // Held throughout: two reloads at once could leave the older one's result.
        let mut refused = lock(&self.refused);
        let read = Files::read(&self.config).and_then(|files| {
            if files.digest() == self.current.load().digest {
                return Ok(None);
            }
            let next = files.build(&self.config, &self.crypto)?;
            if next.not_after <= now {
                let path = pair(&self.config)?.0.display();
                return Err(format!("`{path}` ended at {}", next.not_after));
            }
            Ok(Some(next))
        });
        match read {
            Ok(None) => *refused = None,
            Ok(Some(next)) => {
                tracing::info!(not_after = %next.not_after, "certificates loaded");
                self.current.store(Arc::new(next));
                *refused = None;
                self.warn_of_the_end(now);
            }
            Err(message) => {
                if refused.as_ref() != Some(&message) {
                    tracing::error!(reason = %message, "new certificates refused, the old ones stay");
                }
                *refused = Some(message);
            }
        }
    }

    /// Reloads whenever the files change.
    pub(crate) fn watch(
        self: &Arc<Self>,
        watch: Watch,
        clock: impl Fn() -> Timestamp + Send + 'static,
    ) -> std::io::Result<Option<Watcher>> {
        if watch.mode == WatchMode::Off {
            return Ok(None);
        }
        let config = &self.config;
        let files = [&config.certificate, &config.key, &config.client_ca];
        let files: Vec<_> = files.into_iter().flatten().cloned().collect();
        let watched = files.clone();
        let fingerprint = move || -> Vec<_> {
            let read = watched.iter().map(|path| files::read(path, LONGEST_FILE));
            // Another reason why a file cannot be read is another state.
            read.map(|bytes| bytes.map(Sha256::digest).map_err(|error| error.to_string()))
                .collect()
        };
        let tls = Arc::clone(self);
        Watcher::spawn(files, watch, fingerprint, move || {
            tls.reload(clock());
            Reloading::Done
        })
        .map(Some)
    }

    /// When the server's certificate ends.
    pub(crate) fn not_after(&self) -> Timestamp {
        self.current.load().not_after
    }

    /// What is the matter with the certificates.
    pub(crate) fn trouble(&self, now: Timestamp) -> Option<String> {
        let refused = lock(&self.refused);
        if let Some(refused) = &*refused {
            return Some(format!("new certificates are not used: {refused}"));
        }
        let not_after = self.not_after();
        (not_after <= now).then(|| format!("the server's certificate ended at {not_after}"))
    }

    /// Warns when the server's certificate ends soon, or has ended.
    pub(crate) fn warn_of_the_end(&self, now: Timestamp) {
        let not_after = self.not_after();
        if not_after <= now {
            tracing::error!(%not_after, "the server's certificate has ended");
        } else if not_after.as_millis().saturating_sub(now.as_millis()) < SOON_MS {
            tracing::warn!(%not_after, "the server's certificate ends soon");
        }
    }
}

/// The files of the certificate and of its key.
fn pair(config: &TlsConfig) -> Result<(&Path, &Path), String> {
    let none = || "there is no TLS without `tls.certificate` and `tls.key`".to_owned();
    config.pair().ok_or_else(none)
}

impl Files {
    fn read(config: &TlsConfig) -> Result<Self, String> {
        let read = |path: &Path| {
            files::read(path, LONGEST_FILE)
                .map_err(|error| format!("`{}`: {error}", path.display()))
        };
        let (certificate, key) = pair(config)?;
        warn_of_readers(key);
        Ok(Self {
            key: read(key)?,
            certificate: read(certificate)?,
            client_ca: config.client_ca.as_deref().map(read).transpose()?,
        })
    }

    fn digest(&self) -> [u8; 32] {
        let files = [
            Some(&self.certificate),
            Some(&self.key),
            self.client_ca.as_ref(),
        ];
        let mut digest = Sha256::new();
        for file in files.into_iter().flatten() {
            digest.update(Sha256::digest(file));
        }
        digest.finalize().into()
    }

    fn build(&self, config: &TlsConfig, crypto: &Arc<CryptoProvider>) -> Result<Current, String> {
        let named = |path: &Path, message: String| format!("`{}` {message}", path.display());
        let (certificate, key_file) = pair(config)?;
        let chain =
            certificates(&self.certificate).map_err(|message| named(certificate, message))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| named(key_file, "holds no open private key in PEM".to_owned()))?;
        let not_after = chain.first().and_then(|leaf| ends(leaf)).ok_or_else(|| {
            let message = "begins with no X.509 certificate".to_owned();
            named(certificate, message)
        })?;
        let roots = match (&config.client_ca, &self.client_ca) {
            (Some(path), Some(pem)) => Some(roots(pem).map_err(|message| named(path, message))?),
            _ => None,
        };
        let build = |roots: Option<&Arc<RootCertStore>>| {
            settings(config, crypto, roots, chain.clone(), key.clone_key()).map_err(|error| {
                match error {
                    rustls::Error::InconsistentKeys(_) => format!(
                        "`{}` is not the key of `{}`",
                        key_file.display(),
                        certificate.display()
                    ),
                    error => named(certificate, format!("cannot be used: {error}")),
                }
            })
        };
        Ok(Current {
            main: build(roots.as_ref())?,
            ops: build(None)?,
            digest: self.digest(),
            not_after,
        })
    }
}

fn settings(
    config: &TlsConfig,
    crypto: &Arc<CryptoProvider>,
    roots: Option<&Arc<RootCertStore>>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let versions: &[_] = match config.min_version {
        TlsVersion::V12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::V13 => &[&rustls::version::TLS13],
    };
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(crypto)).with_protocol_versions(versions)?;
    let builder = match roots.filter(|_| config.client_auth != ClientAuth::Off) {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(crypto));
            let verifier = if config.client_auth == ClientAuth::Optional {
                verifier.allow_unauthenticated()
            } else {
                verifier
            };
            let verifier = verifier
                .build()
                .map_err(|error| rustls::Error::General(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut settings = builder.with_single_cert(chain, key)?;
    settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if roots.is_some() {
        // A resumed session would bring its client's certificate along without another look at it.
        settings.session_storage = Arc::new(NoServerSessionStorage {});
        settings.send_tls13_tickets = 0;
    }
    Ok(Arc::new(settings))
}

fn roots(pem: &[u8]) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots
            .add(certificate)
            .map_err(|error| format!("holds a certificate that is not an authority: {error}"))?;
    }
    Ok(Arc::new(roots))
}

/// When a certificate ends.
fn ends(der: &[u8]) -> Option<Timestamp> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let seconds = certificate.validity().not_after.timestamp();
    Some(Timestamp::from_millis(seconds.saturating_mul(1000)))
}

/// A private key is for the server's eyes. Its group may be the one way to give it to the server.
fn warn_of_readers(path: &Path) {
    let mode = fs::metadata(path).map_or(0, |meta| meta.permissions().mode());
    if mode & 0o007 != 0 {
        let mode = format!("{:04o}", mode & 0o777);
        tracing::warn!(path = %path.display(), mode, "everyone on this machine can use the private key");
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    /// A self-signed certificate for these names, and its key, in PEM.
    fn pair(names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key);
        (certificate.unwrap().pem(), key.serialize_pem())
    }

    #[track_caller]
    fn check_name(names: &[&str], expect: Option<&str>) {
        let hosts = ["localhost".to_owned(), "b.example.org".to_owned()];
        let address = "127.0.0.1".parse().unwrap();
        let name = name_for(pair(names).0.as_bytes(), address, &hosts);
        assert_eq!(name.as_deref(), expect, "{names:?}");
    }

    #[test]
    fn a_server_is_asked_by_a_name_of_its_certificate() {
        check_name(&["a.example.org", "B.example.org"], Some("B.example.org"));
        check_name(&["*.example.org", "a.example.org"], Some("a.example.org"));
        check_name(&["a.example.org", "127.0.0.1"], None);
        check_name(&["a.example.org", "127.0.0.2"], Some("a.example.org"));
        check_name(&["*.example.org"], None);
        check_name(&[], None);
    }

    #[test]
    fn sessions_of_clients_with_certificates_are_not_resumed() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let (certificate, key) = pair(&["localhost"]);
        let mut config = TlsConfig {
            certificate: Some(file("c", &certificate)),
            key: Some(file("k", &key)),
            client_ca: Some(file("ca", &pair(&["authority"]).0)),
            client_auth: ClientAuth::Optional,
            min_version: TlsVersion::V12,
            ops: true,
        };
        for (auth, resumed) in [(ClientAuth::Optional, false), (ClientAuth::Off, true)] {
            config.client_auth = auth;
            if auth == ClientAuth::Off {
                config.client_ca = None;
            }
            let tls = Tls::load(&config, Timestamp::now()).unwrap();
            let current = tls.current.load();
            assert_eq!(current.main.session_storage.can_cache(), resumed);
            assert_eq!(current.main.send_tls13_tickets > 0, resumed);
            assert!(current.ops.session_storage.can_cache());
            assert_eq!(current.main.max_early_data_size, 0);
        }
    }
}
