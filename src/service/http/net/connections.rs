//! Open connections: how many there are, how many of each address, and which one gives way when there is
//! no room for another.
//!
//! What enters: an accepted connection and its [`IdleTracker`]. What leaves: an [`Entry`] that holds its place, or
//! a refusal. A connection between two requests gives way before one that keeps us waiting, and one of the
//! address that holds the most before others. A connection whose request makes progress never gives way.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;

use super::pace::{Activity, IdleTracker};
use crate::base::lock::lock;

/// How often a full table is looked at again: connections become idle without telling anybody.
const AGAIN: Duration = Duration::from_millis(20);

/// A client that has not taken an answer for so many milliseconds holds it.
const HOLDER: u64 = 500;

/// What counts as one remote address: an IPv4 address, or the /64 network of an IPv6 address, because one
/// host has all addresses of such a network. `None` is every client of a Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Origin(Option<IpAddr>);

impl Origin {
    pub(crate) fn new(address: Option<IpAddr>) -> Self {
        Self(address.map(|address| match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                IpAddr::V6(network.into())
            }
            address => address,
        }))
    }
}

/// How many places one address may take: `percent` of `most`, rounded up.
pub(crate) fn share(most: usize, percent: usize) -> usize {
    let part = (most as u128 * percent as u128).div_ceil(100);
    usize::try_from(part)
        .unwrap_or(usize::MAX)
        .clamp(1, most.max(1))
}

/// The open connections of one listener or several. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Connections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    table: Mutex<Table>,
    /// Told when a connection ends.
    freed: Notify,
    evicted: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug)]
struct Table {
    most: usize,
    /// Places that one address may take, in percent.
    percent: usize,
    next: u64,
    open: HashMap<u64, (Origin, Arc<IdleTracker>)>,
    origins: HashMap<Origin, usize>,
}

/// The place of one connection; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Entry {
    inner: Arc<Inner>,
    number: u64,
}

/// What [`Connections::try_enter`] comes to.
enum Entering {
    Entered(Entry),
    /// The address has its share, and none of its connections gives way.
    OverShare,
    /// All places are taken, and no connection gives way.
    Full,
}

impl Connections {
    pub(crate) fn new(most: usize, percent: usize) -> Self {
        Self(Arc::new(Inner {
            table: Mutex::new(Table {
                most,
                percent,
                next: 0,
                open: HashMap::new(),
                origins: HashMap::new(),
            }),
            freed: Notify::new(),
            evicted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }))
    }

    /// Waits for a place. `None` when the address has its share already and nothing of it gives way.
    pub(crate) async fn enter(
        &self,
        address: Option<IpAddr>,
        pace: &Arc<IdleTracker>,
    ) -> Option<Entry> {
        let origin = Origin::new(address);
        loop {
            match self.try_enter(origin, pace) {
                Entering::Entered(entry) => return Some(entry),
                Entering::OverShare => {
                    self.0.refused.fetch_add(1, Ordering::Relaxed);
                    return None;
                }
                Entering::Full => {
                    // Either way it looks again.
                    let _ = tokio::time::timeout(AGAIN, self.0.freed.notified()).await;
                }
            }
        }
    }

    fn try_enter(&self, origin: Origin, pace: &Arc<IdleTracker>) -> Entering {
        let mut table = self.0.table();
        let own = table.origins.get(&origin).copied().unwrap_or_default();
        let share = share(table.most, table.percent);
        // An address that may have them all waits for one like everybody else.
        if share < table.most && own >= share {
            if !self.make_room(&mut table, Some(origin)) {
                return Entering::OverShare;
            }
        } else if table.open.len() >= table.most && !self.make_room(&mut table, None) {
            return Entering::Full;
        }
        let number = table.next;
        table.next = table.next.wrapping_add(1);
        table.open.insert(number, (origin, Arc::clone(pace)));
        *table.origins.entry(origin).or_default() += 1;
        Entering::Entered(Entry {
            inner: Arc::clone(&self.0),
            number,
        })
    }

    /// Ends one connection, of an address or of any; whether there was one to end.
    fn make_room(&self, table: &mut Table, of: Option<Origin>) -> bool {
        let candidates = table.open.iter();
        let candidates = candidates.filter(|(_, (origin, _))| of.is_none_or(|of| of == *origin));
        let victim = candidates
            .filter_map(|(number, (origin, pace))| {
                let (idle, since) = match pace.standing() {
                    Activity::Busy => return None,
                    Activity::Idle(since) => (true, since),
                    Activity::Stalled(since) => (false, since),
                };
                let crowd = table.origins.get(origin).copied().unwrap_or_default();
                Some(((idle, crowd, since), *number))
            })
            .max();
        let Some((_, number)) = victim else {
            return false;
        };
        if let Some(pace) = table.remove(number) {
            pace.give_way();
        }
        self.0.evicted.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Ends the connection that has the most answers which its client has not taken for a while, if there is
    /// one.
    pub(crate) fn end_a_holder(&self) {
        let mut table = self.0.table();
        let holders = table.open.iter().filter_map(|(number, (_, pace))| {
            let (held, oldest) = pace.answers_held();
            (held > 0 && oldest >= HOLDER).then_some((held, oldest, *number))
        });
        if let Some((_, _, number)) = holders.max()
            && let Some(pace) = table.remove(number)
        {
            pace.cut();
            self.0.evicted.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Changes the bounds. Connections beyond a smaller one stay until they end.
    pub(crate) fn resize(&self, most: usize, percent: usize) {
        let mut table = self.0.table();
        (table.most, table.percent) = (most, percent);
        self.0.freed.notify_waiters();
    }

    /// How many are open, and how many there may be.
    pub(crate) fn used(&self) -> (usize, usize) {
        let table = self.0.table();
        (table.open.len(), table.most)
    }

    /// How many gave way to others.
    pub(crate) fn evicted(&self) -> u64 {
        self.0.evicted.load(Ordering::Relaxed)
    }

    /// How many were refused because their address had its share.
    pub(crate) fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }
}

impl Inner {
    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }
}

impl Table {
    fn remove(&mut self, number: u64) -> Option<Arc<IdleTracker>> {
        let (origin, pace) = self.open.remove(&number)?;
        if let Some(count) = self.origins.get_mut(&origin) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.origins.remove(&origin);
            }
        }
        Some(pace)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // One that gave way has left already.
        self.inner.table().remove(self.number);
        self.inner.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn pace(seconds: u64) -> Arc<IdleTracker> {
        IdleTracker::new(Instant::now() - Duration::from_secs(seconds))
    }

    fn entered(connections: &Connections, address: &str, pace: &Arc<IdleTracker>) -> Option<Entry> {
        let origin = Origin::new(Some(address.parse().unwrap()));
        match connections.try_enter(origin, pace) {
            Entering::Entered(entry) => Some(entry),
            Entering::OverShare | Entering::Full => None,
        }
    }

    #[test]
    fn the_longest_idle_connection_gives_way_and_a_busy_one_never() {
        let connections = Connections::new(3, 100);
        let (old, older, busy) = (pace(5), pace(50), pace(500));
        let _request = busy.begin();
        let held: Vec<_> = [&old, &older, &busy]
            .into_iter()
            .map(|pace| entered(&connections, "10.0.0.1", pace).unwrap())
            .collect();
        let _new = entered(&connections, "10.0.0.2", &pace(0)).unwrap();
        assert!(older.gave_way() && !old.gave_way() && !busy.gave_way());
        assert_eq!((connections.used(), connections.evicted()), ((3, 3), 1));
        drop(held);
        assert_eq!(connections.used().0, 1);
    }

    #[test]
    fn nobody_gives_way_to_whom_there_is_no_room_for() {
        let connections = Connections::new(2, 100);
        let busy = [pace(1), pace(1)];
        let _requests = busy.each_ref().map(IdleTracker::begin);
        let _held = busy
            .each_ref()
            .map(|p| entered(&connections, "::1", p).unwrap());
        for address in ["10.0.0.2", "::1"] {
            let origin = Origin::new(Some(address.parse().unwrap()));
            let entering = connections.try_enter(origin, &pace(0));
            assert!(matches!(entering, Entering::Full), "{address} waits");
        }
    }

    #[test]
    fn an_address_has_a_share_and_an_ipv6_network_is_one_address() {
        let connections = Connections::new(4, 75);
        let busy = [pace(1), pace(1), pace(1), pace(1)];
        let _requests = busy.each_ref().map(IdleTracker::begin);
        let [one, two, three, four] = &busy;
        let _held = [
            entered(&connections, "2001:db8::1", one).unwrap(),
            entered(&connections, "2001:db8::2", two).unwrap(),
            entered(&connections, "2001:db8:0:0:9::", three).unwrap(),
        ];
        assert!(entered(&connections, "2001:db8::4", four).is_none());
        assert!(entered(&connections, "::ffff:10.0.0.1", four).is_some());
        let mapped = Origin::new(Some("::ffff:10.0.0.1".parse().unwrap()));
        assert_eq!(mapped, Origin::new(Some("10.0.0.1".parse().unwrap())));
    }

    #[test]
    fn shares_are_rounded_up() {
        for (most, percent, expect) in [(1, 1, 1), (2, 75, 2), (1024, 75, 768), (10, 100, 10)] {
            assert_eq!(share(most, percent), expect);
        }
    }
}
