//! Notices on their way in: a short queue in memory, and the thread that has them stored.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::Shared;
use super::cloudevent::{Message, message};
use super::hook::Hook;
use super::queue::Delivery;
use super::stats::DeliveryResult;
use crate::base::lock::{lock, unpoisoned};
use crate::trust::subjects::Notification;

/// Notices that may wait to be stored.
const MOST: usize = 4_096;
/// Notices that are stored together.
const TOGETHER: usize = 256;

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    notices: VecDeque<Notification>,
    closed: bool,
}

impl Intake {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Takes a notice, if there is room.
    pub(crate) fn push(&self, notice: Notification) -> bool {
        let mut inner = self.lock();
        if inner.closed || inner.notices.len() >= MOST {
            return false;
        }
        inner.notices.push_back(notice);
        drop(inner);
        self.changed.notify_one();
        true
    }

    /// Takes no more; what is there is still stored.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// The next notices; none at the end.
    fn next(&self) -> Vec<Notification> {
        let empty = |inner: &mut Inner| inner.notices.is_empty() && !inner.closed;
        let waited = self.changed.wait_while(self.lock(), empty);
        let mut inner = unpoisoned(waited);
        let many = inner.notices.len().min(TOGETHER);
        inner.notices.drain(..many).collect()
    }
}

/// Has notices stored until there will be no more.
pub(crate) fn run(shared: &Shared) {
    loop {
        let notices = shared.intake.next();
        if notices.is_empty() {
            return;
        }
        accept(shared, &notices);
    }
}

/// Makes deliveries of notices, one for each webhook that wants it, and stores them before they are
/// due. What cannot be stored is logged, and delivered all the same. What finds no place in a webhook's
/// queue becomes a dead letter.
pub(crate) fn accept(shared: &Shared, notices: &[Notification]) {
    let hooks = shared.hooks();
    let mut queued: Vec<(&Arc<Hook>, Delivery)> = Vec::new();
    let mut over: Vec<(&Arc<Hook>, Delivery)> = Vec::new();
    for notice in notices {
        let mut made: Option<Message> = None;
        let name = super::cloudevent::name(notice);
        for hook in hooks
            .values()
            .filter(|hook| hook.wants(&name, notice.severity))
        {
            if hook.disabled().is_some() {
                shared.count(hook, DeliveryResult::Skipped, 1);
                continue;
            }
            let message = made.get_or_insert_with(|| message(notice, &shared.config.source));
            let delivery = delivery(shared, hook, message);
            if hook.lane.reserve() {
                queued.push((hook, delivery));
            } else {
                over.push((hook, delivery));
            }
        }
    }
    let deliveries: Vec<Delivery> = queued
        .iter()
        .map(|(_, delivery)| delivery.clone())
        .collect();
    if !deliveries.is_empty() {
        shared.keep(&deliveries);
    }
    for (hook, delivery) in queued {
        if let Err(delivery) = hook.lane.push(delivery) {
            // The webhook was removed meanwhile.
            shared.forget(vec![delivery.number]);
        }
    }
    for (hook, delivery) in over {
        tracing::error!(webhook = hook.name, "the queue is full");
        let letter = Delivery {
            last_error: Some("the queue was full".to_owned()),
            ..delivery
        };
        shared.bury(hook, vec![letter]);
    }
}

fn delivery(shared: &Shared, hook: &Hook, message: &Message) -> Delivery {
    let now = (shared.clock)().as_millis();
    let wait = shared.config.retries.first().copied().unwrap_or_default();
    Delivery {
        number: shared.next_number(),
        webhook: hook.name.clone(),
        id: message.id.clone(),
        event: message.name.clone(),
        body: message.body.clone(),
        created: now,
        attempts: 0,
        due: now.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)),
        last_status: None,
        last_error: None,
        died: None,
    }
}
