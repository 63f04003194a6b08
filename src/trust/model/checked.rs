//! The checked configuration.

use super::adjustment::Adjustment;
use super::assessment::{Assessment, FactorId};
use super::composite::Composer;
use super::config::{Lists, ModelConfig, Preset};
use super::floors::Floors;
use super::number::Score;

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct Model {
    preset: Preset,
    config: ModelConfig,
    lists: Lists,
    floors: Floors,
    amounts: [Score; Adjustment::ALL.len()],
    classes: Vec<Score>,
    cap: Option<Score>,
}

impl Model {
    /// Checks a configuration.
    ///
    /// # Errors
    /// Every fault, each with its key and what to do.
    pub fn new(preset: Preset, config: &ModelConfig, lists: &Lists) -> Result<Self, Vec<String>> {
        let faults = config.faults(preset);
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut amounts = [Score::ZERO; Adjustment::ALL.len()];
        for (amount, adjustment) in amounts.iter_mut().zip(Adjustment::ALL) {
            *amount = adjustment.amount(config);
        }
        let mut model = Self {
            preset,
            floors: Floors::of(config),
            amounts,
            classes: config.required.classifications.values().copied().collect(),
            cap: config.required.cap,
            config: config.clone(),
            lists: lists.clone(),
        };
        if preset == Preset::Calibrated && model.cap.is_none() {
            model.cap = Some(config.required.default_cap.min(model.weakest_reach()));
        }
        let faults = model.unreachable();
        if faults.is_empty() {
            Ok(model)
        } else {
            Err(faults)
        }
    }

    /// Which model it is.
    #[must_use]
    pub fn preset(&self) -> Preset {
        self.preset
    }

    /// Its numbers.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// What it can measure.
    #[must_use]
    pub fn lists(&self) -> &Lists {
        &self.lists
    }

    /// The most that it ever requires; `None` for no limit.
    #[must_use]
    pub fn cap(&self) -> Option<Score> {
        self.cap
    }

    pub(super) fn classes(&self) -> &[Score] {
        &self.classes
    }

    pub(super) fn floors(&self) -> &Floors {
        &self.floors
    }

    pub(super) fn amount(&self, adjustment: Adjustment) -> Score {
        let amount = self.amounts.get(usize::from(adjustment as u8));
        amount.copied().unwrap_or_default()
    }

    /// Whether what is not known of a factor counts as its worst.
    pub(super) fn unknown_is_worst(&self) -> bool {
        self.preset == Preset::Calibrated
    }

    pub(super) fn measures_networks(&self) -> bool {
        !self.lists.networks.is_empty()
    }

    pub(super) fn composer(&self) -> Composer {
        Composer {
            preset: self.preset,
            prior: self.config.prior,
        }
    }

    /// What a factor counts among the others, if it takes part.
    pub(super) fn weight(&self, id: FactorId) -> Score {
        let weights = &self.config.weights;
        match id {
            FactorId::Identity => weights.identity,
            FactorId::Device => weights.device,
            FactorId::Location => weights.location,
            FactorId::Behavior => weights.behavior,
            FactorId::Network => weights.network,
            FactorId::ResourceSensitivity => weights.resource_sensitivity,
        }
    }

    /// Whether the hour was an unusual one for the principal, and whether a rate was.
    pub(crate) fn unusual(&self, assessment: &Assessment) -> (bool, bool) {
        let made = |adjustment: Adjustment| {
            let mut factors = assessment.factors.iter();
            factors.any(|factor| {
                factor.id == adjustment.factor() && factor.adjustments & adjustment.bit() != 0
            })
        };
        let rate = made(Adjustment::Denies) || made(Adjustment::Requests);
        (made(Adjustment::Hour), rate)
    }
}
