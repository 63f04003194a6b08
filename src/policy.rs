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
mod plan;
mod shapes;
mod snapshot;
mod table;
mod unit;
pub(crate) mod vocabulary;

pub(crate) use annotations::Meaning;
pub use annotations::{Duty, OnError, Vocabulary};
#[cfg(feature = "cli")]
pub(crate) use load::Ids;
pub(crate) use plan::{ActionPlan, DeclaredType, InjectedMember, Kind};
pub use snapshot::{EngineChoice, Revision, Snapshot};
pub(crate) use snapshot::{Material, ReadSchema, Settings};
pub(crate) use table::PolicyInfo;

/// The declared type of a context member that Deodar fills with facts of the decision itself.
pub(crate) const ENV_TYPE: &str = "Deodar::Env";
/// The fields of [`ENV_TYPE`].
pub(crate) const ENV_FIELDS: [&str; 1] = ["now"];
/// The declared type of a context member that Deodar fills with what the trust model says of the request.
pub(crate) const TRUST_TYPE: &str = "Deodar::Trust";
/// The fields of [`TRUST_TYPE`]: eight decimals, and the name of the band of risk.
pub(crate) const TRUST_FIELDS: [&str; 9] = [
    "score",
    "required",
    "subjectRisk",
    "identity",
    "device",
    "location",
    "behavior",
    "network",
    "risk",
];
/// The declared type of a context member that Deodar fills with how the principal was authenticated.
pub(crate) const AUTH_TYPE: &str = "Deodar::Auth";
/// The fields of [`AUTH_TYPE`]: two levels, and the age of the authentication.
pub(crate) const AUTH_FIELDS: [&str; 3] = ["level", "required", "age"];
