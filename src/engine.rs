//! The engine: policies compiled and indexed, decided over one version of the entities.
//!
//! Enters: Cedar policies as `cedar_policy::pst` has them, an [`EntityVersion`](crate::entities::EntityVersion)
//! and a request. Leaves: which permits and forbids are satisfied and which policies fail, exactly as
//! Cedar's own authorizer would say. What must hold:
//! - a policy that is not looked at could not have been satisfied and could not have failed;
//! - work is counted, and a request that runs out of its budget has no answer at all;
//! - nothing here does I/O, holds a clock or is global.

mod ancestors;
mod arena;
mod arity;
mod compile;
mod evaluate;
mod guards;
mod index;
mod interpret;
mod ir;
mod like;
mod lookup;
mod lower;
mod ops;
mod outcome;
mod prune;
mod reads;
mod request;
mod runtime;
mod scope;
mod walk;

#[cfg(test)]
pub(crate) use compile::CompileError;
pub(crate) use compile::{Body, Code, CompiledPolicies, Compiler, UnitCode};
pub(crate) use evaluate::{Budget, EvaluateError, Scratch, evaluate};
pub(crate) use outcome::{Decision, ErrorCode, PolicyIndex};
pub(crate) use reads::ContextReads;
pub(crate) use request::EngineRequest;
