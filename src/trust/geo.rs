//! Where an address is, by a database of the operator's.
//!
//! What enters: an IP address. What leaves: a [`GeoAnswer`], or nothing. What must hold: a look-up does
//! no I/O and does not wait, and a damaged database gives fewer answers, never a panic.

use std::fmt::Debug;
use std::net::IpAddr;

use crate::trust::model::{Country, Point};

#[cfg(feature = "server")]
pub(crate) mod live;
#[cfg(feature = "server")]
mod maxmind;

#[cfg(feature = "server")]
pub use maxmind::MaxMind;

/// What tells where addresses are.
pub trait GeoSource: Send + Sync + Debug {
    /// Where this address is; `None` where nothing is known.
    fn look_up(&self, ip: IpAddr) -> Option<GeoAnswer>;
}

/// What is known of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GeoAnswer {
    /// The country it is in.
    pub country: Option<Country>,
    /// Where it is.
    pub point: Option<Point>,
    /// Within how many metres of the point.
    pub accuracy: u32,
    /// Whether it is of a service that hides where its users are.
    pub anonymous: bool,
}
