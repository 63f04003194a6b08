//! Polling for tokens (RFC 8936): a task for each receiver that polls.
//!
//! What must hold: a token is acknowledged only after it was stored; while the transmitter or the store
//! fails, polls become rarer and nothing is lost, because what is not acknowledged is sent again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{SetOutcome, take};
use crate::service::config::PollConfig;
use crate::service::http::app::App;
use crate::service::net::backoff::{Backoff, UP_TO_HALF_MORE};
use crate::service::net::fetch::{Call, Fetch, FetchError, Reply};
use crate::service::ssf::{PollBody, Receiver, SetFault, read_batch};
use crate::trust::subjects::SignalStore;

/// Longest rest after failures.
const LONGEST_REST: Duration = Duration::from_secs(600);
/// Polls in a row while the transmitter says that there is more; then others have their turn.
const IN_A_ROW: usize = 100;

/// Begins to poll; what this returns ends it when it is dropped. A token that is being taken then is
/// stored or is sent again.
pub(crate) fn start(app: &Arc<App>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for receiver in app.receivers.iter() {
        let (app, receiver) = (Arc::clone(app), Arc::clone(receiver));
        tasks.spawn(async move {
            receiver.warm((app.clock)()).await;
            let Some(mut poll) = Poll::new(&app, &receiver) else {
                return;
            };
            loop {
                let rest = poll.round().await;
                tokio::time::sleep(rest).await;
            }
        });
    }
    tasks
}

/// The polls of one receiver.
pub(crate) struct Poll {
    app: Arc<App>,
    receiver: Arc<Receiver>,
    store: Arc<dyn SignalStore>,
    fetch: Arc<dyn Fetch>,
    config: PollConfig,
    authorization: String,
    /// What was taken or refused since the last poll that was answered.
    answers: PollBody,
    failures: u32,
}

impl Poll {
    /// `None` where the receiver does not poll, or nothing keeps signals.
    pub(crate) fn new(app: &Arc<App>, receiver: &Arc<Receiver>) -> Option<Self> {
        let (config, token) = receiver.poll()?;
        let Some(store) = app.signals() else {
            tracing::warn!(
                receiver = receiver.name(),
                "nothing is polled for: no signals are kept"
            );
            return None;
        };
        Some(Self {
            store,
            fetch: Arc::clone(app.fetch.as_ref()?),
            authorization: format!("Bearer {}", token.reveal()),
            answers: PollBody {
                max_events: config.max_events,
                return_immediately: true,
                ..PollBody::default()
            },
            config: config.clone(),
            app: Arc::clone(app),
            receiver: Arc::clone(receiver),
            failures: 0,
        })
    }

    /// The same with other calls.
    #[cfg(test)]
    pub(crate) fn through(self, fetch: Arc<dyn Fetch>) -> Self {
        Self { fetch, ..self }
    }

    /// Polls until there is nothing more; how long to rest then.
    pub(crate) async fn round(&mut self) -> Duration {
        for _ in 0..IN_A_ROW {
            match self.once().await {
                Ok(more) => {
                    self.failures = 0;
                    // What was taken is acknowledged at once, not after the rest.
                    if !more && self.is_answered() {
                        break;
                    }
                }
                Err(reason) => {
                    let now = (self.app.clock)();
                    self.receiver.standing().failed(now, reason.clone());
                    tracing::warn!(receiver = self.receiver.name(), reason, "polling failed");
                    self.failures = self.failures.saturating_add(1);
                    return rest(*self.config.interval, self.failures);
                }
            }
        }
        *self.config.interval
    }

    fn is_answered(&self) -> bool {
        self.answers.ack.is_empty() && self.answers.set_errs.is_empty()
    }

    /// One poll; whether there is more.
    pub(crate) async fn once(&mut self) -> Result<bool, String> {
        let body = serde_json::to_vec(&self.answers).map_err(|error| error.to_string())?;
        let call = Call::post(&*self.config.endpoint, "application/json", body)
            .header("accept", "application/json")
            .header("authorization", &self.authorization)
            .timeout(*self.config.timeout);
        let fetch = Arc::clone(&self.fetch);
        let sent = tokio::task::spawn_blocking(move || fetch.send(&call)).await;
        let sent = sent.map_err(|_| "the call was cut off".to_owned())?;
        let reply = sent.and_then(Reply::ok).map_err(|error| {
            if error == FetchError::TooLong {
                // Fewer at once may fit.
                self.answers.max_events = (self.answers.max_events / 2).max(1);
            }
            error.to_string()
        })?;
        // The transmitter has heard what became of the last ones.
        self.answers.ack.clear();
        self.answers.set_errs = BTreeMap::new();
        let batch = read_batch(&reply, self.config.max_events)?;
        let now = (self.app.clock)();
        self.receiver.standing().polled(now);
        let mut later = None;
        for (id, set) in batch.sets {
            match take(&self.app, &self.receiver, &self.store, &set, now).await {
                SetOutcome::Kept => self.answers.ack.push(id),
                SetOutcome::Refused(err, description) => {
                    let fault = SetFault { err, description };
                    self.answers.set_errs.insert(id, fault);
                }
                // Neither acknowledged nor refused, it comes again; so would the rest fail now.
                SetOutcome::Later(reason) => {
                    later = Some(reason);
                    break;
                }
            }
        }
        match later {
            Some(reason) => Err(reason),
            None => Ok(batch.more),
        }
    }
}

/// The rest after so many failures in a row: twice as long each time, up to a bound, and up to half as
/// long again at random, so that many servers do not call at once.
fn rest(interval: Duration, failures: u32) -> Duration {
    let backoff = Backoff {
        base: interval,
        cap: LONGEST_REST,
        jitter: UP_TO_HALF_MORE,
    };
    backoff.wait(failures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_make_polls_rarer_up_to_a_bound() {
        let interval = Duration::from_secs(30);
        for (failures, least) in [(1, 60), (2, 120), (3, 240), (5, 600), (40, 600)] {
            let least = Duration::from_secs(least);
            let rest = rest(interval, failures);
            assert!(rest >= least && rest <= least.mul_f32(1.5), "{rest:?}");
        }
        let long = Duration::from_secs(3_600);
        assert!(rest(long, 1) >= long);
    }
}
