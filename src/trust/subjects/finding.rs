//! Findings and incidents: what is held against a subject, for how long, and how much of it is left.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::decay::decayed;
use super::kind::Severity;
use super::store::FindingKind;
use super::window::{Millis, NEVER, never, no_time};
use crate::base::hex::hex;
use crate::trust::model::Score;

/// A finding. One that grows takes its own place, so it has no parts that depend on the order of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Finding {
    #[serde(rename = "k")]
    pub(super) kind: FindingKind,
    /// The stretch of time it belongs to; with the kind and the subject it is the finding's name.
    #[serde(rename = "w")]
    pub(super) stretch: i64,
    /// The latest event of it; its risk fades from there.
    #[serde(rename = "t")]
    pub(super) at: Millis,
    /// The risk at that instant.
    #[serde(rename = "r")]
    pub(super) risk: Score,
    #[serde(rename = "i", default)]
    pub(super) incident: bool,
    #[serde(rename = "v")]
    pub(super) severity: Severity,
    /// The authentication level it demands.
    #[serde(rename = "l", default)]
    pub(super) level: u8,
    /// Until when it demands it.
    #[serde(rename = "u", default = "no_time", skip_serializing_if = "never")]
    pub(super) until: Millis,
    /// Until when it blocks.
    #[serde(rename = "b", default = "no_time", skip_serializing_if = "never")]
    pub(super) blocked: Millis,
    /// Whether it stays as it is until it is remediated.
    #[serde(rename = "s", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) lasting: bool,
    /// How many events made it.
    #[serde(rename = "n", default)]
    pub(super) events: u16,
}

impl Finding {
    /// The risk that is left of it.
    pub(super) fn present(&self, now: Millis, half_life: Millis) -> Score {
        if self.lasting {
            return self.risk;
        }
        decayed(self.risk, now.saturating_sub(self.at), half_life)
    }

    /// The level it demands now.
    pub(super) fn demands(&self, now: Millis) -> u8 {
        if self.lasting || now < self.until {
            self.level
        } else {
            0
        }
    }

    pub(super) fn blocks(&self, now: Millis) -> bool {
        now < self.blocked
    }

    /// Whether anything of it is left.
    pub(super) fn live(&self, now: Millis, half_life: Millis) -> bool {
        self.blocks(now) || self.demands(now) > 0 || self.present(now, half_life) > Score::ZERO
    }

    /// A name that is the same for the same finding.
    pub(super) fn id(&self, subject: &str) -> String {
        let name = format!("{}\0{subject}\0{}", self.kind.as_str(), self.stretch);
        let hash = Sha256::digest(name.as_bytes());
        hex(hash.iter().take(16))
    }

    /// The worse of both in each respect.
    fn grow(&mut self, other: &Self) {
        self.at = self.at.max(other.at);
        self.risk = self.risk.max(other.risk);
        self.incident |= other.incident;
        self.severity = self.severity.max(other.severity);
        self.level = self.level.max(other.level);
        self.until = self.until.max(other.until);
        self.blocked = self.blocked.max(other.blocked);
        self.lasting |= other.lasting;
        self.events = self.events.max(other.events);
    }
}

/// What a subject's findings come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Assessed {
    pub(super) risk: Score,
    pub(super) level: u8,
    pub(super) blocked: bool,
}

impl Assessed {
    /// The worse of both.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            risk: self.risk.max(other.risk),
            level: self.level.max(other.level),
            blocked: self.blocked || other.blocked,
        }
    }
}

/// What changed when a finding was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Growth {
    /// It was there, and is no more than it was.
    No,
    /// It is a new finding.
    Finding,
    /// It is an incident now.
    Incident,
}

/// The findings of a subject, bounded, the latest last.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    /// Takes a finding in, in place of what it grew from.
    pub(super) fn take(&mut self, finding: &Finding, most: u16) -> Growth {
        let same = |f: &&mut Finding| f.kind == finding.kind && f.stretch == finding.stretch;
        let (grown, taken) = if let Some(before) = self.0.iter_mut().find(same) {
            let incident = before.incident;
            before.grow(finding);
            let now = !incident && before.incident;
            (if now { Growth::Incident } else { Growth::No }, *before)
        } else {
            self.0.push(*finding);
            let grown = if finding.incident {
                Growth::Incident
            } else {
                Growth::Finding
            };
            (grown, *finding)
        };
        self.0.sort_unstable_by_key(|f| (f.at, f.kind, f.stretch));
        if self.0.len() > usize::from(most) {
            // What lasts goes last.
            let ends = self.0.iter().position(|f| !f.lasting).unwrap_or_default();
            let gone = self.0.remove(ends);
            if gone == taken {
                return Growth::No;
            }
        }
        grown
    }

    /// What they come to now.
    pub(super) fn held(&self, now: Millis, half_life: Millis) -> Assessed {
        let mut held = Assessed::default();
        for finding in &self.0 {
            held = held.or(Assessed {
                risk: finding.present(now, half_life),
                level: finding.demands(now),
                blocked: finding.blocks(now),
            });
        }
        held
    }

    pub(super) fn live(&self, now: Millis, half_life: Millis) -> bool {
        self.0.iter().any(|finding| finding.live(now, half_life))
    }

    /// The instant of the latest.
    pub(super) fn latest(&self) -> Millis {
        self.0.last().map_or(NEVER, |finding| finding.at)
    }

    /// The instant of the latest of a kind.
    pub(super) fn latest_of(&self, kind: FindingKind) -> Millis {
        let of_kind = self.0.iter().filter(|finding| finding.kind == kind);
        of_kind.map(|finding| finding.at).max().unwrap_or(NEVER)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes out what ended before `before`.
    pub(super) fn forget(&mut self, before: Millis) {
        self.0
            .retain(|f| f.lasting || f.at.max(f.until).max(f.blocked) >= before);
    }
}
