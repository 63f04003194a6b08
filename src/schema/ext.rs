//! The extension types of Cedar, and the functions that make their values.

/// The extension functions that make a value out of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExtFn {
    /// `ip("..")`
    Ip,
    /// `decimal("..")`
    Decimal,
    /// `datetime("..")`
    Datetime,
    /// `duration("..")`
    Duration,
}

impl ExtFn {
    /// The function of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "ip" => Self::Ip,
            "decimal" => Self::Decimal,
            "datetime" => Self::Datetime,
            "duration" => Self::Duration,
            _ => return None,
        })
    }

    /// The name of the type it makes, in schemas.
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::Ip => "ipaddr",
            Self::Decimal => "decimal",
            Self::Datetime => "datetime",
            Self::Duration => "duration",
        }
    }

    /// The name of the function.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            _ => self.type_name(),
        }
    }
}
