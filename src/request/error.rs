//! Why a request could not be decided. None of these is a decision: a Deny is an
//! [`Outcome`](crate::Outcome).

use crate::base::json::InputFault;
use crate::base::meter::Exhausted;

/// A request that could not be decided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request itself is at fault; every fault found is named.
    #[error("{}", join(.0))]
    Invalid(Vec<InputFault>),
    /// The caller lacks a scope that the request needs.
    #[error("caller `{caller}` needs the scope `{scope}` for {what}")]
    ScopeRequired {
        /// The caller's name.
        caller: String,
        /// The scope's name.
        scope: &'static str,
        /// What it would be for.
        what: &'static str,
    },
    /// The published state is older than the request demands.
    #[error("state {sequence} is older than the demanded {at_least}")]
    Stale {
        /// The sequence of the state at hand.
        sequence: u64,
        /// The sequence that was demanded.
        at_least: u64,
    },
    /// Evaluating would take more work than a decision may; nothing is known about the answer.
    #[error("the decision takes more than {steps} steps")]
    BudgetExhausted {
        /// The bound, in steps of evaluation.
        steps: u64,
    },
    /// A decision point elsewhere gave no answer, or none that can be read; says why. A [`Pdp`](crate::Pdp)
    /// never gives this.
    #[error("the decision point gave no answer: {0}")]
    Unavailable(String),
}

impl RequestError {
    /// A single fault.
    pub(crate) fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![InputFault::new(pointer, detail)])
    }

    /// A stable name for the kind of error: `invalid_request`, `scope_required`, `stale`,
    /// `budget_exhausted`, `unavailable`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid_request",
            Self::ScopeRequired { .. } => "scope_required",
            Self::Stale { .. } => "stale",
            Self::BudgetExhausted { .. } => "budget_exhausted",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// The faults by JSON pointer; empty unless the request is invalid.
    #[must_use]
    pub fn faults(&self) -> &[InputFault] {
        match self {
            Self::Invalid(faults) => faults,
            _ => &[],
        }
    }
}

impl From<Exhausted> for RequestError {
    fn from(exhausted: Exhausted) -> Self {
        Self::BudgetExhausted {
            steps: exhausted.steps,
        }
    }
}

impl From<InputFault> for RequestError {
    fn from(fault: InputFault) -> Self {
        Self::Invalid(vec![fault])
    }
}

fn join(faults: &[InputFault]) -> String {
    let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
    texts.join("; ")
}
