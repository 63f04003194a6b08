//! Counters, histograms and gauges. Labels come from closed sets, from the policies or from the
//! configuration: never an id of a request.
//!
//! What enters: what happened. What leaves: OpenMetrics text, or Prometheus' text format ([`Format`]). Whoever counts adds to a counter that was
//! made beforehand; names and labels are put together when somebody asks.

mod capacity;
mod closed;
mod exchanges;
mod format;
mod page;
mod pdp;
mod policies;
mod process;
mod signals;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::base::counts::Counts;
use crate::base::lock::lock;
use crate::base::words::Words;
use crate::pdp::Pdp;
use crate::pdp::decide::{Cause, Decision, Outcome};
use crate::pdp::evaluate::PolicyErrorCode;
use crate::service::config::{MetricsConfig, Switch};
use crate::service::ssf::Receivers;
use crate::trust::model::Band;
use crate::trust::subjects::{EventType, SignalStore, Usage};

pub(crate) use capacity::Capacity;
pub(crate) use closed::{AuthenticationFailure, Certificate, EventResult, Shed, WouldDeny};
use exchanges::Exchanges;
pub(crate) use format::Format;
use page::Page;
pub(crate) use page::figures;
use policies::PolicyCounts;
use process::Process;
pub(crate) use process::most_files;
use signals::EventCounts;

/// What is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    figures: Arc<Figures>,
}

/// A figure that is kept elsewhere and written when somebody asks.
type Watched = (&'static str, Box<dyn Fn(&mut Page<'_>) + Send + Sync>);

/// The counters themselves.
struct Figures {
    exchanges: Exchanges,
    allowed: Counts<Cause>,
    denied: Counts<Cause>,
    policy_errors: Counts<PolicyErrorCode>,
    policies: Option<PolicyCounts>,
    would_deny: Counts<WouldDeny>,
    scored: Counts<Band>,
    shed: Counts<Shed>,
    rate_limited: AtomicU64,
    authentication_failures: Counts<AuthenticationFailure>,
    events: EventCounts,
    receivers: OnceLock<Receivers>,
    signals: OnceLock<Arc<dyn SignalStore>>,
    /// Seconds since 1970 by certificate; 0 where there is none.
    certificates: [AtomicU64; 2],
    ready: AtomicU64,
    config_refused: AtomicU64,
    restart_needed: AtomicU64,
    watched: Mutex<Vec<Watched>>,
    process: Process,
    pdp: OnceLock<Pdp>,
}

impl Metrics {
    /// `routes` are the labels of routes; whoever counts names them by their place.
    pub(crate) fn new(config: &MetricsConfig, routes: &'static [&'static str]) -> Self {
        let policies = config.policies == Switch::On;
        let figures = Arc::new(Figures {
            exchanges: Exchanges::new(routes),
            allowed: Counts::default(),
            denied: Counts::default(),
            policy_errors: Counts::default(),
            policies: policies.then(|| PolicyCounts::new(config.policy_limit)),
            would_deny: Counts::default(),
            scored: Counts::default(),
            shed: Counts::default(),
            rate_limited: AtomicU64::new(0),
            authentication_failures: Counts::default(),
            events: EventCounts::new(),
            receivers: OnceLock::new(),
            signals: OnceLock::new(),
            certificates: Default::default(),
            ready: AtomicU64::new(0),
            config_refused: AtomicU64::new(0),
            restart_needed: AtomicU64::new(0),
            watched: Mutex::default(),
            process: Process::new(),
            pdp: OnceLock::new(),
        });
        let mut registry = Registry::with_prefix("deodar");
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "What this is", build);
        registry.register_collector(Box::new(Arc::clone(&figures)));
        let metrics = Self {
            registry: Mutex::new(registry),
            figures,
        };
        // Always shown, so that dashboards and alerts find them; 0 until somebody tells them.
        figures! { metrics;
            watch_gauge "audit_queue" "Records of the decision log that wait to be written" = || 0;
            watch_counter "audit_records" "Records that the decision log took" = || 0;
            watch_counter "audit_dropped" "Decisions without a record in the decision log" = || 0;
            watch_counter "token_cache_hits" "Tokens that were verified before" = || 0;
            watch_counter "token_verifications" "Tokens that were verified, including refused ones" = || 0;
            watch_counter "issuer_key_fetches" "Fetches of the keys of issuers" = || 0;
            watch_counter "issuer_key_failures" "Fetches of the keys of issuers that failed" = || 0;
            watch_counter "span_exports" "Batches of spans that the collector took" = || 0;
            watch_counter "span_export_failures" "Batches of spans that the collector did not take" = || 0;
        }
        metrics
    }

    /// Reports the state and the reloads of a decision point too.
    pub(crate) fn watch(&self, pdp: Pdp) {
        // A second call would be a mistake of ours; the first decision point stays.
        let _ = self.figures.pdp.set(pdp);
    }

    /// Says whether requests should be sent here.
    pub(crate) fn ready(&self, ready: bool) {
        self.figures.ready.store(ready.into(), Ordering::Relaxed);
    }

    /// Says how the configuration file is: refused as it is now, and how many keys wait for a restart.
    pub(crate) fn config_trouble(&self, refused: bool, restart_needed: usize) {
        let figures = &self.figures;
        figures
            .config_refused
            .store(refused.into(), Ordering::Relaxed);
        let keys = restart_needed as u64;
        figures.restart_needed.store(keys, Ordering::Relaxed);
    }

    /// Counts an answer; `route` is a place in the table of routes, or beyond it for any other path.
    pub(crate) fn answered(&self, route: usize, status: u16, time: Duration) {
        self.figures.exchanges.add(route, status, time);
    }

    /// Counts a decision.
    pub(crate) fn decided(&self, outcome: &Outcome) {
        let figures = &self.figures;
        match outcome.decision() {
            Decision::Allow => figures.allowed.add(outcome.cause()),
            Decision::Deny => figures.denied.add(outcome.cause()),
        }
        for failure in outcome.policy_errors() {
            figures.policy_errors.add(failure.code());
        }
        if let Some(policies) = &figures.policies {
            policies.add(outcome);
        }
        if let Some(trust) = outcome.trust() {
            figures.scored.add(trust.assessment().band);
            if let Some(kind) = trust
                .would_be()
                .and_then(|would| WouldDeny::of(would.cause))
            {
                figures.would_deny.add(kind);
            }
        }
    }

    /// Counts a request that was turned away because there was no room.
    pub(crate) fn shed(&self, reason: Shed) {
        self.figures.shed.add(reason);
    }

    /// Counts a request that was over its caller's rate.
    pub(crate) fn rate_limited(&self) {
        self.figures.rate_limited.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a caller that could not say who it is.
    pub(crate) fn authentication_failed(&self, kind: AuthenticationFailure) {
        self.figures.authentication_failures.add(kind);
    }

    /// Counts an event by its type; one that cannot be read has none.
    pub(crate) fn event(&self, kind: Option<EventType>, result: EventResult) {
        self.figures.events.add(kind, result);
    }

    /// Shows how receivers of security event tokens fare.
    pub(crate) fn watch_receivers(&self, receivers: Receivers) {
        // A second call would be a mistake of ours; the first ones stay.
        let _ = self.figures.receivers.set(receivers);
    }

    /// Shows how full the rooms of a store of signals are.
    pub(crate) fn watch_signals(&self, signals: Arc<dyn SignalStore>) {
        // A second call would be a mistake of ours; the first store stays.
        let _ = self.figures.signals.set(signals);
    }

    /// Says when a certificate ends, in seconds since 1970; `None` when there is none any more.
    pub(crate) fn certificate_expires(&self, certificate: Certificate, at: Option<u64>) {
        if let Some(cell) = self.figures.certificates.get(certificate as usize) {
            cell.store(at.unwrap_or(0), Ordering::Relaxed);
        }
    }

    /// Shows what `read` says at each look. Takes the place of a gauge of this name.
    pub(crate) fn watch_gauge(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        self.watch_figure(name, move |page| page.gauge(name, help, read()));
    }

    /// Shows a number that only rises and that is counted elsewhere; `name` without `_total`. Takes the
    /// place of a counter of this name.
    pub(crate) fn watch_counter(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        self.watch_figure(name, move |page| page.counter(name, help, read()));
    }

    /// As [`Metrics::watch_counter`], by the members of a closed set.
    pub(crate) fn watch_counts<T: Words>(
        &self,
        label: &'static str,
        name: &'static str,
        help: &'static str,
        counts: Arc<Counts<T>>,
    ) {
        self.watch_figure(name, move |page| page.by(label, name, help, counts.named()));
    }

    fn watch_figure(
        &self,
        name: &'static str,
        write: impl Fn(&mut Page<'_>) + Send + Sync + 'static,
    ) {
        let mut all = lock(&self.figures.watched);
        let write = Box::new(write);
        match all.iter_mut().find(|known| known.0 == name) {
            Some(known) => known.1 = write,
            None => all.push((name, write)),
        }
    }

    /// The figures as OpenMetrics text.
    pub(crate) fn encode(&self) -> Result<String, fmt::Error> {
        let registry = lock(&self.registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Figures").finish_non_exhaustive()
    }
}

impl Figures {
    fn write_decisions(&self, page: &mut Page<'_>) {
        let both = [
            (Decision::Allow, &self.allowed),
            (Decision::Deny, &self.denied),
        ];
        let rows = both.into_iter().flat_map(|(decision, counts)| {
            // The pairs that there can be are shown from the start.
            let shown = counts.entries().filter(move |(cause, count)| {
                *count > 0 || (*cause == Cause::Permitted) == (decision == Decision::Allow)
            });
            shown.map(move |(cause, count)| {
                let labels = [("decision", decision.as_str()), ("cause", cause.as_str())];
                (labels, count)
            })
        });
        page.counters("decisions", "Decisions by decision and cause", rows);
    }

    fn write_rooms(&self, page: &mut Page<'_>) {
        let usage = self.signals.get().map(|signals| signals.usage());
        let usage = usage.unwrap_or_default();
        let rows = |read: fn(&Usage) -> usize| {
            let rooms = usage.iter();
            rooms.map(move |usage| ([("room", usage.room)], read(usage) as u64))
        };
        figures! { page;
            gauges "signals_kept" "Subjects that signals are kept of, by the room that they are kept in"
                = rows(|usage| usage.used);
            gauges "signals_kept_limit" "How many a room of signals may keep" = rows(|usage| usage.limit);
        }
    }
}

impl Collector for Figures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let page = &mut Page {
            encoder,
            result: Ok(()),
        };
        let state = self.pdp.get().map(Pdp::state);
        let read = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        self.exchanges.write(page);
        self.write_decisions(page);
        let help = "Policies that failed to evaluate, by kind of error";
        page.by("code", "policy_errors", help, self.policy_errors.named());
        if let Some(policies) = &self.policies {
            policies.write(page, state.as_deref());
        }
        let help = "Decisions that enforcement would turn into Deny, by cause";
        page.by("cause", "would_deny", help, self.would_deny.named());
        let help = "Scored decisions by their band of risk";
        page.by("risk", "scored", help, self.scored.named());
        let help = "Requests turned away for want of room, by reason";
        page.by("reason", "shed", help, self.shed.named());
        let help = "Requests over the rate of their caller";
        page.counter("rate_limited", help, read(&self.rate_limited));
        let help = "Callers that could not say who they are, by what was wrong";
        let failures = self.authentication_failures.named();
        page.by("kind", "authentication_failures", help, failures);
        self.events.write(page);
        signals::write_receivers(page, self.receivers.get());
        self.write_rooms(page);
        let certificates = Certificate::ALL.iter().zip(&self.certificates);
        let certificates = certificates.map(|(of, at)| ([("certificate", of.name())], read(at)));
        figures! { page;
            gauges "certificate_not_after_seconds" "When a certificate ends, in seconds since 1970"
                = certificates.filter(|(_, at)| *at > 0);
            gauge "ready" "1 when requests should be sent here: neither starting nor draining" = read(&self.ready);
            gauge "config_refused" "1 when the configuration file as it is now was refused"
                = read(&self.config_refused);
            gauge "config_restart_needed" "Keys of the configuration file that changed and wait for a restart"
                = read(&self.restart_needed);
        }
        for (_, write) in lock(&self.watched).iter() {
            write(page);
        }
        if let (Some(pdp), Some(state)) = (self.pdp.get(), &state) {
            pdp::write(page, pdp, state);
        }
        self.process.write(page);
        page.result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Metrics {
        let config = MetricsConfig {
            policies: Switch::On,
            policy_limit: 10,
        };
        Metrics::new(&config, &["/authorize", "/healthz"])
    }

    #[track_caller]
    fn check(metrics: &Metrics, lines: &[&str]) {
        let text = metrics.encode().unwrap();
        for line in lines {
            assert!(text.lines().any(|l| l == *line), "{line}\n{text}");
        }
    }

    #[test]
    fn what_happened_is_shown() {
        let metrics = metrics();
        metrics.answered(0, 200, Duration::from_micros(7));
        metrics.answered(9, 404, Duration::from_micros(7));
        metrics.answered(1, 299, Duration::from_micros(7));
        metrics.figures.would_deny.add(WouldDeny::KnockedOut);
        metrics.shed(Shed::Overloaded);
        metrics.rate_limited();
        metrics.authentication_failed(AuthenticationFailure::Token);
        metrics.certificate_expires(Certificate::Server, Some(1_800_000_000));
        metrics.ready(true);
        metrics.config_trouble(true, 2);
        metrics.watch_gauge("audit_queue", "Records that wait", || 7);
        metrics.watch_gauge("things", "Things", || 8);
        metrics.watch_counter("audit_dropped", "Records lost", || 9);
        check(
            &metrics,
            &[
                "deodar_http_request_duration_seconds_bucket{le=\"0.00001\",route=\"/authorize\",class=\"2xx\"} 1",
                "deodar_http_request_duration_seconds_count{route=\"other\",class=\"4xx\"} 1",
                "deodar_http_responses_total{route=\"other\",status=\"404\"} 1",
                "deodar_http_responses_total{route=\"/healthz\",status=\"other\"} 1",
                "deodar_would_deny_total{cause=\"knocked_out\"} 1",
                "deodar_shed_total{reason=\"overloaded\"} 1",
                "deodar_rate_limited_total 1",
                "deodar_authentication_failures_total{kind=\"token\"} 1",
                "deodar_certificate_not_after_seconds{certificate=\"server\"} 1800000000",
                "deodar_ready 1",
                "deodar_config_refused 1",
                "deodar_config_restart_needed 2",
                "deodar_audit_queue 7",
                "deodar_things 8",
                "deodar_audit_dropped_total 9",
                "deodar_decisions_total{decision=\"Allow\",cause=\"permitted\"} 0",
                "deodar_policy_determined_total{policy=\"other\"} 0",
            ],
        );
        let text = metrics.encode().unwrap();
        assert_eq!(text.matches("# TYPE deodar_audit_queue ").count(), 1);
        assert!(!text.contains("client_roots"));
        assert!(text.contains(&format!(
            "deodar_build_info{{version=\"{}\"}} 1",
            env!("CARGO_PKG_VERSION")
        )));
    }

    #[test]
    fn a_family_is_named_once() {
        let text = metrics().encode().unwrap();
        let mut names: Vec<_> = text.lines().filter(|l| l.starts_with("# TYPE")).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "{text}");
    }
}
