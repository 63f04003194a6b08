//! A Cedar policy decision point: policies, schema and entities from files, texts or parsed values,
//! hot-reloaded, and a decision with its cause for each request.
//!
//! ```
//! use deodar::{Pdp, Request};
//!
//! let pdp = Pdp::builder()
//!     .policies_text("p.cedar", r#"permit(principal == User::"ada", action, resource);"#)
//!     .build()?;
//! let request = Request::builder()
//!     .principal(("User", "ada"))
//!     .action(("Action", "read"))
//!     .resource(("Document", "plan"))
//!     .build()?;
//! assert!(pdp.authorize(&request)?.is_allow());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The way a request takes
//!
//! ```text
//! request -> enrich -> gather -> score -> evaluate -> decide -> answer
//! ```
//!
//! Each stage takes what the last one made; only `decide` can make an [`Outcome`].
//!
//! # The modules
//!
//! In the order in which they import each other:
//!
//! - `base`: faults and their rendering, JSON, names of entities, callers, time, the step meter
//! - `source`: trees of files, read whole or not at all, and watched
//! - `storage`: the state directory, for what has to outlive the process (feature `state`)
//! - `schema`: fragments merged, and the types that deciding needs
//! - `entities`: the interned, versioned store; reading, writing and merging entities
//! - `engine`: policies compiled, indexed and evaluated
//! - `trust`: the model ([`score`]), what is known of users, devices, sessions and addresses ([`signals`]),
//!   and the configuration of both
//! - `policy`: sources to one immutable [`Snapshot`]
//! - `state`: what one decision reads, published whole
//! - `request`: outside input to a typed [`Request`]
//! - `pdp`: [`Pdp`], its stages (`enrich`, `gather`, `score`, `evaluate`, `decide`, `learn`), reloads and writes
//! - `answer`: an [`Outcome`] as JSON, and whoever gives one
//! - `service`: configuration, tokens, webhooks, the decision log and HTTP (feature `server`)
//! - `cases`, `cli`: policy tests and the command line (feature `cli`)
#![forbid(unsafe_code)]

// The order of these lines is the order of imports: a module imports only modules above it
// (tests/it/layers.rs).
mod base;
mod source;
#[cfg(feature = "state")]
mod storage;
#[cfg(not(feature = "state"))]
#[path = "storage/absent.rs"]
mod storage;
mod schema;
mod entities;
mod engine;
mod trust;
mod policy;
mod state;
mod request;
mod pdp;
mod answer;
#[cfg(feature = "server")]
mod service;
#[cfg(feature = "cli")]
pub mod cases;
#[cfg(feature = "cli")]
pub mod cli;

/// The Cedar crate that this one is built on, so that a value of the right version can be handed over.
pub use cedar_policy;

#[cfg(feature = "json")]
pub use answer::authorize_json;
pub use answer::{Answer, AnswerError, AnswerObligation, Authorize, FixedPdp};
pub use base::caller::{Caller, CallerLimits, Handles, InlineRule, Scope};
pub use base::entity_ref::{EntityRef, IntoEntityRef};
pub use base::fault::{Fault, Faults};
pub use base::json::InputFault;
pub use base::timestamp::{Timestamp, TimestampError};
pub use pdp::decide::{
    Cause, Decision, Denied, Obligation, Outcome, PolicyAnnotations, PolicyFailure, Requirement,
    TrustOutcome, Unmet, WouldBe,
};
pub use pdp::evaluate::{
    EngineAnswer, PolicyErrorCode, ShadowCounts, ShadowMismatch, ShadowSettings,
};
pub use pdp::{
    BuildError, EntitiesWritten, EntityChange, EntityFault, EntityOrigin, EntityPage,
    EntityWriteError, Health, NoChange, Pdp, PdpBuilder, ReloadCounts, ReloadError, Reloaded,
    StateChange, Subscription,
};
pub use policy::{Duty, EngineChoice, OnError, Revision, Snapshot, Vocabulary};
pub use request::{
    Authentication, Client, DeviceSignals, Limits, Purpose, Request, RequestBuilder, RequestError,
    Signals,
};
#[cfg(feature = "server")]
pub use service::{config, http as server};
pub use source::ReadLimits;
#[cfg(feature = "watch")]
pub use source::watch::WatchMode;
pub use state::State;
pub use storage::StateDirError;
#[cfg(feature = "server")]
pub use trust::geo::MaxMind;
pub use trust::geo::{GeoAnswer, GeoSource};
pub use trust::model as score;
pub use trust::subjects as signals;
pub use trust::{
    Attributes, ClassificationRule, Countries, EnforceRule, Enforcement, NetworkRule, Roles,
    SensitivityRule, TrustConfig,
};

/// The README's examples, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The examples of the documents, compiled and run.
#[cfg(all(doctest, feature = "server"))]
#[doc = include_str!("../docs/embedding.md")]
#[doc = include_str!("../docs/trust.md")]
struct Documents;
