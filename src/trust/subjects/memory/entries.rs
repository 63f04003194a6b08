//! Records by name, made where they are not there, within the bounds.

use std::collections::BinaryHeap;

use super::subject::Subject;
use super::{Core, Update};
use crate::base::entity_ref::EntityRef;
use crate::base::lock::lock;
use crate::trust::subjects::config::SignalsConfig;
use crate::trust::subjects::record::{Record, User};
use crate::trust::subjects::shard::{Capacity, PARTS};
use crate::trust::subjects::store::{ChangeError, SubjectKind};
use crate::trust::subjects::window::Millis;

/// How often room is made for one user.
const TRIES: usize = 8;
/// Users that one walk through all of them finds to make room.
const FOUND: usize = 256;
/// After a walk that found nobody, none is made for so long: a full store costs no walk for each event.
const WALK_AGAIN: Millis = 1_000;

/// Users that may be forgotten for others, as a walk through all of them found them.
#[derive(Debug, Default)]
pub(super) struct Idle {
    /// The one that was seen longest ago last. Whether more than history would be lost with it, and when it
    /// was seen.
    found: Vec<(bool, Millis, EntityRef)>,
    /// When a walk last found nobody, and whether it looked for those of mere history only.
    nobody: Option<(Millis, bool)>,
}

/// What may be lost with a user that makes room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Losing {
    /// History alone.
    History,
    /// What was said of its account too.
    Account,
}

impl Losing {
    /// Whether a user may make room. A stranger makes none: it is in a room of its own.
    fn may(self, state: &User, now: Millis, config: &SignalsConfig) -> bool {
        !state.stranger
            && match self {
                Self::History => state.only_history(now, config),
                Self::Account => state.idle(now, config),
            }
    }
}

fn longest_ago(
    core: &Core,
    losing: Losing,
    now: Millis,
    config: &SignalsConfig,
) -> Vec<(bool, Millis, EntityRef)> {
    let mut found: BinaryHeap<(bool, Millis, EntityRef)> = BinaryHeap::new();
    for part in 0..PARTS {
        core.users.retain(part, |user, state| {
            if losing.may(state, now, config) {
                let account = !state.only_history(now, config);
                let full = found.len() >= FOUND;
                let sooner = |(other, touched, _): &(bool, Millis, EntityRef)| {
                    (account, state.touched) < (*other, *touched)
                };
                if !full || found.peek().is_some_and(sooner) {
                    if full {
                        found.pop();
                    }
                    found.push((account, state.touched, user.clone()));
                }
            }
            true
        });
    }
    let mut found = found.into_sorted_vec();
    found.reverse();
    found
}

impl Update<'_> {
    pub(super) fn room(&self, most: usize) -> Capacity {
        Capacity { most, by: self.by }
    }

    /// Works on a user, who is made where unknown: for a state or a change. In a full store a user that
    /// nothing is held against makes room, of mere history first.
    pub(super) fn user<R>(
        &mut self,
        user: &EntityRef,
        work: impl FnOnce(&mut User) -> R,
    ) -> Result<R, ChangeError> {
        self.user_losing(user, Losing::Account, work)
    }

    /// Works on a user, who is made where unknown: for a security event. In a full store a user of mere
    /// history makes room.
    pub(super) fn user_of_event<R>(
        &mut self,
        user: &EntityRef,
        work: impl FnOnce(&mut User) -> R,
    ) -> Result<R, ChangeError> {
        self.user_losing(user, Losing::History, work)
    }

    fn user_losing<R>(
        &mut self,
        user: &EntityRef,
        losing: Losing,
        work: impl FnOnce(&mut User) -> R,
    ) -> Result<R, ChangeError> {
        let mut work = Some(work);
        let mut once = |state: &mut User| work.take().map(|work| work(state));
        let mut made = self.try_user(user, &mut once);
        // Others may take the room that was made.
        for _ in 0..TRIES {
            if !matches!(made, Err(ChangeError::Full(_))) || !self.make_room(losing) {
                break;
            }
            made = self.try_user(user, &mut once);
        }
        // INVARIANT: what is made is worked on once.
        made?.ok_or(ChangeError::Full(User::most(self.config)))
    }

    /// Forgets the user that was seen longest ago of those that may be lost.
    fn make_room(&mut self, losing: Losing) -> bool {
        let (now, config, core) = (self.now, self.config, self.core);
        let idle = || lock(&core.idle);
        for looked in [false, true] {
            if looked {
                let found_nobody = |(at, history): (Millis, bool)| {
                    (0..WALK_AGAIN).contains(&now.saturating_sub(at))
                        && (!history || losing == Losing::History)
                };
                if idle().nobody.is_some_and(found_nobody) {
                    return false;
                }
                let found = longest_ago(core, losing, now, config);
                let nobody = found.is_empty().then_some((now, losing == Losing::History));
                *idle() = Idle { found, nobody };
            }
            loop {
                let next = idle().found.pop();
                let Some((account, touched, user)) = next else {
                    break;
                };
                if account && losing == Losing::History {
                    // For whoever may lose it.
                    idle().found.push((account, touched, user));
                    break;
                }
                let still =
                    |state: &User| state.touched == touched && losing.may(state, now, config);
                let Some(mut state) = core.users.remove_if(&user, still) else {
                    continue;
                };
                core.forget_record(&mut *state);
                self.touched.insert(SubjectKind::User(user));
                return true;
            }
        }
        false
    }

    /// Works on a user, who is made where there is room, or one of whom only strangers know makes some.
    fn try_user<R>(
        &mut self,
        user: &EntityRef,
        work: impl FnOnce(&mut User) -> R,
    ) -> Result<R, ChangeError> {
        let (now, config) = (self.now, self.config);
        let most = User::most(config);
        let room = self.room(most.saturating_add(self.core.strangers.len()));
        let spare = |state: &User| !state.stranger && state.spare(now, config);
        self.make_record(user.clone(), room, most, spare, |state: &mut User| {
            // Something was said of it: it is a stranger no more.
            state.stranger = false;
            work(state)
        })
    }

    /// Works on the record of a session, a device or an address, which is made where it is not there.
    pub(super) fn record<S: Subject, R>(
        &mut self,
        key: impl Into<S::Key>,
        work: impl FnOnce(&mut S) -> R,
    ) -> Result<R, ChangeError> {
        let (now, config) = (self.now, self.config);
        let most = S::most(config);
        let spare = |state: &S| state.spare(now, config);
        self.make_record(key.into(), self.room(most), most, spare, work)
    }

    fn make_record<S: Subject, R>(
        &mut self,
        key: S::Key,
        room: Capacity,
        most: usize,
        spare: impl Fn(&S) -> bool,
        work: impl FnOnce(&mut S) -> R,
    ) -> Result<R, ChangeError> {
        let (core, mut gone) = (self.core, Vec::new());
        let records = S::records(core);
        let made = records.with_or_make(&key, room, spare, &mut gone, work);
        for (key, mut state) in gone {
            core.forget_record(&mut *state);
            self.touched.insert(S::subject(&key));
        }
        if made.is_some() {
            self.touched.insert(S::subject(&key));
        }
        made.ok_or_else(|| match records.fills_its_share(room) {
            true => ChangeError::Share(most),
            false => ChangeError::Full(most),
        })
    }

    /// Works on a user who is there.
    pub(super) fn known_user(&mut self, user: &EntityRef, work: impl FnOnce(&mut User)) {
        if self.core.users.with(user, work).is_some() {
            self.touched.insert(SubjectKind::User(user.clone()));
        }
    }
}
