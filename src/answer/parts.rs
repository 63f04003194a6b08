//! Parts of JSON that answers and decision records have in common.

use cedar_policy::PolicyId;
use serde::{Serialize, Serializer};

use crate::pdp::decide::Outcome;
use crate::trust::model::Score;

/// A list that is made as it is written.
pub(crate) struct List<F>(pub(crate) F);

impl<T: Serialize, I: Iterator<Item = T>, F: Fn() -> I> Serialize for List<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

/// A satisfied permit that did not make an Allow, its obligations, and what it requires beyond what is
/// reached.
#[derive(Debug, Serialize)]
pub(crate) struct WireUnmet<'a> {
    policy: &'a str,
    obligations: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trust: Option<Score>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<u8>,
}

/// Those of an outcome.
pub(crate) fn unmet(outcome: &Outcome) -> impl Iterator<Item = WireUnmet<'_>> {
    outcome.unmet().map(|unmet| WireUnmet {
        policy: text(unmet.policy),
        obligations: unmet.obligations.iter().map(ToString::to_string).collect(),
        trust: unmet.trust,
        level: unmet.level,
    })
}

/// The text of a policy's id.
pub(crate) fn text(id: &PolicyId) -> &str {
    id.as_ref()
}
