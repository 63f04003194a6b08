//! Numbers of the trust model: whole 1/10,000, which is exactly a Cedar `decimal`.

use std::fmt;
use std::str::FromStr;

use crate::base::described::described;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A score, weight, threshold or risk in 1/10,000. No floating point, so `0.9 - 0.6` is `0.3` and the
/// same input gives the same bytes everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Score(i32);

/// The text is not a decimal with at most four fractional digits, or too large.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a number such as 0.7, with at most four digits after the point")]
pub struct ScoreError(String);

/// Largest whole part that is read.
const LARGEST: i32 = 100_000;

impl Score {
    /// 0.
    pub const ZERO: Self = Self(0);
    /// 1.
    pub const ONE: Self = Self(10_000);
    /// The prior: what is believed of a factor of which nothing is known, 0.5.
    pub const HALF: Self = Self(5_000);

    /// From 1/10,000.
    #[must_use]
    pub const fn new(ten_thousandths: i32) -> Self {
        Self(ten_thousandths)
    }

    /// In 1/10,000.
    #[must_use]
    pub const fn ten_thousandths(self) -> i32 {
        self.0
    }

    /// Within 0 and 1.
    #[must_use]
    pub fn clamped(self) -> Self {
        Self(self.0.clamp(0, 10_000))
    }

    /// `self * other`, rounded half up.
    #[must_use]
    pub fn times(self, other: Self) -> Self {
        Self(divided(i64::from(self.0) * i64::from(other.0), 10_000))
    }
}

/// `dividend / divisor`, rounded half up (towards positive infinity at a tie); `divisor` is positive.
pub(crate) fn divided(dividend: i64, divisor: i64) -> i32 {
    let doubled = dividend.saturating_mul(2).saturating_add(divisor);
    let quotient = doubled.div_euclid(divisor.saturating_mul(2).max(1));
    i32::try_from(quotient).unwrap_or(if quotient < 0 { i32::MIN } else { i32::MAX })
}

impl std::ops::Add for Score {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl std::ops::Sub for Score {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl std::ops::Neg for Score {
    type Output = Self;

    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl fmt::Display for Score {
    /// As Cedar writes a `decimal`: at least one digit after the point, and no more than needed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, size) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let (whole, mut rest, mut width) = (size / 10_000, size % 10_000, 4);
        while width > 1 && rest.is_multiple_of(10) {
            rest /= 10;
            width -= 1;
        }
        write!(f, "{sign}{whole}.{rest:0width$}")
    }
}

impl FromStr for Score {
    type Err = ScoreError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ScoreError(text.chars().take(40).collect());
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, rest) = digits.split_once('.').unwrap_or((digits, "0"));
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !plain(whole) || !plain(rest) || rest.len() > 4 || whole.len() > 6 {
            return Err(error());
        }
        let whole: i32 = whole.parse().map_err(|_| error())?;
        let rest: i32 = format!("{rest:0<4}").parse().map_err(|_| error())?;
        if whole > LARGEST {
            return Err(error());
        }
        let size = whole * 10_000 + rest;
        Ok(Self(if negative { -size } else { size }))
    }
}

impl Serialize for Score {
    /// As a JSON number, such as `0.7`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The shortest text of the nearest float is the decimal itself: there are at most ten digits.
        serializer.serialize_f64(f64::from(self.0) / 10_000.0)
    }
}

described!(Score, {"type": ["number", "string"]});

impl<'de> Deserialize<'de> for Score {
    /// From a number, or a text such as `"0.7"`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Score;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number such as 0.7, with at most four digits after the point")
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Score, E> {
                // Its shortest text is what was written.
                self.visit_str(&value.to_string())
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Score, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Score, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Score, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, ten_thousandths: i32, shown: &str) {
        let score: Score = text.parse().unwrap();
        assert_eq!(score, Score::new(ten_thousandths));
        assert_eq!(score.to_string(), shown);
        assert_eq!(score.to_string().parse(), Ok(score));
    }

    #[test]
    fn reads_and_writes_decimals() {
        check("0.7", 7_000, "0.7");
        check("1", 10_000, "1.0");
        check("-0.0501", -501, "-0.0501");
        check("12.3400", 123_400, "12.34");
        check("0", 0, "0.0");
        for bad in [
            "", ".5", "5.", "0.12345", "1e3", "+1", "--1", "1000001", "0,5",
        ] {
            assert!(bad.parse::<Score>().is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_misfires_by_a_binary_fraction() {
        let gap = "0.9".parse::<Score>().unwrap() - "0.6".parse().unwrap();
        assert!(gap <= "0.3".parse().unwrap());
    }

    #[test]
    fn halves_are_rounded_up() {
        let times = |a, b| Score::new(a).times(Score::new(b)).ten_thousandths();
        assert_eq!(times(1, 5_000), 1);
        assert_eq!(times(1, 4_999), 0);
        assert_eq!(times(-1, 5_000), 0);
        assert_eq!(times(-3, 5_000), -1);
        assert_eq!(times(9_000, 9_000), 8_100);
    }

    #[test]
    fn json_is_a_number() {
        assert_eq!(serde_json::to_string(&Score::new(7_234)).unwrap(), "0.7234");
        for ok in ["0.7", "\"0.7\"", "1", "0.1", "0.3"] {
            assert!(serde_json::from_str::<Score>(ok).is_ok(), "{ok}");
        }
        assert!(serde_json::from_str::<Score>("0.12345").is_err());
        assert!(serde_json::from_str::<Score>("1e300").is_err());
    }
}
