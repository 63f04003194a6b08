//! Bounds mined from conditions, for policies whose scope is open to too many requests.
//!
//! A policy such as `when { resource.dept == "eng" && .. }` can only be satisfied where `resource.dept` is
//! that text. Policies with the same expression on the left are put in one group and found by the constant
//! on the right. That a policy is then not looked at must hide neither a reason nor an error, so a group
//! carries the needs of every conjunct to the left of the bound: expressions that must have a value of a
//! certain type for this request. Where a need does not hold, or the bound itself would fail, the whole
//! group is looked at.

use super::index::Range;
use super::ir::{Ix, NO_NODE, Node, Program, SetOp, Var};
use super::ops::hash_of;
use super::scope::{Row, Shape};
use crate::entities::{Table, Value};
use std::collections::{BTreeMap, HashMap};

/// Groups of fewer rows than this are not worth asking.
const GROUPED: usize = 3;

/// What the value of an expression must be so that an operation on it cannot fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Type {
    Any,
    Bool,
    Long,
    Set,
    Entity,
    EntityOrRecord,
    EntityOrEntities,
}

/// An expression that must have a value of a type.
pub(crate) type Need = (Ix, Type);

/// How a group finds its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Bound {
    /// The expression equals the constant, or is one of several.
    Equals(Ix),
    /// The expression is a set that holds the constant.
    Holds(Ix),
    /// The variable is the constant or below it.
    Under(u8),
    /// The condition itself, the same for all rows.
    Test(Ix),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Skeleton {
    bound: Bound,
    needs: Vec<Need>,
    /// A conjunct to the left asks whether the expression is there, so without it nothing holds.
    checked: bool,
}

/// Rows that one bound finds.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) bound: Option<Bound>,
    pub(crate) needs: Box<[Need]>,
    pub(crate) checked: bool,
    pub(crate) whole: Range,
    /// Positions in `keys`, by the hash of the constant.
    pub(crate) table: Table,
    /// Constants in ascending order and the rows they find, in [`Guards::keyed`].
    pub(crate) keys: Box<[(Value, Range)]>,
}

/// All groups of an index.
#[derive(Debug, Default)]
pub(crate) struct Guards {
    pub(crate) groups: Vec<Group>,
    /// Rows by constant.
    pub(crate) keyed: Vec<Row>,
    placed: usize,
}

fn number(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

impl Guards {
    pub(crate) fn len(&self) -> u32 {
        number(self.placed)
    }

    pub(crate) fn shrink(&mut self) {
        self.groups.shrink_to_fit();
        self.keyed.shrink_to_fit();
    }

    /// Tells where the rows of the next group that was made lie as a whole.
    pub(crate) fn place(&mut self, whole: Range) {
        if let Some(group) = self.groups.get_mut(self.placed) {
            group.whole = whole;
        }
        self.placed += 1;
    }

    /// Rows of a range of constants.
    pub(crate) fn rows_of(&self, range: Range) -> &[Row] {
        self.keyed
            .get(range.start as usize..(range.start + range.len) as usize)
            .unwrap_or_default()
    }

    /// Makes groups of rows; the rows of each, in order, and the rows that are in none.
    pub(crate) fn group(
        &mut self,
        rows: Vec<Row>,
        shapes: &[Shape],
        program: &Program,
    ) -> (Vec<Vec<Row>>, Vec<Row>) {
        let mined: HashMap<Ix, Vec<(Skeleton, Vec<Value>)>> = rows
            .iter()
            .filter_map(|row| shapes.get(row.shape as usize).map(|shape| shape.body))
            .map(|body| (body, mine(program, body)))
            .collect();
        let bounds = |row: &Row| {
            shapes
                .get(row.shape as usize)
                .and_then(|shape| mined.get(&shape.body))
                .map_or(&[][..], Vec::as_slice)
        };
        // How many rows a request that meets the constant would still look at.
        let mut load: HashMap<(&Skeleton, u64), usize> = HashMap::default();
        let mut size: HashMap<&Skeleton, usize> = HashMap::default();
        for row in &rows {
            for (skeleton, keys) in bounds(row) {
                *size.entry(skeleton).or_default() += 1;
                keys.iter()
                    .for_each(|key| *load.entry((skeleton, hash_of(key.into()))).or_default() += 1);
                if keys.is_empty() {
                    *load.entry((skeleton, 0)).or_default() += 1;
                }
            }
        }
        let cost = |skeleton: &Skeleton, keys: &[Value]| {
            let of = |hash| load.get(&(skeleton, hash)).copied().unwrap_or(0);
            if keys.is_empty() {
                of(0)
            } else {
                keys.iter().map(|key| of(hash_of(key.into()))).sum()
            }
        };
        let mut groups: HashMap<&Skeleton, Vec<(Row, &[Value])>> = HashMap::default();
        let mut rest = Vec::new();
        for row in &rows {
            let usable = bounds(row)
                .iter()
                .filter(|(skeleton, _)| size.get(skeleton).is_some_and(|size| *size >= GROUPED));
            match usable.min_by_key(|(skeleton, keys)| cost(skeleton, keys)) {
                Some((skeleton, keys)) => groups.entry(skeleton).or_default().push((*row, keys)),
                None => rest.push(*row),
            }
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by_key(|(skeleton, _)| *skeleton);
        let mut whole = Vec::new();
        for (skeleton, rows) in groups {
            if rows.len() < GROUPED {
                rest.extend(rows.into_iter().map(|(row, _)| row));
            } else {
                self.add(skeleton, &rows);
                whole.push(rows.into_iter().map(|(row, _)| row).collect());
            }
        }
        (whole, rest)
    }

    fn add(&mut self, skeleton: &Skeleton, rows: &[(Row, &[Value])]) {
        let mut by_key: BTreeMap<&Value, Vec<Row>> = BTreeMap::new();
        for (row, keys) in rows {
            for key in *keys {
                by_key.entry(key).or_default().push(*row);
            }
        }
        let mut group = Group {
            bound: Some(skeleton.bound),
            needs: skeleton.needs.clone().into(),
            checked: skeleton.checked,
            ..Group::default()
        };
        let mut keys = Vec::with_capacity(by_key.len());
        for (key, rows) in by_key {
            // What finds no cell is found by halves.
            let _ = group.table.insert(hash_of(key.into()), number(keys.len()));
            keys.push((
                key.clone(),
                Range {
                    start: number(self.keyed.len()),
                    len: number(rows.len()),
                },
            ));
            self.keyed.extend(rows);
        }
        group.keys = keys.into();
        self.groups.push(group);
    }
}

/// Every bound of a condition, with the constants that it asks for.
fn mine(program: &Program, body: Ix) -> Vec<(Skeleton, Vec<Value>)> {
    if body == NO_NODE {
        return Vec::new();
    }
    let single = [body];
    let conjuncts = match program.node(body) {
        Node::And(list) => program.list(list),
        _ => &single,
    };
    let mut needs: Vec<Need> = Vec::new();
    let mut present: Vec<Node> = Vec::new();
    let mut found = Vec::new();
    for (at, conjunct) in conjuncts.iter().enumerate() {
        if let Some((bound, keys)) = bound_of(program, *conjunct) {
            let checked = match bound {
                Bound::Equals(of) | Bound::Holds(of) => present.contains(&program.node(of)),
                _ => false,
            };
            found.push((
                Skeleton {
                    bound,
                    needs: sorted(&needs),
                    checked,
                },
                keys,
            ));
        } else if at == 0 {
            found.push((
                Skeleton {
                    bound: Bound::Test(*conjunct),
                    needs: Vec::new(),
                    checked: false,
                },
                Vec::new(),
            ));
        }
        if !cannot_fail(program, *conjunct, &mut needs) {
            break;
        }
        if let Node::Has { of, name } = program.node(*conjunct) {
            present.push(match program.node(of) {
                Node::Var(var) => Node::VarAttr { var, name },
                _ => Node::Attr { of, name },
            });
        }
    }
    found
}

fn sorted(needs: &[Need]) -> Vec<Need> {
    let mut needs = needs.to_vec();
    needs.sort_unstable();
    needs.dedup();
    needs
}

/// Whether a node only follows attributes from a variable.
fn is_path(program: &Program, at: Ix) -> bool {
    let mut at = at;
    loop {
        match program.node(at) {
            Node::Var(_) | Node::VarAttr { .. } => return true,
            Node::Attr { of, .. } => at = of,
            _ => return false,
        }
    }
}

fn bound_of(program: &Program, conjunct: Ix) -> Option<(Bound, Vec<Value>)> {
    match program.node(conjunct) {
        Node::Equal {
            left,
            right,
            negated: false,
        } => {
            let (path, key) = match (program.constant(left), program.constant(right)) {
                (None, Some(key)) => (left, key),
                (Some(key), None) => (right, key),
                _ => return None,
            };
            is_path(program, path).then(|| (Bound::Equals(path), vec![key]))
        }
        Node::Set {
            op: SetOp::Contains,
            left,
            right,
        } => match (program.constant(left), program.constant(right)) {
            (None, Some(key)) if is_path(program, left) => Some((Bound::Holds(left), vec![key])),
            (Some(Value::Set(set)), None)
                if is_path(program, right) && !set.items().is_empty() && set.items().len() <= 8 =>
            {
                Some((Bound::Equals(right), set.items().to_vec()))
            }
            _ => None,
        },
        Node::In { left, right } => match (program.node(left), program.constant(right)) {
            (Node::Var(var), Some(key @ Value::Entity(_))) => {
                Some((Bound::Under(variable(var)?), vec![key]))
            }
            _ => None,
        },
        _ => None,
    }
}

/// The place of a variable's ancestors.
fn variable(var: Var) -> Option<u8> {
    match var {
        Var::Principal => Some(0),
        Var::Action => Some(1),
        Var::Resource => Some(2),
        Var::Context => None,
    }
}

/// Whether a condition cannot fail where all the needs hold that are added for it.
fn cannot_fail(program: &Program, at: Ix, needs: &mut Vec<Need>) -> bool {
    match program.node(at) {
        Node::Bool(_) => true,
        Node::VarAttr { .. } | Node::Attr { .. } => has_type(program, at, Type::Bool, needs),
        Node::Not(of) => cannot_fail(program, of, needs),
        Node::And(list) | Node::Or(list) => program
            .list(list)
            .iter()
            .all(|at| cannot_fail(program, *at, needs)),
        Node::Equal { left, right, .. } => [left, right]
            .into_iter()
            .all(|at| has_type(program, at, Type::Any, needs)),
        Node::Compare { left, right, .. } => [left, right]
            .into_iter()
            .all(|at| has_type(program, at, Type::Long, needs)),
        Node::Has { of, .. } => has_type(program, of, Type::EntityOrRecord, needs),
        Node::Is { of, .. } => has_type(program, of, Type::Entity, needs),
        Node::In { left, right } => {
            has_type(program, left, Type::Entity, needs)
                && has_type(program, right, Type::EntityOrEntities, needs)
        }
        Node::Set { op, left, right } => {
            let other = if op == SetOp::Contains {
                Type::Any
            } else {
                Type::Set
            };
            has_type(program, left, Type::Set, needs) && has_type(program, right, other, needs)
        }
        Node::IsEmpty(of) => has_type(program, of, Type::Set, needs),
        _ => false,
    }
}

/// Whether an operand has a value of a type, given the need that is added for it.
fn has_type(program: &Program, at: Ix, ty: Type, needs: &mut Vec<Need>) -> bool {
    if let Some(value) = program.constant(at) {
        return fits(&value, ty);
    }
    match program.node(at) {
        Node::Var(Var::Context) => matches!(ty, Type::Any | Type::EntityOrRecord),
        Node::Var(_) => matches!(
            ty,
            Type::Any | Type::Entity | Type::EntityOrRecord | Type::EntityOrEntities
        ),
        _ if is_path(program, at) => {
            needs.push((at, ty));
            true
        }
        _ => false,
    }
}

fn fits(value: &Value, ty: Type) -> bool {
    match (ty, value) {
        (Type::Any, _)
        | (Type::Bool, Value::Bool(_))
        | (Type::Long, Value::Long(_))
        | (Type::Set, Value::Set(_))
        | (Type::Entity | Type::EntityOrRecord | Type::EntityOrEntities, Value::Entity(_))
        | (Type::EntityOrRecord, Value::Record(_)) => true,
        (Type::EntityOrEntities, Value::Set(set)) => set.entities_only(),
        _ => false,
    }
}
