//! Policy sets in, compiled policies out.
//!
//! Enters: static policies, templates and links as Cedar holds them. Leaves: one program, one index. A link
//! costs its row in the index, its id, and two numbers; the code is its template's. All faults of a set are
//! reported together. Policies share the numbers of one [`EntityStore`] and pin the ids they name there.

use super::arity;
use super::index::Index;
use super::ir::{Ix, NO_NODE, Program};
use super::lower::{DEPTH, LowerError, Lowering, Origin};
#[cfg(test)]
use super::outcome::PolicyIndex;
use super::scope::{ActionScope, Kind, Row, Shape};
use crate::entities::{EntityStore, Interning, Pins, Uid};
use cedar_policy::pst::{self, SmolStr};
use cedar_policy::{Policy, PolicySet, SlotId, Template};
use std::collections::HashMap;
use std::sync::Arc;
use thiserror::Error;

/// Why one policy or template cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum CompileError {
    /// Its expressions nest too deeply.
    #[error("policy `{0}` nests expressions deeper than {DEPTH}")]
    TooDeep(SmolStr),
    /// It holds a form that evaluation has no meaning for.
    #[error("policy `{0}` holds an unsupported {1}")]
    Unsupported(SmolStr, &'static str),
    /// Cedar cannot give its syntax tree.
    #[error("policy `{0}`: {1}")]
    Syntax(SmolStr, String),
    /// A link without its template, or without a value for a slot.
    #[error("link `{0}` does not fit its template")]
    Link(SmolStr),
    /// Two policies with one id.
    #[error("policy id `{0}` is used twice")]
    Duplicate(SmolStr),
}

/// Every fault of a set.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} of the policies cannot be compiled", .0.len())]
pub(crate) struct CompileErrors(pub(crate) Vec<CompileError>);

/// Policies ready to be decided.
#[derive(Debug)]
pub(crate) struct CompiledPolicies {
    pub(crate) program: Program,
    pub(crate) index: Index,
    pub(crate) store: u64,
    pub(crate) sequence: u64,
    /// Ordered.
    #[allow(
        dead_code,
        reason = "who reads what an observer saw needs the names and places behind the numbers"
    )]
    ids: Vec<SmolStr>,
    /// The body of each policy.
    #[allow(
        dead_code,
        reason = "who reads what an observer saw needs the names and places behind the numbers"
    )]
    bodies: Vec<u32>,
    #[allow(
        dead_code,
        reason = "who reads what an observer saw needs the names and places behind the numbers"
    )]
    origins: Vec<Box<[Origin]>>,
    _pins: Pins,
}

/// A static policy or a template, with its scope and conditions in Cedar's syntax tree.
#[derive(Debug, Clone)]
pub(crate) struct Body(Arc<pst::Template>);

/// A policy: its id, its body and what fills its slots.
#[derive(Debug, Clone)]
struct Source {
    id: SmolStr,
    body: u32,
    principal: Option<pst::EntityUID>,
    resource: Option<pst::EntityUID>,
}

/// Bodies and policies of a set: what is expensive to get from Cedar, gathered without holding the store.
#[derive(Debug, Default)]
struct Sources {
    bodies: Vec<Body>,
    policies: Vec<Source>,
    errors: Vec<CompileError>,
}

impl Sources {
    fn gather(set: &PolicySet) -> Self {
        let mut all = Self::default();
        let mut templates: HashMap<SmolStr, u32> = HashMap::new();
        for policy in set.policies() {
            let id = text(policy.id());
            let Some(template_id) = policy.template_id() else {
                match static_pst(policy) {
                    Ok(pst) => all.add_static(id, pst),
                    Err(error) => all.errors.push(CompileError::Syntax(id, error.to_string())),
                }
                continue;
            };
            let key = text(template_id);
            let body = match templates.get(&key) {
                Some(body) => *body,
                None => match set.template(template_id).map(template_pst) {
                    Some(Ok(template)) => {
                        let body = all.add_body(Arc::new(template));
                        templates.insert(key, body);
                        body
                    }
                    Some(Err(error)) => {
                        all.errors.push(CompileError::Syntax(id, error.to_string()));
                        continue;
                    }
                    None => {
                        all.errors.push(CompileError::Link(id));
                        continue;
                    }
                },
            };
            let slots = policy.template_links().unwrap_or_default();
            let slot = |slot: &SlotId| slots.get(slot).map(|uid| pst::EntityUID::from(uid.clone()));
            let (principal, resource) = (slot(&SlotId::principal()), slot(&SlotId::resource()));
            all.policies.push(Source {
                id,
                body,
                principal,
                resource,
            });
        }
        all.policies.sort_by(|a, b| a.id.cmp(&b.id));
        for pair in all.policies.windows(2) {
            if let [a, b] = pair
                && a.id == b.id
            {
                all.errors.push(CompileError::Duplicate(a.id.clone()));
            }
        }
        all
    }

    fn add_static(&mut self, id: SmolStr, policy: pst::Policy) {
        match policy {
            pst::Policy::Static(policy) => {
                let body = self.add_body(Arc::new(policy.body().clone()));
                self.policies.push(Source {
                    id,
                    body,
                    principal: None,
                    resource: None,
                });
            }
            pst::Policy::Linked(link) => {
                let slot = |slot| link.values().get(&slot).cloned();
                let (principal, resource) =
                    (slot(pst::SlotId::Principal), slot(pst::SlotId::Resource));
                let body = self.add_body(Arc::new(link.body().clone()));
                self.policies.push(Source {
                    id,
                    body,
                    principal,
                    resource,
                });
            }
        }
    }

    fn add_body(&mut self, template: Arc<pst::Template>) -> u32 {
        self.bodies.push(Body(template));
        u32::try_from(self.bodies.len() - 1).unwrap_or(u32::MAX)
    }
}

/// The syntax tree of a policy; one that Cedar has no tree for is marked and tried again.
fn static_pst(policy: &Policy) -> Result<pst::Policy, pst::PstConstructionError> {
    policy.to_pst().or_else(|error| {
        let Ok(mut json) = policy.to_json() else {
            return Err(error);
        };
        if !arity::mark(&mut json) {
            return Err(error);
        }
        Policy::from_json(Some(policy.id().clone()), json)
            .map_err(|_| error)?
            .to_pst()
    })
}

fn template_pst(template: &Template) -> Result<pst::Template, pst::PstConstructionError> {
    template.to_pst().or_else(|error| {
        let Ok(mut json) = template.to_json() else {
            return Err(error);
        };
        if !arity::mark(&mut json) {
            return Err(error);
        }
        Template::from_json(Some(template.id().clone()), json)
            .map_err(|_| error)?
            .to_pst()
    })
}

fn text(id: &cedar_policy::PolicyId) -> SmolStr {
    AsRef::<str>::as_ref(id).into()
}

/// What a body becomes.
struct Compiled {
    shape: u32,
    principal: Uid,
    resource: Uid,
    origins: Box<[Origin]>,
}

impl CompiledPolicies {
    /// Compiles every static policy and link of a set against the numbers of a store.
    pub(crate) fn compile(store: &EntityStore, set: &PolicySet) -> Result<Self, CompileErrors> {
        let sources = Sources::gather(set);
        let mut errors = sources.errors;
        let (bodies, policies) = (sources.bodies, sources.policies);
        let ((program, index, origins), pins, version) = store.intern(|symbols| {
            let mut lowering = Lowering::new(symbols);
            let mut shapes: Vec<Shape> = Vec::new();
            let mut known: HashMap<Shape, u32> = HashMap::new();
            let compiled: Vec<Option<Compiled>> = bodies
                .iter()
                .map(
                    |body| match body.compile(&mut lowering, &mut shapes, &mut known) {
                        Ok(compiled) => Some(compiled),
                        Err(error) => {
                            errors.push(error);
                            None
                        }
                    },
                )
                .collect();
            let mut rows = Vec::with_capacity(policies.len());
            for (policy, source) in (0u32..).zip(&policies) {
                let Some(Some(body)) = compiled.get(source.body as usize) else {
                    continue;
                };
                let mut fill = |fixed: Uid, slot: &Option<pst::EntityUID>| {
                    slot.as_ref().map_or(fixed, |uid| lowering.uid(uid))
                };
                let (principal, resource) = (
                    fill(body.principal, &source.principal),
                    fill(body.resource, &source.resource),
                );
                rows.push(Row {
                    policy,
                    shape: body.shape,
                    principal,
                    resource,
                });
            }
            let origins = compiled
                .into_iter()
                .map(|body| body.map(|body| body.origins).unwrap_or_default())
                .collect();
            let program = lowering.finish();
            let index = Index::build(shapes, &rows, &program);
            (program, index, origins)
        });
        if !errors.is_empty() {
            return Err(CompileErrors(errors));
        }
        let (store, sequence) = version.identity();
        let bodies = policies.iter().map(|policy| policy.body).collect();
        let mut ids: Vec<SmolStr> = policies.into_iter().map(|policy| policy.id).collect();
        ids.shrink_to_fit();
        Ok(Self {
            program,
            index,
            store,
            sequence,
            ids,
            bodies,
            origins,
            _pins: pins,
        })
    }

    /// The id of a policy.
    #[cfg(test)]
    pub(crate) fn id(&self, policy: PolicyIndex) -> &str {
        self.ids.get(policy.index()).map_or("", SmolStr::as_str)
    }

    /// The policy of this id.
    #[cfg(test)]
    pub(crate) fn find(&self, id: &str) -> Option<PolicyIndex> {
        let at = self
            .ids
            .binary_search_by(|known| known.as_str().cmp(id))
            .ok()?;
        u32::try_from(at).ok().map(PolicyIndex)
    }

    /// Where a node stands in a policy: the clause, and the expression's place in it counted outermost and
    /// leftmost first. Equal expressions of one policy are one node and have several places.
    #[cfg(test)]
    pub(crate) fn origins(
        &self,
        policy: PolicyIndex,
        node: u32,
    ) -> impl Iterator<Item = (usize, usize)> + '_ {
        let body = self
            .bodies
            .get(policy.index())
            .and_then(|body| self.origins.get(*body as usize));
        let origins = body.map_or(&[][..], |origins| origins);
        origins
            .iter()
            .filter(move |origin| origin.node == node)
            .map(|origin| (origin.clause.into(), origin.position as usize))
    }
}

impl Body {
    fn compile(
        &self,
        lowering: &mut Lowering<'_>,
        shapes: &mut Vec<Shape>,
        known: &mut HashMap<Shape, u32>,
    ) -> Result<Compiled, CompileError> {
        let template = &self.0;
        let target = |symbols: &mut dyn Interning, at: &pst::EntityOrSlot| match at {
            pst::EntityOrSlot::Entity(uid) => symbols.entity(&uid.ty.to_string(), &uid.eid),
            pst::EntityOrSlot::Slot(_) => Uid::NONE,
        };
        let symbols = &mut *lowering.symbols;
        let (principal, principal_uid) = match &template.principal {
            pst::PrincipalConstraint::Any => (Kind::Any, Uid::NONE),
            pst::PrincipalConstraint::Eq(at) => (Kind::Eq, target(symbols, at)),
            pst::PrincipalConstraint::In(at) => (Kind::In, target(symbols, at)),
            pst::PrincipalConstraint::Is(ty) => {
                (Kind::Is(symbols.name(&ty.to_string())), Uid::NONE)
            }
            pst::PrincipalConstraint::IsIn(ty, at) => (
                Kind::IsIn(symbols.name(&ty.to_string())),
                target(symbols, at),
            ),
        };
        let (resource, resource_uid) = match &template.resource {
            pst::ResourceConstraint::Any => (Kind::Any, Uid::NONE),
            pst::ResourceConstraint::Eq(at) => (Kind::Eq, target(symbols, at)),
            pst::ResourceConstraint::In(at) => (Kind::In, target(symbols, at)),
            pst::ResourceConstraint::Is(ty) => (Kind::Is(symbols.name(&ty.to_string())), Uid::NONE),
            pst::ResourceConstraint::IsIn(ty, at) => (
                Kind::IsIn(symbols.name(&ty.to_string())),
                target(symbols, at),
            ),
        };
        let action = match &template.action {
            pst::ActionConstraint::Any => ActionScope::Any,
            pst::ActionConstraint::Eq(uid) => ActionScope::Eq(lowering.uid(uid)),
            pst::ActionConstraint::In(uids) => {
                let mut uids: Vec<Uid> = uids.iter().map(|uid| lowering.uid(uid)).collect();
                uids.sort_unstable();
                uids.dedup();
                ActionScope::In(uids.into())
            }
        };
        let body = self.conditions(lowering)?;
        let shape = Shape {
            forbid: template.effect == pst::Effect::Forbid,
            principal,
            resource,
            action,
            body,
        };
        let at = *known.entry(shape).or_insert_with_key(|shape| {
            shapes.push(shape.clone());
            u32::try_from(shapes.len() - 1).unwrap_or(u32::MAX)
        });
        Ok(Compiled {
            shape: at,
            principal: principal_uid,
            resource: resource_uid,
            origins: lowering.take_origins().into(),
        })
    }

    /// All clauses as one condition.
    fn conditions(&self, lowering: &mut Lowering<'_>) -> Result<Ix, CompileError> {
        let id = &self.0.id.0;
        let mut clauses = Vec::new();
        for (at, clause) in self.0.clauses().iter().enumerate() {
            let (pst::Clause::When(expr) | pst::Clause::Unless(expr)) = clause;
            let node = lowering.clause(at, expr).map_err(|error| match error {
                LowerError::TooDeep => CompileError::TooDeep(id.clone()),
                LowerError::Unsupported(what) => CompileError::Unsupported(id.clone(), what),
            });
            let node = node.inspect_err(|_| drop(lowering.take_origins()))?;
            clauses.push(if matches!(clause, pst::Clause::Unless(_)) {
                lowering.negation(node)
            } else {
                node
            });
        }
        Ok(if clauses.is_empty() {
            NO_NODE
        } else {
            lowering.all(clauses)
        })
    }
}
