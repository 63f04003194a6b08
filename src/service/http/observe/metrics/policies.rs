//! How often each policy determined a decision, for a bounded number of policies.
//!
//! The first policies of the state that decides, in the order of their ids, have a label; the others are
//! counted together as `other`. Which ones have one thus depends on the policies alone: all replicas
//! agree, and a restart changes nothing. A policy that keeps its label across a reload keeps its count.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use cedar_policy::PolicyId;

use super::page::Page;
use crate::base::lock::lock;
use crate::pdp::decide::Outcome;
use crate::policy::Revision;
use crate::state::State;

/// The label of all policies without one of their own.
const OTHER: &str = "other";

/// The counters of determining policies.
#[derive(Debug)]
pub(super) struct PolicyCounts {
    limit: usize,
    labelled: ArcSwap<Labelled>,
    /// Held while the labels change.
    changing: Mutex<()>,
}

/// The counters of one revision; a place is that of the snapshot's table, which is sorted by id.
#[derive(Debug, Default)]
struct Labelled {
    revision: Option<Revision>,
    sequence: u64,
    policies: Vec<(PolicyId, Arc<AtomicU64>)>,
    other: Arc<AtomicU64>,
}

impl PolicyCounts {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            labelled: ArcSwap::default(),
            changing: Mutex::default(),
        }
    }

    /// Counts the determining policies of a decision.
    pub(super) fn add(&self, outcome: &Outcome) {
        let determining = outcome.determining();
        if determining.is_empty() {
            return;
        }
        let state = outcome.state();
        let labelled = self.labelled.load();
        if labelled.is_of(state.revision()) {
            for policy in determining {
                count(labelled.at(policy.index()));
            }
            return;
        }
        drop(labelled);
        self.follow(state);
        // Another state may have come meanwhile, or the decision was made on one before it.
        let labelled = self.labelled.load();
        for policy in determining {
            match state.snapshot().policy(policy.index()) {
                Some(policy) => count(labelled.of(policy.id)),
                None => count(&labelled.other),
            }
        }
    }

    /// Takes the labels of a state that is newer than the one they are of.
    fn follow(&self, state: &State) {
        let _one_at_a_time = lock(&self.changing);
        let before = self.labelled.load();
        if before.is_of(state.revision()) || state.sequence() < before.sequence {
            return;
        }
        let snapshot = state.snapshot();
        let policies = (0..self.limit.min(snapshot.counts().0))
            .filter_map(|place| snapshot.policy(place))
            .map(|policy| (policy.id.clone(), before.known(policy.id)))
            .collect();
        self.labelled.store(Arc::new(Labelled {
            revision: Some(state.revision().clone()),
            sequence: state.sequence(),
            policies,
            other: Arc::clone(&before.other),
        }));
    }

    pub(super) fn write(&self, page: &mut Page<'_>, state: Option<&State>) {
        if let Some(state) = state {
            self.follow(state);
        }
        let labelled = self.labelled.load();
        let policies = labelled.policies.iter();
        let policies = policies.map(|(id, count)| (AsRef::<str>::as_ref(id), count));
        // A policy that is called `other` is counted among the others.
        let policies = policies.filter(|(id, _)| *id != OTHER);
        let all = policies.chain([(OTHER, &labelled.other)]);
        let all = all.map(|(id, count)| (id, count.load(Ordering::Relaxed)));
        let help =
            "Decisions that a policy determined; policies beyond `metrics.policy_limit` as `other`";
        page.by("policy", "policy_determined", help, all);
    }
}

impl Labelled {
    fn is_of(&self, revision: &Revision) -> bool {
        self.revision.as_ref() == Some(revision)
    }

    /// The counter of the policy at a place of this revision's table.
    fn at(&self, place: usize) -> &AtomicU64 {
        let policy = self.policies.get(place);
        policy.map_or(&*self.other, |(_, count)| count)
    }

    /// The counter of a policy of any revision.
    fn of(&self, id: &PolicyId) -> &AtomicU64 {
        let found = self.policies.binary_search_by(|(known, _)| known.cmp(id));
        self.at(found.unwrap_or(usize::MAX))
    }

    /// The counter that a policy keeps, or a new one.
    fn known(&self, id: &PolicyId) -> Arc<AtomicU64> {
        if AsRef::<str>::as_ref(id) == OTHER {
            return Arc::clone(&self.other);
        }
        let found = self.policies.binary_search_by(|(known, _)| known.cmp(id));
        let found = found.ok().and_then(|place| self.policies.get(place));
        found
            .map(|(_, count)| Arc::clone(count))
            .unwrap_or_default()
    }
}

fn count(cell: &AtomicU64) {
    cell.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdp::Pdp;
    use crate::request::Request;

    fn decide(counts: &PolicyCounts, pdp: &Pdp) {
        let request = Request::builder()
            .principal(("U", "a"))
            .action(("Action", "x"))
            .resource(("R", "r"))
            .build()
            .unwrap();
        counts.add(&pdp.authorize(&request).unwrap());
    }

    fn shown(counts: &PolicyCounts) -> Vec<(String, u64)> {
        let labelled = counts.labelled.load();
        let policies = labelled.policies.iter();
        let policies = policies.map(|(id, count)| (id.to_string(), count.load(Ordering::Relaxed)));
        let other = (OTHER.to_owned(), labelled.other.load(Ordering::Relaxed));
        policies.chain([other]).collect()
    }

    #[track_caller]
    fn check(counts: &PolicyCounts, expect: &[(&str, u64)]) {
        let shown = shown(counts);
        let shown: Vec<_> = shown.iter().map(|(id, n)| (id.as_str(), *n)).collect();
        assert_eq!(shown, expect);
    }

    #[test]
    fn the_first_by_id_have_a_label_and_keep_their_count() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p.cedar");
        let write = |ids: &[&str]| {
            let policies = ids.iter();
            let policies =
                policies.map(|id| format!("@id(\"{id}\") permit(principal, action, resource);\n"));
            std::fs::write(&file, policies.collect::<String>()).unwrap();
        };
        write(&["d", "b", "other", "c"]);
        let pdp = Pdp::builder().policies(&file).guard(false).build().unwrap();
        let counts = PolicyCounts::new(2);
        decide(&counts, &pdp);
        decide(&counts, &pdp);
        check(&counts, &[("b", 2), ("c", 2), ("other", 4)]);
        write(&["c", "a", "other"]);
        let before = pdp.authorize(
            &Request::builder()
                .principal(("U", "a"))
                .action(("Action", "x"))
                .resource(("R", "r"))
                .build()
                .unwrap(),
        );
        pdp.reload().unwrap();
        decide(&counts, &pdp);
        check(&counts, &[("a", 1), ("c", 3), ("other", 5)]);
        // Decided before the reload and counted after it.
        counts.add(&before.unwrap());
        check(&counts, &[("a", 1), ("c", 4), ("other", 8)]);
    }
}
