//! TLS of our own clients: which certificates of servers they trust.
//!
//! A server is trusted when its certificate was issued by an authority, and, as `curl --cacert` does, when
//! its certificate is itself among the trusted ones: `openssl req -x509` makes one that calls itself an authority,
//! which no path of certificates may end with. Name and time are checked either way.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore,
    SignatureScheme, StreamOwned,
};
use ureq::unversioned::resolver::Resolver;
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout,
    TcpConnector, Transport, TransportAdapter,
};

/// Longest certificate or key file, in bytes.
pub(crate) const LONGEST_FILE: u64 = 16 << 20;

/// The certificates of a PEM file.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(none) if none.is_empty() => Err("holds no certificate in PEM".to_owned()),
        Ok(read) => Ok(read),
        Err(error) => Err(format!("is not PEM: {error}")),
    }
}

/// Whom a client trusts, and who it is.
#[derive(Default)]
pub(crate) struct Trust {
    /// Certificates of authorities, or of servers: the system's, or those of a file.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    /// The client's own certificates and key.
    pub(crate) own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

/// The certificate authorities that the system trusts; what of them cannot be read is logged.
pub(crate) fn system_roots() -> Vec<CertificateDer<'static>> {
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!("certificate authorities of the system: {error}");
    }
    native.certs
}

/// A client that connects as [`ureq`] does by default, with TLS and names as given.
pub(crate) fn agent(
    settings: ureq::config::Config,
    tls: Arc<ClientConfig>,
    names: impl Resolver,
) -> ureq::Agent {
    let connector =
        ().chain(ConnectProxyConnector::default())
            .chain(TcpConnector::default())
            .chain(Tls(tls));
    ureq::Agent::with_parts(settings, connector, names)
}

/// The settings of a client that trusts as [`Trust`] says.
pub(crate) fn config(trust: Trust) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls_graviola::default_provider());
    let verifier = verifier(&provider, trust.certificates)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match trust.own {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| error.to_string())?,
    };
    Ok(Arc::new(config))
}

fn verifier(
    provider: &Arc<CryptoProvider>,
    certificates: Vec<CertificateDer<'static>>,
) -> Result<Verifier, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates.iter().cloned());
    let path = if roots.is_empty() {
        None
    } else {
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        Some(verifier.build().map_err(|error| error.to_string())?)
    };
    Ok(Verifier {
        algorithms: provider.signature_verification_algorithms,
        path,
        certificates,
    })
}

/// Trusts certificates that are known themselves, and those that known authorities issued.
#[derive(Debug)]
struct Verifier {
    algorithms: WebPkiSupportedAlgorithms,
    /// `None` where there is no authority.
    path: Option<Arc<WebPkiServerVerifier>>,
    certificates: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.certificates.iter().any(|known| known == certificate) {
            return known(certificate, name, now);
        }
        match &self.path {
            Some(path) => path.verify_server_cert(certificate, intermediates, name, ocsp, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Checks all but the issuer of a certificate that is known itself: time, use and name.
fn known(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, rustls::Error> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|_| CertificateError::BadEncoding)?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < parsed.validity().not_before.timestamp() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > parsed.validity().not_after.timestamp() {
        return Err(CertificateError::Expired.into());
    }
    let uses = parsed
        .extended_key_usage()
        .map_err(|_| CertificateError::BadEncoding)?;
    if uses.is_some_and(|uses| !uses.value.server_auth && !uses.value.any) {
        return Err(CertificateError::InvalidPurpose.into());
    }
    let certificate = ParsedCertificate::try_from(certificate)?;
    verify_server_name(&certificate, name)?;
    Ok(ServerCertVerified::assertion())
}

/// Puts TLS on what `https` is asked over.
struct Tls(Arc<ClientConfig>);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl<In: Transport> Connector<In> for Tls {
    type Out = Either<In, TlsTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else {
            return Ok(None);
        };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| ureq::Error::Tls("the host is neither a name nor an address"))?;
        let mut connection = ClientConnection::new(Arc::clone(&self.0), name)
            .map_err(|error| ureq::Error::Other(error.into()))?;
        let mut below = TransportAdapter::new(transport.boxed(), Arc::clone(&details.current_time));
        below.set_timeout(details.timeout);
        connection.complete_io(&mut below)?;
        let buffers = LazyBuffers::new(
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        Ok(Some(Either::B(TlsTransport {
            buffers,
            stream: StreamOwned::new(connection, below),
        })))
    }
}

/// A connection with TLS on it.
pub(crate) struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = self.buffers.output().get(..amount);
        let output = output.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.stream.write_all(output)?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let input = self.buffers.input_append_buf();
        let amount = self.stream.read(input)?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
