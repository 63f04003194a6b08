//! Addresses to places.

use std::fmt::Debug;
use std::net::IpAddr;

use crate::score::{Country, Point};

/// Where an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GeoAnswer {
    /// The country.
    pub country: Option<Country>,
    /// The point.
    pub point: Option<Point>,
    /// Within how many metres.
    pub accuracy: u32,
    /// Whether it is known to hide where its users are.
    pub anonymous: bool,
}

/// Says where addresses are. Asked on the way of decisions: it does no I/O and does not wait.
pub trait GeoSource: Send + Sync + Debug {
    /// Where the address is, as far as is known.
    fn look_up(&self, ip: IpAddr) -> Option<GeoAnswer>;
}
