//! Answers: what a decision point tells whoever enforces its decisions, from this process or from another one.

mod authorize;
#[cfg(feature = "json")]
mod body;
mod fixed;
pub(crate) mod parts;
mod remote;
pub(crate) mod trust;
mod wire;

use serde::{Serialize, Serializer};

use crate::base::timestamp::Timestamp;
use crate::pdp::decide::{Cause, Decision, Denied, Outcome};
use crate::request::Request;

pub use authorize::Authorize;
#[cfg(feature = "json")]
pub use body::authorize_json;
#[cfg(feature = "server")]
pub(crate) use body::decision_id;
pub use fixed::FixedPdp;
pub use remote::AnswerError;
pub(crate) use wire::WireAnswer;

use remote::Remote;

/// An answer to a request, made in this process or read from the JSON of `POST /authorize`.
///
/// It is what the trait [`Authorize`](crate::Authorize) gives, so that a service need not know where its
/// decisions are made. It serializes to the JSON of `POST /authorize`; one that was made in this process has no
/// `decisionId`.
///
/// ```
/// use deodar::{Answer, Authorize, Pdp, Request};
///
/// let pdp = Pdp::builder().policies_text("p.cedar", "permit(principal, action, resource);").build()?;
/// let request = Request::builder()
///     .principal(("User", "ada"))
///     .action(("Action", "read"))
///     .resource(("Document", "plan"))
///     .build()?;
/// let answer = Authorize::authorize(&pdp, &request)?;
/// answer.require(&[])?;
/// let elsewhere = Answer::from_json(&serde_json::to_vec(&answer)?)?;
/// assert_eq!(elsewhere.decision(), answer.decision());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "an answer that nobody looks at protects nothing"]
#[derive(Debug, Clone)]
pub struct Answer(Origin);

#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "a decision of this process takes no allocation"
)]
enum Origin {
    Local {
        outcome: Outcome,
        request_id: Option<String>,
        explain: bool,
    },
    Remote(Box<Remote>),
}

/// An obligation or a piece of advice in an [`Answer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerObligation<'a> {
    policy: Option<&'a str>,
    name: &'a str,
    argument: Option<&'a str>,
}

impl<'a> AnswerObligation<'a> {
    /// The policy that carries it; `trust` for what the trust model asks for, `None` where a remote answer does
    /// not say.
    #[must_use]
    pub fn policy(&self) -> Option<&'a str> {
        self.policy
    }

    /// Its name, such as `redact_fields`.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// What stands behind the colon of its annotation, such as `pii`.
    #[must_use]
    pub fn argument(&self) -> Option<&'a str> {
        self.argument
    }
}

impl std::fmt::Display for AnswerObligation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)?;
        match self.argument {
            Some(argument) => write!(f, ":{argument}"),
            None => Ok(()),
        }
    }
}

impl Answer {
    /// The answer to `request` that `outcome` is.
    pub fn new(request: &Request, outcome: Outcome) -> Self {
        Self(Origin::Local {
            outcome,
            request_id: request.request_id().map(str::to_owned),
            explain: request.explain(),
        })
    }

    /// Reads the JSON answer of a decision point elsewhere (`POST /authorize`, status 200), of at most 16 MiB.
    /// Members that this version does not know are ignored.
    ///
    /// # Errors
    /// [`AnswerError`] when this is no such answer. Then nothing is known, and nothing may be done: what lacks its
    /// obligations, names an unknown cause or contradicts itself is never an Allow.
    pub fn from_json(body: &[u8]) -> Result<Self, AnswerError> {
        Ok(Self(Origin::Remote(Box::new(Remote::read(body)?))))
    }

    /// Allow or Deny.
    #[must_use]
    pub fn decision(&self) -> Decision {
        self.cause().decision()
    }

    /// Whether the decision is Allow. The obligations must be discharged all the same: [`Answer::require`] checks
    /// both.
    #[must_use]
    pub fn is_allow(&self) -> bool {
        self.decision() == Decision::Allow
    }

    /// Why.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match &self.0 {
            Origin::Local { outcome, .. } => outcome.cause(),
            Origin::Remote(remote) => remote.cause,
        }
    }

    /// `Ok` when the decision is Allow and every obligation is among `handled`, whoever asks for it.
    ///
    /// # Errors
    /// [`Denied`] says whether the decision or an obligation stands in the way.
    pub fn require(&self, handled: &[&str]) -> Result<(), Denied> {
        if let Some(outcome) = self.outcome() {
            return outcome.require(handled);
        }
        if !self.is_allow() {
            return Err(Denied::Decision(self.cause()));
        }
        let mut all = self.obligations();
        match all.find(|obligation| !handled.contains(&obligation.name())) {
            Some(obligation) => Err(Denied::Obligation(obligation.to_string())),
            None => Ok(()),
        }
    }

    /// The ids of the determining policies, in order.
    pub fn determining_policies(&self) -> impl Iterator<Item = &str> {
        let here = self.outcome().into_iter();
        let here = here.flat_map(|outcome| outcome.determining_policies().map(AsRef::as_ref));
        let elsewhere = self.remote().into_iter();
        here.chain(elsewhere.flat_map(|remote| remote.reasons.iter().map(String::as_str)))
    }

    /// What must be done where the decision is Allow. On a Deny, what a forbid carries, and what the trust model
    /// offers so that the same request passes.
    pub fn obligations(&self) -> impl Iterator<Item = AnswerObligation<'_>> {
        let here = self.outcome().into_iter().flat_map(|outcome| {
            let own = outcome.obligations().map(of_policy);
            let asked = trust::standing(outcome).map(|asked| AnswerObligation {
                policy: Some(trust::SOURCE),
                name: asked.name(),
                argument: None,
            });
            own.chain(asked)
        });
        let elsewhere = self.remote().into_iter();
        here.chain(elsewhere.flat_map(|remote| remote.obligations.iter().map(Into::into)))
    }

    /// What the determining policies advise; it may be ignored.
    pub fn advice(&self) -> impl Iterator<Item = AnswerObligation<'_>> {
        let here = self.outcome().into_iter();
        let here = here.flat_map(|outcome| outcome.advice().map(of_policy));
        let elsewhere = self.remote().into_iter();
        here.chain(elsewhere.flat_map(|remote| remote.advice.iter().map(Into::into)))
    }

    /// The revision of the policies that decided.
    #[must_use]
    pub fn revision(&self) -> &str {
        match &self.0 {
            Origin::Local { outcome, .. } => outcome.state().revision().as_str(),
            Origin::Remote(remote) => &remote.revision,
        }
    }

    /// The sequence of the state that decided: it rises with each state of one decision point.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        match &self.0 {
            Origin::Local { outcome, .. } => outcome.state().sequence(),
            Origin::Remote(remote) => remote.sequence,
        }
    }

    /// The instant the decision was made for.
    #[must_use]
    pub fn evaluated_at(&self) -> Timestamp {
        match &self.0 {
            Origin::Local { outcome, .. } => outcome.evaluated_at(),
            Origin::Remote(remote) => remote.evaluated_at,
        }
    }

    /// The id of a remote decision, by which its decision log names it.
    #[must_use]
    pub fn decision_id(&self) -> Option<&str> {
        self.remote()?.decision_id.as_deref()
    }

    /// Everything that is known of a decision that was made in this process.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.0 {
            Origin::Local { outcome, .. } => Some(outcome),
            Origin::Remote(_) => None,
        }
    }

    fn remote(&self) -> Option<&Remote> {
        match &self.0 {
            Origin::Local { .. } => None,
            Origin::Remote(remote) => Some(remote),
        }
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Origin::Local {
                outcome,
                request_id,
                explain,
            } => {
                let wire = WireAnswer {
                    decision_id: None,
                    request_id: request_id.as_deref(),
                    explain: *explain,
                    outcome,
                };
                let json = wire.to_json().map_err(serde::ser::Error::custom)?;
                json.serialize(serializer)
            }
            Origin::Remote(remote) => remote.json.serialize(serializer),
        }
    }
}

fn of_policy(obligation: crate::pdp::decide::Obligation<'_>) -> AnswerObligation<'_> {
    AnswerObligation {
        policy: Some(obligation.policy().as_ref()),
        name: obligation.name(),
        argument: obligation.argument(),
    }
}
