//! How full the server is: requests, connections and bodies beside their bounds, and what gave way or was
//! refused because there was no room.

use std::sync::Arc;

use super::Metrics;
use crate::service::http::net::bodies::Bodies;
use crate::service::http::net::connections::Connections;
use crate::service::http::net::lane::Lane;
use crate::service::http::net::permits::Permits;

/// Where the figures come from.
pub(crate) struct Capacity<'a> {
    pub(crate) requests: &'a Permits,
    pub(crate) streams: &'a Permits,
    pub(crate) connections: &'a Connections,
    pub(crate) bodies: &'a Bodies,
    pub(crate) lane: &'a Arc<Lane>,
}

impl Metrics {
    /// Shows how full the server is.
    pub(crate) fn watch_capacity(&self, watching: &Capacity<'_>) {
        for (name, most, help, places) in [
            (
                "requests_under_way",
                "requests_limit",
                "Requests that hold a place among `limits.concurrent_requests`",
                watching.requests,
            ),
            (
                "streams",
                "streams_limit",
                "Requests under way over HTTP/2",
                watching.streams,
            ),
        ] {
            let (taken, bound) = (places.clone(), places.clone());
            self.watch_gauge(name, help, move || taken.taken() as u64);
            self.watch_gauge(most, "The most there may be of them", move || {
                bound.most() as u64
            });
        }
        let of = |read: fn(&Connections) -> u64| {
            let connections = watching.connections.clone();
            move || read(&connections)
        };
        self.watch_gauge("connections", "Open connections", of(|c| c.used().0 as u64));
        self.watch_gauge(
            "connections_limit",
            "The most there may be: `limits.connections`",
            of(|c| c.used().1 as u64),
        );
        self.watch_counter(
            "connections_evicted",
            "Connections that were idle or stalled and gave way to others",
            of(Connections::evicted),
        );
        self.watch_counter(
            "connections_refused",
            "Connections that were closed because their address had its share",
            of(Connections::refused),
        );
        let of = |read: fn(&Bodies) -> u64| {
            let bodies = watching.bodies.clone();
            move || read(&bodies)
        };
        self.watch_gauge(
            "body_bytes",
            "Memory that large bodies of requests take",
            of(|b| b.used().0 as u64),
        );
        self.watch_gauge(
            "body_bytes_limit",
            "The most they may take: `limits.bodies_bytes`",
            of(|b| b.used().1 as u64),
        );
        self.watch_counter(
            "bodies_evicted",
            "Requests whose unfinished body gave way to others",
            of(Bodies::evicted),
        );
        self.watch_counter(
            "bodies_refused",
            "Requests whose body found no room",
            of(Bodies::refused),
        );
        let lane = Arc::clone(watching.lane);
        self.watch_gauge(
            "large_requests_under_way",
            "Requests with a large body that are parsed or decided",
            move || lane.working() as u64,
        );
    }
}
