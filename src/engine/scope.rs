//! Scopes: the part of a policy before its conditions, which cannot fail.
//!
//! A [`Shape`] is what policies can share (the links of a template do); a [`Row`] is a policy in the index:
//! its shape and the entities its scope names.

use super::interpret::Closures;
use super::ir::Ix;
use super::walk::World;
use crate::entities::{Sym, Uid};

/// How a scope constrains principal or resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Any,
    Eq,
    In,
    Is(Sym),
    IsIn(Sym),
}

/// How a scope constrains the action.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum ActionScope {
    Any,
    Eq(Uid),
    In(Box<[Uid]>),
}

/// What policies of one form share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    pub(crate) forbid: bool,
    pub(crate) principal: Kind,
    pub(crate) resource: Kind,
    pub(crate) action: ActionScope,
    pub(crate) body: Ix,
}

/// A policy where the index finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) policy: u32,
    pub(crate) shape: u32,
    pub(crate) principal: Uid,
    pub(crate) resource: Uid,
}

/// One of the three entities of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Dimension {
    Principal,
    Action,
    Resource,
}

/// What is known of a row before its scope is tested: that the entity it names in a dimension is listed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sure {
    pub(crate) principal: bool,
    pub(crate) resource: bool,
}

impl Sure {
    /// The same, and found by an entity of this dimension.
    #[inline]
    pub(crate) fn and(self, dimension: Dimension) -> Self {
        Self {
            principal: self.principal || dimension == Dimension::Principal,
            resource: self.resource || dimension == Dimension::Resource,
        }
    }
}

pub(crate) const DIMENSIONS: [Dimension; 3] =
    [Dimension::Principal, Dimension::Action, Dimension::Resource];

impl Shape {
    /// The entities under which a policy of this shape may be filed in one dimension; empty if any would do.
    pub(crate) fn keys<'a>(&'a self, row: &'a Row, dimension: Dimension) -> &'a [Uid] {
        let (kind, target) = match dimension {
            Dimension::Principal => (self.principal, &row.principal),
            Dimension::Resource => (self.resource, &row.resource),
            Dimension::Action => {
                return match &self.action {
                    ActionScope::Any => &[],
                    ActionScope::Eq(action) => std::slice::from_ref(action),
                    ActionScope::In(actions) => actions,
                };
            }
        };
        match kind {
            Kind::Eq | Kind::In | Kind::IsIn(_) => std::slice::from_ref(target),
            Kind::Any | Kind::Is(_) => &[],
        }
    }

    /// Whether the scope of a policy of this shape holds. `sure` is what the row was found by: one of its entities
    /// is the request's own or above it.
    #[inline(always)]
    pub(crate) fn holds(
        &self,
        row: &Row,
        sure: Sure,
        world: &World<'_>,
        closures: &Closures,
    ) -> bool {
        let request = world.request;
        let is_under_principal = || sure.principal || closures.principal.contains(row.principal);
        let is_under_resource = || sure.resource || closures.resource.contains(row.resource);
        let principal = match self.principal {
            Kind::Any => true,
            Kind::Eq => row.principal == request.principal,
            Kind::In => is_under_principal(),
            Kind::Is(ty) => request.principal_type == ty,
            Kind::IsIn(ty) => request.principal_type == ty && is_under_principal(),
        };
        if !principal {
            return false;
        }
        let resource = match self.resource {
            Kind::Any => true,
            Kind::Eq => row.resource == request.resource,
            Kind::In => is_under_resource(),
            Kind::Is(ty) => request.resource_type == ty,
            Kind::IsIn(ty) => request.resource_type == ty && is_under_resource(),
        };
        resource
            && match &self.action {
                ActionScope::Any => true,
                ActionScope::Eq(action) => *action == request.action,
                ActionScope::In(actions) => actions
                    .iter()
                    .any(|action| closures.action.contains(*action)),
            }
    }

    /// Whether a policy found under one of several actions was found under the first that applies, so that
    /// it is looked at once.
    #[inline]
    pub(crate) fn first_found(&self, under: Uid, closures: &Closures) -> bool {
        match &self.action {
            ActionScope::In(actions) if actions.len() > 1 => {
                actions
                    .iter()
                    .find(|action| closures.action.contains(**action))
                    == Some(&under)
            }
            _ => true,
        }
    }
}
