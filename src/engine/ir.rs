//! What policies become: small nodes in one array, equal ones stored once.
//!
//! A node names its operands by position, so equal subtrees of different policies are the same node and
//! stay warm together. Nothing here knows which policy it belongs to.

use super::like::Pattern;
use crate::entities::{Sym, Value};
use crate::schema::ExtFn;

/// Position of a node.
pub(crate) type Ix = u32;

/// No node: a policy without conditions.
pub(crate) const NO_NODE: Ix = u32::MAX;

/// Operands in [`Program::lists`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct List {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Var {
    Principal,
    Action,
    Resource,
    Context,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Order {
    Less,
    LessEq,
    Greater,
    GreaterEq,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Arith {
    Add,
    Sub,
    Mul,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SetOp {
    Contains,
    All,
    Any,
}

/// Methods of one extension value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Method {
    IsIpv4,
    IsIpv6,
    IsLoopback,
    IsMulticast,
    ToDate,
    ToTime,
    ToMilliseconds,
    ToSeconds,
    ToMinutes,
    ToHours,
    ToDays,
}

/// Methods of two extension values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Method2 {
    IsInRange,
    Offset,
    DurationSince,
    Decimal(Order),
}

/// The constructors, with an order for hashing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Maker {
    Ip,
    Decimal,
    Datetime,
    Duration,
}

impl Maker {
    pub(crate) fn function(self) -> ExtFn {
        match self {
            Self::Ip => ExtFn::Ip,
            Self::Decimal => ExtFn::Decimal,
            Self::Datetime => ExtFn::Datetime,
            Self::Duration => ExtFn::Duration,
        }
    }
}

/// One operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    Bool(bool),
    Const(u32),
    Var(Var),
    /// All operands in order, up to the first that is false.
    And(List),
    /// All operands in order, up to the first that is true.
    Or(List),
    Not(Ix),
    Neg(Ix),
    IsEmpty(Ix),
    If(Ix, Ix, Ix),
    Equal {
        left: Ix,
        right: Ix,
        negated: bool,
    },
    Compare {
        order: Order,
        left: Ix,
        right: Ix,
    },
    Arith {
        op: Arith,
        left: Ix,
        right: Ix,
    },
    In {
        left: Ix,
        right: Ix,
    },
    Set {
        op: SetOp,
        left: Ix,
        right: Ix,
    },
    GetTag {
        of: Ix,
        tag: Ix,
    },
    HasTag {
        of: Ix,
        tag: Ix,
    },
    Attr {
        of: Ix,
        name: Sym,
    },
    /// An attribute of a variable: the commonest expression there is.
    VarAttr {
        var: Var,
        name: Sym,
    },
    Has {
        of: Ix,
        name: Sym,
    },
    /// Names in [`Program::paths`].
    HasPath {
        of: Ix,
        path: List,
    },
    Like {
        of: Ix,
        pattern: u32,
    },
    Is {
        of: Ix,
        ty: Sym,
    },
    IsIn {
        of: Ix,
        ty: Sym,
        right: Ix,
    },
    MakeSet(List),
    /// Operands, and names in [`Program::paths`] from the given start.
    MakeRecord {
        values: List,
        names: u32,
    },
    Make {
        maker: Maker,
        of: Ix,
    },
    /// Operands of a call with too few or too many of them.
    Arity(List),
    Method {
        method: Method,
        of: Ix,
    },
    Method2 {
        method: Method2,
        left: Ix,
        right: Ix,
    },
}

/// All nodes of a set of policies and what they point into.
#[derive(Debug, Clone, Default)]
pub(crate) struct Program {
    pub(crate) nodes: Vec<Node>,
    pub(crate) lists: Vec<Ix>,
    pub(crate) consts: Vec<Value>,
    pub(crate) paths: Vec<Sym>,
    pub(crate) patterns: Vec<Pattern>,
}

impl Program {
    #[inline]
    pub(crate) fn node(&self, at: Ix) -> Node {
        self.nodes
            .get(at as usize)
            .copied()
            .unwrap_or(Node::Bool(false))
    }

    #[inline]
    pub(crate) fn list(&self, list: List) -> &[Ix] {
        self.lists
            .get(list.start as usize..(list.start + list.len) as usize)
            .unwrap_or_default()
    }

    #[inline]
    pub(crate) fn path(&self, list: List) -> &[Sym] {
        self.paths
            .get(list.start as usize..(list.start + list.len) as usize)
            .unwrap_or_default()
    }

    /// The value of a node that is a constant.
    pub(crate) fn constant(&self, at: Ix) -> Option<Value> {
        match self.node(at) {
            Node::Bool(value) => Some(Value::Bool(value)),
            Node::Const(value) => self.consts.get(value as usize).cloned(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Node;

    #[test]
    fn nodes_are_small() {
        assert_eq!(size_of::<Node>(), 16);
    }
}
