//! What decisions show: only those that allowed something become history.

use super::super::event::EventSubject;
use super::super::finding::{Finding, Grown};
use super::super::rates::Rate;
use super::super::record::User;
use super::super::store::{FindingKind, Seen, SubjectKind};
use super::super::track::News;
use super::super::window::{Millis, NEVER};
use super::{Core, SignalsConfig, Work};

impl Core {
    /// Takes note of a decision. A known user costs no allocation, save for a place or a day that is new.
    pub(in super::super) fn observe(&self, seen: &Seen<'_>) {
        let config = self.config.load();
        let denied = !seen.allowed && !seen.by_trust && config.rates.enabled;
        if !seen.allowed && !denied && seen.impossible_speed.is_none() {
            return;
        }
        let now = seen.ask.now.as_millis();
        let mut news = News::new();
        let note = |user: &mut User| user.note(seen, now, &config, &mut news);
        let known = self.users.with(seen.ask.user, note);
        if known.is_none() && seen.allowed {
            let mut gone = Vec::new();
            let most = usize::try_from(config.bounds.max_subjects).unwrap_or(usize::MAX);
            let spare = |user: &User| user.spare(now, &config);
            // Where there is no room, nothing is learned of the user.
            self.users
                .with_or_make(seen.ask.user, most, spare, &mut gone, |user| {
                    user.note(seen, now, &config, &mut news);
                });
            for (user, mut state) in gone {
                state.events().for_each(|kept| {
                    if let Some(label) = &kept.label {
                        self.ids.forget(label);
                    }
                });
                self.mark([SubjectKind::User(user)]);
            }
        }
        if !news.is_empty() {
            let mut work = Work::new(self, &config, seen.ask.now);
            let subject = EventSubject {
                user: Some(seen.ask.user.clone()),
                ..EventSubject::default()
            };
            work.tell(news, &subject);
            work.finish();
        }
    }
}

impl User {
    fn note(&mut self, seen: &Seen<'_>, now: Millis, config: &SignalsConfig, news: &mut News) {
        if config.rates.enabled && (seen.allowed || !seen.by_trust) {
            self.rate(seen.ask.caller, now, !seen.allowed, config);
        }
        if !seen.allowed {
            if seen.impossible_speed.is_some() {
                self.travel_denied(now, config, news);
            }
            return;
        }
        self.unsaved = true;
        self.known = true;
        self.touched = self.touched.max(now);
        self.band = Some(seen.band);
        self.profile.add(now, config);
        if let Some(country) = seen.ask.country {
            self.places.add(country, seen.ask.ip, now, config);
        }
        if seen.impossible_speed.is_some() {
            self.travelled(now, config, news);
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
    fn travel_denied(&mut self, now: Millis, config: &SignalsConfig, news: &mut News) {
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
            severity: super::super::event::Severity::High,
            level: 0,
            until: NEVER,
            blocked: NEVER,
            lasting: false,
            events: 1,
        };
        news.push((Grown::Finding, finding));
    }
}
