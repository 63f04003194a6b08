//! Records by name, made where they are not there, within the bounds.

use super::super::record::{DeviceState, SessionState, User};
use super::super::store::{ChangeError, SubjectKind};
use super::{SignalsConfig, Work};
use crate::request::EntityRef;

impl Work<'_> {
    /// Works on a user, who is made where unknown.
    pub(super) fn user<R>(
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
