//! How a receiver fares: what became of its tokens, and what was heard last.

use std::sync::Mutex;

use serde_json::{Map, Value, json};

use crate::base::counts::Counts;
use crate::base::lock::lock;
use crate::base::timestamp::Timestamp;
use crate::base::words::words;

words! {
    /// The result of a token or of an event in it.
    pub(crate) enum SetResult by name {
        /// An event was stored.
        Accepted = "accepted",
        /// It was stored before.
        Duplicate = "duplicate",
        /// The store did not take it, such as one that is too old.
        Refused = "refused",
        /// It is understood and changes nothing, or is of an unknown type.
        Ignored = "ignored",
        /// It is about somebody who is not mapped.
        Unmapped = "unmapped",
        /// It is not a token as it should be.
        InvalidRequest = "invalid_request",
        /// Its key, algorithm or signature is not right.
        InvalidKey = "invalid_key",
        /// Another issuer made it.
        InvalidIssuer = "invalid_issuer",
        /// It is meant for others.
        InvalidAudience = "invalid_audience",
        /// The transmitter did not show what it was to show.
        AuthenticationFailed = "authentication_failed",
        /// It could not be verified or stored at present.
        Unavailable = "unavailable",
    }
}

impl SetResult {
    /// That of a code of RFC 8935; none is a fault that will pass.
    pub(crate) fn of_code(code: Option<&str>) -> Self {
        let mut all = Self::ALL.into_iter();
        let known = code.and_then(|code| all.find(|tally| tally.name() == code));
        known.unwrap_or(Self::Unavailable)
    }
}

/// What is known of one receiver since the start.
#[derive(Debug, Default)]
pub(crate) struct ReceiverStatus {
    /// Tokens and events by their results.
    pub(crate) counts: Counts<SetResult>,
    last: Mutex<Last>,
}

/// What was heard last, and when.
#[derive(Debug, Default, Clone)]
struct Last {
    token: Option<Timestamp>,
    poll: Option<Timestamp>,
    error: Option<(Timestamp, String)>,
    verification: Option<(Timestamp, Option<String>)>,
    stream: Option<(Timestamp, String, Option<String>)>,
}

impl ReceiverStatus {
    /// A token was taken.
    pub(crate) fn heard(&self, now: Timestamp) {
        self.last().token = Some(now);
    }

    /// A poll was answered.
    pub(crate) fn polled(&self, now: Timestamp) {
        self.last().poll = Some(now);
    }

    /// Something failed, and why.
    pub(crate) fn failed(&self, now: Timestamp, why: impl Into<String>) {
        self.last().error = Some((now, why.into()));
    }

    /// The transmitter has shown that the stream works.
    pub(super) fn verified(&self, now: Timestamp, state: Option<String>) {
        self.last().verification = Some((now, state));
    }

    /// The transmitter has said how the stream is.
    pub(super) fn stream(&self, now: Timestamp, status: String, reason: Option<String>) {
        self.last().stream = Some((now, status, reason));
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Last> {
        lock(&self.last)
    }

    /// All of it.
    pub(crate) fn to_json(&self) -> Value {
        let last = self.last().clone();
        let counts: Map<String, Value> = self
            .counts
            .named()
            .map(|(name, count)| (name.to_owned(), count.into()))
            .collect();
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
        json!({
            "counts": counts,
            "lastToken": time(last.token),
            "lastPoll": time(last.poll),
            "lastError": last.error.map(|(at, why)| json!({"at": at.to_string(), "detail": why})),
            "verification": last.verification
                .map(|(at, state)| json!({"at": at.to_string(), "state": state})),
            "stream": last.stream.map(|(at, status, reason)| {
                json!({"at": at.to_string(), "status": status, "reason": reason})
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tally_has_its_place_and_codes_find_theirs() {
        for (place, tally) in SetResult::ALL.into_iter().enumerate() {
            assert_eq!(tally as usize, place);
            assert_eq!(SetResult::of_code(Some(tally.name())), tally);
        }
        assert_eq!(SetResult::of_code(None), SetResult::Unavailable);
        let standing = ReceiverStatus::default();
        standing.counts.add(SetResult::InvalidKey);
        assert_eq!(standing.counts.of(SetResult::InvalidKey), 1);
        assert_eq!(standing.to_json()["counts"]["invalid_key"], 1);
    }
}
