//! The decision log: what is recorded, where to, and what happens when it cannot be.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::limits::MANY;
use super::notes::{Notes, wrong};
use super::secret::SecretRef;
use crate::base::files::PathText;
use crate::base::json::Pointer;
use crate::base::settings::settings;
use crate::base::span::Span;
use crate::base::words::words;
use crate::service::net::address::may_call;

/// Members of a record that may be masked; the others are what the chain and the operators need.
pub(crate) const MASKABLE: &[&str] = &[
    "caller",
    "request",
    "requestId",
    "slice",
    "factors",
    "score",
    "reasons",
    "unmet",
    "policyErrors",
    "obligations",
    "advice",
];

/// Reads what a mask points to.
///
/// # Errors
/// What is wrong with it: its syntax, or that it points to what is never masked.
pub(crate) fn mask(text: &str) -> Result<Pointer, String> {
    let pointer = Pointer::parse(text)?;
    match pointer.first() {
        Some(name) if MASKABLE.contains(&name) => Ok(pointer),
        _ => Err(format!("begins with none of {}", MASKABLE.join(", "))),
    }
}

settings! {
    /// The decision log. Without a sink nothing is recorded.
    pub struct AuditConfig {
        /// The file of records; rotated files are beside it.
        #[schemars(with = "Option<PathText>")]
        pub file: Option<PathBuf>,
        /// Whether records go to standard output.
        pub stdout: bool,
        /// Where batches of records are posted.
        pub url: Option<String>,
        /// The bearer token for it.
        pub url_token: Option<SecretRef>,
        /// How much a record keeps.
        pub recording: Recording = Recording::Summary,
        /// Entities that a replayable record keeps of what was read.
        #[schemars(range(min = 1, max = 1_000_000))]
        pub slice_entities: usize = 1_000,
        /// JSON pointers to what is masked in every record.
        pub masks: Vec<String>,
        /// The key of masks and of hashes of content.
        pub mask_key: Option<SecretRef>,
        /// Share of allowed decisions that is recorded, in percent.
        #[schemars(range(min = 0, max = 100))]
        pub allow_percent: u8 = 100,
        /// The routes whose decisions are recorded; none for all.
        pub routes: Vec<String>,
        /// What happens to a record when the buffer is full.
        pub overflow: Overflow = Overflow::Drop,
        /// Records that may wait to be written.
        #[schemars(range(min = 1, max = 10_000_000))]
        pub buffer: usize = 8_192,
        /// Bytes of requests that may wait with them.
        #[schemars(range(min = 1, max = MANY))]
        pub buffer_bytes: usize = 64 << 20,
        /// How long a caller waits for space under [`Overflow::Block`].
        pub block_timeout: Span = Span::seconds(1),
        /// How records are chained.
        pub chain: ChainKind = ChainKind::None,
        /// The key of the chain.
        pub key: Option<SecretRef>,
        /// Records after which a checkpoint is written.
        #[schemars(range(min = 1, max = MANY))]
        pub checkpoint_records: u64 = 10_000,
        /// Time after which one is written, if there were records.
        pub checkpoint_interval: Span = Span::seconds(10),
        /// Size in bytes at which the file is rotated; 0 for never.
        #[schemars(range(min = 0, max = MANY))]
        pub rotate_bytes: u64 = 128 << 20,
        /// Age at which the file is rotated; zero for never.
        pub rotate_age: Span = Span::hours(24),
        /// Rotated files that are kept; 0 for all.
        #[schemars(range(min = 0, max = 1_000_000))]
        pub keep_files: usize,
        /// When records are forced to the disk.
        pub fsync: Fsync = Fsync::Interval,
        /// Records posted at once.
        #[schemars(range(min = 1, max = 100_000))]
        pub batch_records: usize = 500,
        /// How long a record waits for others to be posted with.
        pub flush_interval: Span = Span::seconds(1),
        /// Time for posting a batch.
        pub post_timeout: Span = Span::seconds(10),
        /// Bytes of records that may wait to be posted.
        #[schemars(range(min = 1, max = MANY))]
        pub post_buffer_bytes: usize = 16 << 20,
    }
}

words! {
    /// How much a record keeps.
    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    #[non_exhaustive]
    pub enum Recording by as_str {
        /// Who asked for what and what came of it; context and inline entities by their hashes.
        Summary = "summary",
        /// All of the request, and the stored entities it can reach.
        Replayable = "replayable",
    }

    /// What happens to a record that finds no room.
    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    #[non_exhaustive]
    pub enum Overflow by as_str {
        /// It is dropped and counted, and the count becomes a record.
        Drop = "drop",
        /// The caller waits for room, and then fails.
        Block = "block",
        /// The caller fails at once.
        Deny = "deny",
    }

    /// How records are bound to each other.
    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    #[non_exhaustive]
    pub enum ChainKind by as_str {
        /// Each holds the hash of the one before, without a key.
        None = "none",
        /// Each has a MAC besides.
        Hmac = "hmac",
        /// Checkpoints among them are signed.
        Ed25519 = "ed25519",
    }
}

/// When records are forced to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Fsync {
    /// When the system sees fit.
    None,
    /// Once a second.
    Interval,
    /// Each time records are written.
    Each,
}

impl AuditConfig {
    /// Whether anything is recorded.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.file.is_some() || self.stdout || self.url.is_some()
    }

    /// What no single key can say.
    pub(super) fn check(&self, notes: &mut Notes<'_>) {
        wrong! { notes.add;
            !self.masks.is_empty() && self.mask_key.is_none() => "audit.masks",
                "masks need a key, or what they hide could be guessed", "set `audit.mask_key = {file = \"..\"}`";
        }
        for mask in &self.masks {
            if let Err(message) = self::mask(mask) {
                notes.add(
                    "audit.masks",
                    format!("`{mask}`: {message}"),
                    "such as `/request/context/ssn`",
                );
            }
        }
        match (self.chain, &self.key) {
            (ChainKind::None, Some(_)) => notes.add(
                "audit.key",
                "is given, and `audit.chain` uses none",
                "set `audit.chain` to \"hmac\" or \"ed25519\"",
            ),
            (ChainKind::Hmac | ChainKind::Ed25519, None) => notes.add(
                "audit.chain",
                format!("`{}` needs a key", self.chain.as_str()),
                "set `audit.key = {file = \"..\"}`",
            ),
            _ => {}
        }
        match &self.url {
            Some(url) => {
                if let Err(error) = may_call(url) {
                    let help = "such as `https://collector.example/records`";
                    notes.add("audit.url", error, help);
                }
            }
            None if self.url_token.is_some() => notes.add(
                "audit.url_token",
                "is given, and there is no `audit.url`",
                "set `audit.url`",
            ),
            _ => {}
        }
        wrong! { notes.add;
            !self.rotate_age.is_zero() && self.rotate_age < Span::minutes(1) => "audit.rotate_age",
                "is shorter than a minute", "a day is usual; `0s` is never";
        }
        notes.at_most("audit.block_timeout", self.block_timeout, 60);
        notes.at_most("audit.checkpoint_interval", self.checkpoint_interval, 3_600);
        notes.at_most("audit.flush_interval", self.flush_interval, 60);
        notes.at_most("audit.post_timeout", self.post_timeout, 300);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::service::config::Config;

    fn load(text: &str) -> Result<Config, Vec<String>> {
        let file = Some((Path::new("/etc/deodar/deodar.toml"), text));
        let config = Config::from_parts(file, std::iter::empty(), &[]);
        config.map_err(|faults| {
            faults
                .iter()
                .map(|fault| fault.message().to_owned())
                .collect()
        })
    }

    #[track_caller]
    fn check_fault(text: &str, expect: &str) {
        let faults = load(text).unwrap_err();
        assert!(
            faults.len() == 1 && faults[0].contains(expect),
            "{faults:?}"
        );
    }

    #[test]
    fn nothing_is_recorded_unless_there_is_a_sink() {
        let audit = load("").unwrap().audit;
        assert!(!audit.is_on());
        assert_eq!(audit.overflow, Overflow::Drop);
        let audit = load("audit.file = \"log/audit.ndjson\"").unwrap().audit;
        assert!(audit.is_on());
        assert_eq!(
            audit.file.unwrap(),
            Path::new("/etc/deodar/log/audit.ndjson")
        );
    }

    #[test]
    fn settings_that_could_not_do_what_they_say_are_faults() {
        check_fault("audit.masks = [\"/request/context\"]", "need a key");
        let key = "audit.mask_key = {env = \"K\"}\n";
        check_fault(&format!("{key}audit.masks = [\"request\"]"), "`request`");
        check_fault(&format!("{key}audit.masks = [\"/prev\"]"), "`/prev`");
        check_fault("audit.chain = \"hmac\"", "needs a key");
        check_fault("audit.key = {env = \"K\"}", "uses none");
        check_fault("audit.url = \"http://collector.example/\"", "https");
        check_fault("audit.url_token = {env = \"K\"}", "no `audit.url`");
        check_fault("audit.rotate_age = \"1s\"", "shorter than a minute");
        check_fault("audit.block_timeout = \"1h\"", "longer than 60");
        assert!(load("audit.url = \"http://127.0.0.1:9/x\"").is_ok());
        assert!(load("audit.url = \"http://[::1]:9/x\"").is_ok());
    }
}
