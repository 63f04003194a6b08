//! Counters, histograms and gauges. Labels come from closed sets, from the policies or from the
//! configuration: never an id of a request.
//!
//! What enters: what happened. What leaves: OpenMetrics text, or Prometheus' text format ([`Format`]). Whoever counts adds to a counter that was
//! made beforehand; names and labels are put together when somebody asks.

mod capacity;
mod closed;
mod exchanges;
mod format;
mod gauges;
mod pdp;
mod policies;
mod process;
mod signals;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::base::lock::lock;
use crate::pdp::Pdp;
use crate::pdp::decide::{Cause, Decision, Outcome};
use crate::pdp::evaluate::PolicyErrorCode;
use crate::service::config::{MetricsConfig, Switch};
use crate::service::ssf::Receivers;
use crate::trust::model::Band;
use crate::trust::subjects::{EventType, SignalStore};

pub(crate) use capacity::Capacity;
pub(crate) use closed::{AuthenticationFailure, Certificate, Shed, WouldDeny};
use closed::{Closed, Counts};
use exchanges::Exchanges;
pub(crate) use format::Format;
use gauges::{Figure, Kind, Watched};
use policies::PolicyCounts;
use process::Process;
pub(crate) use process::most_files;
use signals::EventCounts;
pub(crate) use signals::EventResult;

/// What is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    figures: Arc<Figures>,
}

/// The counters themselves.
#[derive(Debug)]
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
    receivers: std::sync::OnceLock<Receivers>,
    signals: std::sync::OnceLock<Arc<dyn SignalStore>>,
    /// Seconds since 1970 by certificate; 0 where there is none.
    certificates: [AtomicU64; 2],
    ready: AtomicU64,
    config_refused: AtomicU64,
    restart_needed: AtomicU64,
    watched: Mutex<Vec<Watched>>,
    process: Process,
    pdp: std::sync::OnceLock<Pdp>,
}

impl Metrics {
    /// `routes` are the labels of routes; whoever counts names them by their place.
    pub(crate) fn new(config: &MetricsConfig, routes: &'static [&'static str]) -> Self {
        let figures = Arc::new(Figures {
            exchanges: Exchanges::new(routes),
            allowed: Counts::new(),
            denied: Counts::new(),
            policy_errors: Counts::new(),
            policies: (config.policies == Switch::On)
                .then(|| PolicyCounts::new(config.policy_limit)),
            would_deny: Counts::new(),
            scored: Counts::new(),
            shed: Counts::new(),
            rate_limited: AtomicU64::new(0),
            authentication_failures: Counts::new(),
            events: EventCounts::new(),
            receivers: std::sync::OnceLock::new(),
            signals: std::sync::OnceLock::new(),
            certificates: Default::default(),
            ready: AtomicU64::new(0),
            config_refused: AtomicU64::new(0),
            restart_needed: AtomicU64::new(0),
            watched: Mutex::new(gauges::declared()),
            process: Process::new(),
            pdp: std::sync::OnceLock::new(),
        });
        let mut registry = Registry::with_prefix("deodar");
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "What this is", build);
        registry.register_collector(Box::new(Arc::clone(&figures)));
        Self {
            registry: Mutex::new(registry),
            figures,
        }
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
        if let Some(cell) = self.figures.certificates.get(certificate.place()) {
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
        self.watch_figure(Watched::new(name, help, Kind::Gauge, read));
    }

    /// Shows a number that only rises and that is counted elsewhere; `name` without `_total`. Takes the
    /// place of a counter of this name.
    pub(crate) fn watch_counter(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        self.watch_figure(Watched::new(name, help, Kind::Counter, read));
    }

    /// As [`Metrics::watch_counter`], by the values of a label from a closed set.
    pub(crate) fn watch_counter_by(
        &self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        each: Vec<(&'static str, Figure)>,
    ) {
        self.watch_figure(Watched::by(name, help, label, each));
    }

    fn watch_figure(&self, watched: Watched) {
        let mut all = self.figures.watched();
        match all.iter_mut().find(|known| known.name == watched.name) {
            Some(known) => *known = watched,
            None => all.push(watched),
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

impl Figures {
    fn watched(&self) -> std::sync::MutexGuard<'_, Vec<Watched>> {
        lock(&self.watched)
    }

    fn encode_decisions(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(
            "decisions",
            "Decisions by decision and cause",
            None,
            MetricType::Counter,
        )?;
        for (decision, counts) in [
            (Decision::Allow, &self.allowed),
            (Decision::Deny, &self.denied),
        ] {
            for (cause, count) in counts.entries() {
                // The pairs that there can be are shown from the start.
                let usual = (cause == Cause::Permitted) == (decision == Decision::Allow);
                if usual || count > 0 {
                    let labels = [("decision", decision.as_str()), ("cause", cause.as_str())];
                    ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }

    fn encode_rooms(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let usage = self.signals.get().map(|signals| signals.usage());
        let usage = usage.unwrap_or_default();
        let used = usage.iter().map(|usage| (usage.room, usage.used));
        let help = "Subjects that signals are kept of, by the room that they are kept in";
        encode_by_room(encoder, "signals_kept", help, used)?;
        let limits = usage.iter().map(|usage| (usage.room, usage.limit));
        let help = "How many a room of signals may keep";
        encode_by_room(encoder, "signals_kept_limit", help, limits)
    }

    fn encode_certificates(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(
            "certificate_not_after_seconds",
            "When a certificate ends, in seconds since 1970",
            None,
            MetricType::Gauge,
        )?;
        for (certificate, at) in Certificate::ALL.iter().zip(&self.certificates) {
            let at = at.load(Ordering::Relaxed);
            if at > 0 {
                let labels = [("certificate", certificate.name())];
                ConstGauge::new(at).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

fn encode_by_room(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rooms: impl Iterator<Item = (&'static str, usize)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (room, count) in rooms {
        let labels = [("room", room)];
        ConstGauge::new(count as u64).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let state = self.pdp.get().map(Pdp::state);
        self.exchanges.encode(encoder)?;
        self.encode_decisions(encoder)?;
        self.policy_errors.encode(
            encoder,
            "policy_errors",
            "Policies that failed to evaluate, by kind of error",
            "code",
        )?;
        if let Some(policies) = &self.policies {
            policies.encode(encoder, state.as_deref())?;
        }
        self.would_deny.encode(
            encoder,
            "would_deny",
            "Decisions that enforcement would turn into Deny, by cause",
            "cause",
        )?;
        self.scored.encode(
            encoder,
            "scored",
            "Scored decisions by their band of risk",
            "risk",
        )?;
        self.shed.encode(
            encoder,
            "shed",
            "Requests turned away for want of room, by reason",
            "reason",
        )?;
        encode_counter(
            encoder,
            "rate_limited",
            "Requests over the rate of their caller",
            self.rate_limited.load(Ordering::Relaxed),
        )?;
        self.authentication_failures.encode(
            encoder,
            "authentication_failures",
            "Callers that could not say who they are, by what was wrong",
            "kind",
        )?;
        self.events.encode(encoder)?;
        signals::encode_receivers(encoder, self.receivers.get())?;
        self.encode_rooms(encoder)?;
        self.encode_certificates(encoder)?;
        for (name, help, value) in [
            (
                "ready",
                "1 when requests should be sent here: neither starting nor draining",
                &self.ready,
            ),
            (
                "config_refused",
                "1 when the configuration file as it is now was refused",
                &self.config_refused,
            ),
            (
                "config_restart_needed",
                "Keys of the configuration file that changed and wait for a restart",
                &self.restart_needed,
            ),
        ] {
            encode_gauge(encoder, name, help, value.load(Ordering::Relaxed))?;
        }
        for watched in self.watched().iter() {
            watched.encode(encoder)?;
        }
        if let (Some(pdp), Some(state)) = (self.pdp.get(), &state) {
            pdp::encode(encoder, pdp, state)?;
        }
        self.process.encode(encoder)
    }
}

/// Writes a counter without labels.
fn encode_counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    count: u64,
) -> fmt::Result {
    let counter = ConstCounter::new(count);
    counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

/// Writes a gauge without labels.
fn encode_gauge<N>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: N,
) -> fmt::Result
where
    ConstGauge<N>: EncodeMetric,
{
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
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
