//! Records about the log itself: starts and stops, rotations, losses, checkpoints.

use serde::Serialize;

use super::head::checkpoint_message;
use super::keys::ChainKey;
use crate::service::config::AuditConfig;

/// A record about the log. All have `kind`, `sequence` and `time`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub(super) enum Notice<'a> {
    /// The log was started.
    Started {
        #[serde(flatten)]
        common: Common,
        log: &'a str,
        version: &'static str,
        /// What was before: `nothing`, `stop`, or `crash` where the log was not closed.
        after: &'static str,
        config: Settings,
    },
    /// A record was not finished, or the end that was written before is not there.
    #[serde(rename_all = "camelCase")]
    Recovered {
        #[serde(flatten)]
        common: Common,
        /// What was cut off into the file beside the log.
        #[serde(skip_serializing_if = "Option::is_none")]
        torn: Option<TornRecord<'a>>,
        /// Numbers of records that were written and are not there.
        #[serde(skip_serializing_if = "Option::is_none")]
        missing: Option<Numbers>,
    },
    /// The file was rotated; this is the first record of the new one.
    Rotated {
        #[serde(flatten)]
        common: Common,
        log: &'a str,
        /// The name of the file before.
        file: &'a str,
        from: u64,
        to: u64,
        config: Settings,
    },
    /// The file was not where it was; another one was begun or the same is gone on with.
    Reopened {
        #[serde(flatten)]
        common: Common,
        log: &'a str,
        config: Settings,
    },
    /// A rotated file was removed, because no more are kept.
    Removed {
        #[serde(flatten)]
        common: Common,
        file: &'a str,
        from: u64,
        to: u64,
    },
    /// Decisions found no room and are not recorded.
    Dropped {
        #[serde(flatten)]
        common: Common,
        count: u64,
    },
    /// A sink lost records; they are in the chain.
    Lost {
        #[serde(flatten)]
        common: Common,
        sink: &'static str,
        count: u64,
    },
    /// A decision whose record is too long even without its content.
    Oversized {
        #[serde(flatten)]
        common: Common,
        id: String,
        decision: &'static str,
    },
    /// All records up to the one before are as they were written.
    #[serde(rename_all = "camelCase")]
    Checkpoint {
        #[serde(flatten)]
        common: Common,
        log: &'a str,
        /// The last record that it speaks of, and its hash.
        head: HeadOf<'a>,
        /// Whether the log is closed.
        closing: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        key_id: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
    },
    /// The log is being closed.
    Stopped {
        #[serde(flatten)]
        common: Common,
        recorded: u64,
        dropped: u64,
        filtered: u64,
    },
}

/// What every record has.
#[derive(Debug, Serialize)]
pub(super) struct Common {
    pub(super) sequence: u64,
    pub(super) time: String,
}

#[derive(Debug, Serialize)]
pub(super) struct TornRecord<'a> {
    pub(super) file: &'a str,
    pub(super) bytes: u64,
    pub(super) sha256: &'a str,
}

#[derive(Debug, Serialize)]
pub(super) struct Numbers {
    pub(super) from: u64,
    pub(super) to: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct HeadOf<'a> {
    pub(super) sequence: u64,
    pub(super) hash: &'a str,
}

/// The settings that say what the records do and do not hold.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Settings {
    recording: &'static str,
    masks: Vec<String>,
    allow_percent: u8,
    routes: Vec<String>,
    overflow: &'static str,
    chain: &'static str,
    key_id: Option<String>,
    sinks: Vec<&'static str>,
}

impl Settings {
    pub(super) fn new(config: &AuditConfig, key: &ChainKey) -> Self {
        let sinks = [
            ("file", config.file.is_some()),
            ("stdout", config.stdout),
            ("http", config.url.is_some()),
        ];
        let on = sinks.into_iter().filter(|(_, on)| *on);
        Self {
            recording: config.recording.as_str(),
            masks: config.masks.clone(),
            allow_percent: config.allow_percent,
            routes: config.routes.clone(),
            overflow: config.overflow.as_str(),
            chain: key.kind().as_str(),
            key_id: key.id(),
            sinks: on.map(|(name, _)| name).collect(),
        }
    }
}

/// A checkpoint of a log whose last record is `head`.
pub(super) fn checkpoint<'a>(
    common: Common,
    log: &'a str,
    head: HeadOf<'a>,
    closing: bool,
    key: &ChainKey,
) -> Notice<'a> {
    let signature = match key {
        // Each record has a MAC of its own.
        ChainKey::None | ChainKey::Hmac(_) => None,
        ChainKey::Ed25519(_) => {
            let message = checkpoint_message(log, head.sequence, head.hash, &common.time);
            key.seal(message.as_bytes())
        }
    };
    Notice::Checkpoint {
        common,
        log,
        head,
        closing,
        key_id: signature.is_some().then(|| key.id()).flatten(),
        signature,
    }
}
