//! How much each caller may ask for: requests per second and requests under way.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::base::caller::{Caller, CallerLimits};
use crate::base::hash;
use crate::base::hash::Lru;
use crate::base::lock::lock;
use crate::base::words::words;
use crate::service::http::problem::Problem;

words! {
    /// What a request is for; each class has its own bound.
    pub(crate) enum Class by name {
        /// Decisions.
        Decide = "decide",
        /// Everything that reads or changes what decides.
        Manage = "manage",
        /// Probes and metrics: never bounded, so that an operator sees what happens.
        Operate = "operate",
    }
}

/// Bounds of callers that have none of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Defaults {
    pub(crate) decide: CallerLimits,
    pub(crate) manage: CallerLimits,
}

/// Callers whose use is remembered; the least recently used one is forgotten first.
const CALLERS: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

type Rate = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// Bounds what callers ask for.
#[derive(Debug)]
pub(crate) struct Limiter {
    defaults: ArcSwap<Defaults>,
    rooms: Mutex<Lru<(String, Class, CallerLimits), Arc<CallerUse>>>,
}

/// What one caller has used of one class.
#[derive(Debug)]
struct CallerUse {
    limits: CallerLimits,
    class: Class,
    rate: Option<Rate>,
    under_way: AtomicU32,
}

/// A request that may go on; dropping it ends it.
#[derive(Debug, Default)]
pub(crate) struct Ticket {
    room: Option<Arc<CallerUse>>,
    remaining: Option<u32>,
    /// The same for the makers of the caller's key.
    makers: Vec<Ticket>,
}

impl Limiter {
    pub(crate) fn new(defaults: Defaults) -> Self {
        Self {
            defaults: ArcSwap::from_pointee(defaults),
            rooms: Mutex::new(hash::lru(CALLERS)),
        }
    }

    /// Takes up changed bounds, from the next request on.
    pub(crate) fn set_defaults(&self, defaults: Defaults) {
        self.defaults.store(Arc::new(defaults));
    }

    /// Lets a request of a caller go on, or says when to try again.
    ///
    /// A key counts for each of its makers that has limits of its own: clones of a bounded key have no more
    /// room than the one. Its own limits come first, so that it cannot use up its makers' by being refused.
    pub(crate) fn admit(&self, caller: &Caller, class: Class) -> Result<Ticket, Problem> {
        let makers = caller.bounded_makers();
        let (own, makers) = match class {
            Class::Operate => return Ok(Ticket::default()),
            Class::Decide => {
                let own = caller.limits();
                let own = own.unwrap_or_else(|| self.defaults.load().decide);
                (self.enter(caller.id(), class, own)?, makers)
            }
            // Limits of a caller's own are for what it asks all day; managing has a limit of its own, which
            // the keys of a bounded caller share.
            Class::Manage => {
                let manage = self.defaults.load().manage;
                (self.enter(caller.counts_for(), class, manage)?, &[][..])
            }
        };
        let mut ticket = own;
        for (maker, limits) in makers {
            ticket.makers.push(self.enter(maker, class, *limits)?);
        }
        Ok(ticket)
    }

    fn enter(&self, id: &str, class: Class, limits: CallerLimits) -> Result<Ticket, Problem> {
        if limits.is_bounded() {
            self.room(id, class, limits).admit()
        } else {
            Ok(Ticket::default())
        }
    }

    fn room(&self, id: &str, class: Class, limits: CallerLimits) -> Arc<CallerUse> {
        let mut rooms = lock(&self.rooms);
        // By the limits too, so that changed ones hold at once.
        let key = (id.to_owned(), class, limits);
        let room = rooms.get_or_insert(key, || Arc::new(CallerUse::new(class, limits)));
        Arc::clone(room)
    }
}

impl CallerUse {
    fn new(class: Class, limits: CallerLimits) -> Self {
        let rate = NonZeroU32::new(limits.requests_per_second).map(|per_second| {
            let burst = NonZeroU32::new(limits.burst).unwrap_or(per_second);
            RateLimiter::direct(Quota::per_second(per_second).allow_burst(burst))
                .with_middleware::<StateInformationMiddleware>()
        });
        Self {
            limits,
            class,
            rate,
            under_way: AtomicU32::new(0),
        }
    }

    fn admit(self: Arc<Self>) -> Result<Ticket, Problem> {
        let most = self.limits.concurrent;
        let before = self.under_way.fetch_add(1, Ordering::AcqRel);
        // From here on the ticket gives the place back.
        let mut ticket = Ticket {
            room: Some(Arc::clone(&self)),
            remaining: None,
            makers: Vec::new(),
        };
        if most != 0 && before >= most {
            let detail = format!(
                "this caller, or the maker of its key, has {most} requests under way: its limit"
            );
            return Err(self.refuse("too_many_under_way", detail, 1));
        }
        if let Some(rate) = &self.rate {
            match rate.check() {
                Ok(left) => ticket.remaining = Some(left.remaining_burst_capacity()),
                Err(until) => {
                    let wait = until.wait_time_from(DefaultClock::default().now());
                    let detail = format!(
                        "this caller, with the maker of its key, may send {} requests a second here",
                        self.limits.requests_per_second
                    );
                    return Err(self.refuse("rate_limited", detail, wait.as_secs() + 1));
                }
            }
        }
        Ok(ticket)
    }

    fn refuse(&self, code: &'static str, detail: String, wait: u64) -> Problem {
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, code, detail).retry_after(wait);
        let headers = self.headers(0).into_iter().flatten();
        headers.fold(problem, |problem, (name, value)| {
            problem.header(name, value)
        })
    }

    /// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers): the burst in the time
    /// in which it comes back, and what is left of it.
    fn headers(&self, remaining: u32) -> Option<[(HeaderName, HeaderValue); 2]> {
        self.rate.as_ref()?;
        let per_second = self.limits.requests_per_second.max(1);
        let burst = self.limits.burst_in_effect().max(1);
        let window = burst.div_ceil(per_second);
        let reset = burst.saturating_sub(remaining).div_ceil(per_second);
        let name = self.class.name();
        let policy = format!("\"{name}\";q={burst};w={window}");
        let limit = format!("\"{name}\";r={remaining};t={reset}");
        Some([
            (POLICY, HeaderValue::from_str(&policy).ok()?),
            (LIMIT, HeaderValue::from_str(&limit).ok()?),
        ])
    }
}

impl Ticket {
    /// Tells the client what is left to it.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        if let (Some(room), Some(remaining)) = (&self.room, self.remaining) {
            headers.extend(room.headers(remaining).into_iter().flatten());
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(room) = &self.room {
            room.under_way.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(requests_per_second: u32, burst: u32, concurrent: u32) -> CallerLimits {
        CallerLimits {
            requests_per_second,
            burst,
            concurrent,
        }
    }

    #[test]
    fn a_caller_is_bounded_by_rate_and_others_are_not() {
        let limiter = Limiter::new(Defaults {
            decide: limits(1, 2, 0),
            manage: limits(1, 1, 0),
        });
        let one = Caller::anonymous();
        assert!(limiter.admit(&one, Class::Decide).is_ok());
        let ticket = limiter.admit(&one, Class::Decide).unwrap();
        let mut headers = HeaderMap::new();
        ticket.tell(&mut headers);
        assert_eq!(headers.get(POLICY).unwrap(), "\"decide\";q=2;w=2");
        assert_eq!(headers.get(LIMIT).unwrap(), "\"decide\";r=0;t=2");
        let refused = limiter.admit(&one, Class::Decide).unwrap_err();
        assert_eq!(refused.code(), "rate_limited");
        let response = refused.respond(None);
        assert_eq!(response.headers().get("retry-after").unwrap(), "1");
        assert!(response.headers().contains_key(LIMIT));
        // One of the same name but other bounds is bounded by itself, and gives nothing back.
        let namesake = Caller::anonymous().with_limits(limits(1, 3, 0));
        assert!(limiter.admit(&namesake, Class::Decide).is_ok());
        assert!(limiter.admit(&one, Class::Decide).is_err());
        // Another class, another caller, and a caller with bounds of its own.
        assert!(limiter.admit(&one, Class::Manage).is_ok());
        assert!(limiter.admit(&one, Class::Operate).is_ok());
        assert!(limiter.admit(&Caller::library(), Class::Decide).is_ok());
        let own = Caller::anonymous().with_limits(limits(1_000, 0, 0));
        assert!(limiter.admit(&own, Class::Decide).is_ok());
    }

    #[test]
    fn clones_of_a_bounded_key_have_one_room() {
        let limiter = Limiter::new(Defaults {
            decide: CallerLimits::default(),
            manage: limits(1, 2, 0),
        });
        let key = |id: &str, limits: CallerLimits| {
            let key = Caller::library().of_key(format!("key:{id}"));
            key.with_limits(limits)
        };
        let maker = key("maker", limits(1, 4, 2));
        let clones: Vec<_> = (0..5)
            .map(|n| key(&format!("clone{n}"), limits(1, 2, 0)).under(&maker))
            .collect();
        let admitted = |caller: &Caller| limiter.admit(caller, Class::Decide).is_ok();
        // One that is refused by its own limits uses up nothing of the others'.
        assert_eq!((0..10).filter(|_| admitted(&clones[0])).count(), 2);
        assert_eq!(clones.iter().filter(|clone| admitted(clone)).count(), 2);
        assert!(!admitted(&maker));
        // Requests under way are shared too.
        let slow = key("slow", limits(0, 0, 2));
        let clone = |n: u32| key(&format!("slow{n}"), CallerLimits::default()).under(&slow);
        let held: Vec<_> = (0..5)
            .filter_map(|n| limiter.admit(&clone(n), Class::Decide).ok())
            .collect();
        assert_eq!(held.len(), 2);
        drop(held);
        assert!(admitted(&clone(9)));
        // And so is managing.
        let managed = |caller: &Caller| limiter.admit(caller, Class::Manage).is_ok();
        assert_eq!(clones.iter().filter(|clone| managed(clone)).count(), 2);
        assert!(managed(&Caller::anonymous()));
    }

    #[test]
    fn requests_under_way_are_bounded_and_given_back() {
        let limiter = Limiter::new(Defaults::default());
        let caller = Caller::anonymous().with_limits(limits(0, 0, 1));
        let first = limiter.admit(&caller, Class::Decide).unwrap();
        let refused = limiter.admit(&caller, Class::Decide).unwrap_err();
        assert_eq!(refused.code(), "too_many_under_way");
        drop(first);
        assert!(limiter.admit(&caller, Class::Decide).is_ok());
    }
}
