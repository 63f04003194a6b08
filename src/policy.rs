//! Policies: read from disk or memory, parsed, validated, and published as one immutable
//! [`Snapshot`].
//!
//! What enters: files, texts and already parsed Cedar values. What leaves: a snapshot, or every
//! fault found. Nothing in between is ever published.

mod annotations;
mod cedar;
mod content;
mod json;
mod links;
mod load;
mod nesting;
mod progress;
pub(crate) mod schema;
mod snapshot;
pub(crate) mod source;
mod statements;
mod table;
mod unit;
pub(crate) mod vocabulary;
#[cfg(feature = "watch")]
mod watch;

pub(crate) use annotations::Meaning;
pub use annotations::{Duty, OnError, Vocabulary};
#[cfg(feature = "cli")]
pub(crate) use load::Ids;
pub(crate) use progress::Progress;
pub use snapshot::{EngineChoice, Revision, Snapshot};
pub(crate) use snapshot::{Material, ReadSchema, Settings};
pub use source::ReadLimits;
pub(crate) use table::PolicyInfo;
#[cfg(feature = "watch")]
pub use watch::WatchMode;
#[cfg(feature = "watch")]
pub(crate) use watch::{Taken, Watch, Watcher};

/// The declared type of a context member that Deodar fills with facts of the decision itself.
pub(crate) const ENV_TYPE: &str = "Deodar::Env";
/// As above, for what the trust model says of the request.
pub(crate) const TRUST_TYPE: &str = "Deodar::Trust";
/// As above, for how the principal was authenticated.
pub(crate) const AUTH_TYPE: &str = "Deodar::Auth";
