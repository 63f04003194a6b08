//! Security events.

use std::net::IpAddr;

use super::kind::{EventKind, Severity};
use crate::base::entity_ref::EntityRef;
use crate::base::timestamp::Timestamp;

/// Who or what an event is about; at least one member is given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct EventSubject {
    /// The principal.
    pub user: Option<EntityRef>,
    /// The address it came from.
    pub ip: Option<IpAddr>,
    /// The session.
    pub session: Option<String>,
    /// The device.
    pub device: Option<String>,
}

/// A security event, as a source reports it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The source's id for it; the same (source, id) counts once.
    pub id: String,
    /// What happened.
    pub kind: EventKind,
    /// When.
    pub at: Timestamp,
    /// Who says so: the caller's name, or the issuer of a security event token.
    pub source: String,
    /// How severe it is.
    pub severity: Severity,
    /// Who or what it is about.
    pub subject: EventSubject,
}
