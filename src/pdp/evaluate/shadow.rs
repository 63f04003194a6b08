//! Shadow checks: a share of live decisions is decided again by the reference, on a thread of its own.
//!
//! What enters: a request that was decided, its state and what was found. What leaves: counts, and the
//! mismatches, each with what it takes to replay it. Nothing here changes an answer or makes one wait:
//! a full queue drops the check and counts it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use super::reference::{NoAnswer, decide_within};
use super::{Evaluated, PolicyErrorCode};
use crate::base::lock::lock;
use crate::base::timestamp::Timestamp;
use crate::pdp::enrich::enrich;
use crate::pdp::score::stage::{Assessed, Scored};
use crate::policy::Revision;
use crate::request::{Limits, Request, RequestError};
use crate::state::State;

/// How decisions are checked in the shadow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShadowSettings {
    /// The share of decisions that is checked, from 0 (none, the default) to 1 (all).
    pub share: f64,
    /// Checks that may wait; a decision that finds the queue full is not checked (default 256).
    pub queue: usize,
    /// Entities that the reference may be given for one check (default 10,000).
    pub entities: usize,
}

impl Default for ShadowSettings {
    fn default() -> Self {
        Self {
            share: 0.0,
            queue: 256,
            entities: 10_000,
        }
    }
}

/// The results of shadow checks since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShadowCounts {
    /// Both engines gave the same answer.
    pub matched: u64,
    /// They did not; see [`Pdp::shadow_mismatches`](crate::Pdp::shadow_mismatches).
    pub mismatched: u64,
    /// The queue was full.
    pub dropped: u64,
    /// The request reaches more entities than the reference may be given, or takes it too many steps.
    pub not_checked: u64,
}

/// What an engine found, with policies by id.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineAnswer {
    /// Whether a permit is satisfied and no forbid is.
    pub allow: bool,
    /// The determining policies, in order.
    pub reasons: Vec<String>,
    /// The policies that failed, and why, in order.
    pub errors: Vec<(String, PolicyErrorCode)>,
}

/// A decision on which the engines differ.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ShadowMismatch {
    /// The revision it was decided on.
    pub revision: Revision,
    /// The sequence it was decided on.
    pub sequence: u64,
    /// The instant it was decided for.
    pub now: Timestamp,
    /// The request, to be decided again.
    pub request: Request,
    /// What the compiled engine found; it was the answer.
    pub compiled: EngineAnswer,
    /// What the reference found; `None` where it refuses the request.
    pub reference: Option<EngineAnswer>,
}

/// Mismatches that are kept; older ones make room for newer ones.
const KEPT: usize = 100;
/// Stack of the checking thread, in bytes.
const STACK: usize = 16 << 20;

#[derive(Debug, Default)]
struct Shared {
    matched: AtomicU64,
    mismatched: AtomicU64,
    dropped: AtomicU64,
    not_checked: AtomicU64,
    kept: Mutex<VecDeque<ShadowMismatch>>,
}

struct Job {
    state: Arc<State>,
    request: Request,
    now: Timestamp,
    trust: Option<Assessed>,
    limits: Limits,
    found: Evaluated,
}

/// The checks of one decision point.
#[derive(Debug)]
pub(crate) struct Shadow {
    queue: SyncSender<Job>,
    /// The share as a step through all of `u64`: a decision whose step wraps around is checked.
    step: u64,
    position: AtomicU64,
    shared: Arc<Shared>,
}

impl Shadow {
    /// Starts the checking thread, which ends with the last handle; `None` where nothing is to be checked.
    pub(crate) fn start(settings: ShadowSettings) -> std::io::Result<Option<Self>> {
        if settings.share.is_nan() || settings.share <= 0.0 {
            return Ok(None);
        }
        let (queue, jobs) = sync_channel(settings.queue.max(1));
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("deodar-shadow".to_owned())
            .stack_size(STACK)
            .spawn(move || check_all(&jobs, &theirs, settings.entities))?;
        let step = (settings.share.min(1.0) * u64::MAX as f64) as u64;
        Ok(Some(Self {
            queue,
            step,
            position: AtomicU64::new(u64::MAX),
            shared,
        }))
    }

    /// Perhaps checks a decision.
    pub(super) fn look(&self, scored: &Scored<'_>, limits: &Limits, found: &Evaluated) {
        let before = self.position.fetch_add(self.step, Ordering::Relaxed);
        if before.checked_add(self.step).is_some() {
            return;
        }
        let job = Job {
            state: Arc::clone(scored.state),
            request: scored.request.clone(),
            now: scored.now,
            trust: scored.trust.cloned(),
            limits: *limits,
            found: found.clone(),
        };
        if self.queue.try_send(job).is_err() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn counts(&self) -> ShadowCounts {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ShadowCounts {
            matched: load(&self.shared.matched),
            mismatched: load(&self.shared.mismatched),
            dropped: load(&self.shared.dropped),
            not_checked: load(&self.shared.not_checked),
        }
    }

    pub(crate) fn mismatches(&self) -> Vec<ShadowMismatch> {
        let kept = lock(&self.shared.kept);
        kept.iter().cloned().collect()
    }
}

fn check_all(jobs: &Receiver<Job>, shared: &Shared, entities: usize) {
    while let Ok(job) = jobs.recv() {
        let count = match catch_unwind(AssertUnwindSafe(|| check(&job, entities))) {
            Ok(Ok(None)) => &shared.matched,
            Ok(Ok(Some(mismatch))) => {
                tracing::error!(
                    revision = %mismatch.revision,
                    sequence = mismatch.sequence,
                    compiled = ?mismatch.compiled,
                    reference = ?mismatch.reference,
                    "the engines differ on a decision"
                );
                let mut kept = lock(&shared.kept);
                if kept.len() >= KEPT {
                    kept.pop_front();
                }
                kept.push_back(mismatch);
                &shared.mismatched
            }
            Ok(Err(())) | Err(_) => &shared.not_checked,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// The mismatch, if there is one; an error where the reference could not be asked.
fn check(job: &Job, entities: usize) -> Result<Option<ShadowMismatch>, ()> {
    let enriched = enrich(&job.request, &job.state, job.now, job.limits.decision_steps);
    let scored = Scored::new(&enriched, job.trust.as_ref());
    let reference = match decide_within(&scored, &job.limits, entities) {
        Ok(found) => Some(answer(&job.state, &found)),
        Err(NoAnswer::Refused(RequestError::BudgetExhausted { .. })) => return Err(()),
        Err(NoAnswer::Refused(_)) => None,
        Err(NoAnswer::TooLarge) => return Err(()),
    };
    let compiled = answer(&job.state, &job.found);
    if reference.as_ref() == Some(&compiled) {
        return Ok(None);
    }
    Ok(Some(ShadowMismatch {
        revision: job.state.revision().clone(),
        sequence: job.state.sequence(),
        now: job.now,
        request: job.request.clone(),
        compiled,
        reference,
    }))
}

fn answer(state: &State, found: &Evaluated) -> EngineAnswer {
    let snapshot = state.snapshot();
    let name = |place: usize| {
        let policy = snapshot.policy(place);
        policy.map_or_else(String::new, |policy| policy.id.to_string())
    };
    let mut reasons: Vec<String> = {
        let all = found.determining.iter();
        all.map(|policy| name(policy.index())).collect()
    };
    let errors = found.errors.iter();
    let mut errors: Vec<_> = errors.map(|e| (name(e.policy), e.code)).collect();
    reasons.sort();
    errors.sort_by(|a, b| a.0.cmp(&b.0));
    EngineAnswer {
        allow: found.allow,
        reasons,
        errors,
    }
}
