//! Every number of the trust model, as it is configured.
//!
//! What enters: a preset and the operator's partial table ([`ModelOverlay`]). What leaves: a whole
//! [`ModelConfig`], whose JSON is the same for the same numbers, so that it can be hashed. What must
//! hold: no number of the model stands in code; [`ModelConfig::faults`] finds every fault at once.

mod check;
mod factors;
mod levels;
mod overlay;

use serde::{Deserialize, Serialize};

use super::input::NetworkClass;
use super::method::Method;
use super::number::Score;
use crate::base::settings::settings;
use crate::base::span::Span;
use crate::base::words::words;

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

words! {
    /// Which model: the published one, or the one that settles its flaws.
    #[derive(Default, Serialize, Deserialize)]
    #[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
    #[serde(rename_all = "lowercase")]
    #[non_exhaustive]
    pub enum Preset by as_str {
        /// The published factors and tables with their flaws settled.
        #[default]
        Calibrated = "calibrated",
        /// The published model as it stands.
        Literal = "literal",
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

settings! {
    /// Every number of the model. Make one with [`ModelConfig::preset`] or [`ModelOverlay::over`].
    pub struct ModelConfig {
        /// What is believed of a factor of which nothing is known.
        pub prior: Score = s(5_000),
        /// How far in the future an instant may lie and still count as now.
        pub clock_skew: Span = Span::seconds(60),
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
    pub struct BandsConfig {
        /// The risk at which MEDIUM begins.
        pub medium: Score = s(3_000),
        /// The risk at which HIGH begins.
        pub high: Score = s(6_000),
        /// How far below a band's beginning the risk must fall before the band is left downwards.
        pub hysteresis: Score = s(500),
    }

    /// The trust that resources require.
    pub struct RequiredConfig {
        /// By classification.
        pub classifications: std::collections::BTreeMap<String, Score> = classifications(),
        /// For any other.
        pub other: Score = s(5_000),
        /// Added for each kind of compliance.
        pub compliance: Score = s(1_000),
        /// The most that is ever required. Unset, it is 0.93 under `calibrated`, or what the weakest role
        /// can reach where that is less; under `literal` there is none.
        pub cap: Option<Score>,
        /// The most that is required under `calibrated` where no cap is set.
        pub default_cap: Score = s(9_300),
    }

    /// What a gap demands; the requirements accumulate.
    pub struct GapConfig {
        /// Above it, the session is monitored.
        pub session_monitoring: Score = s(1_000),
        /// For how long.
        pub session_monitoring_for: Span = Span::hours(1),
        /// Above it, the device is verified.
        pub device_verification: Score = s(2_000),
        /// Above it, the principal authenticates again.
        pub step_up: Score = s(3_000),
        /// By one of these methods.
        pub step_up_methods: Vec<Method> = vec![Method::Webauthn, Method::SmsOtp, Method::PushNotification],
    }

    /// What a low factor demands.
    pub struct MitigationsConfig {
        /// The score below which a factor is low.
        pub below: Score = s(5_000),
        /// For how long only known locations are accepted.
        pub known_locations_for: Span = Span::days(1),
    }
}

/// So many ten-thousandths.
const fn s(ten_thousandths: i32) -> Score {
    Score::new(ten_thousandths)
}

fn classifications() -> std::collections::BTreeMap<String, Score> {
    [
        ("public", 3_000),
        ("internal", 5_000),
        ("confidential", 7_000),
        ("secret", 9_000),
    ]
    .map(|(name, required)| (name.to_owned(), s(required)))
    .into()
}

impl ModelConfig {
    /// The numbers of a preset. Those of `literal` differ in few; most of the difference is in how they are combined.
    #[must_use]
    pub fn preset(preset: Preset) -> Self {
        let mut config = Self::default();
        if preset == Preset::Literal {
            let rule = OnMissing::Unadjusted;
            config.on_missing = OnMissingConfig {
                identity: rule,
                device: rule,
                location: rule,
                behavior: rule,
                network: rule,
            };
            config.levels.allowance = Score::ZERO;
            config.methods.webauthn.verified_strength = None;
        }
        config
    }
}
