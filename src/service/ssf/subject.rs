//! Whom an event is about: subject identifiers (RFC 9493) to principals, sessions and devices.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::base::entity_ref::EntityRef;
use crate::service::config::{ReceiverConfig, SubjectFormat};
use crate::trust::subjects::EventSubject;

/// Longest id of a principal, a session, a device or an event, in bytes: the store keeps no longer ones.
pub(super) const LONGEST: usize = 256;
/// Other names of one subject that are looked at.
const MOST_ALIASES: usize = 10;

/// Reads the subject of an event: a simple one is the user, a complex one names its parts. A part that
/// is absent is any; parts that are not known here (tenant, application, group) narrow down what is
/// named beside them and are left aside.
///
/// # Errors
/// What is not as its format says, or is a subject that is not mapped.
pub(super) fn read(value: &Value, config: &ReceiverConfig) -> Result<EventSubject, Unread> {
    let members = object(value)?;
    let parts = ["user", "session", "device"];
    let simple = format(members).is_some_and(|format| format != "complex");
    if simple || !parts.iter().any(|part| members.contains_key(*part)) {
        if !simple {
            let what = "a subject that names neither user, session nor device".to_owned();
            return Err(Unread::Unmapped(what));
        }
        return Ok(EventSubject {
            user: Some(principal(members, config)?),
            ..EventSubject::default()
        });
    }
    let part = |name: &str| members.get(name).map(object).transpose();
    let session = part("session")?.map(id).transpose()?;
    let device = part("device")?.map(id).transpose()?;
    let user = match part("user")?.map(|user| principal(user, config)) {
        // A session or a device is known by its own id, whoever it is of.
        Some(Err(Unread::Unmapped(_))) if session.is_some() || device.is_some() => None,
        read => read.transpose()?,
    };
    Ok(EventSubject {
        user,
        ip: None,
        session,
        device,
    })
}

/// Why a subject is not read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is not as its format says.
    Malformed(String),
    /// It is nobody who is known here.
    Unmapped(String),
}

fn malformed(message: impl Into<String>) -> Unread {
    Unread::Malformed(message.into())
}

fn object(value: &Value) -> Result<&Map<String, Value>, Unread> {
    let object = value.as_object();
    object.ok_or_else(|| malformed("a subject is an object"))
}

/// The format; drafts called it `subject_type` and wrote it with hyphens.
fn format(members: &Map<String, Value>) -> Option<String> {
    let named = members
        .get("format")
        .or_else(|| members.get("subject_type"));
    named.and_then(Value::as_str).map(|f| f.replace('-', "_"))
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Result<&'a str, Unread> {
    let found = members.get(name).and_then(Value::as_str);
    let found = found.filter(|text| !text.is_empty());
    found.ok_or_else(|| malformed(format!("a subject without a text `{name}`")))
}

/// Refuses an id that is too long to be kept.
fn bounded(id: String) -> Result<String, Unread> {
    if id.len() > LONGEST {
        return Err(malformed(format!("an id of more than {LONGEST} bytes")));
    }
    Ok(id)
}

fn principal(members: &Map<String, Value>, config: &ReceiverConfig) -> Result<EntityRef, Unread> {
    let format = format(members).ok_or_else(|| malformed("a subject without `format`"))?;
    if format == "aliases" {
        return aliased(members, config);
    }
    let unmapped = || {
        Unread::Unmapped(format!(
            "subjects of format `{}`",
            crate::base::json::shown(&format)
        ))
    };
    let (of, id) = match format.as_str() {
        "iss_sub" => {
            let issuer = text(members, "iss")?;
            let known = match config.subject_issuers.as_slice() {
                [] => issuer == config.issuer,
                some => some.iter().any(|known| known == issuer),
            };
            if !known {
                let issuer = crate::base::json::shown(issuer);
                return Err(Unread::Unmapped(format!("subjects of issuer `{issuer}`")));
            }
            (SubjectFormat::IssSub, text(members, "sub")?.into())
        }
        // Transmitters write one address in several ways; here it has one.
        "email" => (
            SubjectFormat::Email,
            Cow::from(text(members, "email")?.to_lowercase()),
        ),
        "account" => {
            let uri = text(members, "uri")?;
            let account = uri.strip_prefix("acct:").filter(|name| !name.is_empty());
            let account =
                account.ok_or_else(|| malformed("an account that is not an `acct:` URI"))?;
            (SubjectFormat::Account, account.into())
        }
        "opaque" => (SubjectFormat::Opaque, text(members, "id")?.into()),
        _ => return Err(unmapped()),
    };
    let type_name = config.subjects.get(&of).ok_or_else(unmapped)?;
    let id = bounded(format!("{}{id}", config.id_prefix))?;
    EntityRef::of(type_name, &id).map_err(|_| unmapped())
}

/// The first of several names that is known here.
fn aliased(members: &Map<String, Value>, config: &ReceiverConfig) -> Result<EntityRef, Unread> {
    let names = members.get("identifiers").and_then(Value::as_array);
    let names = names.ok_or_else(|| malformed("aliases without a list `identifiers`"))?;
    for name in names.iter().take(MOST_ALIASES) {
        let name = object(name)?;
        // RFC 9493 section 3.2.8: aliases do not nest.
        if format(name).as_deref() == Some("aliases") {
            return Err(malformed("aliases within aliases"));
        }
        match principal(name, config) {
            Err(Unread::Unmapped(_)) => {}
            read => return read,
        }
    }
    Err(Unread::Unmapped("none of several names".to_owned()))
}

/// The id of a session or a device.
fn id(members: &Map<String, Value>) -> Result<String, Unread> {
    let format = format(members).ok_or_else(|| malformed("a subject without `format`"))?;
    let name = match format.as_str() {
        "opaque" => "id",
        "iss_sub" => "sub",
        other => {
            let other = crate::base::json::shown(other);
            return Err(Unread::Unmapped(format!(
                "sessions and devices of format `{other}`"
            )));
        }
    };
    bounded(text(members, name)?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config() -> ReceiverConfig {
        toml::from_str(
            "name = \"idp\"\nissuer = \"https://idp\"\naudience = [\"a\"]\nid_prefix = \"x|\"\n\
             subjects = {iss_sub = \"User\", email = \"Acme::Person\", account = \"User\"}\n",
        )
        .unwrap()
    }

    #[track_caller]
    fn user(value: Value, expect: &str) {
        let subject = read(&value, &config()).unwrap();
        assert_eq!(subject.user.unwrap().to_string(), expect);
    }

    #[test]
    fn each_format_names_its_principal() {
        let ada = json!({"format": "iss_sub", "iss": "https://idp", "sub": "ada"});
        user(ada.clone(), "User::\"x|ada\"");
        user(
            json!({"subject_type": "iss-sub", "iss": "https://idp", "sub": "ada"}),
            "User::\"x|ada\"",
        );
        user(
            json!({"format": "email", "email": "Ada@Example.COM"}),
            "Acme::Person::\"x|ada@example.com\"",
        );
        user(
            json!({"format": "account", "uri": "acct:ada@example.com"}),
            "User::\"x|ada@example.com\"",
        );
        user(
            json!({"format": "aliases", "identifiers": [{"format": "opaque", "id": "7"}, ada]}),
            "User::\"x|ada\"",
        );
    }

    #[test]
    fn a_complex_subject_names_its_parts_and_the_rest_is_any() {
        let subject = json!({
            "format": "complex",
            "user": {"format": "iss_sub", "iss": "https://idp", "sub": "ada"},
            "session": {"format": "opaque", "id": "s1"},
            "tenant": {"format": "opaque", "id": "t"},
        });
        let read_one = read(&subject, &config()).unwrap();
        assert_eq!(read_one.user.unwrap().id(), "x|ada");
        assert_eq!(
            (read_one.session.as_deref(), read_one.device),
            (Some("s1"), None)
        );
        let stranger = json!({
            "user": {"format": "phone_number", "phone_number": "+1"},
            "session": {"format": "opaque", "id": "s2"},
        });
        let read_one = read(&stranger, &config()).unwrap();
        assert_eq!(
            (read_one.user, read_one.session.as_deref()),
            (None, Some("s2"))
        );
        let device = json!({"device": {"format": "iss_sub", "iss": "https://mdm", "sub": "d1"}});
        let read_one = read(&device, &config()).unwrap();
        assert_eq!(
            (read_one.user, read_one.device.as_deref()),
            (None, Some("d1"))
        );
    }

    #[test]
    fn who_is_not_mapped_is_nobody() {
        for subject in [
            json!({"format": "opaque", "id": "7"}),
            json!({"format": "phone_number", "phone_number": "+1"}),
            json!({"format": "iss_sub", "iss": "https://other", "sub": "ada"}),
            json!({"format": "complex", "tenant": {"format": "opaque", "id": "t"}}),
            json!({"format": "aliases", "identifiers": []}),
            json!({"session": {"format": "email", "email": "a@b"}}),
        ] {
            let error = read(&subject, &config()).unwrap_err();
            assert!(matches!(error, Unread::Unmapped(_)), "{subject} {error:?}");
        }
        let mut wide = config();
        wide.subject_issuers = vec!["https://other".to_owned()];
        let other = json!({"format": "iss_sub", "iss": "https://other", "sub": "ada"});
        assert!(read(&other, &wide).is_ok());
    }

    #[test]
    fn an_id_is_as_long_as_the_store_keeps() {
        let user =
            |id: usize| json!({"format": "iss_sub", "iss": "https://idp", "sub": "x".repeat(id)});
        let part = |id: usize| json!({"session": {"format": "opaque", "id": "x".repeat(id)}});
        // The prefix has two bytes.
        for (subject, fits) in [
            (user(254), true),
            (user(255), false),
            (part(256), true),
            (part(257), false),
        ] {
            match read(&subject, &config()) {
                Ok(_) => assert!(fits, "{subject}"),
                Err(error) => {
                    let expect = malformed("an id of more than 256 bytes");
                    assert_eq!((fits, error), (false, expect));
                }
            }
        }
    }

    #[test]
    fn what_is_malformed_is_said_to_be() {
        for subject in [
            json!("ada"),
            json!({"format": "iss_sub", "sub": "ada"}),
            json!({"format": "iss_sub", "iss": "https://idp", "sub": ""}),
            json!({"format": "email", "email": 7}),
            json!({"format": "account", "uri": "mailto:a@b"}),
            json!({"user": "ada"}),
            json!({"user": {"id": "ada"}}),
            json!({"format": "aliases"}),
            json!({"format": "aliases", "identifiers": [{"format": "aliases", "identifiers": []}]}),
        ] {
            let error = read(&subject, &config()).unwrap_err();
            assert!(matches!(error, Unread::Malformed(_)), "{subject} {error:?}");
        }
    }
}
