//! Bodies of requests as they arrive: the memory that all of them take together, and which unfinished one
//! gives way when there is no room for another.
//!
//! What enters: a request's body as `hyper` reads it. What leaves: the same body, charged to one budget.
//! The first [`FREE`] bytes of each body are not charged: the number of requests bounds them, so small
//! requests go on while large bodies hold the whole budget. A body is charged until its request is
//! answered.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

use super::connections::{Origin, share};
use super::pace::IdleTracker;
use crate::base::lock::lock;

/// Bytes of each body that are not charged.
pub(crate) const FREE: usize = 32 << 10;
/// A body is collected into a buffer that doubles: so many bytes of memory for one that came.
const OVERHEAD: usize = 2;
/// A body that is younger than this does not give way to another.
const YOUNG: Duration = Duration::from_millis(200);
/// Not in the table yet.
const NOT_LISTED: u64 = u64::MAX;

/// The budget of all bodies. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Bodies(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    table: Mutex<Table>,
    next: AtomicU64,
    evicted: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug)]
struct Table {
    most: usize,
    /// Bytes that one address may take, in percent.
    percent: usize,
    used: usize,
    rooms: HashMap<u64, Listed>,
    origins: HashMap<Origin, usize>,
}

/// A body that is waited for, or charged.
#[derive(Debug)]
struct Listed {
    room: Weak<BodyBudget>,
    origin: Origin,
    /// The connection, by the place of its pace in memory.
    connection: usize,
    shared: bool,
    began: Instant,
    charged: usize,
    unfinished: bool,
}

/// What one request's body takes; dropping it gives everything back.
#[derive(Debug)]
pub(crate) struct BodyBudget {
    bodies: Arc<Inner>,
    origin: Origin,
    pace: Arc<IdleTracker>,
    number: AtomicU64,
    /// Set when the body must give way.
    gone: AtomicBool,
    /// Set when the body was read to its end.
    whole: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// Why a body is not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turned {
    /// It gave way to another.
    GaveWay,
    /// It found no room.
    NoRoom,
}

impl fmt::Display for Turned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GaveWay => {
                "the body was not complete when its room was needed for another request"
            }
            Self::NoRoom => "the memory for request bodies is used up",
        })
    }
}

impl Error for Turned {}

impl Turned {
    /// The reason within an error of a body, where it is one of these.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(turned) = error.downcast_ref() {
                return Some(*turned);
            }
            next = error.source();
        }
        None
    }
}

impl Bodies {
    pub(crate) fn new(most: usize, percent: usize) -> Self {
        Self(Arc::new(Inner {
            table: Mutex::new(Table {
                most,
                percent,
                used: 0,
                rooms: HashMap::new(),
                origins: HashMap::new(),
            }),
            next: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }))
    }

    /// The room of a request that begins.
    pub(crate) fn room(&self, origin: Origin, pace: &Arc<IdleTracker>) -> Arc<BodyBudget> {
        Arc::new(BodyBudget {
            bodies: Arc::clone(&self.0),
            origin,
            pace: Arc::clone(pace),
            number: AtomicU64::new(NOT_LISTED),
            gone: AtomicBool::new(false),
            whole: AtomicBool::new(false),
            waker: Mutex::default(),
        })
    }

    /// Ends the request over HTTP/2 that has waited longest for its body, of the connection that has the
    /// most such requests; whether there was one. However young it is: who opens many streams loses its own.
    pub(crate) fn end_a_stream(&self) -> bool {
        let mut table = self.0.table();
        let mut waiting: HashMap<usize, usize> = HashMap::new();
        let streams = || table.rooms.iter().filter(|(_, l)| l.shared && l.unfinished);
        for (_, listed) in streams() {
            *waiting.entry(listed.connection).or_default() += 1;
        }
        let crowd = |listed: &Listed| waiting.get(&listed.connection).copied().unwrap_or_default();
        let victim = streams()
            .max_by_key(|(_, listed)| (crowd(listed), std::cmp::Reverse(listed.began)))
            .map(|(number, _)| *number);
        victim.is_some_and(|number| self.0.evict(&mut table, number))
    }

    /// Changes the bounds. Bodies beyond a smaller one stay until they end.
    pub(crate) fn resize(&self, most: usize, percent: usize) {
        let mut table = self.0.table();
        (table.most, table.percent) = (most, percent);
    }

    /// Bytes that are charged, and how many may be.
    pub(crate) fn used(&self) -> (usize, usize) {
        let table = self.0.table();
        (table.used, table.most)
    }

    /// Requests whose body gave way to others.
    pub(crate) fn evicted(&self) -> u64 {
        self.0.evicted.load(Ordering::Relaxed)
    }

    /// Requests whose body found no room.
    pub(crate) fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }
}

impl Inner {
    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }

    /// Ends the request of this body, and gives its room back at once; whether it was still there.
    fn evict(&self, table: &mut Table, number: u64) -> bool {
        let Some(listed) = table.remove(number) else {
            return false;
        };
        if let Some(room) = listed.room.upgrade() {
            room.gone.store(true, Ordering::Relaxed);
            // This may be the last reference. Its drop must not look for its entry, because the table is locked.
            room.number.store(NOT_LISTED, Ordering::Relaxed);
            if let Some(waker) = room.waker().take() {
                waker.wake();
            }
        }
        self.evicted.fetch_add(1, Ordering::Relaxed);
        true
    }
}

impl Table {
    fn remove(&mut self, number: u64) -> Option<Listed> {
        let listed = self.rooms.remove(&number)?;
        self.used = self.used.saturating_sub(listed.charged);
        if let Some(bytes) = self.origins.get_mut(&listed.origin) {
            *bytes = bytes.saturating_sub(listed.charged);
            if *bytes == 0 {
                self.origins.remove(&listed.origin);
            }
        }
        Some(listed)
    }

    /// The unfinished body that has held the most bytes for the longest time.
    fn heaviest(&self, of: Option<Origin>) -> Option<u64> {
        let candidates = self.rooms.iter().filter(|(_, listed)| {
            listed.unfinished
                && listed.charged > 0
                && listed.began.elapsed() >= YOUNG
                && of.is_none_or(|of| of == listed.origin)
        });
        let weight = |listed: &Listed| listed.charged as u128 * listed.began.elapsed().as_millis();
        let heaviest = candidates.max_by_key(|(_, listed)| weight(listed));
        heaviest.map(|(number, _)| *number)
    }
}

impl BodyBudget {
    /// Whether the body was read to its end.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole.load(Ordering::Relaxed)
    }

    /// Whether the body had to give way.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        lock(&self.waker)
    }

    /// The body's entry in the table, which is made when it is first needed.
    fn listed<'a>(self: &Arc<Self>, table: &'a mut Table) -> &'a mut Listed {
        let mut number = self.number.load(Ordering::Relaxed);
        if number == NOT_LISTED {
            number = self.bodies.next.fetch_add(1, Ordering::Relaxed);
            self.number.store(number, Ordering::Relaxed);
        }
        table.rooms.entry(number).or_insert_with(|| Listed {
            room: Arc::downgrade(self),
            origin: self.origin,
            connection: Arc::as_ptr(&self.pace).addr(),
            shared: self.pace.is_shared(),
            began: Instant::now(),
            charged: 0,
            unfinished: true,
        })
    }

    /// The body is waited for.
    fn wait(self: &Arc<Self>) {
        self.pace.body_waits();
        let mut table = self.bodies.table();
        self.listed(&mut table);
    }

    /// The body is complete, or is not read any further.
    fn finish(&self, waited: bool) {
        if waited {
            self.pace.body_came();
        }
        let number = self.number.load(Ordering::Relaxed);
        if number != NOT_LISTED {
            let mut table = self.bodies.table();
            match table.rooms.get_mut(&number) {
                Some(listed) if listed.charged > 0 => listed.unfinished = false,
                _ => drop(table.remove(number)),
            }
        }
    }

    /// Takes room for more bytes, if need be that of other bodies.
    fn charge(self: &Arc<Self>, bytes: usize) -> Result<(), Turned> {
        let mut table = self.bodies.table();
        let table = &mut *table;
        // A body gives way only while the table is locked, so this holds until the end.
        if self.is_gone() {
            return Err(Turned::GaveWay);
        }
        self.listed(table);
        let number = self.number.load(Ordering::Relaxed);
        loop {
            let own = table.origins.get(&self.origin).copied().unwrap_or_default();
            let victim = if own.saturating_add(bytes) > share(table.most, table.percent) {
                table.heaviest(Some(self.origin))
            } else if table.used.saturating_add(bytes) > table.most {
                table.heaviest(None)
            } else {
                break;
            };
            match victim {
                Some(other) if other != number => {
                    self.bodies.evict(table, other);
                }
                _ => {
                    self.bodies.refused.fetch_add(1, Ordering::Relaxed);
                    return Err(Turned::NoRoom);
                }
            }
        }
        table.used = table.used.saturating_add(bytes);
        let own = table.origins.entry(self.origin).or_default();
        *own = own.saturating_add(bytes);
        let listed = self.listed(table);
        listed.charged = listed.charged.saturating_add(bytes);
        Ok(())
    }
}

impl Drop for BodyBudget {
    fn drop(&mut self) {
        let number = self.number.load(Ordering::Relaxed);
        if number != NOT_LISTED {
            self.bodies.table().remove(number);
        }
    }
}

/// A request's body as it arrives.
#[derive(Debug)]
pub(crate) struct Arriving<B = Incoming> {
    body: B,
    room: Arc<BodyBudget>,
    came: usize,
    waited: bool,
    finished: bool,
}

impl<B> Arriving<B> {
    pub(crate) fn new(body: B, room: Arc<BodyBudget>) -> Self {
        Self {
            body,
            room,
            came: 0,
            waited: false,
            finished: false,
        }
    }

    fn finish(&mut self) {
        if !self.finished {
            self.finished = true;
            self.room.finish(self.waited);
        }
    }

    /// Charges what came beyond the bytes that are free.
    fn take(&mut self, bytes: usize) -> Result<(), Turned> {
        let before = self.came.max(FREE);
        self.came = self.came.saturating_add(bytes);
        let more = self.came.max(FREE) - before;
        if more == 0 {
            return Ok(());
        }
        self.room.charge(more.saturating_mul(OVERHEAD))
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Arriving<B>
where
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let arriving = &mut *self;
        if arriving.room.is_gone() {
            return Poll::Ready(Some(Err(Turned::GaveWay.into())));
        }
        match Pin::new(&mut arriving.body).poll_frame(context) {
            Poll::Pending => {
                *arriving.room.waker() = Some(context.waker().clone());
                // It may have had to give way before there was anybody to wake.
                if arriving.room.is_gone() {
                    return Poll::Ready(Some(Err(Turned::GaveWay.into())));
                }
                if !arriving.waited {
                    arriving.waited = true;
                    arriving.room.wait();
                }
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                if let Err(turned) = arriving.take(bytes) {
                    return Poll::Ready(Some(Err(turned.into())));
                }
                if arriving.body.is_end_stream() {
                    arriving.room.whole.store(true, Ordering::Relaxed);
                    arriving.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => {
                arriving.room.whole.store(true, Ordering::Relaxed);
                arriving.finish();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Arriving<B> {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(last: u8) -> Origin {
        Origin::new(Some([10, 0, 0, last].into()))
    }

    fn room(bodies: &Bodies, last: u8) -> Arc<BodyBudget> {
        bodies.room(origin(last), &IdleTracker::new(Instant::now()))
    }

    /// Makes a listed body older.
    fn age(bodies: &Bodies, room: &BodyBudget, by: Duration) {
        let number = room.number.load(Ordering::Relaxed);
        let mut table = bodies.0.table();
        let listed = table.rooms.get_mut(&number).unwrap();
        listed.began = listed.began.checked_sub(by).unwrap();
    }

    /// The task of a body that gives way may end at the same moment, and with it all other references.
    #[test]
    fn a_body_whose_last_reference_goes_while_it_gives_way_does_not_lock_the_table() {
        /// Drops its room when it is woken.
        struct Ends(Mutex<Option<Arc<BodyBudget>>>);

        impl std::task::Wake for Ends {
            fn wake(self: Arc<Self>) {
                drop(self.0.lock().unwrap().take());
            }
        }

        let bodies = Bodies::new(1_000, 100);
        let first = room(&bodies, 1);
        first.charge(900).unwrap();
        age(&bodies, &first, Duration::from_secs(1));
        let ends = Arc::new(Ends(Mutex::new(Some(Arc::clone(&first)))));
        *first.waker() = Some(Waker::from(ends));
        drop(first);
        let (done, waited) = std::sync::mpsc::channel();
        let theirs = bodies.clone();
        std::thread::spawn(move || done.send(room(&theirs, 2).charge(500)));
        let charged = waited.recv_timeout(Duration::from_secs(10));
        assert_eq!(charged.expect("the table stays locked"), Ok(()));
        assert_eq!(bodies.evicted(), 1);
    }

    /// One that had to give way before it waited is told so, although nobody could wake it.
    #[test]
    fn a_body_that_gave_way_before_it_waited_ends() {
        /// Nothing comes, and the room goes at this very moment.
        struct Silent(Arc<BodyBudget>);

        impl HttpBody for Silent {
            type Data = Bytes;
            type Error = std::convert::Infallible;

            fn poll_frame(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
                self.0.gone.store(true, Ordering::Relaxed);
                Poll::Pending
            }
        }

        let room = room(&Bodies::new(1_000, 100), 1);
        let mut arriving = Arriving::new(Silent(Arc::clone(&room)), room);
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(Some(Err(error))) = Pin::new(&mut arriving).poll_frame(&mut context) else {
            panic!("it waits");
        };
        assert_eq!(Turned::of(&*error), Some(Turned::GaveWay));
    }

    #[test]
    fn the_body_that_held_most_for_longest_gives_way() {
        let bodies = Bodies::new(1_000, 100);
        let (slow, slower) = (room(&bodies, 1), room(&bodies, 2));
        slow.charge(500).unwrap();
        slower.charge(400).unwrap();
        let next = room(&bodies, 3);
        assert_eq!(next.charge(200), Err(Turned::NoRoom), "all are young");
        age(&bodies, &slow, Duration::from_secs(1));
        age(&bodies, &slower, Duration::from_secs(5));
        assert_eq!(next.charge(200), Ok(()));
        assert!(slower.is_gone() && !slow.is_gone());
        assert_eq!(bodies.used(), (700, 1_000));
        drop(slower);
        assert_eq!(bodies.used().0, 700, "nothing is given back twice");
        slow.finish(false);
        age(&bodies, &slow, Duration::from_secs(100));
        assert_eq!(
            next.charge(500),
            Err(Turned::NoRoom),
            "a complete body stays"
        );
        drop((slow, next));
        assert_eq!(bodies.used().0, 0);
        assert!(bodies.0.table().rooms.is_empty() && bodies.0.table().origins.is_empty());
    }

    #[test]
    fn an_address_has_a_share() {
        let bodies = Bodies::new(1_000, 50);
        let (one, two, other) = (room(&bodies, 1), room(&bodies, 1), room(&bodies, 2));
        one.charge(400).unwrap();
        age(&bodies, &one, Duration::from_secs(1));
        other.charge(500).unwrap();
        age(&bodies, &other, Duration::from_secs(9));
        two.charge(300).unwrap();
        assert!(one.is_gone() && !other.is_gone());
    }

    #[test]
    fn small_bodies_are_free_and_larger_ones_are_charged_for_the_rest() {
        let bodies = Bodies::new(100 << 10, 100);
        let full = room(&bodies, 1);
        full.charge(100 << 10).unwrap();
        let mut small = Arriving::new((), room(&bodies, 2));
        for _ in 0..FREE {
            small.take(1).unwrap();
        }
        assert_eq!(small.take(1), Err(Turned::NoRoom));
        drop(full);
        let mut large = Arriving::new((), room(&bodies, 2));
        large.take(FREE + 10).unwrap();
        assert_eq!(bodies.used().0, 10 * OVERHEAD);
        assert_eq!(bodies.refused(), 1);
    }

    #[test]
    fn the_stream_that_waits_longest_on_the_fullest_connection_gives_way() {
        let bodies = Bodies::new(1_000, 100);
        let (many, one) = (
            IdleTracker::new(Instant::now()),
            IdleTracker::new(Instant::now()),
        );
        many.share();
        one.share();
        let rooms = [&one, &many, &many].map(|pace| bodies.room(origin(1), pace));
        for room in &rooms {
            room.wait();
        }
        let [lonely, _, oldest] = &rooms;
        age(&bodies, lonely, Duration::from_secs(60));
        age(&bodies, oldest, Duration::from_secs(1));
        assert!(bodies.end_a_stream());
        assert_eq!(
            rooms.each_ref().map(|room| room.is_gone()),
            [false, false, true]
        );
    }

    #[test]
    fn the_reason_is_found_within_errors() {
        let error = axum::Error::new(Turned::NoRoom);
        assert_eq!(Turned::of(&error), Some(Turned::NoRoom));
        assert_eq!(Turned::of(&std::io::Error::other("x")), None);
    }
}
