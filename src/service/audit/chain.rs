//! The chain: each record is numbered and bound to the one before.
//!
//! A line is `{<members>,"prev":"<hash>"}`, or `{<members>,"prev":"<hash>","mac":"<mac>"}`: `prev` is the
//! SHA-256 of the line before without its line end, zeros for the first; `mac` is the HMAC-SHA256 of the
//! SHA-256 of all that stands before `,"mac"`. One pass over a line gives both.

use sha2::{Digest, Sha256};

use super::canonical::{from_hex, write_hex};
use super::keys::{ChainKey, Hash};

const PREV: &[u8] = b",\"prev\":\"";
const MAC: &[u8] = b"\",\"mac\":\"";
const END: &[u8] = b"\"}";

/// The end of a chain, from which it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    /// The number of the last record; 0 before the first.
    pub(super) sequence: u64,
    /// The hash of its line.
    pub(super) hash: Hash,
}

impl Link {
    /// Before the first record.
    pub(super) const START: Self = Self {
        sequence: 0,
        hash: [0; 32],
    };
}

/// A chain that grows.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) key: ChainKey,
    last: Link,
}

impl Chain {
    pub(super) fn new(key: ChainKey, last: Link) -> Self {
        Self { key, last }
    }

    /// The last record.
    pub(super) fn last(&self) -> Link {
        self.last
    }

    /// The number of the next record, which stands in its members.
    pub(super) fn next(&self) -> u64 {
        self.last.sequence + 1
    }

    /// Makes a line of what `out` holds from `start` on, a JSON object with the next number in it.
    pub(super) fn seal(&mut self, out: &mut Vec<u8>, start: usize) {
        // The brace comes back behind what is added.
        out.truncate(out.len().saturating_sub(1));
        out.extend_from_slice(PREV);
        write_hex(&self.last.hash, out);
        let mut hash = Sha256::new();
        if let ChainKey::Hmac(key) = &self.key {
            let quote = out.len();
            out.push(b'"');
            hash.update(out.get(start..).unwrap_or_default());
            out.truncate(quote);
            let mac = key.mac(&hash.clone().finalize());
            let begun = out.len() + 1;
            out.extend_from_slice(MAC);
            write_hex(&mac, out);
            out.extend_from_slice(END);
            hash.update(out.get(begun..).unwrap_or_default());
        } else {
            out.extend_from_slice(END);
            hash.update(out.get(start..).unwrap_or_default());
        }
        out.push(b'\n');
        self.last = Link {
            sequence: self.next(),
            hash: hash.finalize().into(),
        };
    }
}

/// What the chain added to a line, taken off again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sealed {
    /// The hash of the whole line.
    pub(super) hash: Hash,
    /// What the line says is the hash of the one before.
    pub(super) prev: Hash,
    /// The MAC, and what it is of.
    pub(super) mac: Option<(Hash, Hash)>,
}

/// Reads what the chain added; `None` where a line, without its line end, has no such end.
pub(super) fn unseal(line: &[u8]) -> Option<Sealed> {
    let maced = split_mac(line);
    let before = match maced {
        Some((signed, _)) => signed.strip_suffix(b"\"")?,
        None => line.strip_suffix(END)?,
    };
    let at = before.len().checked_sub(64)?;
    let (head, prev) = before.split_at_checked(at)?;
    head.strip_suffix(PREV)?;
    let prev = from_hex(std::str::from_utf8(prev).ok()?)?;
    Some(Sealed {
        hash: Sha256::digest(line).into(),
        prev,
        mac: maced.map(|(signed, mac)| (Sha256::digest(signed).into(), mac)),
    })
}

/// All before `,"mac"`, and the MAC.
fn split_mac(line: &[u8]) -> Option<(&[u8], Hash)> {
    let rest = line.strip_suffix(END)?;
    let (head, mac) = rest.split_at_checked(rest.len().checked_sub(64)?)?;
    let signed = head.strip_suffix(MAC.get(1..)?)?;
    signed.last().filter(|byte| **byte == b'"')?;
    Some((signed, from_hex(std::str::from_utf8(mac).ok()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hex::hex;
    use crate::service::audit::keys::SharedKey;

    #[test]
    fn a_line_is_bound_to_the_one_before() {
        let key = SharedKey::new(b"key").unwrap();
        for chain_key in [ChainKey::None, ChainKey::Hmac(key.clone())] {
            let mut chain = Chain::new(chain_key, Link::START);
            let mut out = Vec::new();
            out.extend_from_slice(br#"{"sequence":1}"#);
            chain.seal(&mut out, 0);
            let second = out.len();
            out.extend_from_slice(br#"{"sequence":2}"#);
            chain.seal(&mut out, second);
            let lines: Vec<&[u8]> = out.split(|byte| *byte == b'\n').collect();
            let (one, two) = (unseal(lines[0]).unwrap(), unseal(lines[1]).unwrap());
            assert_eq!(one.prev, [0; 32]);
            assert_eq!(two.prev, one.hash);
            assert_eq!(chain.last().hash, two.hash);
            assert_eq!(chain.next(), 3);
            assert!(serde_json::from_slice::<serde_json::Value>(lines[1]).is_ok());
            if let ChainKey::Hmac(_) = chain.key {
                let (message, mac) = two.mac.unwrap();
                assert!(key.verifies(&message, &mac));
                let text = String::from_utf8(lines[1].to_vec()).unwrap();
                let (signed, _) = text.split_once(",\"mac\":").unwrap();
                assert_eq!(hex(&message), hex(&Sha256::digest(signed)));
            } else {
                assert!(two.mac.is_none());
            }
        }
    }

    #[test]
    fn what_is_no_sealed_line_is_told() {
        for line in [
            "",
            "{}",
            "{\"prev\":\"00\"}",
            "\"}",
            "{\"a\":1,\"prev\":\"xx\"}",
        ] {
            assert!(unseal(line.as_bytes()).is_none(), "{line}");
        }
    }
}
