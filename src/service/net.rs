//! Calls to other services: URLs, TLS roots and the client.

pub(crate) mod address;
pub(crate) mod fetch;
pub(crate) mod url;
