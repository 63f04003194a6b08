//! Which addresses are called: nothing goes over the network in the clear, and a receiver that somebody names
//! must not lead into our own network.
//!
//! What enters: the address of a service that is configured or that another one names, the address of a
//! receiver when it is registered, and at every delivery what its name resolves to. What leaves: why it is
//! not called. Whoever connects uses the very address that was
//! looked at here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::service::net::url::{Host, ONLY, Url};

/// Who can be behind an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Anybody on the Internet.
    Public,
    /// This machine.
    Loopback,
    /// The operator's own networks.
    Private(&'static str),
    /// Nobody who receives webhooks: called under no setting.
    Never(&'static str),
}

/// Who can be behind this address (IANA's special-purpose registries).
pub(crate) fn reach(ip: IpAddr) -> Reach {
    match ip {
        IpAddr::V4(ip) => reach_v4(ip),
        IpAddr::V6(ip) => reach_v6(ip),
    }
}

fn reach_v4(ip: Ipv4Addr) -> Reach {
    match ip.octets() {
        [0, ..] => Reach::Never("this network"),
        [127, ..] => Reach::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Reach::Private("private"),
        [100, 100, 100, 200] => Reach::Never("a cloud's metadata service"),
        [100, 64..=127, ..] => Reach::Private("shared by a carrier's customers"),
        [169, 254, ..] => Reach::Never("link-local"),
        [192, 0, 0, _] => Reach::Never("for protocols"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Reach::Never("documentation"),
        [192, 88, 99, _] => Reach::Never("a relay to IPv6"),
        [198, 18..=19, ..] => Reach::Never("for benchmarks"),
        [224..=239, ..] => Reach::Never("multicast"),
        [240..=255, ..] => Reach::Never("reserved"),
        _ => Reach::Public,
    }
}

fn reach_v6(ip: Ipv6Addr) -> Reach {
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        reach_v4(Ipv4Addr::new(a, b, c, d))
    };
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Reach::Never("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Loopback,
        // IPv4-mapped: the IPv4 address is what is connected to.
        [0, 0, 0, 0, 0, 0xffff, high, low] => embedded(high, low),
        [0, 0, 0, 0, 0, 0, ..] => Reach::Never("IPv4-compatible"),
        // NAT64: the translator connects to the IPv4 address.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => Reach::Never("a cloud's metadata service"),
        [0xfc00..=0xfdff, ..] => Reach::Private("unique-local"),
        [0xfe80..=0xfebf, ..] => Reach::Never("link-local"),
        [0xfec0..=0xfeff, ..] => Reach::Never("site-local"),
        [0xff00..=0xffff, ..] => Reach::Never("multicast"),
        [0x2001, 0..=0x1ff, ..] => Reach::Never("for protocols"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Reach::Never("documentation"),
        // 6to4: a relay sends it to the IPv4 address.
        [0x2002, high, low, ..] => embedded(high, low),
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Never("reserved"),
    }
}

/// Whether an address is connected to; if not, what it is.
pub(crate) fn may_connect(ip: IpAddr, allow_private: bool, plain: bool) -> Result<(), String> {
    let refused = |what: &str| Err(what.to_owned());
    match reach(ip) {
        Reach::Loopback if allow_private => Ok(()),
        Reach::Loopback => refused("of this machine"),
        // Without TLS nothing leaves the machine.
        _ if plain => refused("not of this machine, and only https leaves it"),
        Reach::Public => Ok(()),
        Reach::Private(_) if allow_private => Ok(()),
        Reach::Private(what) | Reach::Never(what) => refused(what),
    }
}

/// Reads an address of a service that the operator named, if it may be called: `https`, or `http` to this
/// machine.
///
/// # Errors
/// The address, or its beginning, and why it is not called.
pub(crate) fn may_call(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|reason| refused(text, &reason))?;
    match url.is_in_clear() {
        false => Ok(url),
        true => Err(refused(text, ONLY)),
    }
}

/// Whether an address that another service named may be called: as [`may_call`], and what was found over
/// `https` does not lead back to this machine without it.
///
/// # Errors
/// As [`may_call`].
pub(crate) fn may_follow(from: &str, url: &str) -> Result<(), String> {
    let to = may_call(url)?;
    match may_call(from) {
        Ok(from) if from.secure && !to.secure => Err(refused(url, ONLY)),
        _ => Ok(()),
    }
}

/// How much of an address a message shows.
const SHOWN: usize = 200;

fn refused(url: &str, reason: &str) -> String {
    let shown: String = url.chars().take(SHOWN).collect();
    let more = if shown.len() < url.len() { ".." } else { "" };
    format!("`{}{more}`: {reason}", shown.escape_debug())
}

/// Whether an address of a receiver may be registered. What its name resolves to is looked at when it
/// is called.
pub(crate) fn check_url(url: &str, allow_private: bool) -> Result<(), String> {
    let fail = |message: &str| Err(message.to_owned());
    let url = Url::parse(url)?;
    if !url.secure && !allow_private {
        return fail("only https is called");
    }
    match &url.host {
        Host::Ip(ip) => may_connect(*ip, allow_private, !url.secure)
            .map_err(|what| format!("the address is {what}")),
        Host::Name(_) if url.is_in_clear() => fail(ONLY),
        Host::Name(_) if url.host.is_loopback() && !allow_private => {
            fail("the address is of this machine")
        }
        Host::Name(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ips: &[&str], expect: fn(Reach) -> bool) {
        for ip in ips {
            let found = reach(ip.parse().unwrap());
            assert!(expect(found), "{ip} is {found:?}");
        }
    }

    #[test]
    fn public_addresses_are_public() {
        check(
            &[
                "1.1.1.1",
                "8.8.8.8",
                "9.255.255.255",
                "11.0.0.0",
                "100.63.255.255",
                "100.128.0.0",
                "126.255.255.255",
                "128.0.0.0",
                "169.253.255.255",
                "169.255.0.0",
                "172.15.255.255",
                "172.32.0.0",
                "192.0.1.0",
                "192.0.3.0",
                "192.88.98.255",
                "192.88.100.0",
                "192.167.255.255",
                "192.169.0.0",
                "198.17.255.255",
                "198.20.0.0",
                "198.51.99.255",
                "198.51.101.0",
                "203.0.112.255",
                "203.0.114.0",
                "223.255.255.255",
                "2606:4700::1111",
                "2a00:1450:4001::1",
                "2001:200::1",
                "2001:db7::1",
                "3ffe::1",
                "3fff:1000::1",
                "::ffff:8.8.8.8",
                "64:ff9b::8.8.8.8",
                "2002:808:808::1",
            ],
            |reach| reach == Reach::Public,
        );
    }

    #[test]
    fn this_machine_and_own_networks_are_told_apart() {
        check(
            &[
                "127.0.0.1",
                "127.255.255.255",
                "::1",
                "::ffff:127.0.0.1",
                "2002:7f00:1::",
                "64:ff9b::127.0.0.1",
            ],
            |reach| reach == Reach::Loopback,
        );
        check(
            &[
                "10.0.0.0",
                "10.255.255.255",
                "172.16.0.0",
                "172.31.255.255",
                "192.168.0.0",
                "192.168.255.255",
                "100.64.0.0",
                "100.127.255.255",
                "fc00::",
                "fdff:ffff::1",
                "::ffff:10.0.0.1",
                "::ffff:192.168.1.1",
                "64:ff9b::10.1.2.3",
                "2002:a00:1::1",
                "2002:c0a8:101::1",
            ],
            |reach| matches!(reach, Reach::Private(_)),
        );
    }

    #[test]
    fn what_nobody_receives_at_is_never_called() {
        check(
            &[
                "0.0.0.0",
                "0.1.2.3",
                "169.254.0.0",
                "169.254.169.254",
                "169.254.255.255",
                "192.0.0.0",
                "192.0.0.170",
                "192.0.2.1",
                "192.88.99.1",
                "198.18.0.0",
                "198.19.255.255",
                "198.51.100.1",
                "203.0.113.1",
                "224.0.0.1",
                "239.255.255.255",
                "240.0.0.0",
                "255.255.255.255",
                "::",
                "::2",
                "::127.0.0.1",
                "::8.8.8.8",
                "::ffff:169.254.169.254",
                "::ffff:0.0.0.0",
                "64:ff9b::169.254.169.254",
                "64:ff9b:1::1",
                "100::1",
                "2001::1",
                "2001:0:4136:e378::1",
                "2001:2::1",
                "2001:10::1",
                "2001:1ff:ffff::1",
                "2001:db8::1",
                "3fff::1",
                "3fff:fff:ffff::1",
                "2002:a9fe:a9fe::1",
                "5f00::1",
                "fe80::1",
                "febf::1",
                "fec0::1",
                "feff::1",
                "ff02::1",
                "4000::1",
                "1::1",
                "100.100.100.200",
                "fd00:ec2::254",
            ],
            |reach| matches!(reach, Reach::Never(_)),
        );
    }

    #[test]
    fn only_https_and_this_machine_are_called() {
        for good in [
            "https://id.example.com/a?b",
            "http://127.0.0.1:80/",
            "http://127.8.8.8/",
            "http://localhost:9/x",
            "http://[::1]:9/x",
        ] {
            assert!(may_call(good).is_ok(), "{good}");
        }
        for bad in [
            "http://id.example.com/",
            "http://localhost@id.example.com/",
            "http://localhost.example.com/",
            "http://10.0.0.1/",
            "ftp://127.0.0.1/",
            "file:///etc/passwd",
            "/relative",
            "https:///nohost",
            "",
        ] {
            assert!(may_call(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_found_over_https_does_not_lead_to_this_machine() {
        let (there, here) = ("https://id.example.com/a", "http://127.0.0.1:8180/b");
        assert!(may_follow(there, here).is_err());
        for (from, url) in [(there, there), (here, here), (here, there), ("acme", there)] {
            assert_eq!(may_follow(from, url), Ok(()), "{from} {url}");
        }
        assert!(may_follow("acme", "http://id.example.com/").is_err());
    }

    #[test]
    fn no_setting_reaches_the_metadata_service_or_leaves_the_machine_in_clear() {
        let ok =
            |ip: &str, private, plain| may_connect(ip.parse().unwrap(), private, plain).is_ok();
        assert!(!ok("169.254.169.254", true, false));
        assert!(!ok("::ffff:169.254.169.254", true, false));
        assert!(ok("10.0.0.1", true, false) && !ok("10.0.0.1", true, true));
        assert!(ok("127.0.0.1", true, true) && !ok("127.0.0.1", false, true));
        assert!(ok("8.8.8.8", false, false) && !ok("8.8.8.8", true, true));
    }

    #[track_caller]
    fn refused_with(url: &str, allow_private: bool, expect: &str) {
        let error = check_url(url, allow_private).unwrap_err();
        assert!(error.contains(expect), "{url}: {error}");
    }

    #[test]
    fn what_may_be_registered() {
        for url in [
            "https://hooks.example.org/x?y=z",
            "https://hooks.example.org:8443",
            "https://8.8.8.8/",
            "https://[2606:4700::1111]/",
            "https://xn--bcher-kva.example./",
        ] {
            assert_eq!(check_url(url, false), Ok(()), "{url}");
        }
        for url in [
            "http://127.0.0.1:9/x",
            "http://localhost/",
            "https://10.0.0.1/",
        ] {
            assert_eq!(check_url(url, true), Ok(()), "{url}");
            assert!(check_url(url, false).is_err(), "{url}");
        }
        for (url, expect) in [
            ("http://hooks.example.org/", "only https"),
            ("ftp://hooks.example.org/", "only https"),
            ("file:///etc/passwd", "expected an address"),
            ("https://user:secret@hooks.example.org/", "user name"),
            ("https://127.0.0.1@hooks.example.org/", "user name"),
            ("https://127.0.0.1/", "this machine"),
            ("https://[::1]/", "this machine"),
            ("https://[::ffff:10.0.0.1]/", "private"),
            ("https://localhost/", "this machine"),
            ("https://LOCALHOST./", "this machine"),
            ("https://a.localhost/", "this machine"),
            ("https://169.254.169.254/latest", "link-local"),
            ("https://127.1/", "neither a name"),
            ("https://2130706433/", "neither a name"),
            ("https://0x7f000001/", "neither a name"),
            ("https://0177.0.0.1/", "neither a name"),
            ("https://hooks.example.org:0/", "1 to 65535"),
            ("https://hooks.example.org:99999/", "1 to 65535"),
            ("https://hooks.example.org/#a", "`#`"),
            ("https://hooks.example.org/ x", "space"),
            ("https://b\u{fc}cher.example/", "ASCII"),
            ("https:///x", "expected an address"),
            ("hooks.example.org/x", "expected an address"),
            ("", "expected an address"),
        ] {
            refused_with(url, false, expect);
        }
        refused_with("http://10.0.0.1/", true, "only https leaves it");
        refused_with("http://hooks.example.org/", true, "on this machine");
        refused_with("https://169.254.169.254/", true, "link-local");
        refused_with(
            &format!("https://a.example/{}", "x".repeat(2_048)),
            false,
            "longer",
        );
    }
}
