//! State for a person: everything that is known of a subject and why.

use serde_json::{Value, json};

use super::Core;
use super::subject::list;
use crate::base::timestamp::Timestamp;
use crate::trust::model::Method;
use crate::trust::subjects::config::SignalsConfig;
use crate::trust::subjects::event::EventSubject;
use crate::trust::subjects::finding::Finding;
use crate::trust::subjects::record::{DeviceState, IpState, Record, SessionState, User};
use crate::trust::subjects::shard::PARTS;
use crate::trust::subjects::store::{FindingKind, SubjectKind};
use crate::trust::subjects::track::Track;
use crate::trust::subjects::window::{Millis, NEVER, StoredEvent};

fn shown(at: Millis) -> Value {
    match at {
        NEVER => Value::Null,
        Millis::MAX => json!("until remediated"),
        at => json!(Timestamp::from_millis(at).to_string()),
    }
}

/// What was found, in a sentence.
pub(super) fn sentence(finding: &Finding, subject: &EventSubject) -> String {
    let mut whose = Vec::new();
    if let Some(user) = &subject.user {
        whose.push(format!(
            "user {}::\"{}\"",
            user.type_name(),
            user.id().escape_default()
        ));
    }
    if let Some(session) = &subject.session {
        whose.push(format!("session {}", session.escape_default()));
    }
    if let Some(device) = &subject.device {
        whose.push(format!("device {}", device.escape_default()));
    }
    if let Some(ip) = subject.ip {
        whose.push(format!("address {ip}"));
    }
    let events = finding.events;
    let what = match finding.kind {
        FindingKind::Correlated => format!("{events} events that belong together"),
        FindingKind::BruteForceAttack => format!("{events} failed logins"),
        FindingKind::ImpossibleTravel => "two places too far apart for the time between".to_owned(),
        FindingKind::AccountCompromise => "somebody else seems to use the account".to_owned(),
        FindingKind::SuspiciousRequests => format!("{events} suspicious requests"),
        FindingKind::RateLimitAbuse => format!("{events} rate limits hit"),
        FindingKind::CredentialCompromise => "a credential is known to others".to_owned(),
    };
    format!("{what} ({})", whose.join(", "))
}

fn finding(finding: &Finding, now: Millis, config: &SignalsConfig) -> Value {
    let ends = match finding.lasting {
        true => Millis::MAX,
        false => finding.until.max(finding.blocked),
    };
    json!({
        "kind": finding.kind,
        "incident": finding.incident,
        "severity": finding.severity,
        "at": shown(finding.at),
        "events": finding.events,
        "risk": finding.risk,
        "presentRisk": finding.present(now, config.half_life.millis()),
        "live": finding.live(now, config.half_life.millis()),
        "demandedLevel": finding.demands(now),
        "demandedUntil": if finding.level > 0 { shown(ends) } else { Value::Null },
        "blockedUntil": shown(finding.blocked),
        "lasting": finding.lasting,
    })
}

fn event(kept: &StoredEvent) -> Value {
    let label = kept.label.as_deref();
    json!({
        "type": kept.kind.name(),
        "at": shown(kept.at),
        "severity": kept.severity,
        "source": label.map(|label| &*label.source),
        "id": label.map(|label| &*label.id),
    })
}

fn findings(track: &Track, now: Millis, config: &SignalsConfig) -> Vec<Value> {
    let all = track.findings.iter();
    all.map(|one| finding(one, now, config)).collect()
}

fn events<'a>(kept: impl IntoIterator<Item = &'a StoredEvent>) -> Vec<Value> {
    kept.into_iter().map(event).collect()
}

fn track(state: &Track, now: Millis, config: &SignalsConfig) -> Value {
    json!({
        "findings": findings(state, now, config),
        "events": events(state.window.events()),
        "remediated": shown(state.remediated),
    })
}

impl Core {
    /// Everything that is known of a subject.
    pub(crate) fn describe(&self, subject: &SubjectKind, now: Timestamp) -> Option<Value> {
        let config = self.config.load();
        let now = now.as_millis();
        match subject {
            SubjectKind::User(user) => {
                let mut value = self
                    .users
                    .with(user, |state| state.describe(now, &config))?;
                if let Some(members) = value.as_object_mut() {
                    members.insert("type".to_owned(), json!(user.type_name()));
                    members.insert("id".to_owned(), json!(user.id()));
                }
                Some(value)
            }
            SubjectKind::Session(id) => {
                let (mut value, user) = self.sessions.with(id.as_str(), |state| {
                    let user = state.user.clone();
                    let mut value = track(&state.track, now, &config);
                    if let Some(members) = value.as_object_mut() {
                        members.insert("id".to_owned(), json!(id));
                        members.insert("revoked".to_owned(), shown(state.revoked));
                        members.insert("states".to_owned(), json!(events(state.states.events())));
                        let user = user.as_ref();
                        let user =
                            user.map(|user| json!({"type": user.type_name(), "id": user.id()}));
                        members.insert("user".to_owned(), json!(user));
                    }
                    (value, user)
                })?;
                let recorded = user.and_then(|user| {
                    let describe = |state: &mut User| {
                        let session = state.sessions.find(id)?;
                        Some(session.describe(now, &config.sessions))
                    };
                    self.users.with(&user, describe).flatten()
                });
                if let Some(members) = value.as_object_mut() {
                    members.insert("recorded".to_owned(), json!(recorded));
                }
                Some(value)
            }
            SubjectKind::Device(id) => self.devices.with(id.as_str(), |state| {
                let mut value = state.describe();
                let parts = track(&state.track, now, &config);
                if let (Some(members), Value::Object(parts)) = (value.as_object_mut(), parts) {
                    members.extend(parts);
                    members.insert("id".to_owned(), json!(id));
                    members.insert("states".to_owned(), json!(events(state.states.events())));
                }
                value
            }),
            SubjectKind::Ip(ip) => self.ips.with(&ip.to_canonical(), |state| {
                let mut value = track(&state.track, now, &config);
                if let Some(members) = value.as_object_mut() {
                    members.insert("ip".to_owned(), json!(ip));
                }
                value
            }),
        }
    }

    /// The subjects that something is held against.
    pub(crate) fn held(&self, now: Timestamp, limit: usize) -> Vec<SubjectKind> {
        let config = self.config.load();
        let now = now.as_millis();
        let mut held = Vec::new();
        for part in 0..PARTS {
            list::<User>(self, part, |state| state.is_held(now, &config), &mut held);
            list::<SessionState>(self, part, |state| state.is_held(now, &config), &mut held);
            list::<DeviceState>(self, part, |state| state.is_held(now, &config), &mut held);
            list::<IpState>(self, part, |state| state.is_held(now, &config), &mut held);
            if held.len() >= limit {
                break;
            }
        }
        held.truncate(limit);
        held
    }
}

impl User {
    fn describe(&self, now: Millis, config: &SignalsConfig) -> Value {
        let held = self.held(now, config);
        let mut found = findings(&self.track, now, config);
        let compromise = self.compromise_finding(config);
        found.extend(compromise.map(|one| finding(&one, now, config)));
        let addresses = self.pairs.iter().map(|pair| {
            let mut value = track(&pair.track, now, config);
            if let Some(members) = value.as_object_mut() {
                members.insert("ip".to_owned(), json!(pair.ip));
            }
            value
        });
        let overriding = self.overriding.as_ref().map(|over| {
            json!({
                "until": shown(over.until),
                "live": over.until > now,
                "reason": over.reason,
                "by": over.by,
                "at": shown(over.at),
            })
        });
        let sighting = self.sighting().map(|seen| {
            json!({
                "latitude": f64::from(seen.point.latitude) / 1e6,
                "longitude": f64::from(seen.point.longitude) / 1e6,
                "accuracy": seen.accuracy,
                "at": seen.at.to_string(),
            })
        });
        let enrolled = self
            .enrolled()
            .map(|set| set.iter().map(Method::as_str).collect::<Vec<_>>());
        let rates = self.rates.iter().map(|rate| {
            let rates = rate.measured(now);
            json!({"caller": rate.caller, "denies": rates.denies, "requests": rates.requests})
        });
        json!({
            "known": self.known,
            "account": {
                "created": self.created.map(shown),
                "enrolled": enrolled,
                "disabled": self.disabled.said().then_some(self.disabled.value),
                "disabledChanged": shown(self.disabled.at),
            },
            "subjectRisk": held.risk,
            "demandedLevel": held.level,
            "riskLevel": self.level(),
            "suspiciousSince": shown(self.suspicious()),
            "lastAdverse": shown(self.adverse()),
            "remediated": shown(self.track.remediated),
            "override": overriding,
            "findings": found,
            "events": events(self.track.window.events()),
            "states": events(self.states.events()),
            "addresses": addresses.collect::<Vec<_>>(),
            "revokedBefore": shown(self.revoked_before),
            "lastSessionRevoked": shown(self.session_revoked),
            "sessions": self.sessions.iter()
                .map(|session| session.describe(now, &config.sessions)).collect::<Vec<_>>(),
            "devices": self.devices.iter().map(|id| &**id).collect::<Vec<_>>(),
            "places": self.places.describe(now, config),
            "history": self.profile.describe(now, config),
            "lastDecision": shown(self.profile.last()),
            "lastSighting": sighting,
            "lastRequestRisk": self.band,
            "rates": rates.collect::<Vec<_>>(),
        })
    }
}
