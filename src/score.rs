//! The trust model: factors to a composite, what a resource requires, and the authentication level that
//! an action requires. Pure: no I/O, no clock, integers only.
//!
//! What enters: [`Inputs`] (what is known), a [`Model`] (the checked configuration) and the instant. What
//! leaves: an [`Assessment`]. What must hold: the same input gives the same bytes; contributions sum to
//! the composite; a worse or missing signal never raises the composite nor lowers a required level.

mod assessment;
mod input;
mod level;
mod number;

pub use assessment::{Assessment, Factor, FactorId, LevelStanding, Status};
pub use input::{
    Authenticated, Band, Behavior, Country, Device, DeviceTrust, Evident, Identity, Indicators,
    Inputs, KnockOuts, Listed, Location, Network, NetworkClass, Place, Point, Sighting, Source,
    SubjectRisk, Target,
};
pub use level::{Evidence, Method, MethodSet};
pub use number::{Score, ScoreError};
