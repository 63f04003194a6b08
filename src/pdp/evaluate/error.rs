//! Why the evaluation of a policy failed, as a stable code.

use std::fmt;

use cedar_policy::EvaluationError;

/// The kind of an evaluation error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PolicyErrorCode {
    /// An attribute or tag of an entity that is not there was read.
    EntityMissing,
    /// An entity lacks the attribute or tag that was read.
    AttributeMissing,
    /// An operator met a value of the wrong type.
    TypeError,
    /// A whole number left 64 bits.
    Overflow,
    /// An extension function (`ip`, `decimal`, `datetime`, ..) refused its argument.
    Extension,
    /// The expression nests too deeply.
    RecursionLimit,
    /// Anything else.
    Other,
}

impl PolicyErrorCode {
    /// Every code.
    pub const ALL: [Self; 7] = [
        Self::EntityMissing,
        Self::AttributeMissing,
        Self::TypeError,
        Self::Overflow,
        Self::Extension,
        Self::RecursionLimit,
        Self::Other,
    ];

    /// The code in answers and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EntityMissing => "entity_missing",
            Self::AttributeMissing => "attribute_missing",
            Self::TypeError => "type_error",
            Self::Overflow => "overflow",
            Self::Extension => "extension",
            Self::RecursionLimit => "recursion_limit",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for PolicyErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<&EvaluationError> for PolicyErrorCode {
    fn from(error: &EvaluationError) -> Self {
        use EvaluationError as E;
        match error {
            E::EntityDoesNotExist(_) => Self::EntityMissing,
            E::EntityAttrDoesNotExist(_) | E::RecordAttrDoesNotExist(_) => Self::AttributeMissing,
            E::TypeError(_) => Self::TypeError,
            E::IntegerOverflow(_) => Self::Overflow,
            E::FailedExtensionFunctionLookup(_)
            | E::WrongNumArguments(_)
            | E::FailedExtensionFunctionExecution(_) => Self::Extension,
            E::RecursionLimit(_) => Self::RecursionLimit,
            _ => Self::Other,
        }
    }
}
