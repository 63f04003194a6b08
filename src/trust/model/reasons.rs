//! Why a factor is what it is, in sentences with both figures.
//!
//! What enters: an [`Assessment`]. What leaves: for each adjustment that was made, what it moves the
//! factor by, and what it moves the composite by: the difference to the composite without it, which is
//! computed again and not estimated. Where the adjustments of a factor come to more than counts, none of them
//! makes a difference by itself: then each says what it would move without the cap, and a last reason says what
//! the cap takes back.

use super::adjustment::Adjustment;
use super::assess::parts;
use super::assessment::{Assessment, Factor, FactorId, Status};
use super::checked::Model;
use super::config::{OnMissing, Preset};
use super::number::{Score, divided};

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// A stable name, such as `not_registered`.
    pub code: &'static str,
    /// A sentence such as `device not registered: factor -0.20, composite -0.04`.
    pub text: String,
    /// What it moves the factor by.
    pub factor: Score,
    /// What it moves the composite by.
    pub composite: Score,
}

impl Reason {
    fn new(code: &'static str, what: &str, factor: Score, composite: Score) -> Self {
        Self {
            code,
            text: format!(
                "{what}: factor {}, composite {}",
                change(factor),
                change(composite)
            ),
            factor,
            composite,
        }
    }

    /// One that makes no difference by itself, as its factor is capped.
    fn before_cap(mut self) -> Self {
        self.text.push_str(" before the cap");
        self
    }
}

/// A number with at least two digits after the point.
pub(super) fn figure(score: Score) -> String {
    let mut text = score.to_string();
    if text
        .split_once('.')
        .is_some_and(|(_, rest)| rest.len() == 1)
    {
        text.push('0');
    }
    text
}

/// The same with its sign.
pub(super) fn change(score: Score) -> String {
    let sign = if score > Score::ZERO { "+" } else { "" };
    format!("{sign}{}", figure(score))
}

impl Model {
    /// Why a factor of an assessment by this model is what it is.
    #[must_use]
    pub fn reasons(&self, assessment: &Assessment, id: FactorId) -> Vec<Reason> {
        let Some(factor) = assessment.factors.iter().find(|factor| factor.id == id) else {
            return Vec::new();
        };
        let mut reasons = Vec::new();
        if factor.status == Status::Unavailable {
            let what = if id == FactorId::ResourceSensitivity {
                "what a resource demands is its requirement alone"
            } else {
                "nothing is configured that measures it"
            };
            reasons.push(Reason::new("unavailable", what, Score::ZERO, Score::ZERO));
            return reasons;
        }
        if matches!(factor.status, Status::Missing | Status::Stale) {
            reasons.push(self.missing_reason(assessment, factor));
        }
        if id == FactorId::ResourceSensitivity {
            // Of a break-glass principal nothing is required, and the factor is what it was.
            let required = if assessment.exempt {
                Score::ONE - factor.score
            } else {
                assessment.required
            };
            let what = format!("the resource requires {}", figure(required));
            let composite = assessment.composite - self.composite_with(assessment, id, Score::ZERO);
            reasons.push(Reason::new("required", &what, factor.score, composite));
        }
        let capped = self.before_cap(assessment, factor);
        for adjustment in Adjustment::ALL {
            if adjustment.factor() != id || factor.adjustments & adjustment.bit() == 0 {
                continue;
            }
            let moved = self.moved(assessment, *adjustment);
            let (code, what) = (adjustment.code(), adjustment.text());
            reasons.push(match capped {
                Some(_) => {
                    let composite = self.share(assessment, factor, moved);
                    Reason::new(code, what, moved, composite).before_cap()
                }
                None => {
                    let without =
                        self.rescored(assessment, factor, factor.adjustments & !adjustment.bit());
                    let composite = self.composite_with(assessment, id, without);
                    Reason::new(code, what, moved, assessment.composite - composite)
                }
            });
        }
        if let Some(sum) = capped {
            let cut = factor.score - sum;
            let bound = if cut > Score::ZERO { "least" } else { "most" };
            let what = format!(
                "the factor comes to {}, and at {bound} {} counts",
                figure(sum),
                figure(factor.score)
            );
            let composite = self.share(assessment, factor, cut);
            reasons.push(Reason::new("capped", &what, cut, composite));
        }
        reasons
    }

    /// What the adjustments of a factor come to, where that is not what counts.
    fn before_cap(&self, assessment: &Assessment, factor: &Factor) -> Option<Score> {
        if factor.adjustments == 0 {
            return None;
        }
        let sum = self.sum(assessment, factor, factor.adjustments);
        (sum != factor.score).then_some(sum)
    }

    /// What a change of a factor moves the composite by where nothing caps it.
    fn share(&self, assessment: &Assessment, factor: &Factor, change: Score) -> Score {
        let fine = |score: Score| i64::from(score.ten_thousandths());
        let weights: i64 = assessment.factors.iter().map(|one| fine(one.weight)).sum();
        let composer = self.composer();
        // Confidence moves what is above the prior.
        let counts = composer.preset == Preset::Literal || factor.score > composer.prior;
        let confidence = if counts {
            factor.confidence
        } else {
            Score::ONE
        };
        let value = fine(change) * fine(factor.weight) * fine(confidence);
        Score::new(divided(value, (weights * 10_000).max(1)))
    }

    fn missing_reason(&self, assessment: &Assessment, factor: &Factor) -> Reason {
        let name = factor.id.as_str();
        let counted = figure(factor.score);
        let why = match (factor.id, factor.status) {
            (_, Status::Stale) => "what is known is too old".to_owned(),
            (FactorId::Behavior, _) => format!(
                "decisions on fewer than {} days",
                self.config().behavior.history
            ),
            _ => "nothing is known".to_owned(),
        };
        let what = format!("{name}: {why}, counted as {counted}");
        let prior = self.config().prior;
        let composite = assessment.composite - self.composite_with(assessment, factor.id, prior);
        let moved = factor.score - prior;
        Reason::new(factor.status.as_str(), &what, moved, composite)
    }

    /// By how much an adjustment moves its factor.
    fn moved(&self, assessment: &Assessment, adjustment: Adjustment) -> Score {
        let amount = self.amount(adjustment);
        if adjustment == Adjustment::Finding {
            amount.times(assessment.finding)
        } else {
            amount
        }
    }

    /// The factor's score with other adjustments.
    pub(super) fn rescored(
        &self,
        assessment: &Assessment,
        factor: &Factor,
        adjustments: u64,
    ) -> Score {
        let config = self.config();
        let sum = self.sum(assessment, factor, adjustments);
        let score = sum.clamped();
        let neutral = config.on_missing.behavior == OnMissing::Neutral;
        if factor.id == FactorId::Behavior && factor.status == Status::Missing && neutral {
            score.min(config.prior)
        } else {
            score
        }
    }

    /// What a factor comes to with these adjustments, before it is cut to 0 to 1.
    fn sum(&self, assessment: &Assessment, factor: &Factor, adjustments: u64) -> Score {
        let config = self.config();
        let base = match factor.id {
            FactorId::Identity => config.identity.base,
            FactorId::Device => config.device.base,
            FactorId::Location => config.location.base,
            FactorId::Behavior => config.behavior.base,
            FactorId::Network => Score::ZERO,
            FactorId::ResourceSensitivity => factor.score,
        };
        let made = Adjustment::ALL
            .iter()
            .filter(|adjustment| adjustments & adjustment.bit() != 0);
        made.fold(base, |sum, adjustment| {
            sum + self.moved(assessment, *adjustment)
        })
    }

    /// The composite with another score of a factor.
    fn composite_with(&self, assessment: &Assessment, id: FactorId, score: Score) -> Score {
        self.composite_as(assessment, id, score, None)
    }

    /// The composite with another score of a factor and another confidence in it.
    pub(super) fn composite_as(
        &self,
        assessment: &Assessment,
        id: FactorId,
        score: Score,
        confidence: Option<Score>,
    ) -> Score {
        let mut parts = parts(&assessment.factors);
        let ids = assessment.factors.iter().map(|factor| factor.id);
        for (part, _) in parts.iter_mut().zip(ids).filter(|(_, one)| *one == id) {
            part.score = score;
            part.confidence = confidence.unwrap_or(part.confidence);
        }
        self.composer().compose(&parts).0
    }
}
