//! Lengths of time in settings: text such as `"10m"` in, milliseconds out.

use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

/// A length of time, written as `"250ms"`, `"30s"`, `"10m"`, `"8h"`, `"90d"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(i64);

const UNITS: [(&str, i64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];
/// Ten years: longer than anything that is kept.
const LONGEST: i64 = 3_650 * 86_400_000;

impl Span {
    /// From seconds.
    #[must_use]
    pub const fn seconds(seconds: i64) -> Self {
        Self(seconds * 1_000)
    }

    /// From minutes.
    #[must_use]
    pub const fn minutes(minutes: i64) -> Self {
        Self::seconds(minutes * 60)
    }

    /// From hours.
    #[must_use]
    pub const fn hours(hours: i64) -> Self {
        Self::minutes(hours * 60)
    }

    /// From days.
    #[must_use]
    pub const fn days(days: i64) -> Self {
        Self::hours(days * 24)
    }

    /// In milliseconds.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at(end);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit.trim())?;
        let millis = number.parse::<i64>().ok()?.checked_mul(*factor)?;
        (millis <= LONGEST).then_some(Self(millis))
    }
}

impl std::fmt::Display for Span {
    /// In the largest unit that needs no fraction.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fits = |(_, factor): &&(&str, i64)| self.0 != 0 && self.0 % factor == 0;
        let (unit, factor) = UNITS.iter().rev().find(fits).unwrap_or(&("s", 1_000));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::read(&text).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            de::Error::custom(format!(
                "`{shown}` is not a time such as `30s`, `10m`, `8h` or `90d` of at most ten years"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, millis: Option<i64>, shown: &str) {
        let span = Span::read(text);
        assert_eq!(span.map(Span::millis), millis);
        if let Some(span) = span {
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
        for bad in [
            "",
            "10",
            "m",
            "-1s",
            "1.5h",
            "1w",
            "3651d",
            "9999999999999999999s",
        ] {
            check(bad, None, "");
        }
    }
}
