//! Outgoing webhooks: findings and incidents leave as CloudEvents, signed by Standard Webhooks.
//!
//! What enters: [`Notification`]s, and registrations of receivers in the configuration or through the API.
//! What leaves: HTTP posts to the receivers that want them. What must hold:
//! - whoever hands in a notice is not kept waiting, and none is lost without being counted and logged;
//! - where there is a state directory, what was taken over is delivered, or a dead letter, whatever
//!   becomes of the process;
//! - a receiver gets each event at least once, under the same `webhook-id` at every try;
//! - no receiver leads into our own network unless the operator says so (`address`, `client`);
//! - a slow receiver holds up no other one, and everything is bounded;
//! - a secret is shown once, by the answer that made it.

mod client;
mod cloudevent;
mod dead;
mod deliver;
mod hook;
mod intake;
mod queue;
mod registry;
mod sign;
mod stats;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::base::counts::Counts;
use crate::base::lock::{lock, unpoisoned};
use crate::base::timestamp::Timestamp;
use crate::service::config::{WebhookConfig, WebhookDeliveryConfig};
use crate::service::net::fetch::{Call, Fetch, FetchError, Reply};
use crate::storage::Store;
use crate::trust::subjects::{Notification, NotificationSink};

use client::WebhookClient;
use dead::DeadLetters;
use deliver::jittered;
use hook::{Disabled, Hook, Hooks};
use intake::Intake;
use queue::Delivery;
pub(crate) use registry::{Registration, Replay, WebhookError};
use stats::DeliveryResult;

/// How long deliveries that are due are still tried at the end.
const CLOSING: Duration = Duration::from_secs(5);

/// How long a handle that is dropped without closing waits for threads.
const LEAVING: Duration = Duration::from_secs(1);

/// What webhooks are started with.
pub(crate) struct Setup {
    pub(crate) config: WebhookDeliveryConfig,
    pub(crate) hooks: Vec<WebhookConfig>,
    /// Where registrations, deliveries and dead letters are kept.
    pub(crate) store: Option<Store>,
    /// Calls receivers, whose addresses must be public.
    pub(crate) public: Arc<dyn Fetch>,
    /// Calls receivers whose addresses may be private.
    pub(crate) private: Arc<dyn Fetch>,
    pub(crate) clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Makes a planned wait a little longer.
    pub(crate) jitter: fn(Duration) -> Duration,
}

impl Setup {
    /// Calls over the network, trusting the system's authorities and those of a PEM file.
    pub(crate) fn new(
        config: &WebhookDeliveryConfig,
        hooks: &[WebhookConfig],
        authorities: Option<PathBuf>,
        store: Option<Store>,
    ) -> Self {
        let lazy = |allow_private| -> Arc<dyn Fetch> {
            Arc::new(Lazy {
                authorities: authorities.clone(),
                allow_private,
                made: OnceLock::new(),
            })
        };
        Self {
            config: config.clone(),
            hooks: hooks.to_vec(),
            store,
            public: lazy(false),
            private: lazy(true),
            clock: Arc::new(Timestamp::now),
            jitter: jittered,
        }
    }
}

/// Reads certificate authorities when the first call is made: most servers have no webhooks.
struct Lazy {
    authorities: Option<PathBuf>,
    allow_private: bool,
    made: OnceLock<Result<WebhookClient, String>>,
}

impl Fetch for Lazy {
    fn send(&self, call: &Call) -> Result<Reply, FetchError> {
        let made = self.made.get_or_init(|| {
            WebhookClient::new(self.authorities.as_deref(), self.allow_private, None)
        });
        match made {
            Ok(receivers) => receivers.send(call),
            Err(message) => Err(FetchError::Failed(format!("`client.ca`: {message}"))),
        }
    }
}

/// The webhooks of a server. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Webhooks {
    shared: Arc<Shared>,
    _ending: Arc<Ending>,
}

/// What all threads share.
pub(crate) struct Shared {
    config: WebhookDeliveryConfig,
    hooks: RwLock<Arc<Hooks>>,
    /// Held while registrations change, and while dead letters are replayed: one at a time.
    changing: Mutex<()>,
    store: Option<Store>,
    dead: DeadLetters,
    public: Arc<dyn Fetch>,
    private: Arc<dyn Fetch>,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    jitter: fn(Duration) -> Duration,
    /// The number of the next delivery.
    number: AtomicU64,
    counts: Arc<Counts<DeliveryResult>>,
    intake: Intake,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Whether there are threads; tests take their place.
    running: AtomicBool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("hooks", &self.hooks)
            .finish_non_exhaustive()
    }
}

impl Webhooks {
    /// Takes up what was kept, and starts to deliver.
    ///
    /// # Errors
    /// When a webhook of the configuration is faulty, its secret cannot be read, or what was kept
    /// cannot be.
    pub(crate) fn start(setup: Setup) -> Result<(Self, NotificationSink), String> {
        let webhooks = Self::open(setup)?;
        webhooks.run()?;
        let sink = webhooks.sink();
        Ok((webhooks, sink))
    }

    /// Takes up what was kept, without a thread yet.
    fn open(setup: Setup) -> Result<Self, String> {
        let file = setup.config.dead_letter_file.as_deref();
        let most = setup.config.dead_letters;
        let dead = DeadLetters::open(setup.store.as_ref(), file, most)?;
        let hooks = hooks(&setup)?;
        let mut highest = dead.list()?.iter().map(|letter| letter.number).max();
        let mut orphans = Vec::new();
        if let Some(store) = &setup.store {
            let pending = store.pending_deliveries();
            for (number, json) in pending.map_err(|error| error.to_string())? {
                highest = highest.max(Some(number));
                let delivery = match Delivery::read(number, &json) {
                    Ok(delivery) => delivery,
                    Err(error) => {
                        tracing::error!(number, %error, "a delivery that was kept is damaged");
                        continue;
                    }
                };
                match hooks.get(&delivery.webhook) {
                    Some(hook) => hook.lane.restore(delivery),
                    None => orphans.push(delivery),
                }
            }
        }
        let shared = Shared {
            config: setup.config,
            hooks: RwLock::new(Arc::new(hooks)),
            changing: Mutex::default(),
            store: setup.store,
            dead,
            public: setup.public,
            private: setup.private,
            clock: setup.clock,
            jitter: setup.jitter,
            number: AtomicU64::new(highest.map_or(1, |highest| highest + 1)),
            counts: Arc::default(),
            intake: Intake::default(),
            threads: Mutex::default(),
            running: AtomicBool::new(false),
        };
        shared.bury_orphans(orphans);
        let shared = Arc::new(shared);
        Ok(Self {
            _ending: Arc::new(Ending(Arc::clone(&shared))),
            shared,
        })
    }

    /// Starts a thread for each webhook, and the one that takes notices over.
    fn run(&self) -> Result<(), String> {
        self.shared.running.store(true, Ordering::SeqCst);
        let shared = Arc::clone(&self.shared);
        self.spawn("deodar-notices", move || intake::run(&shared))?;
        for hook in self.shared.hooks().values() {
            self.deliver(hook)?;
        }
        Ok(())
    }

    fn deliver(&self, hook: &Arc<Hook>) -> Result<(), String> {
        if !self.shared.running.load(Ordering::SeqCst) {
            return Ok(());
        }
        let (shared, hook) = (Arc::clone(&self.shared), Arc::clone(hook));
        self.spawn("deodar-webhook", move || deliver::run(&shared, &hook))
    }

    fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), String> {
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(work)
            .map_err(|error| format!("no thread for webhooks: {error}"))?;
        let mut threads = lock(&self.shared.threads);
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
        Ok(())
    }

    /// Takes notices without waiting: they are stored by another thread. A notice that finds no room
    /// is counted and logged.
    pub(crate) fn sink(&self) -> NotificationSink {
        let shared = Arc::clone(&self.shared);
        Arc::new(move |notice| {
            if shared.wanted(&notice) && !shared.intake.push(notice) {
                shared.counts.add(DeliveryResult::Lost);
                tracing::error!("a notice is lost: more come than can be stored");
            }
        })
    }

    /// Figures to show; holding them does not keep the webhooks running.
    pub(crate) fn counter(&self) -> Counter {
        Counter(Arc::clone(&self.shared))
    }

    /// The results of deliveries.
    pub(crate) fn results(&self) -> Arc<Counts<DeliveryResult>> {
        Arc::clone(&self.shared.counts)
    }

    /// Takes over what was handed in, tries what is due for a few seconds, and ends. What is left is
    /// delivered after the next start; without a state directory it becomes dead letters.
    pub(crate) fn close(&self) {
        let until = Instant::now() + CLOSING;
        self.shared.intake.close();
        let threads = std::mem::take(&mut *lock(&self.shared.threads));
        // The intake first: it gives the others their last work.
        let (intake, others): (Vec<_>, Vec<_>) = threads
            .into_iter()
            .partition(|thread| thread.thread().name() == Some("deodar-notices"));
        wait(&intake, until);
        let hooks = self.shared.hooks();
        for hook in hooks.values() {
            hook.lane.finish(until);
        }
        wait(&others, until);
        if self.shared.store.is_some() {
            return;
        }
        for hook in hooks.values() {
            let left = hook.lane.drain();
            if !left.is_empty() {
                let reason = "the server ended";
                let letters = left.into_iter().map(|delivery| Delivery {
                    last_error: delivery.last_error.or(Some(reason.to_owned())),
                    ..delivery
                });
                self.shared.bury(hook, letters.collect());
            }
        }
    }
}

/// Threads that are still in a call at the end are left to the process's end.
fn wait(threads: &[JoinHandle<()>], until: Instant) {
    while Instant::now() < until && threads.iter().any(|thread| !thread.is_finished()) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The webhooks of the configuration and those that were registered.
fn hooks(setup: &Setup) -> Result<Hooks, String> {
    let (private, queue) = (setup.config.danger_allow_private, setup.config.queue);
    let mut hooks = Hooks::new();
    for config in &setup.hooks {
        let hook = Hook::configured(config, private, queue);
        let hook = hook.map_err(|message| format!("webhook `{}`: {message}", config.name))?;
        hooks.insert(config.name.clone(), Arc::new(hook));
    }
    let Some(store) = &setup.store else {
        return Ok(hooks);
    };
    for (name, json) in store.webhooks().map_err(|error| error.to_string())? {
        if hooks.contains_key(&name) {
            tracing::warn!(
                webhook = name,
                "the configuration takes the place of a registration"
            );
            continue;
        }
        let secrets = registry::secrets(store, &name);
        if let Err(message) = &secrets {
            tracing::error!(webhook = name, message, "nothing can be sent");
        }
        match Hook::read(&name, &json, secrets, private, queue) {
            Ok(hook) => {
                hooks.insert(name, Arc::new(hook));
            }
            Err(message) => return Err(format!("webhook `{name}` cannot be read: {message}")),
        }
    }
    Ok(hooks)
}

impl Shared {
    fn hooks(&self) -> Arc<Hooks> {
        let hooks = unpoisoned(self.hooks.read());
        Arc::clone(&hooks)
    }

    /// Changes the table of webhooks.
    fn change_hooks(&self, change: impl FnOnce(&mut Hooks)) {
        let mut hooks = unpoisoned(self.hooks.write());
        change(Arc::make_mut(&mut hooks));
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        lock(&self.changing)
    }

    /// Whether any webhook wants it.
    fn wanted(&self, notice: &Notification) -> bool {
        let hooks = self.hooks();
        let mut hooks = hooks.values();
        let name = cloudevent::name(notice);
        hooks.any(|hook| hook.wants(&name, notice.severity))
    }

    /// Keeps deliveries, or says why not; they go on in memory.
    fn keep(&self, deliveries: &[Delivery]) {
        let kept = deliveries.iter().map(Delivery::kept).collect();
        if let Some(store) = &self.store
            && let Err(error) = store.put_deliveries(kept)
        {
            let deliveries = deliveries.len();
            tracing::error!(%error, deliveries, "deliveries are not kept; a restart loses them");
        }
    }

    /// Forgets what was delivered. What cannot be forgotten is delivered again after a restart.
    fn forget(&self, numbers: Vec<u64>) {
        if let Some(store) = &self.store
            && let Err(error) = store.remove_deliveries(numbers)
        {
            tracing::warn!(%error, "a delivery may be repeated after a restart");
        }
    }

    /// Stops or resumes sending to a webhook.
    fn disable(&self, hook: &Hook, disabled: Option<Disabled>) {
        let _one_at_a_time = self.changing();
        hook.set_disabled(disabled);
        if !self.hooks().contains_key(&hook.name) {
            // It was removed meanwhile; it must not be kept again.
            return;
        }
        if let (Some(store), Some(json)) = (&self.store, hook.kept())
            && let Err(error) = store.put_webhook(&hook.name, json)
        {
            tracing::error!(%error, webhook = hook.name, "the state of a webhook is not kept");
        }
    }

    /// Counts for one webhook and for all.
    fn count(&self, hook: &Hook, result: DeliveryResult, many: u64) {
        self.counts.add_many(result, many);
        hook.stats.counts.add_many(result, many);
    }

    /// Gives deliveries of a webhook up.
    fn bury(&self, hook: &Hook, letters: Vec<Delivery>) {
        let many = letters.len() as u64;
        self.count(hook, DeliveryResult::Dead, many);
        let lost = self.bury_all(letters);
        self.count(hook, DeliveryResult::Lost, lost);
    }

    fn bury_all(&self, letters: Vec<Delivery>) -> u64 {
        let died = (self.clock)().as_millis();
        let letters = letters.into_iter();
        let letters: Vec<_> = letters
            .map(|letter| Delivery {
                died: Some(died),
                ..letter
            })
            .collect();
        let lost = self.dead.bury(letters);
        if lost > 0 {
            tracing::error!(lost, "dead letters are gone");
        }
        lost
    }

    /// Deliveries to webhooks that are no more.
    fn bury_orphans(&self, orphans: Vec<Delivery>) {
        if orphans.is_empty() {
            return;
        }
        let names: HashSet<_> = orphans.iter().map(|orphan| &orphan.webhook).collect();
        tracing::warn!(
            ?names,
            deliveries = orphans.len(),
            "their webhooks were removed"
        );
        let many = orphans.len() as u64;
        self.counts.add_many(DeliveryResult::Dead, many);
        let letters = orphans.into_iter().map(|orphan| Delivery {
            last_error: Some("the webhook was removed".to_owned()),
            ..orphan
        });
        let lost = self.bury_all(letters.collect());
        self.counts.add_many(DeliveryResult::Lost, lost);
    }

    fn next_number(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }
}

/// Reads figures.
#[derive(Debug)]
pub(crate) struct Counter(Arc<Shared>);

impl Counter {
    /// How many deliveries wait.
    pub(crate) fn pending(&self) -> u64 {
        let hooks = self.0.hooks();
        hooks.values().map(|hook| hook.lane.len() as u64).sum()
    }

    /// How many dead letters there are.
    pub(crate) fn dead(&self) -> u64 {
        self.0.dead.count()
    }
}

/// Ends the threads with the last handle. Sinks and metrics hold what is shared, but no handle.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.intake.close();
        for hook in self.0.hooks().values() {
            hook.lane.finish(Instant::now());
        }
        // They hold the state directory, which others may want to open.
        let threads = std::mem::take(&mut *lock(&self.0.threads));
        wait(&threads, Instant::now() + LEAVING);
    }
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ending")
    }
}
