//! Asking the issuer whether a token still holds (RFC 7662).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::claims::later;
use super::pace::Pace;
use super::source::send;
use super::status::TokenStatus;
use crate::base::json;
use crate::base::timestamp::Timestamp;
use crate::service::config::{IntrospectionConfig, OnFailure};
use crate::service::net::fetch::{Call, Fetch, Reply, form_encoded};

/// First and longest rest after failures.
const REST: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// The introspection endpoint of an issuer.
pub(super) struct Introspection {
    url: String,
    /// The whole `Authorization` header.
    authorization: String,
    cache: Duration,
    timeout: Duration,
    pub(super) on_failure: OnFailure,
    fetch: Arc<dyn Fetch>,
    pace: Pace,
}

impl Introspection {
    /// # Errors
    /// When the secret cannot be read.
    pub(super) fn new(
        config: &IntrospectionConfig,
        timeout: Duration,
        fetch: Arc<dyn Fetch>,
    ) -> Result<Self, String> {
        let secret = config.client_secret.read()?;
        // RFC 6749 section 2.3.1: both are form-encoded before they are put together.
        let user = form_encoded(&config.client_id);
        let pair = format!("{user}:{}", form_encoded(secret.reveal()));
        Ok(Self {
            url: config.url.clone(),
            authorization: format!("Basic {}", STANDARD.encode(pair)),
            cache: *config.cache,
            timeout,
            on_failure: config.on_failure,
            fetch,
            pace: Pace::new(),
        })
    }

    /// What the issuer says of the token.
    pub(super) async fn ask(&self, token: &str, now: Timestamp) -> TokenStatus {
        // An endpoint that does not answer would hold up every request for the whole time-out.
        if !self.pace.may(now) {
            return TokenStatus::Unknown("introspection failed a moment ago".to_owned());
        }
        let members = [("token", token), ("token_type_hint", "access_token")];
        let call = Call::form(&self.url, &members)
            .header("authorization", &self.authorization)
            .header("accept", "application/json")
            .timeout(self.timeout);
        let reply = send(&self.fetch, call).await.and_then(Reply::ok);
        let answer = reply
            .map_err(|error| error.to_string())
            .and_then(|body| json::read(&body, 32).map_err(|_| "not JSON".to_owned()));
        match answer {
            Ok(answer) => {
                self.pace.succeeded(now, Duration::ZERO);
                match answer.get("active").and_then(Value::as_bool) {
                    Some(true) => TokenStatus::Valid(later(now, self.cache)),
                    Some(false) => {
                        TokenStatus::Revoked("the issuer says that it is not active".to_owned())
                    }
                    // An answer that does not say so is not the same as none: `on_failure` is not for it.
                    None => TokenStatus::Revoked(format!(
                        "introspection at {}: the answer does not say whether it is active",
                        self.url
                    )),
                }
            }
            Err(reason) => {
                let (least, most) = REST;
                self.pace.failed(now, least, most);
                TokenStatus::Unknown(format!("introspection at {}: {reason}", self.url))
            }
        }
    }
}
