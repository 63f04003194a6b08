//! Lines to sinks: again and again where a sink fails, until the log is closed.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{FLUSH_BYTES, Writer};
use crate::service::audit::notice::Notice;
use crate::service::audit::sink::file::FileSink;
use crate::service::config::{Fsync, Overflow};

/// First and longest wait after a sink failed.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Bytes that the receiver's buffer has room for before the chain says what it lost.
const ROOM_TO_TELL: usize = 4_096;
/// How long a sink that fails is tried after the log was closed.
const CLOSING: Duration = Duration::from_secs(5);

impl Writer {
    /// Writes all lines, and says in the chain what was lost on the way to the receiver.
    pub(super) fn flush_all(&mut self) {
        self.flush();
        let post = self.post.as_ref();
        if !post.is_some_and(|post| post.has_room(ROOM_TO_TELL)) {
            return;
        }
        let lost = self.shared.http.lost.load(Ordering::Relaxed);
        let count = lost.saturating_sub(self.pending.told_lost);
        if count > 0 {
            self.pending.told_lost = lost;
            let (common, sink) = (self.common(), "http");
            self.notice(&Notice::Lost {
                common,
                sink,
                count,
            });
            self.flush();
        }
    }

    /// Writes all lines to all sinks.
    pub(super) fn flush(&mut self) {
        if self.pending.lines.is_empty() {
            return;
        }
        let lines = std::mem::take(&mut self.pending.lines);
        let records = std::mem::take(&mut self.pending.records);
        let first = self.chain.next() - records;
        self.write_file(&lines, records, first);
        self.write_stdout(&lines, records);
        self.hand_to_post(&lines, records);
        let counters = &self.shared.counters;
        let decisions = std::mem::take(&mut self.pending.decisions);
        counters
            .recorded
            .fetch_add(decisions as u64, Ordering::Relaxed);
        counters
            .bytes
            .fetch_add(lines.len() as u64, Ordering::Relaxed);
        let sizes = std::mem::take(&mut self.pending.sizes);
        self.shared.queue.done(decisions, sizes);
        self.pending.lines = lines;
        self.pending.lines.clear();
        // One long record must not hold its memory for ever.
        self.pending.lines.shrink_to(4 * FLUSH_BYTES);
        self.pending.room.shrink_to(FLUSH_BYTES);
    }

    /// Whether a failing sink is given up, because the log is being closed.
    fn gives_up(&mut self) -> bool {
        if self.pending.closing.is_none() && self.shared.queue.is_closed() {
            self.pending.closing = Some(Instant::now());
        }
        let closing = self.pending.closing;
        closing.is_some_and(|at| at.elapsed() > CLOSING)
    }

    fn rest(&self, time: Duration) {
        if self.pending.closing.is_some() {
            std::thread::sleep(time.min(FIRST_WAIT));
        } else {
            self.shared.queue.rest(time);
        }
    }

    /// Whether the file is still where it was. Another one begins with a record that says so.
    pub(super) fn look_for_file(&mut self) {
        if self.file.as_mut().is_some_and(FileSink::was_moved) {
            tracing::warn!("the audit log was moved away, and begins again");
            let log = self.log.clone();
            self.notice(&Notice::Reopened {
                common: self.common(),
                log: &log,
                config: self.settings(),
            });
        }
    }

    /// Writes to the file until it takes them.
    fn write_file(&mut self, lines: &[u8], records: u64, first: u64) {
        let Some(mut file) = self.file.take() else {
            return;
        };
        let mut wait = FIRST_WAIT;
        let shared = Arc::clone(&self.shared);
        let state = &shared.file;
        loop {
            match file.write(lines, first) {
                Ok(()) => {
                    state.wrote(records);
                    // They are in the file; writing them again would put them there twice.
                    if self.config.fsync == Fsync::Each
                        && let Err(error) = file.sync()
                    {
                        state.fail(error.to_string());
                    }
                    break;
                }
                Err(error) => state.fail(error.to_string()),
            }
            if self.gives_up() {
                tracing::error!(records, "records were not written to the file");
                state.lose(records);
                break;
            }
            self.rest(wait);
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        self.file = Some(file);
    }

    fn write_stdout(&mut self, lines: &[u8], records: u64) {
        let shared = Arc::clone(&self.shared);
        let state = &shared.stdout;
        let Some(out) = &mut self.out else {
            return;
        };
        match out.write_all(lines).and_then(|()| out.flush()) {
            Ok(()) => state.wrote(records),
            // What was written of them is unknown, so they are not written again.
            Err(error) => {
                state.fail(error.to_string());
                state.lose(records);
            }
        }
    }

    fn hand_to_post(&mut self, lines: &[u8], records: u64) {
        let shared = Arc::clone(&self.shared);
        while let Some(post) = &self.post {
            if post.has_room(lines.len()) {
                return post.push(lines);
            }
            if self.config.overflow == Overflow::Drop || self.gives_up() {
                return shared.http.lose(records);
            }
            self.rest(FIRST_WAIT);
        }
    }

    pub(super) fn sync(&mut self) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.sync()
        {
            self.shared.file.fail(error.to_string());
        }
    }
}
