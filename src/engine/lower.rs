//! From Cedar's syntax tree to nodes.
//!
//! Equal nodes are stored once. Chains of `&&` and `||` become one node each, however long. Constants are
//! folded where the folded operation cannot fail; where it would fail the operation stays and fails when it
//! is reached, as it does in Cedar.

use super::arity;
use super::interpret::arith;
use super::ir::{Arith, Ix, List, Maker, Method, Method2, Node, Order, Program, SetOp, Var};
use super::like::Pattern;
use super::ops::{self, Meter};
use super::runtime::V;
use crate::entities::{Interning, Record, SetValue, Sym, Uid, Value};
use cedar_policy::pst::{BinaryOp, EntityUID, Expr, Literal, PatternElem, UnaryOp};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Expressions nested deeper than this are refused.
pub(crate) const DEPTH: u32 = 200;

/// Why an expression cannot be compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LowerError {
    TooDeep,
    Unsupported(&'static str),
}

/// Builds a program, sharing equal nodes.
pub(crate) struct Lowering<'s> {
    pub(crate) program: Program,
    pub(crate) symbols: &'s mut dyn Interning,
    nodes: HashMap<Node, Ix>,
    lists: HashMap<Vec<Ix>, List>,
    paths: HashMap<Vec<Sym>, List>,
    consts: BTreeMap<Value, u32>,
    patterns: HashMap<Vec<PatternElem>, u32>,
}

fn number(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

impl<'s> Lowering<'s> {
    /// Goes on with `program`; its nodes are not shared with new ones.
    pub(crate) fn new(symbols: &'s mut dyn Interning, program: Program) -> Self {
        Self {
            program,
            symbols,
            nodes: HashMap::new(),
            lists: HashMap::new(),
            paths: HashMap::new(),
            consts: BTreeMap::new(),
            patterns: HashMap::new(),
        }
    }

    /// The program, without spare room.
    pub(crate) fn finish(self) -> Program {
        let mut program = self.program;
        program.nodes.shrink_to_fit();
        program.lists.shrink_to_fit();
        program.consts.shrink_to_fit();
        program.paths.shrink_to_fit();
        program.patterns.shrink_to_fit();
        program
    }

    pub(crate) fn uid(&mut self, uid: &EntityUID) -> Uid {
        self.symbols.entity(&uid.ty.to_string(), &uid.eid)
    }

    /// One clause of a policy.
    pub(crate) fn clause(&mut self, expr: &Expr) -> Result<Ix, LowerError> {
        self.lower(expr, DEPTH)
    }

    pub(crate) fn all(&mut self, operands: Vec<Ix>) -> Ix {
        self.chain(operands, true)
    }

    pub(crate) fn negation(&mut self, of: Ix) -> Ix {
        match self.program.node(of) {
            Node::Bool(value) => self.node(Node::Bool(!value)),
            _ => self.node(Node::Not(of)),
        }
    }

    fn node(&mut self, node: Node) -> Ix {
        let nodes = &mut self.program.nodes;
        *self.nodes.entry(node).or_insert_with(|| {
            nodes.push(node);
            number(nodes.len() - 1)
        })
    }

    fn list(&mut self, operands: Vec<Ix>) -> List {
        let lists = &mut self.program.lists;
        *self.lists.entry(operands).or_insert_with_key(|operands| {
            let list = List {
                start: number(lists.len()),
                len: number(operands.len()),
            };
            lists.extend_from_slice(operands);
            list
        })
    }

    fn path(&mut self, names: Vec<Sym>) -> List {
        let paths = &mut self.program.paths;
        *self.paths.entry(names).or_insert_with_key(|names| {
            let list = List {
                start: number(paths.len()),
                len: number(names.len()),
            };
            paths.extend_from_slice(names);
            list
        })
    }

    fn constant(&mut self, value: Value) -> Ix {
        if let Value::Bool(value) = value {
            return self.node(Node::Bool(value));
        }
        let consts = &mut self.program.consts;
        let at = *self.consts.entry(value).or_insert_with_key(|value| {
            consts.push(value.clone());
            number(consts.len() - 1)
        });
        self.node(Node::Const(at))
    }

    fn lower(&mut self, expr: &Expr, depth: u32) -> Result<Ix, LowerError> {
        let depth = depth.checked_sub(1).ok_or(LowerError::TooDeep)?;
        Ok(match expr {
            Expr::Literal(literal) => {
                let value = match literal {
                    Literal::Bool(value) => Value::Bool(*value),
                    Literal::Long(value) => Value::Long(*value),
                    Literal::String(value) => Value::Str(value.clone()),
                    Literal::EntityUID(uid) => Value::Entity(self.uid(uid)),
                    _ => return Err(LowerError::Unsupported("literal")),
                };
                self.constant(value)
            }
            Expr::Var(var) => self.node(Node::Var(variable(var))),
            Expr::UnaryOp {
                op: UnaryOp::Ip,
                expr,
            } if arity::marked(expr).is_some() => {
                let args = arity::marked(expr).unwrap_or_default();
                let args = args
                    .iter()
                    .map(|arg| self.lower(arg, depth))
                    .collect::<Result<Vec<_>, _>>()?;
                let args = self.list(args);
                self.node(Node::Arity(args))
            }
            Expr::UnaryOp { op, expr } => {
                let of = self.lower(expr, depth)?;
                self.unary(*op, of)?
            }
            Expr::BinaryOp {
                op: op @ (BinaryOp::And | BinaryOp::Or),
                left,
                right,
            } => {
                let mut operands = Vec::new();
                self.operands(*op, left, right, depth, &mut operands)?;
                self.chain(operands, *op == BinaryOp::And)
            }
            Expr::BinaryOp { op, left, right } => {
                let (left, right) = (self.lower(left, depth)?, self.lower(right, depth)?);
                self.binary(*op, left, right)?
            }
            Expr::GetAttr { expr, attr } => {
                let of = self.lower(expr, depth)?;
                let name = self.symbols.name(attr);
                match self.program.node(of) {
                    Node::Var(var) => self.node(Node::VarAttr { var, name }),
                    _ => self.node(Node::Attr { of, name }),
                }
            }
            Expr::HasAttr { expr, attrs } => {
                let of = self.lower(expr, depth)?;
                let names: Vec<Sym> = attrs.iter().map(|attr| self.symbols.name(attr)).collect();
                if let [name] = names.as_slice() {
                    self.node(Node::Has { of, name: *name })
                } else {
                    let path = self.path(names);
                    self.node(Node::HasPath { of, path })
                }
            }
            Expr::Like { expr, pattern } => {
                let of = self.lower(expr, depth)?;
                let patterns = &mut self.program.patterns;
                let pattern = *self
                    .patterns
                    .entry(pattern.clone())
                    .or_insert_with_key(|pattern| {
                        patterns.push(Pattern::new(pattern));
                        number(patterns.len() - 1)
                    });
                self.node(Node::Like { of, pattern })
            }
            Expr::Is {
                expr,
                entity_type,
                in_expr,
            } => {
                let of = self.lower(expr, depth)?;
                let ty = self.symbols.name(&entity_type.to_string());
                match in_expr {
                    None => self.node(Node::Is { of, ty }),
                    Some(right) => {
                        let right = self.lower(right, depth)?;
                        self.node(Node::IsIn { of, ty, right })
                    }
                }
            }
            Expr::IfThenElse {
                cond,
                then_expr,
                else_expr,
            } => {
                let test = self.lower(cond, depth)?;
                let (then, otherwise) =
                    (self.lower(then_expr, depth)?, self.lower(else_expr, depth)?);
                match self.program.node(test) {
                    Node::Bool(true) => then,
                    Node::Bool(false) => otherwise,
                    _ => self.node(Node::If(test, then, otherwise)),
                }
            }
            Expr::Set(items) => {
                let items = items
                    .iter()
                    .map(|item| self.lower(item, depth))
                    .collect::<Result<Vec<_>, _>>()?;
                match items
                    .iter()
                    .map(|item| self.program.constant(*item))
                    .collect::<Option<Vec<_>>>()
                {
                    Some(values) => self.constant(Value::Set(Arc::new(SetValue::new(values)))),
                    None => {
                        let items = self.list(items);
                        self.node(Node::MakeSet(items))
                    }
                }
            }
            Expr::Record(fields) => {
                let names: Vec<Sym> = fields.keys().map(|name| self.symbols.name(name)).collect();
                let values = fields
                    .values()
                    .map(|value| self.lower(value, depth))
                    .collect::<Result<Vec<_>, _>>()?;
                match values
                    .iter()
                    .map(|value| self.program.constant(*value))
                    .collect::<Option<Vec<_>>>()
                {
                    Some(values) => {
                        let fields = names.into_iter().zip(values).collect();
                        self.constant(Value::Record(Arc::new(Record::new(fields))))
                    }
                    None => {
                        let (values, names) = (self.list(values), self.path(names));
                        self.node(Node::MakeRecord {
                            values,
                            names: names.start,
                        })
                    }
                }
            }
            Expr::Slot(_) => return Err(LowerError::Unsupported("slot outside the scope")),
            Expr::Unknown { .. } => return Err(LowerError::Unsupported("unknown")),
            _ => return Err(LowerError::Unsupported("expression")),
        })
    }

    /// The operands of a chain of one operator, however it nests; the left spine is walked, not recursed.
    fn operands(
        &mut self,
        op: BinaryOp,
        left: &Expr,
        right: &Expr,
        depth: u32,
        into: &mut Vec<Ix>,
    ) -> Result<(), LowerError> {
        let mut waiting = vec![right, left];
        while let Some(expr) = waiting.pop() {
            match expr {
                Expr::BinaryOp {
                    op: same,
                    left,
                    right,
                } if *same == op => {
                    waiting.push(right);
                    waiting.push(left);
                }
                _ => into.push(self.lower(expr, depth)?),
            }
        }
        Ok(())
    }

    /// `&&` (where `and`) or `||` of operands; each is still checked to be a boolean.
    fn chain(&mut self, operands: Vec<Ix>, and: bool) -> Ix {
        let mut kept = Vec::with_capacity(operands.len());
        for operand in operands {
            match self.program.node(operand) {
                Node::Bool(value) if value == and => {}
                Node::Bool(_) => {
                    kept.push(operand);
                    break;
                }
                Node::And(list) if and => kept.extend_from_slice(self.program.list(list)),
                Node::Or(list) if !and => kept.extend_from_slice(self.program.list(list)),
                _ => kept.push(operand),
            }
        }
        match kept.as_slice() {
            [] => self.node(Node::Bool(and)),
            [only] if self.is_boolean(*only) => *only,
            _ => {
                let list = self.list(kept);
                self.node(if and { Node::And(list) } else { Node::Or(list) })
            }
        }
    }

    /// Whether a node that has a value at all has a boolean.
    fn is_boolean(&self, at: Ix) -> bool {
        matches!(
            self.program.node(at),
            Node::Bool(_)
                | Node::And(_)
                | Node::Or(_)
                | Node::Not(_)
                | Node::IsEmpty(_)
                | Node::Equal { .. }
                | Node::Compare { .. }
                | Node::In { .. }
                | Node::Set { .. }
                | Node::HasTag { .. }
                | Node::Has { .. }
                | Node::HasPath { .. }
                | Node::Like { .. }
                | Node::Is { .. }
                | Node::IsIn { .. }
        )
    }

    fn unary(&mut self, op: UnaryOp, of: Ix) -> Result<Ix, LowerError> {
        let method = match op {
            UnaryOp::Not => return Ok(self.negation(of)),
            UnaryOp::Neg => {
                if let Some(Value::Long(value)) = self.program.constant(of)
                    && let Some(value) = value.checked_neg()
                {
                    return Ok(self.constant(Value::Long(value)));
                }
                return Ok(self.node(Node::Neg(of)));
            }
            UnaryOp::IsEmpty => return Ok(self.node(Node::IsEmpty(of))),
            UnaryOp::Ip => return Ok(self.make(Maker::Ip, of)),
            UnaryOp::Decimal => return Ok(self.make(Maker::Decimal, of)),
            UnaryOp::Datetime => return Ok(self.make(Maker::Datetime, of)),
            UnaryOp::Duration => return Ok(self.make(Maker::Duration, of)),
            UnaryOp::IsIPv4 => Method::IsIpv4,
            UnaryOp::IsIPV6 => Method::IsIpv6,
            UnaryOp::IsLoopback => Method::IsLoopback,
            UnaryOp::IsMulticast => Method::IsMulticast,
            UnaryOp::ToDate => Method::ToDate,
            UnaryOp::ToTime => Method::ToTime,
            UnaryOp::ToMilliseconds => Method::ToMilliseconds,
            UnaryOp::ToSeconds => Method::ToSeconds,
            UnaryOp::ToMinutes => Method::ToMinutes,
            UnaryOp::ToHours => Method::ToHours,
            UnaryOp::ToDays => Method::ToDays,
            _ => return Err(LowerError::Unsupported("operator")),
        };
        let folded = self
            .program
            .constant(of)
            .and_then(|of| ops::method(method, V::from(&of)).ok().map(V::to_value));
        Ok(match folded {
            Some(value) => self.constant(value),
            None => self.node(Node::Method { method, of }),
        })
    }

    fn make(&mut self, maker: Maker, of: Ix) -> Ix {
        if let Some(Value::Str(text)) = self.program.constant(of)
            && let Some(value) = maker.function().call(&text)
        {
            return self.constant(value);
        }
        self.node(Node::Make { maker, of })
    }

    fn binary(&mut self, op: BinaryOp, left: Ix, right: Ix) -> Result<Ix, LowerError> {
        let node = match op {
            BinaryOp::Eq => Node::Equal {
                left,
                right,
                negated: false,
            },
            BinaryOp::NotEq => Node::Equal {
                left,
                right,
                negated: true,
            },
            BinaryOp::Less => Node::Compare {
                order: Order::Less,
                left,
                right,
            },
            BinaryOp::LessEq => Node::Compare {
                order: Order::LessEq,
                left,
                right,
            },
            BinaryOp::Greater => Node::Compare {
                order: Order::Greater,
                left,
                right,
            },
            BinaryOp::GreaterEq => Node::Compare {
                order: Order::GreaterEq,
                left,
                right,
            },
            BinaryOp::Add => Node::Arith {
                op: Arith::Add,
                left,
                right,
            },
            BinaryOp::Sub => Node::Arith {
                op: Arith::Sub,
                left,
                right,
            },
            BinaryOp::Mul => Node::Arith {
                op: Arith::Mul,
                left,
                right,
            },
            BinaryOp::In => Node::In { left, right },
            BinaryOp::Contains => Node::Set {
                op: SetOp::Contains,
                left,
                right,
            },
            BinaryOp::ContainsAll => Node::Set {
                op: SetOp::All,
                left,
                right,
            },
            BinaryOp::ContainsAny => Node::Set {
                op: SetOp::Any,
                left,
                right,
            },
            BinaryOp::GetTag => Node::GetTag {
                of: left,
                tag: right,
            },
            BinaryOp::HasTag => Node::HasTag {
                of: left,
                tag: right,
            },
            BinaryOp::IsInRange => Node::Method2 {
                method: Method2::IsInRange,
                left,
                right,
            },
            BinaryOp::Offset => Node::Method2 {
                method: Method2::Offset,
                left,
                right,
            },
            BinaryOp::DurationSince => Node::Method2 {
                method: Method2::DurationSince,
                left,
                right,
            },
            BinaryOp::DecimalLessThan => Node::Method2 {
                method: Method2::Decimal(Order::Less),
                left,
                right,
            },
            BinaryOp::DecimalLessEq => Node::Method2 {
                method: Method2::Decimal(Order::LessEq),
                left,
                right,
            },
            BinaryOp::DecimalGreater => Node::Method2 {
                method: Method2::Decimal(Order::Greater),
                left,
                right,
            },
            BinaryOp::DecimalGreaterEq => Node::Method2 {
                method: Method2::Decimal(Order::GreaterEq),
                left,
                right,
            },
            _ => return Err(LowerError::Unsupported("operator")),
        };
        Ok(match self.fold(node, left, right) {
            Some(value) => self.constant(value),
            None => self.node(node),
        })
    }

    /// The value of an operation on constants, unless it fails.
    fn fold(&self, node: Node, left: Ix, right: Ix) -> Option<Value> {
        let (left, right) = (self.program.constant(left)?, self.program.constant(right)?);
        let (a, b) = (V::from(&left), V::from(&right));
        let meter = &mut Meter { left: 1_000_000 };
        let folded = match (node, a, b) {
            (Node::Equal { negated, .. }, ..) => V::Bool(ops::equal(meter, a, b).ok()? != negated),
            (Node::Compare { order, .. }, ..) => V::Bool(ops::compare(order, a, b).ok()?),
            (Node::Arith { op, .. }, V::Long(a), V::Long(b)) => V::Long(arith(op, a, b)?),
            (Node::Set { op, .. }, ..) => V::Bool(ops::set_op(meter, op, a, b).ok()?),
            (Node::Method2 { method, .. }, ..) => ops::method2(method, a, b).ok()?,
            _ => return None,
        };
        Some(folded.to_value())
    }
}

fn variable(var: &cedar_policy::pst::Var) -> Var {
    match var {
        cedar_policy::pst::Var::Principal => Var::Principal,
        cedar_policy::pst::Var::Action => Var::Action,
        cedar_policy::pst::Var::Resource => Var::Resource,
        cedar_policy::pst::Var::Context => Var::Context,
    }
}
