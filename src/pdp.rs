//! The policy decision point: a request's way from end to end, and the state it is decided on.

mod builder;
mod entities;
mod fixed;
mod health;
mod reload;
mod scoring;
#[cfg(feature = "watch")]
mod watching;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use cedar_policy::PolicyId;
use lru::LruCache;

use crate::caller::Scope;
use crate::decide::{Outcome, decide};
use crate::engine::{self, Engine, ShadowCounts, ShadowMismatch};
use crate::enrich::enrich;
use crate::fault::Faults;
use crate::policy::source::SourceFile;
use crate::policy::{ReadLimits, Revision, Settings};
use crate::request::{Limits, Request, RequestError};
use crate::signals::SignalStore;
use crate::state::State;
use crate::storage::Store;
use crate::timestamp::Timestamp;
use crate::trust::{Trust, TrustConfig};

pub use builder::{BuildError, PdpBuilder};
pub use entities::{
    EntitiesWritten, EntityChange, EntityFault, EntityOrigin, EntityPage, EntityWriteError,
};
pub use fixed::FixedPdp;
pub use health::{Health, ReloadCounts, StateChange, Subscription};
pub use reload::ReloadError;

use reload::Reloader;
use scoring::Scoring;

/// What decides requests: a [`Pdp`], a [`FixedPdp`] in tests, or a client of a remote one.
pub trait Authorize {
    /// Decides the request.
    ///
    /// # Errors
    /// When the request could not be decided; a Deny is an [`Outcome`].
    fn authorize(&self, request: &Request) -> Result<Outcome, RequestError>;
}

/// A policy decision point. Cheap to clone; clones share everything.
///
/// Deciding is synchronous, does no I/O and never waits. Policies, schema and entities are replaced
/// as a whole by [`Pdp::reload`]; a request is decided on the state it began with.
#[derive(Debug, Clone)]
pub struct Pdp {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: ArcSwap<State>,
    limits: ArcSwap<(Limits, ReadLimits)>,
    reloader: Reloader,
    /// Held while the state is changed, by a reload or a write of entities: one at a time.
    reloading: Mutex<()>,
    trouble: Mutex<Trouble>,
    counts: Counts,
    subscribers: health::Subscribers,
    logged_errors: Mutex<LruCache<PolicyId, Instant>>,
    #[cfg(feature = "watch")]
    watcher: std::sync::OnceLock<crate::policy::Watcher>,
    engine: Engine,
    trust: Scoring,
}

/// Why the decision point is degraded.
#[derive(Debug, Default)]
struct Trouble {
    reasons: Vec<String>,
    faults: Faults,
    /// Whether what decides now could not be kept in the state directory.
    unsaved: bool,
}

#[derive(Debug, Default)]
struct Counts {
    published: AtomicU64,
    unchanged: AtomicU64,
    failed: AtomicU64,
    held: AtomicU64,
}

/// What a reload did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reloaded {
    /// A new state decides from now on.
    Published {
        /// Its revision.
        revision: Revision,
        /// Its sequence.
        sequence: u64,
    },
    /// The sources say what they said before.
    Unchanged,
}

/// An erroring policy is logged once in this time; it may err on every request.
const LOG_ERRORS_EVERY: Duration = Duration::from_secs(60);
const LOGGED_POLICIES: NonZeroUsize = NonZeroUsize::new(1_024).unwrap();

impl Authorize for Pdp {
    fn authorize(&self, request: &Request) -> Result<Outcome, RequestError> {
        Self::authorize(self, request)
    }
}

impl Pdp {
    /// Starts a decision point: where its policies come from and how it behaves.
    #[must_use]
    pub fn builder() -> PdpBuilder {
        PdpBuilder::default()
    }

    /// Decides a request.
    ///
    /// # Errors
    /// [`RequestError`] when there is no decision: the request does not fit the schema, is out of
    /// bounds, lacks a scope, or demands a newer state. A Deny is an [`Outcome`].
    pub fn authorize(&self, request: &Request) -> Result<Outcome, RequestError> {
        let state = self.inner.state.load();
        admit(request, &state)?;
        let now = request.now.unwrap_or_else(Timestamp::now);
        let enriched = enrich(request, &state, now);
        let mut assessed = None;
        let (scored, place) = self.inner.trust.score(enriched, &mut assessed);
        let evaluation = engine::evaluate(scored, &self.inner.limits.load().0, &self.inner.engine)?;
        let outcome = decide(evaluation).on(state);
        self.inner.trust.learn(request, place, &outcome);
        self.log_errors(request, &outcome);
        Ok(outcome)
    }

    /// The state that decides now.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        self.inner.state.load_full()
    }

    /// How the decision point is.
    #[must_use]
    pub fn health(&self) -> Health {
        let state = self.state();
        let trouble = self.inner.trouble();
        let mut reasons = trouble.reasons.clone();
        let store = self.inner.reloader.state_dir.as_ref();
        if let Some(error) = store.and_then(Store::trouble).filter(|_| !trouble.unsaved) {
            reasons.push(format!("nothing can be kept: {error}"));
        }
        Health {
            reasons,
            faults: trouble.faults.clone(),
            revision: state.revision().clone(),
            sequence: state.sequence(),
        }
    }

    /// How often what happened to reloads.
    #[must_use]
    pub fn reload_counts(&self) -> ReloadCounts {
        let counts = &self.inner.counts;
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ReloadCounts {
            published: load(&counts.published),
            unchanged: load(&counts.unchanged),
            failed: load(&counts.failed),
            held: load(&counts.held),
        }
    }

    /// How often the compiled engine left a decision to the reference, because only Cedar's reader took
    /// the request; since the start.
    #[must_use]
    pub fn engine_fallbacks(&self) -> u64 {
        self.inner.engine.counts.fallbacks()
    }

    /// What is known of users, devices, sessions and addresses; `None` where nothing keeps it.
    #[must_use]
    pub fn signals(&self) -> Option<Arc<dyn SignalStore>> {
        self.inner.trust.store.clone()
    }

    /// What became of shadow checks ([`PdpBuilder::shadow`]).
    #[must_use]
    pub fn shadow_counts(&self) -> ShadowCounts {
        let shadow = self.inner.engine.shadow.as_ref();
        shadow.map(engine::Shadow::counts).unwrap_or_default()
    }

    /// The last hundred decisions on which a shadow check found that the engines differ, oldest first.
    #[must_use]
    pub fn shadow_mismatches(&self) -> Vec<ShadowMismatch> {
        let shadow = self.inner.engine.shadow.as_ref();
        shadow.map(engine::Shadow::mismatches).unwrap_or_default()
    }

    /// Subscribes to changes of the state from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.inner.subscribers.subscribe()
    }

    /// The bounds on requests and on what is read.
    #[must_use]
    pub fn limits(&self) -> (Limits, ReadLimits) {
        **self.inner.limits.load()
    }

    /// Sets the bounds on requests and on what is read, from the next request and reload on.
    pub fn set_limits(&self, limits: Limits, read_limits: ReadLimits) {
        self.inner.limits.store(Arc::new((limits, read_limits)));
    }

    /// Reads the sources again and publishes them if they are good.
    ///
    /// # Errors
    /// The sources are faulty or look like an accident; the last good state goes on deciding.
    pub fn reload(&self) -> Result<Reloaded, ReloadError> {
        self.inner.reload(false)
    }

    /// As [`Pdp::reload`], and takes a change that looks like an accident for meant.
    ///
    /// # Errors
    /// The sources are faulty; the last good state goes on deciding.
    pub fn reload_confirmed(&self) -> Result<Reloaded, ReloadError> {
        self.inner.reload(true)
    }

    /// Replaces the trust configuration; it is published with the sources as they are now. The store of
    /// signals takes up its part of it at once.
    ///
    /// # Errors
    /// When the configuration is faulty: then nothing changes. When the sources are: then the last good
    /// state goes on deciding, and the configuration is published with the next good one.
    pub fn set_trust(&self, config: Option<TrustConfig>) -> Result<Reloaded, ReloadError> {
        let signals = config.as_ref().map(|config| config.signals.clone());
        let trust = config.map(Trust::new).transpose();
        let trust = trust.map_err(ReloadError::Faulty)?;
        let settings = &self.inner.reloader.settings;
        settings.rcu(|settings| Settings {
            trust: trust.clone(),
            ..Settings::clone(settings)
        });
        let done = self.inner.reload(false);
        if let (Some(store), Some(signals)) = (&self.inner.trust.store, signals) {
            store.configure(signals);
        }
        done
    }

    fn start(
        reloader: Reloader,
        limits: Limits,
        read_limits: ReadLimits,
        strict: bool,
        (engine, trust): (Engine, Scoring),
    ) -> Result<Self, BuildError> {
        let (state, faults) = reloader.first(&read_limits, strict)?;
        let mut trouble = Trouble::default();
        if let Some(faults) = faults {
            trouble.reasons.push(format!(
                "started on the last good sources (sequence {}), the present ones are faulty: {faults}",
                state.sequence()
            ));
            log_faults(&faults);
            trouble.faults = faults;
        }
        for warning in state.snapshot().warnings() {
            tracing::warn!(place = %warning.one_line(), "policy warning");
        }
        let inner = Inner {
            state: ArcSwap::from_pointee(state),
            limits: ArcSwap::from_pointee((limits, read_limits)),
            reloader,
            reloading: Mutex::new(()),
            trouble: Mutex::new(trouble),
            counts: Counts::default(),
            subscribers: health::Subscribers::default(),
            logged_errors: Mutex::new(LruCache::new(LOGGED_POLICIES)),
            #[cfg(feature = "watch")]
            watcher: std::sync::OnceLock::new(),
            engine,
            trust,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The state directory, where there is one.
    #[cfg(feature = "server")]
    pub(crate) fn store(&self) -> Option<Store> {
        self.inner.reloader.state_dir.clone()
    }

    fn log_errors(&self, request: &Request, outcome: &Outcome) {
        for failure in outcome.policy_errors() {
            let now = Instant::now();
            let logged = &self.inner.logged_errors;
            let mut logged = logged.lock().unwrap_or_else(PoisonError::into_inner);
            let lately = logged
                .get(failure.policy())
                .is_some_and(|last| now.duration_since(*last) < LOG_ERRORS_EVERY);
            if !lately {
                logged.put(failure.policy().clone(), now);
                drop(logged);
                tracing::warn!(
                    policy = %failure.policy(),
                    code = %failure.code(),
                    decision = %outcome.decision(),
                    request = request.request_id(),
                    trace = request.trace.map(tracing::field::display),
                    "policy failed to evaluate; not logged again for it within a minute"
                );
            }
        }
    }
}

/// Whether the request may be decided at all, on this state.
fn admit(request: &Request, state: &State) -> Result<(), RequestError> {
    if !request.caller().has(Scope::Decide) {
        return Err(RequestError::ScopeRequired {
            caller: request.caller().name().to_owned(),
            scope: Scope::Decide.name(),
            what: "a decision",
        });
    }
    match request.at_least() {
        Some(at_least) if at_least > state.sequence() => Err(RequestError::Stale {
            sequence: state.sequence(),
            at_least,
        }),
        _ => Ok(()),
    }
}

fn log_faults(faults: &Faults) {
    for fault in faults.iter() {
        tracing::error!(code = fault.code(), place = %fault.one_line(), "sources refused");
    }
}

impl Inner {
    fn trouble(&self) -> std::sync::MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reload(&self, confirmed: bool) -> Result<Reloaded, ReloadError> {
        let _one_at_a_time = self.one_at_a_time();
        let done = self.next(confirmed);
        let (count, change) = match &done {
            Ok(Reloaded::Unchanged) => (&self.counts.unchanged, None),
            Ok(Reloaded::Published { revision, sequence }) => {
                tracing::info!(%revision, sequence, "published");
                (&self.counts.published, None)
            }
            Err(ReloadError::Faulty(faults)) => {
                log_faults(faults);
                let mut trouble = self.trouble();
                trouble.reasons = vec![format!("the sources are faulty: {faults}")];
                trouble.faults = faults.clone();
                (
                    &self.counts.failed,
                    Some(StateChange::Rejected(faults.clone())),
                )
            }
            Err(ReloadError::Held(reason)) => {
                let advice = "run `deodar reload --confirm` if it is meant";
                tracing::error!(%reason, advice, "change held back");
                let mut trouble = self.trouble();
                trouble.reasons = vec![format!("a change is held back: {reason}; {advice}")];
                trouble.faults = Faults::new();
                let reason = reason.clone();
                (&self.counts.held, Some(StateChange::Held { reason }))
            }
        };
        count.fetch_add(1, Ordering::Relaxed);
        if let Some(change) = change {
            self.subscribers.tell(&change);
        }
        done
    }

    /// Reads, builds and publishes; on success all trouble is over.
    fn next(&self, confirmed: bool) -> Result<Reloaded, ReloadError> {
        let limits = self.limits.load().1;
        let now = self.state.load_full();
        let files = self.reloader.read(&limits).map_err(ReloadError::Faulty)?;
        let next = self
            .reloader
            .build(&files, &limits, now.sequence() + 1, Some(&now))
            .map_err(ReloadError::Faulty)?;
        if next.revision() == now.revision() && next.store().hash() == now.store().hash() {
            let trouble = if self.trouble().unsaved {
                self.keep(&now, &files)
            } else {
                Trouble::default()
            };
            *self.trouble() = trouble;
            return Ok(Reloaded::Unchanged);
        }
        if let Some(reason) = self.reloader.suspicious(&now, &next).filter(|_| !confirmed) {
            return Err(ReloadError::Held(reason));
        }
        let trouble = self.keep(&next, &files);
        for warning in next.snapshot().warnings() {
            tracing::warn!(place = %warning.one_line(), "policy warning");
        }
        let published = Reloaded::Published {
            revision: next.revision().clone(),
            sequence: next.sequence(),
        };
        *self.trouble() = trouble;
        self.publish(next);
        Ok(published)
    }

    fn one_at_a_time(&self) -> std::sync::MutexGuard<'_, ()> {
        let held = self.reloading.lock();
        held.unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this decides.
    fn publish(&self, next: State) {
        let change = StateChange::Published {
            revision: next.revision().clone(),
            sequence: next.sequence(),
        };
        self.state.store(Arc::new(next));
        self.subscribers.tell(&change);
    }

    /// Keeps the sources of a state in the state directory, where there is one.
    fn keep(&self, state: &State, files: &[SourceFile]) -> Trouble {
        let kept = self.reloader.state_dir.as_ref().map_or(Ok(()), |dir| {
            let now = Timestamp::now();
            dir.keep(state.sequence(), state.revision().as_str(), files, now)
        });
        match kept {
            Ok(()) => Trouble::default(),
            Err(error) => {
                tracing::error!(%error, "published, but it would not survive a restart");
                Trouble {
                    reasons: vec![format!("would not survive a restart: {error}")],
                    faults: Faults::new(),
                    unsaved: true,
                }
            }
        }
    }
}
