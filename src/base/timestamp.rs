//! The instant a decision is made for: milliseconds since the Unix epoch, UTC.
//!
//! Deciding holds no clock: the instant is passed in with the request, or read once at the door
//! ([`Timestamp::now`]) by whoever received the request.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::DateTime;

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

impl Timestamp {
    /// RFC 3339 in UTC with three fractional digits. A thread keeps the text of the last second that it wrote.
    pub(crate) fn text(self) -> TimestampText {
        thread_local! {
            static LAST: Cell<(i64, [u8; 24])> = const { Cell::new((i64::MIN, [0; 24])) };
        }
        let second = self.0.div_euclid(1_000);
        let mut text = LAST.with(|last| match last.get() {
            (known, text) if known == second => text,
            _ => {
                let text = Self(second * 1_000).write();
                last.set((second, text));
                text
            }
        });
        let millis = self.0.rem_euclid(1_000);
        let [.., hundreds, tens, ones, _] = &mut text;
        *hundreds = b'0' + (millis / 100) as u8;
        *tens = b'0' + (millis / 10 % 10) as u8;
        *ones = b'0' + (millis % 10) as u8;
        TimestampText(text)
    }

    /// The same, worked out.
    ///
    /// The date is that of the proleptic Gregorian calendar, by the algorithm `civil_from_days` in Howard Hinnant's
    /// "chrono-Compatible Low-Level Date Algorithms": eras of 400 years that begin on the first of March.
    fn write(self) -> [u8; 24] {
        const DAY: i64 = 86_400_000;
        const ERA: i64 = 146_097;
        let days = self.0.div_euclid(DAY) + 719_468;
        let (era, day) = (days.div_euclid(ERA), days.rem_euclid(ERA));
        let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let day_of_month = day_of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let time = self.0.rem_euclid(DAY);
        let digit = |number: i64| b'0' + (number % 10) as u8;
        let two = |number: i64| [digit(number / 10), digit(number)];
        let [[c, d], [m, n], [o, p]] = [year % 100, month, day_of_month].map(two);
        let [[h, i], [j, k], [s, t]] =
            [time / 3_600_000, time / 60_000 % 60, time / 1_000 % 60].map(two);
        let [a, b] = two(year / 100);
        let (u, [v, w]) = (digit(time / 100), two(time));
        [
            a, b, c, d, b'-', m, n, b'-', o, p, b'T', h, i, b':', j, k, b':', s, t, b'.', u, v, w,
            b'Z',
        ]
    }
}

/// An instant as text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimestampText([u8; 24]);

impl TimestampText {
    pub(crate) fn as_str(&self) -> &str {
        // INVARIANT: digits and punctuation.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with three fractional digits, which Cedar's `datetime()` also reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
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
    fn every_day_of_ten_thousand_years_is_written_as_chrono_writes_it() {
        for day in 0..=(MAX_MS - MIN_MS) / 86_400_000 {
            let millis = MIN_MS + day * 86_400_000 + day * 7_919 % 86_400_000;
            let expected = DateTime::from_timestamp_millis(millis).unwrap();
            let expected = expected.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
            assert_eq!(Timestamp(millis).to_string(), expected);
        }
    }

    #[test]
    fn instants_of_one_second_differ_in_their_milliseconds() {
        for millis in [-1_001, -1_000, -999, -1, 0, 7, 70, 700, 999, 1_000, 0, -1] {
            let expected = DateTime::from_timestamp_millis(millis).unwrap();
            let expected = expected.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
            assert_eq!(Timestamp(millis).to_string(), expected);
        }
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
