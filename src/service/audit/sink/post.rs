//! Batches of records over HTTP, sent by a thread of its own: a slow receiver holds up no file.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::base::lock::{lock, unpoisoned};
use crate::service::audit::counts::SinkState;
use crate::service::config::{AuditConfig, SecretRef};
use crate::service::net::backoff::Backoff;
use crate::service::net::fetch::{Call, Fetch, Reply};

/// Waits after failures, between half of each and all of it, so that many senders do not come back at once.
const BACKOFF: Backoff = Backoff {
    base: Duration::from_millis(200),
    cap: Duration::from_secs(30),
    jitter: (0.5, 1.0),
};
/// Longest wait that a receiver may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(120);
/// Bytes of a batch, unless its first record alone has more.
const BATCH_BYTES: usize = 1 << 20;
/// How long is still sent after closing.
const CLOSING: Duration = Duration::from_secs(5);

/// The way to the sending thread.
#[derive(Debug)]
pub(crate) struct PostSink {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
    most_bytes: usize,
}

#[derive(Debug, Default)]
struct Inner {
    lines: VecDeque<Vec<u8>>,
    /// Bytes of the lines, and of those being sent.
    bytes: usize,
    /// When the oldest line came.
    since: Option<Instant>,
    closed: Option<Instant>,
}

/// What the sending thread works with.
struct Sender {
    shared: Arc<Shared>,
    state: Arc<SinkState>,
    fetch: Arc<dyn Fetch>,
    url: String,
    token: Option<SecretRef>,
    batch: usize,
    flush: Duration,
    timeout: Duration,
}

impl PostSink {
    /// Starts the sending thread.
    pub(crate) fn start(
        config: &AuditConfig,
        url: &str,
        fetch: Arc<dyn Fetch>,
        state: Arc<SinkState>,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            inner: Mutex::default(),
            changed: Condvar::new(),
            most_bytes: config.post_buffer_bytes,
        });
        let sender = Sender {
            shared: Arc::clone(&shared),
            state,
            fetch,
            url: url.to_owned(),
            token: config.url_token.clone(),
            batch: config.batch_records.max(1),
            flush: *config.flush_interval,
            timeout: *config.post_timeout,
        };
        let thread = std::thread::Builder::new()
            .name("deodar-audit-post".to_owned())
            .spawn(move || sender.run())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Whether lines of so many bytes find room.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let inner = self.shared.lock();
        inner.bytes == 0 || inner.bytes.saturating_add(bytes) <= self.shared.most_bytes
    }

    /// Takes whole lines.
    pub(crate) fn push(&self, lines: &[u8]) {
        let mut inner = self.shared.lock();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            inner.bytes += line.len();
            inner.lines.push_back(line.to_vec());
        }
        inner.since.get_or_insert_with(Instant::now);
        drop(inner);
        self.shared.changed.notify_all();
    }

    /// Sends what there is, for a few seconds at most.
    pub(crate) fn close(&mut self) {
        self.shared.lock().closed.get_or_insert_with(Instant::now);
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing more to send.
            let _ = thread.join();
        }
    }
}

impl Drop for PostSink {
    fn drop(&mut self) {
        self.shared.lock().closed.get_or_insert_with(Instant::now);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Waits; closing ends the wait early.
    fn rest(&self, time: Duration) {
        let inner = self.lock();
        let until = |inner: &mut Inner| inner.closed.is_none();
        let waited = self.changed.wait_timeout_while(inner, time, until);
        let closed = unpoisoned(waited).0.closed.is_some();
        if closed {
            std::thread::sleep(time.min(Duration::from_millis(50)));
        }
    }

    fn out_of_time(&self) -> bool {
        let closed = self.lock().closed;
        closed.is_some_and(|at| at.elapsed() > CLOSING)
    }
}

/// What a reply means for a batch.
enum Verdict {
    Taken,
    /// It will be refused again.
    Refused,
    /// Try again, perhaps not before a time.
    Later(Option<Duration>),
}

impl Sender {
    fn run(&self) {
        loop {
            let mut batch = self.next();
            if batch.is_empty() {
                return;
            }
            self.deliver(&mut batch);
        }
    }

    /// The next batch; empty when there will be none.
    fn next(&self) -> Vec<Vec<u8>> {
        let mut inner = self.shared.lock();
        loop {
            let due = inner.since.map(|since| since + self.flush);
            let now = Instant::now();
            if inner.lines.len() >= self.batch
                || inner.closed.is_some()
                || due.is_some_and(|due| due <= now)
            {
                break;
            }
            let wait = due.map_or(Duration::from_secs(3_600), |due| due - now);
            let waited = self.shared.changed.wait_timeout(inner, wait);
            inner = unpoisoned(waited).0;
        }
        let mut bytes = 0;
        let mut many = 0;
        for line in inner.lines.iter().take(self.batch) {
            bytes += line.len();
            if many > 0 && bytes > BATCH_BYTES {
                break;
            }
            many += 1;
        }
        let batch = inner.lines.drain(..many).collect();
        inner.since = (!inner.lines.is_empty()).then(Instant::now);
        batch
    }

    /// Sends a batch until it is taken or refused for good; what is refused is sent in halves, so that
    /// one bad record does not take others with it.
    fn deliver(&self, batch: &mut Vec<Vec<u8>>) {
        let mut parts = vec![std::mem::take(batch)];
        let mut failures = 0_u32;
        while let Some(mut part) = parts.pop() {
            if self.shared.out_of_time() {
                self.lose(&part, "there was no time left at the end");
                continue;
            }
            match self.send(&part) {
                Verdict::Taken => {
                    failures = 0;
                    self.state.wrote(part.len() as u64);
                    self.free(&part);
                }
                Verdict::Refused if part.len() > 1 => {
                    let second = part.split_off(part.len() / 2);
                    parts.push(second);
                    parts.push(part);
                }
                Verdict::Refused => self.lose(&part, "the receiver refuses it"),
                Verdict::Later(asked) => {
                    let asked = asked.map(|asked| asked.min(LONGEST_ASKED));
                    self.shared
                        .rest(asked.unwrap_or_else(|| BACKOFF.wait(failures)));
                    failures = failures.saturating_add(1);
                    parts.push(part);
                }
            }
        }
    }

    fn send(&self, part: &[Vec<u8>]) -> Verdict {
        let mut call = Call::post(&self.url, "application/x-ndjson", part.concat());
        call = call.timeout(self.timeout);
        if let Some(token) = &self.token {
            // Read each time: it may have been replaced.
            match token.read() {
                Ok(token) => {
                    call = call.header("authorization", &format!("Bearer {}", token.reveal()));
                }
                Err(message) => {
                    self.state.fail(format!("`audit.url_token`: {message}"));
                    return Verdict::Later(None);
                }
            }
        }
        match self.fetch.send(&call) {
            Ok(reply) if (200..300).contains(&reply.status) => Verdict::Taken,
            Ok(reply) => {
                self.state.fail(format!("status {}", reply.status));
                match reply.status {
                    400 | 413 | 422 => Verdict::Refused,
                    _ => Verdict::Later(retry_after(&reply)),
                }
            }
            Err(error) => {
                self.state.fail(error.to_string());
                Verdict::Later(None)
            }
        }
    }

    fn lose(&self, part: &[Vec<u8>], why: &str) {
        tracing::error!(records = part.len(), why, "records were not posted");
        self.state.lose(part.len() as u64);
        self.free(part);
    }

    fn free(&self, part: &[Vec<u8>]) {
        let bytes: usize = part.iter().map(Vec::len).sum();
        let mut inner = self.shared.lock();
        inner.bytes = inner.bytes.saturating_sub(bytes);
    }
}

fn retry_after(reply: &Reply) -> Option<Duration> {
    let seconds = reply.header("retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::audit::tests::config;

    struct Seen {
        bodies: Mutex<Vec<String>>,
        answers: Mutex<VecDeque<u16>>,
    }

    fn reply(status: u16) -> Reply {
        Reply {
            status,
            headers: vec![("retry-after".to_owned(), "0".to_owned())],
            body: Vec::new(),
        }
    }

    /// A receiver that gives these answers, then 200.
    fn receiver(answers: &[u16]) -> (Arc<Seen>, Arc<dyn Fetch>) {
        let seen = Arc::new(Seen {
            bodies: Mutex::default(),
            answers: Mutex::new(answers.iter().copied().collect()),
        });
        let theirs = Arc::clone(&seen);
        let fetch = move |call: &Call| {
            let status = theirs.answers.lock().unwrap().pop_front().unwrap_or(200);
            if status == 200 {
                let body = String::from_utf8(call.body.clone()).unwrap();
                theirs.bodies.lock().unwrap().push(body);
            }
            Ok(reply(status))
        };
        (seen, Arc::new(fetch))
    }

    fn run(answers: &[u16], lines: &str, batch: usize) -> (Vec<String>, Arc<SinkState>) {
        let (seen, fetch) = receiver(answers);
        let state = Arc::new(SinkState::new("http", true));
        let config = AuditConfig {
            batch_records: batch,
            flush_interval: Duration::from_millis(1).into(),
            ..config()
        };
        let mut sink =
            PostSink::start(&config, "https://x.example/", fetch, Arc::clone(&state)).unwrap();
        sink.push(lines.as_bytes());
        sink.close();
        let bodies = seen.bodies.lock().unwrap().clone();
        (bodies, state)
    }

    #[test]
    fn lines_go_in_batches_and_again_after_a_failure() {
        let (bodies, state) = run(&[503, 401, 429], "a\nb\nc\n", 2);
        assert_eq!(bodies, ["a\nb\n", "c\n"]);
        let counts = state.counts();
        assert_eq!((counts.written, counts.failed, counts.lost), (3, 3, 0));
        assert!(state.trouble().is_none());
    }

    #[test]
    fn one_refused_record_takes_no_others_with_it() {
        // Refused: all four, the first two, the first.
        let (bodies, state) = run(&[400, 400, 413], "a\nb\nc\nd\n", 10);
        assert_eq!(bodies, ["b\n", "c\nd\n"]);
        assert_eq!(state.counts().lost, 1);
        assert!(state.trouble().unwrap().contains("lost records"));
    }

    #[test]
    fn what_waits_is_bounded() {
        let (_, fetch) = receiver(&[]);
        let state = Arc::new(SinkState::new("http", true));
        let config = AuditConfig {
            post_buffer_bytes: 10,
            flush_interval: Duration::from_secs(60).into(),
            ..config()
        };
        let sink = PostSink::start(&config, "https://x.example/", fetch, state).unwrap();
        assert!(sink.has_room(1_000));
        sink.push(b"12345678\n");
        assert!(sink.has_room(1) && !sink.has_room(2));
    }
}
