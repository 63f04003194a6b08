//! Sealing secrets at rest: XChaCha20-Poly1305 under a key that is kept elsewhere.
//!
//! A sealed secret is an envelope: version (1 byte), id of the key (8 bytes), nonce (24 random bytes), and
//! the ciphertext with its tag. Version, key id and the secret's name are authenticated along with it, so
//! that one secret cannot be put in another's place. The key is used as it is: it must be random, no
//! password.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use std::fmt;

use crate::base::hex::hex;

/// The envelope this version writes, and the only one it reads.
const VERSION: u8 = 1;
const KEY_ID: usize = 8;
const NONCE: usize = 24;

/// Names a key without telling anything about it.
type KeyId = [u8; KEY_ID];

/// A key of 32 bytes.
#[derive(Clone)]
pub(crate) struct SealKey {
    key: [u8; 32],
    id: KeyId,
}

/// The keys there are: the first one seals, all of them unseal.
#[derive(Debug, Clone, Default)]
pub(crate) struct SealKeys(Vec<SealKey>);

/// Why a secret could not be sealed or unsealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SealError {
    /// There is no key at all.
    #[error("there is no key to seal secrets with; set `state.key`")]
    NoKey,
    /// Sealed with a key that is not among those given.
    #[error(
        "a secret is sealed with the key {0}, which is not among those given; give it in \
         `state.previous_keys`"
    )]
    OtherKey(String),
    /// Not what was sealed.
    #[error("a sealed secret is damaged")]
    Damaged,
    /// An envelope of a newer version.
    #[error("a secret is in an envelope of version {0}, which a newer version of deodar reads")]
    Version(u8),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
}

impl SealKey {
    /// From exactly 32 bytes in hexadecimal or base64 (with either alphabet).
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let bytes = if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            from_hex(text)
        } else {
            let bare = text.trim_end_matches('=');
            let decoded = STANDARD_NO_PAD.decode(bare);
            decoded.or_else(|_| URL_SAFE_NO_PAD.decode(bare)).ok()
        };
        let found = bytes.as_ref().map(Vec::len);
        match bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) {
            Some(key) => Ok(Self::new(key)),
            None => Err(format!(
                "expected 32 random bytes in base64 or hexadecimal (`openssl rand -base64 32`), found {}",
                found.map_or_else(|| "neither".to_owned(), |n| format!("{n} bytes"))
            )),
        }
    }

    pub(crate) fn new(key: [u8; 32]) -> Self {
        let digest = Sha256::new()
            .chain_update(b"deodar seal key id\0")
            .chain_update(key)
            .finalize();
        let mut id = [0; KEY_ID];
        id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self { key, id }
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&self.key.into())
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKey({})", hex(&self.id))
    }
}

impl SealKeys {
    /// The newest key first.
    pub(crate) fn new(keys: Vec<SealKey>) -> Self {
        Self(keys)
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the newest key sealed this.
    pub(super) fn is_newest(&self, envelope: &[u8]) -> bool {
        let id = envelope.get(1..=KEY_ID);
        self.0
            .first()
            .is_some_and(|key| id == Some(key.id.as_slice()))
    }

    /// Seals a secret of this name.
    pub(super) fn seal(&self, name: &str, secret: &[u8]) -> Result<Vec<u8>, SealError> {
        let key = self.0.first().ok_or(SealError::NoKey)?;
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|error| SealError::Random(error.to_string()))?;
        let mut envelope = vec![VERSION];
        envelope.extend_from_slice(&key.id);
        let aad = [envelope.as_slice(), name.as_bytes()].concat();
        let payload = Payload {
            msg: secret,
            aad: &aad,
        };
        let sealed = key.cipher().encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| SealError::Damaged)?;
        envelope.extend_from_slice(&nonce);
        envelope.extend(sealed);
        Ok(envelope)
    }

    /// What was sealed under this name.
    pub(super) fn unseal(&self, name: &str, envelope: &[u8]) -> Result<Vec<u8>, SealError> {
        let (head, rest) = envelope
            .split_at_checked(1 + KEY_ID)
            .ok_or(SealError::Damaged)?;
        let (version, id) = head.split_first().ok_or(SealError::Damaged)?;
        if *version != VERSION {
            return Err(SealError::Version(*version));
        }
        let (nonce, sealed) = rest
            .split_first_chunk::<NONCE>()
            .ok_or(SealError::Damaged)?;
        if self.is_empty() {
            return Err(SealError::NoKey);
        }
        let key = self.0.iter().find(|key| key.id == id);
        let key = key.ok_or_else(|| SealError::OtherKey(hex(id)))?;
        let aad = [head, name.as_bytes()].concat();
        let payload = Payload {
            msg: sealed,
            aad: &aad,
        };
        let opened = key.cipher().decrypt(&XNonce::from(*nonce), payload);
        opened.map_err(|_| SealError::Damaged)
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |at: usize| {
        text.get(at..at + 2)
            .and_then(|two| u8::from_str_radix(two, 16).ok())
    };
    (0..text.len()).step_by(2).map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(seeds: &[u8]) -> SealKeys {
        SealKeys::new(seeds.iter().map(|seed| SealKey::new([*seed; 32])).collect())
    }

    #[test]
    fn what_was_sealed_is_unsealed_by_its_key_and_name_only() {
        let sealed = keys(&[1]).seal("hook", b"hunter2").unwrap();
        assert!(!sealed.windows(7).any(|part| part == b"hunter2"));
        assert_ne!(sealed, keys(&[1]).seal("hook", b"hunter2").unwrap());
        assert_eq!(keys(&[1]).unseal("hook", &sealed).unwrap(), b"hunter2");
        assert_eq!(keys(&[2, 1]).unseal("hook", &sealed).unwrap(), b"hunter2");
        assert_eq!(keys(&[1]).unseal("other", &sealed), Err(SealError::Damaged));
        assert!(matches!(
            keys(&[2]).unseal("hook", &sealed),
            Err(SealError::OtherKey(_))
        ));
        assert_eq!(keys(&[]).unseal("hook", &sealed), Err(SealError::NoKey));
        assert_eq!(keys(&[]).seal("hook", b"x"), Err(SealError::NoKey));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let keys = keys(&[1]);
        let sealed = keys.seal("hook", b"hunter2").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(keys.unseal("hook", &changed).is_err(), "byte {at}");
            assert!(keys.unseal("hook", &sealed[..at]).is_err(), "cut at {at}");
        }
        let mut newer = sealed;
        newer[0] = 2;
        assert_eq!(keys.unseal("hook", &newer), Err(SealError::Version(2)));
    }

    #[test]
    fn a_key_is_read_in_base64_and_hexadecimal_and_never_shown() {
        let key = SealKey::new([0xfb; 32]);
        let all = [
            "fb".repeat(32),
            "FB".repeat(32),
            base64::engine::general_purpose::STANDARD.encode([0xfb; 32]),
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode([0xfb; 32]),
        ];
        for text in all {
            assert_eq!(SealKey::parse(&text).unwrap().key, key.key, "{text}");
        }
        assert!(!format!("{key:?}").contains("fbfb"));
        for wrong in ["correct horse battery staple", &"fb".repeat(16), ""] {
            let error = SealKey::parse(wrong).unwrap_err();
            assert!(error.contains("32 random bytes"), "{error}");
            assert!(wrong.is_empty() || !error.contains(wrong));
        }
    }
}
