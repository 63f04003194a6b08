//! The answer to a request: [`Outcome`].

use std::fmt;
use std::sync::Arc;

use arc_swap::Guard;

use cedar_policy::PolicyId;

use super::trust::{Finding, Requirement, TrustOutcome};
use crate::base::timestamp::Timestamp;
use crate::engine::PolicyIndex;
use crate::pdp::evaluate::{PolicyError, PolicyErrorCode, PolicyIndices};
use crate::pdp::score::stage::AssessedBox;
use crate::policy::{Duty, PolicyInfo};
use crate::state::State;
use crate::trust::TrustConfig;
use crate::trust::model::{Model, Score};

/// Whether the principal may act. There is no third answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// It may.
    Allow,
    /// It may not.
    Deny,
}

impl Decision {
    /// `Allow` or `Deny`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "Allow",
            Self::Deny => "Deny",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a decision came out as it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Allow: at least one permit is satisfied and no forbid is.
    Permitted,
    /// Deny: a forbid is satisfied; the reasons name it.
    Forbidden,
    /// Deny: no permit is satisfied.
    NotPermitted,
    /// Deny: permits are satisfied, and a stronger or fresher authentication, or more trust, would make
    /// one of them count.
    StepUpRequired,
    /// Deny: permits are satisfied, the trust that the resource or a permit requires is not reached, and no
    /// authentication would mend it.
    InsufficientTrust,
    /// Deny: a revoked session, a disabled account, a device that does not comply, or the like.
    KnockedOut,
    /// Deny: a forbid failed to evaluate where that denies.
    PolicyError,
    /// Deny: the permits carry an obligation that the caller does not handle.
    UnsupportedObligation,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 8] = [
        Self::Permitted,
        Self::Forbidden,
        Self::NotPermitted,
        Self::StepUpRequired,
        Self::InsufficientTrust,
        Self::KnockedOut,
        Self::PolicyError,
        Self::UnsupportedObligation,
    ];

    /// The name in answers: `permitted`, `forbidden`, `not_permitted`, `step_up_required`,
    /// `insufficient_trust`, `knocked_out`, `policy_error`, `unsupported_obligation`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Permitted => "permitted",
            Self::Forbidden => "forbidden",
            Self::NotPermitted => "not_permitted",
            Self::StepUpRequired => "step_up_required",
            Self::InsufficientTrust => "insufficient_trust",
            Self::KnockedOut => "knocked_out",
            Self::PolicyError => "policy_error",
            Self::UnsupportedObligation => "unsupported_obligation",
        }
    }
}

impl Cause {
    /// Whether more trust or another authentication is what is missing.
    pub(super) fn is_of_trust(self) -> bool {
        matches!(self, Self::StepUpRequired | Self::InsufficientTrust)
    }

    /// Allow for [`Cause::Permitted`], Deny for every other.
    #[must_use]
    pub fn decision(self) -> Decision {
        match self {
            Self::Permitted => Decision::Allow,
            _ => Decision::Deny,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A decision with everything that belongs to it. Holds the state it was made on.
///
/// ```
/// use deodar::{Decision, Denied, Pdp, Request};
///
/// let text = r#"@id("log") @obligation("log_access") permit(principal, action, resource);"#;
/// let pdp = Pdp::builder().policies_text("p.cedar", text).obligations(["log_access"]).build()?;
/// let request = Request::builder()
///     .principal(("User", "ada"))
///     .action(("Action", "read"))
///     .resource(("Document", "plan"))
///     .build()?;
/// let outcome = pdp.authorize(&request)?;
/// assert_eq!(outcome.decision(), Decision::Allow);
/// // Allowed only to those who log the access.
/// assert_eq!(outcome.require(&[]), Err(Denied::Obligation("log_access".to_owned())));
/// assert_eq!(outcome.require(&["log_access"]), Ok(()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "an outcome that nobody looks at protects nothing"]
#[derive(Debug)]
pub struct Outcome {
    parts: Parts,
    trust: Option<TrustOutcome>,
    state: Held,
}

/// A state that is held without touching its count of references, which all threads share, as long as
/// few outcomes are kept at once.
pub(crate) type Held = Guard<Arc<State>>;

impl Clone for Outcome {
    fn clone(&self) -> Self {
        Self {
            parts: self.parts.clone(),
            trust: self.trust.clone(),
            state: Guard::from_inner(Arc::clone(&self.state)),
        }
    }
}

/// What [`decide`](super::decide) puts into an outcome; policies by their place in the snapshot.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub(super) evaluated_at: Timestamp,
    pub(super) cause: Cause,
    /// The determining policies, or the satisfied permits that did not make an Allow; see [`Parts::determining`].
    pub(super) policies: PolicyIndices,
    pub(super) errors: Vec<PolicyError>,
}

impl Parts {
    fn determining(&self) -> &[PolicyIndex] {
        match self.cause {
            Cause::Permitted | Cause::Forbidden => &self.policies,
            _ => &[],
        }
    }

    fn unmet(&self) -> &[PolicyIndex] {
        match self.cause {
            Cause::Permitted | Cause::Forbidden => &[],
            _ => &self.policies,
        }
    }
}

/// Something the enforcement point must do when it acts on the answer, and the policy that asks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Obligation<'a> {
    policy: &'a PolicyId,
    duty: &'a Duty,
}

impl<'a> Obligation<'a> {
    /// The policy that carries it.
    #[must_use]
    pub fn policy(&self) -> &'a PolicyId {
        self.policy
    }

    /// Its name, such as `redact_fields`.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.duty.name()
    }

    /// What stands behind the colon of its annotation, such as `pii`.
    #[must_use]
    pub fn argument(&self) -> Option<&'a str> {
        self.duty.argument()
    }
}

impl fmt::Display for Obligation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.duty.fmt(f)
    }
}

/// A policy whose evaluation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyFailure<'a> {
    policy: &'a PolicyId,
    code: PolicyErrorCode,
    message: Option<&'a str>,
}

impl<'a> PolicyFailure<'a> {
    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &'a PolicyId {
        self.policy
    }

    /// The kind of error.
    #[must_use]
    pub fn code(&self) -> PolicyErrorCode {
        self.code
    }

    /// Cedar's message, where the request asked for explanations. It may quote values of the request
    /// and of entities.
    #[must_use]
    pub fn message(&self) -> Option<&'a str> {
        self.message
    }
}

/// A satisfied permit that did not make an Allow, and what it lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unmet<'a> {
    /// The permit.
    pub policy: &'a PolicyId,
    /// The obligations it carries. Where the cause is [`Cause::UnsupportedObligation`] at least one of
    /// them is not handled by the caller.
    pub obligations: Vec<Obligation<'a>>,
    /// The composite that it requires and that is not reached.
    pub trust: Option<Score>,
    /// The authentication level that it requires and that is not reached.
    pub level: Option<u8>,
}

/// The annotations of a policy apart from `@id`.
#[derive(Debug, Clone, Copy)]
pub struct PolicyAnnotations<'a> {
    policy: PolicyInfo<'a>,
}

impl<'a> PolicyAnnotations<'a> {
    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &'a PolicyId {
        self.policy.id
    }

    /// The value of an annotation; empty for one without a value, `None` where there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// Names and values, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let all = self.policy.annotations.iter();
        all.map(|(name, value)| (&**name, &**value))
    }
}

/// Why [`Outcome::require`] refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// The decision is Deny.
    #[error("denied: {0}")]
    Decision(Cause),
    /// The decision is Allow, with an obligation that is not in the list of handled ones.
    #[error("allowed only with the obligation `{0}`, which is not handled")]
    Obligation(String),
}

/// A decision that waits for the state it was made on.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(super) parts: Parts,
    pub(super) finding: Option<Finding>,
}

impl Verdict {
    /// The outcome; `state` is the one that was evaluated, and `assessed` the score.
    pub(crate) fn on(self, assessed: Option<AssessedBox>, state: Held) -> Outcome {
        let trust = assessed.zip(self.finding);
        Outcome {
            parts: self.parts,
            trust: trust.map(|(assessed, finding)| TrustOutcome::new(assessed, finding)),
            state,
        }
    }
}

impl Outcome {
    /// Allow or Deny.
    #[must_use]
    pub fn decision(&self) -> Decision {
        self.parts.cause.decision()
    }

    /// Whether the decision is Allow. The obligations must be discharged all the same:
    /// [`Outcome::require`] checks both.
    #[must_use]
    pub fn is_allow(&self) -> bool {
        self.decision() == Decision::Allow
    }

    /// Why.
    #[must_use]
    pub fn cause(&self) -> Cause {
        self.parts.cause
    }

    /// `Ok` when the decision is Allow and every obligation is among `handled`.
    ///
    /// # Errors
    /// [`Denied`] says whether the decision or an obligation stands in the way.
    pub fn require(&self, handled: &[&str]) -> Result<(), Denied> {
        if !self.is_allow() {
            return Err(Denied::Decision(self.cause()));
        }
        match self.obligations().find(|o| !handled.contains(&o.name())) {
            Some(obligation) => Err(Denied::Obligation(obligation.to_string())),
            None => self.required_by_trust(handled),
        }
    }

    fn required_by_trust(&self, handled: &[&str]) -> Result<(), Denied> {
        let approval = Requirement::AdminApproval.name();
        // What enforcement would ask for does not count before it is enforced.
        let asked = self
            .trust()
            .is_some_and(|trust| trust.needs_approval() && trust.would_be().is_none());
        if asked && !handled.contains(&approval) {
            return Err(Denied::Obligation(approval.to_owned()));
        }
        Ok(())
    }

    /// What trust had to do with it, where the request was scored.
    #[must_use]
    pub fn trust(&self) -> Option<&TrustOutcome> {
        let trust = self.trust.as_ref()?;
        if let Some(model) = self.trust_model() {
            trust.complete(model, self.parts.evaluated_at);
        }
        Some(trust)
    }

    /// As [`Outcome::trust`]; what would mend the request may not have been looked for.
    pub(crate) fn score(&self) -> Option<&TrustOutcome> {
        self.trust.as_ref()
    }

    /// The model that the request was scored by: it explains [`TrustOutcome::assessment`] in words, factor by
    /// factor, and says what would raise it.
    #[must_use]
    pub fn trust_model(&self) -> Option<&Model> {
        self.state.snapshot().trust().map(|trust| trust.model())
    }

    /// The configuration that the request was scored by.
    #[must_use]
    pub fn trust_config(&self) -> Option<&TrustConfig> {
        self.state.snapshot().trust().map(|trust| trust.config())
    }

    /// What the trust model asks for: on Allow what has to be done, on Deny and on what would be denied
    /// what could be done so that the same request passes.
    pub fn requirements(&self) -> impl Iterator<Item = Requirement> + '_ {
        let config = self.state.snapshot().trust();
        let both = self.trust().zip(config);
        both.map(|(trust, config)| trust.requirements(config))
            .into_iter()
            .flatten()
    }

    /// The determining policies, in order of their ids: on Allow the satisfied permits whose requirements
    /// are met, on a forbidden Deny the satisfied forbids, otherwise none.
    pub fn determining_policies(&self) -> impl Iterator<Item = &PolicyId> {
        self.policies(self.parts.determining())
            .map(|policy| policy.id)
    }

    /// What is annotated to the determining policies apart from `@id`, such as a message for people or where
    /// to go: each policy that has annotations, in order of their ids. A linked policy has its template's.
    ///
    /// ```
    /// use deodar::{Pdp, Request};
    ///
    /// let text = r#"@id("basic") @redirect("/upgrade") forbid(principal, action, resource);"#;
    /// let pdp = Pdp::builder().policies_text("p.cedar", text).build()?;
    /// let request = Request::builder()
    ///     .principal(("User", "ada"))
    ///     .action(("Action", "read"))
    ///     .resource(("Doc", "plan"))
    ///     .build()?;
    /// let outcome = pdp.authorize(&request)?;
    /// let found: Vec<_> = outcome.annotations().collect();
    /// assert_eq!(found[0].policy().to_string(), "basic");
    /// assert_eq!(found[0].get("redirect"), Some("/upgrade"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn annotations(&self) -> impl Iterator<Item = PolicyAnnotations<'_>> {
        self.policies(self.parts.determining())
            .filter(|policy| !policy.annotations.is_empty())
            .map(|policy| PolicyAnnotations { policy })
    }

    /// The determining policies by their index in the snapshot's table.
    #[cfg(feature = "server")]
    pub(crate) fn determining(&self) -> &[PolicyIndex] {
        self.parts.determining()
    }

    /// What the determining policies oblige the enforcement point to do.
    pub fn obligations(&self) -> impl Iterator<Item = Obligation<'_>> {
        self.policies(self.parts.determining())
            .flat_map(|policy| duties(policy, &policy.meaning.obligations))
    }

    /// What the determining policies advise; it may be ignored.
    pub fn advice(&self) -> impl Iterator<Item = Obligation<'_>> {
        self.policies(self.parts.determining())
            .flat_map(|policy| duties(policy, &policy.meaning.advice))
    }

    /// Satisfied permits that did not make an Allow, and what each lacks.
    pub fn unmet(&self) -> impl Iterator<Item = Unmet<'_>> {
        let found = self.score().map(TrustOutcome::assessment);
        self.policies(self.parts.unmet()).map(move |policy| Unmet {
            policy: policy.id,
            obligations: duties(policy, &policy.meaning.obligations).collect(),
            trust: policy
                .meaning
                .requires_trust
                .filter(|trust| found.is_none_or(|found| found.composite < *trust)),
            level: policy
                .meaning
                .requires_level
                .filter(|level| found.is_none_or(|found| found.level.reached < *level)),
        })
    }

    /// The policies whose evaluation failed, in order of their ids, whatever the decision.
    pub fn policy_errors(&self) -> impl Iterator<Item = PolicyFailure<'_>> {
        let snapshot = self.state.snapshot();
        self.parts.errors.iter().filter_map(|error| {
            Some(PolicyFailure {
                policy: snapshot.policy(error.policy)?.id,
                code: error.code,
                message: error.message.as_deref(),
            })
        })
    }

    /// The instant the decision was made for.
    #[must_use]
    pub fn evaluated_at(&self) -> Timestamp {
        self.parts.evaluated_at
    }

    /// The same outcome for keeping: it counts as a reference to its state, and no longer takes one of
    /// the few places for those that do not.
    #[cfg(feature = "server")]
    pub(crate) fn settled(self) -> Self {
        Self {
            parts: self.parts,
            trust: self.trust,
            state: Guard::from_inner(Guard::into_inner(self.state)),
        }
    }

    /// The state the decision was made on, to be held on its own.
    #[cfg(feature = "server")]
    pub(crate) fn shared_state(&self) -> &Arc<State> {
        &self.state
    }

    /// The state the decision was made on.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    fn policies<'a>(&'a self, all: &'a [PolicyIndex]) -> impl Iterator<Item = PolicyInfo<'a>> {
        let snapshot = self.state.snapshot();
        all.iter()
            .filter_map(|policy| snapshot.policy(policy.index()))
    }
}

fn duties<'a>(
    policy: PolicyInfo<'a>,
    duties: &'a [Duty],
) -> impl Iterator<Item = Obligation<'a>> + use<'a> {
    duties.iter().map(|duty| Obligation {
        policy: policy.id,
        duty,
    })
}
