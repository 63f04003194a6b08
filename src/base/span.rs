//! Lengths of time in settings: text such as `"10m"` in, a [`Duration`] out. Every setting that is a time has
//! this type, so that all of them are written in one way.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::time::Duration;

use super::described::described;
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

/// A length of time, written as `"250ms"`, `"30s"`, `"10m"`, `"8h"`, `"90d"` or `"1h 30m"`; ten years at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(Duration);

const UNITS: [(&str, u128); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];
/// Ten years: longer than anything that is kept.
const LONGEST: Duration = Duration::from_secs(3_650 * 86_400);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// From milliseconds.
    #[must_use]
    pub const fn milliseconds(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }

    /// From seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// From minutes.
    #[must_use]
    pub const fn minutes(minutes: u64) -> Self {
        Self::seconds(minutes * 60)
    }

    /// From hours.
    #[must_use]
    pub const fn hours(hours: u64) -> Self {
        Self::minutes(hours * 60)
    }

    /// From days.
    #[must_use]
    pub const fn days(days: u64) -> Self {
        Self::hours(days * 24)
    }

    /// In milliseconds.
    #[must_use]
    pub fn millis(self) -> i64 {
        i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX)
    }

    /// In whole seconds.
    #[must_use]
    pub fn whole_seconds(self) -> u32 {
        u32::try_from(self.0.as_secs()).unwrap_or(u32::MAX)
    }
}

impl Deref for Span {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

impl From<Duration> for Span {
    fn from(time: Duration) -> Self {
        Self(time)
    }
}

impl PartialEq<Duration> for Span {
    fn eq(&self, other: &Duration) -> bool {
        self.0 == *other
    }
}

impl PartialOrd<Duration> for Span {
    fn partial_cmp(&self, other: &Duration) -> Option<Ordering> {
        Some(self.0.cmp(other))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty".to_owned());
        }
        let read = humantime::parse_duration(text.trim()).ok();
        read.filter(|time| *time <= LONGEST).map(Self).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            format!(
                "`{shown}` is not a duration such as `100ms`, `30s`, `8h` or `90d`, of ten years at most"
            )
        })
    }
}

impl fmt::Display for Span {
    /// In the largest unit that needs no fraction.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if self.0.is_zero() {
            return f.write_str("0s");
        }
        match UNITS
            .iter()
            .find(|(_, factor)| millis.is_multiple_of(*factor))
        {
            Some((unit, factor)) if self.0.subsec_nanos().is_multiple_of(1_000_000) => {
                write!(f, "{}{unit}", millis / factor)
            }
            _ => humantime::format_duration(self.0).fmt(f),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

described!(Span, {
    "type": "string",
    "pattern": "^\\s*([0-9.]+\\s*[a-z]+\\s*)+$",
    "examples": ["100ms", "30s", "10m", "8h", "90d"],
});

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, millis: Option<i64>, shown: &str) {
        let span = text.parse::<Span>();
        assert_eq!(span.clone().ok().map(Span::millis), millis, "{span:?}");
        if let Ok(span) = span {
            assert_eq!(span.to_string(), shown);
        }
    }

    #[test]
    fn reads_and_writes_times() {
        check("10m", Some(600_000), "10m");
        check("90 s", Some(90_000), "90s");
        check("24h", Some(86_400_000), "1d");
        check("250ms", Some(250), "250ms");
        check("0s", Some(0), "0s");
        check("1w", Some(7 * 86_400_000), "7d");
        check("1h 30m", Some(5_400_000), "90m");
        check("1.5h", Some(5_400_000), "90m");
        check("1us", Some(0), "1us");
        for bad in ["", "10", "m", "-1s", "3651d", "9999999999999999999s"] {
            check(bad, None, "");
        }
    }
}
