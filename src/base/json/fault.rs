//! What is wrong with a JSON value, and where.

use std::fmt;

/// One fault of a request, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFault {
    /// JSON pointer (RFC 6901) into the request; empty for the whole of it.
    pub pointer: String,
    /// What is wrong there and what would be right.
    pub detail: String,
}

impl InputFault {
    pub(crate) fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            detail: detail.into(),
        }
    }
}

impl fmt::Display for InputFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pointer.is_empty() {
            f.write_str(&self.detail)
        } else {
            write!(f, "{}: {}", self.pointer, self.detail)
        }
    }
}

impl std::error::Error for InputFault {}

/// `base` extended by one member name or index, escaped as RFC 6901 section 3 says.
pub(crate) fn pointer(base: &str, token: &str) -> String {
    format!("{base}/{}", token.replace('~', "~0").replace('/', "~1"))
}
