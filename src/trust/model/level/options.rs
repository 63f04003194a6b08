//! What makes a request pass that lacks trust or a level, and what may be done instead.
//!
//! The two are kept apart. Under `calibrated` a method is an option only if completing it now makes this
//! very request pass, which is found out by scoring it so; under `literal` methods are picked by the gap.

use super::validity::standing;
use crate::base::span::Span;
use crate::base::timestamp::Timestamp;
use crate::base::words::words;
use crate::trust::model::assessment::Assessment;
use crate::trust::model::checked::Model;
use crate::trust::model::config::Preset;
use crate::trust::model::input::{Identity, Inputs};
use crate::trust::model::method::{Evidence, Method, MethodSet};
use crate::trust::model::number::Score;

/// What completing a method proves.
fn completed(method: Method, user_verified: bool, now: Timestamp) -> Evidence {
    Evidence {
        method: Some(method),
        level: None,
        user_verified,
        at: now,
        until: None,
    }
}

/// The methods that the published table has; the others only stand in for them.
const PUBLISHED: [Method; 4] = [
    Method::PasswordConfirmation,
    Method::Totp,
    Method::Webauthn,
    Method::AdminApproval,
];

/// How a request can be made to pass by authenticating.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StepUp {
    /// The methods whose completion makes this request pass.
    pub methods: MethodSet,
    /// Those of them that have to verify the user, not only presence.
    pub verified: MethodSet,
    /// Methods that are offered and do not make it pass; `literal` only.
    pub other: MethodSet,
    /// The level to ask for.
    pub level: u8,
    /// How old the authentication may be then, in seconds.
    pub max_age: u32,
}

/// A method as it is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// The method.
    pub method: Method,
    /// Whether it has to verify the user.
    pub user_verification: bool,
    /// Whether the principal has enrolled it; `None` where that is not known.
    pub enrolled: Option<bool>,
    /// Whether completing it makes the request pass.
    pub reaches: bool,
}

impl StepUp {
    /// Whether nothing is offered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.methods.is_empty() && self.other.is_empty()
    }

    /// What is offered, in the order of [`Method::ALL`]; where enrolled methods are known, those first.
    pub fn ordered(&self, enrolled: Option<MethodSet>) -> impl Iterator<Item = Offer> + use<> {
        let enrolled = enrolled.filter(|methods| !methods.is_empty());
        let step_up = *self;
        let offers = move || {
            let offered = move |method: &Method| {
                step_up.methods.contains(*method) || step_up.other.contains(*method)
            };
            let methods = Method::ALL.into_iter().filter(offered);
            methods.map(move |method| Offer {
                method,
                user_verification: step_up.verified.contains(method),
                enrolled: enrolled.map(|methods| methods.contains(method)),
                reaches: step_up.methods.contains(method),
            })
        };
        let later = |offer: &Offer| offer.enrolled == Some(false);
        let first = offers().filter(move |offer| !later(offer));
        first.chain(offers().filter(later))
    }
}

words! {
    /// What may be done instead of authenticating.
    #[non_exhaustive]
    pub enum AlternativeKind by as_str {
        /// Waiting; `literal` only.
        TimeDelay = "time_delay",
        /// A supervisor's approval.
        SupervisorApproval = "supervisor_approval",
        /// Reading only, for a limited time, with everything logged.
        RestrictedAccess = "restricted_access",
        /// An administrator's approval, where the risk demands it.
        AdminApproval = "admin_approval",
    }
}

impl AlternativeKind {
    /// What restricts it.
    #[must_use]
    pub fn restrictions(self) -> &'static [&'static str] {
        match self {
            Self::RestrictedAccess => &["read_only", "time_limited", "enhanced_logging"],
            _ => &[],
        }
    }
}

/// Something that may be done instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alternative {
    /// What.
    pub kind: AlternativeKind,
    /// How long it takes or holds, in seconds.
    pub seconds: u32,
    /// The level that is required then, where it is lowered; `literal` only.
    pub lowered_level: Option<u8>,
}

impl Model {
    /// Which methods, completed right now, make this request reach this trust and this level.
    ///
    /// Each is tried by scoring the request with what it proves; methods that prove the same are scored
    /// once. Where it takes user verification to pass, the method says so. Allocates nothing.
    #[must_use]
    pub fn step_up(&self, inputs: &Inputs, trust: Score, level: u8, now: Timestamp) -> StepUp {
        let level = level.min(4);
        let mut step_up = StepUp::default();
        let mut reached = 4;
        // The composite and whether nothing knocks out, by what is proved.
        let mut scored: [Option<(Score, bool)>; 4] = [None; 4];
        for method in Method::ALL {
            let strength = |user_verified| self.strength(method, user_verified);
            // Verification is only tried where it is worth more.
            let mut tries = [false, true]
                .into_iter()
                .filter(|verified| strength(*verified) > 0)
                .filter(|verified| !verified || strength(true) > strength(false));
            let passing = tries.find_map(|user_verified| {
                let evidence = completed(method, user_verified, now);
                let known = &inputs.authentication.evidence;
                if standing(self, known, Some(&evidence), now).reached < level {
                    return None;
                }
                let (proved, identity) = self.proving(&inputs.identity, method);
                let slot = scored.get_mut(proved)?;
                let (composite, free) = *slot.get_or_insert_with(|| {
                    let after = self.assess_with(inputs, &identity, now);
                    (after.composite, after.knock_outs.is_empty())
                });
                (composite >= trust && free).then(|| (user_verified, strength(user_verified)))
            });
            if let Some((user_verified, strength)) = passing {
                step_up.methods = step_up.methods.with(method);
                reached = reached.min(strength);
                if user_verified {
                    step_up.verified = step_up.verified.with(method);
                }
            }
        }
        step_up.level = level;
        if self.preset() == Preset::Literal {
            self.pick_by_gap(inputs, level, now, &mut step_up);
        } else if !step_up.methods.is_empty() {
            // What reaches the trust by a method of a level is asked for by that level.
            step_up.level = level.max(reached);
        }
        step_up.max_age = self.max_age(&step_up);
        step_up
    }

    /// The identity once a method is completed, and which of the four cases of what it proves that is.
    fn proving(&self, identity: &Identity, method: Method) -> (usize, Identity) {
        let of = self.config().methods.of(method);
        let counts = self.authenticates(method);
        let (several, resistant) = (of.multi_factor && counts, of.phishing_resistant && counts);
        let holds = |proven: bool, before| if proven { Some(true) } else { before };
        let identity = Identity {
            mfa_verified: holds(several, identity.mfa_verified),
            phishing_resistant: holds(resistant, identity.phishing_resistant),
            ..*identity
        };
        (usize::from(several) + 2 * usize::from(resistant), identity)
    }

    /// The published way: whatever is no stronger than the gap between the levels.
    fn pick_by_gap(&self, inputs: &Inputs, level: u8, now: Timestamp, step_up: &mut StepUp) {
        let reached = self.assess(inputs, now).level.reached;
        let gap = level.saturating_sub(reached);
        let picked = PUBLISHED
            .into_iter()
            .filter(|method| self.strength(*method, false) <= gap);
        let (methods, other): (MethodSet, MethodSet) =
            picked.fold(Default::default(), |(yes, no), method| {
                if step_up.methods.contains(method) {
                    (yes.with(method), no)
                } else {
                    (yes, no.with(method))
                }
            });
        (step_up.methods, step_up.other) = (methods, other);
    }

    /// How old an authentication of the level may be.
    fn max_age(&self, step_up: &StepUp) -> u32 {
        let valid = self.config().validity.of(step_up.level.max(1));
        // Only what verification alone reaches lasts as short as that does.
        let short = step_up
            .verified
            .iter()
            .map(|method| self.config().methods.of(method).verified_for);
        short.fold(valid, Span::min).whole_seconds()
    }

    /// What may be done instead. `restricted` says whether a permit carries the obligation
    /// `restricted_access`: a decision point cannot enforce it otherwise.
    pub fn alternatives(
        &self,
        assessment: &Assessment,
        restricted: bool,
    ) -> impl Iterator<Item = Alternative> + use<> {
        let of = &self.config().alternatives;
        let literal = self.preset() == Preset::Literal;
        let alternative = |offered: bool, kind, seconds, lowered_level| {
            offered.then_some(Alternative {
                kind,
                seconds,
                lowered_level,
            })
        };
        let lowered = assessment
            .level
            .required
            .saturating_sub(of.time_delay_levels);
        [
            alternative(
                literal && assessment.subject_risk < of.time_delay_risk,
                AlternativeKind::TimeDelay,
                of.time_delay_for.whole_seconds(),
                Some(lowered),
            ),
            alternative(
                assessment.required < of.supervisor_approval_sensitivity,
                AlternativeKind::SupervisorApproval,
                of.supervisor_approval_for.whole_seconds(),
                None,
            ),
            alternative(
                literal || restricted,
                AlternativeKind::RestrictedAccess,
                of.restricted_access_for.whole_seconds(),
                None,
            ),
            alternative(
                !literal && self.demands_approval(assessment),
                AlternativeKind::AdminApproval,
                self.config().methods.admin_approval.takes.whole_seconds(),
                None,
            ),
        ]
        .into_iter()
        .flatten()
    }
}
