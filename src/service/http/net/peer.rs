//! The other end of a connection: where it is, and what it has proved by the way it came.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::base::hex::hex;
use crate::base::timestamp::Timestamp;

/// The other end of a connection; made once for each, and shared by its requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peer {
    /// Its address; none over a Unix-domain socket.
    pub(crate) address: Option<SocketAddr>,
    /// The certificate it has shown, checked against `tls.client_ca`.
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
    /// The process at the other end of a Unix-domain socket, as it was when it connected.
    pub(crate) unix: Option<UnixPeer>,
    /// Whether nobody on the way can read along: TLS, or a socket of this machine.
    pub(crate) secure: bool,
}

/// A process of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnixPeer {
    pub(crate) uid: u32,
}

/// What a client's certificate says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    /// The names it is issued for: URIs (with their scheme), DNS names (in lower case) and e-mail
    /// addresses. Their shapes tell them apart: only a URI has a `:`, of the others only an address
    /// has an `@`.
    pub(crate) sans: Vec<String>,
    /// SHA-256 of the certificate, in lower-case hexadecimal.
    pub(crate) fingerprint: String,
    /// When it ends. The handshake checked this; a connection can outlive it.
    pub(crate) expires: Timestamp,
}

impl Peer {
    /// A peer of which the address is known.
    #[cfg(test)]
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self {
            address: Some(address),
            ..Self::default()
        }
    }

    /// Its IP address; one of IPv4 within IPv6 as IPv4.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip().to_canonical())
    }

    /// Whether it is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.unix.is_some() || self.ip().is_some_and(|ip| ip.is_loopback())
    }
}

impl ClientCertificate {
    /// Reads a certificate that a handshake has verified. One that cannot be read names nobody.
    pub(crate) fn read(der: &[u8]) -> Self {
        let parsed = X509Certificate::from_der(der)
            .ok()
            .map(|(_, parsed)| parsed);
        let ends = parsed
            .as_ref()
            .map(|parsed| parsed.validity().not_after.timestamp());
        Self {
            sans: parsed.as_ref().map(names).unwrap_or_default(),
            fingerprint: hex(&Sha256::digest(der)),
            expires: Timestamp::from_millis(ends.unwrap_or_default().saturating_mul(1000)),
        }
    }
}

/// The names that a certificate is issued for and that can name a client. Wildcards name nobody in
/// particular and are left out, as is what does not have the shape of its kind.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    // Twice the extension is an error of the issuer, and there is no telling which one counts.
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let general = &extension.value.general_names;
    let uris = general
        .iter()
        .filter(|name| matches!(name, GeneralName::URI(_)));
    // An SVID has one URI; a certificate with several must be refused as one (X509-SVID section 2).
    let several = uris.count() > 1;
    general
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => is_uri(uri)
                .then(|| (*uri).to_owned())
                .filter(|uri| !(several && is_spiffe(uri))),
            GeneralName::DNSName(name) => is_dns(name).then(|| name.to_ascii_lowercase()),
            GeneralName::RFC822Name(address) => is_email(address).then(|| (*address).to_owned()),
            _ => None,
        })
        .collect()
}

fn is_uri(text: &str) -> bool {
    let scheme = text.split_once(':').map(|(scheme, _)| scheme);
    let named = scheme.is_some_and(|scheme| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    });
    named && text.bytes().all(|b| b.is_ascii_graphic())
}

fn is_spiffe(uri: &str) -> bool {
    uri.get(..9)
        .is_some_and(|start| start.eq_ignore_ascii_case("spiffe://"))
}

fn is_dns(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

fn is_email(address: &str) -> bool {
    address.contains('@') && !address.contains(':') && address.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn certificate(sans: Vec<SanType>) -> Vec<u8> {
        let mut parameters = CertificateParams::default();
        parameters.subject_alt_names = sans;
        let key = KeyPair::generate().unwrap();
        parameters.self_signed(&key).unwrap().der().to_vec()
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().unwrap())
    }

    fn dns(text: &str) -> SanType {
        SanType::DnsName(text.try_into().unwrap())
    }

    fn email(text: &str) -> SanType {
        SanType::Rfc822Name(text.try_into().unwrap())
    }

    #[track_caller]
    fn check(sans: Vec<SanType>, expect: &[&str]) {
        assert_eq!(ClientCertificate::read(&certificate(sans)).sans, expect);
    }

    #[test]
    fn names_of_every_kind_are_read() {
        check(
            vec![
                uri("spiffe://example.org/gateway"),
                dns("Gateway.Example.org"),
                email("ops@example.org"),
                SanType::IpAddress([127, 0, 0, 1].into()),
            ],
            &[
                "spiffe://example.org/gateway",
                "gateway.example.org",
                "ops@example.org",
            ],
        );
        check(Vec::new(), &[]);
    }

    #[test]
    fn what_could_be_taken_for_another_kind_names_nobody() {
        check(vec![uri("gateway.example.org")], &[]);
        check(vec![dns("spiffe://example.org/gateway")], &[]);
        check(vec![dns("ops@example.org"), dns("*.example.org")], &[]);
        check(vec![email("spiffe://a@b"), email("nobody")], &[]);
        check(vec![uri("urn:a\0b"), dns("a\0.example.org")], &[]);
    }

    #[test]
    fn several_uris_are_no_spiffe_identity() {
        check(
            vec![
                uri("spiffe://example.org/a"),
                uri("SPIFFE://example.org/b"),
                uri("https://example.org/c"),
                dns("c.example.org"),
            ],
            &["https://example.org/c", "c.example.org"],
        );
    }

    #[test]
    fn the_fingerprint_is_of_the_whole_certificate() {
        let der = certificate(vec![dns("a.example.org")]);
        let read = ClientCertificate::read(&der);
        assert_eq!(read.fingerprint.len(), 64);
        assert_ne!(
            read.fingerprint,
            ClientCertificate::read(&certificate(vec![dns("a.example.org")])).fingerprint
        );
        assert!(read.expires > Timestamp::now());
        let nobody = ClientCertificate::read(b"no certificate");
        assert!(nobody.sans.is_empty() && nobody.expires < Timestamp::now());
    }

    #[test]
    fn no_certificate_is_too_broken_to_be_read() {
        let whole = certificate(vec![uri("spiffe://example.org/a"), dns("a.example.org")]);
        for place in 0..whole.len() {
            let mut broken = whole.clone();
            broken[place] ^= 0x15;
            let _ = ClientCertificate::read(&broken);
            let _ = ClientCertificate::read(&whole[..place]);
        }
    }
}
