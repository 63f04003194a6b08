//! Headers of Deodar's own.

use axum::http::{HeaderMap, HeaderName};

/// The id of a request: the client's own, or one that the server made.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The id of a decision.
pub(crate) const X_DECISION_ID: HeaderName = HeaderName::from_static("x-decision-id");

/// The client's own id for the request, if it is one that can be echoed.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(X_REQUEST_ID)?.to_str().ok()?;
    (!id.is_empty() && id.len() <= 128).then(|| id.to_owned())
}
