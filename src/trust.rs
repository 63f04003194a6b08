//! The trust configuration, checked: how resources and actions are classified, what is enforced for
//! whom, and the model.
//!
//! What enters: a [`TrustConfig`]. What leaves: a [`Trust`] that decisions read, or everything that is
//! wrong with it. It is part of a snapshot, and its hash part of the revision.

// In the order of imports.
mod device;
pub mod model;
pub mod subjects;
pub(crate) mod geo;
mod config;
mod networks;
mod compiled;
mod plan;

pub(crate) use compiled::Trust;
pub use config::{
    Attributes, ClassificationRule, Countries, EnforceRule, Enforcement, NetworkRule, Roles,
    SensitivityRule, TrustConfig,
};
pub(crate) use plan::{Asked, TrustPlan};
