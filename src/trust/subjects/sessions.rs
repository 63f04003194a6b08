//! The sessions of a user that are recorded: what each has proven, and when it proves nothing any more.
//!
//! What must hold: a session proves something only to its own user, only between the limits on idleness and
//! age, and never after it was revoked; of more sessions than a user may have, the oldest ends.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::config::{SessionsConfig, SignalsConfig};
use super::window::{Millis, NEVER, never, no_time, shared};
use crate::base::timestamp::Timestamp;
use crate::trust::model::{Evidence, Method};

/// An authentication that a session has seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Proof {
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    method: Option<Method>,
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    level: Option<u8>,
    #[serde(rename = "v", default, skip_serializing_if = "std::ops::Not::not")]
    verified: bool,
    #[serde(rename = "t")]
    at: Millis,
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    until: Option<Millis>,
}

/// A recorded session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    #[serde(rename = "i", with = "shared")]
    pub(super) id: Arc<str>,
    #[serde(rename = "t")]
    pub(super) established: Millis,
    /// When it was last used.
    #[serde(rename = "a")]
    active: Millis,
    #[serde(rename = "p", default)]
    proofs: Vec<Proof>,
    /// Whether it ended because there were too many.
    #[serde(rename = "e", default, skip_serializing_if = "std::ops::Not::not")]
    ended: bool,
    #[serde(rename = "r", default, skip_serializing_if = "std::ops::Not::not")]
    revoked: bool,
    /// Since when no more than a level holds.
    #[serde(rename = "c", default = "no_time", skip_serializing_if = "never")]
    cut: Millis,
    #[serde(rename = "d", default)]
    cut_level: u8,
}

impl Proof {
    pub(super) fn new(evidence: &Evidence) -> Self {
        Self {
            method: evidence.method,
            level: evidence.level,
            verified: evidence.user_verified,
            at: evidence.at.as_millis(),
            until: evidence.until.map(Timestamp::as_millis),
        }
    }

    /// That a level is reached, without saying how.
    pub(super) fn level(level: u8, at: Millis) -> Self {
        Self {
            method: None,
            level: Some(level),
            verified: false,
            at,
            until: None,
        }
    }

    /// The level it is published to reach; what is above a level that was said later does not hold.
    fn strength(&self) -> u8 {
        self.level.unwrap_or(match self.method {
            None => 0,
            Some(Method::PasswordConfirmation) => 1,
            Some(
                Method::Totp | Method::SmsOtp | Method::BackupCodes | Method::PushNotification,
            ) => 2,
            Some(Method::Webauthn) => 3,
            Some(Method::AdminApproval) => 4,
        })
    }

    fn evidence(&self, end: Millis) -> Evidence {
        Evidence {
            method: self.method,
            level: self.level,
            user_verified: self.verified,
            at: Timestamp::from_millis(self.at),
            until: Some(Timestamp::from_millis(self.until.unwrap_or(end).min(end))),
        }
    }
}

impl Session {
    fn new(id: &str, at: Millis) -> Self {
        Self {
            id: id.into(),
            established: at,
            active: at,
            proofs: Vec::new(),
            ended: false,
            revoked: false,
            cut: NEVER,
            cut_level: 0,
        }
    }

    fn expired(&self, now: Millis, limits: &SessionsConfig) -> bool {
        now.saturating_sub(self.active) > limits.idle.millis()
            || now.saturating_sub(self.established) > limits.absolute.millis()
    }

    /// Whether it proves anything at `now`.
    pub(super) fn alive(&self, now: Millis, limits: &SessionsConfig) -> bool {
        !self.revoked && !self.ended && !self.expired(now, limits)
    }

    /// The latest instant that somebody was authenticated in it.
    pub(super) fn authenticated(&self) -> Millis {
        let latest = self.proofs.iter().map(|proof| proof.at).max();
        latest.unwrap_or(NEVER).max(self.established)
    }

    /// What it proves at `now`, of authentications after `since`.
    pub(super) fn evidence(
        &self,
        now: Millis,
        since: Millis,
        limits: &SessionsConfig,
        to: &mut SmallVec<[Evidence; 8]>,
    ) {
        if !self.alive(now, limits) {
            return;
        }
        let end = self.established.saturating_add(limits.absolute.millis());
        let held = |proof: &&Proof| proof.at > since && proof.until.is_none_or(|until| until > now);
        to.extend(
            self.proofs
                .iter()
                .filter(held)
                .map(|proof| proof.evidence(end)),
        );
    }

    /// Takes note of its use.
    pub(super) fn used(&mut self, now: Millis, limits: &SessionsConfig) {
        if self.alive(now, limits) {
            self.active = self.active.max(now);
        }
    }

    /// Takes in an authentication, or a new beginning, at `at`.
    fn begin(&mut self, at: Millis, limits: &SessionsConfig) {
        if at > self.active && (self.ended || self.expired(at, limits)) {
            // What it had proven ended before; this is another session by the same name.
            self.proofs.clear();
            self.established = at;
            self.ended = false;
        } else if at < self.established
            && self.established.saturating_sub(at) <= limits.absolute.millis()
        {
            self.established = at;
        }
        self.active = self.active.max(at);
    }

    fn prove(&mut self, proof: Proof) {
        if proof.at <= self.cut && proof.strength() > self.cut_level {
            return;
        }
        match self
            .proofs
            .iter_mut()
            .find(|other| other.method == proof.method)
        {
            Some(other) => {
                let newer = (proof.at, std::cmp::Reverse(proof.strength()));
                if newer > (other.at, std::cmp::Reverse(other.strength())) {
                    *other = proof;
                }
            }
            None => self.proofs.push(proof),
        }
    }

    /// No more than `level` holds of what was proven until `at`.
    fn cut(&mut self, level: u8, at: Millis) {
        if (at, std::cmp::Reverse(level)) >= (self.cut, std::cmp::Reverse(self.cut_level)) {
            (self.cut, self.cut_level) = (at, level);
        }
        self.proofs
            .retain(|proof| proof.at > at || proof.strength() <= level);
    }

    /// For a person.
    pub(super) fn describe(&self, now: Millis, limits: &SessionsConfig) -> serde_json::Value {
        let shown = |at| Timestamp::from_millis(at).to_string();
        let state = match self {
            _ if self.revoked => "revoked",
            _ if self.ended => "ended",
            _ if self.expired(now, limits) => "expired",
            _ => "alive",
        };
        let proofs = self.proofs.iter().map(|proof| {
            serde_json::json!({
                "method": proof.method.map(Method::as_str),
                "level": proof.level,
                "userVerified": proof.verified,
                "at": shown(proof.at),
                "until": proof.until.map(shown),
            })
        });
        serde_json::json!({
            "id": &*self.id,
            "state": state,
            "established": shown(self.established),
            "lastUsed": shown(self.active),
            "evidence": proofs.collect::<Vec<_>>(),
        })
    }
}

/// The recorded sessions of a user.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Sessions(Vec<Session>);

impl Sessions {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.0.iter()
    }

    pub(super) fn find(&self, id: &str) -> Option<&Session> {
        self.0.iter().find(|session| &*session.id == id)
    }

    pub(super) fn find_mut(&mut self, id: &str) -> Option<&mut Session> {
        self.0.iter_mut().find(|session| &*session.id == id)
    }

    /// Whether a session that is not revoked saw an authentication after `since`.
    pub(super) fn any_after(&self, since: Millis) -> bool {
        let mut all = self.0.iter();
        all.any(|session| !session.revoked && session.authenticated() > since)
    }

    /// A session began, or saw an authentication. Where there are too many, the one that goes is handed
    /// back.
    pub(super) fn begin(
        &mut self,
        id: &str,
        at: Millis,
        proof: Option<Proof>,
        config: &SignalsConfig,
    ) -> Option<Arc<str>> {
        let limits = &config.sessions;
        let mut gone = None;
        match self.find_mut(id) {
            Some(session) => session.begin(at, limits),
            None => {
                gone = self.make_room(usize::from(config.bounds.sessions), at, limits);
                self.0.push(Session::new(id, at));
            }
        }
        if let (Some(proof), Some(session)) = (proof, self.find_mut(id)) {
            session.prove(proof);
        }
        self.end_oldest(limits);
        gone
    }

    /// What is no more than `level` holds of a session since `at`.
    pub(super) fn limit(&mut self, id: &str, level: u8, at: Millis) {
        if let Some(session) = self.find_mut(id) {
            session.cut(level, at);
        }
    }

    /// Revokes a session for good.
    pub(super) fn revoke(&mut self, id: &str) {
        if let Some(session) = self.find_mut(id) {
            session.revoked = true;
            session.proofs.clear();
        }
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.0.retain(|session| &*session.id != id);
    }

    /// Takes out what proves nothing since `before`.
    pub(super) fn forget(&mut self, before: Millis) {
        self.0.retain(|session| session.active >= before);
    }

    fn make_room(&mut self, most: usize, now: Millis, limits: &SessionsConfig) -> Option<Arc<str>> {
        if self.0.len() < most.max(1) {
            return None;
        }
        let key = |session: &Session| (session.alive(now, limits), session.established);
        let oldest = self.0.iter().enumerate().min_by_key(|(_, one)| key(one));
        oldest.map(|(at, _)| at).map(|at| self.0.remove(at).id)
    }

    fn end_oldest(&mut self, limits: &SessionsConfig) {
        if limits.concurrent == 0 {
            return;
        }
        let Some(now) = self.0.iter().map(|session| session.established).max() else {
            return;
        };
        loop {
            let alive = |session: &&mut Session| session.alive(now, limits);
            if self.0.iter().filter(|s| s.alive(now, limits)).count() <= limits.concurrent.into() {
                return;
            }
            let oldest = self.0.iter_mut().filter(alive);
            match oldest.min_by(|a, b| (a.established, &a.id).cmp(&(b.established, &b.id))) {
                Some(session) => session.ended = true,
                None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;

    fn proof(method: Method, at: i64) -> Option<Proof> {
        Some(Proof {
            method: Some(method),
            level: None,
            verified: false,
            at,
            until: None,
        })
    }

    fn methods(sessions: &Sessions, id: &str, now: i64) -> Vec<Option<Method>> {
        let mut found = SmallVec::new();
        let limits = SessionsConfig::default();
        if let Some(session) = sessions.find(id) {
            session.evidence(now, NEVER, &limits, &mut found);
        }
        found.iter().map(|evidence| evidence.method).collect()
    }

    #[track_caller]
    fn check_used(uses: &[i64], now: i64, alive: bool) {
        let config = SignalsConfig::default();
        let mut sessions = Sessions::default();
        sessions.begin("s", 0, proof(Method::Totp, 0), &config);
        for at in uses {
            sessions.find_mut("s").unwrap().used(*at, &config.sessions);
        }
        assert_eq!(methods(&sessions, "s", now).len(), usize::from(alive));
    }

    #[test]
    fn idle_for_thirty_minutes() {
        check_used(&[], 30 * MINUTE, true);
        check_used(&[], 30 * MINUTE + 1, false);
        check_used(&[20 * MINUTE], 50 * MINUTE, true);
        check_used(&[20 * MINUTE], 50 * MINUTE + 1, false);
        // Use does not bring back what has expired.
        check_used(&[31 * MINUTE], 32 * MINUTE, false);
    }

    #[test]
    fn eight_hours_old() {
        let uses: Vec<_> = (0..100).map(|n| n * 20 * MINUTE).collect();
        check_used(&uses, 8 * HOUR, true);
        check_used(&uses, 8 * HOUR + 1, false);
    }

    #[test]
    fn of_four_sessions_the_oldest_ends_in_any_order() {
        let config = SignalsConfig::default();
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
            let mut sessions = Sessions::default();
            for n in order {
                let at = i64::from(n) * MINUTE;
                sessions.begin(&n.to_string(), at, proof(Method::Totp, at), &config);
            }
            let alive = |n: &str| methods(&sessions, n, 4 * MINUTE).len();
            assert_eq!(["0", "1", "2", "3"].map(alive), [0, 1, 1, 1], "{order:?}");
        }
    }

    #[test]
    fn a_revoked_or_expired_session_makes_room_for_another() {
        let config = SignalsConfig::default();
        let mut sessions = Sessions::default();
        for id in ["a", "b", "c"] {
            sessions.begin(id, 0, proof(Method::Totp, 0), &config);
        }
        sessions.revoke("b");
        sessions.begin("d", 1, proof(Method::Totp, 1), &config);
        assert_eq!(
            ["a", "b", "c", "d"].map(|id| methods(&sessions, id, 2).len()),
            [1, 0, 1, 1]
        );
        sessions.begin("e", HOUR, proof(Method::Totp, HOUR), &config);
        assert_eq!(
            ["a", "d", "e"].map(|id| methods(&sessions, id, HOUR).len()),
            [0, 0, 1]
        );
    }

    #[test]
    fn an_authentication_after_the_end_begins_anew() {
        let config = SignalsConfig::default();
        let mut sessions = Sessions::default();
        sessions.begin("s", 0, proof(Method::Webauthn, 0), &config);
        sessions.begin("s", HOUR, proof(Method::Totp, HOUR), &config);
        assert_eq!(methods(&sessions, "s", HOUR), [Some(Method::Totp)]);
    }

    #[test]
    fn a_lower_level_takes_back_what_proved_more() {
        let config = SignalsConfig::default();
        for late in [false, true] {
            let mut sessions = Sessions::default();
            let webauthn = |sessions: &mut Sessions| {
                sessions.begin("s", 0, proof(Method::Webauthn, 0), &config);
            };
            if !late {
                webauthn(&mut sessions);
            }
            sessions.begin("s", 5, proof(Method::PasswordConfirmation, 1), &config);
            sessions.limit("s", 1, 10);
            sessions.begin("s", 10, Some(Proof::level(1, 10)), &config);
            if late {
                webauthn(&mut sessions);
            }
            let left = methods(&sessions, "s", 20);
            assert_eq!(left, [Some(Method::PasswordConfirmation), None], "{late}");
        }
    }

    #[test]
    fn bounded() {
        let config = SignalsConfig::default();
        let mut sessions = Sessions::default();
        for n in 0..1_000 {
            sessions.begin(&n.to_string(), n, None, &config);
        }
        assert_eq!(sessions.0.len(), usize::from(config.bounds.sessions));
        assert!(sessions.find("999").is_some());
    }
}
