//! The two text formats of metrics, and which of them a client prefers.
//!
//! Figures are written as OpenMetrics 1.0. Prometheus' older text format 0.0.4 is made of that: a counter's
//! family has the name of its samples there, `# UNIT` and `# EOF` do not exist. Deodar writes no exemplars, which it would not have either.

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4.
    Prometheus,
}

/// Weights in thousandths: `q=1` is 1000.
const MOST: u16 = 1_000;

impl Format {
    /// What a client prefers by its `Accept` (RFC 9110 section 12.5.1). OpenMetrics where it likes both
    /// alike, Prometheus' format where it takes neither: that one is read by everybody.
    pub(crate) fn preferred(accept: &str) -> Self {
        if accept.trim().is_empty() {
            return Self::OpenMetrics;
        }
        let open = Self::OpenMetrics.weight(accept);
        let plain = Self::Prometheus.weight(accept);
        if open > 0 && open >= plain {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// The value of `Content-Type`.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// The figures, which are written as OpenMetrics, in this format.
    pub(crate) fn text(self, open_metrics: String) -> String {
        match self {
            Self::OpenMetrics => open_metrics,
            Self::Prometheus => to_prometheus(&open_metrics),
        }
    }

    fn name(self) -> (&'static str, &'static str, &'static [&'static str]) {
        match self {
            Self::OpenMetrics => ("application", "openmetrics-text", &["1.0.0", "0.0.1"]),
            Self::Prometheus => ("text", "plain", &["0.0.4"]),
        }
    }

    /// The weight of the most specific range that fits; 0 for none.
    fn weight(self, accept: &str) -> u16 {
        let (kind, subkind, versions) = self.name();
        let ranges = accept.split(',').filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let (a, b) = parts.next()?.split_once('/')?;
            let exact = a.eq_ignore_ascii_case(kind) && b.eq_ignore_ascii_case(subkind);
            let mut specific = match (a, b) {
                _ if exact => 2,
                (a, "*") if a.eq_ignore_ascii_case(kind) => 1,
                ("*", "*") => 0,
                _ => return None,
            };
            let mut weight = MOST;
            for parameter in parts {
                let Some((name, value)) = parameter.split_once('=') else {
                    continue;
                };
                let (name, value) = (name.trim(), value.trim().trim_matches('"'));
                if name.eq_ignore_ascii_case("q") {
                    weight = thousandths(value)?;
                } else if name.eq_ignore_ascii_case("version") && exact {
                    if !versions.contains(&value) {
                        return None;
                    }
                    specific = 3;
                }
            }
            Some((specific, weight))
        });
        ranges.max().map_or(0, |(_, weight)| weight)
    }
}

/// A weight such as `0.25`, of three digits at most.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part: u16 = format!("{part:0<3}").parse().ok()?;
    match whole {
        "0" => Some(part),
        "1" if part == 0 => Some(MOST),
        _ => None,
    }
}

fn to_prometheus(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    // The help of a family comes before its type, by which its name changes.
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "unknown"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "stateset" => ("", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            if let Some((_, help)) = help.take().filter(|(of, _)| *of == name) {
                text.extend(["# HELP ", name, suffix, " ", help, "\n"]);
            }
            text.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            text.extend([line, "\n"]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::Format::{OpenMetrics, Prometheus};
    use super::*;

    #[test]
    fn clients_get_what_they_prefer() {
        for (accept, expect) in [
            ("", OpenMetrics),
            ("*/*", OpenMetrics),
            ("application/*", OpenMetrics),
            ("text/*", Prometheus),
            ("text/plain", Prometheus),
            ("text/plain;version=0.0.4", Prometheus),
            (
                "TEXT/PLAIN ; Q=0.5 , application/openmetrics-text;q=0.4",
                Prometheus,
            ),
            ("text/plain;version=0.0.4;q=0.3,*/*;q=0.1", Prometheus),
            (
                "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics,
            ),
            // Prometheus 3.
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=2.0.0,text/plain;q=0.1",
                Prometheus,
            ),
            ("application/openmetrics-text;q=0,*/*", Prometheus),
            ("application/openmetrics-text;q=0", Prometheus),
            ("text/plain;q=0,*/*;q=0.1", OpenMetrics),
            (
                "text/plain;q=2,application/openmetrics-text;q=0.001",
                OpenMetrics,
            ),
            (
                "text/plain;q=0.3333,application/openmetrics-text;q=0.001",
                OpenMetrics,
            ),
            ("application/json", Prometheus),
            ("nonsense", Prometheus),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                OpenMetrics,
            ),
        ] {
            assert_eq!(Format::preferred(accept), expect, "{accept}");
        }
    }

    #[test]
    fn families_are_named_as_the_older_format_has_it() {
        let open = "# HELP a Things.\n# TYPE a counter\n# UNIT a seconds\na_total{x=\"} # {\"} 1\n\
                    # HELP b What.\n# TYPE b info\nb_info{v=\"1\"} 1\n\
                    # TYPE c histogram\nc_bucket{le=\"+Inf\"} 2\nc_count 2\n# TYPE d unknown\nd 1\n# EOF\n";
        let plain = "# HELP a_total Things.\n# TYPE a_total counter\na_total{x=\"} # {\"} 1\n\
                     # HELP b_info What.\n# TYPE b_info gauge\nb_info{v=\"1\"} 1\n\
                     # TYPE c histogram\nc_bucket{le=\"+Inf\"} 2\nc_count 2\n# TYPE d untyped\nd 1\n";
        assert_eq!(Prometheus.text(open.to_owned()), plain);
        assert_eq!(OpenMetrics.text(open.to_owned()), open);
    }
}
