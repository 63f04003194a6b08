//! What decisions show: only those that allowed something become history.

use super::{Core, Update};
use crate::trust::subjects::config::SignalsConfig;
use crate::trust::subjects::finding::{Finding, Growth};
use crate::trust::subjects::rates::Rate;
use crate::trust::subjects::record::{Record, User};
use crate::trust::subjects::shard::{Capacity, Reporter};
use crate::trust::subjects::store::{FindingKind, Observation, SubjectKind};
use crate::trust::subjects::track::NewFindings;
use crate::trust::subjects::window::{Millis, NEVER};

impl Core {
    /// Takes note of a decision. A known user costs no allocation, save for a place or a day that is new.
    pub(crate) fn observe(&self, seen: &Observation<'_>) {
        let config = self.config.load();
        let denied = !seen.allowed && !seen.by_trust && config.rates.enabled;
        if !seen.allowed && !denied && seen.impossible_speed.is_none() {
            return;
        }
        let now = seen.ask.now.as_millis();
        let mut news = NewFindings::new();
        let note = |user: &mut User| user.note(seen, now, &config, &mut news);
        let known = self.users.with(seen.ask.user, note);
        if known.is_none() && seen.allowed && (seen.named || seen.impossible_speed.is_some()) {
            self.first_seen(seen, now, &config, &mut news);
        }
        if !news.is_empty() {
            let mut work = Update::new(self, &config, seen.ask.now);
            work.tell(news, &SubjectKind::User(seen.ask.user.clone()).into());
            self.tell(work.done().notices);
        }
    }

    /// Takes note of a user of whom nothing is known. Where there is no room, nothing is learned of it:
    /// history takes no other's place but a stranger's.
    fn first_seen(
        &self,
        seen: &Observation<'_>,
        now: Millis,
        config: &SignalsConfig,
        news: &mut NewFindings,
    ) {
        let limit = |bound: u32| usize::try_from(bound).unwrap_or(usize::MAX);
        let stranger = !seen.vouched;
        if stranger && !self.room_for_stranger(limit(config.bounds.max_strangers)) {
            return;
        }
        let most = limit(config.bounds.max_subjects).saturating_add(self.strangers.len());
        let room = Capacity {
            most: most.saturating_add(usize::from(stranger)),
            by: Reporter::NOBODY,
        };
        let mut gone = Vec::new();
        let spare = |user: &User| !user.stranger && user.spare(now, config);
        let user = seen.ask.user;
        let made = self
            .users
            .with_or_make(user, room, spare, &mut gone, |state| {
                // Somebody else may have made it since.
                let new = stranger && !state.known && state.touched == NEVER;
                state.stranger |= new;
                state.note(seen, now, config, news);
                new
            });
        if made == Some(true) {
            self.strangers.add(user.clone(), now);
        }
        for (user, mut state) in gone {
            self.forget_record(&mut *state);
            self.mark([SubjectKind::User(user)]);
        }
    }
}

impl User {
    fn note(
        &mut self,
        seen: &Observation<'_>,
        now: Millis,
        config: &SignalsConfig,
        news: &mut NewFindings,
    ) {
        if config.rates.enabled && (seen.allowed || !seen.by_trust) {
            self.rate(seen.ask.caller, now, !seen.allowed, config);
        }
        if !seen.allowed {
            if seen.impossible_speed.is_some() {
                self.travel_denied(now, config, news);
            }
            return;
        }
        if seen.impossible_speed.is_some() {
            self.unsaved = true;
            self.touched = self.touched.max(now);
            self.travelled(now, config, news);
        }
        // Nobody in particular asked: it speaks neither for the user nor against it.
        if !seen.named {
            return;
        }
        self.unsaved = true;
        self.known = true;
        self.stranger &= !seen.vouched;
        self.touched = self.touched.max(now);
        self.band = Some(seen.band);
        self.profile.add(now, config);
        if let Some(country) = seen.ask.country {
            self.places.add(country, seen.ask.ip, now, config);
        }
        if let Some(point) = seen.point {
            self.see(point, now);
        }
        if seen.unusual_hour || seen.unusual_rate {
            self.unusual = self.unusual.max(now);
        }
        if let Some(session) = seen.ask.session.and_then(|id| self.sessions.find_mut(id)) {
            session.used(now, &config.sessions);
        }
    }

    fn rate(&mut self, caller: &str, now: Millis, denied: bool, config: &SignalsConfig) {
        self.unsaved = true;
        if let Some(rate) = self.rates.iter_mut().find(|rate| &*rate.caller == caller) {
            rate.add(now, denied);
            return;
        }
        if self.rates.len() >= usize::from(config.rates.callers) {
            let oldest = self
                .rates
                .iter()
                .enumerate()
                .min_by_key(|(_, rate)| rate.last);
            if let Some(at) = oldest.map(|(at, _)| at) {
                self.rates.swap_remove(at);
            }
        }
        let mut rate = Rate::new(caller, now);
        rate.add(now, denied);
        self.rates.push(rate);
    }

    /// What was denied is held against nobody, or whoever is denied could be locked out by it. It is told
    /// of, once within the time that travel is reported in.
    fn travel_denied(&mut self, now: Millis, config: &SignalsConfig, news: &mut NewFindings) {
        let again = config.rules.travel_again.millis();
        let found = self.track.findings.latest_of(FindingKind::ImpossibleTravel);
        let last = self.travel_told.max(found);
        if last != NEVER && now.saturating_sub(last) < again {
            return;
        }
        self.travel_told = now;
        let finding = Finding {
            kind: FindingKind::ImpossibleTravel,
            stretch: now,
            at: now,
            risk: config.rules.impossible_travel.risk,
            incident: false,
            severity: crate::trust::subjects::kind::Severity::High,
            level: 0,
            until: NEVER,
            blocked: NEVER,
            lasting: false,
            events: 1,
        };
        news.push((Growth::Finding, finding));
    }
}
