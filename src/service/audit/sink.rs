//! Where records go: a file that is rotated, an output stream, batches over HTTP.

pub(super) mod file;
pub(super) mod post;
pub(super) mod rotated;
pub(super) mod tail;
