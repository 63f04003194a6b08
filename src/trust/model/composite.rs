//! Factors to one number.
//!
//! What must hold: contributions sum to the composite exactly, and the composite is rounded once. The
//! part of a rounding that no factor owns goes to the factors with the largest rest, the first first.

use super::assessment::Factor;
use super::config::Preset;
use super::number::{Score, divided};

/// What counts of a factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) score: Score,
    pub(super) confidence: Score,
    pub(super) weight: Score,
}

impl From<&Factor> for Part {
    fn from(factor: &Factor) -> Self {
        Self {
            score: factor.score,
            confidence: factor.confidence,
            weight: factor.weight,
        }
    }
}

/// How factors are combined.
#[derive(Debug, Clone, Copy)]
pub(super) struct Composer {
    pub(super) preset: Preset,
    pub(super) prior: Score,
}

impl Composer {
    /// What a score counts by its confidence, in 1/100,000,000.
    fn effective(self, part: &Part) -> i64 {
        let (score, confidence) = (fine(part.score), fine(part.confidence));
        match self.preset {
            Preset::Literal => score * confidence,
            // Confidence can lower a score towards the prior, and never lifts one.
            Preset::Calibrated if part.score <= self.prior => score * 10_000,
            Preset::Calibrated => {
                let prior = fine(self.prior);
                prior * 10_000 + confidence * (score - prior)
            }
        }
    }

    /// The composite, and what each part adds to it.
    pub(super) fn compose(self, parts: &[Part; 6]) -> (Score, [Score; 6]) {
        let weights: i64 = parts.iter().map(|part| fine(part.weight)).sum();
        if weights <= 0 {
            return (Score::ZERO, [Score::ZERO; 6]);
        }
        let divisor = weights * 10_000;
        let values = parts.map(|part| self.effective(&part) * fine(part.weight));
        let composite = divided(values.iter().sum(), divisor);
        let mut contributions = values.map(|value| i32::try_from(value / divisor).unwrap_or(0));
        let mut rests = values.map(|value| value % divisor);
        // At most as many as there are rests: rounding up never passes their sum rounded up.
        for _ in contributions.iter().sum::<i32>()..composite {
            let largest = rests
                .iter_mut()
                .zip(contributions.iter_mut())
                .reduce(|most, next| if next.0 > most.0 { next } else { most });
            if let Some((rest, contribution)) = largest {
                *contribution += 1;
                *rest = -1;
            }
        }
        (Score::new(composite), contributions.map(Score::new))
    }
}

/// As it is checked to be: within 0 and 1.
fn fine(score: Score) -> i64 {
    i64::from(score.clamped().ten_thousandths())
}
