//! `[server]`, `[tls]` and `[client]`: where the server listens and what it shows, whom it asks, and whom commands
//! that talk to it trust.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::notes::{Notes, wrong};
use super::secret::SecretRef;
use crate::base::described::described;
use crate::base::files::PathText;
use crate::base::settings::settings;
use crate::base::span::Span;
use crate::service::net::url::Url;

settings! {
    /// The HTTP server.
    pub struct ServerConfig {
        /// The address for decisions.
        #[schemars(with = "String")]
        pub listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 8180)),
        /// The address for probes and metrics, if another one.
        #[schemars(with = "Option<String>")]
        pub ops_listen: Option<SocketAddr>,
        /// Names that the Host header may have, without a port.
        pub hosts: Vec<String> = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).to_vec(),
        /// Which callers decide and search without saying who they are.
        pub anonymous: Anonymous = Anonymous::Loopback,
        /// Whether anonymous callers are served on other addresses than loopback.
        pub danger_allow_anonymous: bool,
        /// Origins of web pages that may read answers (CORS), such as `https://admin.example.org`.
        pub cors_origins: Vec<String>,
        /// How long requests are accepted after readiness fell.
        pub drain_delay: Span = Span::seconds(5),
        /// How long requests under way may take after that.
        pub drain_timeout: Span = Span::seconds(30),
        /// A Unix-domain socket to listen on as well.
        #[schemars(with = "Option<PathText>")]
        pub socket: Option<PathBuf>,
        /// The permissions of the socket.
        pub socket_mode: Mode = Mode(0o600),
    }
}

impl ServerConfig {
    /// What no single key can say.
    pub(super) fn check(&self, knows_callers: bool, notes: &mut Notes<'_>) {
        let listen = self.listen;
        wrong! { notes.add;
            !listen.ip().is_loopback() && !self.danger_allow_anonymous && !knows_callers => "server.listen",
                format!("{listen} can be reached from other machines, and no caller is configured"),
                "name `[[callers]]`, set `state.dir` and create keys, or set `server.danger_allow_anonymous = true`";
        }
        for origin in &self.cors_origins {
            // An origin has neither a path nor anything after it.
            let named = Url::parse(origin)
                .is_ok_and(|url| origin.matches('/').count() == 2 && url.uri.query().is_none());
            wrong! { notes.add;
                !named => "server.cors_origins", format!("`{origin}` is not an origin"),
                    "an origin is scheme, host and port, such as https://admin.example.org";
            }
        }
        notes.at_most("server.drain_delay", self.drain_delay, 3_600);
        notes.at_most("server.drain_timeout", self.drain_timeout, 3_600);
    }
}

/// Which callers decide and search without a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Anonymous {
    /// Those on this machine.
    Loopback,
    /// None.
    Off,
}

/// Permissions of a file, written in octal such as `0660`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(u32);

impl Mode {
    /// The bits.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let octal = !text.is_empty() && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        let mode = u32::from_str_radix(&text, 8)
            .ok()
            .filter(|mode| octal && *mode <= 0o777);
        mode.map(Self).ok_or_else(|| {
            de::Error::custom(format!("expected permissions such as 0660, found `{text}`"))
        })
    }
}

described!(Mode, {"type": "string", "pattern": "^0*[0-7]{1,3}$"});

settings! {
    /// TLS of a server, where it has a certificate.
    pub struct TlsConfig {
        /// The server's certificate and those between it and its authority, in PEM.
        #[schemars(with = "Option<PathText>")]
        pub certificate: Option<PathBuf>,
        /// The certificate's private key, in PEM.
        #[schemars(with = "Option<PathText>")]
        pub key: Option<PathBuf>,
        /// The authorities that clients' certificates must come from, in PEM.
        #[schemars(with = "Option<PathText>")]
        pub client_ca: Option<PathBuf>,
        /// Whether clients are asked for a certificate.
        pub client_auth: ClientAuth,
        /// The oldest version spoken.
        pub min_version: TlsVersion,
        /// Whether probes and metrics are served over TLS too.
        pub ops: bool,
    }
}

/// Whether clients are asked for a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ClientAuth {
    /// Nobody is asked.
    #[default]
    Off,
    /// Who has none is let in all the same; a bad one is refused.
    Optional,
    /// Nobody is let in without one.
    Required,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    V12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V13,
}

impl TlsConfig {
    /// The files of the certificate and of its key, where there is TLS.
    #[must_use]
    pub fn pair(&self) -> Option<(&Path, &Path)> {
        self.certificate.as_deref().zip(self.key.as_deref())
    }

    /// What no single key can say.
    pub(super) fn check(&self, notes: &mut Notes<'_>) {
        notes.both(
            ("tls.certificate", self.certificate.is_some()),
            ("tls.key", self.key.is_some()),
        );
        let asks = self.client_auth != ClientAuth::Off;
        wrong! { notes.add;
            asks && self.client_ca.is_none() => "tls.client_auth",
                "clients cannot be asked for certificates without `tls.client_ca`",
                "name the authorities whose certificates are taken";
            // Whoever names authorities thinks that clients are checked.
            self.client_ca.is_some() && !asks => "tls.client_ca",
                "no client is asked for a certificate while `tls.client_auth` is \"off\"",
                "set `tls.client_auth = \"required\"` or \"optional\"";
        }
        let none = self.certificate.is_none() && self.key.is_none();
        for (key, set) in [("tls.client_auth", asks), ("tls.ops", self.ops)] {
            if set && none {
                let message = "there is no TLS without `tls.certificate` and `tls.key`";
                notes.add(key, message, "give both");
            }
        }
    }
}

settings! {
    /// How commands that talk to a server over TLS trust it, and what they show.
    pub struct ClientConfig {
        /// The authorities that the server's certificate must come from, in PEM; else the machine's.
        #[schemars(with = "Option<PathText>")]
        pub ca: Option<PathBuf>,
        /// A certificate to show, in PEM.
        #[schemars(with = "Option<PathText>")]
        pub certificate: Option<PathBuf>,
        /// The certificate's private key, in PEM.
        #[schemars(with = "Option<PathText>")]
        pub certificate_key: Option<PathBuf>,
        /// The API key that commands show to a server.
        pub key: Option<SecretRef>,
    }
}

impl ClientConfig {
    /// What no single key can say.
    pub(super) fn check(&self, notes: &mut Notes<'_>) {
        notes.both(
            ("client.certificate", self.certificate.is_some()),
            ("client.certificate_key", self.certificate_key.is_some()),
        );
    }
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
        let tls = config.tls;
        assert_eq!(tls.certificate.unwrap(), Path::new("/etc/deodar/c.pem"));
        assert_eq!(tls.key.unwrap(), Path::new("/k.pem"));
        assert_eq!(tls.client_auth, ClientAuth::Required);
        assert_eq!(tls.min_version, TlsVersion::V13);
        assert!(tls.ops);
        assert_eq!(config.server.socket_mode.bits(), 0o660);
        assert_eq!(
            config.server.socket.unwrap(),
            Path::new("/etc/deodar/s.sock")
        );
        assert!(load("").unwrap().tls.pair().is_none());
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
