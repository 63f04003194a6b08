//! The text of an API key, `dk_<id>_<secret>`: made, taken apart, hashed.
//!
//! The id is public and finds the key; the secret is 32 random bytes. Because those cannot be guessed a
//! plain SHA-256 of them is kept: a slow hash is for passwords, and would cost every request.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

const PREFIX: &str = "dk_";
const ID: usize = 12;
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A secret that was made or presented.
pub(super) type Secret = [u8; 32];

/// The parts of a presented key; `None` where it is not of the form.
pub(super) fn parse(text: &str) -> Option<(&str, Secret)> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    if id.len() != ID || !id.bytes().all(|byte| ALPHABET.contains(&byte)) {
        return None;
    }
    let secret = URL_SAFE_NO_PAD.decode(secret).ok()?;
    Some((id, secret.try_into().ok()?))
}

/// The key's text, which is shown once.
pub(super) fn spell(id: &str, secret: &Secret) -> String {
    format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(secret))
}

/// A new id.
pub(super) fn new_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0; ID];
    getrandom::fill(&mut bytes)?;
    let letter = |byte: u8| ALPHABET.get(usize::from(byte & 31)).copied();
    Ok(bytes
        .into_iter()
        .filter_map(letter)
        .map(char::from)
        .collect())
}

/// A new secret.
pub(super) fn new_secret() -> Result<Secret, getrandom::Error> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    Ok(secret)
}

/// What is kept of a secret.
pub(super) fn hash(secret: &Secret) -> [u8; 32] {
    Sha256::digest(secret).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_apart_as_it_was_made() {
        for _ in 0..100 {
            let (id, secret) = (new_id().unwrap(), new_secret().unwrap());
            let text = spell(&id, &secret);
            assert_eq!(parse(&text), Some((id.as_str(), secret)), "{text}");
            assert_eq!(text.len(), 3 + 12 + 1 + 43);
        }
        let text = spell("abcdefghij27", &[7; 32]);
        for wrong in [
            text.replace("dk_", "dx_"),
            text.replace("abcdefghij27", "abcdefghij2"),
            text.replace("abcdefghij27", "ABCDEFGHIJ27"),
            format!("{text}A"),
            format!("{text}="),
            text[..text.len() - 1].to_owned(),
            String::new(),
        ] {
            assert_eq!(parse(&wrong), None, "{wrong}");
        }
    }
}
