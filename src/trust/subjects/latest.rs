//! A state that events report: that of the latest instant holds, whatever order they come in.

use serde::{Deserialize, Serialize};

use super::window::{Millis, NEVER};

/// What was said last. Of two things said of one instant the greater holds, which has to be the worse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Latest<T> {
    #[serde(rename = "t")]
    pub(super) at: Millis,
    #[serde(rename = "v")]
    pub(super) value: T,
}

impl<T: Default> Default for Latest<T> {
    fn default() -> Self {
        Self {
            at: NEVER,
            value: T::default(),
        }
    }
}

impl<T: Ord + Copy> Latest<T> {
    /// Takes in what was said of an instant; whether it holds now.
    pub(super) fn set(&mut self, at: Millis, value: T) -> bool {
        let holds = (at, value) >= (self.at, self.value);
        if holds {
            (self.at, self.value) = (at, value);
        }
        holds
    }

    /// Whether anything was said.
    pub(super) fn said(&self) -> bool {
        self.at != NEVER
    }

    /// Whether nothing was said, for records.
    pub(super) fn unsaid(&self) -> bool {
        self.at == NEVER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(said: &[(i64, bool)], expect: bool) {
        for order in [said.to_vec(), said.iter().rev().copied().collect()] {
            let mut latest = Latest::default();
            for (at, value) in order {
                latest.set(at, value);
            }
            assert_eq!(latest.value, expect);
        }
    }

    #[test]
    fn the_latest_holds_and_at_one_instant_the_worse() {
        check(&[], false);
        check(&[(1, true), (2, false)], false);
        check(&[(1, false), (2, true)], true);
        check(&[(2, false), (2, true)], true);
    }
}
