//! Records by name, made where they are not there, within the bounds.

use std::collections::BinaryHeap;
use std::sync::PoisonError;

use super::super::record::{DeviceState, SessionState, User};
use super::super::shard::PARTS;
use super::super::store::{ChangeError, SubjectKind};
use super::super::window::Millis;
use super::{Core, SignalsConfig, Work};
use crate::request::EntityRef;

/// How often room is made for one user.
const TRIES: usize = 8;
/// Users that one walk through all of them finds to make room.
const FOUND: usize = 256;

/// Users that may be forgotten for others, the one that was seen longest ago last.
pub(super) type Idle = Vec<(Millis, EntityRef)>;

fn longest_ago(core: &Core, now: Millis, config: &SignalsConfig) -> Idle {
    let mut found: BinaryHeap<(Millis, EntityRef)> = BinaryHeap::new();
    for part in 0..PARTS {
        core.users.retain(part, |user, state| {
            let full = found.len() >= FOUND;
            let sooner = |(touched, _): &(Millis, EntityRef)| state.touched < *touched;
            if (!full || found.peek().is_some_and(sooner)) && state.idle(now, config) {
                if full {
                    found.pop();
                }
                found.push((state.touched, user.clone()));
            }
            true
        });
    }
    let mut found = found.into_sorted_vec();
    found.reverse();
    found
}

impl Work<'_> {
    /// Works on a user, who is made where unknown: for a state or a change. Where only users are left of
    /// whom more is known than what strangers did, one that nothing is held against makes room.
    pub(super) fn user<R>(
        &mut self,
        user: &EntityRef,
        work: impl FnOnce(&mut User) -> R,
    ) -> Result<R, ChangeError> {
        let mut work = Some(work);
        let mut once = |state: &mut User| work.take().map(|work| work(state));
        let mut made = self.user_of_event(user, &mut once);
        // Others may take the room that was made.
        for _ in 0..TRIES {
            if made.is_ok() || !self.make_room() {
                break;
            }
            made = self.user_of_event(user, &mut once);
        }
        // INVARIANT: what is made is worked on once.
        let most = usize::try_from(self.config.bounds.max_subjects).unwrap_or(usize::MAX);
        made?.ok_or(ChangeError::Full(most))
    }

    /// Forgets the user that was seen longest ago of those that nothing is held against.
    fn make_room(&mut self) -> bool {
        let (now, config, core) = (self.now, self.config, self.core);
        for looked in [false, true] {
            if looked {
                let found = longest_ago(core, now, config);
                *core.idle.lock().unwrap_or_else(PoisonError::into_inner) = found;
            }
            loop {
                let next = core
                    .idle
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .pop();
                let Some((touched, user)) = next else {
                    break;
                };
                let still = |state: &User| state.touched == touched && state.idle(now, config);
                let Some(mut state) = core.users.remove_if(&user, still) else {
                    continue;
                };
                let events: Vec<_> = state.events().map(|kept| kept.clone()).collect();
                core.forget_events(events);
                self.touched.insert(SubjectKind::User(user));
                return true;
            }
        }
        false
    }

    /// Works on a user, who is made where unknown: for a security event, for which only users make room
    /// that strangers named.
    pub(super) fn user_of_event<R>(
        &mut self,
        user: &EntityRef,
        work: impl FnOnce(&mut User) -> R,
    ) -> Result<R, ChangeError> {
        let (now, config) = (self.now, self.config);
        let most = usize::try_from(config.bounds.max_subjects).unwrap_or(usize::MAX);
        let mut gone = Vec::new();
        let spare = |state: &User| state.spare(now, config);
        let made = self
            .core
            .users
            .with_or_make(user, most, spare, &mut gone, work);
        for (user, mut state) in gone {
            let events: Vec<_> = state.events().map(|kept| kept.clone()).collect();
            self.core.forget_events(events);
            self.touched.insert(SubjectKind::User(user));
        }
        self.touched.insert(SubjectKind::User(user.clone()));
        made.ok_or(ChangeError::Full(most))
    }

    /// Works on a session, which is made where unknown.
    pub(super) fn session<R>(
        &mut self,
        session: &str,
        most: usize,
        work: impl FnOnce(&mut SessionState) -> R,
    ) -> Result<R, ChangeError> {
        let (now, config) = (self.now, self.config);
        let mut gone = Vec::new();
        let spare = |state: &SessionState| state.spare(now, config);
        let key = session.into();
        let made = self
            .core
            .sessions
            .with_or_make(&key, most, spare, &mut gone, work);
        for (session, mut state) in gone {
            let events: Vec<_> = state.events().map(|kept| kept.clone()).collect();
            self.core.forget_events(events);
            self.touched.insert(SubjectKind::Session(session.into()));
        }
        self.touched
            .insert(SubjectKind::Session(session.to_owned()));
        made.ok_or(ChangeError::Full(most))
    }

    /// Works on a device, which is made where unknown.
    pub(super) fn device<R>(
        &mut self,
        device: &str,
        most: usize,
        work: impl FnOnce(&mut DeviceState) -> R,
    ) -> Result<R, ChangeError> {
        let (now, config) = (self.now, self.config);
        let mut gone = Vec::new();
        let spare = |state: &DeviceState| state.spare(now, config);
        let key = device.into();
        let made = self
            .core
            .devices
            .with_or_make(&key, most, spare, &mut gone, work);
        for (device, mut state) in gone {
            let events: Vec<_> = state.events().map(|kept| kept.clone()).collect();
            self.core.forget_events(events);
            self.touched.insert(SubjectKind::Device(device.into()));
        }
        self.touched.insert(SubjectKind::Device(device.to_owned()));
        made.ok_or(ChangeError::Full(most))
    }
}

pub(super) fn windows(config: &SignalsConfig) -> usize {
    usize::try_from(config.bounds.max_windows).unwrap_or(usize::MAX)
}

/// Devices that are registered or reported on.
pub(super) fn subjects(config: &SignalsConfig) -> usize {
    let subjects = usize::try_from(config.bounds.max_subjects).unwrap_or(usize::MAX);
    subjects.saturating_add(windows(config))
}

/// Sessions that are recorded or revoked: some for each user.
pub(super) fn all_sessions(config: &SignalsConfig) -> usize {
    let subjects = usize::try_from(config.bounds.max_subjects).unwrap_or(usize::MAX);
    subjects.saturating_mul(4).saturating_add(windows(config))
}
