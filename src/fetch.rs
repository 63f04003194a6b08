//! Calls to other services over HTTP: what is sent, what comes back, and who makes the call.
//!
//! Calls block: they are made on threads that may wait.

use std::fmt;
use std::time::Duration;

use axum::http::Method;

/// Time for a whole call.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

/// What makes calls; a closure in tests.
pub(crate) trait Fetch: Send + Sync {
    /// Makes the call and waits for its end.
    fn send(&self, call: &Call) -> Result<Reply, FetchError>;
}

impl<F: Fn(&Call) -> Result<Reply, FetchError> + Send + Sync> Fetch for F {
    fn send(&self, call: &Call) -> Result<Reply, FetchError> {
        self(call)
    }
}

/// Why there is no reply.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(crate) struct FetchError(pub(crate) String);

/// One call. Its `Debug` form shows neither headers nor body: they may hold secrets.
#[derive(Clone)]
pub(crate) struct Call {
    /// `GET` or `POST`.
    pub(crate) method: Method,
    /// The whole address.
    pub(crate) url: String,
    /// Headers, as they are sent.
    pub(crate) headers: Vec<(String, String)>,
    /// The body; empty for none.
    pub(crate) body: Vec<u8>,
    /// Time for the whole call.
    pub(crate) timeout: Duration,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({} {})", self.method, self.url)
    }
}

impl Call {
    /// A `POST` of a body of this media type.
    pub(crate) fn post(url: impl Into<String>, media_type: &str, body: Vec<u8>) -> Self {
        Self {
            method: Method::POST,
            url: url.into(),
            headers: Vec::new(),
            body,
            timeout: TIMEOUT,
        }
        .header("content-type", media_type)
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes another time for the whole call.
    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// The answer to a call, whatever its status.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    /// The status.
    pub(crate) status: u16,
    /// Names in lower case, and values.
    pub(crate) headers: Vec<(String, String)>,
    /// The whole body.
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The first header of this name, which is in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }
}
