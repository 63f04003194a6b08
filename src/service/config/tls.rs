//! TLS: what the server shows, whom it asks, and whom commands that talk to it trust.

use std::path::PathBuf;

use super::layers::Layers;
use super::value::Value;

/// TLS of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// The server's certificate and those between it and its authority, in PEM.
    pub certificate: PathBuf,
    /// The certificate's private key, in PEM.
    pub key: PathBuf,
    /// The authorities that clients' certificates must come from, in PEM.
    pub client_ca: Option<PathBuf>,
    /// Whether clients are asked for a certificate.
    pub client_auth: ClientAuth,
    /// The oldest version spoken.
    pub min_version: TlsVersion,
    /// Whether probes and metrics are served over TLS too.
    pub ops: bool,
}

/// Whether clients are asked for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// Nobody is asked.
    Off,
    /// Who has none is let in all the same; a bad one is refused.
    Optional,
    /// Nobody is let in without one.
    Required,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

/// How commands that talk to a server over TLS trust it, and what they show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientConfig {
    /// The authorities that the server's certificate must come from, in PEM; else the machine's.
    pub ca: Option<PathBuf>,
    /// A certificate to show, in PEM.
    pub certificate: Option<PathBuf>,
    /// Its private key, in PEM.
    pub key: Option<PathBuf>,
}

impl TlsConfig {
    pub(super) fn read(layers: &Layers) -> Option<Self> {
        Some(Self {
            certificate: layers.path("tls.certificate")?,
            key: layers.path("tls.key")?,
            client_ca: layers.path("tls.client_ca"),
            client_auth: match word(layers, "tls.client_auth") {
                "optional" => ClientAuth::Optional,
                "required" => ClientAuth::Required,
                _ => ClientAuth::Off,
            },
            min_version: match word(layers, "tls.min_version") {
                "1.3" => TlsVersion::V13,
                _ => TlsVersion::V12,
            },
            ops: layers.value("tls.ops") == &Value::Bool(true),
        })
    }
}

impl ClientConfig {
    pub(super) fn read(layers: &Layers) -> Self {
        Self {
            ca: layers.path("client.ca"),
            certificate: layers.path("client.certificate"),
            key: layers.path("client.certificate_key"),
        }
    }
}

fn word<'a>(layers: &'a Layers, key: &str) -> &'a str {
    match layers.value(key) {
        Value::Text(word) => word,
        _ => "",
    }
}

/// Permissions as they are written: octal, such as `0660`.
pub(super) fn mode(text: &str) -> Option<u32> {
    let octal = !text.is_empty() && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    let mode = u32::from_str_radix(text, 8).ok()?;
    (octal && mode <= 0o777).then_some(mode)
}

/// Keys that do not go together: the key to blame, what is the matter, what to do.
pub(super) fn contradictions(layers: &Layers) -> Vec<(&'static str, String, &'static str)> {
    let mut found = Vec::new();
    let given = |key: &str| layers.path(key).is_some();
    for (one, other) in [
        ("tls.certificate", "tls.key"),
        ("client.certificate", "client.certificate_key"),
    ] {
        for (key, missing) in [(one, other), (other, one)] {
            if given(key) && !given(missing) {
                let message = format!("is of no use without `{missing}`");
                found.push((key, message, "give both or none"));
            }
        }
    }
    let tls = given("tls.certificate") || given("tls.key");
    let asks = word(layers, "tls.client_auth") != "off";
    if asks && !given("tls.client_ca") {
        found.push((
            "tls.client_auth",
            "clients cannot be asked for certificates without `tls.client_ca`".to_owned(),
            "name the authorities whose certificates are taken",
        ));
    }
    if given("tls.client_ca") && !asks {
        // Whoever names authorities thinks that clients are checked.
        found.push((
            "tls.client_ca",
            "no client is asked for a certificate while `tls.client_auth` is \"off\"".to_owned(),
            "set `tls.client_auth = \"required\"` or \"optional\"",
        ));
    }
    for (key, set) in [
        ("tls.client_auth", asks),
        ("tls.ops", layers.value("tls.ops") == &Value::Bool(true)),
    ] {
        if set && !tls {
            let message = "there is no TLS without `tls.certificate` and `tls.key`".to_owned();
            found.push((key, message, "give both"));
        }
    }
    if mode(word(layers, "server.socket_mode")).is_none() {
        found.push((
            "server.socket_mode",
            format!(
                "expected permissions such as 0660, found `{}`",
                word(layers, "server.socket_mode")
            ),
            "write them in octal",
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::service::config::Config;

    fn load(text: &str) -> Result<Config, String> {
        let file = Some((Path::new("/etc/deodar/deodar.toml"), text));
        Config::from_parts(file, std::iter::empty(), &[]).map_err(|faults| faults.to_string())
    }

    #[test]
    fn a_whole_section_is_read() {
        let config = load(
            "[tls]\ncertificate = \"c.pem\"\nkey = \"/k.pem\"\nclient_ca = \"ca.pem\"\nclient_auth = \"required\"\nmin_version = \"1.3\"\nops = true\n[server]\nsocket = \"s.sock\"\nsocket_mode = \"0660\"",
        )
        .unwrap();
        let tls = config.server.tls.unwrap();
        assert_eq!(tls.certificate, Path::new("/etc/deodar/c.pem"));
        assert_eq!(tls.key, Path::new("/k.pem"));
        assert_eq!(tls.client_auth, ClientAuth::Required);
        assert_eq!(tls.min_version, TlsVersion::V13);
        assert!(tls.ops);
        assert_eq!(config.server.socket_mode, 0o660);
        assert_eq!(
            config.server.socket.unwrap(),
            Path::new("/etc/deodar/s.sock")
        );
        assert!(load("").unwrap().server.tls.is_none());
    }

    #[track_caller]
    fn check_fault(text: &str, expect: &str) {
        let fault = load(text).unwrap_err();
        assert!(fault.contains(expect), "{fault}");
    }

    #[test]
    fn keys_that_do_not_go_together_are_refused() {
        check_fault("tls.certificate = \"c\"", "no use without `tls.key`");
        check_fault("tls.key = \"k\"", "no use without `tls.certificate`");
        check_fault(
            "client.certificate_key = \"k\"",
            "no use without `client.certificate`",
        );
        let pair = "tls.certificate = \"c\"\ntls.key = \"k\"\n";
        check_fault(
            &format!("{pair}tls.client_auth = \"required\""),
            "without `tls.client_ca`",
        );
        check_fault(
            &format!("{pair}tls.client_ca = \"ca\""),
            "no client is asked",
        );
        check_fault("tls.ops = true", "there is no TLS without");
        for mode in ["0888", "+600", "1000", "rw"] {
            check_fault(
                &format!("server.socket_mode = \"{mode}\""),
                "permissions such as 0660",
            );
        }
    }
}
