//! The pace of a connection: whoever waits for the client notes since when, and one alarm for each
//! connection looks whether it has been too long. No timer is set for a request.
//!
//! Three things note it: the stream (bytes that begin a head or an HTTP/2 frame, writes that are not
//! taken), the service (requests under way) and the body of an answer (taken or not).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::Frames;
use super::places::Place;

/// Not waiting.
const NEVER: u64 = u64::MAX;

/// How long a client is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For a head that has begun, and for taking something of an answer.
    pub(super) slow: Duration,
    /// For the next request.
    pub(super) idle: Duration,
}

/// What an alarm finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing is late; look again after this.
    Again(Duration),
    /// No request is under way, and none has been for long.
    Idle,
    /// The client is too slow; for what.
    Slow(&'static str),
}

/// Since when a connection waits for what, in milliseconds since it began.
#[derive(Debug)]
pub(super) struct Pace {
    began: Instant,
    /// Whether requests share the connection (HTTP/2).
    shared: bool,
    /// The head, or the frame, that is being read.
    reading: AtomicU64,
    /// A write that the client does not take.
    writing: AtomicU64,
    /// Answers that the client could take more of, and when it last took something.
    held: AtomicUsize,
    taken: AtomicU64,
    under_way: AtomicUsize,
    /// The end of the last request.
    quiet: AtomicU64,
}

impl Patience {
    /// When to look first.
    pub(super) fn shortest(self) -> Duration {
        self.slow.min(self.idle)
    }
}

impl Pace {
    /// Of a connection that is about to read its first request.
    pub(super) fn new(began: Instant, shared: bool) -> Arc<Self> {
        Arc::new(Self {
            began,
            shared,
            reading: AtomicU64::new(0),
            writing: AtomicU64::new(NEVER),
            held: AtomicUsize::new(0),
            taken: AtomicU64::new(0),
            under_way: AtomicUsize::new(0),
            quiet: AtomicU64::new(0),
        })
    }

    /// Whether requests share the connection.
    pub(super) fn is_shared(&self) -> bool {
        self.shared
    }

    /// Whether a request is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) > 0
    }

    /// A request was read and begins.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        if !self.shared {
            self.reading.store(NEVER, Ordering::Relaxed);
        }
        UnderWay {
            pace: Arc::clone(self),
            place: None,
        }
    }

    /// Whether anything is late.
    pub(super) fn look(&self, patience: Patience) -> Look {
        let now = self.now();
        let slow = millis(patience.slow).max(1);
        let idle = millis(patience.idle).max(1);
        // What begins right after this look is late no sooner than that.
        let mut next = now.saturating_add(slow.min(idle));
        let held = self.held.load(Ordering::Relaxed) > 0;
        let taken = if held {
            self.taken.load(Ordering::Relaxed)
        } else {
            NEVER
        };
        for (since, what) in [
            (self.reading.load(Ordering::Relaxed), "sending its request"),
            (self.writing.load(Ordering::Relaxed), "reading its answer"),
            (taken, "taking its answer"),
        ] {
            if since == NEVER {
                continue;
            }
            let due = since.saturating_add(slow);
            if due <= now {
                return Look::Slow(what);
            }
            next = next.min(due);
        }
        if !self.is_busy() {
            let quiet = self.quiet.load(Ordering::Relaxed);
            let due = quiet.saturating_add(idle);
            if due <= now {
                return Look::Idle;
            }
            next = next.min(due);
        }
        Look::Again(Duration::from_millis(next.saturating_sub(now).max(1)))
    }

    fn now(&self) -> u64 {
        millis(self.began.elapsed())
    }

    /// Bytes came in between two requests.
    fn heard(&self) {
        if !self.is_busy() && self.reading.load(Ordering::Relaxed) == NEVER {
            self.reading.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Bytes of HTTP/2 came in: whether a frame or head among them ended, and whether one is open now.
    fn framed(&self, ended: bool, open: bool) {
        if !open {
            self.reading.store(NEVER, Ordering::Relaxed);
        } else if ended || self.reading.load(Ordering::Relaxed) == NEVER {
            self.reading.store(self.now(), Ordering::Relaxed);
        }
    }

    fn wrote(&self, pending: bool) {
        let waits = self.writing.load(Ordering::Relaxed) != NEVER;
        if pending && !waits {
            self.writing.store(self.now(), Ordering::Relaxed);
        } else if !pending && waits {
            self.writing.store(NEVER, Ordering::Relaxed);
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NEVER - 1)
}

/// A request under way; dropping it ends it.
#[derive(Debug)]
pub(super) struct UnderWay {
    pace: Arc<Pace>,
    /// Among the requests of shared connections.
    pub(super) place: Option<Place>,
}

impl UnderWay {
    /// The body of the request's answer: the request ends with it.
    pub(super) fn answer(self, body: Body) -> Paced {
        // Over a connection of its own a client that takes nothing is noticed by the stream.
        let held = self.pace.shared && !body.is_end_stream();
        if held {
            let now = self.pace.now();
            if self.pace.held.fetch_add(1, Ordering::Relaxed) == 0 {
                self.pace.taken.store(now, Ordering::Relaxed);
            }
        }
        Paced {
            body,
            under_way: self,
            held,
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let now = self.pace.now();
        self.pace.quiet.store(now, Ordering::Relaxed);
        self.pace.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer, which notes whether the client takes it.
#[derive(Debug)]
pub(super) struct Paced {
    body: Body,
    under_way: UnderWay,
    /// Whether it is the client that must take something, and not we who have nothing yet.
    held: bool,
}

impl Paced {
    fn hold(&mut self, hold: bool) {
        let pace = &self.under_way.pace;
        pace.taken.store(pace.now(), Ordering::Relaxed);
        if hold && !self.held {
            pace.held.fetch_add(1, Ordering::Relaxed);
        } else if !hold && self.held {
            pace.held.fetch_sub(1, Ordering::Relaxed);
        }
        self.held = hold;
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if self.under_way.pace.shared {
            self.hold(matches!(polled, Poll::Ready(Some(_))));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        if self.held {
            self.hold(false);
        }
    }
}

/// A client's stream, which notes what is waited for. What was read of it before comes first.
#[derive(Debug)]
pub(super) struct Line<S> {
    stream: S,
    /// Read before, and not yet handed on.
    before: Bytes,
    pace: Arc<Pace>,
    frames: Frames,
}

impl<S> Line<S> {
    pub(super) fn new(stream: S, before: Bytes, pace: Arc<Pace>) -> Self {
        Self {
            stream,
            before,
            pace,
            frames: Frames::after_preface(),
        }
    }

    fn note(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
        } else if self.pace.shared {
            let ended = self.frames.feed(bytes);
            self.pace.framed(ended, self.frames.is_open());
        } else {
            self.pace.heard();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let line = self.get_mut();
        let filled = buffer.filled().len();
        if line.before.is_empty() {
            std::task::ready!(Pin::new(&mut line.stream).poll_read(context, buffer))?;
        } else {
            let many = line.before.len().min(buffer.remaining());
            buffer.put_slice(&line.before.split_to(many));
        }
        line.note(buffer.filled().get(filled..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let line = self.get_mut();
        let polled = Pin::new(&mut line.stream).poll_write(context, bytes);
        line.pace.wrote(polled.is_pending());
        polled
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let line = self.get_mut();
        let polled = Pin::new(&mut line.stream).poll_write_vectored(context, slices);
        line.pace.wrote(polled.is_pending());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let line = self.get_mut();
        let polled = Pin::new(&mut line.stream).poll_flush(context);
        line.pace.wrote(polled.is_pending());
        polled
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let line = self.get_mut();
        let polled = Pin::new(&mut line.stream).poll_shutdown(context);
        line.pace.wrote(polled.is_pending());
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        slow: Duration::from_secs(10),
        idle: Duration::from_secs(60),
    };

    /// A connection that began so many seconds ago.
    fn pace(seconds: u64, shared: bool) -> Arc<Pace> {
        Pace::new(Instant::now() - Duration::from_secs(seconds), shared)
    }

    #[test]
    fn a_head_must_come_whole() {
        assert!(matches!(pace(9, false).look(PATIENCE), Look::Again(_)));
        assert!(matches!(pace(10, false).look(PATIENCE), Look::Slow(_)));
    }

    #[test]
    fn a_request_may_take_its_time_and_idleness_begins_with_its_end() {
        let pace = pace(1_000, false);
        let request = pace.begin();
        let Look::Again(after) = pace.look(PATIENCE) else {
            panic!("a request is under way");
        };
        assert_eq!(after, PATIENCE.slow);
        drop(request);
        assert!(matches!(pace.look(PATIENCE), Look::Again(_)));
        pace.quiet.store(0, Ordering::Relaxed);
        assert_eq!(pace.look(PATIENCE), Look::Idle);
    }

    #[test]
    fn bytes_between_requests_begin_a_head() {
        let pace = pace(1_000, false);
        drop(pace.begin());
        assert_eq!(pace.reading.load(Ordering::Relaxed), NEVER);
        pace.heard();
        assert!(pace.reading.load(Ordering::Relaxed) >= 1_000_000);
        pace.begin();
        assert_eq!(pace.reading.load(Ordering::Relaxed), NEVER);
    }

    #[test]
    fn an_answer_that_is_not_taken_is_noticed_where_connections_are_shared() {
        for (shared, held) in [(true, 1), (false, 0)] {
            let pace = pace(1_000, shared);
            pace.reading.store(NEVER, Ordering::Relaxed);
            let mut answer = pace.begin().answer(Body::from("answer"));
            assert_eq!(pace.held.load(Ordering::Relaxed), held);
            pace.taken.store(0, Ordering::Relaxed);
            let look = pace.look(PATIENCE);
            assert_eq!(matches!(look, Look::Slow(_)), shared, "{look:?}");
            let mut context = Context::from_waker(std::task::Waker::noop());
            while let Poll::Ready(Some(_)) = Pin::new(&mut answer).poll_frame(&mut context) {}
            assert_eq!(pace.held.load(Ordering::Relaxed), 0);
            drop(answer);
            assert!(!pace.is_busy());
            assert!(matches!(pace.look(PATIENCE), Look::Again(_)));
        }
    }

    #[test]
    fn frames_that_end_are_progress() {
        let pace = pace(20, true);
        pace.framed(false, true);
        assert_eq!(pace.look(PATIENCE), Look::Slow("sending its request"));
        pace.framed(true, true);
        assert!(matches!(pace.look(PATIENCE), Look::Again(_)));
        pace.framed(true, false);
        assert_eq!(pace.reading.load(Ordering::Relaxed), NEVER);
    }
}
