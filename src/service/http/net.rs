//! Connections: who the peer is, what clients may hold open, how long, and what gives way.

pub(crate) mod bodies;
pub(crate) mod connections;
pub(crate) mod frames;
pub(crate) mod lane;
pub(crate) mod pace;
pub(crate) mod peer;
pub(crate) mod permits;
pub(crate) mod socket;
pub(crate) mod tls;
