//! Ground that every layer stands on: faults and their rendering, JSON, names, time, hashes, locks, the step meter.

pub(crate) mod caller;
#[cfg(feature = "server")]
pub(crate) mod counts;
pub(crate) mod described;
pub(crate) mod entity_ref;
pub(crate) mod fault;
pub(crate) mod files;
pub(crate) mod hash;
pub(crate) mod hex;
pub(crate) mod json;
pub(crate) mod lock;
pub(crate) mod meter;
pub(crate) mod nearest;
pub(crate) mod settings;
pub(crate) mod span;
pub(crate) mod threads;
pub(crate) mod timestamp;
pub(crate) mod words;
pub(crate) mod write;
