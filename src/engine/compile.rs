//! Policies in, compiled policies out, one body after the other.
//!
//! Enters: bodies of static policies and templates as Cedar holds them. Leaves: one program, one index. A
//! link costs its row in the index and two numbers; the code is its template's. A compiler may continue the
//! program of an earlier set: what did not change is not compiled again. Policies share the numbers of one
//! store and pin the ids they name there.

use super::arity;
use super::index::Index;
use super::ir::{Ix, NO_NODE, Program};
use super::lower::{DEPTH, LowerError, Lowering};
use super::scope::{ActionScope, Kind, Row, Shape};
use crate::entities::{EntityVersion, Interning, Pins, Uid};
use cedar_policy::pst::{self, SmolStr};
use cedar_policy::{Policy, Template};
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
}

/// A static policy or a template, with its scope and conditions in Cedar's syntax tree.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    template: Arc<pst::Template>,
    /// In place of the template's, where many policies share one.
    shared: Option<Box<Shared>>,
}

/// What a policy has of its own that shares the tree of another.
#[derive(Debug, Clone)]
struct Shared {
    id: SmolStr,
    /// The ids of the entities that the scope names.
    principal: Option<SmolStr>,
    resource: Option<SmolStr>,
}

/// The entity or slot that a constraint of principal or resource names; Cedar has a type for each of the two.
macro_rules! named {
    ($constraint:ident, $of:expr) => {
        match $of {
            pst::$constraint::Any | pst::$constraint::Is(_) => None,
            pst::$constraint::Eq(at) | pst::$constraint::In(at) | pst::$constraint::IsIn(_, at) => {
                Some(at)
            }
        }
    };
}

/// How a constraint of principal or resource constrains it.
macro_rules! kind {
    ($constraint:ident, $of:expr, $symbols:expr) => {
        match $of {
            pst::$constraint::Any => Kind::Any,
            pst::$constraint::Eq(_) => Kind::Eq,
            pst::$constraint::In(_) => Kind::In,
            pst::$constraint::Is(ty) => Kind::Is($symbols.name(&ty.to_string())),
            pst::$constraint::IsIn(ty, _) => Kind::IsIn($symbols.name(&ty.to_string())),
        }
    };
}

impl Body {
    fn new(template: pst::Template) -> Self {
        Self {
            template: Arc::new(template),
            shared: None,
        }
    }

    /// The same with another id and other ids of the entities that the scope names.
    pub(crate) fn with(&self, id: &str, principal: Option<&str>, resource: Option<&str>) -> Self {
        Self {
            template: Arc::clone(&self.template),
            shared: Some(Box::new(Shared {
                id: id.into(),
                principal: principal.map(Into::into),
                resource: resource.map(Into::into),
            })),
        }
    }

    /// Whether both are one policy, but for ids and annotations.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        let (one, two) = (self.own(), other.own());
        one.effect == two.effect
            && one.principal == two.principal
            && one.action == two.action
            && one.resource == two.resource
            && one.clauses().eq(two.clauses())
    }

    /// The tree with the policy's own entities in it.
    fn own(&self) -> pst::Template {
        let mut template = pst::Template::clone(&self.template);
        if let Some(shared) = &self.shared {
            for (at, id) in [
                (
                    named!(PrincipalConstraint, &mut template.principal),
                    &shared.principal,
                ),
                (
                    named!(ResourceConstraint, &mut template.resource),
                    &shared.resource,
                ),
            ] {
                if let (Some(pst::EntityOrSlot::Entity(uid)), Some(id)) = (at, id) {
                    uid.eid.clone_from(id);
                }
            }
        }
        template
    }

    /// The body of a static policy.
    pub(crate) fn of_policy(policy: &Policy) -> Result<Self, CompileError> {
        match static_pst(policy) {
            Ok(pst) => Ok(Self::new(pst.body().clone())),
            Err(error) => Err(CompileError::Syntax(text(policy.id()), error.to_string())),
        }
    }

    /// The body of a template.
    pub(crate) fn of_template(template: &Template) -> Result<Self, CompileError> {
        match template_pst(template) {
            Ok(pst) => Ok(Self::new(pst)),
            Err(error) => Err(CompileError::Syntax(text(template.id()), error.to_string())),
        }
    }
}

/// What a body becomes: the number of its shape, and the entities its scope names itself.
#[derive(Debug, Clone)]
pub(crate) struct Code {
    shape: u32,
    principal: Uid,
    resource: Uid,
}

/// The code of the policies of one source, in their order there.
#[derive(Debug, Default)]
pub(crate) struct UnitCode {
    pub(crate) statics: Vec<Code>,
    pub(crate) templates: Vec<Code>,
    /// What fills the slots of each link.
    pub(crate) links: Vec<(Uid, Uid)>,
}

impl UnitCode {
    /// Adds the code of a part of the same source.
    pub(crate) fn take(&mut self, part: Self) {
        self.statics.extend(part.statics);
        self.templates.extend(part.templates);
        self.links.extend(part.links);
    }

    fn bodies(&self) -> usize {
        self.statics.len() + self.templates.len()
    }
}

/// Policies ready to be decided.
#[derive(Debug)]
pub(crate) struct CompiledPolicies {
    pub(crate) program: Program,
    pub(crate) index: Index,
    pub(crate) store: u64,
    pub(crate) sequence: u64,
    units: Vec<Arc<UnitCode>>,
    /// Bodies ever compiled into the program.
    bodies: usize,
    pins: Vec<Pins>,
    #[cfg(test)]
    pub(crate) ids: Vec<SmolStr>,
}

impl CompiledPolicies {
    /// The code of a unit, by its number among the units that were compiled.
    pub(crate) fn unit(&self, unit: usize) -> Option<&Arc<UnitCode>> {
        self.units.get(unit)
    }

    /// Whether so much of the program is no longer used that it is better compiled again.
    pub(crate) fn is_worn_out(&self) -> bool {
        let live: usize = self.units.iter().map(|unit| unit.bodies()).sum();
        self.bodies > 2 * live + 1_000
    }

    /// The same, tied to the version of the store whose numbers it uses.
    pub(crate) fn bound(mut self, version: &EntityVersion, pins: Pins) -> Self {
        (self.store, self.sequence) = version.identity();
        self.pins.push(pins);
        self
    }
}

/// Compiles bodies into one program.
pub(crate) struct Compiler<'s> {
    lowering: Lowering<'s>,
    shapes: Vec<Shape>,
    known: HashMap<Shape, u32>,
    /// The shapes of trees that policies share, by the place of the tree in memory, which stays while it is here.
    shared: HashMap<usize, (Arc<pst::Template>, u32)>,
    bodies: usize,
    pins: Vec<Pins>,
}

impl<'s> Compiler<'s> {
    /// A compiler that gets its numbers from `symbols`, and continues the program of `base`.
    pub(crate) fn begin(symbols: &'s mut dyn Interning, base: Option<&CompiledPolicies>) -> Self {
        let Some(base) = base else {
            return Self {
                lowering: Lowering::new(symbols, Program::default()),
                shapes: Vec::new(),
                known: HashMap::new(),
                shared: HashMap::new(),
                bodies: 0,
                pins: Vec::new(),
            };
        };
        let shapes = base.index.shapes.clone();
        let known = (0..).zip(&shapes).map(|(at, shape)| (shape.clone(), at));
        Self {
            lowering: Lowering::new(symbols, base.program.clone()),
            known: known.collect(),
            shared: HashMap::new(),
            bodies: base.bodies,
            pins: base.pins.clone(),
            shapes,
        }
    }

    /// The number of an entity id.
    pub(crate) fn entity(&mut self, ty: &str, id: &str) -> Uid {
        self.lowering.symbols.entity(ty, id)
    }

    /// Compiles a body.
    pub(crate) fn body(&mut self, body: &Body) -> Result<Code, CompileError> {
        let place = Arc::as_ptr(&body.template).addr();
        let known = self.shared.get(&place).map(|(_, shape)| *shape);
        let compiled = match known {
            Some(shape) => shape,
            None => {
                self.bodies += 1;
                let shape = body.compile(&mut self.lowering, &mut self.shapes, &mut self.known)?;
                if body.shared.is_some() {
                    self.shared
                        .insert(place, (Arc::clone(&body.template), shape));
                }
                shape
            }
        };
        let symbols = &mut *self.lowering.symbols;
        let (principal, resource) = body.targets(symbols);
        Ok(Code {
            shape: compiled,
            principal,
            resource,
        })
    }

    /// The policies: each with its body's code and what fills its slots, in their order.
    pub(crate) fn finish(
        self,
        units: Vec<Arc<UnitCode>>,
        policies: Vec<(Code, Uid, Uid)>,
    ) -> CompiledPolicies {
        let slot = |fixed: Uid, slot: Uid| if slot == Uid::NONE { fixed } else { slot };
        let rows: Vec<Row> = (0..)
            .zip(&policies)
            .map(|(policy, (code, principal, resource))| Row {
                policy,
                shape: code.shape,
                principal: slot(code.principal, *principal),
                resource: slot(code.resource, *resource),
            })
            .collect();
        let program = self.lowering.finish();
        let index = Index::build(self.shapes, &rows, &program);
        CompiledPolicies {
            program,
            index,
            store: 0,
            sequence: 0,
            units,
            bodies: self.bodies,
            pins: self.pins,
            #[cfg(test)]
            ids: Vec::new(),
        }
    }
}

fn text(id: &cedar_policy::PolicyId) -> SmolStr {
    AsRef::<str>::as_ref(id).into()
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

impl Body {
    fn compile(
        &self,
        lowering: &mut Lowering<'_>,
        shapes: &mut Vec<Shape>,
        known: &mut HashMap<Shape, u32>,
    ) -> Result<u32, CompileError> {
        let template = &self.template;
        let symbols = &mut *lowering.symbols;
        let principal = kind!(PrincipalConstraint, &template.principal, symbols);
        let resource = kind!(ResourceConstraint, &template.resource, symbols);
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
        Ok(at)
    }

    /// The entities that the scope names itself, for principal and for resource.
    fn targets(&self, symbols: &mut dyn Interning) -> (Uid, Uid) {
        let shared = self.shared.as_deref();
        let mut target = |at: Option<&pst::EntityOrSlot>, own: Option<&SmolStr>| match at {
            Some(pst::EntityOrSlot::Entity(uid)) => {
                symbols.entity(&uid.ty.to_string(), own.unwrap_or(&uid.eid))
            }
            Some(pst::EntityOrSlot::Slot(_)) | None => Uid::NONE,
        };
        let own = shared.and_then(|shared| shared.principal.as_ref());
        let principal = target(named!(PrincipalConstraint, &self.template.principal), own);
        let own = shared.and_then(|shared| shared.resource.as_ref());
        let resource = target(named!(ResourceConstraint, &self.template.resource), own);
        (principal, resource)
    }

    /// All clauses as one condition.
    fn conditions(&self, lowering: &mut Lowering<'_>) -> Result<Ix, CompileError> {
        let shared = self.shared.as_deref();
        let id = shared.map_or(&self.template.id.0, |shared| &shared.id);
        let mut clauses = Vec::new();
        for clause in self.template.clauses() {
            let (pst::Clause::When(expr) | pst::Clause::Unless(expr)) = clause;
            let node = lowering.clause(expr).map_err(|error| match error {
                LowerError::TooDeep => CompileError::TooDeep(id.clone()),
                LowerError::Unsupported(what) => CompileError::Unsupported(id.clone(), what),
            });
            let node = node?;
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
