//! The factor `behavior`: what the principal has been doing.
//!
//! It is made of what was decided and reported before, which a requester does not control; so a history
//! that is too short may count as the prior, but never as more than what was found against it.

use super::{Measure, Sum, age};
use crate::base::timestamp::Timestamp;
use crate::trust::model::adjustment::Adjustment;
use crate::trust::model::assessment::Status;
use crate::trust::model::checked::Model;
use crate::trust::model::config::{ModelConfig, OnMissing, RateRule};
use crate::trust::model::input::{Behavior, Source};
use crate::trust::model::number::Score;

pub(crate) fn measure(model: &Model, behavior: &Behavior, now: Timestamp) -> Measure {
    let config = model.config();
    let of = &config.behavior;
    let rule = config.on_missing.behavior;
    let enough = behavior.history >= of.history;
    let mut sum = Sum::new(model, of.base);
    let finding = behavior.finding.clamped();
    if finding > Score::ZERO {
        sum.add_amount(Adjustment::Finding, of.finding.times(finding));
    }
    let denies = exceeds(&of.denies, behavior.denies, behavior.usual_denies);
    sum.add_if(denies, Adjustment::Denies);
    let requests = exceeds(&of.requests, behavior.requests, behavior.usual_requests);
    sum.add_if(requests, Adjustment::Requests);
    if behavior.hour_share.clamped() < of.hour_share {
        sum.add_if(enough, Adjustment::Hour);
        // Under `literal` nothing is made of a history that is too short; otherwise one that is
        // shorter by a decision may not score better.
        let counts = !enough && rule != OnMissing::Unadjusted;
        sum.add_if(counts, Adjustment::HourUnknown);
    }
    if enough && sum.adjustments == 0 && is_clean(config, behavior, now) {
        sum.add(Adjustment::Clean);
    }
    let mut measure = Measure {
        score: sum.total.clamped(),
        confidence: of.confidence,
        status: if enough { Status::Ok } else { Status::Missing },
        source: if behavior.history > 0 || finding > Score::ZERO {
            Source::Stored
        } else {
            Source::None
        },
        observed: None,
        adjustments: sum.adjustments,
    };
    if !enough {
        match rule {
            OnMissing::Unadjusted => {}
            OnMissing::Neutral => measure.score = measure.score.min(config.prior),
            OnMissing::Floor | OnMissing::Deny => {
                let floor = model.floors().behavior;
                (measure.score, measure.confidence) = (floor.score, floor.confidence);
                measure.adjustments = 0;
            }
        }
    }
    measure
}

/// At least so many, and so many times the usual.
fn exceeds(rule: &RateRule, count: u32, usual: u64) -> bool {
    let times = u128::try_from(rule.times.ten_thousandths()).unwrap_or(0);
    rule.enabled
        && count >= rule.least
        && u128::from(count) * 100_000_000 >= times * u128::from(usual)
}

fn is_clean(config: &ModelConfig, behavior: &Behavior, now: Timestamp) -> bool {
    let days = config.behavior.clean_for.millis();
    behavior.last_adverse.is_none_or(|last| {
        age(last, now, config.clock_skew.whole_seconds()).is_some_and(|age| age >= days)
    })
}
