//! One event as JSON, to an [`Event`].

use serde_json::Value;

use super::fields::{Fields, LONGEST_ID};
use crate::base::json::{InputFault, shown};
use crate::trust::model::{Band, Method};
use crate::trust::subjects::{
    CredentialChange, Event, EventKind, EventSubject, EventType, Severity,
};

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
    let severity = fields.word(
        "severity",
        "low, medium, high, critical",
        Severity::from_name,
    );
    let subject = match fields.object("subject", &["user", "ip", "session", "device"]) {
        Some(inner) => Some(subject(inner, &mut fields)),
        None => {
            fields.missing("subject");
            None
        }
    };
    let data = fields.take("data");
    let kind = name.and_then(|name| kind(&name, data, &mut fields));
    let grave = severity.or_else(|| kind.as_ref().and_then(EventKind::usual_severity));
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
        session: inner.id("session"),
        device: inner.id("device"),
    };
    if subject == EventSubject::default() && inner.is_clean() {
        inner.whole("name at least one of user, ip, session and device");
    }
    fields.within(inner);
    subject
}

/// The kind of this name, with what `data` has to say of it.
fn kind(name: &str, data: Option<Value>, fields: &mut Fields) -> Option<EventKind> {
    let Some(of) = EventType::from_name(name) else {
        let names = EventType::ALL.iter().map(|of| of.name());
        let hint = match crate::base::nearest::nearest(name, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "docs/signals.md lists them".to_owned(),
        };
        let detail = format!("`{}` is not a type of event; {hint}", shown(name));
        fields.fault("type", detail);
        return None;
    };
    let Some(plain) = of.plain() else {
        return with_data(of, data, fields);
    };
    if let Some(data) = data.filter(|data| !data.is_object()) {
        let found = crate::base::json::kind(&data);
        fields.fault("data", format!("expected an object, found {found}"));
    }
    Some(plain)
}

fn with_data(of: EventType, data: Option<Value>, fields: &mut Fields) -> Option<EventKind> {
    let known: &'static [&'static str] = match of {
        EventType::CredentialChange => &["method", "change"],
        EventType::AssuranceLevelChange | EventType::RiskLevelChange => &["level"],
        EventType::DeviceComplianceChange => &["compliant"],
        _ => &[],
    };
    let Some(data) = data else {
        fields.fault("data", format!("is required for `{}`", of.name()));
        return None;
    };
    fields.put("data", data);
    let mut data = fields.object("data", known)?;
    let kind = match of {
        EventType::CredentialChange => {
            let method = data.word("method", &methods(), Method::from_name);
            let change = data.word(
                "change",
                "create, update, revoke, delete",
                CredentialChange::from_name,
            );
            if change.is_none() {
                data.missing("change");
            }
            change.map(|change| EventKind::CredentialChange { method, change })
        }
        EventType::AssuranceLevelChange => {
            let level = data.number("level", 4);
            if level.is_none() {
                data.missing("level");
            }
            level.map(|level| EventKind::AssuranceLevelChange { level })
        }
        EventType::DeviceComplianceChange => {
            let compliant = data.boolean("compliant");
            if compliant.is_none() {
                data.missing("compliant");
            }
            compliant.map(|compliant| EventKind::DeviceComplianceChange { compliant })
        }
        EventType::RiskLevelChange => {
            let level = data.word("level", "LOW, MEDIUM, HIGH", band);
            if level.is_none() {
                data.missing("level");
            }
            level.map(|level| EventKind::RiskLevelChange { level })
        }
        // The others carry nothing.
        _ => of.plain(),
    };
    fields.within(data);
    kind
}

fn band(name: &str) -> Option<Band> {
    let all = [Band::Low, Band::Medium, Band::High];
    all.into_iter().find(|band| band.as_str() == name)
}

/// The names of methods, for messages.
pub(super) fn methods() -> String {
    Method::ALL.map(Method::as_str).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good(over: Value) -> Value {
        let mut event = json!({
            "id": "e1", "type": "auth.login_failed", "timestamp": "2026-03-10T10:00:00Z",
            "severity": "medium", "subject": {"user": "User::\"ada\"", "ip": "192.0.2.1"},
        });
        let members = event.as_object_mut().unwrap();
        members.extend(over.as_object().unwrap().clone());
        members.retain(|_, value| !value.is_null());
        event
    }

    #[track_caller]
    fn check(over: Value, expect: &[&str]) {
        let faults = read(good(over), "/events/3", "mail").unwrap_err();
        let got: Vec<_> = faults.iter().map(ToString::to_string).collect();
        let expect: Vec<_> = expect.iter().map(|e| format!("/events/3{e}")).collect();
        assert_eq!(got, expect);
    }

    #[track_caller]
    fn kind_of(over: Value) -> (EventKind, Severity) {
        let event = read(good(over), "", "mail").unwrap();
        (event.kind, event.severity)
    }

    #[test]
    fn an_event_is_read_as_its_callers() {
        let event = read(
            good(json!({"subject": {
                "user": {"type": "Acme::User", "id": "a\"b"}, "ip": "::ffff:192.0.2.1",
                "session": "s", "device": "d",
            }, "data": {"attempts": 3}})),
            "",
            "mail",
        )
        .unwrap();
        assert_eq!((event.id.as_str(), event.source.as_str()), ("e1", "mail"));
        assert_eq!(event.kind, EventKind::LoginFailed);
        assert_eq!(event.at.to_string(), "2026-03-10T10:00:00.000Z");
        let user = event.subject.user.unwrap();
        assert_eq!((user.type_name(), user.id()), ("Acme::User", "a\"b"));
        // One address has one name.
        assert_eq!(event.subject.ip, Some("192.0.2.1".parse().unwrap()));
        assert_eq!(event.subject.session.as_deref(), Some("s"));
        assert_eq!(event.subject.device.as_deref(), Some("d"));
    }

    #[test]
    fn every_name_is_read_as_itself() {
        for name in EventType::ALL.iter().map(|of| of.name()) {
            let data = match name {
                "credential-change" => json!({"method": "webauthn", "change": "revoke"}),
                "assurance-level-change" => json!({"level": 2}),
                "device-compliance-change" => json!({"compliant": true}),
                "risk-level-change" => json!({"level": "HIGH"}),
                _ => json!({}),
            };
            let (kind, severity) = kind_of(json!({"type": name, "data": data}));
            assert_eq!(kind.event_type().name(), name);
            assert_eq!(severity, Severity::Medium);
        }
    }

    #[test]
    fn how_grave_a_state_event_is_follows_from_it() {
        for (name, data, expect) in [
            ("session-revoked", json!(null), Severity::Medium),
            ("session-established", json!(null), Severity::Low),
            ("account-disabled", json!(null), Severity::High),
            ("account-enabled", json!(null), Severity::Low),
            ("credential-compromise", json!(null), Severity::Critical),
            (
                "risk-level-change",
                json!({"level": "HIGH"}),
                Severity::High,
            ),
            ("risk-level-change", json!({"level": "LOW"}), Severity::Low),
            (
                "device-compliance-change",
                json!({"compliant": false}),
                Severity::High,
            ),
            ("assurance-level-change", json!({"level": 0}), Severity::Low),
            (
                "credential-change",
                json!({"change": "delete"}),
                Severity::Medium,
            ),
        ] {
            let (_, severity) = kind_of(json!({"type": name, "data": data, "severity": null}));
            assert_eq!(severity, expect, "{name}");
        }
    }

    #[test]
    fn every_fault_is_named() {
        check(json!({"id": null}), &["/id: is required"]);
        check(json!({"id": ""}), &["/id: is empty"]);
        check(
            json!({"id": "x".repeat(257)}),
            &["/id: longer than 256 bytes"],
        );
        check(
            json!({"id": 7}),
            &["/id: expected a string, found a number"],
        );
        check(
            json!({"type": "auth.login_faild"}),
            &[
                "/type: `auth.login_faild` is not a type of event; did you mean `auth.login_failed`?",
            ],
        );
        check(json!({"type": null}), &["/type: is required"]);
        check(json!({"timestamp": null}), &["/timestamp: is required"]);
        check(
            json!({"timestamp": "yesterday"}),
            &["/timestamp: `yesterday` is not a date and time such as 2026-03-10T10:00:00Z"],
        );
        check(json!({"severity": null}), &["/severity: is required"]);
        check(
            json!({"severity": "grave"}),
            &["/severity: `grave` is none of low, medium, high, critical"],
        );
        check(json!({"subject": null}), &["/subject: is required"]);
        check(
            json!({"subject": []}),
            &["/subject: expected an object, found an array"],
        );
        check(
            json!({"subject": {}}),
            &["/subject: name at least one of user, ip, session and device"],
        );
        check(
            json!({"subject": {"user": "ada", "ip": "1.2.3", "session": "", "device": 1, "usr": 1}}),
            &[
                "/subject/user: `ada` is not an entity; write its type and id, such as `User::\"alice\"` or `Action::\"read\"`",
                "/subject/ip: `1.2.3` is not an IP address",
                "/subject/session: is empty",
                "/subject/device: expected a string, found a number",
                "/subject/usr: unknown member `usr`; did you mean `user`?",
            ],
        );
        check(
            json!({"subject": {"session": "s\n", "device": "d\u{85}"}}),
            &[
                "/subject/session: has a control character",
                "/subject/device: has a control character",
            ],
        );
        check(
            json!({"subject": {"user": {"type": "a b", "id": 1}}}),
            &["/subject/user/id: expected a string, found a number"],
        );
        check(
            json!({"subject": {"user": {"type": "a b", "id": "1"}}}),
            &["/subject/user/type: `a b` is not a Cedar type name such as `Workspace::User`"],
        );
        check(
            json!({"subject": {"user": {"type": "U", "id": "x".repeat(257)}}}),
            &["/subject/user: its id is longer than 256 bytes"],
        );
        check(
            json!({"source": "other"}),
            &["/source: the source is the caller's name; leave it out"],
        );
        check(
            json!({"dta": 1}),
            &["/dta: unknown member `dta`; did you mean `data`?"],
        );
        check(
            json!({"data": 1}),
            &["/data: expected an object, found a number"],
        );
    }

    #[test]
    fn data_is_read_where_the_type_has_some() {
        let of = |name: &str, data: Value| json!({"type": name, "data": data});
        check(
            of("risk-level-change", json!(null)),
            &["/data: is required for `risk-level-change`"],
        );
        check(
            of("risk-level-change", json!({"level": "high"})),
            &["/data/level: `high` is none of LOW, MEDIUM, HIGH"],
        );
        check(
            of("assurance-level-change", json!({"level": 5})),
            &["/data/level: expected a whole number from 0 to 4"],
        );
        check(
            of("assurance-level-change", json!({})),
            &["/data/level: is required"],
        );
        check(
            of("device-compliance-change", json!({"compliant": "no"})),
            &["/data/compliant: expected true or false, found a string"],
        );
        check(
            of(
                "credential-change",
                json!({"change": "create", "method": "pin", "x": 1}),
            ),
            &[
                &format!("/data/method: `pin` is none of {}", methods()),
                "/data/x: unknown member `x`; known are method, change",
            ],
        );
        check(
            of("credential-change", json!({})),
            &["/data/change: is required"],
        );
        check(
            of("credential-change", json!([])),
            &["/data: expected an object, found an array"],
        );
    }

    #[test]
    fn what_is_no_object_is_no_event() {
        let faults = read(json!([1]), "", "mail").unwrap_err();
        assert_eq!(faults[0].to_string(), "expected an object, found an array");
    }
}
