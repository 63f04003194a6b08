//! From the bytes of a request to the bytes of its answer.

use uuid::{NoContext, Uuid};

use super::WireAnswer;
use crate::base::caller::Caller;
use crate::base::timestamp::Timestamp;
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
    let id = decision_id(outcome.evaluated_at());
    let id = id.hyphenated().encode_lower(&mut buffer);
    WireAnswer::new(&request, &outcome, Some(id)).to_bytes()
}

/// A new id for a decision made at `now`: a UUID of version 7, random beyond its milliseconds.
pub(crate) fn decision_id(now: Timestamp) -> Uuid {
    let millis = u64::try_from(now.as_millis()).unwrap_or(0);
    // INVARIANT: less than a second has no more nanoseconds than 32 bits hold.
    let nanos = u32::try_from(millis % 1_000 * 1_000_000).unwrap_or(0);
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, millis / 1_000, nanos))
}

#[cfg(test)]
mod tests {
    use super::decision_id;
    use crate::base::timestamp::Timestamp;

    #[test]
    fn ids_of_one_instant_differ_and_rise_with_time() {
        let at = |millis| decision_id(Timestamp::from_millis(millis));
        assert_ne!(at(1_700_000_000_999), at(1_700_000_000_999));
        assert!(at(1_700_000_000_999) < at(1_700_000_001_000));
        assert!(at(1_700_000_001_000) < at(1_700_000_001_001));
        let (secs, nanos) = at(1_700_000_000_999).get_timestamp().unwrap().to_unix();
        assert_eq!((secs, nanos / 1_000_000), (1_700_000_000, 999));
        assert_eq!(at(-1).get_version_num(), 7);
    }
}
