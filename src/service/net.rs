//! Calls to other services: URLs, whom to call, TLS roots, the client, and when to call again.

pub(crate) mod address;
pub(crate) mod backoff;
pub(crate) mod fetch;
pub(crate) mod url;
