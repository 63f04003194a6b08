//! The trust configuration, checked: how resources and actions are classified, what is enforced for
//! whom, and the model.
//!
//! What enters: a [`TrustConfig`]. What leaves: a [`Trust`] that decisions read, or everything that is
//! wrong with it. It is part of a snapshot, and its hash part of the revision.

mod compiled;
mod config;
pub(crate) mod geo;
pub mod model;
mod networks;
pub mod subjects;

pub(crate) use compiled::Trust;
pub use config::{
    Attributes, ClassificationRule, Countries, EnforceRule, Enforcement, NetworkRule, Roles,
    SensitivityRule, TrustConfig,
};
