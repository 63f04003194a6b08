//! What is kept of one subject's security events, and what follows from them.
//!
//! What enters: events, in any order. What leaves: findings. What must hold: what follows depends on which
//! events there are and not on the order they came in, as long as none was pushed out.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::config::{CountRule, SignalsConfig};
use super::correlate;
use super::finding::{Assessed, Finding, Findings, Growth};
use super::kind::{EventType, Severity};
use super::store::FindingKind;
use super::window::{Millis, NEVER, StoredEvent, Window, never, no_time};

/// Whose events they are. A high incident of a user stays until it is remediated; that of an address ends
/// by itself, since many may share it. A session or a device is never blocked, since anybody can name one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SubjectClass {
    User,
    Address,
    Thing,
}

/// Findings that are to be told of.
pub(super) type NewFindings = SmallVec<[(Growth, Finding); 2]>;

/// Events and findings of one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Track {
    #[serde(rename = "e", default, skip_serializing_if = "Window::is_empty")]
    pub(super) window: Window,
    #[serde(rename = "f", default, skip_serializing_if = "Findings::is_empty")]
    pub(super) findings: Findings,
    /// Nothing until then counts any more.
    #[serde(rename = "r", default = "no_time", skip_serializing_if = "never")]
    pub(super) remediated: Millis,
    /// The latest event of a high severity.
    #[serde(rename = "h", default = "no_time", skip_serializing_if = "never")]
    severe: Millis,
    /// The latest finding there was.
    #[serde(rename = "x", default = "no_time", skip_serializing_if = "never")]
    found: Millis,
}

impl Default for Track {
    fn default() -> Self {
        Self {
            window: Window::default(),
            findings: Findings::default(),
            remediated: NEVER,
            severe: NEVER,
            found: NEVER,
        }
    }
}

impl Track {
    /// Takes an event in; what it pushed out is handed back.
    pub(super) fn insert(
        &mut self,
        kept: StoredEvent,
        most: u16,
        whose: SubjectClass,
        config: &SignalsConfig,
        news: &mut NewFindings,
    ) -> Option<StoredEvent> {
        let (at, severity) = (kept.at, kept.severity);
        let gone = self.window.insert(kept, most);
        if at > self.remediated {
            if severity >= Severity::High {
                self.severe = self.severe.max(at);
            }
            self.correlate(at, whose, config, news);
            self.count(at, whose, config, news);
        }
        gone
    }

    /// Takes a finding in that follows from no kept event.
    pub(super) fn find(
        &mut self,
        finding: &Finding,
        config: &SignalsConfig,
        news: &mut NewFindings,
    ) {
        if finding.at <= self.remediated {
            return;
        }
        self.found = self.found.max(finding.at);
        let grown = self.findings.take(finding, config.bounds.findings);
        if grown != Growth::No {
            news.push((grown, *finding));
        }
    }

    /// Groups that an event at `at` may belong to begin within one window before it.
    fn correlate(
        &mut self,
        at: Millis,
        whose: SubjectClass,
        config: &SignalsConfig,
        news: &mut NewFindings,
    ) {
        let rules = &config.correlation;
        let window = rules.window.millis();
        let mut found: SmallVec<[Finding; 4]> = SmallVec::new();
        let events = self.window.events();
        let from = self
            .remediated
            .saturating_add(1)
            .max(at.saturating_sub(window));
        let first = events.partition_point(|kept| kept.at < from);
        for (start, kept) in (first..).zip(events.iter().skip(first)) {
            if kept.at > at {
                break;
            }
            let end = kept.at.saturating_add(window);
            let after = events.partition_point(|other| other.at <= end);
            let group = events.get(start..after).unwrap_or_default();
            if group.len() < usize::from(rules.min_events) {
                continue;
            }
            let risk = correlate::risk(group, rules);
            if risk <= rules.finding_above {
                continue;
            }
            let incident = risk > rules.incident_above;
            found.push(Finding {
                kind: FindingKind::Correlated,
                stretch: kept.at.div_euclid(window.max(1)),
                at: group.last().map_or(kept.at, |last| last.at),
                risk,
                incident,
                severity: if incident {
                    Severity::High
                } else {
                    Severity::Medium
                },
                level: 0,
                until: NEVER,
                blocked: NEVER,
                lasting: incident && whose == SubjectClass::User,
                events: u16::try_from(group.len()).unwrap_or(u16::MAX),
            });
        }
        for finding in found {
            self.find(&finding, config, news);
        }
    }

    /// The rules that count events.
    fn count(
        &mut self,
        at: Millis,
        whose: SubjectClass,
        config: &SignalsConfig,
        news: &mut NewFindings,
    ) {
        let rules = &config.rules;
        let suspicious = |kind: EventType| {
            rules
                .suspicious_types
                .iter()
                .any(|name| name == kind.name())
        };
        let blocks = config.block.enabled && whose != SubjectClass::Thing;
        let brute = |kind| kind == EventType::LoginFailed;
        let limited = |kind| kind == EventType::RateLimitHit;
        self.count_one(
            at,
            &rules.brute_force,
            FindingKind::BruteForceAttack,
            &brute,
            blocks,
            config,
            news,
        );
        let kind = FindingKind::SuspiciousRequests;
        self.count_one(
            at,
            &rules.suspicious_requests,
            kind,
            &suspicious,
            false,
            config,
            news,
        );
        let kind = FindingKind::RateLimitAbuse;
        self.count_one(at, &rules.rate_limits, kind, &limited, false, config, news);
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "one rule of several, taken apart"
    )]
    fn count_one(
        &mut self,
        at: Millis,
        rule: &CountRule,
        kind: FindingKind,
        of: &dyn Fn(EventType) -> bool,
        blocks: bool,
        config: &SignalsConfig,
        news: &mut NewFindings,
    ) {
        let (needed, window) = (usize::from(rule.events), rule.window.millis());
        if needed == 0 {
            return;
        }
        let from = self
            .remediated
            .saturating_add(1)
            .max(at.saturating_sub(window));
        let until = at.saturating_add(window);
        let events = self.window.events();
        let first = events.partition_point(|kept| kept.at < from);
        let within = events
            .iter()
            .skip(first)
            .take_while(|kept| kept.at <= until);
        let times = within
            .filter(|kept| kept.counts && of(kept.kind))
            .map(|kept| kept.at);
        let times: SmallVec<[Millis; 32]> = times.collect();
        let brute_force = kind == FindingKind::BruteForceAttack;
        let mut found: SmallVec<[Finding; 4]> = SmallVec::new();
        for (start, begin) in times
            .iter()
            .enumerate()
            .take_while(|(_, begin)| **begin <= at)
        {
            let end = begin.saturating_add(window);
            let after = times.partition_point(|time| *time <= end);
            let count = after - start;
            if count < needed {
                continue;
            }
            let last = times.get(after - 1).copied().unwrap_or(*begin);
            let blocked = match brute_force && blocks {
                true => last.saturating_add(config.block.lasts.millis()),
                false => NEVER,
            };
            found.push(Finding {
                kind,
                stretch: begin.div_euclid(window.max(1)),
                at: last,
                risk: rule.risk,
                incident: brute_force,
                severity: Severity::Medium,
                level: rule.level,
                until: last.saturating_add(rule.lasts.millis()),
                blocked,
                lasting: false,
                events: u16::try_from(count).unwrap_or(u16::MAX),
            });
        }
        for finding in found {
            self.find(&finding, config, news);
        }
    }

    /// What its findings come to now.
    pub(super) fn held(&self, now: Millis, config: &SignalsConfig) -> Assessed {
        self.findings.held(now, config.half_life.millis())
    }

    /// Whether anything is held against it now.
    pub(super) fn live(&self, now: Millis, config: &SignalsConfig) -> bool {
        self.findings.live(now, config.half_life.millis())
    }

    /// When something last happened that makes activity suspicious.
    pub(super) fn suspicious(&self) -> Millis {
        self.severe.max(self.found)
    }

    /// When something was last found.
    pub(super) fn found(&self) -> Millis {
        self.found
    }

    /// When something last happened at all.
    pub(super) fn latest(&self) -> Millis {
        self.window
            .latest()
            .max(self.findings.latest())
            .max(self.found)
    }

    /// Ends everything until now, and until the latest event, which may be a little ahead.
    pub(super) fn remediate(&mut self, now: Millis) {
        self.remediated = self.remediated.max(now).max(self.latest());
        self.findings.clear();
        self.severe = NEVER;
        self.found = NEVER;
    }

    /// Takes out what is past its retention; the events are handed back.
    pub(super) fn forget(&mut self, now: Millis, config: &SignalsConfig) -> Vec<StoredEvent> {
        let findings = now.saturating_sub(config.retention.findings.millis());
        self.findings.forget(findings);
        let events = now.saturating_sub(config.retention.events.millis());
        self.window.forget(events).collect()
    }
}
