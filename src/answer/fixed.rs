//! A decision point that always says the same, for tests of the code that asks.

use super::{Answer, Authorize};
use crate::pdp::{BuildError, Pdp};
use crate::request::{Request, RequestError};

/// Answers every request alike, through the real pipeline with a single policy.
///
/// ```
/// use deodar::{Authorize, FixedPdp, Request};
///
/// fn may_open(pdp: &impl Authorize, who: &str) -> bool {
///     let request = Request::builder()
///         .principal(("User", who))
///         .action(("Action", "open"))
///         .resource(("Door", "front"))
///         .build();
///     request.is_ok_and(|r| pdp.authorize(&r).is_ok_and(|outcome| outcome.require(&[]).is_ok()))
/// }
///
/// assert!(may_open(&FixedPdp::allow(), "alice"));
/// assert!(!may_open(&FixedPdp::deny(), "alice"));
/// ```
#[derive(Debug, Clone)]
pub struct FixedPdp {
    pdp: Pdp,
}

impl FixedPdp {
    /// Always Allow, determined by the policy `fixed-allow`.
    #[must_use]
    pub fn allow() -> Self {
        Self::of(
            "@id(\"fixed-allow\") permit(principal, action, resource);",
            &[],
        )
    }

    /// Always Deny, determined by the forbid `fixed-deny`.
    #[must_use]
    pub fn deny() -> Self {
        Self::of(
            "@id(\"fixed-deny\") forbid(principal, action, resource);",
            &[],
        )
    }

    /// Always Allow with these obligations, each a `name` or `name:argument`.
    ///
    /// # Errors
    /// When a name is empty or holds a character that no annotation could carry.
    pub fn allow_with(obligations: &[&str]) -> Result<Self, BuildError> {
        let list = obligations.join(", ").escape_debug().to_string();
        let text = format!(
            "@id(\"fixed-allow\") @obligation(\"{list}\") permit(principal, action, resource);"
        );
        Self::try_of(&text, obligations)
    }

    #[expect(
        clippy::expect_used,
        reason = "INVARIANT: called with the constant policies above only, which the tests build"
    )]
    fn of(text: &str, obligations: &[&str]) -> Self {
        Self::try_of(text, obligations).expect("a constant policy is good")
    }

    fn try_of(text: &str, obligations: &[&str]) -> Result<Self, BuildError> {
        let names = obligations
            .iter()
            .map(|o| o.split_once(':').map_or(*o, |(name, _)| name).trim());
        let pdp = Pdp::builder()
            .policies_text("fixed.cedar", text)
            .obligations(names)
            .build()?;
        Ok(Self { pdp })
    }
}

impl Authorize for FixedPdp {
    fn authorize(&self, request: &Request) -> Result<Answer, RequestError> {
        Authorize::authorize(&self.pdp, request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdp::decide::Denied;

    #[test]
    fn obligations_are_carried() {
        let request = Request::builder()
            .principal(("U", "a"))
            .action(("Action", "x"))
            .resource(("R", "r"))
            .build()
            .unwrap();
        let pdp = FixedPdp::allow_with(&["log_access", "redact:pii"]).unwrap();
        let outcome = pdp.authorize(&request).unwrap();
        assert_eq!(outcome.require(&["log_access", "redact"]), Ok(()));
        assert_eq!(
            outcome.require(&["log_access"]),
            Err(Denied::Obligation("redact:pii".to_owned()))
        );
        assert!(
            FixedPdp::deny()
                .authorize(&request)
                .unwrap()
                .require(&[])
                .is_err()
        );
        assert!(FixedPdp::allow().authorize(&request).unwrap().is_allow());
    }
}
