//! Watching an evaluation: explanations and coverage look on, an idle observer costs nothing.

use super::outcome::{ErrorCode, PolicyIndex};

/// The result of a node or of a policy's conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It was true.
    True,
    /// It was false.
    False,
    /// It was a value other than a boolean.
    Value,
    /// It failed.
    Error(ErrorCode),
}

/// Somebody who looks on. Nodes that are skipped by short-circuit or by the index are not reported.
pub(crate) trait Observer {
    /// Whether anything is to be reported; where it is `false` the calls are compiled away.
    const ACTIVE: bool;

    /// A policy's scope holds and its conditions come next.
    fn begin(&mut self, policy: PolicyIndex);

    /// An expression has been evaluated; `node` is a key of
    /// [`CompiledPolicies::origins`](super::CompiledPolicies::origins).
    fn node(&mut self, node: u32, seen: Seen);

    /// The policy has been evaluated.
    fn end(&mut self, policy: PolicyIndex, seen: Seen);
}

/// Nobody.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Silent;

impl Observer for Silent {
    const ACTIVE: bool = false;

    fn begin(&mut self, _: PolicyIndex) {}

    fn node(&mut self, _: u32, _: Seen) {}

    fn end(&mut self, _: PolicyIndex, _: Seen) {}
}
