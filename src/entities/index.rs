//! Hash tables from text to numbers, holding numbers only: the text stays where it is stored.
//!
//! [`Table`] is one open-addressing table; [`SharedTable`] is 4,096 of them under two persistent levels, so
//! that a version differs from the last one by one small table and the path to it.

use super::symbol::Sym;
use cedar_policy::pst::SmolStr;
use std::collections::BTreeMap;
use std::sync::Arc;

const FAN: usize = 64;

/// Cells that a look-up visits at most.
const PROBES: usize = 64;
/// A cell whose number was taken out, where closing the gap would have moved too many others.
const GONE: u64 = u64::MAX;

/// An open-addressing table of `tag << 32 | number + 1`; an empty cell is zero.
///
/// No operation visits more than [`PROBES`] cells in a row, whatever the hashes. A number that finds no cell
/// within them is not kept here: whoever owns the table keeps it in order elsewhere, and looks there when
/// [`Table::is_crowded`]. Hashes that are chosen to collide thus cost no more than a binary search.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    cells: Vec<u64>,
    /// Cells in use, those of numbers that are gone among them.
    len: u32,
    /// Whether a number found no cell.
    crowded: bool,
    /// Whether a wider table would not hold the numbers either.
    stuck: bool,
}

const fn cell(hash: u64, number: u32) -> u64 {
    (hash << 32) | (number as u64 + 1)
}

impl Table {
    /// The number filed under `hash` that `is` accepts.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.cells.len().checked_sub(1)?;
        let tag = hash as u32;
        let mut at = tag as usize & mask;
        for _ in 0..PROBES {
            let found = *self.cells.get(at)?;
            if found == 0 {
                return None;
            }
            if (found >> 32) as u32 == tag && is((found as u32).wrapping_sub(1)) {
                return Some((found as u32).wrapping_sub(1));
            }
            at = (at + 1) & mask;
        }
        None
    }

    /// Whether numbers are kept elsewhere because they found no cell.
    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowded
    }

    /// Files `number` under `hash`; the caller knows that it is not there yet. False if there is no cell
    /// for it: then the caller keeps it.
    #[must_use]
    pub(crate) fn insert(&mut self, hash: u64, number: u32) -> bool {
        let new = cell(hash, number);
        if self.has_room() && place(&mut self.cells, new) || self.widen(new) {
            self.len += 1;
            return true;
        }
        self.crowded = true;
        false
    }

    /// Whether one more cell may be used: one in eight stays empty.
    fn has_room(&self) -> bool {
        (self.len as usize + 1) * 8 <= self.cells.len() * 7
    }

    /// Moves everything, and `new`, into a table of twice the cells; false where that does not help.
    fn widen(&mut self, new: u64) -> bool {
        // A table that is less than half full is not too small: its hashes collide.
        if self.stuck || (self.len as usize) * 2 < self.cells.len() && self.has_room() {
            return false;
        }
        let mut wider = vec![0; (self.cells.len() * 2).max(4)];
        let mut kept = self
            .cells
            .iter()
            .filter(|cell| **cell != 0 && **cell != GONE);
        let mut len = 0;
        if kept.all(|cell| {
            len += 1;
            place(&mut wider, *cell)
        }) && place(&mut wider, new)
        {
            (self.cells, self.len) = (wider, len);
            true
        } else {
            self.stuck = true;
            false
        }
    }

    /// Takes `number` out; false if it is not here. Later cells move back so that few marks are left behind.
    #[expect(
        clippy::indexing_slicing,
        reason = "INVARIANT: positions are masked by a power of two that is the length"
    )]
    pub(crate) fn remove(&mut self, hash: u64, number: u32) -> bool {
        let Some(mask) = self.cells.len().checked_sub(1) else {
            return false;
        };
        let wanted = cell(hash, number);
        let home = (wanted >> 32) as usize & mask;
        let mut places = (0..PROBES.min(self.cells.len())).map(|step| (home + step) & mask);
        let Some(mut hole) = places.find(|at| self.cells[*at] == wanted) else {
            return false;
        };
        let mut at = hole;
        for _ in 0..PROBES {
            at = (at + 1) & mask;
            let found = self.cells[at];
            if found == 0 {
                self.cells[hole] = 0;
                self.len -= 1;
                return true;
            }
            let home = (found >> 32) as usize & mask;
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.cells[hole] = found;
                hole = at;
            }
        }
        self.cells[hole] = GONE;
        true
    }
}

/// Puts a cell where a look-up finds it; false if that is nowhere.
fn place(cells: &mut [u64], new: u64) -> bool {
    let Some(mask) = cells.len().checked_sub(1) else {
        return false;
    };
    let mut at = (new >> 32) as usize & mask;
    for _ in 0..PROBES {
        match cells.get_mut(at) {
            Some(free @ 0) => {
                *free = new;
                return true;
            }
            Some(_) => at = (at + 1) & mask,
            None => return false,
        }
    }
    false
}

type Shelf = [Option<Arc<Table>>; FAN];

/// What text stands for: its type (none for a name) and the text.
pub(crate) type Key<'a> = (Sym, &'a str);

/// A table that many versions share.
#[derive(Debug, Clone)]
pub(crate) struct SharedTable {
    root: Arc<[Option<Arc<Shelf>>; FAN]>,
    /// What found no cell, in order.
    rest: Arc<BTreeMap<(Sym, SmolStr), u32>>,
}

impl Default for SharedTable {
    fn default() -> Self {
        Self {
            root: Arc::new([const { None }; FAN]),
            rest: Arc::default(),
        }
    }
}

const fn split(hash: u64) -> (usize, usize) {
    ((hash >> 58) as usize, (hash >> 52) as usize & (FAN - 1))
}

impl SharedTable {
    /// The number filed under `hash` that `is` accepts, which is the one of `key`; the key is asked for only where
    /// hashes collide.
    #[inline]
    pub(crate) fn find<'k>(
        &self,
        hash: u64,
        key: impl FnOnce() -> Option<Key<'k>>,
        is: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        let (root, shelf) = split(hash);
        let table = self.root.get(root)?.as_ref()?.get(shelf)?.as_ref()?;
        match table.find(hash, is) {
            None if table.is_crowded() => {
                let key = key()?;
                self.rest.get(&(key.0, key.1.into())).copied()
            }
            found => found,
        }
    }

    /// Files `number` under `hash`; the caller knows that it is not there yet.
    pub(crate) fn insert(&mut self, hash: u64, key: Key<'_>, number: u32) {
        if !self.table(hash).insert(hash, number) {
            Arc::make_mut(&mut self.rest).insert((key.0, key.1.into()), number);
        }
    }

    /// Takes `number` out.
    pub(crate) fn remove(&mut self, hash: u64, key: Key<'_>, number: u32) {
        if !self.table(hash).remove(hash, number) {
            Arc::make_mut(&mut self.rest).remove(&(key.0, key.1.into()));
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "INVARIANT: both positions are six bits of the hash"
    )]
    fn table(&mut self, hash: u64) -> &mut Table {
        let (root, shelf) = split(hash);
        let shelves = Arc::make_mut(&mut self.root)[root]
            .get_or_insert_with(|| Arc::new([const { None }; FAN]));
        Arc::make_mut(Arc::make_mut(shelves)[shelf].get_or_insert_with(Arc::default))
    }
}

#[cfg(test)]
mod tests {
    use super::{PROBES, SharedTable, Table};
    use crate::entities::symbol::Sym;
    use std::collections::BTreeSet;

    #[test]
    fn removal_keeps_every_other_number_findable() {
        // Hashes that meet in seven places, and hashes that fill the table from one end.
        for hash in [
            |n: u32| u64::from(n % 7) | (u64::from(n) << 40),
            |n: u32| u64::from(n),
        ] {
            let mut table = Table::default();
            let mut model = BTreeSet::new();
            for n in 0..400 {
                if table.insert(hash(n), n) {
                    model.insert(n);
                }
            }
            for n in (0..400).step_by(3) {
                assert_eq!(table.remove(hash(n), n), model.remove(&n));
                for m in 0..400 {
                    let found = table.find(hash(m), |f| f == m);
                    assert_eq!(found.is_some(), model.contains(&m), "{m} after {n}");
                }
            }
            for n in (0..400).step_by(3) {
                if table.insert(hash(n), n) {
                    model.insert(n);
                }
                assert!(
                    model
                        .iter()
                        .all(|m| table.find(hash(*m), |f| f == *m).is_some())
                );
            }
        }
    }

    #[test]
    fn hashes_that_all_collide_cost_a_bounded_number_of_probes() {
        for hash in [0u64, u64::MAX, 0x5555_5555] {
            let mut table = Table::default();
            let kept = (0..50_000).filter(|n| table.insert(hash, *n)).count();
            assert_eq!(kept, PROBES);
            assert!(table.is_crowded() && table.cells.len() <= 4 * PROBES);
            let mut probes = 0;
            table.find(hash, |_| {
                probes += 1;
                false
            });
            assert!(probes <= PROBES);
        }
    }

    #[test]
    fn text_is_found_and_removed_even_if_every_hash_is_the_same() {
        let mut table = SharedTable::default();
        let texts: Vec<String> = (0..2_000).map(|n| format!("text {n}")).collect();
        for (n, text) in (0..).zip(&texts) {
            table.insert(7, (Sym::NONE, text), n);
        }
        for (n, text) in (0..).zip(&texts) {
            let key = || Some((Sym::NONE, text.as_str()));
            let find = |table: &SharedTable| table.find(7, key, |at| at == n);
            assert_eq!(find(&table), Some(n));
            if n % 2 == 0 {
                table.remove(7, (Sym::NONE, text), n);
                assert_eq!(find(&table), None);
            }
        }
    }

    #[test]
    fn random_hashes_leave_next_to_nothing_over() {
        let mut table = SharedTable::default();
        for n in 0..200_000u32 {
            let text = n.to_string();
            table.insert(crate::base::hash::text(1, &text), (Sym::NONE, &text), n);
        }
        assert!(table.rest.len() < 20, "{} are left over", table.rest.len());
    }
}
