//! How a request is scored.
//!
//! What enters: [`Inputs`] and the instant. What leaves: an [`Assessment`]. What must hold: nothing is
//! allocated and nothing fails; every input, however large or contradictory, has one result.

use super::assessment::{Assessment, Factor, FactorId, LevelStanding, Status};
use super::band::band;
use super::checked::Model;
use super::composite::Part;
use super::config::OnMissing;
use super::factor::{Measure, behavior, device, identity, location, network, sensitivity};
use super::input::{Identity, Inputs, KnockOuts};
use super::level::{context_risk, required_level, standing, subject_risk, time_trust};
use super::number::Score;
use crate::base::timestamp::Timestamp;

impl Model {
    /// Scores a request. Allocates nothing.
    #[must_use]
    pub fn assess(&self, inputs: &Inputs, now: Timestamp) -> Assessment {
        self.assess_with(inputs, &inputs.identity, now)
    }

    /// The same with another identity.
    pub(super) fn assess_with(
        &self,
        inputs: &Inputs,
        identity: &Identity,
        now: Timestamp,
    ) -> Assessment {
        let required = self.required(&inputs.target);
        let (factors, impossible_speed) = self.factors(inputs, identity, required, now);
        let (composite, contributions) = self.composer().compose(&parts(&factors));
        let mut assessment = Assessment {
            factors,
            composite,
            required,
            subject_risk: subject_risk(self, &inputs.risk),
            finding: inputs.behavior.finding.clamped(),
            knock_outs: inputs.knock_outs.with(self.missing(&factors)),
            impossible_speed,
            exempt: inputs.exempt,
            ..Assessment::EMPTY
        };
        for (factor, contribution) in assessment.factors.iter_mut().zip(contributions) {
            factor.contribution = contribution;
        }
        let time = time_trust(self, now);
        assessment.context_risk = context_risk(self, &assessment.factors, time);
        let risk = Score::ONE - assessment.composite;
        assessment.band = band(&self.config().bands, risk, inputs.previous_band);
        assessment.level = LevelStanding {
            required: required_level(self, inputs, &assessment),
            ..standing(self, &inputs.authentication.evidence, None, now)
        };
        if inputs.exempt {
            // Nothing is held against it, and what is computed is still shown.
            assessment.knock_outs = KnockOuts::none();
            assessment.required = Score::ZERO;
            assessment.level.required = 0;
        }
        assessment
    }

    fn factors(
        &self,
        inputs: &Inputs,
        identity: &Identity,
        required: Score,
        now: Timestamp,
    ) -> ([Factor; 6], Option<u32>) {
        let (place, impossible_speed) = location::measure(self, &inputs.location, now);
        let factor = |id, measure: Measure| Factor {
            id,
            score: measure.score,
            confidence: measure.confidence,
            weight: if measure.status == Status::Unavailable {
                Score::ZERO
            } else {
                self.weight(id)
            },
            contribution: Score::ZERO,
            status: measure.status,
            source: measure.source,
            observed: measure.observed,
            adjustments: measure.adjustments,
        };
        let factors = [
            factor(FactorId::Identity, identity::measure(self, identity, now)),
            factor(FactorId::Device, device::measure(self, &inputs.device, now)),
            factor(FactorId::Location, place),
            factor(
                FactorId::Behavior,
                behavior::measure(self, &inputs.behavior, now),
            ),
            factor(
                FactorId::Network,
                network::measure(self, &inputs.network, now),
            ),
            factor(
                FactorId::ResourceSensitivity,
                sensitivity::measure(self, required),
            ),
        ];
        (factors, impossible_speed)
    }

    fn on_missing(&self, id: FactorId) -> Option<(OnMissing, KnockOuts)> {
        let rules = &self.config().on_missing;
        match id {
            FactorId::Identity => Some((rules.identity, KnockOuts::MISSING_IDENTITY)),
            FactorId::Device => Some((rules.device, KnockOuts::MISSING_DEVICE)),
            FactorId::Location => Some((rules.location, KnockOuts::MISSING_LOCATION)),
            FactorId::Behavior => Some((rules.behavior, KnockOuts::MISSING_BEHAVIOR)),
            FactorId::Network => Some((rules.network, KnockOuts::MISSING_NETWORK)),
            FactorId::ResourceSensitivity => None,
        }
    }

    /// What denies because it is missing.
    fn missing(&self, factors: &[Factor; 6]) -> KnockOuts {
        let missing = factors
            .iter()
            .filter(|factor| matches!(factor.status, Status::Missing | Status::Stale));
        missing
            .filter_map(|factor| self.on_missing(factor.id))
            .filter(|(rule, _)| *rule == OnMissing::Deny)
            .fold(KnockOuts::none(), |all, (_, one)| all.with(one))
    }
}

pub(super) fn parts(factors: &[Factor; 6]) -> [Part; 6] {
    factors.each_ref().map(Part::from)
}
