//! Security events.

use std::net::IpAddr;

use crate::base::entity_ref::EntityRef;
use crate::base::timestamp::Timestamp;

/// How severe an event is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// 1.
    Low,
    /// 2.
    Medium,
    /// 3.
    High,
    /// 4.
    Critical,
}

impl Severity {
    /// `low`, `medium`, `high`, `critical`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// Who or what an event is about; at least one member is given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct EventSubject {
    /// The principal.
    pub user: Option<EntityRef>,
    /// The address it came from.
    pub ip: Option<IpAddr>,
    /// The session.
    pub session: Option<String>,
    /// The device.
    pub device: Option<String>,
}

/// A security event, as a source reports it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The source's id for it; the same (source, id) counts once.
    pub id: String,
    /// What happened.
    pub kind: EventKind,
    /// When.
    pub at: Timestamp,
    /// Who says so: the caller's name, or the issuer of a security event token.
    pub source: String,
    /// How severe it is.
    pub severity: Severity,
    /// Who or what it is about.
    pub subject: EventSubject,
}

/// What happened. The names are those of `POST /events`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// `auth.login_failed`
    LoginFailed,
    /// `auth.suspicious_location`
    SuspiciousLocation,
    /// `auth.mfa_bypass_attempt`
    MfaBypassAttempt,
    /// `app.anomalous_api_usage`
    AnomalousApiUsage,
    /// `app.sensitive_data_access`
    SensitiveDataAccess,
    /// `app.privilege_escalation`
    PrivilegeEscalation,
    /// `infra.suspicious_network_traffic`
    SuspiciousNetworkTraffic,
    /// `infra.system_compromise_indicator`
    SystemCompromiseIndicator,
    /// `rate_limit.hit`
    RateLimitHit,
    /// `session-revoked`: of the session, or of all the user's sessions until then.
    SessionRevoked,
    /// `session-established`: the user has a new session.
    SessionEstablished,
    /// `token-claims-change`: claims of the user's tokens are others; nothing is concluded but that older
    /// tokens' claims are stale.
    TokenClaimsChange,
    /// `credential-change`: a credential was created, updated, revoked or deleted.
    CredentialChange {
        /// The method, where it is one that is known.
        method: Option<crate::trust::model::Method>,
        /// What became of it.
        change: CredentialChange,
    },
    /// `assurance-level-change`: the session has this level now (0 to 4).
    AssuranceLevelChange {
        /// The level.
        level: u8,
    },
    /// `device-compliance-change`
    DeviceComplianceChange {
        /// Whether it complies now.
        compliant: bool,
    },
    /// `risk-level-change`
    RiskLevelChange {
        /// The level now.
        level: crate::trust::model::Band,
    },
    /// `account-disabled`
    AccountDisabled,
    /// `account-enabled`
    AccountEnabled,
    /// `credential-compromise`
    CredentialCompromise,
}

/// How a credential changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CredentialChange {
    /// It was enrolled.
    Create,
    /// It was changed.
    Update,
    /// It was revoked.
    Revoke,
    /// It was deleted.
    Delete,
}
