//! Security events to per-subject state: what is known of users, devices, sessions and addresses.
//!
//! What enters: events, device registrations, assurance records, what an operator orders, and what
//! decisions show. What leaves: a [`SubjectState`], which is all that scoring reads, and [`Notification`]s of
//! findings and incidents. What must hold: whatever is acknowledged is durable where the store is;
//! everything is bounded, and a flood for one subject pushes out no other subject's state; events of one
//! window give the same state in any order; everything adverse ends on its own or can be ended.

mod config;
mod correlate;
mod decay;
mod dedup;
#[cfg(feature = "state")]
mod durable;
mod event;
mod finding;
mod kind;
mod latest;
mod memory;
mod places;
mod profile;
mod rates;
mod record;
mod sessions;
mod shard;
mod store;
mod track;
mod window;

pub use config::{
    BlockConfig, BoundsConfig, CorrelationConfig, CountRule, OnceRule, PlacesConfig, RatesConfig,
    RetentionConfig, RulesConfig, SessionsConfig, SignalsConfig, Span,
};
#[cfg(feature = "state")]
pub(crate) use durable::DurableSignals;

pub use event::{Event, EventSubject};
#[cfg(feature = "server")]
pub(crate) use kind::EventType;
pub use kind::{CredentialChange, EventKind, Severity};
pub use memory::{MemorySignals, NotificationSink};
pub use store::{
    AssuranceRecord, Change, ChangeError, DeviceRecord, DeviceStanding, EventAnswer, FindingKind,
    Notification, NotificationKind, Observation, SignalStore, SubjectKind, SubjectQuery,
    SubjectState, Usage,
};
