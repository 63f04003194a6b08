//! What an event of CAEP 1.0 or RISC 1.0 says, by its URI and its payload.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::trust::model::{Band, Method};
use crate::trust::subjects::{CredentialChange, EventKind, Severity};

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type/";

/// What an event means here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It becomes an event about these parts of its subject.
    Event(EventKind, Severity, About),
    /// It is understood and changes nothing here.
    Nothing,
    /// The transmitter shows that the stream works; with the state that it was asked to show.
    Verification(Option<String>),
    /// The stream is enabled, paused or disabled.
    StreamUpdated(String, Option<String>),
}

/// Which parts of a complex subject an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// All that are named.
    Named,
    /// The user alone.
    User,
    /// The session alone.
    Session,
    /// The device alone.
    Device,
}

/// Reads an event; `None` for a URI that is not known.
///
/// # Errors
/// What is not as the event's definition says.
pub(super) fn meaning(
    uri: &str,
    payload: &Map<String, Value>,
    levels: &BTreeMap<String, u8>,
) -> Option<Result<Meaning, String>> {
    let read = if let Some(name) = uri.strip_prefix(CAEP) {
        caep(name, payload, levels)?
    } else if let Some(name) = uri.strip_prefix(RISC) {
        risc(name, payload)?
    } else {
        stream(uri.strip_prefix(SSF)?, payload)?
    };
    Some(read.map_err(|message| format!("{uri}: {message}")))
}

type Read = Option<Result<Meaning, String>>;

/// An event of a state, which is as severe as it usually is.
fn event(kind: EventKind, about: About) -> Result<Meaning, String> {
    let severity = kind.usual_severity().ok_or("it has no usual severity")?;
    Ok(Meaning::Event(kind, severity, about))
}

fn plain(kind: EventKind) -> Read {
    Some(event(kind, About::Named))
}

fn caep(name: &str, payload: &Map<String, Value>, levels: &BTreeMap<String, u8>) -> Read {
    match name {
        "session-revoked" => plain(EventKind::SessionRevoked),
        "session-established" => plain(EventKind::SessionEstablished),
        "token-claims-change" => plain(EventKind::TokenClaimsChange),
        "session-presented" => Some(Ok(Meaning::Nothing)),
        "credential-change" => Some(credential_change(payload)),
        "assurance-level-change" => Some(assurance_level_change(payload, levels)),
        "device-compliance-change" => Some(device_compliance_change(payload)),
        "risk-level-change" => Some(risk_level_change(payload)),
        _ => None,
    }
}

fn risc(name: &str, payload: &Map<String, Value>) -> Read {
    match name {
        // What was purged does not come back by itself; an operator can erase it.
        "account-disabled" | "account-purged" => plain(EventKind::AccountDisabled),
        "account-enabled" => plain(EventKind::AccountEnabled),
        "credential-compromise" => plain(EventKind::CredentialCompromise),
        // The credential that there is must not be relied on any more.
        "account-credential-change-required" => plain(EventKind::CredentialChange {
            method: None,
            change: CredentialChange::Revoke,
        }),
        "sessions-revoked" => Some(event(EventKind::SessionRevoked, About::User)),
        "identifier-changed"
        | "identifier-recycled"
        | "opt-in"
        | "opt-out-initiated"
        | "opt-out-cancelled"
        | "opt-out-effective"
        | "recovery-activated"
        | "recovery-information-changed" => Some(Ok(Meaning::Nothing)),
        // Before there was a name of the framework's own.
        "verification" => stream(name, payload),
        _ => None,
    }
}

fn stream(name: &str, payload: &Map<String, Value>) -> Read {
    match name {
        "verification" => Some(Ok(Meaning::Verification(
            text(payload, "state").map(crate::base::json::shown),
        ))),
        "stream-updated" => Some(required(payload, "status").map(|status| {
            let reason = text(payload, "reason").map(crate::base::json::shown);
            Meaning::StreamUpdated(crate::base::json::shown(status), reason)
        })),
        _ => None,
    }
}

fn text<'a>(payload: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    payload.get(name).and_then(Value::as_str)
}

fn required<'a>(payload: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    text(payload, name).ok_or_else(|| format!("it has no text `{name}`"))
}

fn credential_change(payload: &Map<String, Value>) -> Result<Meaning, String> {
    let change = CredentialChange::from_name(required(payload, "change_type")?)
        .ok_or("`change_type` is create, update, revoke or delete")?;
    let method = match required(payload, "credential_type")? {
        "password" => Some(Method::PasswordConfirmation),
        "fido2-platform" | "fido2-roaming" | "fido-u2f" => Some(Method::Webauthn),
        "phone-sms" => Some(Method::SmsOtp),
        // Others do not say which of our methods they are for.
        _ => None,
    };
    event(EventKind::CredentialChange { method, change }, About::Named)
}

fn assurance_level_change(
    payload: &Map<String, Value>,
    levels: &BTreeMap<String, u8>,
) -> Result<Meaning, String> {
    let current = required(payload, "current_level")?;
    let namespace = text(payload, "namespace").unwrap_or_default();
    let known = levels.get(current).copied();
    let known = known.or_else(|| {
        let nist = namespace.eq_ignore_ascii_case("NIST-AAL");
        nist.then(|| level_of(current)).flatten()
    });
    match known {
        Some(level) => event(EventKind::AssuranceLevelChange { level }, About::Named),
        // Another scale, such as one of identity proofing: it says nothing about the authentication.
        None => Ok(Meaning::Nothing),
    }
}

/// The authentication level of an authenticator assurance level of NIST SP 800-63B by its name, such as
/// `nist-aal2`, `aal2` or `2`.
pub(crate) fn level_of(name: &str) -> Option<u8> {
    let name = name.to_ascii_lowercase();
    let bare = name.strip_prefix("nist-").unwrap_or(&name);
    match bare.strip_prefix("aal").unwrap_or(bare) {
        "1" => Some(1),
        "2" => Some(2),
        "3" => Some(3),
        _ => None,
    }
}

fn device_compliance_change(payload: &Map<String, Value>) -> Result<Meaning, String> {
    let compliant = match required(payload, "current_status")? {
        "compliant" => true,
        "not-compliant" => false,
        _ => return Err("`current_status` is compliant or not-compliant".to_owned()),
    };
    event(
        EventKind::DeviceComplianceChange { compliant },
        About::Named,
    )
}

fn risk_level_change(payload: &Map<String, Value>) -> Result<Meaning, String> {
    let level = match required(payload, "current_level")? {
        "LOW" => Band::Low,
        "MEDIUM" => Band::Medium,
        "HIGH" => Band::High,
        _ => return Err("`current_level` is LOW, MEDIUM or HIGH".to_owned()),
    };
    let about = match text(payload, "principal") {
        None | Some("USER") => About::User,
        Some("SESSION") => About::Session,
        Some("DEVICE") => About::Device,
        // Of a tenant, a unit or a group: nobody in particular.
        Some(_) => return Ok(Meaning::Nothing),
    };
    event(EventKind::RiskLevelChange { level }, about)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn read(uri: &str, payload: Value) -> Option<Result<Meaning, String>> {
        let levels = BTreeMap::from([("urn:acme:gold".to_owned(), 4)]);
        meaning(uri, payload.as_object().unwrap(), &levels)
    }

    #[track_caller]
    fn check(name: &str, payload: Value, kind: EventKind, severity: Severity, about: About) {
        let got = read(
            &format!("https://schemas.openid.net/secevent/{name}"),
            payload,
        );
        assert_eq!(
            got,
            Some(Ok(Meaning::Event(kind, severity, about))),
            "{name}"
        );
    }

    #[test]
    fn every_row_of_the_table() {
        use About::{Device, Named, Session, User};
        use EventKind as K;
        let none = || json!({});
        let credential =
            |kind: &str, change: &str| json!({"credential_type": kind, "change_type": change});
        let changed = |method, change| K::CredentialChange { method, change };
        let level = |namespace: &str, current: &str| json!({"namespace": namespace, "current_level": current});
        let (c, r) = ("caep/event-type/", "risc/event-type/");
        for (base, name, payload, kind, severity, about) in [
            (
                c,
                "session-revoked",
                none(),
                K::SessionRevoked,
                Severity::Medium,
                Named,
            ),
            (
                c,
                "session-established",
                none(),
                K::SessionEstablished,
                Severity::Low,
                Named,
            ),
            (
                c,
                "token-claims-change",
                json!({"claims": {}}),
                K::TokenClaimsChange,
                Severity::Low,
                Named,
            ),
            (
                c,
                "credential-change",
                credential("fido2-roaming", "create"),
                changed(Some(Method::Webauthn), CredentialChange::Create),
                Severity::Low,
                Named,
            ),
            (
                c,
                "credential-change",
                credential("fido2-platform", "delete"),
                changed(Some(Method::Webauthn), CredentialChange::Delete),
                Severity::Medium,
                Named,
            ),
            (
                c,
                "credential-change",
                credential("fido-u2f", "update"),
                changed(Some(Method::Webauthn), CredentialChange::Update),
                Severity::Low,
                Named,
            ),
            (
                c,
                "credential-change",
                credential("password", "revoke"),
                changed(Some(Method::PasswordConfirmation), CredentialChange::Revoke),
                Severity::Medium,
                Named,
            ),
            (
                c,
                "credential-change",
                credential("phone-sms", "create"),
                changed(Some(Method::SmsOtp), CredentialChange::Create),
                Severity::Low,
                Named,
            ),
            (
                c,
                "credential-change",
                credential("x509", "create"),
                changed(None, CredentialChange::Create),
                Severity::Low,
                Named,
            ),
            (
                c,
                "assurance-level-change",
                level("NIST-AAL", "nist-aal1"),
                K::AssuranceLevelChange { level: 1 },
                Severity::Low,
                Named,
            ),
            (
                c,
                "assurance-level-change",
                level("NIST-AAL", "nist-aal3"),
                K::AssuranceLevelChange { level: 3 },
                Severity::Low,
                Named,
            ),
            (
                c,
                "assurance-level-change",
                level("custom", "urn:acme:gold"),
                K::AssuranceLevelChange { level: 4 },
                Severity::Low,
                Named,
            ),
            (
                c,
                "device-compliance-change",
                json!({"current_status": "not-compliant", "previous_status": "compliant"}),
                K::DeviceComplianceChange { compliant: false },
                Severity::High,
                Named,
            ),
            (
                c,
                "device-compliance-change",
                json!({"current_status": "compliant"}),
                K::DeviceComplianceChange { compliant: true },
                Severity::Low,
                Named,
            ),
            (
                c,
                "risk-level-change",
                json!({"principal": "USER", "current_level": "LOW"}),
                K::RiskLevelChange { level: Band::Low },
                Severity::Low,
                User,
            ),
            (
                c,
                "risk-level-change",
                json!({"principal": "SESSION", "current_level": "MEDIUM"}),
                K::RiskLevelChange {
                    level: Band::Medium,
                },
                Severity::Medium,
                Session,
            ),
            (
                c,
                "risk-level-change",
                json!({"principal": "DEVICE", "current_level": "HIGH"}),
                K::RiskLevelChange { level: Band::High },
                Severity::High,
                Device,
            ),
            (
                c,
                "risk-level-change",
                json!({"current_level": "HIGH"}),
                K::RiskLevelChange { level: Band::High },
                Severity::High,
                User,
            ),
            (
                r,
                "account-disabled",
                none(),
                K::AccountDisabled,
                Severity::High,
                Named,
            ),
            (
                r,
                "account-purged",
                none(),
                K::AccountDisabled,
                Severity::High,
                Named,
            ),
            (
                r,
                "account-enabled",
                none(),
                K::AccountEnabled,
                Severity::Low,
                Named,
            ),
            (
                r,
                "credential-compromise",
                none(),
                K::CredentialCompromise,
                Severity::Critical,
                Named,
            ),
            (
                r,
                "account-credential-change-required",
                none(),
                changed(None, CredentialChange::Revoke),
                Severity::Medium,
                Named,
            ),
            (
                r,
                "sessions-revoked",
                none(),
                K::SessionRevoked,
                Severity::Medium,
                User,
            ),
        ] {
            check(&format!("{base}{name}"), payload, kind, severity, about);
        }
    }

    #[test]
    fn what_changes_nothing_is_understood() {
        for (base, name, payload) in [
            (CAEP, "session-presented", json!({})),
            (
                CAEP,
                "assurance-level-change",
                json!({"namespace": "NIST-IAL", "current_level": "2"}),
            ),
            (
                CAEP,
                "assurance-level-change",
                json!({"namespace": "NIST-AAL", "current_level": "9"}),
            ),
            (
                CAEP,
                "risk-level-change",
                json!({"principal": "TENANT", "current_level": "HIGH"}),
            ),
            (RISC, "identifier-changed", json!({"new-value": "x"})),
            (RISC, "identifier-recycled", json!({})),
            (RISC, "opt-in", json!({})),
            (RISC, "recovery-activated", json!({})),
        ] {
            let got = read(&format!("{base}{name}"), payload);
            assert_eq!(got, Some(Ok(Meaning::Nothing)), "{name}");
        }
    }

    #[test]
    fn the_stream_speaks_of_itself() {
        let verified = Some(Ok(Meaning::Verification(Some("abc".to_owned()))));
        assert_eq!(
            read(&format!("{SSF}verification"), json!({"state": "abc"})),
            verified
        );
        assert_eq!(
            read(&format!("{RISC}verification"), json!({"state": "abc"})),
            verified
        );
        assert_eq!(
            read(
                &format!("{SSF}stream-updated"),
                json!({"status": "paused", "reason": "work"})
            ),
            Some(Ok(Meaning::StreamUpdated(
                "paused".to_owned(),
                Some("work".to_owned())
            )))
        );
        assert!(
            read(&format!("{SSF}stream-updated"), json!({}))
                .unwrap()
                .is_err()
        );
    }

    #[test]
    fn what_is_unknown_is_not_guessed_at() {
        for uri in [
            "",
            "session-revoked",
            "https://schemas.openid.net/secevent/caep/event-type/",
            "https://schemas.openid.net/secevent/caep/event-type/session-revoked/x",
            "https://schemas.openid.net/secevent/risc/event-type/session-revoked",
            "https://evil.example/secevent/caep/event-type/session-revoked",
        ] {
            assert_eq!(read(uri, json!({})), None, "{uri}");
        }
    }

    #[test]
    fn what_is_not_as_it_is_defined_is_an_error() {
        for (name, payload, expect) in [
            ("credential-change", json!({}), "change_type"),
            (
                "credential-change",
                json!({"change_type": "create"}),
                "credential_type",
            ),
            (
                "credential-change",
                json!({"change_type": "x", "credential_type": "pin"}),
                "change_type",
            ),
            (
                "assurance-level-change",
                json!({"current_level": 2}),
                "current_level",
            ),
            (
                "device-compliance-change",
                json!({"current_status": "no"}),
                "current_status",
            ),
            (
                "risk-level-change",
                json!({"current_level": "high"}),
                "current_level",
            ),
        ] {
            let error = read(&format!("{CAEP}{name}"), payload)
                .unwrap()
                .unwrap_err();
            assert!(error.contains(expect) && error.contains(name), "{error}");
        }
    }
}
