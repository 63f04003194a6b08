//! The pace of a connection: what waits for the client notes since when, and one alarm for each
//! connection looks whether it has been too long. No timer is set for a request.
//!
//! Four things note it: the stream (bytes that begin a head or an HTTP/2 frame, writes that are not
//! taken), the service (requests under way), the body of a request (waited for or not) and the body of an
//! answer (taken or not).

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use super::bodies::BodyBudget;
use super::frames::Frames;
use super::permits::Permit;
use crate::base::lock::lock;

/// Not waiting.
const NEVER: u64 = u64::MAX;

/// How long a client is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For a head that has begun, and for taking something of an answer.
    pub(crate) slow: Duration,
    /// For the next request.
    pub(crate) idle: Duration,
}

/// A client that keeps us waiting for this long, at less than [`LEAST_RATE`], makes no progress.
const GRACE: u64 = 1_000;
/// Bytes per second that a client must send of a request to make progress.
const LEAST_RATE: u64 = 4 << 10;

/// What a connection does at an instant, with milliseconds since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activity {
    /// A request is under way and makes progress.
    Busy,
    /// No request is under way.
    Idle(u64),
    /// Every request under way waits for the client, which sends or takes next to nothing.
    Stalled(u64),
}

/// What an alarm finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Nothing is late; look again after this.
    Again(Duration),
    /// No request is under way, and none has been for long.
    Idle,
    /// The client is too slow; for what.
    Slow(&'static str),
}

/// Since when a connection waits for what, in milliseconds since it began.
#[derive(Debug)]
pub(crate) struct IdleTracker {
    began: Instant,
    /// Whether requests share the connection (HTTP/2).
    shared: AtomicBool,
    /// The head, or the frame, that is being read.
    reading: AtomicU64,
    /// A write that the client does not take.
    writing: AtomicU64,
    /// Answers that the client could take more of, by number, and since when each of them waits.
    held: Mutex<Waiting>,
    under_way: AtomicUsize,
    /// Requests whose body is waited for, and since when there is one.
    bodies: AtomicUsize,
    body_since: AtomicU64,
    /// Bytes that came since the head, or the first of those bodies, began to be waited for.
    came: AtomicU64,
    /// The end of the last request.
    quiet: AtomicU64,
    /// Set, and told, when the connection must give way to another.
    gave_way: AtomicBool,
    /// Whether it may not even finish what is under way.
    cut: AtomicBool,
    leave: Notify,
}

/// Answers that wait for the client. Most connections have none, so they are few.
#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    since: Vec<(u64, u64)>,
}

impl Waiting {
    fn oldest(&self) -> Option<u64> {
        self.since.iter().map(|(_, since)| *since).min()
    }
}

impl Patience {
    /// When to look first.
    pub(crate) fn shortest(self) -> Duration {
        self.slow.min(self.idle)
    }
}

impl IdleTracker {
    /// Of a connection that was just accepted and waits for its handshake or its first request.
    pub(crate) fn new(began: Instant) -> Arc<Self> {
        Arc::new(Self {
            began,
            shared: AtomicBool::new(false),
            reading: AtomicU64::new(0),
            writing: AtomicU64::new(NEVER),
            held: Mutex::default(),
            under_way: AtomicUsize::new(0),
            bodies: AtomicUsize::new(0),
            body_since: AtomicU64::new(0),
            came: AtomicU64::new(0),
            quiet: AtomicU64::new(0),
            gave_way: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            leave: Notify::new(),
        })
    }

    /// From now on requests share the connection: it speaks HTTP/2.
    pub(crate) fn share(&self) {
        self.shared.store(true, Ordering::Relaxed);
    }

    /// Whether requests share the connection.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared.load(Ordering::Relaxed)
    }

    /// Tells the connection to end, so that another has room.
    pub(crate) fn give_way(&self) {
        self.gave_way.store(true, Ordering::Relaxed);
        self.leave.notify_one();
    }

    /// As [`IdleTracker::give_way`], at once: its client takes no answers.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
        self.give_way();
    }

    /// Whether the connection may not even finish what is under way.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    /// Whether the connection was told to end.
    #[cfg(test)]
    pub(crate) fn gave_way(&self) -> bool {
        self.gave_way.load(Ordering::Relaxed)
    }

    /// Waits until the connection is told to end.
    pub(crate) async fn told_to_leave(&self) {
        while !self.gave_way.load(Ordering::Relaxed) {
            self.leave.notified().await;
        }
    }

    /// What the connection does now.
    pub(crate) fn standing(&self) -> Activity {
        let now = self.now();
        let reading = self.reading.load(Ordering::Relaxed);
        let came = self.came.load(Ordering::Relaxed);
        let writing = self.writing.load(Ordering::Relaxed);
        let under_way = self.under_way.load(Ordering::Relaxed);
        let since = if writing != NEVER {
            writing
        } else if under_way == 0 {
            match reading {
                NEVER => return Activity::Idle(now.saturating_sub(self.quiet())),
                // Nothing came yet: the client connected and is silent.
                since if came == 0 => return Activity::Idle(now.saturating_sub(since)),
                since => since,
            }
        } else {
            let held = self.held();
            let bodies = self.bodies.load(Ordering::Relaxed);
            if bodies.saturating_add(held.since.len()) < under_way {
                return Activity::Busy;
            }
            let body = self.body_since.load(Ordering::Relaxed);
            let body = if bodies > 0 { body } else { NEVER };
            held.oldest().unwrap_or(NEVER).min(body)
        };
        let waited = now.saturating_sub(since);
        if waited < GRACE || (writing == NEVER && came >= waited * LEAST_RATE / 1_000) {
            return Activity::Busy;
        }
        Activity::Stalled(waited)
    }

    /// A request's body is waited for, until [`IdleTracker::body_came`].
    pub(crate) fn body_waits(&self) {
        if self.bodies.fetch_add(1, Ordering::Relaxed) == 0 {
            self.body_since.store(self.now(), Ordering::Relaxed);
            self.came.store(0, Ordering::Relaxed);
        }
    }

    /// A request's body is no longer waited for.
    pub(crate) fn body_came(&self) {
        self.bodies.fetch_sub(1, Ordering::Relaxed);
    }

    /// Answers that wait for the client, and for how many milliseconds the oldest has.
    pub(crate) fn answers_held(&self) -> (usize, u64) {
        let held = self.held();
        let oldest = held
            .oldest()
            .map_or(0, |since| self.now().saturating_sub(since));
        (held.since.len(), oldest)
    }

    fn held(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.held)
    }

    fn quiet(&self) -> u64 {
        self.quiet.load(Ordering::Relaxed)
    }

    /// Whether a request is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) > 0
    }

    /// A request was read and begins.
    pub(crate) fn begin(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        if !self.is_shared() {
            self.reading.store(NEVER, Ordering::Relaxed);
        }
        UnderWay {
            pace: Arc::clone(self),
            place: None,
            room: None,
        }
    }

    /// Whether anything is late.
    pub(crate) fn look(&self, patience: Patience) -> Look {
        let now = self.now();
        let slow = millis(patience.slow).max(1);
        let idle = millis(patience.idle).max(1);
        // What begins right after this look is late no sooner than that.
        let mut next = now.saturating_add(slow.min(idle));
        let taken = if self.is_shared() {
            self.held().oldest().unwrap_or(NEVER)
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
            let due = self.quiet().saturating_add(idle);
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

    /// Bytes came in over HTTP/1.1.
    fn heard(&self, many: usize) {
        if !self.is_busy() && self.reading.load(Ordering::Relaxed) == NEVER {
            self.reading.store(self.now(), Ordering::Relaxed);
            self.came.store(0, Ordering::Relaxed);
        }
        self.came.fetch_add(many as u64, Ordering::Relaxed);
    }

    /// Bytes of HTTP/2 came in: whether a frame or head among them ended, and whether one is open now.
    fn framed(&self, many: usize, ended: bool, open: bool) {
        self.came.fetch_add(many as u64, Ordering::Relaxed);
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

/// HTTP/2 frames that carry nothing of a request (settings, pings and the like) that a client may send at
/// once, and more of them per second.
const MOST_CONTROL: u64 = 1_000;
const CONTROL_RATE: u64 = 100;

/// Whether a client sends so many control frames that it keeps us busy for nothing (CVE-2019-9512,
/// CVE-2019-9515, CVE-2019-9518).
fn is_flood(control: u64, pace: &IdleTracker) -> bool {
    control > MOST_CONTROL
        && control - MOST_CONTROL > pace.began.elapsed().as_secs().saturating_mul(CONTROL_RATE)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NEVER - 1)
}

/// A request under way; dropping it ends it.
#[derive(Debug)]
pub(crate) struct UnderWay {
    pace: Arc<IdleTracker>,
    /// Among the requests of shared connections.
    pub(crate) place: Option<Permit>,
    /// What the request's body takes of the room for bodies.
    pub(crate) room: Option<Arc<BodyBudget>>,
}

impl UnderWay {
    /// The body of the request's answer: the request ends with it.
    pub(crate) fn answer(self, body: Body) -> Paced {
        // Over a connection of its own a client that takes nothing is noticed by the stream.
        let hold = self.pace.is_shared() && !body.is_end_stream();
        let mut paced = Paced {
            body,
            under_way: self,
            held: None,
        };
        if hold {
            paced.hold(true);
        }
        paced
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
pub(crate) struct Paced {
    body: Body,
    under_way: UnderWay,
    /// Its number among the answers that wait for the client; `None` while we have nothing to send.
    held: Option<u64>,
}

impl Paced {
    fn hold(&mut self, hold: bool) {
        if !hold && self.held.is_none() {
            return;
        }
        let pace = &self.under_way.pace;
        let now = pace.now();
        let mut held = pace.held();
        if let Some(number) = self.held.take() {
            held.since.retain(|(other, _)| *other != number);
        }
        if hold {
            let number = held.next;
            held.next = held.next.wrapping_add(1);
            held.since.push((number, now));
            self.held = Some(number);
        }
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
        if self.under_way.pace.is_shared() {
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
        self.hold(false);
    }
}

/// A client's stream, which notes what is waited for. What was read of it before comes first.
#[derive(Debug)]
pub(crate) struct TrackedStream<S> {
    stream: S,
    /// Read before, and not yet handed on.
    before: Bytes,
    pace: Arc<IdleTracker>,
    frames: Frames,
}

impl<S> TrackedStream<S> {
    pub(crate) fn new(stream: S, before: Bytes, pace: Arc<IdleTracker>) -> Self {
        Self {
            stream,
            before,
            pace,
            frames: Frames::after_preface(),
        }
    }

    fn note(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if bytes.is_empty() {
        } else if self.pace.is_shared() {
            let ended = self.frames.feed(bytes);
            self.pace.framed(bytes.len(), ended, self.frames.is_open());
            if is_flood(self.frames.control(), &self.pace) {
                return Err(std::io::Error::other("too many HTTP/2 control frames"));
            }
        } else {
            self.pace.heard(bytes.len());
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TrackedStream<S> {
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
        Poll::Ready(line.note(buffer.filled().get(filled..).unwrap_or_default()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TrackedStream<S> {
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
    fn pace(seconds: u64, shared: bool) -> Arc<IdleTracker> {
        let pace = IdleTracker::new(Instant::now() - Duration::from_secs(seconds));
        if shared {
            pace.share();
        }
        pace
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
        pace.heard(1);
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
            assert_eq!(pace.answers_held().0, held);
            for (_, since) in &mut pace.held().since {
                *since = 0;
            }
            let look = pace.look(PATIENCE);
            assert_eq!(matches!(look, Look::Slow(_)), shared, "{look:?}");
            let mut context = Context::from_waker(std::task::Waker::noop());
            while let Poll::Ready(Some(_)) = Pin::new(&mut answer).poll_frame(&mut context) {}
            assert_eq!(pace.answers_held().0, 0);
            drop(answer);
            assert!(!pace.is_busy());
            assert!(matches!(pace.look(PATIENCE), Look::Again(_)));
        }
    }

    #[test]
    fn frames_that_end_are_progress() {
        let pace = pace(20, true);
        pace.framed(1, false, true);
        assert_eq!(pace.look(PATIENCE), Look::Slow("sending its request"));
        pace.framed(1, true, true);
        assert!(matches!(pace.look(PATIENCE), Look::Again(_)));
        pace.framed(1, true, false);
        assert_eq!(pace.reading.load(Ordering::Relaxed), NEVER);
    }

    #[test]
    fn one_answer_that_is_taken_does_not_excuse_another() {
        let pace = pace(1_000, true);
        pace.reading.store(NEVER, Ordering::Relaxed);
        let _left = pace.begin().answer(Body::from("never taken"));
        pace.held().since[0].1 = 0;
        let mut taken = pace.begin().answer(Body::from("taken"));
        let mut context = Context::from_waker(std::task::Waker::noop());
        while let Poll::Ready(Some(_)) = Pin::new(&mut taken).poll_frame(&mut context) {}
        assert_eq!(pace.look(PATIENCE), Look::Slow("taking its answer"));
    }

    #[test]
    fn a_connection_stands_idle_stalled_or_busy() {
        let silent = pace(5, false);
        assert!(matches!(silent.standing(), Activity::Idle(5_000..)));
        silent.heard(3);
        assert!(
            matches!(silent.standing(), Activity::Stalled(5_000..)),
            "a head does not come"
        );
        silent.heard(1 << 20);
        assert_eq!(silent.standing(), Activity::Busy, "it comes on");
        let request = silent.begin();
        assert_eq!(silent.standing(), Activity::Busy, "it is being decided");
        silent.body_waits();
        assert_eq!(silent.standing(), Activity::Busy, "only since now");
        silent.body_since.store(0, Ordering::Relaxed);
        assert!(matches!(silent.standing(), Activity::Stalled(_)));
        silent.body_came();
        assert_eq!(silent.standing(), Activity::Busy);
        drop(request);
        assert!(matches!(silent.standing(), Activity::Idle(_)));
        silent.writing.store(0, Ordering::Relaxed);
        assert!(
            matches!(silent.standing(), Activity::Stalled(_)),
            "it takes nothing"
        );
    }

    #[test]
    fn a_shared_connection_is_busy_while_one_request_is() {
        let pace = pace(100, true);
        pace.reading.store(NEVER, Ordering::Relaxed);
        let (_one, two) = (pace.begin(), pace.begin());
        pace.body_waits();
        pace.body_since.store(0, Ordering::Relaxed);
        assert_eq!(pace.standing(), Activity::Busy);
        drop(two);
        assert!(matches!(pace.standing(), Activity::Stalled(_)));
    }
}
