//! Asking the groups of [`Guards`] which of their rows a request can match.

use super::guards::{Bound, Group, Guards, Need, Type};
use super::index::{Index, Range};
use super::interpret::{Closures, Interpreter};
use super::ops::{self, Fault};
use super::runtime::V;
use super::scope::{DIMENSIONS, Row, Sure};
use crate::entities::{Uid, Value};

/// Groups that a request reached, and under which action, if by one.
pub(crate) type Reached = (Range, Option<Uid>);

/// Which rows of a group are left.
enum Left {
    All,
    None,
}

impl<'a> Interpreter<'a> {
    /// Adds the rows that the groups leave and whose scope holds.
    pub(crate) fn prune(
        &mut self,
        index: &'a Index,
        reached: &[Reached],
        found: &mut Vec<Row>,
    ) -> Result<(), Fault> {
        for (range, action) in reached {
            let groups = index
                .guards
                .groups
                .get(range.start as usize..(range.start + range.len) as usize)
                .unwrap_or_default();
            for group in groups {
                let mut take = |rows: &[Row], this: &mut Self| {
                    this.meter.spend(rows.len() as u64)?;
                    this.take(index, rows, *action, found);
                    Ok::<(), Fault>(())
                };
                if !self.needs_hold(&group.needs)? {
                    take(index.rows_of(group.whole), self)?;
                    continue;
                }
                match self.ask(&index.guards, group, &mut take)? {
                    Left::All => take(index.rows_of(group.whole), self)?,
                    Left::None => {}
                }
            }
        }
        Ok(())
    }

    fn take(&self, index: &Index, rows: &[Row], action: Option<Uid>, found: &mut Vec<Row>) {
        let closures: &Closures = self.closures;
        for row in rows {
            let Some(shape) = index.shapes.get(row.shape as usize) else {
                continue;
            };
            if shape.holds(row, Sure::default(), &self.world, closures)
                && action.is_none_or(|under| shape.first_found(under, closures))
            {
                found.push(*row);
            }
        }
    }

    fn needs_hold(&mut self, needs: &[Need]) -> Result<bool, Fault> {
        for (at, ty) in needs {
            match self.value(*at) {
                Ok(value) if fits(value, *ty) => {}
                Err(Fault::Exhausted) => return Err(Fault::Exhausted),
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Takes the rows that the bound finds; or says that all are left, because it would fail.
    fn ask(
        &mut self,
        guards: &'a Guards,
        group: &'a Group,
        take: &mut impl FnMut(&[Row], &mut Self) -> Result<(), Fault>,
    ) -> Result<Left, Fault> {
        match group.bound {
            None => return Ok(Left::All),
            Some(Bound::Test(at)) => {
                return match self.test(at) {
                    Ok(false) => Ok(Left::None),
                    Err(Fault::Exhausted) => Err(Fault::Exhausted),
                    _ => Ok(Left::All),
                };
            }
            Some(Bound::Under(var)) => {
                let Some(dimension) = DIMENSIONS.get(usize::from(var)) else {
                    return Ok(Left::All);
                };
                let above = self.closures.of(*dimension).list().len();
                for at in 0..above {
                    let Some(uid) = self.closures.of(*dimension).list().get(at).copied() else {
                        break;
                    };
                    if let Some(range) = self.key(group, V::Entity(uid))? {
                        take(guards.rows_of(range), self)?;
                    }
                }
            }
            Some(Bound::Equals(at)) => match self.value(at) {
                Ok(value) => {
                    if let Some(range) = self.key(group, value)? {
                        take(guards.rows_of(range), self)?;
                    }
                }
                Err(Fault::Exhausted) => return Err(Fault::Exhausted),
                Err(Fault::Error(_)) => {
                    return Ok(if group.checked { Left::None } else { Left::All });
                }
            },
            Some(Bound::Holds(at)) => match self.value(at) {
                Ok(V::Set(set)) if set.items().len() <= group.keys.len() => {
                    for item in set.items() {
                        if let Some(range) = self.key(group, item.into())? {
                            take(guards.rows_of(range), self)?;
                        }
                    }
                }
                Ok(V::Set(set)) => {
                    for (key, range) in &group.keys {
                        if ops::contains(&mut self.meter, set, key.into())? {
                            take(guards.rows_of(*range), self)?;
                        }
                    }
                }
                Ok(_) => return Ok(Left::All),
                Err(Fault::Exhausted) => return Err(Fault::Exhausted),
                Err(Fault::Error(_)) => {
                    return Ok(if group.checked { Left::None } else { Left::All });
                }
            },
        }
        Ok(Left::None)
    }

    /// The rows of a constant equal to `value`.
    fn key(&mut self, group: &Group, value: V<'a>) -> Result<Option<Range>, Fault> {
        ops::weight(&mut self.meter, value)?;
        let equal = |key: &Value, meter: &mut ops::Meter| ops::equal(meter, key.into(), value);
        let mut meter = self.meter;
        let mut fault = None;
        let at = group.table.find(ops::hash_of(value), |at| {
            match group
                .keys
                .get(at as usize)
                .map(|(key, _)| equal(key, &mut meter))
            {
                Some(Ok(is)) => is,
                Some(Err(found)) => {
                    fault = Some(found);
                    true
                }
                None => false,
            }
        });
        self.meter = meter;
        if let Some(fault) = fault {
            return Err(fault);
        }
        let at = match at {
            None if group.table.is_crowded() => {
                let keys = &group.keys;
                let found = keys.binary_search_by(|(key, _)| ops::order(key.into(), value));
                found.ok()
            }
            at => at.map(|at| at as usize),
        };
        Ok(at
            .and_then(|at| group.keys.get(at))
            .map(|(_, range)| *range))
    }
}

fn fits(value: V<'_>, ty: Type) -> bool {
    match (ty, value) {
        (Type::Any, _)
        | (Type::Bool, V::Bool(_))
        | (Type::Long, V::Long(_))
        | (Type::Set, V::Set(_))
        | (Type::Entity | Type::EntityOrRecord | Type::EntityOrEntities, V::Entity(_))
        | (Type::EntityOrRecord, V::Record(_)) => true,
        (Type::EntityOrEntities, V::Set(set)) => set.entities_only(),
        _ => false,
    }
}
