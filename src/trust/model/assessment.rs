//! What scoring a request found.

use super::input::{Band, KnockOuts, Source};
use super::number::Score;
use crate::base::timestamp::Timestamp;
use crate::base::words::words;

words! {
    /// A trust factor.
    #[derive(PartialOrd, Ord)]
    #[non_exhaustive]
    pub enum FactorId by as_str {
        /// The account.
        Identity = "identity",
        /// The device.
        Device = "device",
        /// The location.
        Location = "location",
        /// What it has been doing.
        Behavior = "behavior",
        /// The network.
        Network = "network",
        /// What the resource demands; a factor under the preset `literal` only.
        ResourceSensitivity = "resource_sensitivity",
    }

    /// How a factor's evidence stands.
    #[derive(Default)]
    #[non_exhaustive]
    pub enum Status by as_str {
        /// It was measured.
        Ok = "ok",
        /// Nothing is known.
        #[default]
        Missing = "missing",
        /// What is known is too old.
        Stale = "stale",
        /// It takes no part: nothing is configured that could measure it.
        Unavailable = "unavailable",
        /// Sources contradict one another; the worse was taken.
        Conflicting = "conflicting",
    }
}

/// One factor, scored. Reasons are kept as a set of adjustments and written out only when asked for
/// (`Model::reasons`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Factor {
    /// Which one.
    pub id: FactorId,
    /// 0 to 1.
    pub score: Score,
    /// 0 to 1.
    pub confidence: Score,
    /// What it counts among the others; zero where it takes no part.
    pub weight: Score,
    /// What it adds to the composite; contributions sum to it exactly.
    pub contribution: Score,
    /// How its evidence stands.
    pub status: Status,
    /// Where its evidence comes from.
    pub source: Source,
    /// When its evidence was observed; `None` for with the request, or not at all.
    pub observed: Option<Timestamp>,
    /// The adjustments that were made, one bit each.
    pub adjustments: u64,
}

/// How the authentication level stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LevelStanding {
    /// The level that is reached now, 0 to 4.
    pub reached: u8,
    /// When the evidence for it was given.
    pub at: Option<Timestamp>,
    /// When it falls to a lower level.
    pub until: Option<Timestamp>,
    /// The level that is required, 0 to 4.
    pub required: u8,
}

/// What scoring a request found. Made by [`Model::assess`](super::Model::assess).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assessment {
    /// The factors, in the order of [`FactorId::ALL`].
    pub factors: [Factor; 6],
    /// The composite, 0 to 1.
    pub composite: Score,
    /// The trust that the resource requires.
    pub required: Score,
    /// The band of `1 - composite`, with hysteresis.
    pub band: Band,
    /// The subject's risk, 0 to 1: the highest live finding or the supplied level.
    pub subject_risk: Score,
    /// The live finding that the factor `behavior` counts, 0 to 1.
    pub finding: Score,
    /// The risk of the context, 0 to 1, as authentication levels know it.
    pub context_risk: Score,
    /// How the authentication level stands.
    pub level: LevelStanding,
    /// What denies on its own.
    pub knock_outs: KnockOuts,
    /// The speed since the last sighting in km/h, where it is beyond what is possible.
    pub impossible_speed: Option<u32>,
    /// Whether the principal is a break-glass one.
    pub exempt: bool,
}

/// A factor that takes no part.
const fn absent(id: FactorId) -> Factor {
    Factor {
        id,
        score: Score::ZERO,
        confidence: Score::ZERO,
        weight: Score::ZERO,
        contribution: Score::ZERO,
        status: Status::Unavailable,
        source: Source::None,
        observed: None,
        adjustments: 0,
    }
}

impl Assessment {
    /// Nothing yet.
    pub(crate) const EMPTY: Self = Self {
        factors: [absent(FactorId::Identity); 6],
        composite: Score::ZERO,
        required: Score::ZERO,
        band: Band::High,
        subject_risk: Score::ZERO,
        finding: Score::ZERO,
        context_risk: Score::ONE,
        level: LevelStanding {
            reached: 0,
            at: None,
            until: None,
            required: 0,
        },
        knock_outs: KnockOuts::none(),
        impossible_speed: None,
        exempt: false,
    };

    /// `required - composite`; above zero when trust does not suffice.
    #[must_use]
    pub fn gap(&self) -> Score {
        self.required - self.composite
    }

    /// Whether the composite reaches what the resource requires.
    #[must_use]
    pub fn trusted(&self) -> bool {
        self.composite >= self.required
    }

    /// Whether the level that is reached is the one required.
    #[must_use]
    pub fn authenticated(&self) -> bool {
        self.level.reached >= self.level.required
    }
}
