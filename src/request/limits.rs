//! The bounds that every request keeps, whoever sends it.

/// Bounds on one request. What exceeds them is refused with the place and the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Nesting of the request's JSON, in levels (1 to 127; default 64).
    pub json_depth: usize,
    /// Inline entities in one request (default 1,000).
    pub inline_entities: usize,
    /// Length of a chain of parents that begins at an inline entity and runs through inline
    /// entities (default 100).
    pub inline_parent_depth: usize,
    /// Steps of evaluation a decision may take (default 10,000,000): a bound on work, so that no
    /// policy and no request can hold a thread.
    pub decision_steps: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            json_depth: 64,
            inline_entities: 1_000,
            inline_parent_depth: 100,
            decision_steps: 10_000_000,
        }
    }
}
