//! What is known when a request is scored.
//!
//! `None` is unknown, and unknown is not `false`: what a factor makes of it is a rule of its own
//! (`on_missing`). Nothing here allocates.

use smallvec::SmallVec;

use super::method::{Evidence, MethodSet};
use super::number::Score;
use crate::base::timestamp::Timestamp;
use crate::base::words::words;
use crate::trust::device::DeviceFacts;

/// Everything that a score is made of, besides the configuration and the instant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inputs {
    /// About the principal's account.
    pub identity: Identity,
    /// About the device it uses.
    pub device: Device,
    /// About where it is.
    pub location: Location,
    /// About what it has been doing.
    pub behavior: Behavior,
    /// About the network it comes from.
    pub network: Network,
    /// How it was authenticated.
    pub authentication: Authenticated,
    /// What is held against the subject as a whole.
    pub risk: SubjectRisk,
    /// What the resource and the action demand.
    pub target: Target,
    /// What denies on its own.
    pub knock_outs: KnockOuts,
    /// The band of the decision before, for hysteresis.
    pub previous_band: Option<Band>,
    /// Whether the principal is a break-glass one: its score is computed and holds nothing against it.
    pub exempt: bool,
}

words! {
    /// Where a fact comes from.
    #[derive(Default)]
    #[non_exhaustive]
    pub enum Source by as_str {
        /// Nowhere: nothing is known.
        #[default]
        None = "none",
        /// The stored state of a subject.
        Stored = "stored",
        /// The request, from a caller that is believed about signals.
        Asserted = "asserted",
        /// The configuration, such as lists of networks.
        Configured = "configured",
        /// More than one of them.
        Several = "several",
    }
}

impl Source {
    /// Both of them.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, one) | (one, Self::None) => one,
            (one, other) if one == other => one,
            _ => Self::Several,
        }
    }
}

/// What is known of a factor's evidence as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Evident {
    /// Where it comes from.
    pub source: Source,
    /// When the oldest of it was observed; `None` for with the request.
    pub observed: Option<Timestamp>,
    /// Whether sources contradict one another; the worse was taken.
    pub conflicting: bool,
}

/// About the principal's account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Identity {
    /// Whether more than one authentication factor is enrolled.
    pub mfa_enrolled: Option<bool>,
    /// Whether more than one was verified in this session.
    pub mfa_verified: Option<bool>,
    /// Whether the method was phishing-resistant (WebAuthn).
    pub phishing_resistant: Option<bool>,
    /// When the account was made.
    pub account_created: Option<Timestamp>,
    /// Whether suspicious activity is on record.
    pub suspicious: Option<bool>,
    /// Whether it has an administrative role.
    pub admin: bool,
    /// Whether it has a privileged role.
    pub privileged: bool,
    /// Where this comes from.
    pub evident: Evident,
}

/// About the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Device {
    /// Whether a device is known at all: its id, or something said of it.
    pub identified: bool,
    /// Whether it is registered to this principal.
    pub registered: Option<bool>,
    /// What is known of it as such.
    pub facts: DeviceFacts,
    /// Where this comes from.
    pub evident: Evident,
}

/// A country by its ISO 3166-1 alpha-2 code, in upper case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country([u8; 2]);

impl Country {
    /// From two letters of either case.
    #[must_use]
    pub fn new(code: &str) -> Option<Self> {
        match code.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Some(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => None,
        }
    }

    /// The two letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// A point on the earth, in millionths of a degree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Point {
    /// Latitude, -90,000,000 to 90,000,000.
    pub latitude: i32,
    /// Longitude, -180,000,000 to 180,000,000.
    pub longitude: i32,
}

/// Where a principal was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// Where.
    pub point: Point,
    /// Within how many metres.
    pub accuracy: u32,
    /// When.
    pub at: Timestamp,
}

/// What a place is to a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Familiarity {
    /// Its country and network were seen on enough days.
    Known,
    /// Its country was seen, its network not often enough.
    KnownCountry,
    /// Its country was never seen.
    NewCountry,
}

/// How a country stands in the configured lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Listed {
    /// On neither list.
    #[default]
    No,
    /// On the allow list.
    Allowed,
    /// On the deny list; it wins over the allow list.
    Denied,
}

/// About the location.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Location {
    /// The country.
    pub country: Option<Country>,
    /// How the country stands in the configured lists.
    pub listed: Listed,
    /// What the place is to the principal; `None` where the country is not known.
    pub place: Option<Familiarity>,
    /// The point and its accuracy in metres.
    pub point: Option<(Point, u32)>,
    /// Where the principal was seen last.
    pub last: Option<Sighting>,
    /// Where this comes from.
    pub evident: Evident,
}

/// About what the principal has been doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Behavior {
    /// The highest live finding about the principal, its session or its address, decayed.
    pub finding: Score,
    /// Denies within the last 10 minutes, where they are counted.
    pub denies: u32,
    /// Ten thousand times the mean number of denies in 10 minutes over 30 days.
    pub usual_denies: u64,
    /// Requests within the last hour, where they are counted.
    pub requests: u32,
    /// Ten thousand times the mean number of requests in an hour.
    pub usual_requests: u64,
    /// Distinct days before today on which a named caller's decision was Allow.
    pub history: u32,
    /// The share of this hour of the day (UTC) among the hours of those days.
    pub hour_share: Score,
    /// When something adverse was last recorded.
    pub last_adverse: Option<Timestamp>,
}

/// A class of networks.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum NetworkClass {
    /// The organisation's own.
    Corporate,
    /// A partner's.
    Partner,
    /// A virtual private network.
    Vpn,
    /// A public one.
    Public,
    /// One that hides where its users are.
    Anonymiser,
}

/// About the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Network {
    /// Whether the address is known.
    pub address: bool,
    /// The class of the most specific network that holds the address; `None` for no match.
    pub class: Option<NetworkClass>,
    /// Whether mutual TLS was seen.
    pub mutual_tls: Option<bool>,
    /// Where this comes from.
    pub evident: Evident,
}

/// How the principal was authenticated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Authenticated {
    /// What its session and its token prove; empty without a session.
    pub evidence: SmallVec<[Evidence; 8]>,
    /// The methods it has enrolled, where known.
    pub enrolled: Option<MethodSet>,
}

words! {
    /// A level of risk, as in CAEP's `risk-level-change`.
    #[derive(PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
    #[serde(rename_all = "UPPERCASE")]
    pub enum Band by as_str {
        /// Little risk.
        Low = "LOW",
        /// Some.
        Medium = "MEDIUM",
        /// Much.
        High = "HIGH",
    }
}

/// What is held against the subject as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubjectRisk {
    /// The highest live finding, decayed; a high incident does not decay until it is remediated.
    pub finding: Score,
    /// A supplied level of risk.
    pub level: Option<Band>,
    /// The authentication level that findings and lock-outs demand, 0 for none.
    pub demanded_level: u8,
}

/// What the resource and the action demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Target {
    /// The classification, by its place in the configured list; `None` for any other.
    pub classification: Option<u16>,
    /// How many kinds of compliance it falls under (PCI, HIPAA, SOX).
    pub compliance: u8,
    /// The action's base level, 1 to 4; `None` where it is not configured.
    pub base_level: Option<u8>,
}

/// What denies on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct KnockOuts(u16);

impl KnockOuts {
    /// The session was revoked.
    pub const SESSION_REVOKED: Self = Self(1);
    /// The account is disabled.
    pub const ACCOUNT_DISABLED: Self = Self(1 << 1);
    /// The device does not comply.
    pub const DEVICE_NOT_COMPLIANT: Self = Self(1 << 2);
    /// A block that was opted into.
    pub const BLOCKED: Self = Self(1 << 3);
    /// A factor is missing whose `on_missing` is `deny`.
    pub const MISSING_IDENTITY: Self = Self(1 << 4);
    /// As above.
    pub const MISSING_DEVICE: Self = Self(1 << 5);
    /// As above.
    pub const MISSING_LOCATION: Self = Self(1 << 6);
    /// As above.
    pub const MISSING_BEHAVIOR: Self = Self(1 << 7);
    /// As above.
    pub const MISSING_NETWORK: Self = Self(1 << 8);

    const NAMES: [&'static str; 9] = [
        "session_revoked",
        "account_disabled",
        "device_not_compliant",
        "blocked",
        "missing:identity",
        "missing:device",
        "missing:location",
        "missing:behavior",
        "missing:network",
    ];

    /// None.
    #[must_use]
    pub const fn none() -> Self {
        Self(0)
    }

    /// Both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The first without the second.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` are there.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Their names: `session_revoked`, `account_disabled`, `device_not_compliant`, `blocked`,
    /// `missing:<factor>`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let all = Self::NAMES.into_iter().enumerate();
        all.filter(move |(bit, _)| self.0 >> bit & 1 == 1)
            .map(|(_, name)| name)
    }
}
