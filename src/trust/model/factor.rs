//! One factor each: what is known to a score, a confidence and a status.
//!
//! What enters: the factor's part of the inputs. What leaves: a [`Measure`]. What must hold under
//! `calibrated`: evidence that is worse or not there never makes a higher score or confidence.

pub(super) mod behavior;
pub(super) mod device;
pub(super) mod identity;
pub(super) mod location;
pub(super) mod network;
pub(super) mod sensitivity;

use super::adjustment::Adjustment;
use super::assessment::Status;
use super::checked::Model;
use super::config::OnMissing;
use super::floors::Floor;
use super::input::{Evident, Source};
use super::number::Score;
use crate::base::timestamp::Timestamp;

/// A factor as it was measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measure {
    pub(super) score: Score,
    pub(super) confidence: Score,
    pub(super) status: Status,
    pub(super) source: Source,
    pub(super) observed: Option<Timestamp>,
    pub(super) adjustments: u64,
}

/// A factor while it is added up.
#[derive(Debug)]
pub(super) struct Sum<'a> {
    model: &'a Model,
    pub(super) total: Score,
    pub(super) adjustments: u64,
}

impl<'a> Sum<'a> {
    pub(super) fn new(model: &'a Model, base: Score) -> Self {
        Self {
            model,
            total: base,
            adjustments: 0,
        }
    }

    pub(super) fn add(&mut self, adjustment: Adjustment) {
        self.add_amount(adjustment, self.model.amount(adjustment));
    }

    pub(super) fn add_if(&mut self, holds: bool, adjustment: Adjustment) {
        if holds {
            self.add(adjustment);
        }
    }

    pub(super) fn add_amount(&mut self, adjustment: Adjustment, amount: Score) {
        self.total = self.total + amount;
        self.adjustments |= adjustment.bit();
    }
}

/// What is known of a factor as a whole.
pub(super) struct Known<'a> {
    /// Whether anything is.
    pub(super) any: bool,
    pub(super) evident: &'a Evident,
    pub(super) max_age: Option<u32>,
    pub(super) rule: OnMissing,
    pub(super) floor: Floor,
}

/// A factor that was added up, or its floor where its evidence is missing or too old.
pub(super) fn settle(
    known: &Known<'_>,
    sum: &Sum<'_>,
    confidence: Score,
    now: Timestamp,
) -> Measure {
    let status = if !known.any {
        Status::Missing
    } else if is_stale(
        known.evident,
        known.max_age,
        now,
        sum.model.config().clock_skew.whole_seconds(),
    ) {
        Status::Stale
    } else if known.evident.conflicting {
        Status::Conflicting
    } else {
        Status::Ok
    };
    let measured = Measure {
        score: sum.total.clamped(),
        confidence,
        status,
        source: known.evident.source,
        observed: known.evident.observed,
        adjustments: sum.adjustments,
    };
    match (status, known.rule) {
        (Status::Ok | Status::Conflicting, _) | (_, OnMissing::Unadjusted) => measured,
        _ => Measure {
            score: known.floor.score,
            confidence: known.floor.confidence,
            adjustments: 0,
            ..measured
        },
    }
}

/// Whether evidence is too old, or from further ahead than clocks differ.
fn is_stale(evident: &Evident, max_age: Option<u32>, now: Timestamp, skew: u32) -> bool {
    evident.observed.is_some_and(|observed| {
        let age = now.as_millis().saturating_sub(observed.as_millis());
        age < -i64::from(skew) * 1_000
            || max_age.is_some_and(|max_age| age > i64::from(max_age) * 1_000)
    })
}

/// The age in milliseconds; `None` from further ahead than clocks differ.
fn age(at: Timestamp, now: Timestamp, skew: u32) -> Option<i64> {
    let age = now.as_millis().saturating_sub(at.as_millis());
    (age >= -i64::from(skew) * 1_000).then_some(age.max(0))
}
