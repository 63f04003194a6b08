//! The configured callers, by what each is recognised by.

use std::collections::HashMap;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::base::caller::Caller;
use crate::base::fault::Faults;
use crate::service::config::{CallerConfig, check_callers, folded_san};
use crate::service::http::net::peer::ClientCertificate;

/// Configured callers.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Hashes of keys, by their first bytes; the rest is compared in constant time.
    keys: HashMap<[u8; 4], Vec<([u8; 32], Caller)>>,
    sans: HashMap<String, Caller>,
    uids: HashMap<u32, Caller>,
    tokens: HashMap<(String, String), Caller>,
    names: HashMap<String, Caller>,
}

impl Table {
    pub(super) fn new(configs: &[CallerConfig]) -> Result<Self, Faults> {
        let callers = check_callers(configs)?;
        let mut table = Self::default();
        for (config, caller) in configs.iter().zip(callers) {
            table.names.insert(config.name.clone(), caller.clone());
            for hash in config.key_sha256.iter().filter_map(|hash| digits(hash)) {
                let same = table.keys.entry(first(&hash)).or_default();
                same.push((hash, caller.clone()));
            }
            for san in &config.san {
                table.sans.insert(folded_san(san), caller.clone());
            }
            for uid in &config.uid {
                table.uids.insert(*uid, caller.clone());
            }
            for token in &config.token {
                let key = (token.issuer.clone(), token.name.clone());
                table.tokens.insert(key, caller.clone());
            }
        }
        Ok(table)
    }

    /// The caller of this name.
    pub(super) fn named(&self, name: &str) -> Option<Caller> {
        self.names.get(name).cloned()
    }

    /// The caller of an API key.
    pub(super) fn key(&self, key: &str) -> Option<Caller> {
        let hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let same = self.keys.get(&first(&hash))?;
        same.iter()
            .find(|(known, _)| bool::from(known.ct_eq(&hash)))
            .map(|(_, caller)| caller.clone())
    }

    /// The caller of a certificate: the one whose name is in it; none if names of several are.
    pub(super) fn certificate(&self, certificate: &ClientCertificate) -> Option<Caller> {
        let mut named = certificate.sans.iter().filter_map(|san| self.sans.get(san));
        let first = named.next()?;
        named.all(|other| other == first).then(|| first.clone())
    }

    /// The caller of a process.
    pub(super) fn uid(&self, uid: u32) -> Option<Caller> {
        self.uids.get(&uid).cloned()
    }

    /// The caller of a token.
    pub(super) fn token(&self, issuer: &str, name: &str) -> Option<Caller> {
        let key = (issuer.to_owned(), name.to_owned());
        self.tokens.get(&key).cloned()
    }
}

fn first(hash: &[u8; 32]) -> [u8; 4] {
    let [a, b, c, d, ..] = *hash;
    [a, b, c, d]
}

fn digits(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(key: &str) -> String {
        crate::base::hex::hex(&Sha256::digest(key))
    }

    fn table() -> Table {
        let config = |name: &str, key: &str, san: &str| CallerConfig {
            name: name.to_owned(),
            scopes: vec!["decide".to_owned()],
            inline: "add".to_owned(),
            handles: Vec::new(),
            limits: None,
            key_sha256: vec![hex(key)],
            san: vec![san.to_owned()],
            uid: Vec::new(),
            token: Vec::new(),
        };
        Table::new(&[
            config("orders", "key-of-orders", "spiffe://x/orders"),
            config("stock", "key-of-stock", "spiffe://x/stock"),
        ])
        .unwrap()
    }

    #[test]
    fn keys_and_certificates_lead_to_their_callers() {
        let table = table();
        let name = |caller: Option<Caller>| caller.map(|caller| caller.name().to_owned());
        assert_eq!(name(table.key("key-of-stock")).as_deref(), Some("stock"));
        assert_eq!(name(table.key("key-of-stocks")), None);
        let certificate = |sans: &[&str]| ClientCertificate {
            sans: sans.iter().map(|san| (*san).to_owned()).collect(),
            fingerprint: String::new(),
            expires: crate::base::timestamp::Timestamp::from_millis(0),
        };
        let orders = table.certificate(&certificate(&["other", "spiffe://x/orders"]));
        assert_eq!(name(orders).as_deref(), Some("orders"));
        let both = certificate(&["spiffe://x/orders", "spiffe://x/stock"]);
        assert_eq!(name(table.certificate(&both)), None);
        assert_eq!(name(table.certificate(&certificate(&[]))), None);
    }
}
