//! Checking a log that was written: numbers, chain, MACs and signatures, in one pass.
//!
//! What enters: files of records and keys. What leaves: a [`Report`] with the first record that is not
//! as it was written, and up to where the end is anchored. Memory is bounded by the longest record.

mod files;
mod walk;

use std::path::PathBuf;

use serde_json::{Value, json};

use super::chain::Link;
use super::head::Head;
use super::keys::{CheckKeys, Hash};
use crate::base::hex::hex;
use crate::base::words::words;

pub(crate) use files::{LogFiles, gather};

/// What a log is checked against.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) keys: CheckKeys,
    /// The head file; the one beside the log unless given.
    pub(crate) head: Option<PathBuf>,
    /// A record that is known to be there, and perhaps its hash.
    pub(crate) expect: Option<(u64, Option<Hash>)>,
    /// Whether the log has to begin with its first record.
    pub(crate) complete: bool,
}

words! {
    /// What is wrong with a record.
    pub(crate) enum Wrong by as_str {
        /// It is not as it was written.
        Changed = "changed",
        /// One or more are not there.
        Missing = "missing",
        /// It stands at another place than it was written to, or twice.
        Reordered = "reordered",
        /// It was never finished.
        TornTail = "torn tail",
    }
}

/// The first record that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) file: PathBuf,
    /// From 1; 0 where it is not about a line.
    pub(crate) line: u64,
    pub(crate) sequence: Option<u64>,
    pub(crate) wrong: Wrong,
    pub(crate) detail: String,
}

words! {
    /// What says that the log did not end before a record.
    pub(crate) enum By by as_str {
        /// A signed checkpoint in the log.
        Checkpoint = "signed checkpoint",
        /// A head file that was sealed with the key.
        SealedHead = "sealed head",
        /// A head file that anybody who can write the log can write.
        Head = "unsealed head",
        /// What the caller expects.
        Expectation = "expected record",
    }
}

/// What was found.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) base: PathBuf,
    pub(crate) files: usize,
    /// Records that were read, up to the bad one.
    pub(crate) records: u64,
    pub(crate) decisions: u64,
    /// Decisions that the log says it dropped.
    pub(crate) dropped: u64,
    /// The number of the first record.
    pub(crate) first: u64,
    pub(super) last: Option<Link>,
    /// What the records were checked with besides the chain.
    pub(crate) checked: &'static str,
    pub(crate) anchor: Option<(u64, By)>,
    pub(crate) bad: Option<Bad>,
    pub(crate) notes: Vec<String>,
}

impl Report {
    pub(crate) fn holds(&self) -> bool {
        self.bad.is_none()
    }

    /// The number of the last good record.
    pub(crate) fn last_sequence(&self) -> u64 {
        self.last.map_or(0, |last| last.sequence)
    }

    /// Records behind the anchor: their end could have been cut off, and nobody could tell.
    pub(crate) fn after_anchor(&self) -> u64 {
        let anchored = self
            .anchor
            .map_or(self.first.saturating_sub(1), |(at, _)| at);
        self.last_sequence().saturating_sub(anchored)
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "log": self.base.display().to_string(),
            "holds": self.holds(),
            "files": self.files,
            "records": self.records,
            "decisions": self.decisions,
            "dropped": self.dropped,
            "first": self.first,
            "last": self.last.map(|last| json!({"sequence": last.sequence, "hash": hex(&last.hash)})),
            "checked": self.checked,
            "anchor": self.anchor.map(|(sequence, by)| json!({"sequence": sequence, "by": by.as_str()})),
            "afterAnchor": self.after_anchor(),
            "bad": self.bad.as_ref().map(|bad| json!({
                "file": bad.file.display().to_string(),
                "line": bad.line,
                "sequence": bad.sequence,
                "problem": bad.wrong.as_str(),
                "detail": bad.detail,
            })),
            "notes": self.notes,
        })
    }
}

/// Checks one log.
///
/// # Errors
/// When it cannot be read, or there is nothing of it.
pub(crate) fn verify(files: LogFiles, wanted: &Wanted) -> Result<Report, String> {
    let path = match &wanted.head {
        Some(path) => path.clone(),
        None => super::sink::file::beside(&files.base, "head"),
    };
    // Before the records: those of a log that is being written are at least as new.
    let head = Head::read(&path).map_err(|error| format!("`{}`: {error}", path.display()))?;
    if head.is_none() && wanted.head.is_some() {
        return Err(format!("`{}`: is not there", path.display()));
    }
    walk::walk(files, wanted, head.map(|head| (path, head)))
}
