//! What trust does to a decision: requirements of permits, configured floors, knock-outs, and how a
//! request that lacks something can be made to pass.

use std::sync::OnceLock;

use smallvec::SmallVec;

use super::{Cause, Decision, Ruling, handles};
use crate::base::timestamp::Timestamp;
use crate::pdp::evaluate::Evaluation;
use crate::pdp::score::stage::{Assessed, AssessedBox};
use crate::policy::Meaning;
use crate::trust::model::{Assessment, Inputs, Model, Offer, RequirementKind, Score, StepUp};
use crate::trust::{Enforcement, Trust};

/// The floors that stand against a request; none by default.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Floors {
    pub(super) knocked_out: bool,
    trust: bool,
    level: bool,
    /// Whether they are looked at.
    counted: bool,
    /// Whether what would mend them is left open until somebody asks.
    is_open: bool,
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
            is_open: false,
        }
    }

    /// The same, and what would mend them is not looked for yet.
    pub(super) fn left_open(self) -> Self {
        Self {
            is_open: true,
            ..self
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

/// What would make a request pass whose permits are satisfied and do not make an Allow.
#[derive(Debug, Clone)]
pub(super) enum Mend {
    /// Nothing is wrong, or no authentication can change it.
    Nothing,
    /// What was found.
    Found(StepUp),
    /// It was not looked for yet: one of these levels and scores has to be reached.
    Open(SmallVec<[(u8, Score); 2]>),
}

impl Mend {
    /// Why the permits do not make an Allow: an authentication can mend it, or none can.
    pub(super) fn cause(&self) -> Cause {
        match self {
            Self::Found(step_up) => cause(*step_up),
            _ => Cause::InsufficientTrust,
        }
    }
}

fn cause(step_up: StepUp) -> Cause {
    if step_up.is_empty() {
        Cause::InsufficientTrust
    } else {
        Cause::StepUpRequired
    }
}

/// The step-up that makes the request pass by the permit that demands least; else what was looked for.
pub(super) fn mend(evaluation: &Evaluation<'_>, floors: &Floors) -> Mend {
    let Some(trust) = evaluation.trust else {
        return Mend::Nothing;
    };
    let found = &trust.assessment;
    let (floor_trust, floor_level) = match floors.counted {
        true => (found.required, found.level.required),
        false => (Score::ZERO, 0),
    };
    let snapshot = evaluation.state.snapshot();
    let mut wanted = SmallVec::new();
    for policy in &evaluation.determining {
        let policy = policy.index();
        let mut demanded = (floor_level, floor_trust);
        if snapshot.is_meaningful(policy) {
            let Some(policy) = snapshot.policy(policy) else {
                continue;
            };
            let meaning = policy.meaning;
            demanded.0 = meaning.requires_level.unwrap_or(0).max(floor_level);
            demanded.1 = meaning.requires_trust.unwrap_or_default().max(floor_trust);
        }
        if !wanted.contains(&demanded) {
            wanted.push(demanded);
        }
    }
    if floors.is_open {
        return Mend::Open(wanted);
    }
    let model = snapshot.trust().map(|trust| trust.model());
    let best = model.and_then(|model| step_up(model, &trust.inputs, &wanted, evaluation.now));
    best.map_or(Mend::Nothing, Mend::Found)
}

/// The best step-up by which one of the wanted levels and scores is reached.
fn step_up(
    model: &Model,
    inputs: &Inputs,
    wanted: &[(u8, Score)],
    now: Timestamp,
) -> Option<StepUp> {
    let mut best: Option<StepUp> = None;
    for (level, score) in wanted {
        let found = model.step_up(inputs, *score, *level, now);
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
    assessed: AssessedBox,
    finding: Finding,
    /// What was found where the finding left it open.
    step_up: OnceLock<Option<StepUp>>,
}

/// What the decision says of trust, apart from the score.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    mend: Mend,
    /// The cause under `enforce`, where it is another one and known.
    would_be: Option<Cause>,
    approval: bool,
    /// Whether requirements on the way to an Allow are worth telling.
    lacking: bool,
    by_trust: bool,
    /// Whether a satisfied permit carries the obligation `restricted_access`.
    restricted: bool,
}

/// The decision there would be if floors and knock-outs were enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WouldBe {
    /// Allow or Deny.
    pub decision: Decision,
    /// Why.
    pub cause: Cause,
}

/// Something that the trust model asks for, with its stable name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
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

/// What trust had to do with the decision `found`; `would_be` is another one under `enforce`.
pub(super) fn finding(
    evaluation: &Evaluation<'_>,
    trust: &Assessed,
    found: &Ruling,
    would_be: Option<&Ruling>,
) -> Finding {
    let stands = would_be.unwrap_or(found);
    let lacking = stands.cause.is_of_trust();
    Finding {
        mend: stands.mend.clone(),
        would_be: would_be.map(|found| found.cause),
        approval: match stands.cause {
            Cause::Permitted => trust.mode == Enforcement::Enforce,
            Cause::UnsupportedObligation => true,
            _ => false,
        } && approval(evaluation),
        lacking,
        restricted: lacking && restricted(evaluation),
        by_trust: found.cause.is_of_trust() || found.cause == Cause::KnockedOut,
    }
}

/// Whether a satisfied permit carries the obligation to restrict the access: then, and only then, is
/// there somebody who restricts it.
fn restricted(evaluation: &Evaluation<'_>) -> bool {
    let snapshot = evaluation.state.snapshot();
    let mut permits = evaluation.determining.iter();
    permits.any(|policy| {
        if !snapshot.is_meaningful(policy.index()) {
            return false;
        }
        let policy = snapshot.policy(policy.index());
        policy.is_some_and(|policy| {
            let mut obligations = policy.meaning.obligations.iter();
            obligations.any(|duty| duty.name() == "restricted_access")
        })
    })
}

impl TrustOutcome {
    pub(super) fn new(assessed: AssessedBox, finding: Finding) -> Self {
        Self {
            assessed,
            finding,
            step_up: OnceLock::new(),
        }
    }

    /// Looks for what would mend the request, where nobody did yet.
    pub(super) fn complete(&self, model: &Model, now: Timestamp) {
        if let Mend::Open(wanted) = &self.finding.mend {
            let inputs = &self.assessed.get().inputs;
            self.step_up
                .get_or_init(|| step_up(model, inputs, wanted, now));
        }
    }

    fn found(&self) -> Option<&StepUp> {
        match &self.finding.mend {
            Mend::Nothing => None,
            Mend::Found(step_up) => Some(step_up),
            Mend::Open(_) => self.step_up.get()?.as_ref(),
        }
    }

    /// The score and what it is made of.
    #[must_use]
    pub fn assessment(&self) -> &Assessment {
        &self.assessed.get().assessment
    }

    /// How an unmet floor of this request is handled.
    #[must_use]
    pub fn enforcement(&self) -> Enforcement {
        self.assessed.get().mode
    }

    /// The decision there would be under `enforce`, where it is another one.
    #[must_use]
    pub fn would_be(&self) -> Option<WouldBe> {
        let mut known = self.finding.would_be?;
        if matches!(self.finding.mend, Mend::Open(_)) {
            known = self.found().map_or(known, |found| cause(*found));
        }
        Some(WouldBe {
            decision: known.decision(),
            cause: known,
        })
    }

    /// Whether trust alone made it a Deny.
    #[must_use]
    pub fn is_cause(&self) -> bool {
        self.finding.by_trust
    }

    /// The methods whose completion makes the same request pass, enrolled ones first.
    pub fn options(&self) -> impl Iterator<Item = Offer> + '_ {
        let enrolled = self.assessed.get().inputs.authentication.enrolled;
        let step_up = self.found().into_iter();
        step_up.flat_map(move |step_up| step_up.ordered(enrolled))
    }

    /// The level that such a step-up reaches, where one helps.
    #[must_use]
    pub fn step_up(&self) -> Option<&StepUp> {
        self.found().filter(|found| !found.is_empty())
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
        let lacking = self.finding.lacking;
        let gap = lacking.then(|| trust.model().requirements(self.assessment()));
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
        let approval = self.finding.approval.then_some(Requirement::AdminApproval);
        step_up.into_iter().chain(gap).chain(approval)
    }

    /// Whether restricted access can be offered in place of an authentication: a satisfied permit carries
    /// the obligation `restricted_access`.
    #[must_use]
    pub fn restricted(&self) -> bool {
        self.finding.restricted
    }

    /// Whether the Allow carries the obligation to get an approval.
    pub(super) fn needs_approval(&self) -> bool {
        self.finding.approval
    }
}
