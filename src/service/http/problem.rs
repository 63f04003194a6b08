//! Errors over HTTP: `application/problem+json` (RFC 9457).

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::base::json::InputFault;
use crate::request::RequestError;

/// A problem, as it goes over the wire.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    retry_after: Option<u64>,
    errors: Vec<InputFault>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<WireFault<'a>>,
}

#[derive(Serialize)]
struct WireFault<'a> {
    pointer: &'a str,
    detail: &'a str,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            retry_after: None,
            errors: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// Tells the client how to say who it is (RFC 9110 section 11.6.1).
    pub(crate) fn challenge(self, challenge: &'static str) -> Self {
        self.header(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static(challenge),
        )
    }

    /// Names every fault of the body.
    pub(crate) fn errors(mut self, errors: Vec<InputFault>) -> Self {
        self.errors = errors;
        self
    }

    /// Says where in the body the fault is.
    pub(crate) fn at(mut self, pointer: &str) -> Self {
        self.errors = vec![InputFault::new(pointer, &self.detail)];
        self
    }

    /// Adds a header to the response.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The code that clients tell problems apart by.
    pub(crate) fn code(&self) -> &'static str {
        self.code
    }

    /// Tells the client when to try again, in seconds.
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Nothing to decide with yet.
    pub(crate) fn not_ready() -> Self {
        let detail = "the first policies are still loading";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", detail).retry_after(1)
    }

    /// The response; `request_id` is echoed where it is known.
    pub(crate) fn respond(&self, request_id: Option<&str>) -> Response {
        let wire = Wire {
            kind: format!("urn:deodar:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            request_id,
            retry_after: self.retry_after,
            errors: self
                .errors
                .iter()
                .map(|fault| WireFault {
                    pointer: &fault.pointer,
                    detail: &fault.detail,
                })
                .collect(),
        };
        let body = serde_json::to_vec(&wire).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        if let Some(id) = request_id.and_then(|id| HeaderValue::from_str(id).ok()) {
            headers.insert(super::headers::X_REQUEST_ID, id);
        }
        response
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        let code = error.code();
        match error {
            RequestError::Invalid(errors) => {
                let detail = match errors.as_slice() {
                    [one] => one.to_string(),
                    many => format!("the request has {} faults", many.len()),
                };
                Self {
                    errors,
                    ..Self::new(StatusCode::BAD_REQUEST, code, detail)
                }
            }
            RequestError::ScopeRequired { .. } => {
                Self::new(StatusCode::FORBIDDEN, code, error.to_string())
            }
            RequestError::BudgetExhausted { .. } | RequestError::Unavailable(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, code, error.to_string())
            }
            RequestError::Stale { .. } => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Self::new(status, code, error.to_string()).retry_after(1)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.respond(None)
    }
}
