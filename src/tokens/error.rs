//! Why a token is not taken: one sentence for whoever sent it, another for the log.

/// Why a token is not taken.
///
/// The `Display` form is for whoever sent the token and says nothing that the token and a public
/// directory do not. [`TokenError::detail`] is for the log; it never holds the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    /// It is no compact JWT, or lacks what every token has.
    #[error("the token is malformed")]
    Malformed(Detail),
    /// It is longer than any token that is read.
    #[error("the token is too large")]
    TooLarge(Detail),
    /// No issuer of this name is believed for this use.
    #[error("the token's issuer is not accepted here")]
    UnknownIssuer(Detail),
    /// The signature, the key or the algorithm is not right.
    #[error("the token's signature is not valid")]
    BadSignature(Detail),
    /// Its time is over.
    #[error("the token has expired")]
    Expired(Detail),
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYetValid(Detail),
    /// It is meant for others.
    #[error("the token is not meant for this service")]
    WrongAudience(Detail),
    /// It is genuine, but not of the kind that is asked for.
    #[error("the token is not of the kind accepted here")]
    Unsuitable(Detail),
    /// It was revoked: deny-list, introspection or status list.
    #[error("the token has been revoked")]
    Denied(Detail),
    /// It cannot be told: the issuer cannot be reached. A 503, and worth trying again.
    #[error("the token cannot be verified at present")]
    Unavailable(Detail),
}

/// What the log learns beyond the message.
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

    /// Whether the fault is not the token's: it may be taken later.
    pub(crate) fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// For the log: what exactly is wrong. Outside text in it is quoted and cut.
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
    format!("{:?}", crate::json::shown(text))
}
