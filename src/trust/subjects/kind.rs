//! The types of events as they are kept: one byte, a name, and which of them count for what.

use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

use super::event::EventKind;

/// A type of event without what it carries. The numbers are those of records on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Sort {
    LoginFailed = 0,
    SuspiciousLocation = 1,
    MfaBypassAttempt = 2,
    AnomalousApiUsage = 3,
    SensitiveDataAccess = 4,
    PrivilegeEscalation = 5,
    SuspiciousNetworkTraffic = 6,
    SystemCompromiseIndicator = 7,
    RateLimitHit = 8,
    SessionRevoked = 9,
    SessionEstablished = 10,
    TokenClaimsChange = 11,
    CredentialChange = 12,
    AssuranceLevelChange = 13,
    DeviceComplianceChange = 14,
    RiskLevelChange = 15,
    AccountDisabled = 16,
    AccountEnabled = 17,
    CredentialCompromise = 18,
}

/// How many types are security events; they come first.
pub(super) const SECURITY: usize = 9;

impl Sort {
    const ALL: [(Self, &'static str); 19] = [
        (Self::LoginFailed, "auth.login_failed"),
        (Self::SuspiciousLocation, "auth.suspicious_location"),
        (Self::MfaBypassAttempt, "auth.mfa_bypass_attempt"),
        (Self::AnomalousApiUsage, "app.anomalous_api_usage"),
        (Self::SensitiveDataAccess, "app.sensitive_data_access"),
        (Self::PrivilegeEscalation, "app.privilege_escalation"),
        (
            Self::SuspiciousNetworkTraffic,
            "infra.suspicious_network_traffic",
        ),
        (
            Self::SystemCompromiseIndicator,
            "infra.system_compromise_indicator",
        ),
        (Self::RateLimitHit, "rate_limit.hit"),
        (Self::SessionRevoked, "session-revoked"),
        (Self::SessionEstablished, "session-established"),
        (Self::TokenClaimsChange, "token-claims-change"),
        (Self::CredentialChange, "credential-change"),
        (Self::AssuranceLevelChange, "assurance-level-change"),
        (Self::DeviceComplianceChange, "device-compliance-change"),
        (Self::RiskLevelChange, "risk-level-change"),
        (Self::AccountDisabled, "account-disabled"),
        (Self::AccountEnabled, "account-enabled"),
        (Self::CredentialCompromise, "credential-compromise"),
    ];

    pub(super) fn of(kind: &EventKind) -> Self {
        match kind {
            EventKind::LoginFailed => Self::LoginFailed,
            EventKind::SuspiciousLocation => Self::SuspiciousLocation,
            EventKind::MfaBypassAttempt => Self::MfaBypassAttempt,
            EventKind::AnomalousApiUsage => Self::AnomalousApiUsage,
            EventKind::SensitiveDataAccess => Self::SensitiveDataAccess,
            EventKind::PrivilegeEscalation => Self::PrivilegeEscalation,
            EventKind::SuspiciousNetworkTraffic => Self::SuspiciousNetworkTraffic,
            EventKind::SystemCompromiseIndicator => Self::SystemCompromiseIndicator,
            EventKind::RateLimitHit => Self::RateLimitHit,
            EventKind::SessionRevoked => Self::SessionRevoked,
            EventKind::SessionEstablished => Self::SessionEstablished,
            EventKind::TokenClaimsChange => Self::TokenClaimsChange,
            EventKind::CredentialChange { .. } => Self::CredentialChange,
            EventKind::AssuranceLevelChange { .. } => Self::AssuranceLevelChange,
            EventKind::DeviceComplianceChange { .. } => Self::DeviceComplianceChange,
            EventKind::RiskLevelChange { .. } => Self::RiskLevelChange,
            EventKind::AccountDisabled => Self::AccountDisabled,
            EventKind::AccountEnabled => Self::AccountEnabled,
            EventKind::CredentialCompromise => Self::CredentialCompromise,
        }
    }

    /// The name in `POST /events`.
    pub(super) fn name(self) -> &'static str {
        let mut all = Self::ALL.iter();
        all.find(|(sort, _)| *sort == self)
            .map_or("", |(_, name)| name)
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter();
        all.find(|(_, other)| *other == name).map(|(sort, _)| *sort)
    }

    /// Whether it is a security event; the others say how a state is.
    pub(super) fn security(self) -> bool {
        (self as usize) < SECURITY
    }

    /// Whether it says something of the user it names, with its session where it
    /// [needs one](Self::needs_session). The others anybody can cause without being logged
    /// in, so that holding them against the user would let a stranger lock it out.
    pub(super) fn attributable(self) -> bool {
        self.security()
            && !matches!(
                self,
                Self::LoginFailed | Self::RateLimitHit | Self::SuspiciousNetworkTraffic
            )
    }
}

impl Sort {
    /// Whether it says something of the user only if it names a session that is known to be the user's: it
    /// is of a login, and without a session anybody may have tried it.
    pub(super) fn needs_session(self) -> bool {
        matches!(self, Self::SuspiciousLocation | Self::MfaBypassAttempt)
    }
}

impl Serialize for Sort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(*self as u8)
    }
}

impl<'de> Deserialize<'de> for Sort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u8::deserialize(deserializer)?;
        let found = Self::ALL.iter().find(|(sort, _)| *sort as u8 == number);
        found
            .map(|(sort, _)| *sort)
            .ok_or_else(|| de::Error::custom(format!("no type of event has the number {number}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_distinct_and_read_back() {
        for (at, (sort, name)) in Sort::ALL.iter().enumerate() {
            assert_eq!(*sort as usize, at, "{name}");
            assert_eq!(Sort::from_name(name), Some(*sort));
            let json = serde_json::to_string(sort).unwrap();
            assert_eq!(serde_json::from_str::<Sort>(&json).unwrap(), *sort);
        }
        assert_eq!(Sort::from_name("auth.login"), None);
    }

    #[test]
    fn what_strangers_can_cause_is_not_attributable() {
        let attributable: Vec<_> = Sort::ALL
            .iter()
            .filter(|(sort, _)| sort.attributable())
            .collect();
        assert_eq!(attributable.len(), 6);
        for sort in [
            Sort::LoginFailed,
            Sort::RateLimitHit,
            Sort::SuspiciousNetworkTraffic,
        ] {
            assert!(sort.security() && !sort.attributable());
        }
    }
}
