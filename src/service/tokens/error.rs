//! Why a token is refused: one sentence for the sender, and details for the log.

/// Why a token is refused.
///
/// The `Display` form is for the sender. It says nothing that the sender cannot know from the token and from
/// public documents. [`TokenError::detail`] is for the log; it never holds the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    /// It is not a compact JWT, or a claim that every token has is missing.
    #[error("the token is malformed")]
    Malformed(Detail),
    /// It is longer than the longest token that is read.
    #[error("the token is too large")]
    TooLarge(Detail),
    /// No issuer of this name is configured for this use.
    #[error("the token's issuer is not accepted here")]
    UnknownIssuer(Detail),
    /// The signature, the key or the algorithm is wrong.
    #[error("the token's signature is not valid")]
    BadSignature(Detail),
    /// `exp` is past.
    #[error("the token has expired")]
    Expired(Detail),
    /// `nbf` or `iat` is in the future.
    #[error("the token is not valid yet")]
    NotYetValid(Detail),
    /// `aud` names other services.
    #[error("the token is not meant for this service")]
    WrongAudience(Detail),
    /// It is genuine, but not of the kind that is accepted, or its claims cannot be read.
    #[error("the token is not of the kind accepted here")]
    Unsuitable(Detail),
    /// It was revoked: deny-list, introspection or status list.
    #[error("the token has been revoked")]
    Denied(Detail),
    /// The issuer does not answer. The sender may try again.
    #[error("the token cannot be verified now: its issuer does not answer")]
    Unavailable(Detail),
}

/// What the log says beyond the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Detail(String);

impl<T: Into<String>> From<T> for Detail {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl TokenError {
    /// A stable name for the kind, as it stands in answers and metrics.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "token_malformed",
            Self::TooLarge(_) => "token_too_large",
            Self::UnknownIssuer(_) => "token_issuer",
            Self::BadSignature(_) => "token_signature",
            Self::Expired(_) => "token_expired",
            Self::NotYetValid(_) => "token_not_yet_valid",
            Self::WrongAudience(_) => "token_audience",
            Self::Unsuitable(_) => "token_unsuitable",
            Self::Denied(_) => "token_revoked",
            Self::Unavailable(_) => "token_issuer_unavailable",
        }
    }

    /// Whether the issuer does not answer, so that the token may be accepted later.
    pub(crate) fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// For the log: what exactly is wrong. Text from outside is quoted and cut.
    pub(crate) fn detail(&self) -> &str {
        let (Self::Malformed(detail)
        | Self::TooLarge(detail)
        | Self::UnknownIssuer(detail)
        | Self::BadSignature(detail)
        | Self::Expired(detail)
        | Self::NotYetValid(detail)
        | Self::WrongAudience(detail)
        | Self::Unsuitable(detail)
        | Self::Denied(detail)
        | Self::Unavailable(detail)) = self;
        &detail.0
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::Malformed(Detail(detail.into()))
    }
}

/// Outside text for a detail: quoted, escaped, cut.
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", crate::base::json::shown(text))
}
