//! The head: where the chain ended at its last checkpoint, in a small file beside the log. It shows
//! when the end of the log was cut off.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::canonical::from_hex;
use super::chain::Link;
use super::keys::{ChainKey, CheckKeys};
use super::sink::file::{beside, private, sync_directory};
use crate::base::hex::hex;

/// Longest head file that is read.
const LONGEST: u64 = 64 << 10;

/// A chain's end, and who says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Head {
    /// The log's id.
    pub(super) log: String,
    /// The number of the last record.
    pub(super) sequence: u64,
    /// The hash of its line.
    hash: String,
    /// When it was written.
    pub(super) time: String,
    /// `none`, `hmac` or `ed25519`.
    pub(super) chain: String,
    /// What tells the key from others.
    pub(super) key_id: Option<String>,
    /// The MAC or the signature.
    seal: Option<String>,
}

impl Head {
    pub(super) fn new(log: &str, link: Link, time: String, key: &ChainKey) -> Self {
        let mut head = Self {
            log: log.to_owned(),
            sequence: link.sequence,
            hash: hex(&link.hash),
            time,
            chain: key.kind().as_str().to_owned(),
            key_id: key.id(),
            seal: None,
        };
        head.seal = key.seal(head.message().as_bytes());
        head
    }

    /// What is sealed.
    fn message(&self) -> String {
        format!(
            "deodar audit head 1\n{}\n{}\n{}\n{}",
            self.log, self.sequence, self.hash, self.time
        )
    }

    pub(super) fn link(&self) -> Option<Link> {
        Some(Link {
            sequence: self.sequence,
            hash: from_hex(&self.hash)?,
        })
    }

    /// Whether an owner of one of the keys wrote it.
    pub(super) fn is_sealed_by(&self, keys: &CheckKeys) -> bool {
        let seal = self.seal.as_deref();
        seal.is_some_and(|seal| keys.verifies_seal(self.message().as_bytes(), seal))
    }

    /// Writes it whole or not at all.
    pub(super) fn write(&self, log: &Path, sync: bool) -> io::Result<()> {
        let (path, temporary) = (beside(log, "head"), beside(log, "head.tmp"));
        let mut text = serde_json::to_vec(self)?;
        text.push(b'\n');
        let mut file = private().truncate(true).open(&temporary)?;
        file.write_all(&text)?;
        if sync {
            file.sync_all()?;
        }
        fs::rename(&temporary, &path)?;
        if sync {
            sync_directory(&path)?;
        }
        Ok(())
    }

    /// Reads one; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read, or is none.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, String> {
        let text = match crate::base::files::read(path, LONGEST) {
            Ok(text) => text,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::NotFound => Ok(None),
                    io::ErrorKind::FileTooLarge => Err("is not a head of a log".to_owned()),
                    _ => Err(error.to_string()),
                };
            }
        };
        let head: Self =
            serde_json::from_slice(&text).map_err(|_| "is not a head of a log".to_owned())?;
        match head.link() {
            Some(_) => Ok(Some(head)),
            None => Err("is not a head of a log".to_owned()),
        }
    }
}

/// What the signature of a checkpoint is of: all records of a log up to one.
pub(super) fn checkpoint_message(log: &str, sequence: u64, hash: &str, time: &str) -> String {
    format!("deodar audit checkpoint 1\n{log}\n{sequence}\n{hash}\n{time}")
}
