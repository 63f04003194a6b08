//! Finding the policies that a request can match: the index asked, the scopes checked.
//!
//! Leaves: rows whose whole scope holds, each policy once. What it costs depends on the ancestors of
//! principal, action and resource, or on the entities that policies name, whichever are fewer, and on the
//! rows met; not on how many policies there are.

use super::index::{Index, Range};
use super::interpret::Closures;
use super::ops::{Fault, Meter};
use super::prune::Reached;
use super::scope::{DIMENSIONS, Dimension, Row, Sure};
use super::walk::{Closure, World};
use crate::entities::Uid;

/// A lookup in progress.
pub(crate) struct Lookup<'a> {
    pub(crate) index: &'a Index,
    pub(crate) world: &'a World<'a>,
    pub(crate) closures: &'a Closures,
    pub(crate) meter: &'a mut Meter,
    /// Rows whose scope holds.
    pub(crate) found: &'a mut Vec<Row>,
    /// Buckets that apply and have rows behind conditions.
    pub(crate) guarded: &'a mut Vec<Reached>,
}

impl Closures {
    #[inline]
    pub(crate) fn of(&self, dimension: Dimension) -> &Closure {
        match dimension {
            Dimension::Principal => &self.principal,
            Dimension::Action => &self.action,
            Dimension::Resource => &self.resource,
        }
    }
}

impl Lookup<'_> {
    pub(crate) fn run(&mut self) -> Result<(), Fault> {
        let index = self.index;
        for (map, dimension) in index.by_uid.iter().zip(DIMENSIONS) {
            if map.entries.is_empty() {
                continue;
            }
            let closure = self.closures.of(dimension);
            if closure.list().len() <= map.entries.len() {
                self.meter.spend(closure.list().len() as u64)?;
                for uid in closure.list() {
                    if let Some(bucket) = map.get(*uid) {
                        self.bucket(bucket, Some((dimension, *uid)))?;
                    }
                }
            } else {
                self.meter.spend(map.entries.len() as u64)?;
                for (uid, bucket) in &map.entries {
                    if closure.contains(*uid) {
                        self.bucket(*bucket, Some((dimension, *uid)))?;
                    }
                }
            }
        }
        let request = self.world.request;
        for (types, ty) in index
            .by_type
            .iter()
            .zip([request.principal_type, request.resource_type])
        {
            if types.is_empty() {
                continue;
            }
            if let Ok(at) = types.binary_search_by_key(&ty, |(ty, _)| *ty)
                && let Some((_, bucket)) = types.get(at)
            {
                self.bucket(*bucket, None)?;
            }
        }
        match index.open {
            Some(bucket) => self.bucket(bucket, None),
            None => Ok(()),
        }
    }

    #[inline]
    fn bucket(&mut self, at: u32, under: Option<(Dimension, Uid)>) -> Result<(), Fault> {
        let Some(bucket) = self.index.buckets.get(at as usize).copied() else {
            return Ok(());
        };
        let action = match under {
            Some((Dimension::Action, uid)) => Some(uid),
            _ => None,
        };
        let sure = under.map_or(Sure::default(), |(dimension, _)| {
            Sure::default().and(dimension)
        });
        self.rows(bucket.rows, sure, action)?;
        if bucket.guarded.len > 0 {
            self.guarded.push((bucket.guarded, action));
        }
        match bucket.split {
            Some(dimension) => self.split(at, dimension, sure, action),
            None => Ok(()),
        }
    }

    /// Rows found by their second key. If one of the keys is an action, it must be the first that applies.
    fn split(
        &mut self,
        at: u32,
        dimension: Dimension,
        sure: Sure,
        action: Option<Uid>,
    ) -> Result<(), Fault> {
        let index = self.index;
        let closure = self.closures.of(dimension);
        self.meter.spend(closure.list().len() as u64)?;
        for uid in closure.list() {
            if let Some(range) = index.sub_rows(at, *uid) {
                self.rows(
                    range,
                    sure.and(dimension),
                    if dimension == Dimension::Action {
                        Some(*uid)
                    } else {
                        action
                    },
                )?;
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn rows(&mut self, range: Range, sure: Sure, action: Option<Uid>) -> Result<(), Fault> {
        let index = self.index;
        self.meter.spend(u64::from(range.len))?;
        for row in index.rows_of(range) {
            // The bits alone tell most rows apart before their shape is read.
            if !(self.closures.resource.may_contain(row.resource)
                && self.closures.principal.may_contain(row.principal))
            {
                continue;
            }
            let Some(shape) = index.shapes.get(row.shape as usize) else {
                continue;
            };
            if shape.holds(row, sure, self.world, self.closures)
                && action.is_none_or(|under| shape.first_found(under, self.closures))
            {
                self.found.push(*row);
            }
        }
        Ok(())
    }
}
