//! The kinds of subjects: where the records of each are kept, under which names, and how many.

use std::hash::Hash;
use std::net::IpAddr;

use super::Core;
use crate::base::entity_ref::EntityRef;
use crate::trust::subjects::config::SignalsConfig;
use crate::trust::subjects::record::{DeviceState, IpState, Record, SessionState, User};
use crate::trust::subjects::shard::{PARTS, Sharded};
use crate::trust::subjects::store::SubjectKind;

/// A kind of subject, by its record.
pub(in crate::trust::subjects) trait Subject: Record {
    /// What it is kept under.
    type Key: Hash + Eq + Clone;

    /// Where the records of this kind are.
    fn records(core: &Core) -> &Sharded<Self::Key, Self>;

    /// The subject of a key.
    fn subject(key: &Self::Key) -> SubjectKind;

    /// How many records of this kind there may be.
    fn most(config: &SignalsConfig) -> usize;
}

macro_rules! subjects {
    ($($record:ident in $records:ident by $key:ty: $subject:expr, $most:expr;)+) => {$(
        impl Subject for $record {
            type Key = $key;

            fn records(core: &Core) -> &Sharded<$key, Self> {
                &core.$records
            }

            fn subject(key: &$key) -> SubjectKind {
                $subject(key)
            }

            fn most(config: &SignalsConfig) -> usize {
                $most(config)
            }
        }
    )+};
}

subjects! {
    User in users by EntityRef: |key: &EntityRef| SubjectKind::User(key.clone()), users;
    // Sessions that are recorded or revoked: some for each user.
    SessionState in sessions by Box<str>: |key: &str| SubjectKind::Session(key.to_owned()),
        |config| users(config).saturating_mul(4).saturating_add(windows(config));
    // Devices that are registered or reported on.
    DeviceState in devices by Box<str>: |key: &str| SubjectKind::Device(key.to_owned()),
        |config| users(config).saturating_add(windows(config));
    IpState in ips by IpAddr: |key: &IpAddr| SubjectKind::Ip(*key), windows;
}

/// Works on the record of a subject, whatever its kind; `None` where there is none.
macro_rules! with_record {
    ($core:expr, $subject:expr, |$state:ident| $work:expr) => {
        match $subject {
            SubjectKind::User(user) => $core.users.with(user, |$state| $work),
            SubjectKind::Session(id) => $core.sessions.with(id.as_str(), |$state| $work),
            SubjectKind::Device(id) => $core.devices.with(id.as_str(), |$state| $work),
            SubjectKind::Ip(ip) => $core.ips.with(ip, |$state| $work),
        }
    };
}

pub(in crate::trust::subjects) use with_record;

fn users(config: &SignalsConfig) -> usize {
    usize::try_from(config.bounds.max_subjects).unwrap_or(usize::MAX)
}

/// Records that only events are known of.
fn windows(config: &SignalsConfig) -> usize {
    usize::try_from(config.bounds.max_windows).unwrap_or(usize::MAX)
}

impl Core {
    /// The sessions and devices of a user.
    pub(in crate::trust::subjects) fn owned_by(&self, user: &EntityRef) -> Vec<SubjectKind> {
        let mut owned = Vec::new();
        for part in 0..PARTS {
            list::<SessionState>(self, part, |state| state.owner() == Some(user), &mut owned);
            list::<DeviceState>(self, part, |state| state.owner() == Some(user), &mut owned);
        }
        owned
    }

    /// Forgets the names of all events of a record that is kept no more.
    pub(in crate::trust::subjects) fn forget_record(&self, state: &mut impl Record) {
        for label in state.events().filter_map(|kept| kept.label.as_deref()) {
            self.ids.forget(label);
        }
    }
}

/// Adds the subjects of one part whose records fit.
pub(super) fn list<S: Subject>(
    core: &Core,
    part: usize,
    fits: impl Fn(&S) -> bool,
    found: &mut Vec<SubjectKind>,
) {
    S::records(core).retain(part, |key, state| {
        if fits(state) {
            found.push(S::subject(key));
        }
        true
    });
}
