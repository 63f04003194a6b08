//! Requests by route: how long they took and how they were answered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::MetricType;

use super::page::Page;

/// Upper bounds of the buckets in nanoseconds: three in each power of ten from 1 us to 100 ms, where
/// decisions are, and some for what waits.
const BOUNDS: [u64; 22] = [
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Classes of statuses.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Statuses that are told apart, the most frequent first; others are counted as [`OTHER`].
const STATUSES: [u16; 20] = [
    200, 503, 401, 403, 400, 429, 404, 405, 408, 409, 413, 415, 421, 422, 500, 501, 201, 202, 204,
    304,
];

/// What is counted under no name of its own.
const OTHER: &str = "other";

/// The routes by place in a table, and one more for paths that lead nowhere.
#[derive(Debug)]
pub(super) struct Exchanges {
    names: &'static [&'static str],
    routes: Box<[Route]>,
}

#[derive(Debug)]
struct Route {
    classes: [Latency; CLASSES.len()],
    /// By the place in [`STATUSES`], with one more for others.
    statuses: [AtomicU64; STATUSES.len() + 1],
}

/// A histogram of durations that takes two additions.
#[derive(Debug)]
struct Latency {
    /// The last one is for what is above all bounds.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

impl Exchanges {
    pub(super) fn new(names: &'static [&'static str]) -> Self {
        Self {
            names,
            routes: (0..=names.len()).map(|_| Route::new()).collect(),
        }
    }

    /// Counts an answer; `route` is a place in the table of names, or beyond it for any other path.
    pub(super) fn add(&self, route: usize, status: u16, time: Duration) {
        let Some(route) = self.routes.get(route).or(self.routes.last()) else {
            return;
        };
        let class = usize::from(status / 100).saturating_sub(1);
        if let Some(latency) = route.classes.get(class) {
            latency.observe(time);
        }
        let place = STATUSES.iter().position(|known| *known == status);
        if let Some(count) = route.statuses.get(place.unwrap_or(STATUSES.len())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn write(&self, page: &mut Page<'_>) {
        let routes = || {
            let names = self.names.iter().copied().chain([OTHER]);
            names.enumerate().zip(&self.routes)
        };
        page.write(|encoder| {
            let mut family = encoder.encode_descriptor(
                "http_request_duration_seconds",
                "Time from the head of a request to its answer, by route and class of status",
                None,
                MetricType::Histogram,
            )?;
            for ((at, name), route) in routes() {
                for (class, latency) in CLASSES.iter().zip(&route.classes) {
                    let (sum, count, buckets) = latency.read();
                    // The decisions' own are there from the start, so that rates have where to begin.
                    if count > 0 || (at == 0 && ["2xx", "4xx", "5xx"].contains(class)) {
                        let labels = [("route", name), ("class", *class)];
                        family
                            .encode_family(&labels)?
                            .encode_histogram::<[(&str, &str); 0]>(sum, count, &buckets, None)?;
                    }
                }
            }
            Ok(())
        });
        let responses = routes().flat_map(|((at, name), route)| {
            let counts = route.statuses.iter().enumerate();
            let counts = counts.map(|(place, count)| (place, count.load(Ordering::Relaxed)));
            let shown = counts.filter(move |(place, count)| *count > 0 || (at, *place) == (0, 0));
            shown.map(move |(place, count)| {
                let status = STATUSES.get(place).map(ToString::to_string);
                let status = status.unwrap_or_else(|| OTHER.to_owned());
                ([("route", name.to_owned()), ("status", status)], count)
            })
        });
        page.counters("http_responses", "Answers by route and status", responses);
    }
}

impl Route {
    fn new() -> Self {
        Self {
            classes: std::array::from_fn(|_| Latency::new()),
            statuses: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Latency {
    fn new() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            nanos: AtomicU64::new(0),
        }
    }

    fn observe(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        if let Some(bucket) = self
            .buckets
            .get(BOUNDS.partition_point(|bound| *bound < nanos))
        {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// The sum in seconds, the count, and how many there are in each bucket.
    fn read(&self) -> (f64, u64, Vec<(f64, u64)>) {
        let bounds = BOUNDS.iter().map(|nanos| *nanos as f64 / 1e9);
        let counts = self
            .buckets
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.chain([f64::INFINITY]).zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = self.nanos.load(Ordering::Relaxed) as f64 / 1e9;
        (sum, count, buckets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let latency = Latency::new();
        for nanos in [0, 1_000, 1_001, 10_000_000_000, 10_000_000_001] {
            latency.observe(Duration::from_nanos(nanos));
        }
        let (sum, count, buckets) = latency.read();
        assert!((sum - 20.000_002_002).abs() < 1e-9, "{sum}");
        assert_eq!(count, 5);
        assert_eq!(buckets[0], (1e-6, 2));
        assert_eq!(buckets[1], (2.5e-6, 1));
        assert_eq!(buckets[21], (10.0, 1));
        assert_eq!(buckets[22], (f64::INFINITY, 1));
    }

    #[test]
    fn bounds_rise() {
        assert!(BOUNDS.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
