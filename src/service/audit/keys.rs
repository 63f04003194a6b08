//! Keys of the chain: what seals records, and what checks them.

use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::canonical::from_hex;
use crate::base::hex::hex;
use crate::service::config::{ChainKind, Secret};

/// A SHA-256.
pub(super) type Hash = [u8; 32];

/// A shared key: whoever has it can check records, and forge them.
#[derive(Clone)]
pub(crate) struct SharedKey(Hmac<Sha256>);

impl std::fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedKey(..)")
    }
}

impl SharedKey {
    /// From the bytes of a secret; `None` never happens, HMAC takes keys of any length.
    pub(crate) fn new(secret: &[u8]) -> Option<Self> {
        Hmac::new_from_slice(secret).ok().map(Self)
    }

    pub(super) fn mac(&self, message: &[u8]) -> Hash {
        let mut mac = self.0.clone();
        mac.update(message);
        mac.finalize().into_bytes().into()
    }

    /// Compares in constant time.
    pub(super) fn verifies(&self, message: &[u8], mac: &Hash) -> bool {
        let mut own = self.0.clone();
        own.update(message);
        own.verify_slice(mac).is_ok()
    }

    /// What tells this key from others, and nothing about it.
    pub(super) fn id(&self) -> String {
        let mac = self.mac(b"deodar audit key id");
        hex(mac.get(..8).unwrap_or_default())
    }
}

/// What seals a chain.
#[derive(Debug, Clone)]
pub(crate) enum ChainKey {
    /// Nothing: whoever can write the file can write another chain.
    None,
    /// A MAC on every record.
    Hmac(SharedKey),
    /// A signature on every checkpoint.
    Ed25519(Box<SigningKey>),
}

impl ChainKey {
    /// The key of this kind from its secret: for Ed25519 a private key in PEM (PKCS #8), for HMAC any
    /// text.
    ///
    /// # Errors
    /// When the secret is not of the kind; the message does not hold it.
    pub(crate) fn new(kind: ChainKind, secret: Option<&Secret>) -> Result<Self, String> {
        match (kind, secret) {
            (ChainKind::None, _) => Ok(Self::None),
            (_, None) => Err("is not given".to_owned()),
            (ChainKind::Hmac, Some(secret)) => SharedKey::new(secret.reveal().as_bytes())
                .map(Self::Hmac)
                .ok_or_else(|| "is not a key".to_owned()),
            (ChainKind::Ed25519, Some(secret)) => {
                let key = SigningKey::from_pkcs8_pem(secret.reveal().trim());
                key.map(|key| Self::Ed25519(Box::new(key))).map_err(|_| {
                    "is not an Ed25519 private key in PEM; `openssl genpkey -algorithm ed25519` makes one"
                        .to_owned()
                })
            }
        }
    }

    pub(super) fn kind(&self) -> ChainKind {
        match self {
            Self::None => ChainKind::None,
            Self::Hmac(_) => ChainKind::Hmac,
            Self::Ed25519(_) => ChainKind::Ed25519,
        }
    }

    /// What tells this key from others.
    pub(super) fn id(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Hmac(key) => Some(key.id()),
            Self::Ed25519(key) => Some(public_id(&key.verifying_key())),
        }
    }

    /// Seals a message that does not lie within a MACed record, in hexadecimal.
    pub(super) fn seal(&self, message: &[u8]) -> Option<String> {
        match self {
            Self::None => None,
            Self::Hmac(key) => Some(hex(&key.mac(message))),
            Self::Ed25519(key) => Some(hex(&key.sign(message).to_bytes())),
        }
    }
}

fn public_id(key: &VerifyingKey) -> String {
    let hash = Sha256::digest(key.as_bytes());
    hex(hash.get(..8).unwrap_or_default())
}

/// Keys to check with. Records of different times may have been sealed by different ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct CheckKeys {
    shared: Vec<SharedKey>,
    public: Vec<VerifyingKey>,
}

impl CheckKeys {
    /// Adds a shared key from the text of its file, without the line end at its end.
    pub(crate) fn add_shared(&mut self, text: &[u8]) -> Result<(), String> {
        let mut text = text;
        while let [rest @ .., b'\r' | b'\n'] = text {
            text = rest;
        }
        if text.is_empty() {
            return Err("is empty".to_owned());
        }
        self.shared.extend(SharedKey::new(text));
        Ok(())
    }

    /// Adds a public key in PEM.
    pub(crate) fn add_public(&mut self, text: &str) -> Result<(), String> {
        let key = VerifyingKey::from_public_key_pem(text.trim()).map_err(
            |_| "is not an Ed25519 public key in PEM; `openssl pkey -pubout` prints one",
        )?;
        self.public.push(key);
        Ok(())
    }

    /// Whether there are shared keys, so that every record must have a MAC.
    pub(super) fn has_shared(&self) -> bool {
        !self.shared.is_empty()
    }

    /// Whether there are public keys, so that there must be signed checkpoints.
    pub(super) fn has_public(&self) -> bool {
        !self.public.is_empty()
    }

    /// Whether one of the shared keys made this MAC.
    pub(super) fn verifies_mac(&self, message: &[u8], mac: &Hash) -> bool {
        self.shared.iter().any(|key| key.verifies(message, mac))
    }

    /// Whether one of the public keys' owners made this signature, in hexadecimal.
    pub(super) fn verifies_signature(&self, message: &[u8], signature: &str) -> bool {
        let Some(signature) = from_hex::<64>(signature) else {
            return false;
        };
        let signature = Signature::from_bytes(&signature);
        let mut keys = self.public.iter();
        keys.any(|key| key.verify_strict(message, &signature).is_ok())
    }

    /// Whether one of all keys sealed this message, in hexadecimal.
    pub(super) fn verifies_seal(&self, message: &[u8], seal: &str) -> bool {
        match from_hex::<32>(seal) {
            Some(mac) => self.verifies_mac(message, &mac),
            None => self.verifies_signature(message, seal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::audit::tests::{PRIVATE_KEY, PUBLIC_KEY, secret};

    #[test]
    fn keys_are_read_in_the_forms_that_openssl_writes() {
        let key = ChainKey::new(ChainKind::Ed25519, Some(&secret(PRIVATE_KEY))).unwrap();
        let mut check = CheckKeys::default();
        check.add_public(PUBLIC_KEY).unwrap();
        let seal = key.seal(b"message").unwrap();
        assert!(check.verifies_seal(b"message", &seal));
        assert!(!check.verifies_seal(b"another", &seal));
        assert!(check.add_public(PRIVATE_KEY).is_err());
        let wrong = ChainKey::new(ChainKind::Ed25519, Some(&secret("a text of some length")));
        let wrong = wrong.unwrap_err();
        assert!(wrong.contains("openssl") && !wrong.contains("some length"));
        assert!(ChainKey::new(ChainKind::Hmac, None).is_err());
    }

    #[test]
    fn a_shared_key_is_the_text_without_its_line_end() {
        let text = "a shared key of some length";
        let key = ChainKey::new(ChainKind::Hmac, Some(&secret(text))).unwrap();
        let mut check = CheckKeys::default();
        check.add_shared(format!("{text}\r\n").as_bytes()).unwrap();
        assert!(check.verifies_seal(b"m", &key.seal(b"m").unwrap()));
        assert!(check.add_shared(b"\n").is_err());
        assert!(!format!("{key:?} {check:?}").contains("some length"));
        assert_eq!(key.id().unwrap().len(), 16);
    }
}
