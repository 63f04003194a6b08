//! Ancestors that were listed lately, by the parents they are above of.
//!
//! Users share few sets of parents, so most decisions find theirs here instead of walking up the hierarchy. What is
//! kept belongs to one version of the entities; another version begins anew. The number of entries and the length
//! of each are bounded, and a new entry takes the place of an older one.

use super::walk::bit;
use crate::entities::{EntityVersion, Uid};

/// Sets of parents that are kept.
const ENTRIES: usize = 256;
/// Longer lists of ancestors are not kept.
const LONGEST: usize = 1_024;

/// The ancestors of one set of parents, the parents among them.
#[derive(Debug, Clone, Default)]
pub(super) struct Above {
    parents: Vec<Uid>,
    /// Nearest first.
    pub(super) list: Vec<Uid>,
    /// In order.
    pub(super) sorted: Vec<Uid>,
    /// One bit of each.
    pub(super) bits: u64,
    /// What the walk to find them cost, which whoever uses them pays as well.
    pub(super) steps: u64,
    /// The round in which it was kept; entries of an earlier one are of another version.
    round: u64,
}

/// The ancestors that a thread listed lately.
#[derive(Debug, Default)]
pub(crate) struct Ancestors {
    bound: (u64, u64),
    round: u64,
    entries: Vec<Above>,
}

impl Ancestors {
    /// Forgets what is not of this version.
    #[inline]
    pub(super) fn bind(&mut self, version: &EntityVersion) {
        if self.bound != version.identity() {
            self.bound = version.identity();
            self.round += 1;
        }
    }

    /// The ancestors of these parents.
    #[inline]
    pub(super) fn find(&self, parents: &[Uid]) -> Option<&Above> {
        let known = self.entries.get(place(parents))?;
        (known.round == self.round && known.parents == parents).then_some(known)
    }

    /// Keeps the ancestors of these parents, which cost `steps` to find.
    pub(super) fn keep(&mut self, parents: &[Uid], list: &[Uid], steps: u64) {
        if list.len() > LONGEST {
            return;
        }
        if self.entries.is_empty() {
            self.entries.resize_with(ENTRIES, Above::default);
        }
        let Some(entry) = self.entries.get_mut(place(parents)) else {
            return;
        };
        let replace = |old: &mut Vec<Uid>, new: &[Uid]| {
            old.clear();
            old.extend_from_slice(new);
        };
        replace(&mut entry.parents, parents);
        replace(&mut entry.list, list);
        replace(&mut entry.sorted, list);
        entry.sorted.sort_unstable();
        entry.bits = list.iter().fold(0, |bits, uid| bits | bit(*uid));
        entry.steps = steps;
        entry.round = self.round;
    }
}

/// Where a set of parents is kept.
#[inline]
fn place(parents: &[Uid]) -> usize {
    let mixed = parents.iter().fold(0_u64, |mixed, uid| {
        (mixed.rotate_left(5) ^ u64::from(uid.raw())).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    (mixed >> 32) as usize % ENTRIES
}
