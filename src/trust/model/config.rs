//! Every number of the trust model, as it is configured.
//!
//! What enters: a preset and the operator's partial table ([`ModelOverlay`]). What leaves: a whole
//! [`ModelConfig`], whose JSON is the same for the same numbers, so that it can be hashed. What must
//! hold: no number of the model stands in code; [`ModelConfig::faults`] finds every fault at once.

mod check;
mod factors;
mod levels;
mod overlay;
mod presets;

use serde::{Deserialize, Serialize};

use super::input::NetworkClass;
use super::number::Score;
use crate::base::span::Span;

pub use factors::{
    BehaviorConfig, DeviceConfig, IdentityConfig, LocationConfig, MaxAges, NetworkConfig,
    OnMissing, OnMissingConfig, RateRule, SensitivityConfig, Weights,
};
pub use levels::{
    AlternativesConfig, ClockTime, Day, LevelsConfig, MethodConfig, Methods, TimeConfig, UtcOffset,
    Validity, WorkingHours,
};
pub use overlay::ModelOverlay;
#[cfg(feature = "server")]
pub(crate) use overlay::meant;

/// Which model: the published one, or the one that settles its flaws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Preset {
    /// The published factors and tables with their flaws settled.
    #[default]
    Calibrated,
    /// The published model as it stands.
    Literal,
}

impl Preset {
    /// `calibrated`, `literal`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Calibrated => "calibrated",
            Self::Literal => "literal",
        }
    }
}

/// What a configuration can measure at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lists {
    /// The classes that have networks; empty where none is configured, and then the network factor
    /// takes no part.
    pub networks: Vec<NetworkClass>,
    /// Whether a list of allowed countries is configured.
    pub allow_list: bool,
}

/// Every number of the model. Make one with [`ModelConfig::preset`] or [`ModelOverlay::over`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// What is believed of a factor of which nothing is known.
    pub prior: Score,
    /// How far in the future an instant may lie and still count as now.
    pub clock_skew: Span,
    /// What the factors count.
    pub weights: Weights,
    /// What a factor counts of which nothing is known, or only what is too old.
    pub on_missing: OnMissingConfig,
    /// How old a factor's evidence may be.
    pub max_age: MaxAges,
    /// The factor `identity`.
    pub identity: IdentityConfig,
    /// The factor `device`.
    pub device: DeviceConfig,
    /// The factor `location`.
    pub location: LocationConfig,
    /// The factor `behavior`.
    pub behavior: BehaviorConfig,
    /// The factor `network`.
    pub network: NetworkConfig,
    /// The factor `resource_sensitivity`.
    pub resource_sensitivity: SensitivityConfig,
    /// The trust in the time of day.
    pub time: TimeConfig,
    /// When that is; without it every time is inside.
    pub working_hours: Option<WorkingHours>,
    /// The bands of risk.
    pub bands: BandsConfig,
    /// The trust that resources require.
    pub required: RequiredConfig,
    /// What a gap between the composite and the required trust demands.
    pub gap: GapConfig,
    /// What a low factor demands.
    pub mitigations: MitigationsConfig,
    /// The authentication level that is required.
    pub levels: LevelsConfig,
    /// How long a level is valid.
    pub validity: Validity,
    /// The methods of authentication.
    pub methods: Methods,
    /// What may be done instead of authenticating.
    pub alternatives: AlternativesConfig,
}

/// Where the bands of risk begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BandsConfig {
    /// The risk at which MEDIUM begins.
    pub medium: Score,
    /// The risk at which HIGH begins.
    pub high: Score,
    /// How far below a band's beginning the risk must fall before the band is left downwards.
    pub hysteresis: Score,
}

/// The trust that resources require.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RequiredConfig {
    /// By classification.
    pub classifications: std::collections::BTreeMap<String, Score>,
    /// For any other.
    pub other: Score,
    /// Added for each kind of compliance.
    pub compliance: Score,
    /// The most that is ever required. Unset, it is 0.93 under `calibrated`, or what the weakest role
    /// can reach where that is less; under `literal` there is none.
    pub cap: Option<Score>,
    /// The most that is required under `calibrated` where no cap is set.
    pub default_cap: Score,
}

/// What a gap demands; the requirements accumulate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct GapConfig {
    /// Above it, the session is monitored.
    pub session_monitoring: Score,
    /// For how long.
    pub session_monitoring_for: Span,
    /// Above it, the device is verified.
    pub device_verification: Score,
    /// Above it, the principal authenticates again.
    pub step_up: Score,
    /// By one of these methods.
    pub step_up_methods: Vec<super::method::Method>,
}

/// What a low factor demands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MitigationsConfig {
    /// The score below which a factor is low.
    pub below: Score,
    /// For how long only known locations are accepted.
    pub known_locations_for: Span,
}
