//! The lowest that each factor can measure.

use super::adjustment::lowest_network;
use super::config::{ModelConfig, RateRule};
use super::number::Score;

/// The lowest that a factor can measure: what it counts where nothing is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Floor {
    pub(super) score: Score,
    pub(super) confidence: Score,
}

/// The floors of the factors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Floors {
    pub(super) identity: Floor,
    pub(super) device: Floor,
    pub(super) location: Floor,
    pub(super) behavior: Floor,
    pub(super) network: Floor,
}

impl Floors {
    pub(super) fn of(config: &ModelConfig) -> Self {
        Self {
            identity: identity(config),
            device: device(config),
            location: location(config),
            behavior: behavior(config),
            network: network(config),
        }
    }
}

fn identity(config: &ModelConfig) -> Floor {
    let of = &config.identity;
    Floor {
        score: (of.base + of.admin + of.privileged).clamped(),
        confidence: of.confidence,
    }
}

fn device(config: &ModelConfig) -> Floor {
    let of = &config.device;
    Floor {
        // A registered device is never below one that is not: the configuration is checked for it.
        score: (of.base + of.not_registered + of.jailbroken).clamped(),
        confidence: of.confidence_registered.min(of.confidence_unregistered),
    }
}

fn location(config: &ModelConfig) -> Floor {
    let of = &config.location;
    Floor {
        score: (of.base + of.new_country + of.denied + of.speed).clamped(),
        confidence: of.confidence.min(of.confidence_inexact),
    }
}

fn behavior(config: &ModelConfig) -> Floor {
    let of = &config.behavior;
    let rate = |rule: &RateRule| {
        if rule.enabled {
            rule.adjustment
        } else {
            Score::ZERO
        }
    };
    Floor {
        score: (of.base + of.finding + of.hour + rate(&of.denies) + rate(&of.requests)).clamped(),
        confidence: of.confidence,
    }
}

fn network(config: &ModelConfig) -> Floor {
    let of = &config.network;
    Floor {
        score: lowest_network(config),
        confidence: of.confidence_matched.min(of.confidence_unmatched),
    }
}
