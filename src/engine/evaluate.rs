//! One decision: ancestors, lookup, conditions, answer.

use super::ancestors::Ancestors;
use super::arena::Arena;
use super::compile::CompiledPolicies;
use super::interpret::{Closures, Interpreter};
use super::ir::{Ix, NO_NODE};
use super::lookup::Lookup;
use super::ops::{Fault, Meter};
use super::outcome::{ErrorCode, Evaluation, PolicyIndex};
use super::prune::Reached;
use super::request::EngineRequest;
use super::scope::Row;
use super::walk::World;
use crate::entities::{EntityVersion, Known, Overlay};
use thiserror::Error;

/// How many steps a whole decision may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget(pub(crate) u64);

impl Budget {
    /// No bound that matters.
    #[cfg(test)]
    pub(crate) const UNBOUNDED: Self = Self(u64::MAX);
}

/// Why there is no evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum EvaluateError {
    /// The steps are used up; nothing is known about the answer.
    #[error("the decision takes more than {0} steps")]
    BudgetExhausted(u64),
    /// Policies, entities and request are not of one store and state.
    #[error("policies, entities and request do not belong together")]
    Mismatched,
}

/// Buffers reused between decisions: keep one per thread.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    arena: Arena,
    closures: Closures,
    lately: Ancestors,
    found: Vec<Row>,
    guarded: Vec<Reached>,
    permits: Vec<PolicyIndex>,
    forbids: Vec<PolicyIndex>,
    errors: Vec<(PolicyIndex, ErrorCode)>,
}

impl Scratch {
    /// Room for a first decision.
    #[cfg(test)]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn clear(&mut self) {
        self.arena.clear();
        self.found.clear();
        self.guarded.clear();
        self.permits.clear();
        self.forbids.clear();
        self.errors.clear();
    }
}

/// Evaluates a request: which policies are satisfied and which fail. `known` is what the version knows of its
/// principal, action and resource.
pub(crate) fn evaluate<'s>(
    policies: &CompiledPolicies,
    version: &EntityVersion,
    overlay: Option<&Overlay>,
    request: &EngineRequest,
    known: [Option<Known<'_>>; 3],
    scratch: &'s mut Scratch,
    budget: Budget,
) -> Result<Evaluation<'s>, EvaluateError> {
    let (store, sequence) = version.identity();
    let strange = overlay.is_some_and(|overlay| overlay.bound() != (store, sequence));
    if strange
        || request.bound != (store, sequence)
        || policies.store != store
        || policies.sequence > sequence
    {
        return Err(EvaluateError::Mismatched);
    }
    scratch.clear();
    let overlay = overlay.filter(|overlay| !overlay.is_empty());
    let mut world = World {
        version,
        overlay,
        request,
        own: known.map(|known| known?.entity()),
    };
    if let Some(overlay) = overlay {
        let uids = [request.principal, request.action, request.resource];
        for (own, uid) in world.own.iter_mut().zip(uids) {
            *own = overlay.entity(uid).or(*own);
        }
    }
    let left = run(policies, world, scratch, budget);
    let left = left.map_err(|_| EvaluateError::BudgetExhausted(budget.0))?;
    let Scratch {
        permits,
        forbids,
        errors,
        ..
    } = scratch;
    if permits.len() > 1 {
        permits.sort_unstable();
    }
    if forbids.len() > 1 {
        forbids.sort_unstable();
    }
    if errors.len() > 1 {
        errors.sort_unstable_by_key(|(policy, _)| *policy);
    }
    Ok(Evaluation {
        permits,
        forbids,
        errors,
        steps: budget.0 - left,
    })
}

fn run(
    policies: &CompiledPolicies,
    world: World<'_>,
    scratch: &mut Scratch,
    budget: Budget,
) -> Result<u64, Fault> {
    let Scratch {
        arena,
        closures,
        lately,
        found,
        guarded,
        permits,
        forbids,
        errors,
    } = scratch;
    lately.bind(world.version);
    let mut meter = Meter { left: budget.0 };
    let request = world.request;
    let [principal, action, resource] = world.own;
    for (closure, uid, entity) in [
        (&mut closures.principal, request.principal, principal),
        (&mut closures.action, request.action, action),
        (&mut closures.resource, request.resource, resource),
    ] {
        closure.fill(&world, &mut meter, uid, entity, lately)?;
    }
    Lookup {
        index: &policies.index,
        world: &world,
        closures,
        meter: &mut meter,
        found,
        guarded,
    }
    .run()?;
    let mut interpreter = Interpreter {
        program: &policies.program,
        world,
        arena,
        closures,
        meter,
    };
    interpreter.prune(&policies.index, guarded, found)?;
    // Policies that share their conditions stand together more often than not.
    let mut last: Option<(Ix, Result<bool, Fault>)> = None;
    for row in found.iter() {
        let Some(shape) = policies.index.shapes.get(row.shape as usize) else {
            continue;
        };
        let policy = PolicyIndex(row.policy);
        let result = match last {
            _ if shape.body == NO_NODE => Ok(true),
            Some((body, result)) if body == shape.body => result,
            _ => interpreter.test(shape.body),
        };
        last = Some((shape.body, result));
        match result {
            Ok(true) if shape.forbid => forbids.push(policy),
            Ok(true) => permits.push(policy),
            Ok(false) => {}
            Err(Fault::Error(code)) => errors.push((policy, code)),
            Err(Fault::Exhausted) => return Err(Fault::Exhausted),
        }
    }
    Ok(interpreter.meter.left)
}
