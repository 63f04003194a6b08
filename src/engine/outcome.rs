//! What an evaluation says.

/// Position of a policy in its compiled set; policies are ordered by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PolicyIndex(pub(crate) u32);

impl PolicyIndex {
    /// The position as a number.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Whether the request may go ahead, by Cedar's rules alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Decision {
    /// A permit is satisfied and no forbid is.
    Allow,
    /// Anything else.
    Deny,
}

/// Why a policy failed, in Cedar's terms; the message is made elsewhere when somebody reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ErrorCode {
    /// An attribute or tag of an entity that does not exist.
    EntityMissing,
    /// An attribute or tag that an entity does not have.
    EntityAttrMissing,
    /// An attribute that a record does not have.
    RecordAttrMissing,
    /// An operand of the wrong type.
    Type,
    /// Arithmetic out of the range of 64 bits.
    Overflow,
    /// An extension function refused its argument.
    Extension,
    /// An extension function was given too few or too many arguments.
    Arity,
}

/// The satisfied and the failed policies of one request, each list in the order of policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Evaluation<'s> {
    pub(crate) permits: &'s [PolicyIndex],
    pub(crate) forbids: &'s [PolicyIndex],
    pub(crate) errors: &'s [(PolicyIndex, ErrorCode)],
    pub(crate) steps: u64,
}

impl<'s> Evaluation<'s> {
    /// Cedar's decision.
    pub(crate) fn decision(&self) -> Decision {
        if self.forbids.is_empty() && !self.permits.is_empty() {
            Decision::Allow
        } else {
            Decision::Deny
        }
    }

    /// The determining policies: satisfied forbids if there are any, else satisfied permits.
    pub(crate) fn determining_policies(&self) -> &'s [PolicyIndex] {
        if self.forbids.is_empty() {
            self.permits
        } else {
            self.forbids
        }
    }

    /// Satisfied permits, whatever the decision.
    #[cfg(test)]
    pub(crate) fn permits(&self) -> &'s [PolicyIndex] {
        self.permits
    }

    /// Policies that failed, and why.
    pub(crate) fn errors(&self) -> &'s [(PolicyIndex, ErrorCode)] {
        self.errors
    }
}
