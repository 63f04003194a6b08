//! The endpoints, one file or folder each.

pub(crate) mod admin;
pub(crate) mod audit;
pub(crate) mod authorize;
pub(crate) mod body;
pub(crate) mod denials;
pub(crate) mod entities;
pub(crate) mod keys;
pub(crate) mod policies;
pub(crate) mod principal;
pub(crate) mod probes;
pub(crate) mod revisions;
pub(crate) mod shape;
pub(crate) mod ssf;
pub(crate) mod subjects;
pub(crate) mod watch;
pub(crate) mod webhooks;
pub(crate) mod whoami;
