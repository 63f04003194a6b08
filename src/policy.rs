//! Policies: read from disk or memory, parsed, validated, and published as one immutable
//! [`Snapshot`].
//!
//! What enters: files, texts and already parsed Cedar values. What leaves: a snapshot, or every
//! fault found. Nothing in between is ever published.

mod annotations;
mod cedar;
mod json;
mod links;
mod load;
mod snapshot;
mod table;
mod unit;
pub(crate) mod vocabulary;

pub(crate) use annotations::Meaning;
pub use annotations::{Duty, OnError, Vocabulary};
#[cfg(feature = "cli")]
pub(crate) use load::Ids;
pub use snapshot::{EngineChoice, Revision, Snapshot};
pub(crate) use snapshot::{Material, ReadSchema, Settings};
pub(crate) use table::PolicyInfo;

/// The declared type of a context member that Deodar fills with facts of the decision itself.
pub(crate) const ENV_TYPE: &str = "Deodar::Env";
/// As above, for what the trust model says of the request.
pub(crate) const TRUST_TYPE: &str = "Deodar::Trust";
/// As above, for how the principal was authenticated.
pub(crate) const AUTH_TYPE: &str = "Deodar::Auth";
