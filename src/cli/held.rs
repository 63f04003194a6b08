//! What is held against a subject, for a person: what is demanded, until when, why, and what ends it.
//!
//! What enters: a server's answer to `GET /subjects/{type}/{id}`. What leaves: some lines.

use std::fmt::Write;

use serde_json::Value;

use super::ask::Members;

/// Findings that are shown one by one.
const SHOWN: usize = 20;

/// One thing that is held against the subject.
struct Held {
    what: String,
    why: String,
    ends: String,
}

/// What is held against a subject, the gravest first, and in a line what else is known.
pub(super) fn summary(answer: &Value) -> String {
    let mut text = format!("{}\n", name(answer));
    let held = held(answer);
    // Writing to a string cannot fail.
    if let Some(live) = answer.get("override").filter(|over| is(over, "live")) {
        let _ = writeln!(
            text,
            "  all of this is left aside until {} by {}: {}",
            word(live, "until"),
            word(live, "by"),
            word(live, "reason"),
        );
    }
    if held.is_empty() {
        let _ = writeln!(text, "  nothing is held against it");
    }
    for one in held.iter().take(SHOWN) {
        let _ = writeln!(text, "  {}", one.what);
        let _ = writeln!(text, "    why   {}", one.why);
        let _ = writeln!(text, "    ends  {}", one.ends);
    }
    if held.len() > SHOWN {
        let _ = writeln!(text, "  and {} more", held.len() - SHOWN);
    }
    let known = known(answer);
    if !known.is_empty() {
        let _ = writeln!(text, "  known: {}", known.join(", "));
    }
    text
}

fn held(answer: &Value) -> Vec<Held> {
    let subject = short(answer);
    let remediate = format!("deodar subject remediate {subject} --reason ...");
    let mut held = Vec::new();
    if is(answer, "account/disabled") {
        held.push(Held {
            what: "every request is denied where trust is enforced (account_disabled)".to_owned(),
            why: format!(
                "the account is disabled since {}",
                word(answer, "account/disabledChanged")
            ),
            ends: "with an event `account-enabled`".to_owned(),
        });
    }
    if !word(answer, "revoked").is_empty() {
        held.push(Held {
            what:
                "every request of this session is denied where trust is enforced (session_revoked)"
                    .to_owned(),
            why: format!("the session was revoked at {}", word(answer, "revoked")),
            ends: "never; the user logs in to a new session".to_owned(),
        });
    }
    if at(answer, "compliant") == Some(&Value::Bool(false)) {
        held.push(Held {
            what: "every request from this device is denied where trust is enforced (device_not_compliant)".to_owned(),
            why: format!(
                "it does not comply since {}",
                word(answer, "complianceSince")
            ),
            ends: "with an event `device-compliance-change` that says it complies".to_owned(),
        });
    }
    if !word(answer, "revokedBefore").is_empty() {
        held.push(Held {
            what: format!(
                "sessions until {} are revoked",
                word(answer, "revokedBefore")
            ),
            why: "an event `session-revoked` of the user".to_owned(),
            ends: "for a session by a later authentication".to_owned(),
        });
    }
    findings(answer, None, &remediate, &mut held);
    for address in answer.items("addresses") {
        findings(address, Some(word(address, "ip")), &remediate, &mut held);
    }
    if !word(answer, "riskLevel").is_empty() {
        held.push(Held {
            what: "its risk raises the level that is required".to_owned(),
            why: format!("the risk level {} was reported", word(answer, "riskLevel")),
            ends: format!("with another `risk-level-change`, or by `{remediate}`"),
        });
    }
    held
}

fn findings(of: &Value, address: Option<&str>, remediate: &str, held: &mut Vec<Held>) {
    let place = address.map_or(String::new(), |ip| format!(" at the address {ip}"));
    for finding in of.items("findings").filter(|one| is(one, "live")) {
        let level = finding.get("demandedLevel").and_then(Value::as_u64);
        let level = level.unwrap_or(0);
        let (blocked, until) = (
            word(finding, "blockedUntil"),
            word(finding, "demandedUntil"),
        );
        let lasting = is(finding, "lasting");
        let what = match (blocked.is_empty(), level) {
            (false, _) => format!(
                "every request{place} is denied where trust is enforced (blocked) until {blocked}"
            ),
            (true, 0) => format!("its risk{place} raises the level that is required"),
            (true, level) => format!(
                "authentication level {level} is demanded{place}, {}",
                match lasting {
                    true => "until it is remediated".to_owned(),
                    false => format!("until {until}"),
                }
            ),
        };
        let number = |name: &str| finding.get(name).map(Value::to_string).unwrap_or_default();
        let kind = word(finding, "kind");
        let events = match number("events").as_str() {
            "1" => "1 event".to_owned(),
            many => format!("{many} events"),
        };
        let why = format!(
            "{kind} ({}, {events}) at {}; its risk is {} now",
            word(finding, "severity"),
            word(finding, "at"),
            number("presentRisk"),
        );
        let ends = match (kind, lasting) {
            ("credential_compromise", _) => {
                format!("with an event `credential-change` that replaces it, or by `{remediate}`")
            }
            (_, true) => format!("by `{remediate}`"),
            (_, false) => {
                format!("by itself: its risk halves every half-life; or by `{remediate}`")
            }
        };
        held.push(Held { what, why, ends });
    }
}

/// What else is known, in a few words.
fn known(answer: &Value) -> Vec<String> {
    let mut known = Vec::new();
    let mut count = |name: &str, one: &str, many: &str| {
        let count = at(answer, name)
            .and_then(Value::as_array)
            .map_or(0, Vec::len);
        if count > 0 {
            known.push(format!("{count} {}", if count == 1 { one } else { many }));
        }
    };
    count("events", "event", "events");
    count("sessions", "session", "sessions");
    count("devices", "device", "devices");
    count("places/networks", "network", "networks");
    if let Some(days) = at(answer, "history/days").and_then(Value::as_u64)
        && days > 0
    {
        known.push(format!(
            "a history of {days} {}",
            if days == 1 { "day" } else { "days" }
        ));
    }
    if let Some(owner) = at(answer, "user").filter(|user| user.is_object()) {
        known.push(format!("it is {}'s", name(owner)));
    }
    for (member, what) in [
        ("lastDecision", "last decision"),
        ("remediated", "remediated"),
    ] {
        let when = word(answer, member);
        if !when.is_empty() {
            known.push(format!("{what} {when}"));
        }
    }
    known
}

/// A member by its path; what is `null` is not there.
fn at<'a>(of: &'a Value, path: &str) -> Option<&'a Value> {
    let mut steps = path.split('/');
    let found = steps.try_fold(of, |value, step| value.get(step));
    found.filter(|value| !value.is_null())
}

fn word<'a>(of: &'a Value, path: &str) -> &'a str {
    at(of, path).and_then(Value::as_str).unwrap_or("")
}

fn is(of: &Value, path: &str) -> bool {
    at(of, path) == Some(&Value::Bool(true))
}

/// `User::"alice"`, or `session s-1`.
fn name(of: &Value) -> String {
    let (kind, id) = (word(of, "type"), word(of, "id").escape_debug());
    match kind {
        "session" | "device" | "ip" | "" => format!("{kind} {id}").trim_start().to_owned(),
        kind => format!("{kind}::\"{id}\""),
    }
}

/// The subject as it is written in a shell, whatever its id holds.
fn short(of: &Value) -> String {
    quoted(&format!("{}/{}", word(of, "type"), word(of, "id")))
}

/// A text as one word of a shell. What a terminal would not show as it is gets an escape (`$'..'`).
fn quoted(text: &str) -> String {
    let is_plain = |c: char| matches!(c, '\'' | '"' | '\\') || c.escape_debug().eq([c]);
    if text.chars().all(is_plain) {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    let mut word = String::from("$'");
    for c in text.chars() {
        match c {
            '\'' | '\\' => word.extend(['\\', c]),
            c if is_plain(c) => word.push(c),
            c => word.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    word.push('\'');
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_demanded_comes_first() {
        let answer = json!({
            "type": "User", "id": "ada", "account": {"disabled": false}, "override": null,
            "findings": [
                {"kind": "credential_compromise", "severity": "critical", "events": 1, "live": true,
                 "lasting": true, "at": "2026-03-10T10:00:00.000Z", "presentRisk": 1,
                 "demandedLevel": 3, "demandedUntil": "until remediated", "blockedUntil": null},
                {"kind": "correlated", "live": false},
            ],
            "addresses": [{"ip": "192.0.2.1", "findings": [
                {"kind": "brute_force_attack", "severity": "medium", "events": 5, "live": true,
                 "lasting": false, "at": "2026-03-10T10:00:00.000Z", "presentRisk": 0.5,
                 "demandedLevel": 2, "demandedUntil": "2026-03-10T11:00:00.000Z"}]}],
            "sessions": [1], "devices": [], "history": {"days": 12},
        });
        assert_eq!(
            summary(&answer),
            "\
User::\"ada\"
  authentication level 3 is demanded, until it is remediated
    why   credential_compromise (critical, 1 event) at 2026-03-10T10:00:00.000Z; its risk is 1 now
    ends  with an event `credential-change` that replaces it, or by `deodar subject remediate 'User/ada' --reason ...`
  authentication level 2 is demanded at the address 192.0.2.1, until 2026-03-10T11:00:00.000Z
    why   brute_force_attack (medium, 5 events) at 2026-03-10T10:00:00.000Z; its risk is 0.5 now
    ends  by itself: its risk halves every half-life; or by `deodar subject remediate 'User/ada' --reason ...`
  known: 1 session, a history of 12 days
"
        );
    }

    #[test]
    fn a_subject_is_one_word_of_a_shell() {
        for id in [
            "ada",
            "it's $(reboot) `x` \"y\" \\ !",
            "a\nb\u{1b}[2J'\\",
            "\u{202e}evil\u{9b}",
            "é 漢",
        ] {
            let word = short(&json!({"type": "User", "id": id}));
            assert!(!word.chars().any(char::is_control), "{word:?}");
            let script = format!("printf %s {word}");
            let ran = std::process::Command::new("bash")
                .args(["-c", &script])
                .env("LC_ALL", "C.UTF-8")
                .output()
                .unwrap();
            assert_eq!(
                String::from_utf8_lossy(&ran.stdout),
                format!("User/{id}"),
                "{word}"
            );
        }
    }

    #[test]
    fn what_denies_and_what_is_not_held() {
        let of = |answer: Value| summary(&answer);
        let session =
            of(json!({"type": "session", "id": "s", "revoked": "2026-03-10T10:00:00.000Z"}));
        assert!(
            session.contains("every request of this session is denied where trust is enforced"),
            "{session}"
        );
        let device = of(json!({"type": "device", "id": "d", "compliant": false}));
        assert!(device.contains("(device_not_compliant)"), "{device}");
        let user = of(json!({"type": "User", "id": "a", "account": {"disabled": true}}));
        assert!(user.contains("(account_disabled)"), "{user}");
        let clean = of(json!({"type": "User", "id": "a", "revokedBefore": null, "findings": []}));
        assert_eq!(clean, "User::\"a\"\n  nothing is held against it\n");
        let aside = of(json!({"type": "User", "id": "a", "override": {
            "live": true, "until": "2026-03-10T12:00:00.000Z", "by": "ops", "reason": "travels"}}));
        assert!(
            aside.contains("left aside until 2026-03-10T12:00:00.000Z by ops: travels"),
            "{aside}"
        );
    }
}
