//! From the bytes of a request to the bytes of its answer.

use uuid::Uuid;

use super::WireAnswer;
use crate::base::caller::Caller;
use crate::pdp::Pdp;
use crate::request::{Request, RequestError};

/// Decides the JSON body of `POST /authorize` and gives the bytes of its JSON answer, without HTTP.
///
/// The answer to a request without a `requestId` carries none.
///
/// ```
/// use deodar::{Caller, Pdp, authorize_json};
///
/// let pdp = Pdp::builder().policies_text("p.cedar", "permit(principal, action, resource);").build()?;
/// let body = br#"{"principal": "User::\"ada\"", "action": "Action::\"read\"", "resource": "Doc::\"plan\""}"#;
/// let answer = authorize_json(&pdp, body, Caller::library())?;
/// assert!(String::from_utf8(answer)?.contains(r#""decision":"Allow""#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`RequestError`] when the body is not a request or cannot be decided.
pub fn authorize_json(pdp: &Pdp, body: &[u8], caller: Caller) -> Result<Vec<u8>, RequestError> {
    let request = Request::from_json(body, &pdp.limits().0, caller)?;
    let outcome = pdp.authorize(&request)?;
    let mut buffer = Uuid::encode_buffer();
    let id = Uuid::now_v7().hyphenated().encode_lower(&mut buffer);
    WireAnswer::new(&request, &outcome, Some(id)).to_bytes()
}
