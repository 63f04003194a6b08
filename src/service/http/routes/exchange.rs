//! One request from its head to its answer: how long it took, and its span.

use std::time::Instant;

use axum::http::Request;
use axum::response::Response;

use crate::service::http::app::App;

/// A request that is under way. One that is dropped without an answer, because its client went away, is
/// counted nowhere.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The place in the table of routes.
    route: usize,
    began: Instant,
    #[cfg(feature = "otlp")]
    span: Option<crate::service::http::observe::spans::Begun>,
}

impl Exchange {
    /// Begins when the head of a request has been read.
    #[cfg_attr(
        not(feature = "otlp"),
        allow(unused_variables, reason = "read for spans")
    )]
    pub(crate) fn begin<B>(app: &App, route: usize, http: &Request<B>) -> Self {
        Self {
            route,
            began: Instant::now(),
            #[cfg(feature = "otlp")]
            span: app.spans.get().and_then(|spans| spans.begin(http)),
        }
    }

    /// When it began.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// Counts the answer.
    pub(crate) fn end(self, app: &App, response: &Response) {
        let took = self.began.elapsed();
        let status = response.status().as_u16();
        app.metrics.answered(self.route, status, took);
        #[cfg(feature = "otlp")]
        if let (Some(spans), Some(span)) = (app.spans.get(), self.span) {
            let route = super::paths().get(self.route).copied();
            spans.end(span, route, took, response);
        }
    }
}
