//! The HTTP decision point. Only this module knows HTTP.
//!
//! What enters: a configuration and a decision point to build. What leaves: answers. The listeners
//! open first, so that probes are answered while the first state loads; requests are decided once it
//! is there.

// In the order of imports.
mod headers;
mod problem;
pub(crate) mod net;
mod observe;
mod gate;
mod app;
mod api;
mod routes;
mod serve;
#[cfg(test)]
mod tests;

pub use app::Clock;
pub use serve::lifecycle::serve;
pub use serve::{Bound, Relog, Reread, Serve, ServeError, most_memory, router, routers};
