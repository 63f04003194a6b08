//! The instant a decision is made for: milliseconds since the Unix epoch, UTC.
//!
//! Deciding holds no clock: the instant is passed in with the request, or read once at the door
//! ([`Timestamp::now`]) by whoever received the request.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Datelike, Timelike, Utc};

/// An instant in milliseconds since 1970-01-01T00:00:00Z, within the years 0000 to 9999 (the range
/// that a Cedar `datetime` literal can write).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The text is not an RFC 3339 date and time, or lies outside the years 0000 to 9999.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a date and time such as 2026-03-10T10:00:00Z")]
pub struct TimestampError(String);

const MIN_MS: i64 = -62_167_219_200_000;
const MAX_MS: i64 = 253_402_300_799_999;

impl Timestamp {
    /// The present instant of this machine's clock.
    #[must_use]
    pub fn now() -> Self {
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => millis(since),
            Err(before) => -millis(before.duration()),
        })
    }

    /// From milliseconds since the Unix epoch; clamped to the years 0000 to 9999.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(MIN_MS, MAX_MS))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with three fractional digits, which Cedar's `datetime()` also reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = DateTime::<Utc>::from_timestamp_millis(self.0);
        let Some(time) = time.map(|time| time.naive_utc()) else {
            return write!(f, "{}ms", self.0);
        };
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let parts = [
            (0, 4, time.year().unsigned_abs()),
            (5, 2, time.month()),
            (8, 2, time.day()),
            (11, 2, time.hour()),
            (14, 2, time.minute()),
            (17, 2, time.second()),
            (20, 3, time.and_utc().timestamp_subsec_millis()),
        ];
        for (start, width, mut number) in parts {
            for digit in text.iter_mut().skip(start).take(width).rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let millis = DateTime::parse_from_rfc3339(text)
            .map_err(|_| TimestampError(text.to_owned()))?
            .timestamp_millis();
        if (MIN_MS..=MAX_MS).contains(&millis) {
            Ok(Self(millis))
        } else {
            Err(TimestampError(text.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_rfc_3339() {
        let time: Timestamp = "2026-03-10T12:00:00+02:00".parse().unwrap();
        assert_eq!(time.to_string(), "2026-03-10T10:00:00.000Z");
        assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
        assert!("10 March".parse::<Timestamp>().is_err());
    }

    #[test]
    fn stays_in_the_range_a_literal_can_write() {
        assert_eq!(
            Timestamp::from_millis(i64::MAX).to_string(),
            "9999-12-31T23:59:59.999Z"
        );
        assert_eq!(
            Timestamp::from_millis(i64::MIN).to_string(),
            "0000-01-01T00:00:00.000Z"
        );
    }
}
