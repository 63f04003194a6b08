//! The authentication level that is reached, by what proves it and how old that is.
//!
//! What must hold: evidence is worth no more as it ages, and no more than one of its kind ever is; risk
//! demands more and never takes from what was reached, nor adds to it.

use crate::base::span::Span;
use crate::base::timestamp::Timestamp;
use crate::trust::model::assessment::LevelStanding;
use crate::trust::model::checked::Model;
use crate::trust::model::config::Preset;
use crate::trust::model::method::{Evidence, Method};

/// What evidence is worth now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Worth {
    level: u8,
    /// When it is worth less.
    until: Timestamp,
    at: Timestamp,
}

/// What was proven in a session, for the factor `identity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Proven {
    /// More than one authentication factor was verified.
    pub multi_factor: bool,
    /// The method was phishing-resistant.
    pub phishing_resistant: bool,
}

impl Model {
    /// What evidence that still counts proves of the session, as the factor `identity` asks for it.
    /// What [`Model::step_up`] offers is simulated by the same rule.
    #[must_use]
    pub fn proven(&self, evidence: &[Evidence], now: Timestamp) -> Proven {
        let live = evidence
            .iter()
            .filter(|one| worth(self, one, now).is_some());
        live.filter_map(|one| one.method)
            .fold(Proven::default(), |all, method| {
                let of = self.config().methods.of(method);
                Proven {
                    multi_factor: all.multi_factor || of.multi_factor,
                    phishing_resistant: all.phishing_resistant || of.phishing_resistant,
                }
            })
    }

    /// The level that evidence of this method reaches right after it was given.
    #[must_use]
    pub fn strength(&self, method: Method, user_verified: bool) -> u8 {
        if !self.authenticates(method) {
            return 0;
        }
        let of = self.config().methods.of(method);
        match of.verified_strength {
            Some(verified) if user_verified && self.preset() == Preset::Calibrated => verified,
            _ => of.strength,
        }
    }
}

/// The highest level that is reached now.
pub(crate) fn standing(
    model: &Model,
    evidence: &[Evidence],
    more: Option<&Evidence>,
    now: Timestamp,
) -> LevelStanding {
    let worths = evidence.iter().chain(more);
    let best = worths.filter_map(|one| worth(model, one, now)).max();
    best.map_or_else(LevelStanding::default, |best| LevelStanding {
        reached: best.level,
        at: Some(best.at),
        until: Some(best.until),
        required: 0,
    })
}

/// What one evidence is worth; `None` for nothing.
fn worth(model: &Model, evidence: &Evidence, now: Timestamp) -> Option<Worth> {
    let config = model.config();
    let age = now.as_millis().saturating_sub(evidence.at.as_millis());
    if age < -config.clock_skew.millis()
        || evidence.until.is_some_and(|until| now >= until)
        || evidence.method.is_some_and(|m| !model.authenticates(m))
    {
        return None;
    }
    let lasting = |level: u8, time: Span| {
        let end = evidence.at.as_millis().saturating_add(time.millis());
        let until = Timestamp::from_millis(end);
        (level > 0 && age <= time.millis()).then(|| Worth {
            level,
            until: evidence.until.map_or(until, |ends| ends.min(until)),
            at: evidence.at,
        })
    };
    let method = evidence.method.map(|method| config.methods.of(method));
    let verified = method
        .filter(|_| evidence.level.is_none() && evidence.user_verified)
        .filter(|_| model.preset() == Preset::Calibrated)
        .and_then(|of| Some((of.verified_strength?, of.verified_for)))
        .and_then(|(level, time)| lasting(level, time.min(config.validity.of(level))));
    let strength = evidence.level.or(method.map(|of| of.strength)).unwrap_or(0);
    // A level is followed by the one below it, each counted from the same instant.
    let decayed = (1..=strength.min(4))
        .rev()
        .find_map(|level| lasting(level, config.validity.of(level)));
    verified.max(decayed)
}
