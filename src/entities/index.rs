//! Hash tables from text to numbers, holding numbers only: the text stays where it is stored.
//!
//! [`Table`] is one open-addressing table; [`SharedTable`] is 4,096 of them under two persistent levels, so
//! that a version differs from the last one by one small table and the path to it.

use std::sync::Arc;

const FAN: usize = 64;

/// An open-addressing table of `tag << 32 | number + 1`; an empty cell is zero.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    cells: Vec<u64>,
    len: u32,
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
        loop {
            let found = *self.cells.get(at)?;
            if found == 0 {
                return None;
            }
            if (found >> 32) as u32 == tag && is(found as u32 - 1) {
                return Some(found as u32 - 1);
            }
            at = (at + 1) & mask;
        }
    }

    /// Files `number` under `hash`; the caller knows that it is not there yet.
    pub(crate) fn insert(&mut self, hash: u64, number: u32) {
        if (self.len as usize + 1) * 8 > self.cells.len() * 7 {
            let wider = if self.cells.is_empty() {
                4
            } else {
                self.cells.len() * 2
            };
            let old = std::mem::replace(&mut self.cells, vec![0; wider]);
            for found in old.into_iter().filter(|found| *found != 0) {
                self.place(found);
            }
        }
        self.place(cell(hash, number));
        self.len += 1;
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "INVARIANT: positions are masked by a power of two that is the length"
    )]
    fn place(&mut self, new: u64) {
        let mask = self.cells.len() - 1;
        let mut at = (new >> 32) as usize & mask;
        while self.cells[at] != 0 {
            at = (at + 1) & mask;
        }
        self.cells[at] = new;
    }

    /// Takes `number` out; later cells move back so that no marks are left behind.
    #[expect(
        clippy::indexing_slicing,
        reason = "INVARIANT: positions are masked by a power of two that is the length"
    )]
    pub(crate) fn remove(&mut self, hash: u64, number: u32) {
        let Some(mask) = self.cells.len().checked_sub(1) else {
            return;
        };
        let wanted = cell(hash, number);
        let mut at = (wanted >> 32) as usize & mask;
        while self.cells[at] != wanted {
            if self.cells[at] == 0 {
                return;
            }
            at = (at + 1) & mask;
        }
        self.len -= 1;
        let mut hole = at;
        loop {
            at = (at + 1) & mask;
            let found = self.cells[at];
            if found == 0 {
                break;
            }
            let home = (found >> 32) as usize & mask;
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.cells[hole] = found;
                hole = at;
            }
        }
        self.cells[hole] = 0;
    }

    pub(crate) fn clear(&mut self) {
        if self.len > 0 {
            self.cells.fill(0);
            self.len = 0;
        }
    }
}

type Shelf = [Option<Arc<Table>>; FAN];

/// A table that many versions share.
#[derive(Debug, Clone)]
pub(crate) struct SharedTable {
    root: Arc<[Option<Arc<Shelf>>; FAN]>,
}

impl Default for SharedTable {
    fn default() -> Self {
        Self {
            root: Arc::new([const { None }; FAN]),
        }
    }
}

const fn split(hash: u64) -> (usize, usize) {
    ((hash >> 58) as usize, (hash >> 52) as usize & (FAN - 1))
}

impl SharedTable {
    /// The number filed under `hash` that `is` accepts.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is: impl FnMut(u32) -> bool) -> Option<u32> {
        let (root, shelf) = split(hash);
        self.root
            .get(root)?
            .as_ref()?
            .get(shelf)?
            .as_ref()?
            .find(hash, is)
    }

    /// Files `number` under `hash`; the caller knows that it is not there yet.
    pub(crate) fn insert(&mut self, hash: u64, number: u32) {
        self.table(hash).insert(hash, number);
    }

    /// Takes `number` out.
    pub(crate) fn remove(&mut self, hash: u64, number: u32) {
        self.table(hash).remove(hash, number);
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
    use super::Table;
    use std::collections::BTreeSet;

    #[test]
    fn removal_keeps_every_other_number_findable() {
        let mut table = Table::default();
        let mut model = BTreeSet::new();
        let hash = |n: u32| u64::from(n % 7) | (u64::from(n) << 40);
        for n in 0..200 {
            table.insert(hash(n), n);
            model.insert(n);
        }
        for n in (0..200).step_by(3) {
            table.remove(hash(n), n);
            model.remove(&n);
            for m in 0..200 {
                assert_eq!(
                    table.find(hash(m), |f| f == m).is_some(),
                    model.contains(&m),
                    "{m} after {n}"
                );
            }
        }
    }
}
