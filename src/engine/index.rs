//! The index: every policy filed once, under its rarest scope key.
//!
//! A scope is the first part of a conjunction and cannot fail, so a policy whose scope does not hold adds
//! neither reason nor error and need not be looked at. A policy that names a principal, an action or a
//! resource (by `==` or `in`) is filed under the one that the fewest policies name; one that names none is
//! filed under the types its scope asks for, and one without those is open to every request. A bucket
//! that grows large is split by a second entity its policies name.

use super::guards::Guards;
use super::ir::Program;
use super::scope::{DIMENSIONS, Dimension, Kind, Row, Shape};
use crate::entities::{Sym, Table, Uid};
use std::collections::HashMap;
use std::hash::Hasher;

/// A bucket with more rows than this is split, if a second key splits it.
const SPLIT: usize = 32;

/// Buckets that requests of any entity reach are pruned by conditions beyond this many rows.
const PRUNED: usize = 4;

/// Rows that lie together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

/// All policies filed under one key.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bucket {
    /// Rows that are looked at whenever the key applies.
    pub(crate) rows: Range,
    /// Where the others are found by a second key.
    pub(crate) split: Option<Dimension>,
    /// Where still others are found by their conditions: groups in [`Guards`].
    pub(crate) guarded: Range,
}

const PAGE: usize = 1_024;
const NOTHING: u32 = u32::MAX;

/// A sparse array from entity numbers to buckets.
#[derive(Debug, Default)]
pub(crate) struct UidMap {
    pages: Vec<u32>,
    cells: Vec<u32>,
    /// Every entry, for when there are fewer of them than ancestors.
    pub(crate) entries: Vec<(Uid, u32)>,
}

impl UidMap {
    fn insert(&mut self, uid: Uid, bucket: u32) {
        let page = uid.raw() as usize / PAGE;
        if self.pages.len() <= page {
            self.pages.resize(page + 1, NOTHING);
        }
        if let Some(at) = self.pages.get_mut(page) {
            if *at == NOTHING {
                *at = number(self.cells.len());
                self.cells.resize(self.cells.len() + PAGE, NOTHING);
            }
            if let Some(cell) = self.cells.get_mut(*at as usize + uid.raw() as usize % PAGE) {
                *cell = bucket;
            }
        }
        self.entries.push((uid, bucket));
    }

    /// The bucket of an entity.
    #[inline]
    pub(crate) fn get(&self, uid: Uid) -> Option<u32> {
        let page = *self.pages.get(uid.raw() as usize / PAGE)?;
        let cell = self
            .cells
            .get((page as usize).wrapping_add(uid.raw() as usize % PAGE))?;
        (*cell != NOTHING).then_some(*cell)
    }
}

/// The index over a set of policies.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) shapes: Vec<Shape>,
    pub(crate) rows: Vec<Row>,
    pub(crate) buckets: Vec<Bucket>,
    /// By principal, action, resource.
    pub(crate) by_uid: [UidMap; 3],
    /// By type of principal and of resource.
    pub(crate) by_type: [Vec<(Sym, u32)>; 2],
    pub(crate) open: Option<u32>,
    /// Positions in `sub_rows`, by the hash of bucket and entity.
    subs: Table,
    /// Rows by bucket and entity, in ascending order.
    sub_rows: Vec<(u32, Uid, Range)>,
    pub(crate) guards: Guards,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Key {
    Uid(usize, Uid),
    Type(usize, Sym),
    Open,
}

fn number(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// The hash of a second key.
#[inline]
fn sub_hash(bucket: u32, uid: Uid) -> u64 {
    let mut hasher = crate::base::hash::hasher(0);
    hasher.write_u64((u64::from(bucket) << 32) | u64::from(uid.raw()));
    hasher.finish()
}

impl Index {
    /// Files every row.
    pub(crate) fn build(shapes: Vec<Shape>, rows: &[Row], program: &Program) -> Self {
        let mut index = Self {
            shapes,
            ..Self::default()
        };
        let mut load: HashMap<(usize, Uid), u32> = HashMap::default();
        for row in rows {
            for (at, dimension) in DIMENSIONS.into_iter().enumerate() {
                index
                    .keys(row, dimension)
                    .iter()
                    .for_each(|uid| *load.entry((at, *uid)).or_default() += 1);
            }
        }
        let mut filed: HashMap<Key, Vec<Row>> = HashMap::default();
        for row in rows {
            for key in index.best_keys(row, &load) {
                filed.entry(key).or_default().push(*row);
            }
        }
        let mut filed: Vec<(Key, Vec<Row>)> = filed.into_iter().collect();
        filed.sort_unstable_by_key(|(key, _)| *key);
        for (key, rows) in filed {
            let bucket = number(index.buckets.len());
            match key {
                Key::Uid(at, uid) => {
                    if let Some(map) = index.by_uid.get_mut(at) {
                        map.insert(uid, bucket);
                    }
                }
                Key::Type(at, ty) => {
                    if let Some(types) = index.by_type.get_mut(at) {
                        types.push((ty, bucket));
                    }
                }
                Key::Open => index.open = Some(bucket),
            }
            index.fill(bucket, key, rows, program);
        }
        index.rows.shrink_to_fit();
        index.guards.shrink();
        index
    }

    fn shape(&self, row: &Row) -> Option<&Shape> {
        self.shapes.get(row.shape as usize)
    }

    fn keys<'a>(&'a self, row: &'a Row, dimension: Dimension) -> &'a [Uid] {
        self.shape(row)
            .map_or(&[], |shape| shape.keys(row, dimension))
    }

    fn best_keys(&self, row: &Row, load: &HashMap<(usize, Uid), u32>) -> Vec<Key> {
        let rarest = DIMENSIONS
            .into_iter()
            .enumerate()
            .filter_map(|(at, dimension)| {
                let keys = self.keys(row, dimension);
                let total: u32 = keys.iter().filter_map(|uid| load.get(&(at, *uid))).sum();
                (!keys.is_empty()).then_some((total, at, keys))
            });
        if let Some((_, at, keys)) = rarest.min_by_key(|(total, ..)| *total) {
            return keys.iter().map(|uid| Key::Uid(at, *uid)).collect();
        }
        let ty = |kind| match kind {
            Kind::Is(ty) | Kind::IsIn(ty) => Some(ty),
            _ => None,
        };
        let shape = self.shape(row);
        let resource = shape
            .and_then(|shape| ty(shape.resource))
            .map(|ty| Key::Type(1, ty));
        let principal = shape
            .and_then(|shape| ty(shape.principal))
            .map(|ty| Key::Type(0, ty));
        vec![resource.or(principal).unwrap_or(Key::Open)]
    }

    fn fill(&mut self, bucket: u32, key: Key, rows: Vec<Row>, program: &Program) {
        let mut filled = Bucket::default();
        let mut rows = rows;
        if rows.len() > SPLIT
            && let Some(dimension) = self.second_key(key, &rows)
        {
            filled.split = Some(dimension);
            let mut subs: HashMap<Uid, Vec<Row>> = HashMap::default();
            let mut rest = Vec::new();
            for row in rows {
                let keys = self.keys(&row, dimension).to_vec();
                if keys.is_empty() {
                    rest.push(row);
                }
                keys.into_iter()
                    .for_each(|uid| subs.entry(uid).or_default().push(row));
            }
            let mut subs: Vec<(Uid, Vec<Row>)> = subs.into_iter().collect();
            subs.sort_unstable_by_key(|(uid, _)| *uid);
            for (uid, rows) in subs {
                let range = self.store(rows);
                // What finds no cell is found by halves.
                let hash = sub_hash(bucket, uid);
                let _ = self.subs.insert(hash, number(self.sub_rows.len()));
                self.sub_rows.push((bucket, uid, range));
            }
            rows = rest;
        }
        if rows.len()
            > if matches!(key, Key::Uid(..)) {
                SPLIT
            } else {
                PRUNED
            }
        {
            let start = self.guards.len();
            let (guarded, rest) = self.guards.group(rows, &self.shapes, program);
            for rows in guarded {
                let range = self.store(rows);
                self.guards.place(range);
            }
            filled.guarded = Range {
                start,
                len: self.guards.len() - start,
            };
            rows = rest;
        }
        filled.rows = self.store(rows);
        self.buckets.push(filled);
    }

    fn store(&mut self, rows: Vec<Row>) -> Range {
        let range = Range {
            start: number(self.rows.len()),
            len: number(rows.len()),
        };
        self.rows.extend(rows);
        range
    }

    /// The dimension, other than the bucket's own, that leaves the fewest rows to look at.
    fn second_key(&self, key: Key, rows: &[Row]) -> Option<Dimension> {
        let own = if let Key::Uid(at, _) = key {
            at
        } else {
            usize::MAX
        };
        let left = |dimension: Dimension| {
            let mut load: HashMap<Uid, usize> = HashMap::default();
            let mut without = 0;
            for row in rows {
                let keys = self.keys(row, dimension);
                without += usize::from(keys.is_empty());
                keys.iter()
                    .for_each(|uid| *load.entry(*uid).or_default() += 1);
            }
            without + load.values().max().copied().unwrap_or(0)
        };
        let others = DIMENSIONS
            .into_iter()
            .enumerate()
            .filter(|(at, _)| *at != own);
        let best = others
            .map(|(_, dimension)| (left(dimension), dimension))
            .min_by_key(|(left, _)| *left)?;
        (best.0 * 2 <= rows.len()).then_some(best.1)
    }

    /// The rows of a split bucket under a second key.
    #[inline]
    pub(crate) fn sub_rows(&self, bucket: u32, uid: Uid) -> Option<Range> {
        let key = |at: usize| {
            self.sub_rows
                .get(at)
                .map(|(bucket, uid, _)| (*bucket, *uid))
        };
        let is = |at: u32| key(at as usize) == Some((bucket, uid));
        let at = match self.subs.find(sub_hash(bucket, uid), is) {
            None if self.subs.is_crowded() => {
                let rows = &self.sub_rows;
                let found = rows.binary_search_by_key(&(bucket, uid), |row| (row.0, row.1));
                found.ok()?
            }
            at => at? as usize,
        };
        self.sub_rows.get(at).map(|(_, _, range)| *range)
    }

    /// Rows of a range.
    #[inline]
    pub(crate) fn rows_of(&self, range: Range) -> &[Row] {
        self.rows
            .get(range.start as usize..(range.start + range.len) as usize)
            .unwrap_or_default()
    }
}
