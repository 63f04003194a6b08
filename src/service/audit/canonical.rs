//! One text for one JSON value, whatever the order of its members; and hashes of it.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::base::hex::hex;
use crate::request::{Context, ContextValue};
use crate::service::config::Secret;

/// A key for masks and for hashes of content: equal content gives equal text, and whoever lacks the
/// key cannot try what the content might be.
#[derive(Clone)]
pub(crate) struct MaskKey(Hmac<Sha256>);

impl std::fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MaskKey(..)")
    }
}

impl MaskKey {
    /// From a secret; `None` never happens, HMAC takes keys of any length.
    pub(crate) fn new(secret: &Secret) -> Option<Self> {
        Hmac::new_from_slice(secret.reveal().as_bytes())
            .ok()
            .map(Self)
    }

    fn of(&self, bytes: &[u8]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(bytes);
        mac.finalize().into_bytes().into()
    }

    /// What stands in a record in place of a value.
    pub(super) fn mask(&self, value: &Value) -> String {
        let mut text = Vec::new();
        write(value, &mut text);
        let mac = self.of(&text);
        format!("masked:{}", hex(mac.get(..16).unwrap_or_default()))
    }
}

/// The hash of a canonical text: keyed where there is a key.
pub(super) fn hash(text: &[u8], key: Option<&MaskKey>) -> String {
    match key {
        Some(key) => format!("hmac-sha256:{}", hex(&key.of(text))),
        None => format!("sha256:{}", hex(&Sha256::digest(text))),
    }
}

/// Writes a value without white space, members in order of their names.
pub(super) fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Array(items) => write_array(items, out),
        Value::Object(object) => write_object(object, out),
        plain => write_plain(plain, out),
    }
}

pub(super) fn write_array(items: &[Value], out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

fn write_object(object: &Map<String, Value>, out: &mut Vec<u8>) {
    let members = object.iter().map(|(name, value)| (name.as_str(), value));
    write_members(members.collect(), out, write);
}

/// Writes a request's context as the object that it was.
pub(super) fn write_context(context: &Context, out: &mut Vec<u8>) {
    write_members(context.iter().collect(), out, |value, out| match value {
        ContextValue::Json(value) => write(value, out),
        plain => write_plain(plain, out),
    });
}

fn write_members<T: ?Sized>(
    mut members: Vec<(&str, &T)>,
    out: &mut Vec<u8>,
    write: impl Fn(&T, &mut Vec<u8>),
) {
    members.sort_unstable_by_key(|(name, _)| *name);
    out.push(b'{');
    for (at, (name, value)) in members.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_plain(name, out);
        out.push(b':');
        write(value, out);
    }
    out.push(b'}');
}

fn write_plain<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    // INVARIANT: text, numbers, booleans and null always serialize, and memory takes them.
    let _ = serde_json::to_writer(out, value);
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Writes bytes in lower-case hexadecimal.
pub(super) fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            out.extend(DIGITS.get(usize::from(nibble)));
        }
    }
}

/// Bytes from hexadecimal of exactly their length.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        for digit in pair {
            let value = DIGITS.iter().position(|known| known == digit)?;
            *byte = (*byte << 4) | u8::try_from(value).ok()?;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_text_for_one_value() {
        let mut text = Vec::new();
        let value: Value =
            serde_json::from_str(r#"{"b": [1, {"d": 1.5, "c": "\n"}], "a": null}"#).unwrap();
        write(&value, &mut text);
        assert_eq!(text, br#"{"a":null,"b":[1,{"c":"\n","d":1.5}]}"#);
        assert_eq!(from_hex::<2>(&hex(&[0x0f, 0xa0])), Some([0x0f, 0xa0]));
        assert_eq!(from_hex::<2>("0FA0"), None);
        assert_eq!(from_hex::<2>("0fa"), None);
    }

    #[test]
    fn a_mask_tells_equal_from_different_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let key = |text: &str| {
            let path = dir.path().join("key");
            std::fs::write(&path, text).unwrap();
            let secret = crate::service::config::SecretRef::File(path)
                .read()
                .unwrap();
            MaskKey::new(&secret).unwrap()
        };
        let (one, other) = (key("one key of some length"), key("another key of length"));
        let value = json!({"a": 1, "b": 2});
        assert_eq!(one.mask(&value), one.mask(&json!({"b": 2, "a": 1})));
        assert_ne!(one.mask(&value), other.mask(&value));
        assert_ne!(one.mask(&json!("1")), one.mask(&json!(1)));
        assert_eq!(one.mask(&value).len(), "masked:".len() + 32);
        assert_eq!(format!("{one:?}"), "MaskKey(..)");
    }
}
