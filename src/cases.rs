//! Case files: requests with the answers that are expected of a policy set.
//!
//! Three formats are read: Deodar's own `*.cases.yaml` (or `.json`), Cedar's integration tests, and the
//! files of `cedar run-tests`. The last two are taken exactly as they are, with Cedar's own policy ids
//! and Cedar's semantics.

mod cedar;
mod discover;
mod expect;
mod format;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::answer::WireAnswer;
use crate::base::caller::{Caller, Handles, InlineRule, Scope};
use crate::base::fault::Faults;
use crate::base::timestamp::Timestamp;
use crate::pdp::{BuildError, Pdp, PdpBuilder};
use crate::request::{Authentication, Request};
use crate::service::config::Config;
use crate::trust::TrustConfig;

pub use discover::read;
pub use expect::Expect;

/// Policies, schema and entities for case files that name none, or in place of those they name.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Files and directories of policies; over what a case file names.
    pub policies: Vec<PathBuf>,
    /// Files and directories of schema fragments; over what a case file names.
    pub schema: Vec<PathBuf>,
    /// Files and directories of entities; over what a case file names.
    pub entities: Vec<PathBuf>,
}

/// The cases of one file.
#[derive(Debug)]
pub struct Suite {
    /// The file.
    pub file: PathBuf,
    /// Its cases, in order.
    pub cases: Vec<Case>,
    /// What its format reports besides passing and failing.
    pub notes: Vec<String>,
    setup: Setup,
}

/// What decides a suite's cases.
#[derive(Debug)]
struct Setup {
    policies: Vec<PathBuf>,
    schema: Vec<PathBuf>,
    entities: Vec<PathBuf>,
    obligations: Vec<String>,
    advice: Vec<String>,
    on_error: Option<crate::policy::OnError>,
    trust: Option<TrustConfig>,
    cedar: bool,
}

/// One case.
#[derive(Debug)]
pub struct Case {
    /// What it is about.
    pub name: String,
    /// The line of its name in the file, from 1, where it is known.
    pub line: Option<usize>,
    /// The body of a `POST /authorize`.
    pub request: Value,
    /// The instant to decide for.
    pub now: Option<Timestamp>,
    /// How the principal was authenticated.
    pub authentication: Option<Authentication>,
    /// Entities stored for this case, in place of those of the same id.
    pub entities: Vec<Value>,
    /// Whether these are all the entities there are.
    only_these_entities: bool,
    /// Whether the request has to fit the schema.
    validate_request: bool,
    /// What the answer must say.
    pub expect: Expect,
}

/// The result of a case; without failures it passed.
#[derive(Debug)]
pub struct Verdict<'a> {
    /// The case.
    pub case: &'a Case,
    /// What differed, one sentence each.
    pub failures: Vec<String>,
}

impl Suite {
    /// A decision point for `case`, with the settings of `config` where the file has none of its own.
    ///
    /// # Errors
    /// When policies, schema or entities are faulty.
    pub fn pdp(&self, case: &Case, config: &Config) -> Result<Pdp, BuildError> {
        let mut builder = self.builder(config);
        if !case.entities.is_empty() || case.only_these_entities {
            builder = builder.entities_given(case.entities.clone(), case.only_these_entities);
        }
        if !case.validate_request {
            builder = builder.unvalidated_requests();
        }
        builder.build()
    }

    fn builder(&self, config: &Config) -> PdpBuilder {
        let setup = &self.setup;
        let mut builder = Pdp::builder()
            .engine(config.decide.engine)
            .env_member(config.decide.env_member.clone())
            .trust_members(
                config.decide.trust_member.clone(),
                config.decide.auth_member.clone(),
            )
            .inject_without_schema(config.decide.inject_without_schema)
            .limits(config.limits.request())
            .read_limits(config.limits.read());
        if setup.cedar {
            builder = builder.with_cedar_ids_unvalidated();
        } else {
            builder = builder
                .on_error(setup.on_error.unwrap_or(config.decide.on_error))
                .obligations(
                    config
                        .vocabulary
                        .obligations
                        .iter()
                        .chain(&setup.obligations),
                )
                .advice(config.vocabulary.advice.iter().chain(&setup.advice));
        }
        if let Some(trust) = setup.trust.as_ref().or(config.trust.as_ref()) {
            builder = builder.trust(trust.clone());
        }
        for path in &setup.policies {
            builder = builder.policies(path);
        }
        for path in &setup.schema {
            builder = builder.schema(path);
        }
        for path in &setup.entities {
            builder = builder.entities(path);
        }
        builder
    }

    /// Whether it is in one of Cedar's own formats.
    #[must_use]
    pub fn is_cedar(&self) -> bool {
        self.setup.cedar
    }

    /// Decides every case through the library and compares.
    ///
    /// # Errors
    /// When policies, schema or entities are faulty: then no case says anything.
    pub fn run(&self, config: &Config) -> Result<Vec<Verdict<'_>>, BuildError> {
        let mut shared: [Option<Pdp>; 2] = [None, None];
        let mut verdicts = Vec::with_capacity(self.cases.len());
        for case in &self.cases {
            let own = !case.entities.is_empty() || case.only_these_entities;
            let pdp = if own {
                self.pdp(case, config)?
            } else {
                let [plain, unvalidated] = &mut shared;
                let slot = if case.validate_request {
                    plain
                } else {
                    unvalidated
                };
                match slot {
                    Some(pdp) => pdp.clone(),
                    None => slot.insert(self.pdp(case, config)?).clone(),
                }
            };
            let failures = match decide(&pdp, case, config) {
                Ok(answer) => case.expect.check(&answer),
                Err(message) => vec![format!("not decided: {message}")],
            };
            verdicts.push(Verdict { case, failures });
        }
        Ok(verdicts)
    }
}

/// The caller that cases and the command line ask as: as one that has not said who it is, with
/// explanations, and believed about signals.
pub(crate) fn caller() -> Caller {
    Caller::new(
        "cli",
        [
            Scope::Decide,
            Scope::Search,
            Scope::Explain,
            Scope::AssertSignals,
        ],
        InlineRule::Override,
        Handles::Only(std::collections::BTreeSet::new()),
    )
}

fn decide(pdp: &Pdp, case: &Case, config: &Config) -> Result<Value, String> {
    let limits = &config.limits.request();
    let mut request = Request::from_value(case.request.clone(), limits, caller())
        .map_err(|error| error.to_string())?;
    if let Some(now) = case.now {
        request = request.with_now(now);
    }
    if case.authentication.is_some() {
        request.authentication = case.authentication.clone().map(Box::new);
    }
    let outcome = pdp.authorize(&request).map_err(|error| error.to_string())?;
    WireAnswer::new(&request, &outcome, None)
        .to_json()
        .map_err(|error| error.to_string())
}

/// The first of `base` and the directories above it below which `inner` exists.
fn find(base: &Path, inner: &str) -> Option<PathBuf> {
    base.ancestors()
        .map(|directory| directory.join(inner))
        .find(|path| path.exists())
}

fn fault(file: &Path, message: impl AsRef<str>) -> Faults {
    crate::base::fault::Fault::new("cases", message)
        .in_file(file.display().to_string())
        .into()
}
