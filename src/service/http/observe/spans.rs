//! Spans of requests, sent to an OpenTelemetry collector over OTLP/HTTP.
//!
//! What enters: requests that are traced, and their answers. What leaves: batches, from a thread of its
//! own; a collector that is slow or away costs spans and nothing else. A span says how a request was
//! answered, never whom or what it was about.

use std::collections::HashMap;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use axum::http::HeaderMap;
use axum::http::Request;
use axum::response::Response;
use opentelemetry::trace::{
    Span, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceState, Tracer,
    TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use ureq::unversioned::resolver::DefaultResolver;

use super::metrics::Metrics;
use super::trace::TraceContext;
use crate::base::fault::{Fault, Faults};
use crate::base::lock::lock;
use crate::pdp::decide::Outcome;
use crate::service::config::OtlpConfig;
use crate::service::net::fetch;

/// How long the collector may take over a batch.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the end of the server waits for the last batch.
const LAST_BATCH: Duration = Duration::from_secs(3);
/// A collector that takes nothing is logged once in this time.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// Longest `tracestate` that is passed on; the specification asks for 512 characters at least.
const LONGEST_STATE: usize = 512;

/// Makes spans and sends them.
#[derive(Debug)]
pub(crate) struct Spans {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    /// Out of a hundred requests that no caller traces.
    percent: u64,
    turn: AtomicU64,
    chance: RandomState,
}

/// A request whose span will be recorded.
#[derive(Debug)]
pub(crate) struct Begun {
    at: SystemTime,
    method: &'static str,
    caller: Option<SpanContext>,
}

/// What was decided, on its way from the handler to the span.
#[derive(Debug, Clone, Copy)]
struct Decided {
    decision: &'static str,
    cause: &'static str,
}

/// Starts sending, if a collector is configured.
pub(crate) fn start(config: &OtlpConfig, metrics: &Metrics) -> Result<Option<Spans>, Faults> {
    let Some(endpoint) = &config.endpoint else {
        return Ok(None);
    };
    let headers = match &config.headers {
        Some(secret) => secret
            .read()
            .and_then(|secret| headers(secret.reveal()))
            .map_err(|message| {
                let message = format!("`otlp.headers`: {message}");
                Fault::new("config", message)
            })?,
        None => HashMap::new(),
    };
    let faulty = |error: String| Fault::new("config", format!("`otlp.endpoint`: {error}"));
    let client = Client::new(endpoint.starts_with("https://")).map_err(faulty)?;
    let counts = Arc::clone(&client.counts);
    let help = "Batches of spans that the collector took";
    metrics.watch_counter("span_exports", help, move || {
        counts.taken.load(Ordering::Relaxed)
    });
    let counts = Arc::clone(&client.counts);
    let help = "Batches of spans that the collector did not take";
    metrics.watch_counter("span_export_failures", help, move || {
        counts.failed.load(Ordering::Relaxed)
    });
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(TIMEOUT)
        .with_headers(headers)
        .build()
        .map_err(|error| faulty(error.to_string()))?;
    let resource = Resource::builder()
        // Under what the environment says ($OTEL_SERVICE_NAME, $OTEL_RESOURCE_ATTRIBUTES).
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    let resource = if std::env::var_os("OTEL_SERVICE_NAME").is_some() {
        resource
    } else {
        resource.with_service_name("deodar")
    };
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        // What is sampled is decided before a span is begun.
        .with_sampler(Sampler::AlwaysOn)
        .with_resource(resource.build())
        .build();
    Ok(Some(Spans {
        tracer: provider.tracer("deodar"),
        provider,
        percent: config.sample_percent,
        turn: AtomicU64::new(0),
        chance: RandomState::new(),
    }))
}

/// Tells the span of a request what was decided.
pub(crate) fn note(response: &mut Response, outcome: &Outcome) {
    response.extensions_mut().insert(Decided {
        decision: outcome.decision().as_str(),
        cause: outcome.cause().as_str(),
    });
}

impl Spans {
    /// Begins the span of a request that is sampled: as its caller says, else by chance.
    pub(crate) fn begin<B>(&self, http: &Request<B>) -> Option<Begun> {
        let caller = TraceContext::of(http.headers());
        if !caller.map_or_else(|| self.by_chance(), |caller| caller.sampled) {
            return None;
        }
        let caller = caller.map(|caller| {
            SpanContext::new(
                opentelemetry::TraceId::from_bytes(caller.trace.bytes()),
                SpanId::from_bytes(caller.parent),
                TraceFlags::SAMPLED,
                true,
                trace_state(http.headers()),
            )
        });
        Some(Begun {
            at: SystemTime::now(),
            method: method(http.method().as_str()),
            caller,
        })
    }

    /// Ends a span; the attributes are those of OpenTelemetry's conventions for HTTP servers.
    pub(crate) fn end(
        &self,
        begun: Begun,
        route: Option<&'static str>,
        took: Duration,
        response: &Response,
    ) {
        let status = response.status();
        let mut attributes = vec![
            KeyValue::new("http.request.method", begun.method),
            KeyValue::new("http.response.status_code", i64::from(status.as_u16())),
        ];
        if let Some(route) = route {
            attributes.push(KeyValue::new("http.route", route));
        }
        if let Some(decided) = response.extensions().get::<Decided>() {
            attributes.push(KeyValue::new("deodar.decision", decided.decision));
            attributes.push(KeyValue::new("deodar.cause", decided.cause));
        }
        let name = match route {
            Some(route) => format!("{} {route}", begun.method),
            None => begun.method.to_owned(),
        };
        let parent = match begun.caller {
            Some(caller) => Context::new().with_remote_span_context(caller),
            None => Context::new(),
        };
        let mut span = self
            .tracer
            .span_builder(name)
            .with_kind(SpanKind::Server)
            .with_start_time(begun.at)
            .with_attributes(attributes)
            .start_with_context(&self.tracer, &parent);
        if status.is_server_error() {
            span.set_status(Status::error(""));
        }
        span.end_with_timestamp(begun.at + took);
    }

    /// Whether this request is among the share of those that no caller traces.
    fn by_chance(&self) -> bool {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.chance.hash_one(turn) % 100 < self.percent
    }

    /// Sends what there is and ends. Waits for the collector, for some seconds at most.
    pub(crate) fn close(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(LAST_BATCH) {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// The method as the conventions name it: known ones only.
fn method(name: &str) -> &'static str {
    const KNOWN: [&str; 9] = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
    ];
    let known = KNOWN.into_iter().find(|known| *known == name);
    known.unwrap_or("_OTHER")
}

/// The caller's `tracestate`, passed on; one that is not as the specification has it is left out.
fn trace_state(headers: &HeaderMap) -> TraceState {
    let values = headers.get_all("tracestate").iter();
    let values: Result<Vec<_>, _> = values.map(|value| value.to_str()).collect();
    let text = values.unwrap_or_default().join(",");
    if text.len() > LONGEST_STATE {
        return TraceState::NONE;
    }
    text.parse().unwrap_or(TraceState::NONE)
}

/// `name=value` pairs, divided by commas.
fn headers(text: &str) -> Result<HashMap<String, String>, String> {
    text.split(',')
        .map(|pair| {
            let (name, value) = pair
                .split_once('=')
                .ok_or("expected name=value pairs, divided by commas")?;
            let (name, value) = (name.trim(), value.trim());
            axum::http::HeaderName::try_from(name).map_err(|_| "not the name of a header")?;
            axum::http::HeaderValue::try_from(value).map_err(|_| "not the value of a header")?;
            Ok((name.to_owned(), value.to_owned()))
        })
        .collect()
}

/// Posts batches to the collector; blocks the thread of the batches, and no other.
#[derive(Debug)]
struct Client {
    agent: ureq::Agent,
    counts: Arc<Exports>,
    logged: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Exports {
    taken: AtomicU64,
    failed: AtomicU64,
}

impl Client {
    fn new(secure: bool) -> Result<Self, String> {
        let settings = fetch::settings().timeout_global(Some(TIMEOUT)).build();
        let agent = match secure {
            true => {
                let tls = fetch::tls::config(fetch::trusting(None)?)?;
                fetch::agent(settings, tls, DefaultResolver::default())
            }
            false => settings.into(),
        };
        Ok(Self {
            agent,
            counts: Arc::default(),
            logged: Mutex::default(),
        })
    }

    fn post(
        &self,
        request: axum::http::Request<Bytes>,
    ) -> Result<axum::http::Response<Bytes>, HttpError> {
        let answer = self.agent.run(request.map(|body| body.to_vec()))?;
        let (parts, mut body) = answer.into_parts();
        let body = body.with_config().limit(64 << 10).read_to_vec()?;
        Ok(axum::http::Response::from_parts(parts, body.into()))
    }

    fn log(&self, message: &str) {
        let mut logged = lock(&self.logged);
        if logged.is_none_or(|last| last.elapsed() >= LOG_EVERY) {
            *logged = Some(Instant::now());
            tracing::warn!(
                error = message,
                "the collector accepts no spans; not logged again within a minute"
            );
        }
    }
}

impl HttpClient for Client {
    fn send_bytes<'a, 'async_trait>(
        &'a self,
        request: axum::http::Request<Bytes>,
    ) -> Pin<
        Box<
            dyn Future<Output = Result<axum::http::Response<Bytes>, HttpError>>
                + Send
                + 'async_trait,
        >,
    >
    where
        'a: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            let answer = self.post(request);
            match &answer {
                Ok(answer) if answer.status().is_success() => {
                    self.counts.taken.fetch_add(1, Ordering::Relaxed);
                }
                Ok(answer) => {
                    self.counts.failed.fetch_add(1, Ordering::Relaxed);
                    self.log(&format!("it answers {}", answer.status()));
                }
                Err(error) => {
                    self.counts.failed.fetch_add(1, Ordering::Relaxed);
                    self.log(&error.to_string());
                }
            }
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_pairs_and_errors_do_not_show_them() {
        let read = headers("authorization=Bearer a=b, x-tenant = one").unwrap();
        assert_eq!(read["authorization"], "Bearer a=b");
        assert_eq!(read["x-tenant"], "one");
        for text in ["hunter2", "hunter2 x=1", "x=hunter2\u{1}"] {
            assert!(!headers(text).unwrap_err().contains("hunter2"));
        }
    }

    #[test]
    fn a_broken_state_is_left_out() {
        let state = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("tracestate", value.parse().unwrap());
            }
            trace_state(&headers).header()
        };
        assert_eq!(state(&["a=1,b=2", "c=3"]), "a=1,b=2,c=3");
        assert_eq!(state(&["nonsense"]), "");
        assert_eq!(state(&[]), "");
        assert_eq!(state(&[&format!("a={}", "x".repeat(600))]), "");
    }
}
