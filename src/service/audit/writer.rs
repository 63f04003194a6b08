//! The log's own thread: entries to sealed lines to sinks.
//!
//! The chain is one, and what was sealed is written before anything else is: a file that cannot be
//! written holds up the log until it can, and what finds no room meanwhile goes by the overflow rule.

mod deliver;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use super::canonical::MaskKey;
use super::chain::Chain;
use super::change::SubjectChange;
use super::entry::Entry;
use super::head::Head;
use super::mask::Masks;
use super::notice::{Common, HeadOf, Notice, Numbers, Settings, TornRecord, checkpoint};
use super::record::{DecisionRecord, EntitySlice, Hashes};
use super::sink::file::{FileSink, Torn};
use super::sink::post::PostSink;
use super::{LONGEST_LINE, Shared};
use crate::base::hex::hex;
use crate::base::timestamp::Timestamp;
use crate::base::write::JsonText;
use crate::pdp::evaluate::Slicer;
use crate::service::config::{AuditConfig, Fsync, Recording};

/// Lines are written when they have so many bytes.
const FLUSH_BYTES: usize = 256 << 10;
/// What the chain adds to a line, at most.
const SEAL_BYTES: usize = 256;
/// How long entries gather while there are many; nobody waits for it.
const GATHER: Duration = Duration::from_millis(5);
/// How often records are forced to the disk under [`Fsync::Interval`].
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// How long after a failure the file is rotated again.
const ROTATE_AGAIN: Duration = Duration::from_secs(60);

/// Where the writer begins.
#[derive(Debug, Default)]
pub(super) struct Begin {
    /// What was before: `nothing`, `stop` or `crash`.
    pub(super) after: &'static str,
    pub(super) torn: Option<Torn>,
    pub(super) missing: Option<(u64, u64)>,
    /// Whether the file before was sealed with another key, or another way.
    pub(super) rotate: bool,
}

/// Everything the thread works with.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) config: AuditConfig,
    pub(super) log: String,
    pub(super) chain: Chain,
    pub(super) masks: Option<Masks>,
    pub(super) mask_key: Option<MaskKey>,
    pub(super) file: Option<FileSink>,
    pub(super) out: Option<Box<dyn Write + Send>>,
    pub(super) post: Option<PostSink>,
    pub(super) slicer: Slicer,
    pub(super) pending: Pending,
}

/// Lines that are sealed and not written, and what is due.
#[derive(Debug)]
pub(super) struct Pending {
    lines: Vec<u8>,
    records: u64,
    /// Decisions among them, and the bytes of their requests.
    decisions: usize,
    sizes: usize,
    /// Records since the last checkpoint.
    since_checkpoint: u64,
    checkpoint_at: Instant,
    sync_at: Instant,
    /// Not rotated before, because it failed.
    rotate_at: Instant,
    /// Records that could not be posted, and of which the chain says so.
    told_lost: u64,
    /// Whether the file holds, or may hold, a decision.
    used: bool,
    closing: Option<Instant>,
    room: Vec<u8>,
}

impl Default for Pending {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            lines: Vec::with_capacity(2 * FLUSH_BYTES),
            records: 0,
            decisions: 0,
            sizes: 0,
            since_checkpoint: 0,
            checkpoint_at: now,
            sync_at: now,
            rotate_at: now,
            told_lost: 0,
            used: true,
            closing: None,
            room: Vec::new(),
        }
    }
}

impl Writer {
    /// Writes until the log is closed.
    pub(super) fn run(mut self, begin: &Begin) {
        self.begin(begin);
        let mut taken = Vec::new();
        loop {
            let found = self.shared.queue.take(&mut taken, self.next_due());
            if found.closed && self.pending.closing.is_none() {
                self.pending.closing = Some(Instant::now());
            }
            self.look_for_file();
            if found.dropped > 0 {
                let (common, count) = (self.common(), found.dropped);
                self.notice(&Notice::Dropped { common, count });
            }
            for change in &found.changes {
                self.change(change);
            }
            let busy = !taken.is_empty();
            for entry in taken.drain(..) {
                self.decision(&entry);
                if self.pending.lines.len() >= FLUSH_BYTES {
                    self.flush();
                }
            }
            self.flush_all();
            if found.closed && !busy {
                break;
            }
            self.upkeep();
            if busy && !found.closed {
                std::thread::sleep(GATHER);
            }
        }
        self.end();
    }

    fn begin(&mut self, begin: &Begin) {
        if begin.rotate {
            self.rotate();
        }
        let log = self.log.clone();
        self.notice(&Notice::Started {
            common: self.common(),
            log: &log,
            version: env!("CARGO_PKG_VERSION"),
            after: begin.after,
            config: self.settings(),
        });
        if begin.torn.is_some() || begin.missing.is_some() {
            let path = self.config.file.as_deref();
            let file = path.map(|path| super::sink::file::beside(path, "torn"));
            let file = file.map(|path| super::sink::file::file_name(&path));
            let torn = begin.torn.as_ref().map(|torn| TornRecord {
                file: file.as_deref().unwrap_or_default(),
                bytes: torn.bytes,
                sha256: &torn.hash,
            });
            let missing = begin.missing.map(|(from, to)| Numbers { from, to });
            self.notice(&Notice::Recovered {
                common: self.common(),
                torn,
                missing,
            });
        }
        self.checkpoint(false);
    }

    fn end(&mut self) {
        let counters = &self.shared.counters;
        let (recorded, dropped, filtered) = (
            counters.recorded.load(Ordering::Relaxed),
            counters.dropped.load(Ordering::Relaxed),
            counters.filtered.load(Ordering::Relaxed),
        );
        self.notice(&Notice::Stopped {
            common: self.common(),
            recorded,
            dropped,
            filtered,
        });
        self.checkpoint(true);
        if let Some(post) = &mut self.post {
            post.close();
        }
    }

    /// When something is due although no entry comes.
    fn next_due(&self) -> Option<Instant> {
        let pending = &self.pending;
        let checkpoint = (pending.since_checkpoint > 0)
            .then(|| pending.checkpoint_at + *self.config.checkpoint_interval);
        let unsynced = self.file.as_ref().is_some_and(FileSink::is_unsynced);
        let sync = (unsynced && self.config.fsync == Fsync::Interval)
            .then(|| pending.sync_at + SYNC_EVERY);
        checkpoint.into_iter().chain(sync).min()
    }

    /// What is done between batches.
    fn upkeep(&mut self) {
        let pending = &self.pending;
        if pending.since_checkpoint >= self.config.checkpoint_records
            || (pending.since_checkpoint > 0
                && pending.checkpoint_at.elapsed() >= *self.config.checkpoint_interval)
        {
            self.checkpoint(false);
        }
        if self.config.fsync == Fsync::Interval && self.pending.sync_at.elapsed() >= SYNC_EVERY {
            self.pending.sync_at = Instant::now();
            self.sync();
        }
        // A server without requests makes no file a day.
        let age = if self.pending.used {
            *self.config.rotate_age
        } else {
            Duration::ZERO
        };
        let file = self.file.as_ref();
        let due = file.is_some_and(|file| file.is_due(self.config.rotate_bytes, age));
        if due && self.pending.rotate_at <= Instant::now() {
            self.checkpoint(false);
            self.rotate();
            self.checkpoint(false);
        }
    }

    fn settings(&self) -> Settings {
        Settings::new(&self.config, &self.chain.key)
    }

    fn common(&self) -> Common {
        Common {
            sequence: self.chain.next(),
            time: Timestamp::now().to_string(),
        }
    }

    /// Seals the line that begins at `start`.
    fn seal(&mut self, start: usize) {
        self.chain.seal(&mut self.pending.lines, start);
        self.pending.records += 1;
        self.pending.since_checkpoint += 1;
    }

    fn notice(&mut self, notice: &Notice<'_>) {
        let start = self.pending.lines.len();
        if serde_json::to_writer(&mut self.pending.lines, notice).is_ok() {
            self.seal(start);
        } else {
            // INVARIANT: notices are made of texts and numbers, which always serialize.
            self.pending.lines.truncate(start);
        }
    }

    fn change(&mut self, change: &SubjectChange) {
        let start = self.pending.lines.len();
        let record = change.record(self.common());
        if self.write(&record) {
            self.pending.used = true;
            self.seal(start);
        } else {
            // INVARIANT: records are made of texts and numbers, which always serialize.
            self.pending.lines.truncate(start);
        }
    }

    fn decision(&mut self, entry: &Entry) {
        self.pending.decisions += 1;
        self.pending.used = true;
        self.pending.sizes = self.pending.sizes.saturating_add(entry.size);
        let start = self.pending.lines.len();
        let hashes = Hashes::of(
            &entry.request,
            self.mask_key.as_ref(),
            &mut self.pending.room,
        );
        let mut read = EntitySlice::Unasked;
        if self.config.recording == Recording::Replayable {
            let most = self.config.slice_entities;
            let outcome = &entry.outcome;
            let state = outcome.shared_state();
            let assessment = outcome.trust().map(|trust| *trust.assessment());
            let when = (outcome.evaluated_at(), assessment);
            read = match self.slicer.slice(&entry.request, state, when, most) {
                Some(entities) => EntitySlice::Whole(entities),
                None => EntitySlice::Truncated,
            };
        }
        let mut record = DecisionRecord {
            entry,
            sequence: self.chain.next(),
            recording: self.config.recording,
            reduced: false,
            hashes: &hashes,
            read: &read,
        };
        let fits = |lines: &Vec<u8>| lines.len() - start + SEAL_BYTES <= LONGEST_LINE;
        let mut written = self.write_decision(&record);
        if written && !fits(&self.pending.lines) && record.recording == Recording::Replayable {
            self.pending.lines.truncate(start);
            self.shared.counters.reduced.fetch_add(1, Ordering::Relaxed);
            record.recording = Recording::Summary;
            record.reduced = true;
            record.read = &EntitySlice::Unasked;
            written = self.write_decision(&record);
        }
        if written && fits(&self.pending.lines) {
            return self.seal(start);
        }
        self.pending.lines.truncate(start);
        self.shared.counters.reduced.fetch_add(1, Ordering::Relaxed);
        self.notice(&Notice::Oversized {
            common: self.common(),
            id: entry.id.to_string(),
            decision: entry.outcome.decision().as_str(),
        });
    }

    /// Writes a decision, masked.
    fn write_decision(&mut self, record: &DecisionRecord<'_>) -> bool {
        let lines = std::mem::take(&mut self.pending.lines);
        let start = lines.len();
        let mut json = JsonText::behind(lines);
        let written = record.write(&mut json).is_ok();
        self.pending.lines = json.into_bytes();
        if !written || self.masks.is_none() {
            return written;
        }
        let line = self.pending.lines.get(start..).unwrap_or_default();
        let plain = serde_json::from_slice::<Value>(line);
        self.pending.lines.truncate(start);
        plain.is_ok_and(|record| self.write(&record))
    }

    /// Writes a record's members, masked.
    fn write(&mut self, record: &impl Serialize) -> bool {
        let lines = &mut self.pending.lines;
        match &self.masks {
            None => serde_json::to_writer(lines, record).is_ok(),
            Some(masks) => {
                let Ok(mut record) = serde_json::to_value(record) else {
                    return false;
                };
                masks.apply(&mut record);
                serde_json::to_writer(lines, &record).is_ok()
            }
        }
    }

    /// Says in the chain, and beside the file, where it ends.
    fn checkpoint(&mut self, closing: bool) {
        self.pending.checkpoint_at = Instant::now();
        let last = self.chain.last();
        let hash = hex(&last.hash);
        let (common, log) = (self.common(), self.log.clone());
        let time = common.time.clone();
        let head = HeadOf {
            sequence: last.sequence,
            hash: &hash,
        };
        let notice = checkpoint(common, &log, head, closing, &self.chain.key);
        self.notice(&notice);
        self.flush();
        self.pending.since_checkpoint = 0;
        let sync = self.config.fsync != Fsync::None;
        if sync {
            self.sync();
        }
        // Where lines were given up the chain ends before what the head would say.
        if let Some(path) = &self.config.file
            && !self.shared.file.fails()
        {
            let head = Head::new(&self.log, self.chain.last(), time, &self.chain.key);
            if let Err(error) = head.write(path, sync) {
                self.shared.file.fail(format!("the head: {error}"));
            }
        }
    }

    fn rotate(&mut self) {
        let to = self.chain.last().sequence;
        let Some(file) = &mut self.file else {
            return;
        };
        let turned = match file.rotate(self.config.keep_files) {
            Ok(Some(turned)) => turned,
            Ok(None) => return,
            Err(error) => {
                self.pending.rotate_at = Instant::now() + ROTATE_AGAIN;
                return self.shared.file.fail(format!("rotation: {error}"));
            }
        };
        self.pending.used = false;
        let log = self.log.clone();
        self.notice(&Notice::Rotated {
            common: self.common(),
            log: &log,
            file: &turned.name,
            from: turned.from,
            to,
            config: self.settings(),
        });
        for (file, from, to) in &turned.removed {
            let (from, to) = (*from, *to);
            let common = self.common();
            self.notice(&Notice::Removed {
                common,
                file,
                from,
                to,
            });
        }
        self.flush_all();
    }
}
