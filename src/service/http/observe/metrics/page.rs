//! What is written when somebody asks: families of figures, one after the other.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Where figures are written to. After a failure nothing more is.
#[derive(Debug)]
pub(super) struct Page<'a> {
    pub(super) encoder: DescriptorEncoder<'a>,
    pub(super) result: fmt::Result,
}

/// Writes figures one a line: the method for the kind of figure, name, help and value.
macro_rules! figures {
    ($on:expr; $($kind:ident $name:literal $help:literal = $value:expr;)+) => {
        $($on.$kind($name, $help, $value);)+
    };
}

pub(crate) use figures;

impl Page<'_> {
    /// A counter; `name` without `_total`.
    pub(super) fn counter(&mut self, name: &str, help: &str, count: u64) {
        self.family(name, help, &ConstCounter::new(count));
    }

    /// A gauge.
    pub(super) fn gauge<N>(&mut self, name: &str, help: &str, value: N)
    where
        ConstGauge<N>: EncodeMetric,
    {
        self.family(name, help, &ConstGauge::new(value));
    }

    /// A gauge that is left out where its figure is not known.
    pub(super) fn known(&mut self, name: &str, help: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.gauge(name, help, value);
        }
    }

    /// A counter by the values of a label.
    pub(super) fn by<'l>(
        &mut self,
        label: &str,
        name: &str,
        help: &str,
        counts: impl IntoIterator<Item = (&'l str, u64)>,
    ) {
        let rows = counts.into_iter();
        self.counters(
            name,
            help,
            rows.map(|(value, count)| ([(label, value)], count)),
        );
    }

    /// A counter by labels.
    pub(super) fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (L, u64)>,
    ) {
        let rows = rows.into_iter();
        let rows = rows.map(|(labels, count)| (labels, ConstCounter::new(count)));
        self.rows(name, help, MetricType::Counter, rows);
    }

    /// A gauge by labels.
    pub(super) fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (L, u64)>,
    ) {
        let rows = rows.into_iter();
        let rows = rows.map(|(labels, value)| (labels, ConstGauge::new(value)));
        self.rows(name, help, MetricType::Gauge, rows);
    }

    /// A metric without labels.
    pub(super) fn family(&mut self, name: &str, help: &str, metric: &impl EncodeMetric) {
        self.write(|encoder| {
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        });
    }

    fn rows<L: EncodeLabelSet, M: EncodeMetric>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        rows: impl Iterator<Item = (L, M)>,
    ) {
        self.write(|encoder| {
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for (labels, metric) in rows {
                metric.encode(family.encode_family(&labels)?)?;
            }
            Ok(())
        });
    }

    /// Writes something else.
    pub(super) fn write(&mut self, write: impl FnOnce(&mut DescriptorEncoder<'_>) -> fmt::Result) {
        if self.result.is_ok() {
            self.result = write(&mut self.encoder);
        }
    }
}
