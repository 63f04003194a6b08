//! A compact JWS (RFC 7515) taken apart. Nothing in it is believed yet.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::error::{TokenError, quoted};
use crate::base::json;
use crate::service::config::TokenAlgorithm;

/// Longest token that is read.
pub(super) const LONGEST: usize = 16 << 10;
/// Deepest nesting of claims.
const DEPTH: usize = 16;
/// Longest key id.
const LONGEST_KID: usize = 512;

/// A token's parts, decoded but not believed.
pub(super) struct Jws<'a> {
    /// The algorithm it says it is signed with; an asymmetric one.
    pub(super) algorithm: TokenAlgorithm,
    /// The key it says it is signed with.
    pub(super) kid: Option<String>,
    /// The media type of the whole.
    pub(super) typ: Option<String>,
    /// The claims.
    pub(super) claims: Map<String, Value>,
    /// What is signed: the first two parts as they stand.
    pub(super) signed: &'a [u8],
    /// The signature.
    pub(super) signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Takes a token apart that is at most `longest` bytes.
    pub(super) fn parse(token: &'a str, longest: usize) -> Result<Self, TokenError> {
        if token.len() > longest {
            let detail = format!("{} bytes, at most {longest} are read", token.len());
            return Err(TokenError::TooLarge(detail.into()));
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::malformed("not three parts"));
        };
        let signed = token.get(..header.len() + 1 + payload.len());
        let signed = signed.unwrap_or_default().as_bytes();
        let header = object(header, "header")?;
        // RFC 7515 section 4.1.11: extensions that are critical and not understood; we know none.
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err(TokenError::malformed("a header with critical extensions"));
        }
        let algorithm =
            text(&header, "alg")?.ok_or_else(|| TokenError::malformed("a header without `alg`"))?;
        let algorithm = algorithm_of(&algorithm).ok_or_else(|| {
            TokenError::BadSignature(
                format!("algorithm {} is never taken", quoted(&algorithm)).into(),
            )
        })?;
        let kid = text(&header, "kid")?;
        if kid.as_ref().is_some_and(|kid| kid.len() > LONGEST_KID) {
            return Err(TokenError::malformed("a long `kid`"));
        }
        let typ = text(&header, "typ")?;
        let signature = decoded(signature, "signature")?;
        Ok(Self {
            algorithm,
            kid,
            typ,
            claims: object(payload, "payload")?,
            signed,
            signature,
        })
    }
}

/// The algorithm of this name; none for those with shared secrets, and for `none`.
pub(super) fn algorithm_of(name: &str) -> Option<TokenAlgorithm> {
    use TokenAlgorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    Some(match name {
        "RS256" => RS256,
        "RS384" => RS384,
        "RS512" => RS512,
        "PS256" => PS256,
        "PS384" => PS384,
        "PS512" => PS512,
        "ES256" => ES256,
        "ES384" => ES384,
        // RFC 9864 names the curve; there is no other one here.
        "EdDSA" | "Ed25519" => EdDSA,
        _ => return None,
    })
}

/// Bytes of base64url without padding.
pub(super) fn decoded(text: &str, what: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| TokenError::malformed(format!("{what}: not base64url")))
}

fn object(part: &str, what: &str) -> Result<Map<String, Value>, TokenError> {
    let bytes = decoded(part, what)?;
    match json::read(&bytes, DEPTH) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(TokenError::malformed(format!("{what}: no JSON object"))),
        Err(faults) => {
            // The reader's own words may quote the text; only the kind of fault is told.
            let twice = faults.iter().any(|fault| fault.detail.contains("twice"));
            let kind = if twice {
                "a member appears twice"
            } else {
                "not JSON, or nested too deep"
            };
            Err(TokenError::malformed(format!("{what}: {kind}")))
        }
    }
}

fn text(header: &Map<String, Value>, name: &str) -> Result<Option<String>, TokenError> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(TokenError::malformed(format!("`{name}` is not text"))),
    }
}
