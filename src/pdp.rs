//! The policy decision point: a request's way from end to end, and the state it is decided on.

// In the order of imports.
pub(crate) mod enrich;
pub(crate) mod gather;
pub(crate) mod score;
pub(crate) mod evaluate;
pub(crate) mod decide;
mod learn;
mod bounds;
mod entities;
mod health;
mod reading;
mod reload;
mod builder;
#[cfg(feature = "watch")]
mod watching;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use cedar_policy::PolicyId;

use crate::base::caller::Scope;
use crate::base::fault::{Fault, Faults, MOST_SHOWN, first_of};
use crate::base::hash;
use crate::base::hash::Lru;
use crate::base::lock::lock;
use crate::base::timestamp::Timestamp;
use crate::pdp::decide::{Outcome, decide};
use crate::pdp::enrich::enrich;
use crate::pdp::evaluate::{Engine, ShadowCounts, ShadowMismatch};
use crate::policy::{Revision, Settings};
use crate::request::{Limits, Request, RequestError};
use crate::source::ReadLimits;
use crate::source::SourceFile;
use crate::state::State;
use crate::storage::Store;
use crate::trust::subjects::SignalStore;
use crate::trust::{Trust, TrustConfig};

pub use builder::{BuildError, PdpBuilder};
#[cfg(feature = "server")]
pub(crate) use entities::{Condition, entity_tag};
pub use entities::{
    EntitiesWritten, EntityChange, EntityFault, EntityOrigin, EntityPage, EntityWriteError,
};
pub use health::{Health, NoChange, ReloadCounts, StateChange, Subscription};
pub use reload::ReloadError;

use bounds::Bounds;
use reload::Reloader;
use score::Scoring;

/// A policy decision point. Cheap to clone; clones share everything.
///
/// Deciding is synchronous, does no I/O and never waits. Policies, schema and entities are replaced
/// as a whole by [`Pdp::reload`]; a request is decided on the state it began with.
///
/// ```
/// use deodar::{Cause, Pdp, Reloaded, Request};
///
/// let text = r#"@id("own") permit(principal, action, resource) when { context.owner };"#;
/// let pdp = Pdp::builder().policies_text("documents.cedar", text).build()?;
/// let request = Request::builder()
///     .principal(("User", "ada"))
///     .action(("Action", "read"))
///     .resource(("Document", "plan"))
///     .context_member("owner", false)
///     .build()?;
/// assert_eq!(pdp.authorize(&request)?.cause(), Cause::NotPermitted);
/// assert!(!pdp.health().is_degraded());
/// assert_eq!(pdp.reload()?, Reloaded::Unchanged);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Pdp {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: ArcSwap<State>,
    bounds: Bounds,
    reloader: Reloader,
    /// Held while the state is changed, by a reload or a write of entities: one at a time.
    reloading: Mutex<()>,
    /// Held by a reload from reading to publishing, so that what was read first is published first.
    reading_files: Mutex<()>,
    trouble: Mutex<Trouble>,
    counts: Counts,
    subscribers: health::Subscribers,
    logged_errors: Mutex<Lru<PolicyId, Instant>>,
    #[cfg(feature = "watch")]
    watcher: std::sync::OnceLock<crate::source::watch::Watcher>,
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
#[non_exhaustive]
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
        let limits = self.inner.bounds.requests();
        let enriched = enrich(request, &state, now, limits.decision_steps);
        let mut assessed = None;
        let (scored, place) = self.inner.trust.score(&enriched, &mut assessed);
        let evaluation = evaluate::evaluate(&scored, &limits, &self.inner.engine)?;
        let outcome = decide(evaluation).on(assessed, state);
        self.inner.trust.learn(request, place, &outcome);
        self.log_errors(request, &outcome);
        Ok(outcome)
    }

    /// The state that decides now.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        self.inner.state.load_full()
    }

    /// The state of the decision point.
    #[must_use]
    pub fn health(&self) -> Health {
        let state = self.state();
        let trouble = self.inner.trouble();
        let mut reasons = trouble.reasons.clone();
        reasons.extend(self.inner.reloader.reading.trouble());
        reasons.extend(held_back(&state));
        if state.snapshot().is_empty() {
            reasons.push(NO_POLICY.to_owned());
        }
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

    /// How often only Cedar's reader took a request, which was then spelled out for the compiled engine; since
    /// the start.
    #[must_use]
    pub fn engine_fallbacks(&self) -> u64 {
        self.inner.engine.counts.fallbacks()
    }

    /// What is known of users, devices, sessions and addresses; `None` where nothing keeps it.
    #[must_use]
    pub fn signals(&self) -> Option<Arc<dyn SignalStore>> {
        self.inner.trust.store.clone()
    }

    /// The results of shadow checks ([`PdpBuilder::shadow`]).
    #[must_use]
    pub fn shadow_counts(&self) -> ShadowCounts {
        let shadow = self.inner.engine.shadow.as_ref();
        shadow.map(evaluate::Shadow::counts).unwrap_or_default()
    }

    /// The last hundred decisions on which a shadow check found that the engines differ, oldest first.
    #[must_use]
    pub fn shadow_mismatches(&self) -> Vec<ShadowMismatch> {
        let shadow = self.inner.engine.shadow.as_ref();
        shadow.map(evaluate::Shadow::mismatches).unwrap_or_default()
    }

    /// Subscribes to changes of the state from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.inner.subscribers.subscribe()
    }

    /// The bounds on requests and on what is read.
    #[must_use]
    pub fn limits(&self) -> (Limits, ReadLimits) {
        (self.inner.bounds.requests(), self.inner.bounds.reading())
    }

    /// Sets the bounds on requests and on what is read, from the next request and reload on.
    pub fn set_limits(&self, limits: Limits, read_limits: ReadLimits) {
        self.inner.bounds.set(limits, read_limits);
    }

    /// Reads the sources again and publishes them if they are good.
    ///
    /// # Errors
    /// The sources are faulty or look like an accident; the last good state goes on deciding.
    pub fn reload(&self) -> Result<Reloaded, ReloadError> {
        self.inner.reload(false)
    }

    /// As [`Pdp::reload`], and accepts a change that looks like an accident.
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
        if state.snapshot().is_empty() {
            tracing::warn!("{NO_POLICY}");
        }
        let inner = Inner {
            state: ArcSwap::from_pointee(state),
            bounds: Bounds::new(limits, read_limits),
            reloader,
            reloading: Mutex::new(()),
            reading_files: Mutex::new(()),
            trouble: Mutex::new(trouble),
            counts: Counts::default(),
            subscribers: health::Subscribers::default(),
            logged_errors: Mutex::new(hash::lru(LOGGED_POLICIES)),
            #[cfg(feature = "watch")]
            watcher: std::sync::OnceLock::new(),
            engine,
            trust,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Warnings about what was read last, in the order of their places.
    #[cfg(feature = "cli")]
    pub(crate) fn warnings(&self) -> Faults {
        let state = self.state();
        let not_read = &self.inner.reloader.not_read;
        let not_read = lock(not_read);
        let all = state.snapshot().warnings().chain(&*not_read);
        all.cloned().collect::<Faults>().sorted()
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
            let mut logged = lock(logged);
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

/// What to report about written entities that the sources are at odds with.
fn held_back(state: &State) -> Option<String> {
    let held = state.store().held_back();
    (held.len() > 0).then(|| first_of(held, NAMED))
}

/// Said of a state without policies.
const NO_POLICY: &str = "there is no policy yet: every request is denied";

/// How long a reload waits for another one to end, and how often it looks.
const WAIT_FOR_RELOAD: Duration = Duration::from_secs(10);
const LOOK_FOR_RELOAD: Duration = Duration::from_millis(10);

/// What is named of many of one kind in a reason.
const NAMED: usize = 5;

fn log_faults(faults: &Faults) {
    for fault in faults.iter().take(MOST_SHOWN) {
        tracing::error!(code = fault.code(), place = %fault.one_line(), "sources refused");
    }
    if faults.len() > MOST_SHOWN {
        tracing::error!("and {} more faults", faults.len() - MOST_SHOWN);
    }
}

impl Inner {
    fn trouble(&self) -> std::sync::MutexGuard<'_, Trouble> {
        lock(&self.trouble)
    }

    fn reload(&self, confirmed: bool) -> Result<Reloaded, ReloadError> {
        // Reading may take long, or hang; a write of entities does not wait for it.
        let Some(_one_reload) = self.one_reload() else {
            let message = "another reload has been running for a while";
            let fault = Fault::new("reload_running", message)
                .help("`/readyz` says what it reads; try again when it has ended");
            return Err(ReloadError::Faulty(fault.into()));
        };
        let limits = self.bounds.reading();
        let done = match self.reloader.read(limits, false) {
            Ok(files) => {
                let _one_at_a_time = self.one_at_a_time();
                self.next(&files, &limits, confirmed)
            }
            Err(faults) => Err(ReloadError::Faulty(faults)),
        };
        let (count, change) = match &done {
            Ok(Reloaded::Unchanged) => (&self.counts.unchanged, None),
            Ok(Reloaded::Published { revision, sequence }) => {
                tracing::info!(%revision, sequence, "published");
                (&self.counts.published, None)
            }
            Err(ReloadError::Faulty(faults)) => {
                let mut trouble = self.trouble();
                let reason = format!("the sources are faulty: {}", faults.named());
                // Faults that stay are met again at every poll, and logged once.
                if trouble.reasons.first() != Some(&reason) || !trouble.faults.say_the_same(faults)
                {
                    log_faults(faults);
                }
                trouble.reasons = vec![reason];
                trouble.faults = faults.clone();
                (
                    &self.counts.failed,
                    Some(StateChange::Rejected(faults.clone())),
                )
            }
            Err(ReloadError::Held(reason)) => {
                let advice = "run `deodar reload --confirm` if it is meant, with a key or over \
                              `server.socket`";
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

    /// Builds and publishes what was read; on success all trouble is over.
    fn next(
        &self,
        files: &[SourceFile],
        limits: &ReadLimits,
        confirmed: bool,
    ) -> Result<Reloaded, ReloadError> {
        let now = self.state.load_full();
        let next = self
            .reloader
            .build(files, limits, now.sequence() + 1, Some(&now))
            .map_err(ReloadError::Faulty)?;
        if next.revision() == now.revision() && next.store().hash() == now.store().hash() {
            let trouble = if self.trouble().unsaved {
                self.keep(&now, files)
            } else {
                Trouble::default()
            };
            *self.trouble() = trouble;
            return Ok(Reloaded::Unchanged);
        }
        if let Some(reason) = self.reloader.suspicious(&now, &next).filter(|_| !confirmed) {
            return Err(ReloadError::Held(reason));
        }
        let trouble = self.keep(&next, files);
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

    /// The right to reload; `None` when another reload keeps it for too long.
    fn one_reload(&self) -> Option<std::sync::MutexGuard<'_, ()>> {
        let latest = Instant::now() + WAIT_FOR_RELOAD;
        loop {
            match self.reading_files.try_lock() {
                Ok(held) => return Some(held),
                Err(TryLockError::Poisoned(held)) => return Some(held.into_inner()),
                Err(TryLockError::WouldBlock) if Instant::now() >= latest => return None,
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOOK_FOR_RELOAD),
            }
        }
    }

    fn one_at_a_time(&self) -> std::sync::MutexGuard<'_, ()> {
        lock(&self.reloading)
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
