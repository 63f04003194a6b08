//! What trust does to a decision: requirements of permits, configured floors, knock-outs, and how a
//! request that lacks something can be made to pass.

use super::{Cause, Decision, Ruling, handles};
use crate::pdp::evaluate::Evaluation;
use crate::pdp::score::stage::Assessed;
use crate::policy::Meaning;
use crate::trust::model::{Assessment, MethodSet, Offer, RequirementKind, Score, StepUp};
use crate::trust::{Enforcement, Trust};

/// The floors that stand against a request; none by default.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Floors {
    pub(super) knocked_out: bool,
    trust: bool,
    level: bool,
    /// Whether they are looked at.
    counted: bool,
}

impl Floors {
    /// Those that would count if they were enforced.
    pub(super) fn of(evaluation: &Evaluation<'_>) -> Self {
        let Some(trust) = evaluation.trust else {
            return Self::default();
        };
        let found = &trust.assessment;
        Self {
            knocked_out: !found.knock_outs.is_empty(),
            trust: !found.trusted(),
            level: !found.authenticated(),
            counted: true,
        }
    }

    pub(super) fn unmet(&self) -> bool {
        self.trust || self.level
    }
}

/// Whether the requirements of a permit are met.
pub(super) fn meets(evaluation: &Evaluation<'_>, meaning: &Meaning) -> bool {
    if !meaning.requires() {
        return true;
    }
    // INVARIANT: a snapshot with such a permit has its requests scored. Without a score nothing is met.
    let Some(found) = evaluation.trust.map(|trust| &trust.assessment) else {
        return false;
    };
    found.exempt
        || (meaning
            .requires_trust
            .is_none_or(|trust| found.composite >= trust)
            && meaning
                .requires_level
                .is_none_or(|level| found.level.reached >= level))
}

/// Why satisfied permits do not make an Allow: an authentication can mend it, or none can.
pub(super) fn cause(step_up: Option<&StepUp>) -> Cause {
    match step_up {
        Some(step_up) if !step_up.is_empty() => Cause::StepUpRequired,
        _ => Cause::InsufficientTrust,
    }
}

/// The step-up that makes the request pass by the permit that demands least; else what was looked for.
pub(super) fn step_up(evaluation: &Evaluation<'_>, floors: &Floors) -> Option<StepUp> {
    let trust = evaluation.trust?;
    let model = evaluation.state.snapshot().trust()?.model();
    let found = &trust.assessment;
    let (floor_trust, floor_level) = match floors.counted {
        true => (found.required, found.level.required),
        false => (Score::ZERO, 0),
    };
    let snapshot = evaluation.state.snapshot();
    let permits = evaluation.determining.iter();
    let wanted = permits.filter_map(|policy| {
        let meaning = snapshot.policy(policy.index())?.meaning;
        let level = meaning.requires_level.unwrap_or(0).max(floor_level);
        let trust = meaning.requires_trust.unwrap_or_default().max(floor_trust);
        Some((level, trust))
    });
    let now = evaluation.now;
    let mut best: Option<StepUp> = None;
    for (level, score) in wanted {
        let found = model.step_up(&trust.inputs, score, level, now);
        let better = best.is_none_or(|best| {
            (found.methods.is_empty(), found.level) < (best.methods.is_empty(), best.level)
        });
        if better {
            best = Some(found);
        }
    }
    best
}

/// The obligation that stands on what is allowed at a high risk.
const ADMIN_APPROVAL: &str = "admin_approval";

/// Whether the model puts an obligation on what would be allowed that the caller does not handle.
pub(super) fn unhandled(evaluation: &Evaluation<'_>, floors: &Floors) -> bool {
    floors.counted && approval(evaluation) && !handles(evaluation, ADMIN_APPROVAL)
}

fn approval(evaluation: &Evaluation<'_>) -> bool {
    let model = evaluation
        .state
        .snapshot()
        .trust()
        .map(|trust| trust.model());
    let trust = evaluation.trust;
    model.zip(trust).is_some_and(|(model, trust)| {
        !trust.assessment.exempt && model.demands_approval(&trust.assessment)
    })
}

/// What trust had to do with a decision.
#[derive(Debug, Clone)]
pub struct TrustOutcome {
    assessment: Assessment,
    enforcement: Enforcement,
    step_up: Option<StepUp>,
    enrolled: Option<MethodSet>,
    would_be: Option<WouldBe>,
    approval: bool,
    /// Whether requirements on the way to an Allow are worth telling.
    lacking: bool,
    by_trust: bool,
    /// Whether a satisfied permit carries the obligation `restricted_access`.
    restricted: bool,
}

/// The decision there would be if floors and knock-outs were enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WouldBe {
    /// Allow or Deny.
    pub decision: Decision,
    /// Why.
    pub cause: Cause,
}

/// Something that the trust model asks for, with its stable name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirement {
    /// `step_up`: authenticate again, by one of the methods of [`TrustOutcome::options`].
    StepUp {
        /// The level to reach.
        level: u8,
        /// Seconds that the authentication may be old.
        max_age: u32,
    },
    /// `device_verification`: verify the device.
    DeviceVerification,
    /// `session_monitoring`: watch the session for this many seconds.
    SessionMonitoring {
        /// Seconds.
        seconds: u32,
    },
    /// `admin_approval`: get an administrator's approval.
    AdminApproval,
}

impl Requirement {
    /// `step_up`, `device_verification`, `session_monitoring`, `admin_approval`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::StepUp { .. } => "step_up",
            Self::DeviceVerification => "device_verification",
            Self::SessionMonitoring { .. } => "session_monitoring",
            Self::AdminApproval => ADMIN_APPROVAL,
        }
    }
}

/// What trust had to do with a decision whose cause is `cause`; `stands` is what there is or would be.
pub(super) fn outcome(
    evaluation: &Evaluation<'_>,
    trust: &Assessed,
    cause: Cause,
    stands: &Ruling,
    would_be: Option<&Ruling>,
) -> TrustOutcome {
    let lacking = matches!(
        stands.cause,
        Cause::StepUpRequired | Cause::InsufficientTrust
    );
    TrustOutcome {
        assessment: trust.assessment,
        enforcement: trust.mode,
        step_up: stands.step_up,
        enrolled: trust.inputs.authentication.enrolled,
        would_be: would_be.map(|found| WouldBe {
            decision: found.cause.decision(),
            cause: found.cause,
        }),
        approval: match stands.cause {
            Cause::Permitted => trust.mode == Enforcement::Enforce,
            Cause::UnsupportedObligation => true,
            _ => false,
        } && approval(evaluation),
        lacking,
        restricted: lacking && restricted(evaluation),
        by_trust: matches!(
            cause,
            Cause::StepUpRequired | Cause::InsufficientTrust | Cause::KnockedOut
        ),
    }
}

/// Whether a satisfied permit carries the obligation to restrict the access: then, and only then, is
/// there somebody who restricts it.
fn restricted(evaluation: &Evaluation<'_>) -> bool {
    let snapshot = evaluation.state.snapshot();
    let mut permits = evaluation.determining.iter();
    permits.any(|policy| {
        let policy = snapshot.policy(policy.index());
        policy.is_some_and(|policy| {
            let mut obligations = policy.meaning.obligations.iter();
            obligations.any(|duty| duty.name() == "restricted_access")
        })
    })
}

impl TrustOutcome {
    /// The score and what it is made of.
    #[must_use]
    pub fn assessment(&self) -> &Assessment {
        &self.assessment
    }

    /// How an unmet floor of this request is handled.
    #[must_use]
    pub fn enforcement(&self) -> Enforcement {
        self.enforcement
    }

    /// The decision there would be under `enforce`, where it is another one.
    #[must_use]
    pub fn would_be(&self) -> Option<WouldBe> {
        self.would_be
    }

    /// Whether trust alone made it a Deny.
    #[must_use]
    pub fn is_cause(&self) -> bool {
        self.by_trust
    }

    /// The methods whose completion makes the same request pass, enrolled ones first.
    pub fn options(&self) -> impl Iterator<Item = Offer> + '_ {
        let step_up = self.step_up.iter();
        step_up.flat_map(|step_up| step_up.ordered(self.enrolled))
    }

    /// The level that such a step-up reaches, where one helps.
    #[must_use]
    pub fn step_up(&self) -> Option<&StepUp> {
        self.step_up.as_ref().filter(|found| !found.is_empty())
    }

    /// What would have to be done, or has to be where the decision is Allow.
    pub(crate) fn requirements<'a>(
        &'a self,
        trust: &'a Trust,
    ) -> impl Iterator<Item = Requirement> + use<'a> {
        let step_up = self.step_up().map(|found| Requirement::StepUp {
            level: found.level,
            max_age: found.max_age,
        });
        let gap = self
            .lacking
            .then(|| trust.model().requirements(&self.assessment));
        let gap = gap
            .into_iter()
            .flatten()
            .filter_map(|asked| match asked.kind {
                RequirementKind::SessionMonitoring => Some(Requirement::SessionMonitoring {
                    seconds: asked.seconds.unwrap_or_default(),
                }),
                RequirementKind::DeviceVerification => Some(Requirement::DeviceVerification),
                // It is among them where it helps.
                RequirementKind::StepUp => None,
            });
        let approval = self.approval.then_some(Requirement::AdminApproval);
        step_up.into_iter().chain(gap).chain(approval)
    }

    /// Whether restricted access can be offered in place of an authentication: a satisfied permit carries
    /// the obligation `restricted_access`.
    #[must_use]
    pub fn restricted(&self) -> bool {
        self.restricted
    }

    /// Whether the Allow carries the obligation to get an approval.
    pub(super) fn needs_approval(&self) -> bool {
        self.approval
    }
}
