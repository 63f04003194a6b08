//! Authentication levels: what methods reach, for how long, and what is demanded.

mod options;
mod required;
mod validity;

pub use options::{Alternative, AlternativeKind, Offer, StepUp};
pub(super) use required::{context_risk, required_level, subject_risk, time_trust};
pub use validity::Proven;
pub(super) use validity::standing;
