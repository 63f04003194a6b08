//! Notices as CloudEvents 1.0 in structured JSON: the wire format of deliveries.

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::base::hex::hex;
use crate::base::timestamp::Timestamp;
use crate::service::config::EVENT_TYPE_PREFIX as TYPE_PREFIX;
use crate::trust::subjects::{EventSubject, Notification, NotificationKind};

/// The media type of a delivery.
pub(crate) const MEDIA_TYPE: &str = "application/cloudevents+json";
/// The name of events that only show that deliveries arrive.
const TEST: &str = "test";

/// One event, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// `webhook-id`: the same for the same notice, so that receivers can tell repetitions.
    pub(crate) id: String,
    /// The type without its prefix.
    pub(crate) name: String,
    /// The JSON that is signed and sent.
    pub(crate) body: String,
}

/// CloudEvents 1.0, section 2; the members of data are ours.
#[derive(Serialize)]
struct Wire<'a> {
    specversion: &'a str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    time: String,
    datacontenttype: &'a str,
    data: Value,
}

/// The type of a notice's event, without its prefix.
pub(crate) fn name(notice: &Notification) -> String {
    let group = match notice.kind {
        NotificationKind::Finding => "finding",
        NotificationKind::Incident => "incident",
        NotificationKind::BreakGlass => return "break_glass".to_owned(),
        NotificationKind::SubjectChanged => "subject",
    };
    format!("{group}.{}", notice.name)
}

/// The event of a notice, from this source.
pub(crate) fn message(notice: &Notification, source: &str) -> Message {
    let data = json!({
        "severity": notice.severity.as_str(),
        "risk": notice.risk,
        "subject": subject(&notice.subject),
        "detail": notice.detail,
    });
    let about = about(&notice.subject);
    event(name(notice), &notice.id, source, about, notice.at, data)
}

/// An event that says nothing but that it arrived.
pub(crate) fn test(source: &str, hook: &str, now: Timestamp) -> Result<Message, String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|error| format!("the system gives no random bytes: {error}"))?;
    let data = json!({
        "severity": "low",
        "risk": 0,
        "subject": {},
        "detail": format!("a test of the webhook `{hook}`"),
    });
    Ok(event(
        TEST.to_owned(),
        &hex(&random),
        source,
        None,
        now,
        data,
    ))
}

fn event(
    name: String,
    id: &str,
    source: &str,
    subject: Option<String>,
    at: Timestamp,
    data: Value,
) -> Message {
    let kind = format!("{TYPE_PREFIX}{name}");
    // An id of a notice may be any text; that of a message stands in a header.
    let hash = Sha256::new()
        .chain_update(json!([source, kind, id]).to_string())
        .finalize();
    let wire = Wire {
        specversion: "1.0",
        id,
        source,
        kind,
        subject,
        time: at.to_string(),
        datacontenttype: "application/json",
        data,
    };
    Message {
        id: format!("msg_{}", hex(hash.get(..16).unwrap_or_default())),
        name,
        // Strings, numbers and maps of them always have a JSON form.
        body: serde_json::to_string(&wire).unwrap_or_default(),
    }
}

fn subject(subject: &EventSubject) -> Value {
    let mut members = serde_json::Map::new();
    if let Some(user) = &subject.user {
        let user = json!({"type": user.type_name(), "id": user.id()});
        members.insert("user".to_owned(), user);
    }
    let others = [
        ("ip", subject.ip.map(|ip| ip.to_string())),
        ("session", subject.session.clone()),
        ("device", subject.device.clone()),
    ];
    for (name, value) in others {
        if let Some(value) = value {
            members.insert(name.to_owned(), value.into());
        }
    }
    members.into()
}

/// The first of user, session, device and address that is known, as a line.
fn about(subject: &EventSubject) -> Option<String> {
    let user = subject.user.as_ref().map(ToString::to_string);
    let session = subject.session.as_ref().map(|id| format!("session:{id}"));
    let device = subject.device.as_ref().map(|id| format!("device:{id}"));
    let ip = subject.ip.map(|ip| format!("ip:{ip}"));
    user.or(session).or(device).or(ip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::entity_ref::EntityRef;
    use crate::trust::model::Score;
    use crate::trust::subjects::Severity;

    fn notice() -> Notification {
        Notification {
            kind: NotificationKind::Incident,
            name: "brute_force_attack".to_owned(),
            id: "f-1".to_owned(),
            at: Timestamp::from_millis(1_700_000_000_000),
            severity: Severity::High,
            risk: Score::new(7_500),
            subject: EventSubject {
                user: Some(EntityRef::new("Workspace::User", "ada").unwrap()),
                ip: Some("203.0.113.9".parse().unwrap()),
                session: None,
                device: None,
            },
            detail: "12 failed logins within 15 minutes".to_owned(),
        }
    }

    #[test]
    fn a_notice_becomes_a_cloud_event() {
        let message = message(&notice(), "urn:deodar:pdp");
        assert_eq!(message.name, "incident.brute_force_attack");
        let body: Value = serde_json::from_str(&message.body).unwrap();
        let expect = json!({
            "specversion": "1.0",
            "id": "f-1",
            "source": "urn:deodar:pdp",
            "type": "dev.deodar.incident.brute_force_attack",
            "subject": "Workspace::User::\"ada\"",
            "time": "2023-11-14T22:13:20.000Z",
            "datacontenttype": "application/json",
            "data": {
                "severity": "high",
                "risk": 0.75,
                "subject": {"user": {"type": "Workspace::User", "id": "ada"}, "ip": "203.0.113.9"},
                "detail": "12 failed logins within 15 minutes",
            },
        });
        assert_eq!(body, expect);
    }

    #[test]
    fn types_follow_kind_and_name() {
        for (kind, given, expect) in [
            (
                NotificationKind::Finding,
                "impossible_travel",
                "finding.impossible_travel",
            ),
            (
                NotificationKind::SubjectChanged,
                "remediate",
                "subject.remediate",
            ),
            (NotificationKind::BreakGlass, "whatever", "break_glass"),
        ] {
            let notice = Notification {
                kind,
                name: given.to_owned(),
                ..notice()
            };
            assert_eq!(name(&notice), expect);
        }
    }

    #[test]
    fn the_same_notice_has_the_same_message_id_and_another_has_not() {
        let first = message(&notice(), "a");
        assert_eq!(first, message(&notice(), "a"));
        let header = first.id.strip_prefix("msg_").unwrap();
        assert!(header.len() == 32 && header.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_ne!(first.id, message(&notice(), "b").id);
        let other = Notification {
            id: "f-2".to_owned(),
            ..notice()
        };
        assert_ne!(first.id, message(&other, "a").id);
        let other = Notification {
            kind: NotificationKind::Finding,
            ..notice()
        };
        assert_ne!(first.id, message(&other, "a").id);
    }

    #[test]
    fn texts_of_others_cannot_break_the_json() {
        let notice = Notification {
            id: "\"}\u{0}\n".to_owned(),
            detail: "</script>\u{2028}\"".to_owned(),
            subject: EventSubject {
                session: Some("s".to_owned()),
                ..EventSubject::default()
            },
            ..notice()
        };
        let message = message(&notice, "a");
        let body: Value = serde_json::from_str(&message.body).unwrap();
        assert_eq!(body["id"], "\"}\u{0}\n");
        assert_eq!(body["subject"], "session:s");
        assert!(message.id.is_ascii());
    }
}
