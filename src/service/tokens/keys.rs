//! The public keys of an issuer (RFC 7517), and which signatures each may verify.

use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

use super::jws::{Jws, algorithm_of, decoded};
use crate::base::json;
use crate::service::config::TokenAlgorithm;

/// Keys of one set that are looked at; an issuer has a handful.
const MOST: usize = 100;
/// Keys that one signature is tried with.
const MOST_TRIED: usize = 8;
/// Shortest RSA modulus taken, in bits (NIST SP 800-131A).
const SHORTEST_RSA: usize = 2_048;
/// Longest RSA modulus that the signature library reads.
const LONGEST_RSA: usize = 4_096;

/// The usable keys of one document.
#[derive(Debug)]
pub(super) struct KeySet {
    keys: Vec<Key>,
}

/// One public key.
#[derive(Debug)]
struct Key {
    kid: Option<String>,
    /// The algorithms of its kind, or the one it is for.
    algorithms: Vec<TokenAlgorithm>,
    key: DecodingKey,
}

/// What a set says about a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// One of its keys made the signature.
    Good,
    /// The key is there, and did not.
    Bad(&'static str),
    /// There is no such key; a newer set may have it.
    UnknownKey,
}

impl KeySet {
    /// Reads a JWK set; keys that cannot verify signatures safely are left out and logged.
    ///
    /// # Errors
    /// When it is not a JWK set or no key of it is of use.
    pub(super) fn read(document: &[u8], issuer: &str) -> Result<Self, String> {
        let value = json::read(document, 32).map_err(|faults| match faults.first() {
            Some(fault) => format!("keys: {fault}"),
            None => "keys: not JSON".to_owned(),
        })?;
        let list = value.get("keys").and_then(Value::as_array);
        let list = list.ok_or("no JWK set: it has no list `keys`")?;
        let mut keys = Vec::new();
        for jwk in list.iter().take(MOST) {
            match Key::read(jwk) {
                Ok(Some(key)) => keys.push(key),
                Ok(None) => {}
                Err(reason) => {
                    let kid = jwk.get("kid").and_then(Value::as_str).unwrap_or_default();
                    tracing::warn!(issuer, kid, "a key of the issuer is not used: {reason}");
                }
            }
        }
        if list.len() > MOST {
            tracing::warn!(issuer, "more than {MOST} keys; the rest is not used");
        }
        if keys.is_empty() {
            return Err("the JWK set has no key that can be used".to_owned());
        }
        Ok(Self { keys })
    }

    /// Whether one of the keys made the token's signature.
    ///
    /// A key is only ever used with an algorithm of its own kind, so what a token says about its algorithm
    /// cannot make a public key into a shared secret. A key that has a name is used for tokens that say this
    /// name, and for those that say none where no other key fits; keys without a name are used for tokens
    /// whose name no key has. No token is tried with a key of another name.
    pub(super) fn verdict(&self, jws: &Jws<'_>) -> Verdict {
        let fits = |key: &&Key| key.algorithms.contains(&jws.algorithm);
        let nameless = || {
            self.keys
                .iter()
                .filter(fits)
                .filter(|key| key.kid.is_none())
        };
        let made_it = |keys: &[&Key]| keys.iter().take(MOST_TRIED).any(|key| key.verifies(jws));
        let named = |kid: &String| {
            let keys = self.keys.iter();
            keys.filter(|key| key.kid.as_ref() == Some(kid))
                .collect::<Vec<_>>()
        };
        match jws.kid.as_ref().map(named) {
            Some(named) if !named.is_empty() => {
                let fitting: Vec<&Key> = named.into_iter().filter(fits).collect();
                if fitting.is_empty() {
                    Verdict::Bad("the key is not for this algorithm")
                } else if made_it(&fitting) {
                    Verdict::Good
                } else {
                    Verdict::Bad("the signature is not of this key")
                }
            }
            Some(_) => {
                if made_it(&nameless().collect::<Vec<_>>()) {
                    Verdict::Good
                } else {
                    Verdict::UnknownKey
                }
            }
            None => {
                let all: Vec<&Key> = self.keys.iter().filter(fits).collect();
                let tried = match all.len() {
                    0 => return Verdict::UnknownKey,
                    1 => all,
                    _ => nameless().collect(),
                };
                if tried.is_empty() {
                    Verdict::Bad("no `kid`, and several keys fit")
                } else if made_it(&tried) {
                    Verdict::Good
                } else {
                    Verdict::Bad("the signature is of no key without a name")
                }
            }
        }
    }
}

impl Key {
    /// Reads one key; `None` for those that are for something else.
    fn read(jwk: &Value) -> Result<Option<Self>, String> {
        let Value::Object(jwk) = jwk else {
            return Err("no JSON object".to_owned());
        };
        let member = |name: &str| jwk.get(name).and_then(Value::as_str);
        if member("use").is_some_and(|usage| usage != "sig") {
            return Ok(None);
        }
        if let Some(operations) = jwk.get("key_ops").and_then(Value::as_array)
            && !operations.iter().any(|operation| operation == "verify")
        {
            return Ok(None);
        }
        // Whoever can read the set could sign with it.
        if ["d", "p", "q", "k"]
            .iter()
            .any(|name| jwk.contains_key(*name))
        {
            return Err("it is a private key or a shared secret".to_owned());
        }
        let (key, mut algorithms) = match member("kty") {
            Some("RSA") => rsa(jwk)?,
            Some("EC") => ec(jwk)?,
            Some("OKP") => ed(jwk)?,
            _ => return Ok(None),
        };
        if let Some(name) = member("alg") {
            let only = algorithm_of(name);
            algorithms.retain(|algorithm| Some(*algorithm) == only);
        }
        let Some(first) = algorithms.first() else {
            return Ok(None);
        };
        // A point that is not on its curve is found out here, not with the first token.
        (DEFAULT_PROVIDER.verifier_factory)(&library(*first), &key)
            .map_err(|_| "it is not a key of its kind".to_owned())?;
        Ok(Some(Self {
            kid: member("kid").map(str::to_owned),
            algorithms,
            key,
        }))
    }

    fn verifies(&self, jws: &Jws<'_>) -> bool {
        // Asked for by name, so that another crate's choice of a provider changes nothing here.
        (DEFAULT_PROVIDER.verifier_factory)(&library(jws.algorithm), &self.key)
            .is_ok_and(|verifier| verifier.verify(jws.signed, &jws.signature).is_ok())
    }
}

fn library(algorithm: TokenAlgorithm) -> Algorithm {
    match algorithm {
        TokenAlgorithm::RS256 => Algorithm::RS256,
        TokenAlgorithm::RS384 => Algorithm::RS384,
        TokenAlgorithm::RS512 => Algorithm::RS512,
        TokenAlgorithm::PS256 => Algorithm::PS256,
        TokenAlgorithm::PS384 => Algorithm::PS384,
        TokenAlgorithm::PS512 => Algorithm::PS512,
        TokenAlgorithm::ES256 => Algorithm::ES256,
        TokenAlgorithm::ES384 => Algorithm::ES384,
        TokenAlgorithm::EdDSA => Algorithm::EdDSA,
    }
}

type Read = Result<(DecodingKey, Vec<TokenAlgorithm>), String>;

fn part(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, String> {
    let text = jwk.get(name).and_then(Value::as_str);
    let text = text.ok_or_else(|| format!("it has no `{name}`"))?;
    decoded(text, name).map_err(|error| error.detail().to_owned())
}

fn rsa(jwk: &Map<String, Value>) -> Read {
    use TokenAlgorithm::{PS256, PS384, PS512, RS256, RS384, RS512};
    let (n, e) = (part(jwk, "n")?, part(jwk, "e")?);
    let bits = bits(&n);
    if !(SHORTEST_RSA..=LONGEST_RSA).contains(&bits) {
        return Err(format!(
            "{bits} bits; {SHORTEST_RSA} to {LONGEST_RSA} are taken"
        ));
    }
    let odd = e.last().is_some_and(|last| last & 1 == 1);
    if !odd || !(2..=33).contains(&self::bits(&e)) {
        return Err("its exponent is not usual".to_owned());
    }
    Ok((
        DecodingKey::from_rsa_raw_components(&n, &e),
        vec![RS256, RS384, RS512, PS256, PS384, PS512],
    ))
}

fn ec(jwk: &Map<String, Value>) -> Read {
    let (size, algorithm) = match jwk.get("crv").and_then(Value::as_str) {
        Some("P-256") => (32, TokenAlgorithm::ES256),
        Some("P-384") => (48, TokenAlgorithm::ES384),
        _ => return Err("its curve is not P-256 or P-384".to_owned()),
    };
    let (x, y) = (part(jwk, "x")?, part(jwk, "y")?);
    // RFC 7518 section 6.2.1.2: both have the length of the field, whatever their value.
    if x.len() != size || y.len() != size {
        return Err("its coordinates have a wrong length".to_owned());
    }
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    Ok((DecodingKey::from_ec_der(&point), vec![algorithm]))
}

fn ed(jwk: &Map<String, Value>) -> Read {
    if jwk.get("crv").and_then(Value::as_str) != Some("Ed25519") {
        return Err("its curve is not Ed25519".to_owned());
    }
    let x = part(jwk, "x")?;
    // The library would read the first 32 bytes of more, and stop the thread on fewer.
    if x.len() != 32 {
        return Err("its key has a wrong length".to_owned());
    }
    Ok((DecodingKey::from_ed_der(&x), vec![TokenAlgorithm::EdDSA]))
}

/// The length of a number in bits, without leading zeros.
fn bits(number: &[u8]) -> usize {
    let mut rest = number.iter().skip_while(|byte| **byte == 0);
    match rest.next() {
        None => 0,
        Some(first) => rest.count() * 8 + (8 - first.leading_zeros() as usize),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    fn b64(bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    #[track_caller]
    fn refused(jwk: Value, expect: &str) {
        let error = Key::read(&jwk).unwrap_err();
        assert!(error.contains(expect), "{error}");
    }

    #[test]
    fn unsafe_keys_are_not_used() {
        let rsa = |bits: usize, e: &[u8]| {
            let mut n = vec![0; bits / 8 - 1];
            n.insert(0, 0x80);
            json!({"kty": "RSA", "n": b64(&n), "e": b64(e)})
        };
        refused(rsa(1_024, &[1, 0, 1]), "1024 bits");
        refused(rsa(8_192, &[1, 0, 1]), "8192 bits");
        refused(rsa(2_048, &[1]), "exponent");
        refused(rsa(2_048, &[2]), "exponent");
        refused(json!({"kty": "RSA", "n": "AQAB"}), "no `e`");
        refused(
            json!({"kty": "OKP", "crv": "Ed25519", "x": b64(&[1; 31])}),
            "wrong length",
        );
        refused(
            json!({"kty": "EC", "crv": "P-256", "x": b64(&[1; 31]), "y": b64(&[1; 33])}),
            "wrong length",
        );
        refused(
            json!({"kty": "EC", "crv": "P-256", "x": b64(&[1; 32]), "y": b64(&[1; 32])}),
            "not a key of its kind",
        );
        refused(json!({"kty": "oct", "k": "c2VjcmV0"}), "shared secret");
    }

    #[test]
    fn keys_for_something_else_are_passed_over() {
        for jwk in [
            json!({"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"}),
            json!({"kty": "OKP", "crv": "Ed25519", "key_ops": ["sign"], "x": b64(&[1; 32])}),
            json!({"kty": "AKP"}),
        ] {
            assert!(Key::read(&jwk).unwrap().is_none());
        }
        let error = KeySet::read(br#"{"keys": []}"#, "i").unwrap_err();
        assert!(error.contains("no key"), "{error}");
        assert!(KeySet::read(b"[]", "i").is_err());
        assert!(KeySet::read(b"<html>", "i").is_err());
    }
}
