//! One try after the other, by a thread for each webhook: a slow receiver holds up no other.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::cloudevent::MEDIA_TYPE;
use super::hook::{Disabled, Hook};
use super::queue::{Delivery, Next};
use super::sign::signatures;
use super::stats::DeliveryResult;
use crate::base::timestamp::Timestamp;
use crate::service::net::backoff;
use crate::service::net::fetch::{Call, FetchError, Reply};

/// Longest wait that a receiver may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(24 * 3_600);
/// Longest rest between two looks at the clock, which may be set.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tried {
    /// The receiver has it.
    Taken(u16),
    /// The receiver wants nothing more, ever.
    Gone,
    /// It may be tried again, perhaps not before a time.
    Failed {
        status: Option<u16>,
        error: String,
        asked: Option<Duration>,
    },
}

/// Delivers until there is nothing to deliver to, or nobody who delivers.
pub(crate) fn run(shared: &Shared, hook: &Arc<Hook>) {
    loop {
        let now = (shared.clock)();
        match hook.lane.next(now) {
            Next::Try(delivery) => attempt(shared, hook, *delivery),
            Next::Wait(until, version) => {
                let millis = until.map(|until| until.saturating_sub(now.as_millis()).max(1));
                let time = millis.and_then(|millis| u64::try_from(millis).ok());
                let time = time.map_or(LONGEST_REST, Duration::from_millis);
                hook.lane.rest(version, time.min(LONGEST_REST));
            }
            Next::End => return,
        }
    }
}

/// One try, and what follows from it.
pub(crate) fn attempt(shared: &Shared, hook: &Hook, delivery: Delivery) {
    let tried = send(shared, hook, &delivery.id, &delivery.body);
    let now = (shared.clock)();
    match tried {
        Tried::Taken(status) => {
            hook.stats.tried(now, Some(status), None);
            shared.count(hook, DeliveryResult::Delivered, 1);
            shared.forget(vec![delivery.number]);
            let _ = hook.lane.settle(None);
        }
        Tried::Gone => {
            let reason = "the receiver answered 410";
            failed(shared, hook, now, Some(410), reason);
            tracing::warn!(webhook = hook.name, "disabled: {reason}");
            shared.disable(
                hook,
                Some(Disabled {
                    reason: reason.to_owned(),
                    at: now.as_millis(),
                }),
            );
            let _ = hook.lane.settle(None);
            let mut letters = vec![noted(delivery, Some(410), reason)];
            let rest = hook.lane.drain();
            letters.extend(rest.into_iter().map(|delivery| Delivery {
                last_error: Some(reason.to_owned()),
                ..delivery
            }));
            shared.bury(hook, letters);
        }
        Tried::Failed {
            status,
            error,
            asked,
        } => {
            failed(shared, hook, now, status, &error);
            let delivery = noted(delivery, status, &error);
            match next_wait(shared, &delivery, asked) {
                Some(wait) => again(shared, hook, delivery, now, wait, asked),
                None => {
                    let (webhook, id) = (&hook.name, &delivery.id);
                    tracing::error!(webhook, id, error, "given up after the last try");
                    let _ = hook.lane.settle(None);
                    shared.bury(hook, vec![delivery]);
                }
            }
        }
    }
}

fn failed(shared: &Shared, hook: &Hook, now: Timestamp, status: Option<u16>, error: &str) {
    hook.stats.tried(now, status, Some(error));
    shared.count(hook, DeliveryResult::Failed, 1);
    tracing::warn!(webhook = hook.name, status, error, "not delivered");
}

fn noted(mut delivery: Delivery, status: Option<u16>, error: &str) -> Delivery {
    delivery.attempts = delivery.attempts.saturating_add(1);
    delivery.last_status = status;
    delivery.last_error = Some(error.to_owned());
    delivery
}

/// The wait before the next try: as planned, or longer where the receiver asks for it.
fn next_wait(shared: &Shared, delivery: &Delivery, asked: Option<Duration>) -> Option<Duration> {
    let tries = usize::try_from(delivery.attempts).unwrap_or(usize::MAX);
    let planned = shared.config.retries.get(tries)?;
    Some((shared.jitter)(**planned).max(asked.unwrap_or_default()))
}

fn again(
    shared: &Shared,
    hook: &Hook,
    mut delivery: Delivery,
    now: Timestamp,
    wait: Duration,
    asked: Option<Duration>,
) {
    delivery.due = now.as_millis().saturating_add(millis(wait));
    if let Some(asked) = asked {
        // Whoever has too much to do has too much for the others too.
        let until = now.as_millis().saturating_add(millis(asked));
        hook.lane.pause(Timestamp::from_millis(until));
    }
    // If it cannot be kept, a restart tries it too often rather than not at all.
    shared.keep(std::slice::from_ref(&delivery));
    if let Err(delivery) = hook.lane.settle(Some(delivery)) {
        shared.forget(vec![delivery.number]);
    }
}

/// Sends one message now.
pub(crate) fn send(shared: &Shared, hook: &Hook, id: &str, body: &str) -> Tried {
    let now = (shared.clock)();
    let error = |error: String| Tried::Failed {
        status: None,
        error,
        asked: None,
    };
    let keys = match hook.keys(now) {
        Ok(keys) => keys,
        Err(message) => return error(message),
    };
    let seconds = now.as_millis().div_euclid(1_000);
    let settings = hook.settings.load();
    let call = Call::post(settings.url.as_str(), MEDIA_TYPE, body.as_bytes().to_vec())
        .header("webhook-id", id)
        .header("webhook-timestamp", &seconds.to_string())
        .header(
            "webhook-signature",
            &signatures(&keys, id, seconds, body.as_bytes()),
        )
        .timeout(*shared.config.timeout);
    let fetch = if settings.allow_private {
        &shared.private
    } else {
        &shared.public
    };
    match fetch.send(&call) {
        Ok(reply) => judged(&reply, (shared.clock)()),
        // The address stands in the registration; an error need not repeat it.
        Err(FetchError::Address(_)) => error("the address is not called".to_owned()),
        Err(failed) => error(failed.to_string()),
    }
}

/// What a reply means.
fn judged(reply: &Reply, now: Timestamp) -> Tried {
    match reply.status {
        status @ 200..300 => Tried::Taken(status),
        410 => Tried::Gone,
        status => Tried::Failed {
            status: Some(status),
            error: match status {
                300..400 => format!("status {status}: redirects are not followed"),
                _ => format!("status {status}"),
            },
            asked: match status {
                429 | 503 => retry_after(reply, now),
                _ => None,
            },
        },
    }
}

/// `Retry-After` (RFC 9110 section 10.2.3), in either form and within bounds.
fn retry_after(reply: &Reply, now: Timestamp) -> Option<Duration> {
    let text = reply.header("retry-after")?.trim();
    let asked = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = chrono::DateTime::parse_from_rfc2822(text).ok()?;
            let millis = date.timestamp_millis().saturating_sub(now.as_millis());
            Duration::from_millis(u64::try_from(millis).unwrap_or(0))
        }
    };
    Some(asked.min(LONGEST_ASKED))
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Between a time and a fifth more, so that many deliveries do not come back at once.
pub(crate) fn jittered(time: Duration) -> Duration {
    backoff::jittered(time, (1.0, 1.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, retry_after: Option<&str>) -> Reply {
        let header = |value: &str| ("retry-after".to_owned(), value.to_owned());
        Reply {
            status,
            headers: retry_after.map(header).into_iter().collect(),
            body: Vec::new(),
        }
    }

    #[track_caller]
    fn asks(status: u16, header: &str, expect: Option<u64>) {
        let now = Timestamp::from_millis(1_445_412_400_000);
        let Tried::Failed { asked, .. } = judged(&reply(status, Some(header)), now) else {
            panic!("{status} is a failure");
        };
        assert_eq!(asked, expect.map(Duration::from_secs), "{header}");
    }

    #[test]
    fn a_receiver_may_ask_for_a_wait_within_bounds() {
        asks(429, "120", Some(120));
        asks(503, " 7 ", Some(7));
        asks(503, "99999999999", Some(24 * 3_600));
        asks(503, "Wed, 21 Oct 2015 07:28:00 GMT", Some(80));
        asks(503, "Wed, 21 Oct 2015 07:00:00 GMT", Some(0));
        asks(429, "soon", None);
        asks(429, "-5", None);
        asks(500, "120", None);
    }

    #[test]
    fn replies_are_told_apart() {
        let now = Timestamp::from_millis(0);
        for status in [200, 201, 204, 299] {
            assert_eq!(judged(&reply(status, None), now), Tried::Taken(status));
        }
        assert_eq!(judged(&reply(410, None), now), Tried::Gone);
        for status in [301, 307, 400, 401, 404, 429, 500, 503] {
            let tried = judged(&reply(status, None), now);
            assert!(matches!(tried, Tried::Failed { status: Some(s), .. } if s == status));
        }
    }

    #[test]
    fn jitter_adds_a_fifth_at_most() {
        let time = Duration::from_secs(300);
        for _ in 0..100 {
            let jittered = jittered(time);
            assert!((time..=time * 6 / 5).contains(&jittered), "{jittered:?}");
        }
        assert_eq!(jittered(Duration::ZERO), Duration::ZERO);
    }
}
