//! A user's account: what is enrolled, what is known to others, what was said of its risk.

use super::User;
use crate::trust::model::{Band, Method, MethodSet};
use crate::trust::subjects::config::SignalsConfig;
use crate::trust::subjects::finding::Finding;
use crate::trust::subjects::kind::Severity;
use crate::trust::subjects::latest::Latest;
use crate::trust::subjects::store::FindingKind;
use crate::trust::subjects::track::NewFindings;
use crate::trust::subjects::window::{Millis, NEVER};

impl User {
    /// The methods it has enrolled, where it was said.
    pub(crate) fn enrolled(&self) -> Option<MethodSet> {
        let there = self.methods.iter().filter(|(_, gone)| !gone.value);
        let set: MethodSet = there.map(|(method, _)| *method).collect();
        (self.enrolled_said || !set.is_empty()).then_some(set)
    }

    /// A method was enrolled, or is gone.
    pub(crate) fn enrol(&mut self, method: Method, at: Millis, gone: bool) {
        match self.methods.iter_mut().find(|(other, _)| *other == method) {
            Some((_, said)) => {
                said.set(at, gone);
            }
            None => self.methods.push((method, Latest { at, value: gone })),
        }
    }

    /// All its methods were said.
    pub(crate) fn enrol_all(&mut self, set: MethodSet, at: Millis) {
        self.enrolled_said = true;
        for method in Method::ALL {
            self.enrol(method, at, !set.contains(method));
        }
    }

    /// A credential is known to others.
    pub(crate) fn compromise(&mut self, at: Millis, config: &SignalsConfig) -> Option<Finding> {
        let before = self.compromise_held();
        self.compromised = self.compromised.max(at);
        (!before).then(|| self.compromise_finding(config)).flatten()
    }

    /// A credential was replaced.
    pub(crate) fn replace(&mut self, at: Millis) {
        self.replaced = self.replaced.max(at);
    }

    pub(super) fn compromise_held(&self) -> bool {
        self.compromised != NEVER
            && self.compromised >= self.replaced
            && self.compromised > self.track.remediated
    }

    /// What is found of a credential that is known to others and neither replaced nor remediated.
    pub(crate) fn compromise_finding(&self, config: &SignalsConfig) -> Option<Finding> {
        let rule = &config.rules.credential_compromise;
        self.compromise_held().then_some(Finding {
            kind: FindingKind::CredentialCompromise,
            stretch: self.compromised,
            at: self.compromised,
            risk: rule.risk,
            incident: false,
            severity: Severity::Critical,
            level: rule.level,
            until: NEVER,
            blocked: NEVER,
            lasting: true,
            events: 1,
        })
    }

    /// A risk level was said.
    pub(crate) fn set_level(&mut self, at: Millis, band: Band) {
        match &mut self.level {
            Some(level) => {
                level.set(at, band);
            }
            None => self.level = Some(Latest { at, value: band }),
        }
    }

    /// The risk level that was said and not remediated; `LOW` is none.
    pub(crate) fn level(&self) -> Option<Band> {
        let level = self
            .level
            .filter(|level| level.at > self.track.remediated)?;
        (level.value > Band::Low).then_some(level.value)
    }

    /// Two places too far apart.
    pub(crate) fn travelled(
        &mut self,
        now: Millis,
        config: &SignalsConfig,
        news: &mut NewFindings,
    ) {
        let again = config.rules.travel_again.millis();
        let last = self.track.findings.latest_of(FindingKind::ImpossibleTravel);
        if last != NEVER && now.saturating_sub(last) < again {
            return;
        }
        let rule = &config.rules.impossible_travel;
        let finding = Finding {
            kind: FindingKind::ImpossibleTravel,
            stretch: now,
            at: now,
            risk: rule.risk,
            incident: false,
            severity: Severity::High,
            level: 0,
            until: NEVER,
            blocked: NEVER,
            lasting: false,
            events: 1,
        };
        self.track.find(&finding, config, news);
        // One incident until it is remediated, however often it is seen.
        let incident = Finding {
            kind: FindingKind::AccountCompromise,
            stretch: self.track.remediated,
            incident: true,
            level: rule.level,
            lasting: true,
            ..finding
        };
        self.track.find(&incident, config, news);
    }
}
