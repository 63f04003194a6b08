//! The names of kinds of events, as they stand in `POST /events` and in metrics.

use crate::trust::subjects::EventKind;

/// Every name, each at its place for metrics.
pub(crate) const NAMES: [&str; 19] = [
    "auth.login_failed",
    "auth.suspicious_location",
    "auth.mfa_bypass_attempt",
    "app.anomalous_api_usage",
    "app.sensitive_data_access",
    "app.privilege_escalation",
    "infra.suspicious_network_traffic",
    "infra.system_compromise_indicator",
    "rate_limit.hit",
    "session-revoked",
    "session-established",
    "token-claims-change",
    "credential-change",
    "assurance-level-change",
    "device-compliance-change",
    "risk-level-change",
    "account-disabled",
    "account-enabled",
    "credential-compromise",
];

/// The name of a kind.
pub(crate) fn name(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::LoginFailed => "auth.login_failed",
        EventKind::SuspiciousLocation => "auth.suspicious_location",
        EventKind::MfaBypassAttempt => "auth.mfa_bypass_attempt",
        EventKind::AnomalousApiUsage => "app.anomalous_api_usage",
        EventKind::SensitiveDataAccess => "app.sensitive_data_access",
        EventKind::PrivilegeEscalation => "app.privilege_escalation",
        EventKind::SuspiciousNetworkTraffic => "infra.suspicious_network_traffic",
        EventKind::SystemCompromiseIndicator => "infra.system_compromise_indicator",
        EventKind::RateLimitHit => "rate_limit.hit",
        EventKind::SessionRevoked => "session-revoked",
        EventKind::SessionEstablished => "session-established",
        EventKind::TokenClaimsChange => "token-claims-change",
        EventKind::CredentialChange { .. } => "credential-change",
        EventKind::AssuranceLevelChange { .. } => "assurance-level-change",
        EventKind::DeviceComplianceChange { .. } => "device-compliance-change",
        EventKind::RiskLevelChange { .. } => "risk-level-change",
        EventKind::AccountDisabled => "account-disabled",
        EventKind::AccountEnabled => "account-enabled",
        EventKind::CredentialCompromise => "credential-compromise",
    }
}
