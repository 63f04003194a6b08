//! The numbers of authentication levels, methods and alternatives, and the hours of work.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::s;
use crate::base::described::described;
use crate::base::settings::settings;
use crate::base::span::Span;
use crate::trust::model::method::Method;
use crate::trust::model::number::Score;

settings! {
    /// The authentication level that is required.
    pub struct LevelsConfig {
        /// The base level of an action that has none of its own.
        pub default_base: u8 = 2,
        /// What the subject's risk counts, times the base level.
        pub risk_factor: Score = s(5_000),
        /// The risk that costs no level; `calibrated` only.
        pub allowance: Score = s(2_000),
        /// The risk that a supplied LOW stands for.
        pub risk_low: Score = s(1_000),
        /// That of MEDIUM.
        pub risk_medium: Score = s(5_000),
        /// That of HIGH.
        pub risk_high: Score = s(9_000),
        /// Above this risk an administrator has to approve.
        pub approval_above: Score = s(8_000),
    }

    /// For how long a level is valid after it was reached.
    pub struct Validity {
        /// Level 1.
        pub level_1: Span = Span::days(1),
        /// Level 2.
        pub level_2: Span = Span::hours(8),
        /// Level 3.
        pub level_3: Span = Span::hours(2),
        /// Level 4.
        pub level_4: Span = Span::minutes(30),
    }
}

impl Validity {
    /// Of a level; no time for level 0 and above 4.
    #[must_use]
    pub fn of(&self, level: u8) -> Span {
        match level {
            1 => self.level_1,
            2 => self.level_2,
            3 => self.level_3,
            4 => self.level_4,
            _ => Span::ZERO,
        }
    }
}

/// A method of authentication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MethodConfig {
    /// The level it reaches, 0 to 4.
    pub strength: u8,
    /// How long a person takes for it.
    pub takes: Span,
    /// The level it reaches with user verification; unset for the same. `calibrated` only.
    pub verified_strength: Option<u8>,
    /// For how long that holds.
    pub verified_for: Span,
    /// Whether it makes an authentication one of several factors.
    pub multi_factor: bool,
    /// Whether it withstands phishing.
    pub phishing_resistant: bool,
}

settings! {
    /// The methods.
    pub struct Methods {
        /// A password, asked for again.
        pub password_confirmation: MethodConfig = method(1, 30),
        /// A time-based one-time password.
        pub totp: MethodConfig = method(2, 45),
        /// A one-time password by text message.
        pub sms_otp: MethodConfig = method(2, 60),
        /// A code from a list made before.
        pub backup_codes: MethodConfig = method(2, 60),
        /// A notification that is confirmed on another device.
        pub push_notification: MethodConfig = method(2, 30),
        /// A passkey or security key.
        pub webauthn: MethodConfig = MethodConfig {
            verified_strength: Some(4),
            phishing_resistant: true,
            ..method(3, 60)
        },
        /// Somebody else's approval: an authentication under `literal` only.
        pub admin_approval: MethodConfig = MethodConfig { multi_factor: false, ..method(4, 300) },
    }
}

fn method(strength: u8, seconds: u64) -> MethodConfig {
    MethodConfig {
        strength,
        takes: Span::seconds(seconds),
        verified_strength: None,
        verified_for: Span::minutes(5),
        multi_factor: strength > 1,
        phishing_resistant: false,
    }
}

impl Methods {
    /// What is configured of a method.
    #[must_use]
    pub fn of(&self, method: Method) -> &MethodConfig {
        match method {
            Method::PasswordConfirmation => &self.password_confirmation,
            Method::Totp => &self.totp,
            Method::SmsOtp => &self.sms_otp,
            Method::BackupCodes => &self.backup_codes,
            Method::PushNotification => &self.push_notification,
            Method::Webauthn => &self.webauthn,
            Method::AdminApproval => &self.admin_approval,
        }
    }
}

settings! {
    /// What may be done instead of authenticating.
    pub struct AlternativesConfig {
        /// For how long to wait; `literal` only.
        pub time_delay_for: Span = Span::minutes(15),
        /// Below which risk of the subject waiting is offered.
        pub time_delay_risk: Score = s(7_000),
        /// By how many levels waiting lowers the requirement.
        pub time_delay_levels: u8 = 1,
        /// How long a supervisor's approval holds.
        pub supervisor_approval_for: Span = Span::hours(1),
        /// Below which required trust it is offered.
        pub supervisor_approval_sensitivity: Score = s(8_000),
        /// How long restricted access holds.
        pub restricted_access_for: Span = Span::minutes(30),
    }

    /// The trust in the time of day.
    pub struct TimeConfig {
        /// Inside the working hours, or where there are none.
        pub inside: Score = s(10_000),
        /// Outside.
        pub outside: Score = s(6_000),
    }
}

/// When work is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WorkingHours {
    /// On which days they begin.
    pub days: Vec<Day>,
    /// From this time of day on.
    pub from: ClockTime,
    /// Until before this one; earlier than `from` for the next morning.
    pub to: ClockTime,
    /// How far local time is ahead of UTC.
    #[serde(default)]
    pub utc_offset: UtcOffset,
}

/// How far local time is ahead of UTC, in minutes, written `+02:00` or `-05:30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UtcOffset(i32);

impl UtcOffset {
    /// From minutes.
    #[must_use]
    pub const fn new(minutes: i32) -> Self {
        Self(minutes)
    }

    /// In minutes; negative west of Greenwich.
    #[must_use]
    pub const fn minutes(self) -> i32 {
        self.0
    }
}

impl fmt::Display for UtcOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        let minutes = self.0.unsigned_abs();
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

impl FromStr for UtcOffset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || format!("`{text}` is not a difference to UTC such as +02:00 or -05:30");
        let (sign, time) = match text.split_at_checked(1) {
            Some(("+", time)) => (1, time),
            Some(("-", time)) => (-1, time),
            _ => return Err(error()),
        };
        let time: ClockTime = time.parse().map_err(|_| error())?;
        Ok(Self(sign * i32::from(time.minutes())))
    }
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the days are what they are called")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// A time of day in minutes, written `08:30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClockTime(u16);

impl ClockTime {
    /// In minutes since midnight, 0 to 1440.
    #[must_use]
    pub fn minutes(self) -> u16 {
        self.0
    }
}

impl fmt::Display for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl FromStr for ClockTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || format!("`{text}` is not a time of day such as 08:30, up to 24:00");
        let (hours, minutes) = text.split_once(':').ok_or_else(error)?;
        let read = |part: &str| match part.len() {
            2 if part.bytes().all(|b| b.is_ascii_digit()) => part.parse::<u16>().ok(),
            _ => None,
        };
        match (read(hours), read(minutes)) {
            (Some(24), Some(0)) => Ok(Self(24 * 60)),
            (Some(hours @ 0..=23), Some(minutes @ 0..=59)) => Ok(Self(hours * 60 + minutes)),
            _ => Err(error()),
        }
    }
}

/// Values that are written as text.
macro_rules! as_text {
    ($name:ident, $pattern:literal, $example:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        described!($name, {"type": "string", "pattern": $pattern, "examples": [$example]});
    };
}

as_text!(ClockTime, "^[0-9]{2}:[0-9]{2}$", "08:30");
as_text!(UtcOffset, "^[+-][0-9]{2}:[0-9]{2}$", "+02:00");
