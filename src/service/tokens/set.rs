//! Security event tokens (RFC 8417): signed statements that something happened. They stand for nobody,
//! and no other token of the issuer is taken for one.
//!
//! What enters: a compact JWT of any kind, and the instant. What leaves: a [`VerifiedSet`], or a
//! [`SetError`] in the words of RFC 8935.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::claims::{instant, later};
use super::error::{TokenError, quoted};
use super::jws::Jws;
use super::source::{KeyError, Keys, check_file};
use crate::base::timestamp::Timestamp;
use crate::service::config::{ReceiverConfig, TokenAlgorithm};
use crate::service::net::fetch::Fetch;

/// Longest token that is read, in bytes.
const LONGEST: usize = 64 << 10;
/// Longest `jti`, in bytes.
const LONGEST_ID: usize = 256;
/// The media type of a security event token.
const TYPE: &str = "secevent+jwt";

/// Verifies the tokens of one transmitter.
pub(crate) struct SetVerifier {
    issuer: String,
    audience: Vec<String>,
    algorithms: Vec<TokenAlgorithm>,
    leeway: Duration,
    keys: Arc<Keys>,
}

/// A token that was verified.
#[derive(Debug)]
pub(crate) struct VerifiedSet {
    /// Its id.
    pub(crate) jti: String,
    /// When it was made.
    pub(crate) issued: Timestamp,
    /// All claims.
    pub(crate) claims: Map<String, Value>,
}

/// Why a token is not taken; the description is for the transmitter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SetError {
    /// It is not a security event token, or not as its definition says.
    #[error("{0}")]
    Request(String),
    /// Its key, algorithm or signature is not right.
    #[error("{0}")]
    Key(String),
    /// Another issuer made it.
    #[error("{0}")]
    Issuer(String),
    /// It is meant for others.
    #[error("{0}")]
    Audience(String),
    /// It cannot be told at present; it may be sent again.
    #[error("{0}")]
    Unavailable(String),
}

impl SetError {
    /// The error code of RFC 8935, section 2.4; none where the fault is not the token's.
    pub(crate) fn code(&self) -> Option<&'static str> {
        match self {
            Self::Request(_) => Some("invalid_request"),
            Self::Key(_) => Some("invalid_key"),
            Self::Issuer(_) => Some("invalid_issuer"),
            Self::Audience(_) => Some("invalid_audience"),
            Self::Unavailable(_) => None,
        }
    }
}

impl SetVerifier {
    /// # Errors
    /// When the key file cannot be read.
    pub(crate) fn new(config: &ReceiverConfig, fetch: Arc<dyn Fetch>) -> Result<Self, String> {
        if let Some(path) = &config.jwks_file {
            check_file(path, &config.issuer)?;
        }
        Ok(Self {
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            algorithms: config.algorithms.clone(),
            leeway: *config.leeway,
            keys: Arc::new(Keys::of_transmitter(config, fetch)),
        })
    }

    /// Fetches the keys, so that the first token need not wait for them.
    pub(crate) async fn warm(&self, now: Timestamp) {
        self.keys.warm(now).await;
    }

    /// What is the matter with the transmitter's keys.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.keys.trouble()
    }

    /// Verifies a token. To be called within a tokio runtime.
    pub(crate) async fn verify(&self, set: &str, now: Timestamp) -> Result<VerifiedSet, SetError> {
        let jws = Jws::parse(set, LONGEST).map_err(|error| match error {
            TokenError::BadSignature(_) => SetError::Key(error.detail().to_owned()),
            other => SetError::Request(other.detail().to_owned()),
        })?;
        // RFC 8417 section 2.3: without the type, an ID token or a logout token could be taken for one.
        let typ = jws.typ.as_deref().unwrap_or_default().to_ascii_lowercase();
        if typ.strip_prefix("application/").unwrap_or(&typ) != TYPE {
            return Err(SetError::Request(format!("its `typ` is not `{TYPE}`")));
        }
        match jws.claims.get("iss") {
            Some(Value::String(issuer)) if *issuer == self.issuer => {}
            Some(Value::String(issuer)) => {
                let issuer = quoted(issuer);
                return Err(SetError::Issuer(format!("{issuer} is not the issuer here")));
            }
            _ => return Err(SetError::Issuer("it has no `iss`".to_owned())),
        }
        if !self.algorithms.contains(&jws.algorithm) {
            let detail = "the algorithm is not one of `algorithms`".to_owned();
            return Err(SetError::Key(detail));
        }
        self.keys
            .verify(&jws, now)
            .await
            .map_err(|error| match error {
                KeyError::Bad(reason) => SetError::Key(reason.to_owned()),
                KeyError::Unknown => {
                    let kid = quoted(jws.kid.as_deref().unwrap_or_default());
                    SetError::Key(format!("the issuer has no key {kid}"))
                }
                KeyError::Unavailable(reason) => {
                    SetError::Unavailable(format!("the keys of the issuer: {reason}"))
                }
            })?;
        let audience = match jws.claims.get("aud") {
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if !self
            .audience
            .iter()
            .any(|own| audience.contains(&own.as_str()))
        {
            return Err(SetError::Audience(
                "its `aud` does not name this receiver".to_owned(),
            ));
        }
        let issued = date(&jws.claims, "iat")?
            .ok_or_else(|| SetError::Request("it has no `iat`".to_owned()))?;
        if issued > later(now, self.leeway) {
            let detail = format!("its `iat` {issued} is still to come");
            return Err(SetError::Request(detail));
        }
        // Such tokens are not to have an end; one that has is meant to be over then.
        if date(&jws.claims, "exp")?.is_some_and(|end| now >= later(end, self.leeway)) {
            return Err(SetError::Request("its `exp` is past".to_owned()));
        }
        let jti = match jws.claims.get("jti") {
            Some(Value::String(jti)) if !jti.is_empty() && jti.len() <= LONGEST_ID => jti.clone(),
            Some(_) => {
                let detail = format!("its `jti` is not text of 1 to {LONGEST_ID} bytes");
                return Err(SetError::Request(detail));
            }
            None => return Err(SetError::Request("it has no `jti`".to_owned())),
        };
        Ok(VerifiedSet {
            jti,
            issued,
            claims: jws.claims,
        })
    }
}

impl std::fmt::Debug for SetVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SetVerifier")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// A date in seconds since 1970, where it is given.
pub(crate) fn date(
    members: &Map<String, Value>,
    name: &str,
) -> Result<Option<Timestamp>, SetError> {
    instant(members, name).map_err(|error| SetError::Request(error.detail().to_owned()))
}
