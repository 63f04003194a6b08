//! What a lack of trust demands: requirements by the gap, mitigations by low factors.

use super::assessment::{Assessment, FactorId, Status};
use super::checked::Model;
use super::method::{Method, MethodSet};
use crate::base::words::words;

words! {
    /// What a gap demands.
    #[non_exhaustive]
    pub enum RequirementKind by as_str {
        /// The session is monitored.
        SessionMonitoring = "session_monitoring",
        /// The device is verified.
        DeviceVerification = "device_verification",
        /// The principal authenticates again.
        StepUp = "step_up",
    }
}

/// Something that a gap demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requirement {
    /// What.
    pub kind: RequirementKind,
    /// For how many seconds, where it lasts.
    pub seconds: Option<u32>,
    /// By which methods; only of `step_up`.
    pub methods: MethodSet,
}

words! {
    /// What a low factor demands.
    #[non_exhaustive]
    pub enum MitigationKind by as_str {
        /// Only known locations are accepted.
        KnownLocationsOnly = "known_locations_only",
        /// The device is registered, with an administrator's approval.
        DeviceRegistration = "device_registration",
        /// What happens is logged in full.
        EnhancedLogging = "enhanced_logging",
        /// What happens is alerted of as it happens.
        RealTimeAlerting = "real_time_alerting",
    }
}

/// Something that a low factor demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mitigation {
    /// Which factor.
    pub factor: FactorId,
    /// What.
    pub kind: MitigationKind,
    /// For how many seconds, where it lasts.
    pub seconds: Option<u32>,
    /// Whether an administrator has to approve.
    pub admin_approval: bool,
}

impl Model {
    /// What the gap demands; the requirements accumulate.
    pub fn requirements(&self, assessment: &Assessment) -> impl Iterator<Item = Requirement> {
        let config = &self.config().gap;
        let gap = assessment.gap();
        let methods: MethodSet = config.step_up_methods.iter().copied().collect();
        let requirement = |above, kind, seconds, methods| {
            (gap > above).then_some(Requirement {
                kind,
                seconds,
                methods,
            })
        };
        let none = MethodSet::default();
        [
            requirement(
                config.session_monitoring,
                RequirementKind::SessionMonitoring,
                Some(config.session_monitoring_for.whole_seconds()),
                none,
            ),
            requirement(
                config.device_verification,
                RequirementKind::DeviceVerification,
                None,
                none,
            ),
            requirement(config.step_up, RequirementKind::StepUp, None, methods),
        ]
        .into_iter()
        .flatten()
    }

    /// What the low factors demand. One that takes no part demands nothing.
    pub fn mitigations(&self, assessment: &Assessment) -> impl Iterator<Item = Mitigation> {
        let config = &self.config().mitigations;
        let (below, hours) = (config.below, config.known_locations_for.whole_seconds());
        let low = assessment.factors.map(|factor| {
            (
                factor.status != Status::Unavailable && factor.score < below,
                factor.id,
            )
        });
        low.into_iter()
            .filter(|(low, _)| *low)
            .flat_map(move |(_, factor)| {
                let of = |kind, seconds, admin_approval| {
                    Some(Mitigation {
                        factor,
                        kind,
                        seconds,
                        admin_approval,
                    })
                };
                match factor {
                    FactorId::Location => [
                        of(MitigationKind::KnownLocationsOnly, Some(hours), false),
                        None,
                    ],
                    FactorId::Device => [of(MitigationKind::DeviceRegistration, None, true), None],
                    FactorId::Behavior => [
                        of(MitigationKind::EnhancedLogging, None, false),
                        of(MitigationKind::RealTimeAlerting, None, false),
                    ],
                    _ => [None, None],
                }
            })
            .flatten()
    }

    /// Whether an administrator has to approve, as the risk of the subject is high.
    #[must_use]
    pub fn demands_approval(&self, assessment: &Assessment) -> bool {
        !assessment.exempt && assessment.subject_risk > self.config().levels.approval_above
    }

    /// Whether a method may ever be an authentication.
    pub(super) fn authenticates(&self, method: Method) -> bool {
        method != Method::AdminApproval || self.preset() == super::config::Preset::Literal
    }
}
