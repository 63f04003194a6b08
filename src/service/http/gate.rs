//! Who asks, how often they may, and what is refused under load.

pub(crate) mod auth;
pub(crate) mod hosts;
pub(crate) mod limit;
pub(crate) mod shed;
