//! The work that one request may cause, counted in steps from its first byte to its answer.
//!
//! One [`Meter`] goes with a request through every stage, a refused request's included. Whatever grows with
//! what a caller sends, or with what is stored for it, is charged before it is done: reading, merging with
//! stored entities, walks up the hierarchy, evaluation, and Cedar's readers, whose message is the fault of a
//! refused request.

use std::cell::Cell;

use serde_json::Value;

/// A request that needs more steps than it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted {
    /// The budget.
    pub(crate) steps: u64,
}

/// Counts the steps of one request down.
#[derive(Debug)]
pub(crate) struct Meter {
    budget: u64,
    /// `None` once more steps were asked for than there were.
    left: Cell<Option<u64>>,
}

/// What Cedar's own readers and conversions cost more than ours, for the same data.
pub(crate) const BY_CEDAR: u64 = 16;

impl Meter {
    /// A budget of `steps` (`limits.decision_steps`).
    pub(crate) fn new(steps: u64) -> Self {
        Self {
            budget: steps,
            left: Cell::new(Some(steps)),
        }
    }

    /// Takes `steps`; false when there are not so many left. From then on nothing is granted, not even no steps,
    /// and the request has no answer ([`Meter::check`]): a caller may stop with whatever result it likes.
    #[inline]
    #[must_use]
    pub(crate) fn take(&self, steps: u64) -> bool {
        let left = self.left.get().and_then(|left| left.checked_sub(steps));
        self.left.set(left);
        left.is_some()
    }

    /// Steps that are left.
    pub(crate) fn left(&self) -> u64 {
        self.left.get().unwrap_or(0)
    }

    /// Steps that were taken.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> u64 {
        self.budget - self.left()
    }

    /// An error once more steps were asked for than there were.
    pub(crate) fn check(&self) -> Result<(), Exhausted> {
        match self.left.get() {
            Some(_) => Ok(()),
            None => Err(self.exhausted()),
        }
    }

    /// The error of a request that needs more steps than it has.
    pub(crate) fn exhausted(&self) -> Exhausted {
        Exhausted { steps: self.budget }
    }
}

/// Values deeper than this are not weighed: no reader takes them.
const DEEPEST: usize = 256;

/// What a JSON value weighs: one for each value in it, and more for long texts.
pub(crate) fn weight(json: &Value) -> u64 {
    within(json, DEEPEST)
}

/// What a text adds to the weight of its value.
#[inline]
pub(crate) fn of_text(text: &str) -> u64 {
    text.len() as u64 / 32
}

fn within(json: &Value, depth: usize) -> u64 {
    let Some(inner) = depth.checked_sub(1) else {
        return 1;
    };
    1 + match json {
        Value::String(text) => of_text(text),
        Value::Array(items) => items.iter().map(|item| within(item, inner)).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, json)| of_text(name) + within(json, inner))
            .sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{Meter, weight};
    use serde_json::json;

    #[test]
    fn what_is_used_up_stays_used_up() {
        let meter = Meter::new(10);
        assert!(meter.take(10) && meter.check().is_ok());
        assert!(!meter.take(1) && meter.check().is_err());
        assert!(!meter.take(0) && meter.check().is_err() && meter.left() == 0);
    }

    #[test]
    fn weight_counts_every_value_and_long_texts() {
        assert_eq!(weight(&json!({"a": [1, 2, {"b": null}], "c": "x"})), 7);
        assert_eq!(weight(&json!("x".repeat(64))), 3);
    }
}
