//! The trace that a request is a part of.

use std::fmt;

/// A trace's id: 16 bytes that are not all zero. It says nothing about the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TraceId([u8; 16]);

#[cfg_attr(
    not(feature = "server"),
    allow(dead_code, reason = "traces come with HTTP requests")
)]
impl TraceId {
    /// The id, unless all bytes are zero.
    pub(crate) fn new(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// The bytes of it.
    #[cfg(feature = "otlp")]
    pub(crate) fn bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
