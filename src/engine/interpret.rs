//! Evaluation of nodes: recursion bounded by the depth the compiler allows, every node one step.

use super::arena::Arena;
use super::ir::{Arith, Ix, List, Node, Program, Var};
use super::ops::{self, Fault, Meter, TYPE};
use super::outcome::ErrorCode;
use super::runtime::V;
use super::walk::{Closure, World};
use crate::entities::{Record, SetValue, Sym, Uid, Value, field};
use std::sync::Arc;

/// The ancestors of the request's own entities, and room for other walks.
#[derive(Debug, Default)]
pub(crate) struct Closures {
    pub(crate) principal: Closure,
    pub(crate) action: Closure,
    pub(crate) resource: Closure,
    pub(crate) other: Closure,
}

/// One request being evaluated.
pub(crate) struct Interpreter<'a> {
    pub(crate) program: &'a Program,
    pub(crate) world: World<'a>,
    pub(crate) arena: &'a Arena,
    pub(crate) closures: &'a mut Closures,
    pub(crate) meter: Meter,
}

const fn failed(code: ErrorCode) -> Fault {
    Fault::Error(code)
}

#[inline]
fn boolean(value: V<'_>) -> Result<bool, Fault> {
    match value {
        V::Bool(value) => Ok(value),
        _ => Err(TYPE),
    }
}

impl<'a> Interpreter<'a> {
    /// The truth of a node.
    #[inline]
    pub(crate) fn test(&mut self, at: Ix) -> Result<bool, Fault> {
        self.meter.spend(1)?;
        match self.program.node(at) {
            Node::VarAttr { var, name } => boolean(self.var_attr(var, name)?),
            node => self.test_node(node),
        }
    }

    /// The value of a node.
    #[inline]
    pub(crate) fn value(&mut self, at: Ix) -> Result<V<'a>, Fault> {
        self.meter.spend(1)?;
        let node = self.program.node(at);
        self.value_node(node)
    }

    /// The value of an operand: the commonest ones without a call.
    #[inline]
    fn operand(&mut self, at: Ix) -> Result<V<'a>, Fault> {
        self.meter.spend(1)?;
        match self.program.node(at) {
            Node::VarAttr { var, name } => self.var_attr(var, name),
            Node::Const(at) => Ok(self
                .program
                .consts
                .get(at as usize)
                .map_or(V::Bool(false), V::from)),
            Node::Var(var) => Ok(self.var(var)),
            node => self.value_node(node),
        }
    }

    #[inline]
    fn var_attr(&self, var: Var, name: Sym) -> Result<V<'a>, Fault> {
        let [principal, action, resource] = &self.world.own;
        let entity = match var {
            Var::Principal => principal,
            Var::Action => action,
            Var::Resource => resource,
            Var::Context => {
                let fields = self.world.request.context.fields();
                return Ok(V::from(
                    field(fields, name).ok_or(failed(ErrorCode::RecordAttrMissing))?,
                ));
            }
        };
        let entity = entity.as_ref().ok_or(failed(ErrorCode::EntityMissing))?;
        Ok(V::from(
            field(entity.attrs(), name).ok_or(failed(ErrorCode::EntityAttrMissing))?,
        ))
    }

    fn test_node(&mut self, node: Node) -> Result<bool, Fault> {
        match node {
            Node::Bool(value) => Ok(value),
            Node::And(list) => self.all(list),
            Node::Or(list) => self.any(list),
            Node::Not(of) => Ok(!self.test(of)?),
            Node::Equal {
                left,
                right,
                negated,
            } => {
                let (left, right) = (self.operand(left)?, self.operand(right)?);
                Ok(ops::equal(&mut self.meter, left, right)? != negated)
            }
            Node::Compare { order, left, right } => {
                ops::compare(order, self.operand(left)?, self.operand(right)?)
            }
            Node::In { left, right } => {
                let (left, right) = (self.operand(left)?, self.operand(right)?);
                self.is_in(left, right)
            }
            Node::Set { op, left, right } => {
                let (left, right) = (self.operand(left)?, self.operand(right)?);
                ops::set_op(&mut self.meter, op, left, right)
            }
            Node::Has { of, name } => {
                let of = self.operand(of)?;
                Ok(self.find(of, name)?.is_some())
            }
            Node::Is { of, ty } => match self.operand(of)? {
                V::Entity(uid) => Ok(self.world.type_of(uid) == ty),
                _ => Err(TYPE),
            },
            Node::VarAttr { var, name } => boolean(self.var_attr(var, name)?),
            _ => boolean(self.value_node(node)?),
        }
    }

    fn value_node(&mut self, node: Node) -> Result<V<'a>, Fault> {
        Ok(match node {
            Node::VarAttr { var, name } => self.var_attr(var, name)?,
            Node::Const(at) => self
                .program
                .consts
                .get(at as usize)
                .map_or(V::Bool(false), V::from),
            Node::Var(var) => self.var(var),
            Node::Attr { of, name } => {
                let of = self.value(of)?;
                match of {
                    V::Record(record) => V::from(
                        field(record.fields(), name).ok_or(failed(ErrorCode::RecordAttrMissing))?,
                    ),
                    V::Entity(uid) => {
                        let entity = self
                            .world
                            .entity(uid)
                            .ok_or(failed(ErrorCode::EntityMissing))?;
                        V::from(
                            field(entity.attrs(), name)
                                .ok_or(failed(ErrorCode::EntityAttrMissing))?,
                        )
                    }
                    _ => return Err(TYPE),
                }
            }
            Node::If(test, then, otherwise) => {
                let branch = if self.test(test)? { then } else { otherwise };
                self.value(branch)?
            }
            Node::Arith { op, left, right } => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                let (V::Long(a), V::Long(b)) = (left, right) else {
                    return Err(TYPE);
                };
                V::Long(arith(op, a, b).ok_or(failed(ErrorCode::Overflow))?)
            }
            Node::Neg(of) => match self.value(of)? {
                V::Long(value) => V::Long(value.checked_neg().ok_or(failed(ErrorCode::Overflow))?),
                _ => return Err(TYPE),
            },
            Node::GetTag { of, tag } => {
                let (uid, name) = self.tag(of, tag)?;
                let entity = self
                    .world
                    .entity(uid)
                    .ok_or(failed(ErrorCode::EntityMissing))?;
                V::from(
                    name.and_then(|name| field(entity.tags(), name))
                        .ok_or(failed(ErrorCode::EntityAttrMissing))?,
                )
            }
            Node::Make { maker, of } => match self.value(of)? {
                V::Str(text) => {
                    self.meter.spend((text.len() / 16) as u64)?;
                    V::from(
                        self.arena.keep(
                            maker
                                .function()
                                .call(text)
                                .ok_or(failed(ErrorCode::Extension))?,
                        ),
                    )
                }
                _ => return Err(TYPE),
            },
            Node::Method { method, of } => ops::method(method, self.value(of)?)?,
            Node::Method2 {
                method,
                left,
                right,
            } => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                ops::method2(method, left, right)?
            }
            Node::Arity(list) => {
                let program = self.program;
                for at in program.list(list) {
                    self.value(*at)?;
                }
                return Err(failed(ErrorCode::Arity));
            }
            Node::MakeSet(list) => V::from(self.make_set(list)?),
            Node::MakeRecord { values, names } => V::from(self.make_record(values, names)?),
            _ => V::Bool(self.test_rare(node)?),
        })
    }

    /// Nodes whose value is a boolean, and that are reached from either side.
    fn test_rare(&mut self, node: Node) -> Result<bool, Fault> {
        match node {
            Node::IsEmpty(of) => match self.value(of)? {
                V::Set(set) => Ok(set.items().is_empty()),
                _ => Err(TYPE),
            },
            Node::HasTag { of, tag } => {
                let (uid, name) = self.tag(of, tag)?;
                Ok(name
                    .zip(self.world.entity(uid))
                    .is_some_and(|(name, entity)| field(entity.tags(), name).is_some()))
            }
            Node::HasPath { of, path } => {
                let of = self.value(of)?;
                self.has_path(of, path)
            }
            Node::Like { of, pattern } => match self.value(of)? {
                V::Str(text) => {
                    let Some(pattern) = self.program.patterns.get(pattern as usize) else {
                        return Err(TYPE);
                    };
                    self.meter.spend(pattern.cost(text))?;
                    Ok(pattern.matches(text))
                }
                _ => Err(TYPE),
            },
            Node::IsIn { of, ty, right } => match self.value(of)? {
                V::Entity(uid) => {
                    if self.world.type_of(uid) != ty {
                        return Ok(false);
                    }
                    let right = self.value(right)?;
                    self.is_in(V::Entity(uid), right)
                }
                _ => Err(TYPE),
            },
            // The rest are tested where they are met first.
            _ => self.test_node(node),
        }
    }

    fn all(&mut self, list: List) -> Result<bool, Fault> {
        for at in self.program.list(list) {
            if !self.test(*at)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn any(&mut self, list: List) -> Result<bool, Fault> {
        for at in self.program.list(list) {
            if self.test(*at)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn var(&self, var: Var) -> V<'a> {
        let request = self.world.request;
        match var {
            Var::Principal => V::Entity(request.principal),
            Var::Action => V::Entity(request.action),
            Var::Resource => V::Entity(request.resource),
            Var::Context => V::Record(&request.context),
        }
    }

    /// The attribute, if there is one; an entity that does not exist has none.
    fn find(&self, of: V<'a>, name: Sym) -> Result<Option<&'a Value>, Fault> {
        match of {
            V::Record(record) => Ok(field(record.fields(), name)),
            V::Entity(uid) => Ok(self
                .world
                .entity(uid)
                .and_then(|entity| field(entity.attrs(), name))),
            _ => Err(TYPE),
        }
    }

    fn has_path(&mut self, of: V<'a>, path: List) -> Result<bool, Fault> {
        let mut of = of;
        for name in self.program.path(path) {
            self.meter.spend(1)?;
            match self.find(of, *name)? {
                Some(inner) => of = V::from(inner),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn tag(&mut self, of: Ix, tag: Ix) -> Result<(Uid, Option<Sym>), Fault> {
        let (of, tag) = (self.value(of)?, self.value(tag)?);
        let (V::Entity(uid), V::Str(tag)) = (of, tag) else {
            return Err(TYPE);
        };
        self.meter.spend((tag.len() / 16) as u64)?;
        Ok((uid, self.world.find_name(tag)))
    }

    fn is_in(&mut self, left: V<'a>, right: V<'a>) -> Result<bool, Fault> {
        let V::Entity(uid) = left else {
            return Err(TYPE);
        };
        match right {
            V::Entity(target) => self.is_under(uid, target),
            V::Set(set) if set.entities_only() => self.is_under_any(uid, set),
            _ => Err(TYPE),
        }
    }

    /// The listed ancestors of `uid`, if it is one of the request's own.
    fn closure_of(&self, uid: Uid) -> Option<&Closure> {
        let request = self.world.request;
        if uid == request.principal {
            Some(&self.closures.principal)
        } else if uid == request.resource {
            Some(&self.closures.resource)
        } else if uid == request.action {
            Some(&self.closures.action)
        } else {
            None
        }
    }

    fn is_under(&mut self, uid: Uid, target: Uid) -> Result<bool, Fault> {
        if let Some(closure) = self.closure_of(uid) {
            return Ok(closure.contains(target));
        }
        self.closures
            .other
            .reaches(&self.world, &mut self.meter, uid, |seen| seen == target)
    }

    fn is_under_any(&mut self, uid: Uid, targets: &SetValue) -> Result<bool, Fault> {
        let is = |seen| targets.contains(&Value::Entity(seen));
        let Some(closure) = self.closure_of(uid) else {
            return self
                .closures
                .other
                .reaches(&self.world, &mut self.meter, uid, is);
        };
        let (above, targets) = (closure.list().len(), targets.items());
        if above <= targets.len() {
            let rounds = 1 + u64::from(targets.len().checked_ilog2().unwrap_or(0));
            let found = closure.list().iter().any(|seen| is(*seen));
            self.meter.spend(above as u64 * rounds)?;
            return Ok(found);
        }
        let found = targets
            .iter()
            .any(|target| matches!(target, Value::Entity(target) if closure.contains(*target)));
        self.meter.spend(targets.len() as u64)?;
        Ok(found)
    }

    fn make_set(&mut self, list: List) -> Result<&'a Value, Fault> {
        let program = self.program;
        let mut items = Vec::with_capacity(list.len as usize);
        let before = self.meter.left;
        for at in program.list(list) {
            let item = self.value(*at)?;
            ops::weight(&mut self.meter, item)?;
            items.push(item.to_value());
        }
        // Sorting compares every element with a few others.
        let rounds = u64::from(items.len().checked_ilog2().unwrap_or(0));
        self.meter
            .spend((before - self.meter.left).saturating_mul(rounds))?;
        Ok(self.arena.keep(Value::Set(Arc::new(SetValue::new(items)))))
    }

    fn make_record(&mut self, values: List, names: u32) -> Result<&'a Value, Fault> {
        let program = self.program;
        let names = program.path(List {
            start: names,
            len: values.len,
        });
        let mut fields = Vec::with_capacity(names.len());
        for (name, at) in names.iter().zip(program.list(values)) {
            let value = self.value(*at)?;
            self.meter.spend(1 + value.width())?;
            fields.push((*name, value.to_value()));
        }
        Ok(self
            .arena
            .keep(Value::Record(Arc::new(Record::new(fields)))))
    }
}

pub(crate) fn arith(op: Arith, left: i64, right: i64) -> Option<i64> {
    match op {
        Arith::Add => left.checked_add(right),
        Arith::Sub => left.checked_sub(right),
        Arith::Mul => left.checked_mul(right),
    }
}
