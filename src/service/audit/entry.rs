//! What a caller hands to the log, and which of it is recorded.

use std::time::Duration;

use uuid::Uuid;

use crate::base::timestamp::Timestamp;
use crate::pdp::decide::Outcome;
use crate::request::Request;
use crate::service::config::AuditConfig;

/// A decision to be recorded. Making one copies nothing: it takes the request and the outcome over.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) id: Uuid,
    pub(super) time: Timestamp,
    pub(super) route: &'static str,
    pub(super) request: Request,
    pub(super) outcome: Outcome,
    pub(super) latency: Duration,
    /// Bytes that the request takes, more or less.
    pub(super) size: usize,
}

impl Entry {
    /// A decision that was made just now. `id` is the decision's id, `size` the length of the body
    /// that the request came in: what waits in the buffer is bounded by it.
    pub(crate) fn new(
        id: Uuid,
        route: &'static str,
        request: Request,
        outcome: Outcome,
        latency: Duration,
        size: usize,
    ) -> Self {
        Self {
            id,
            time: Timestamp::now(),
            route,
            request,
            outcome: outcome.settled(),
            latency,
            size,
        }
    }
}

/// Which decisions are recorded.
#[derive(Debug)]
pub(super) struct Filter {
    allow_percent: u64,
    routes: Vec<String>,
}

impl Filter {
    pub(super) fn new(config: &AuditConfig) -> Self {
        Self {
            allow_percent: u64::from(config.allow_percent),
            routes: config.routes.clone(),
        }
    }

    /// Whether a decision is recorded: every Deny and every decision in which a policy failed; of the
    /// others the share that is asked for, told by the decision's id alone.
    pub(super) fn takes(&self, id: Uuid, route: &str, outcome: &Outcome) -> bool {
        if !self.routes.is_empty() && !self.routes.iter().any(|known| known == route) {
            return false;
        }
        self.allow_percent >= 100
            || !outcome.is_allow()
            || outcome.policy_errors().next().is_some()
            || sample(id) < self.allow_percent
    }
}

/// A number from 0 to 99 out of the random bits at the end of an id.
fn sample(id: Uuid) -> u64 {
    let (_, low) = id.as_u64_pair();
    (low & 0x3fff_ffff_ffff_ffff) % 100
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::audit::tests::{ALLOW_ALL, DENY_ALL, config, outcome};

    #[test]
    fn denies_are_always_kept_and_allows_by_their_share() {
        let filter = Filter::new(&AuditConfig {
            allow_percent: 10,
            routes: vec!["authorize".to_owned()],
            ..config()
        });
        let (allow, deny) = (outcome(ALLOW_ALL), outcome(DENY_ALL));
        let ids: Vec<Uuid> = (0..2_000).map(|_| Uuid::now_v7()).collect();
        let kept = |outcome: &Outcome, route: &str| {
            let kept = ids.iter().filter(|id| filter.takes(**id, route, outcome));
            kept.count()
        };
        let allows = kept(&allow, "authorize");
        assert!((100..320).contains(&allows), "{allows} of 2000");
        assert_eq!(kept(&allow, "authorize"), allows);
        assert_eq!(kept(&deny, "authorize"), 2_000);
        assert_eq!(kept(&deny, "search"), 0);
        let failed = outcome(
            "permit(principal, action, resource); permit(principal, action, resource) when { context.x };",
        );
        assert!(failed.is_allow() && kept(&failed, "authorize") == 2_000);
    }
}
