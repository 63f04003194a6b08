//! The authentication level that a request requires.

use crate::base::timestamp::Timestamp;
use crate::trust::model::assessment::{Assessment, Factor, FactorId, Status};
use crate::trust::model::checked::Model;
use crate::trust::model::config::{Day, Preset};
use crate::trust::model::input::{Band, Inputs, SubjectRisk};
use crate::trust::model::number::Score;

/// The highest level there is.
const HIGHEST: i64 = 4;
/// 1 in 1/100,000,000.
const WHOLE: i64 = 100_000_000;
/// Milliseconds of a minute.
const MINUTE: i64 = 60_000;
/// Minutes of a day.
const MINUTES: i64 = 24 * 60;

/// The subject's risk: the highest live finding, or the supplied level where that is more.
pub(crate) fn subject_risk(model: &Model, risk: &SubjectRisk) -> Score {
    let of = &model.config().levels;
    let supplied = match risk.level {
        None => Score::ZERO,
        Some(Band::Low) => of.risk_low,
        Some(Band::Medium) => of.risk_medium,
        Some(Band::High) => of.risk_high,
    };
    risk.finding.clamped().max(supplied)
}

/// The trust in the time of day.
pub(crate) fn time_trust(model: &Model, now: Timestamp) -> Score {
    let config = model.config();
    let Some(hours) = &config.working_hours else {
        return config.time.inside;
    };
    let local = now.as_millis().div_euclid(MINUTE) + i64::from(hours.utc_offset.minutes());
    let minute = local.rem_euclid(MINUTES);
    let works = |day: i64| {
        // The epoch was a Thursday.
        let day = match (day + 3).rem_euclid(7) {
            0 => Day::Mon,
            1 => Day::Tue,
            2 => Day::Wed,
            3 => Day::Thu,
            4 => Day::Fri,
            5 => Day::Sat,
            _ => Day::Sun,
        };
        hours.days.contains(&day)
    };
    let today = local.div_euclid(MINUTES);
    let (from, to) = (
        i64::from(hours.from.minutes()),
        i64::from(hours.to.minutes()),
    );
    let inside = if from < to {
        works(today) && (from..to).contains(&minute)
    } else {
        (works(today) && minute >= from) || (works(today - 1) && minute < to)
    };
    if inside {
        config.time.inside
    } else {
        config.time.outside
    }
}

/// One less the lowest of device, location, behavior, network and time. Under `literal` only factors
/// that were measured count; under `calibrated` one that is missing counts as what stands in its place,
/// or hiding a bad signal would lower the level that is required.
pub(crate) fn context_risk(model: &Model, factors: &[Factor; 6], time: Score) -> Score {
    let literal = model.preset() == Preset::Literal;
    let counts = |factor: &&Factor| {
        let context = !matches!(
            factor.id,
            FactorId::Identity | FactorId::ResourceSensitivity
        );
        context
            && match factor.status {
                Status::Ok => true,
                Status::Conflicting | Status::Missing | Status::Stale => !literal,
                Status::Unavailable => false,
            }
    };
    let lowest = factors.iter().filter(counts).map(|factor| factor.score);
    Score::ONE - lowest.fold(time, Score::min)
}

/// The level that is required, never below what findings and lock-outs demand.
pub(crate) fn required_level(model: &Model, inputs: &Inputs, assessment: &Assessment) -> u8 {
    let of = &model.config().levels;
    let base = inputs.target.base_level.unwrap_or(of.default_base);
    let base = i64::from(base).clamp(1, HIGHEST);
    let fine = |score: Score| i64::from(score.ten_thousandths());
    let by_risk = base * fine(of.risk_factor) * fine(assessment.subject_risk);
    let context = fine(assessment.context_risk);
    let more = match model.preset() {
        Preset::Literal => by_risk + context * 10_000,
        Preset::Calibrated => by_risk + (context - fine(of.allowance)) * 10_000,
    };
    let level = base + (more.max(0) + WHOLE - 1) / WHOLE;
    let level = level
        .max(i64::from(inputs.risk.demanded_level))
        .min(HIGHEST);
    u8::try_from(level).unwrap_or(4)
}
