//! What decides a request: a decision point in this process, or a client of one elsewhere.

use super::Answer;
use crate::pdp::Pdp;
use crate::request::{Request, RequestError};

/// What decides requests: a [`Pdp`], a client of one elsewhere, and in tests a [`FixedPdp`](crate::FixedPdp) or a closure.
///
/// A client sends [`Request::to_json`] and reads the answer by [`Answer::from_json`]; where there is none it gives
/// [`RequestError::Unavailable`].
///
/// ```
/// use deodar::{Answer, Authorize, Request, RequestError};
///
/// fn delete(pdp: &impl Authorize, request: &Request) -> Result<(), Box<dyn std::error::Error>> {
///     pdp.authorize(request)?.require(&[])?;
///     Ok(())
/// }
///
/// let down = |_: &Request| -> Result<Answer, RequestError> {
///     Err(RequestError::Unavailable("connection refused".to_owned()))
/// };
/// let request = Request::builder()
///     .principal(("User", "ada"))
///     .action(("Action", "delete"))
///     .resource(("Document", "plan"))
///     .build()?;
/// assert!(delete(&down, &request).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Authorize {
    /// Decides the request.
    ///
    /// # Errors
    /// When the request could not be decided; a Deny is an [`Answer`].
    fn authorize(&self, request: &Request) -> Result<Answer, RequestError>;
}

impl<F: Fn(&Request) -> Result<Answer, RequestError>> Authorize for F {
    fn authorize(&self, request: &Request) -> Result<Answer, RequestError> {
        self(request)
    }
}

impl Authorize for Pdp {
    fn authorize(&self, request: &Request) -> Result<Answer, RequestError> {
        Self::authorize(self, request).map(|outcome| Answer::new(request, outcome))
    }
}
