//! The trust model: factors to a composite, what a resource requires, and the authentication level that
//! an action requires. Pure: no I/O, no clock, integers only.
//!
//! What enters: [`Inputs`] (what is known), a [`Model`] (the checked configuration) and the instant. What
//! leaves: an [`Assessment`]. What must hold: the same input gives the same bytes; contributions sum to
//! the composite; a worse or missing signal never raises the composite nor lowers a required level.

pub(crate) mod checked;
mod acr;
mod adjustment;
mod advice;
mod assess;
mod assessment;
mod band;
mod composite;
mod config;
mod factor;
mod floors;
mod gap;
mod geo;
mod input;
mod level;
mod method;
mod number;
mod reach;
mod reasons;
mod required;

#[cfg(test)]
mod tests;

pub use crate::trust::device::{DeviceFacts, DeviceTrust, Indicators};
pub use acr::{AmrMeaning, Assurances};
pub use assessment::{Assessment, Factor, FactorId, LevelStanding, Status};
pub use checked::Model;
#[cfg(feature = "server")]
pub(crate) use config::meant;
pub use config::{
    AlternativesConfig, BandsConfig, BehaviorConfig, ClockTime, Day, DeviceConfig, GapConfig,
    IdentityConfig, LevelsConfig, Lists, LocationConfig, MaxAges, MethodConfig, Methods,
    MitigationsConfig, ModelConfig, ModelOverlay, NetworkConfig, OnMissing, OnMissingConfig,
    Preset, RateRule, RequiredConfig, SensitivityConfig, TimeConfig, UtcOffset, Validity, Weights,
    WorkingHours,
};
pub use gap::{Mitigation, MitigationKind, Requirement, RequirementKind};
pub use input::{
    Authenticated, Band, Behavior, Country, Device, Evident, Familiarity, Identity, Inputs,
    KnockOuts, Listed, Location, Network, NetworkClass, Point, Sighting, Source, SubjectRisk,
    Target,
};
pub use level::{Alternative, AlternativeKind, Offer, Proven, StepUp};
pub use method::{Evidence, Method, MethodSet};
pub use number::{Score, ScoreError};
pub use reach::Role;
pub use reasons::Reason;
