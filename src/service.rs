//! What the feature `server` adds around the decision point: its configuration, tokens, the decision log,
//! security events and webhooks, and HTTP.

pub(crate) mod audit;
pub mod config;
pub mod http;
pub(crate) mod net;
pub(crate) mod ssf;
pub(crate) mod tokens;
pub(crate) mod webhooks;
