//! Addresses in the configuration, in registrations and in what other services name: one check for all.
//!
//! What enters: a text. What leaves: a [`Url`] with a host that is a name or an IP address and a port that
//! exists, or the reason why it is none. Who may be called is for the caller to say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ureq::http::Uri;

/// Longest address, in bytes.
pub(crate) const LONGEST: usize = 2_048;

/// Why an address over plain `http`, or of another scheme, is not called.
pub(crate) const ONLY: &str = "only https is called, or http on this machine";

/// An address over HTTP.
#[derive(Debug, Clone)]
pub(crate) struct Url {
    /// As it is called.
    pub(crate) uri: Uri,
    /// Whether it is called over TLS: `https`, and not `http`.
    pub(crate) secure: bool,
    /// Where it leads.
    pub(crate) host: Host,
}

/// Where an address leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// A name, in lower case and without the last dot.
    Name(String),
    /// An IP address.
    Ip(IpAddr),
}

impl Host {
    /// Whether it is this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Self::Ip(ip) => ip.is_loopback(),
        }
    }
}

impl Url {
    /// Whether a call would go over the network in the clear: neither by TLS nor to this machine.
    pub(crate) fn is_in_clear(&self) -> bool {
        !self.secure && !self.host.is_loopback()
    }

    /// Reads an address.
    ///
    /// # Errors
    /// The reason in words, without the address: it may be long, or hold a password.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let fail = |reason: &str| Err(reason.to_owned());
        if text.len() > LONGEST {
            return Err(format!("the address is longer than {LONGEST} bytes"));
        }
        if !text.is_ascii() {
            return fail(
                "the address holds a character that is not ASCII; write a name of another script as `xn--..`",
            );
        }
        if text
            .bytes()
            .any(|byte| byte <= b' ' || byte == 0x7f || b"#\\".contains(&byte))
        {
            return fail("the address holds a `#`, a `\\`, a space or a control character");
        }
        let expected = "expected an address such as https://hooks.example.org/deodar";
        // Looked at first: the reader of addresses does not say what is wrong with a port.
        let authority = text.split_once("://").map_or("", |(_, rest)| {
            rest.split(['/', '?']).next().unwrap_or_default()
        });
        if authority.contains('@') {
            return fail("the address holds a user name or a password");
        }
        let host = match port(authority) {
            Ok(host) => host,
            Err(reason) => return fail(reason),
        };
        if host.contains('%') {
            return fail("the address holds a zone or a `%` in its host");
        }
        let Ok(uri) = text.parse::<Uri>() else {
            return fail(expected);
        };
        if uri.host().is_none_or(str::is_empty) || host.is_empty() {
            return fail(expected);
        }
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return fail(ONLY),
        };
        let Some(host) = read_host(host) else {
            return fail("the host is neither a name nor an IP address");
        };
        Ok(Self { uri, secure, host })
    }
}

/// The host of an authority, whose port is one that exists.
fn port(authority: &str) -> Result<&str, &'static str> {
    let (host, port) = match authority.rfind(']') {
        // The colons within `[::1]` divide no port.
        Some(end) => authority.split_at(end + 1),
        None if authority.starts_with('[') => {
            return Err("the host is neither a name nor an IP address");
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let Some(port) = port.strip_prefix(':') else {
        return if port.is_empty() {
            Ok(host)
        } else {
            Err("the host is neither a name nor an IP address")
        };
    };
    if port.is_empty() {
        return Err("the address has no port after its colon");
    }
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(1..) if digits => Ok(host),
        _ => Err("the port is not a number from 1 to 65535"),
    }
}

fn read_host(host: &str) -> Option<Host> {
    if let Some(bare) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return Some(Host::Ip(bare.parse::<Ipv6Addr>().ok()?.into()));
    }
    if let Ok(ip) = host.parse::<Ipv4Addr>() {
        return Some(Host::Ip(ip.into()));
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    is_name(name).then(|| Host::Name(name.to_ascii_lowercase()))
}

/// Whether a host is a name. One whose last label is a number is an IPv4 address in a form that only
/// some resolvers read (`127.1`, `0x7f000001`, `2130706433`).
fn is_name(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    let number = last.bytes().all(|byte| byte.is_ascii_digit())
        || last.to_ascii_lowercase().strip_prefix("0x").is_some();
    host.len() <= 253 && !number && host.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (text, secure, host) in [
            (
                "https://a.example.org",
                true,
                Host::Name("a.example.org".to_owned()),
            ),
            (
                "HTTPS://A.example.org.:443/x?y=1",
                true,
                Host::Name("a.example.org".to_owned()),
            ),
            (
                "http://[::1]:65535/",
                false,
                Host::Ip("::1".parse().unwrap()),
            ),
            (
                "http://10.0.0.1:1",
                false,
                Host::Ip("10.0.0.1".parse().unwrap()),
            ),
            (
                "https://a.example/?redirect=http://b:99999@x",
                true,
                Host::Name("a.example".to_owned()),
            ),
            (
                "https://deodar_owner",
                true,
                Host::Name("deodar_owner".to_owned()),
            ),
        ] {
            let url = Url::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((url.secure, url.host), (secure, host), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for (text, reason) in [
            ("https://host:99999", "1 to 65535"),
            ("https://host:0/", "1 to 65535"),
            ("https://host:65536/", "1 to 65535"),
            ("https://host:+80/", "1 to 65535"),
            ("https://host:http/", "1 to 65535"),
            ("https://[::1]:99999/", "1 to 65535"),
            ("https://host:/", "no port"),
            ("https://:443/", "expected an address"),
            ("https:///x", "expected an address"),
            ("https://", "expected an address"),
            ("", "expected an address"),
            ("host", "expected an address"),
            ("//host/x", "expected an address"),
            ("https:host", "expected an address"),
            ("https://u@host/", "user name"),
            ("https://u:p@host/", "user name"),
            ("https://host/#x", "`#`"),
            ("https://ho st/", "space"),
            (" https://host/", "space"),
            ("https://host\n/", "control"),
            ("https://host\\@other/", "`\\`"),
            ("https://b\u{fc}cher.example/", "xn--"),
            ("https://example.org\u{3002}/", "xn--"),
            ("https://[fe80::1%25eth0]/", "zone"),
            ("https://[fe80::1%eth0]/", "zone"),
            ("https://%31/", "zone"),
            ("https://[::1/", "neither a name"),
            ("https://[::1]x/", "neither a name"),
            ("https://[10.0.0.1]/", "neither a name"),
            ("https://127.1/", "neither a name"),
            ("https://0x7f000001/", "neither a name"),
            ("https://a..b/", "neither a name"),
            ("https://a*b/", "neither a name"),
            ("ftp://host/", "only https"),
            ("file:///etc/passwd", "expected an address"),
        ] {
            let error = Url::parse(text).map(|url| url.uri).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
            assert!(error.len() < 200);
        }
        assert!(Url::parse(&format!("https://a/{}", "x".repeat(LONGEST))).is_err());
    }
}
