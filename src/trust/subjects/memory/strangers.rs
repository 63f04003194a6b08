//! The room of strangers: users of whom only decisions are known, and who are neither stored entities nor of
//! a verified token.
//!
//! What enters: a user that a decision named. What leaves: the one to forget for it, about the one that was
//! seen longest ago. What must hold: as many as there is room for, so that whoever may decide about anybody
//! takes no room from security events.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Core;
use crate::base::entity_ref::EntityRef;
use crate::base::lock::lock;
use crate::trust::subjects::record::User;
use crate::trust::subjects::store::SubjectKind;
use crate::trust::subjects::window::Millis;

/// Strangers that are looked at to find one that was not seen since.
const LOOKED_AT: usize = 8;

/// The strangers in the order in which they were made or last looked at, each with when it was seen then.
#[derive(Debug, Default)]
pub(crate) struct Strangers {
    queue: Mutex<VecDeque<(Millis, EntityRef)>>,
    count: AtomicUsize,
}

impl Strangers {
    /// How many there are. One that is a stranger no more may still be counted.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn with<R>(&self, work: impl FnOnce(&mut VecDeque<(Millis, EntityRef)>) -> R) -> R {
        let mut queue = lock(&self.queue);
        let result = work(&mut queue);
        self.count.store(queue.len(), Ordering::Relaxed);
        result
    }

    /// Takes a stranger in.
    pub(crate) fn add(&self, user: EntityRef, seen: Millis) {
        self.with(|queue| queue.push_back((seen, user)));
    }

    fn first(&self) -> Option<(Millis, EntityRef)> {
        self.with(VecDeque::pop_front)
    }
}

impl Core {
    /// Makes room for one more stranger; whether there is some. Those that have to make room are forgotten.
    pub(super) fn room_for_stranger(&self, most: usize) -> bool {
        if most == 0 {
            return false;
        }
        let mut looked = 0;
        while self.strangers.len() >= most {
            let Some((seen, user)) = self.strangers.first() else {
                return true;
            };
            let now = self
                .users
                .with(&user, |state| state.stranger.then_some(state.touched));
            let Some(touched) = now.flatten() else {
                continue;
            };
            looked += 1;
            if touched > seen && looked < LOOKED_AT {
                self.strangers.add(user, touched);
                continue;
            }
            let stranger = |state: &User| state.stranger;
            if let Some(mut state) = self.users.remove_if(&user, stranger) {
                self.forget_record(&mut *state);
                self.mark([SubjectKind::User(user)]);
            }
        }
        true
    }
}
