//! What waits to be delivered to one webhook: by when it is due, bounded.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::base::lock::lock;
use crate::base::timestamp::Timestamp;

/// A delivery that is due later than any schedule says was planned by a clock that went wrong.
const LONGEST_WAIT: i64 = 8 * 24 * 3_600_000;

/// One event on its way to one webhook, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Delivery {
    /// By what it is kept; the order in which it came.
    #[serde(skip)]
    pub(crate) number: u64,
    /// The webhook's name.
    pub(crate) webhook: String,
    /// `webhook-id`, the same at every try.
    pub(crate) id: String,
    /// The event's type without its prefix.
    pub(crate) event: String,
    /// What is signed and sent.
    pub(crate) body: String,
    /// When it came, in milliseconds since the Unix epoch.
    pub(crate) created: i64,
    /// Tries that failed.
    pub(crate) attempts: u32,
    /// When it is due.
    pub(crate) due: i64,
    /// What the last try was answered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_status: Option<u16>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_error: Option<String>,
    /// When it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) died: Option<i64>,
}

impl Delivery {
    /// As it is kept.
    pub(crate) fn kept(&self) -> (u64, String) {
        // Strings and numbers always have a JSON form.
        (self.number, serde_json::to_string(self).unwrap_or_default())
    }

    /// From what was kept.
    pub(crate) fn read(number: u64, json: &str) -> Result<Self, serde_json::Error> {
        let read: Self = serde_json::from_str(json)?;
        Ok(Self { number, ..read })
    }

    /// As it stands in answers: without the body.
    pub(crate) fn to_json(&self) -> Value {
        let time = |millis: i64| Timestamp::from_millis(millis).to_string();
        json!({
            "id": self.id,
            "webhook": self.webhook,
            "event": self.event,
            "created": time(self.created),
            "attempts": self.attempts,
            "died": self.died.map(time),
            "lastStatus": self.last_status,
            "lastError": self.last_error,
        })
    }
}

/// The queue of one webhook.
#[derive(Debug)]
pub(crate) struct DeliveryQueue {
    inner: Mutex<Inner>,
    changed: Condvar,
    most: usize,
}

#[derive(Debug, Default)]
struct Inner {
    /// By when it is due, then by number.
    waiting: BTreeMap<(i64, u64), Delivery>,
    /// Places that are spoken for.
    reserved: usize,
    /// Deliveries that are being tried.
    under_way: usize,
    /// Nothing is due before.
    paused: i64,
    /// Raised by whatever may end a wait.
    version: u64,
    end: End,
}

#[derive(Debug, Default, Clone, Copy)]
enum End {
    #[default]
    Open,
    /// What is due is still tried until then.
    Finishing(Instant),
    /// The webhook is no more.
    Removed,
}

/// What there is to do.
#[derive(Debug)]
pub(crate) enum Next {
    /// Try this.
    Try(Box<Delivery>),
    /// Nothing until then, or until the version is another one.
    Wait(Option<i64>, u64),
    /// Nothing ever again.
    End,
}

impl DeliveryQueue {
    /// With places for so many deliveries.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            inner: Mutex::default(),
            changed: Condvar::new(),
            most: most.max(1),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Takes a place for one more, if there is any.
    pub(crate) fn reserve(&self) -> bool {
        let mut inner = self.lock();
        let free = inner.len() < self.most;
        if free {
            inner.reserved += 1;
        }
        free
    }

    /// Gives a reserved place back.
    pub(crate) fn release(&self) {
        let mut inner = self.lock();
        inner.reserved = inner.reserved.saturating_sub(1);
    }

    /// Puts a delivery into a place that was reserved; gives it back where the webhook is no more.
    pub(crate) fn push(&self, delivery: Delivery) -> Result<(), Box<Delivery>> {
        let mut inner = self.lock();
        inner.reserved = inner.reserved.saturating_sub(1);
        inner.put(delivery)?;
        drop(inner);
        self.changed.notify_all();
        Ok(())
    }

    /// Puts in what was kept before, however much it is.
    pub(crate) fn restore(&self, delivery: Delivery) {
        // It fails only for a webhook that is no more, and this one begins.
        let _ = self.lock().put(delivery);
    }

    /// The next thing to do.
    pub(crate) fn next(&self, now: Timestamp) -> Next {
        let mut inner = self.lock();
        let (now, paused) = (now.as_millis(), inner.paused);
        match inner.end {
            End::Open => {}
            End::Finishing(until) if Instant::now() < until => {}
            End::Finishing(_) | End::Removed => return Next::End,
        }
        let version = inner.version;
        let Some(first) = inner.waiting.first_entry() else {
            return inner.idle(None, version);
        };
        let due = first.key().0.max(paused);
        if due > now && due <= now.saturating_add(LONGEST_WAIT) {
            return inner.idle(Some(due), version);
        }
        let delivery = first.remove();
        inner.under_way += 1;
        Next::Try(Box::new(delivery))
    }

    /// Waits for a while, or until something changes.
    pub(crate) fn rest(&self, version: u64, time: Duration) {
        let inner = self.lock();
        let same = |inner: &mut Inner| inner.version == version;
        drop(self.changed.wait_timeout_while(inner, time, same));
    }

    /// A try has ended; `again` is what is to be tried later. Gives that back where the webhook is no
    /// more.
    pub(crate) fn settle(&self, again: Option<Delivery>) -> Result<(), Box<Delivery>> {
        let mut inner = self.lock();
        inner.under_way = inner.under_way.saturating_sub(1);
        match again {
            Some(delivery) => inner.put(delivery),
            None => Ok(()),
        }
    }

    /// Lets nothing be due before.
    pub(crate) fn pause(&self, until: Timestamp) {
        let mut inner = self.lock();
        inner.paused = inner.paused.max(until.as_millis());
    }

    /// Makes everything due now.
    pub(crate) fn hurry(&self, now: Timestamp) {
        let mut inner = self.lock();
        inner.paused = 0;
        let all = std::mem::take(&mut inner.waiting);
        for (_, delivery) in all {
            let due = now.as_millis();
            inner
                .waiting
                .insert((due, delivery.number), Delivery { due, ..delivery });
        }
        inner.version += 1;
        drop(inner);
        self.changed.notify_all();
    }

    /// Takes everything that waits.
    pub(crate) fn drain(&self) -> Vec<Delivery> {
        let mut inner = self.lock();
        std::mem::take(&mut inner.waiting).into_values().collect()
    }

    /// How many deliveries there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Ends: what is due is still tried until then.
    pub(crate) fn finish(&self, until: Instant) {
        self.end(End::Finishing(until));
    }

    /// Ends at once, with the webhook.
    pub(crate) fn remove(&self) {
        self.end(End::Removed);
    }

    fn end(&self, end: End) {
        let mut inner = self.lock();
        inner.end = end;
        inner.version += 1;
        drop(inner);
        self.changed.notify_all();
    }
}

impl Inner {
    fn len(&self) -> usize {
        self.waiting.len() + self.reserved + self.under_way
    }

    fn put(&mut self, delivery: Delivery) -> Result<(), Box<Delivery>> {
        if matches!(self.end, End::Removed) {
            return Err(Box::new(delivery));
        }
        self.waiting
            .insert((delivery.due, delivery.number), delivery);
        self.version += 1;
        Ok(())
    }

    /// Nothing is due: a lane that finishes does not wait for it.
    fn idle(&self, due: Option<i64>, version: u64) -> Next {
        match self.end {
            End::Open => Next::Wait(due, version),
            End::Finishing(_) | End::Removed => Next::End,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn delivery(number: u64, due: i64) -> Delivery {
        Delivery {
            number,
            webhook: "a".to_owned(),
            id: format!("msg_{number}"),
            event: "test".to_owned(),
            body: "{}".to_owned(),
            created: 0,
            attempts: 0,
            due,
            last_status: None,
            last_error: None,
            died: None,
        }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[track_caller]
    fn tried(lane: &DeliveryQueue, now: i64) -> u64 {
        match lane.next(at(now)) {
            Next::Try(delivery) => delivery.number,
            other => panic!("{other:?}"),
        }
    }

    fn put(lane: &DeliveryQueue, number: u64, due: i64) {
        assert!(lane.reserve());
        lane.push(delivery(number, due)).unwrap();
    }

    #[test]
    fn what_is_due_first_comes_first() {
        let lane = DeliveryQueue::new(10);
        put(&lane, 1, 300);
        put(&lane, 2, 100);
        put(&lane, 3, 100);
        assert!(matches!(lane.next(at(99)), Next::Wait(Some(100), _)));
        assert_eq!(tried(&lane, 100), 2);
        assert_eq!(tried(&lane, 100), 3);
        assert!(matches!(lane.next(at(100)), Next::Wait(Some(300), _)));
        lane.pause(at(500));
        assert!(matches!(lane.next(at(400)), Next::Wait(Some(500), _)));
        assert_eq!(tried(&lane, 500), 1);
    }

    #[test]
    fn places_are_bounded() {
        let lane = DeliveryQueue::new(2);
        put(&lane, 1, 0);
        assert!(lane.reserve() && !lane.reserve());
        lane.push(delivery(2, 0)).unwrap();
        // What is being tried holds its place.
        assert_eq!(tried(&lane, 0), 1);
        assert!(!lane.reserve());
        lane.settle(None).unwrap();
        assert!(lane.reserve());
    }

    #[test]
    fn a_clock_that_went_back_holds_nothing_up() {
        let lane = DeliveryQueue::new(2);
        put(&lane, 1, LONGEST_WAIT + 1);
        assert_eq!(tried(&lane, 0), 1);
    }

    #[test]
    fn an_end_tries_what_is_due_and_a_removal_nothing() {
        let lane = DeliveryQueue::new(9);
        put(&lane, 1, 0);
        put(&lane, 2, 1_000);
        lane.finish(Instant::now() + Duration::from_secs(60));
        assert_eq!(tried(&lane, 0), 1);
        assert!(matches!(lane.next(at(0)), Next::End));
        assert_eq!(lane.drain().len(), 1);
        lane.remove();
        assert!(lane.settle(Some(delivery(1, 0))).is_err());
        assert!(lane.reserve() && lane.push(delivery(3, 0)).is_err());
    }

    #[test]
    fn a_push_ends_a_wait() {
        let lane = std::sync::Arc::new(DeliveryQueue::new(9));
        let Next::Wait(None, version) = lane.next(at(0)) else {
            panic!("nothing is there");
        };
        let other = std::sync::Arc::clone(&lane);
        let thread = std::thread::spawn(move || other.rest(version, Duration::from_secs(60)));
        put(&lane, 1, 0);
        thread.join().unwrap();
    }

    #[test]
    fn a_delivery_is_read_back() {
        let whole = Delivery {
            last_status: Some(500),
            last_error: Some("x".to_owned()),
            died: Some(7),
            ..delivery(4, 5)
        };
        let (number, json) = whole.kept();
        assert_eq!(Delivery::read(number, &json).unwrap(), whole);
        assert!(whole.to_json().get("body").is_none());
    }
}
