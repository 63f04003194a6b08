//! Signatures as Standard Webhooks describes them: HMAC-SHA256 over `id.timestamp.body`.
//!
//! What enters: a secret (`whsec_` and base64 of 24 to 64 bytes). What leaves: the header
//! `webhook-signature`. A secret is in no `Debug` form and no message.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// Bytes of a secret: fewer can be guessed, more are longer than a block.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;
/// Bytes of a secret that is made here.
const MADE: usize = 32;

/// A secret that deliveries are signed with.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SigningKey(Vec<u8>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

impl SigningKey {
    /// A random one.
    pub(crate) fn generate() -> Result<Self, String> {
        let mut key = vec![0; MADE];
        getrandom::fill(&mut key)
            .map_err(|error| format!("the system gives no random bytes: {error}"))?;
        Ok(Self(key))
    }

    /// From its text. The message does not hold it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let expected = "a secret is `whsec_` and the base64 of 24 to 64 random bytes";
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(expected)?;
        let key = STANDARD_NO_PAD
            .decode(encoded.trim_end_matches('='))
            .map_err(|_| expected)?;
        if !LENGTHS.contains(&key.len()) {
            return Err(format!("{expected}, found {} bytes", key.len()));
        }
        Ok(Self(key))
    }

    /// Its text, which is shown once and kept sealed.
    pub(crate) fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }

    /// `v1,` and the signature of a body that is sent under this id at this second.
    pub(crate) fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        // A key of any length makes an HMAC; without one the signature would be empty, and refused.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            return String::new();
        };
        mac.update(id.as_bytes());
        mac.update(format!(".{seconds}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// The header `webhook-signature`: a signature by each key, divided by spaces.
pub(crate) fn signatures(keys: &[SigningKey], id: &str, seconds: i64, body: &[u8]) -> String {
    let signed = keys.iter().map(|key| key.sign(id, seconds, body));
    signed.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vector_holds() {
        let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", br#"{"test": 2432232314}"#);
        assert_eq!(
            key.sign(id, 1_614_265_330, body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        let other = SigningKey::generate().unwrap();
        let both = signatures(&[other.clone(), key.clone()], id, 1_614_265_330, body);
        let expect = [&other, &key].map(|key| key.sign(id, 1_614_265_330, body));
        assert_eq!(both, expect.join(" "));
        assert_ne!(expect[0], expect[1]);
    }

    #[test]
    fn every_part_is_signed() {
        let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = key.sign("a", 1, b"x");
        for other in [
            key.sign("b", 1, b"x"),
            key.sign("a", 2, b"x"),
            key.sign("a", 1, b"y"),
        ] {
            assert_ne!(signed, other);
        }
    }

    #[test]
    fn a_secret_is_read_back_and_never_shown() {
        let key = SigningKey::generate().unwrap();
        assert_eq!(SigningKey::parse(&key.reveal()), Ok(key.clone()));
        assert_eq!(format!("{key:?}"), "SigningKey(..)");
        for (text, expect) in [
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "`whsec_`"),
            ("whsec_c2hvcnQ=", "found 5 bytes"),
            ("whsec_not base64 at all", "base64"),
            ("", "`whsec_`"),
        ] {
            let error = SigningKey::parse(text).unwrap_err();
            assert!(error.contains(expect), "{error}");
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
        let long = format!("whsec_{}", STANDARD.encode([7; 65]));
        assert!(SigningKey::parse(&long).unwrap_err().contains("65 bytes"));
        let longest = format!("whsec_{}", STANDARD.encode([7; 64]));
        assert!(SigningKey::parse(&longest).is_ok());
    }
}
