//! How full the server is: requests, connections and bodies beside their bounds, and what gave way or was
//! refused because there was no room.

use std::sync::Arc;

use super::Metrics;
use super::page::figures;
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
        let of = |permits: &Permits, read: fn(&Permits) -> usize| {
            let permits = permits.clone();
            move || read(&permits) as u64
        };
        let (requests, streams) = (watching.requests, watching.streams);
        let connections = |read: fn(&Connections) -> u64| {
            let connections = watching.connections.clone();
            move || read(&connections)
        };
        let bodies = |read: fn(&Bodies) -> u64| {
            let bodies = watching.bodies.clone();
            move || read(&bodies)
        };
        let lane = Arc::clone(watching.lane);
        figures! { self;
            watch_gauge "requests_under_way" "Requests that hold a place among `limits.concurrent_requests`"
                = of(requests, Permits::taken);
            watch_gauge "requests_limit" "The most there may be of them" = of(requests, Permits::most);
            watch_gauge "streams" "Requests under way over HTTP/2" = of(streams, Permits::taken);
            watch_gauge "streams_limit" "The most there may be of them" = of(streams, Permits::most);
            watch_gauge "connections" "Open connections" = connections(|c| c.used().0 as u64);
            watch_gauge "connections_limit" "The most there may be: `limits.connections`"
                = connections(|c| c.used().1 as u64);
            watch_counter "connections_evicted" "Connections that were idle or stalled and gave way to others"
                = connections(Connections::evicted);
            watch_counter "connections_refused" "Connections that were closed because their address had its share"
                = connections(Connections::refused);
            watch_gauge "body_bytes" "Memory that large bodies of requests take" = bodies(|b| b.used().0 as u64);
            watch_gauge "body_bytes_limit" "The most they may take: `limits.bodies_bytes`"
                = bodies(|b| b.used().1 as u64);
            watch_counter "bodies_evicted" "Requests whose unfinished body gave way to others"
                = bodies(Bodies::evicted);
            watch_counter "bodies_refused" "Requests whose body found no room" = bodies(Bodies::refused);
            watch_gauge "large_requests_under_way" "Requests with a large body that are parsed or decided"
                = move || lane.working() as u64;
        }
    }
}
