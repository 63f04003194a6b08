//! Counters and histograms. Labels come from closed sets: never an id of a request.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::decide::Outcome;
use crate::pdp::Pdp;

type Labels = [(&'static str, &'static str); 2];

/// What is counted.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Mutex<Registry>,
    decisions: Family<Labels, Counter>,
    policy_errors: Family<[(&'static str, &'static str); 1], Counter>,
    requests: Family<[(&'static str, u16); 1], Counter>,
    seconds: Histogram,
}

/// Upper bounds of the latency histogram, in seconds: from 1 us, three in each power of ten.
const BUCKETS: [f64; 16] = [
    1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2,
    5e-2, 0.1,
];

impl Metrics {
    pub(super) fn new() -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("deodar")),
            decisions: Family::default(),
            policy_errors: Family::default(),
            requests: Family::default(),
            seconds: Histogram::new(BUCKETS),
        };
        {
            let mut registry = metrics.registry();
            registry.register(
                "decisions",
                "Decisions by decision and cause",
                metrics.decisions.clone(),
            );
            registry.register(
                "policy_errors",
                "Policies that failed to evaluate, by kind of error",
                metrics.policy_errors.clone(),
            );
            registry.register(
                "authorize_responses",
                "Responses of POST /authorize by status",
                metrics.requests.clone(),
            );
            registry.register(
                "authorize_duration_seconds",
                "Time of POST /authorize from the head of the request to the answer",
                metrics.seconds.clone(),
            );
        }
        metrics
    }

    /// Reports the state and the reloads of a decision point too.
    pub(super) fn watch(&self, pdp: Pdp) {
        self.registry()
            .register_collector(Box::new(PdpCollector(pdp)));
    }

    pub(super) fn authorize(&self, status: u16, time: Duration) {
        self.requests.get_or_create(&[("status", status)]).inc();
        self.seconds.observe(time.as_secs_f64());
    }

    pub(super) fn decided(&self, outcome: &Outcome) {
        self.decisions
            .get_or_create(&[
                ("decision", outcome.decision().as_str()),
                ("cause", outcome.cause().as_str()),
            ])
            .inc();
        for failure in outcome.policy_errors() {
            self.policy_errors
                .get_or_create(&[("code", failure.code().as_str())])
                .inc();
        }
    }

    /// The text that Prometheus reads.
    pub(super) fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry())?;
        Ok(text)
    }

    fn registry(&self) -> std::sync::MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the decision point counts itself, read when it is asked for.
#[derive(Debug)]
struct PdpCollector(Pdp);

impl Collector for PdpCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counts = self.0.reload_counts();
        let health = self.0.health();
        let reloads = [
            ("published", counts.published),
            ("unchanged", counts.unchanged),
            ("failed", counts.failed),
            ("held", counts.held),
        ];
        let mut family = encoder.encode_descriptor(
            "reloads",
            "Reloads by result",
            None,
            prometheus_client::metrics::MetricType::Counter,
        )?;
        for (result, count) in reloads {
            let labels = [("result", result)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        let mut family = encoder.encode_descriptor(
            "shadow_checks",
            "Decisions that the reference decided again, by result",
            None,
            prometheus_client::metrics::MetricType::Counter,
        )?;
        let checks = self.0.shadow_counts();
        for (result, count) in [
            ("matched", checks.matched),
            ("mismatched", checks.mismatched),
            ("dropped", checks.dropped),
            ("not_checked", checks.not_checked),
        ] {
            let labels = [("result", result)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        let fallbacks = ConstCounter::new(self.0.engine_fallbacks());
        let descriptor = encoder.encode_descriptor(
            "engine_fallbacks",
            "Decisions by the reference because only Cedar's reader took the request",
            None,
            fallbacks.metric_type(),
        )?;
        fallbacks.encode(descriptor)?;
        let gauges = [
            (
                "sequence",
                "Sequence of the state that decides",
                health.sequence,
            ),
            (
                "degraded",
                "1 when the state that decides is not the one last given",
                u64::from(health.is_degraded()),
            ),
            (
                "policies",
                "Policies that can determine a decision",
                self.0.state().snapshot().counts().0 as u64,
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let descriptor = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(descriptor)?;
        }
        Ok(())
    }
}
