//! Networks by their addresses: the most specific one counts.

use std::net::{IpAddr, Ipv6Addr};

use super::config::NetworkRule;
use crate::trust::model::NetworkClass;

/// Networks, the most specific first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Networks(Vec<(u128, u8, NetworkClass)>);

impl Networks {
    /// Reads the rules; what is wrong with each is told with its place.
    pub(super) fn new(rules: &[NetworkRule], faults: &mut Vec<String>) -> Self {
        let mut all = Vec::with_capacity(rules.len());
        for (n, rule) in rules.iter().enumerate() {
            match parse(&rule.cidr) {
                Ok((bits, prefix)) => all.push((bits, prefix, rule.class)),
                Err(message) => faults.push(format!("networks[{n}].cidr: {message}")),
            }
        }
        // Of two rules for one network the worse class counts.
        all.sort_by_key(|(bits, prefix, class)| {
            (std::cmp::Reverse(*prefix), *bits, std::cmp::Reverse(*class))
        });
        Self(all)
    }

    /// The class of the most specific network that holds the address.
    pub(crate) fn class(&self, ip: IpAddr) -> Option<NetworkClass> {
        let bits = mapped(ip);
        let mut all = self.0.iter();
        all.find(|(network, prefix, _)| (bits ^ network) & mask(*prefix) == 0)
            .map(|(_, _, class)| *class)
    }

    /// The classes that there are.
    pub(crate) fn classes(&self) -> Vec<NetworkClass> {
        let mut classes: Vec<_> = self.0.iter().map(|(_, _, class)| *class).collect();
        classes.sort_unstable();
        classes.dedup();
        classes
    }
}

/// An address as one of IPv6, in which those of IPv4 have a place.
fn mapped(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_ipv6_mapped()),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

fn mask(prefix: u8) -> u128 {
    match prefix {
        0 => 0,
        prefix => u128::MAX << (128 - u32::from(prefix.min(128))),
    }
}

fn parse(cidr: &str) -> Result<(u128, u8), String> {
    let wrong = || format!("`{cidr}` is not a network such as `10.0.0.0/8`");
    let (address, prefix) = cidr.split_once('/').unwrap_or((cidr, ""));
    let ip: IpAddr = address.parse().map_err(|_| wrong())?;
    let (widest, offset) = match ip {
        IpAddr::V4(_) => (32, 96),
        IpAddr::V6(_) => (128, 0),
    };
    let prefix: u8 = match prefix {
        "" if !cidr.contains('/') => widest,
        text => text.parse().map_err(|_| wrong())?,
    };
    if prefix > widest {
        return Err(wrong());
    }
    let (bits, prefix) = (mapped(ip), prefix + offset);
    if bits & !mask(prefix) != 0 {
        let network = Ipv6Addr::from(bits & mask(prefix));
        let network = network
            .to_ipv4_mapped()
            .map_or(network.to_string(), |v4| v4.to_string());
        return Err(format!(
            "`{cidr}` has bits beyond its prefix; write `{network}/{}`",
            prefix - offset
        ));
    }
    Ok((bits, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(rules: &[(&str, NetworkClass)]) -> (Networks, Vec<String>) {
        let rules: Vec<_> = rules
            .iter()
            .map(|(cidr, class)| NetworkRule {
                cidr: (*cidr).to_owned(),
                class: *class,
            })
            .collect();
        let mut faults = Vec::new();
        (Networks::new(&rules, &mut faults), faults)
    }

    #[test]
    fn the_most_specific_network_counts() {
        use NetworkClass::{Anonymiser, Corporate, Public, Vpn};
        let (all, faults) = networks(&[
            ("0.0.0.0/0", Public),
            ("10.0.0.0/8", Corporate),
            ("10.8.0.0/16", Vpn),
            ("10.8.0.7", Anonymiser),
            ("2001:db8::/32", Corporate),
        ]);
        assert_eq!(faults, Vec::<String>::new());
        let class = |ip: &str| all.class(ip.parse().unwrap());
        assert_eq!(class("10.1.2.3"), Some(Corporate));
        assert_eq!(class("10.8.2.3"), Some(Vpn));
        assert_eq!(class("10.8.0.7"), Some(Anonymiser));
        assert_eq!(class("8.8.8.8"), Some(Public));
        assert_eq!(class("::ffff:10.1.2.3"), Some(Corporate));
        assert_eq!(class("2001:db8::1"), Some(Corporate));
        assert_eq!(class("2001:db9::1"), None);
    }

    #[test]
    fn of_two_classes_the_worse_counts() {
        let (all, _) = networks(&[
            ("10.0.0.0/8", NetworkClass::Corporate),
            ("10.0.0.0/8", NetworkClass::Public),
        ]);
        assert_eq!(
            all.class("10.0.0.1".parse().unwrap()),
            Some(NetworkClass::Public)
        );
    }

    #[test]
    fn what_is_no_network_is_told() {
        let (_, faults) = networks(&[
            ("10.0.0.1/8", NetworkClass::Vpn),
            ("10.0.0.0/33", NetworkClass::Vpn),
            ("ten", NetworkClass::Vpn),
        ]);
        assert_eq!(
            faults,
            [
                "networks[0].cidr: `10.0.0.1/8` has bits beyond its prefix; write `10.0.0.0/8`",
                "networks[1].cidr: `10.0.0.0/33` is not a network such as `10.0.0.0/8`",
                "networks[2].cidr: `ten` is not a network such as `10.0.0.0/8`",
            ]
        );
    }
}
