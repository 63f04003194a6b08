//! One event as JSON, to an [`Event`].

use serde_json::Value;

use super::fields::{Fields, LONGEST_ID};
use super::kinds::NAMES;
use crate::json::{InputFault, shown};
use crate::score::{Band, Method};
use crate::signals::{CredentialChange, Event, EventKind, EventSubject, Severity};

/// Members of an event.
const MEMBERS: &[&str] = &["id", "type", "timestamp", "severity", "subject", "data"];
/// Longest id of an event, in bytes.
const LONGEST_EVENT_ID: usize = 256;

/// Reads an event that `source` reports; it stands at `at`.
///
/// # Errors
/// Every fault with its place.
pub(super) fn read(value: Value, at: &str, source: &str) -> Result<Event, Vec<InputFault>> {
    let mut fields = Fields::of(value, at, MEMBERS)?;
    if fields.take("source").is_some() {
        fields.fault("source", "the source is the caller's name; leave it out");
    }
    let id = fields.required_text("id", LONGEST_EVENT_ID);
    let name = fields.required_text("type", LONGEST_ID);
    let at = fields.time("timestamp");
    if at.is_none() {
        fields.missing("timestamp");
    }
    let severity = fields.word("severity", "low, medium, high, critical", severity);
    let subject = match fields.object("subject", &["user", "ip", "session", "device"]) {
        Some(inner) => Some(subject(inner, &mut fields)),
        None => {
            fields.missing("subject");
            None
        }
    };
    let data = fields.take("data");
    let kind = name.and_then(|name| kind(&name, data, &mut fields));
    // State events say what is so; how grave that is follows from it.
    let grave = severity.or_else(|| kind.as_ref().and_then(usual));
    if grave.is_none() && kind.is_some() {
        fields.missing("severity");
    }
    fields.end()?;
    match (id, kind, at, grave, subject) {
        (Some(id), Some(kind), Some(at), Some(severity), Some(subject)) => Ok(Event {
            id,
            kind,
            at,
            source: source.to_owned(),
            severity,
            subject,
        }),
        // Whatever is missing was noted above.
        _ => Err(vec![InputFault::new("", "the event is not whole")]),
    }
}

fn subject(mut inner: Fields, fields: &mut Fields) -> EventSubject {
    let subject = EventSubject {
        user: inner.entity("user"),
        ip: inner.address("ip"),
        session: inner.text("session", LONGEST_ID),
        device: inner.text("device", LONGEST_ID),
    };
    if subject == EventSubject::default() && inner.is_clean() {
        inner.whole("name at least one of user, ip, session and device");
    }
    fields.within(inner);
    subject
}

fn severity(name: &str) -> Option<Severity> {
    let all = [
        Severity::Low,
        Severity::Medium,
        Severity::High,
        Severity::Critical,
    ];
    all.into_iter().find(|severity| severity.as_str() == name)
}

/// How grave a state event is where that is not said.
fn usual(kind: &EventKind) -> Option<Severity> {
    Some(match kind {
        EventKind::SessionEstablished
        | EventKind::TokenClaimsChange
        | EventKind::AssuranceLevelChange { .. }
        | EventKind::DeviceComplianceChange { compliant: true }
        | EventKind::AccountEnabled => Severity::Low,
        EventKind::SessionRevoked => Severity::Medium,
        EventKind::AccountDisabled | EventKind::DeviceComplianceChange { compliant: false } => {
            Severity::High
        }
        EventKind::CredentialCompromise => Severity::Critical,
        EventKind::CredentialChange { change, .. } => match change {
            CredentialChange::Create | CredentialChange::Update => Severity::Low,
            CredentialChange::Revoke | CredentialChange::Delete => Severity::Medium,
        },
        EventKind::RiskLevelChange { level } => match level {
            Band::Low => Severity::Low,
            Band::Medium => Severity::Medium,
            Band::High => Severity::High,
        },
        _ => return None,
    })
}

/// The kind of this name, with what `data` has to say of it.
fn kind(name: &str, data: Option<Value>, fields: &mut Fields) -> Option<EventKind> {
    let simple = match name {
        "auth.login_failed" => EventKind::LoginFailed,
        "auth.suspicious_location" => EventKind::SuspiciousLocation,
        "auth.mfa_bypass_attempt" => EventKind::MfaBypassAttempt,
        "app.anomalous_api_usage" => EventKind::AnomalousApiUsage,
        "app.sensitive_data_access" => EventKind::SensitiveDataAccess,
        "app.privilege_escalation" => EventKind::PrivilegeEscalation,
        "infra.suspicious_network_traffic" => EventKind::SuspiciousNetworkTraffic,
        "infra.system_compromise_indicator" => EventKind::SystemCompromiseIndicator,
        "rate_limit.hit" => EventKind::RateLimitHit,
        "session-revoked" => EventKind::SessionRevoked,
        "session-established" => EventKind::SessionEstablished,
        "token-claims-change" => EventKind::TokenClaimsChange,
        "account-disabled" => EventKind::AccountDisabled,
        "account-enabled" => EventKind::AccountEnabled,
        "credential-compromise" => EventKind::CredentialCompromise,
        _ => return with_data(name, data, fields),
    };
    if let Some(data) = data.filter(|data| !data.is_object()) {
        let found = crate::json::kind(&data);
        fields.fault("data", format!("expected an object, found {found}"));
    }
    Some(simple)
}

fn with_data(name: &str, data: Option<Value>, fields: &mut Fields) -> Option<EventKind> {
    let known: &'static [&'static str] = match name {
        "credential-change" => &["method", "change"],
        "assurance-level-change" | "risk-level-change" => &["level"],
        "device-compliance-change" => &["compliant"],
        _ => {
            let hint = match crate::nearest::nearest(name, NAMES) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "docs/signals.md lists them".to_owned(),
            };
            let detail = format!("`{}` is no type of event; {hint}", shown(name));
            fields.fault("type", detail);
            return None;
        }
    };
    let Some(data) = data else {
        fields.fault("data", format!("is required for `{name}`"));
        return None;
    };
    fields.put("data", data);
    let mut data = fields.object("data", known)?;
    let kind = match name {
        "credential-change" => {
            let method = data.word("method", &methods(), Method::from_name);
            let change = data.word("change", "create, update, revoke, delete", change);
            if change.is_none() {
                data.missing("change");
            }
            change.map(|change| EventKind::CredentialChange { method, change })
        }
        "assurance-level-change" => {
            let level = data.number("level", 4);
            if level.is_none() {
                data.missing("level");
            }
            level.map(|level| EventKind::AssuranceLevelChange { level })
        }
        "device-compliance-change" => {
            let compliant = data.boolean("compliant");
            if compliant.is_none() {
                data.missing("compliant");
            }
            compliant.map(|compliant| EventKind::DeviceComplianceChange { compliant })
        }
        _ => {
            let level = data.word("level", "LOW, MEDIUM, HIGH", band);
            if level.is_none() {
                data.missing("level");
            }
            level.map(|level| EventKind::RiskLevelChange { level })
        }
    };
    fields.within(data);
    kind
}

fn change(name: &str) -> Option<CredentialChange> {
    Some(match name {
        "create" => CredentialChange::Create,
        "update" => CredentialChange::Update,
        "revoke" => CredentialChange::Revoke,
        "delete" => CredentialChange::Delete,
        _ => return None,
    })
}

fn band(name: &str) -> Option<Band> {
    let all = [Band::Low, Band::Medium, Band::High];
    all.into_iter().find(|band| band.as_str() == name)
}

/// The names of methods, for messages.
pub(super) fn methods() -> String {
    Method::ALL.map(Method::as_str).join(", ")
}
