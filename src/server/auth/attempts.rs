//! Failed attempts, bounded for each address.

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use lru::LruCache;

/// Failed attempts that an address has at once, and again one each second.
const BURST: NonZeroU32 = NonZeroU32::new(20).unwrap();
/// Addresses that are remembered; the longest quiet one is forgotten first.
const ADDRESSES: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// Counts failed attempts by address.
#[derive(Debug)]
pub(super) struct Attempts(Mutex<LruCache<IpAddr, Known>>);

/// What an address did.
#[derive(Debug)]
struct Known {
    rate: DefaultDirectRateLimiter,
    /// Until when it has had too many.
    over_until: Instant,
}

impl Attempts {
    pub(super) fn new() -> Self {
        Self(Mutex::new(LruCache::new(ADDRESSES)))
    }

    /// Whether the next failed attempt of an address would be too many; counts nothing.
    pub(super) fn exhausted(&self, address: Option<IpAddr>) -> bool {
        let Some(address) = address else {
            return false;
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(&network(address));
        known.is_some_and(|known| Instant::now() < known.over_until)
    }

    /// Counts one; `Err` with the seconds to wait when there were too many. Peers without an address
    /// (on a Unix socket) are known to the system and not counted.
    pub(super) fn failed(&self, address: Option<IpAddr>) -> Result<(), u64> {
        let Some(address) = address else {
            return Ok(());
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get_or_insert_mut(network(address), || Known {
            rate: RateLimiter::direct(Quota::per_second(NonZeroU32::MIN).allow_burst(BURST)),
            over_until: Instant::now(),
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
