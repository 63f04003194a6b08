//! The bounds of a decision point, which may change while it decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;

use crate::request::Limits;
use crate::source::ReadLimits;

/// Bounds on requests, each read by itself, and on what is read from disk.
#[derive(Debug)]
pub(super) struct Bounds {
    json_depth: AtomicUsize,
    inline_entities: AtomicUsize,
    inline_parent_depth: AtomicUsize,
    decision_steps: AtomicU64,
    reading: ArcSwap<ReadLimits>,
}

impl Bounds {
    pub(super) fn new(limits: Limits, reading: ReadLimits) -> Self {
        Self {
            json_depth: limits.json_depth.into(),
            inline_entities: limits.inline_entities.into(),
            inline_parent_depth: limits.inline_parent_depth.into(),
            decision_steps: limits.decision_steps.into(),
            reading: ArcSwap::from_pointee(reading),
        }
    }

    /// Those on requests. A request that comes while they change may meet some of the old ones and some of the new.
    #[inline]
    pub(super) fn requests(&self) -> Limits {
        Limits {
            json_depth: self.json_depth.load(Ordering::Relaxed),
            inline_entities: self.inline_entities.load(Ordering::Relaxed),
            inline_parent_depth: self.inline_parent_depth.load(Ordering::Relaxed),
            decision_steps: self.decision_steps.load(Ordering::Relaxed),
        }
    }

    /// Those on what is read.
    pub(super) fn reading(&self) -> ReadLimits {
        **self.reading.load()
    }

    pub(super) fn set(&self, limits: Limits, reading: ReadLimits) {
        self.json_depth.store(limits.json_depth, Ordering::Relaxed);
        self.inline_entities
            .store(limits.inline_entities, Ordering::Relaxed);
        self.inline_parent_depth
            .store(limits.inline_parent_depth, Ordering::Relaxed);
        self.decision_steps
            .store(limits.decision_steps, Ordering::Relaxed);
        self.reading.store(Arc::new(reading));
    }
}
