//! What the feature `server` adds around the decision point: configuration, tokens, security events, webhooks,
//! the decision log and HTTP.

// In the order of imports.
pub(crate) mod net;
pub mod config;
pub(crate) mod tokens;
pub(crate) mod ssf;
pub(crate) mod webhooks;
pub(crate) mod audit;
pub mod http;
