//! Failed attempts, bounded for each address.

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::base::hash;
use crate::base::hash::Lru;
use crate::base::lock::lock;

/// Failed attempts that an address has at once, and again one each second.
const BURST: NonZeroU32 = NonZeroU32::new(20).unwrap();
/// How long a good token from an address lets further new tokens from there be verified.
const GOOD: Duration = Duration::from_secs(600);
/// Addresses that are remembered; the least recently used one is forgotten first.
const ADDRESSES: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// Counts failed attempts by address.
#[derive(Debug)]
pub(super) struct Attempts(Mutex<Lru<IpAddr, Known>>);

/// What an address did.
#[derive(Debug)]
struct Known {
    rate: DefaultDirectRateLimiter,
    /// Until when it has had too many.
    over_until: Instant,
    /// Until when a good token from it lets further new tokens be verified.
    good_until: Option<Instant>,
}

impl Attempts {
    pub(super) fn new() -> Self {
        Self(Mutex::new(hash::lru(ADDRESSES)))
    }

    /// Whether the next failed attempt of an address would be too many; counts nothing.
    pub(super) fn exhausted(&self, address: Option<IpAddr>) -> bool {
        let Some(address) = address else {
            return false;
        };
        let mut all = lock(&self.0);
        let known = all.get(&network(address));
        let now = Instant::now();
        known.is_some_and(|known| {
            now < known.over_until && known.good_until.is_none_or(|until| until <= now)
        })
    }

    /// A good token came from an address: others behind it are not held back for a while.
    pub(super) fn good(&self, address: Option<IpAddr>) {
        let Some(address) = address else {
            return;
        };
        let mut all = lock(&self.0);
        if let Some(known) = all.get_mut(&network(address)) {
            known.good_until = Some(Instant::now() + GOOD);
        }
    }

    /// The seconds for which an address has to wait.
    pub(super) fn wait(&self, address: Option<IpAddr>) -> u64 {
        let address = address.map(network);
        let all = lock(&self.0);
        let known = address.and_then(|address| all.peek(&address));
        let until = known.map(|known| known.over_until.saturating_duration_since(Instant::now()));
        until.unwrap_or_default().as_secs() + 1
    }

    /// Counts one; `Err` with the seconds to wait when there were too many. Peers without an address
    /// (on a Unix socket) are known to the system and not counted.
    pub(super) fn failed(&self, address: Option<IpAddr>) -> Result<(), u64> {
        let Some(address) = address else {
            return Ok(());
        };
        let mut all = lock(&self.0);
        let known = all.get_or_insert_mut(network(address), || Known {
            rate: RateLimiter::direct(Quota::per_second(NonZeroU32::MIN).allow_burst(BURST)),
            over_until: Instant::now(),
            good_until: None,
        });
        known.rate.check().map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            known.over_until = Instant::now() + wait;
            wait.as_secs() + 1
        })
    }
}

/// What one subscriber holds: an IPv4 address, or a /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_bounded_and_others_are_not() {
        let attempts = Attempts::new();
        let of = |text: &str| Some(text.parse().unwrap());
        for _ in 0..BURST.get() {
            assert_eq!(attempts.failed(of("2001:db8::1")), Ok(()));
        }
        // Another address of the same subscriber.
        assert!(matches!(attempts.failed(of("2001:db8::2")), Err(1..=2)));
        assert_eq!(attempts.failed(of("2001:db8:0:1::1")), Ok(()));
        assert_eq!(attempts.failed(of("192.0.2.1")), Ok(()));
        assert_eq!(attempts.failed(None), Ok(()));
        assert!(attempts.exhausted(of("2001:db8::3")));
        assert!(!attempts.exhausted(of("192.0.2.1")));
    }
}
