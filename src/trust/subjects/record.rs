//! What is kept of one subject, as it is in memory and, in JSON with short names, on disk. A member that a
//! record does not know is passed over, and one that it lacks has its default.

mod device;
mod other;
mod user;

use super::config::SignalsConfig;
use super::track::{SubjectClass, Track};
use super::window::{Millis, StoredEvent};
use crate::base::entity_ref::EntityRef;

pub(super) use device::DeviceState;
pub(super) use other::{IpState, SessionState};
pub(super) use user::{Overriding, User};

/// What the records of all kinds of subjects have in common.
pub(super) trait Record: Default {
    /// As what its events are correlated.
    const CLASS: SubjectClass;

    /// What was done, and what was found of it.
    fn track(&mut self) -> &mut Track;

    /// Every event that is kept.
    fn events(&mut self) -> impl Iterator<Item = &mut StoredEvent>;

    /// Whether anything is held against it.
    fn is_held(&self, now: Millis, config: &SignalsConfig) -> bool;

    /// Whether nothing would be lost by forgetting it, other things being more pressing.
    fn spare(&self, now: Millis, config: &SignalsConfig) -> bool;

    /// Whether its time is over.
    fn over(&self, now: Millis, config: &SignalsConfig) -> bool;

    /// Whose it is, where that was said.
    fn owner(&self) -> Option<&EntityRef> {
        None
    }

    /// Something was said of it.
    fn touch(&mut self, _now: Millis) {}

    /// Ends what is held against it.
    fn remediate(&mut self, now: Millis) {
        self.track().remediate(now);
    }

    /// Takes out what is past its retention; the events are handed back.
    fn forget(&mut self, now: Millis, config: &SignalsConfig) -> Vec<StoredEvent> {
        self.track().forget(now, config)
    }
}

/// Names of what a user has.
pub(super) mod names {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(names: &[Arc<str>], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(names.iter().map(|name| &**name))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<Arc<str>>, D::Error> {
        let names = Vec::<String>::deserialize(from)?;
        Ok(names.into_iter().map(Arc::from).collect())
    }
}

/// Whose it is, as a pair of type and id.
pub(super) mod owner {
    use crate::base::entity_ref::EntityRef;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(
        owner: &Option<EntityRef>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let pair = owner.as_ref().map(|user| (user.type_name(), user.id()));
        pair.serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<EntityRef>, D::Error> {
        let pair = Option::<(String, String)>::deserialize(from)?;
        let user = pair.map(|(ty, id)| EntityRef::of(&ty, &id)).transpose();
        user.map_err(|_| de::Error::custom("not the name of an entity"))
    }
}
