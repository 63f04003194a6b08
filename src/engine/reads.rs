//! What the conditions of a set of policies read of a request's context.
//!
//! A member that no condition names cannot change an answer, so a decision need not make a value of it.

use std::collections::{BTreeMap, BTreeSet};

use super::ir::{Ix, Node, Program, Var};
use crate::entities::Sym;

/// The context members that conditions read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ContextReads {
    /// Whether the context is used as a whole, for instance compared with a record.
    whole: bool,
    members: BTreeMap<Sym, MemberReads>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct MemberReads {
    /// Whether the member is used as a whole.
    whole: bool,
    /// The fields of it that are read.
    fields: BTreeSet<Sym>,
}

impl ContextReads {
    /// Whether a condition reads the member.
    pub(crate) fn member(&self, name: Sym) -> bool {
        self.whole || self.members.contains_key(&name)
    }

    /// Whether a condition reads this field of the member, or the member as a whole.
    pub(crate) fn field(&self, member: Sym, field: Sym) -> bool {
        let reads = self.members.get(&member);
        self.whole || reads.is_some_and(|reads| reads.whole || reads.fields.contains(&field))
    }

    fn reads(&mut self, member: Sym) -> &mut MemberReads {
        self.members.entry(member).or_default()
    }
}

/// What a node stands for, as far as the context is concerned.
enum Of {
    Context,
    Member(Sym),
    Other,
}

impl Program {
    fn of(&self, at: Ix) -> Of {
        match self.node(at) {
            Node::Var(Var::Context) => Of::Context,
            Node::VarAttr {
                var: Var::Context,
                name,
            } => Of::Member(name),
            _ => Of::Other,
        }
    }

    /// What any node of this program reads of the context.
    pub(crate) fn context_reads(&self) -> ContextReads {
        let mut found = ContextReads::default();
        for node in &self.nodes {
            match *node {
                Node::VarAttr {
                    var: Var::Context,
                    name,
                } => _ = found.reads(name),
                Node::Attr { of, name } | Node::Has { of, name } => {
                    self.read_path(of, &[name], &mut found);
                }
                Node::HasPath { of, path } => self.read_path(of, self.path(path), &mut found),
                node => self.each_operand(node, |at| match self.of(at) {
                    Of::Context => found.whole = true,
                    Of::Member(name) => found.reads(name).whole = true,
                    Of::Other => {}
                }),
            }
        }
        found
    }

    fn read_path(&self, of: Ix, path: &[Sym], found: &mut ContextReads) {
        match (self.of(of), path) {
            (Of::Context, [member, rest @ ..]) => {
                let reads = found.reads(*member);
                reads.fields.extend(rest.first());
            }
            (Of::Member(member), [field, ..]) => _ = found.reads(member).fields.insert(*field),
            _ => {}
        }
    }

    /// Calls `each` for every operand of a node.
    fn each_operand(&self, node: Node, mut each: impl FnMut(Ix)) {
        match node {
            Node::Bool(_) | Node::Const(_) | Node::Var(_) | Node::VarAttr { .. } => {}
            Node::And(list)
            | Node::Or(list)
            | Node::MakeSet(list)
            | Node::Arity(list)
            | Node::MakeRecord { values: list, .. } => {
                self.list(list).iter().for_each(|at| each(*at))
            }
            Node::Not(of)
            | Node::Neg(of)
            | Node::IsEmpty(of)
            | Node::Attr { of, .. }
            | Node::Has { of, .. }
            | Node::HasPath { of, .. }
            | Node::Like { of, .. }
            | Node::Is { of, .. }
            | Node::Make { of, .. }
            | Node::Method { of, .. } => each(of),
            Node::If(test, then, otherwise) => [test, then, otherwise].into_iter().for_each(each),
            Node::Equal { left, right, .. }
            | Node::Compare { left, right, .. }
            | Node::Arith { left, right, .. }
            | Node::In { left, right }
            | Node::Set { left, right, .. }
            | Node::Method2 { left, right, .. } => [left, right].into_iter().for_each(each),
            Node::GetTag { of, tag } | Node::HasTag { of, tag } => {
                [of, tag].into_iter().for_each(each);
            }
            Node::IsIn { of, right, .. } => [of, right].into_iter().for_each(each),
        }
    }
}
