//! Extension values: their text forms, exactly as Cedar reads them, and their arithmetic.
//!
//! Enters: the text given to `ip`, `decimal`, `datetime` or `duration`. Leaves: a [`Value`], or nothing
//! where Cedar would report a failed extension call.

use std::net::IpAddr;

use super::value::{Ip, Value};
use crate::schema::ExtFn;

const DAY_MS: i64 = 24 * 3_600 * 1_000;

impl ExtFn {
    /// Whether `value` is of the type it makes.
    pub(crate) fn makes(self, value: &Value) -> bool {
        matches!(
            (self, value),
            (Self::Ip, Value::Ip(_))
                | (Self::Decimal, Value::Decimal(_))
                | (Self::Datetime, Value::Datetime(_))
                | (Self::Duration, Value::Duration(_))
        )
    }

    /// The value of `text`, or `None` where the call fails.
    pub(crate) fn call(self, text: &str) -> Option<Value> {
        match self {
            Self::Ip => parse_ip(text).map(Value::Ip),
            Self::Decimal => parse_decimal(text).map(Value::Decimal),
            Self::Datetime => parse_datetime(text).map(Value::Datetime),
            Self::Duration => parse_duration(text).map(Value::Duration),
        }
    }
}

/// The value of any extension function, or `None` where the call fails.
pub(crate) fn apply(function: &str, args: &[Value]) -> Option<Value> {
    use Value::{Bool, Datetime, Decimal, Duration, Ip, Long, Str};
    Some(match (function, args) {
        (_, [Str(text)]) => ExtFn::named(function)?.call(text)?,
        ("isIpv4", [Ip(ip)]) => Bool(ip.addr.is_ipv4()),
        ("isIpv6", [Ip(ip)]) => Bool(ip.addr.is_ipv6()),
        ("isLoopback", [Ip(ip)]) => Bool(ip.is_loopback()),
        ("isMulticast", [Ip(ip)]) => Bool(ip.is_multicast()),
        ("isInRange", [Ip(ip), Ip(range)]) => Bool(ip.is_in_range(range)),
        ("lessThan", [Decimal(a), Decimal(b)]) => Bool(a < b),
        ("lessThanOrEqual", [Decimal(a), Decimal(b)]) => Bool(a <= b),
        ("greaterThan", [Decimal(a), Decimal(b)]) => Bool(a > b),
        ("greaterThanOrEqual", [Decimal(a), Decimal(b)]) => Bool(a >= b),
        ("offset", [Datetime(at), Duration(by)]) => Datetime(at.checked_add(*by)?),
        ("durationSince", [Datetime(at), Datetime(since)]) => Duration(at.checked_sub(*since)?),
        ("toDate", [Datetime(at)]) => Datetime(to_date(*at)?),
        ("toTime", [Datetime(at)]) => Duration(to_time(*at)),
        ("toMilliseconds", [Duration(ms)]) => Long(*ms),
        ("toSeconds", [Duration(ms)]) => Long(ms / 1_000),
        ("toMinutes", [Duration(ms)]) => Long(ms / 60_000),
        ("toHours", [Duration(ms)]) => Long(ms / 3_600_000),
        ("toDays", [Duration(ms)]) => Long(ms / 86_400_000),
        _ => return None,
    })
}

/// Ten-thousandths.
fn parse_decimal(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.')?;
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(digits) || !all_digits(fraction) || fraction.len() > 4 {
        return None;
    }
    let whole_value = whole.parse::<i64>().ok()?.checked_mul(10_000)?;
    let missing = 4 - u32::try_from(fraction.len()).ok()?;
    let fraction = fraction
        .parse::<i64>()
        .ok()?
        .checked_mul(10i64.pow(missing))?;
    if whole.starts_with('-') {
        whole_value.checked_sub(fraction)
    } else {
        whole_value.checked_add(fraction)
    }
}

fn parse_prefix(text: &str, max: u8, max_len: usize) -> Option<u8> {
    if text.len() > max_len
        || text.bytes().any(|b| !b.is_ascii_digit())
        || (text.starts_with('0') && text != "0")
    {
        return None;
    }
    text.parse::<u8>().ok().filter(|prefix| *prefix <= max)
}

fn parse_ip(text: &str) -> Option<Ip> {
    let at_least_two = |c: u8| text.bytes().filter(|b| *b == c).nth(1).is_some();
    if text.len() > 43 || (at_least_two(b':') && at_least_two(b'.')) {
        return None;
    }
    let (addr, prefix) = match text.split_once('/') {
        Some((addr, prefix)) => (addr, Some(prefix)),
        None => (text, None),
    };
    let addr: IpAddr = addr.parse().ok()?;
    let (max, max_len) = if addr.is_ipv4() { (32, 2) } else { (128, 3) };
    let prefix = match prefix {
        Some(prefix) => parse_prefix(prefix, max, max_len)?,
        None => max,
    };
    Some(Ip { addr, prefix })
}

impl Ip {
    /// `isLoopback()`
    pub(crate) fn is_loopback(&self) -> bool {
        self.addr.is_loopback() && self.prefix >= if self.addr.is_ipv4() { 8 } else { 128 }
    }

    /// `isMulticast()`
    pub(crate) fn is_multicast(&self) -> bool {
        self.addr.is_multicast() && self.prefix >= if self.addr.is_ipv4() { 4 } else { 8 }
    }

    /// `isInRange(range)`
    pub(crate) fn is_in_range(&self, range: &Self) -> bool {
        let bounds = |ip: &Self| match ip.addr {
            IpAddr::V4(addr) => {
                let host = u32::MAX.checked_shr(ip.prefix.into()).unwrap_or(0);
                (
                    u128::from(u32::from(addr) & !host),
                    u128::from(u32::from(addr) | host),
                )
            }
            IpAddr::V6(addr) => {
                let host = u128::MAX.checked_shr(ip.prefix.into()).unwrap_or(0);
                (u128::from(addr) & !host, u128::from(addr) | host)
            }
        };
        if self.addr.is_ipv4() != range.addr.is_ipv4() {
            return false;
        }
        let ((low, high), (range_low, range_high)) = (bounds(self), bounds(range));
        range_low <= low && high <= range_high
    }
}

/// A decimal number of exactly `len` digits at the front, and the rest.
fn digits(text: &str, len: usize) -> Option<(u32, &str)> {
    let (front, rest) = text.split_at_checked(len)?;
    if !front.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((front.parse().ok()?, rest))
}

/// Days from 1970-01-01 of a date of the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn date_ms(year: u32, month: u32, day: u32) -> Option<i64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if day == 0 || day > length {
        return None;
    }
    Some(days_from_civil(year.into(), month.into(), day.into()) * DAY_MS)
}

/// Milliseconds from the epoch.
fn parse_datetime(text: &str) -> Option<i64> {
    let (year, rest) = digits(text, 4)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let date = date_ms(year, month, day);
    if rest.is_empty() {
        return date;
    }
    let (hour, rest) = digits(rest.strip_prefix('T')?, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (second, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (millis, rest) = match rest.strip_prefix('.') {
        Some(rest) => digits(rest, 3)?,
        None => (0, rest),
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let offset = if rest == "Z" {
        0
    } else {
        let sign = if rest.starts_with('+') { 1 } else { -1 };
        let (hours, rest) = digits(rest.strip_prefix(['+', '-'])?, 2)?;
        let (minutes, rest) = digits(rest, 2)?;
        if !rest.is_empty() || hours > 23 || minutes > 59 {
            return None;
        }
        sign * i64::from(hours * 3_600 + minutes * 60) * 1_000
    };
    let time = i64::from(hour * 3_600 + minute * 60 + second) * 1_000 + i64::from(millis);
    Some(date? + time - offset)
}

/// Milliseconds.
fn parse_duration(text: &str) -> Option<i64> {
    const UNITS: [(&str, i64); 5] = [
        ("d", DAY_MS),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix('-').unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    let mut units = UNITS.iter();
    let mut total = 0i64;
    while !rest.is_empty() {
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let number = rest.strip_suffix(after)?;
        let unit_len = after.bytes().take_while(|b| !b.is_ascii_digit()).count();
        let (unit, next) = after.split_at_checked(unit_len)?;
        let (_, scale) = units.find(|(name, _)| *name == unit)?;
        let number: u64 = number.parse().ok()?;
        let part = if *scale == 1 && negative {
            i64::try_from(-i128::from(number)).ok()?
        } else {
            let part = i64::try_from(number).ok()?.checked_mul(*scale)?;
            if negative { -part } else { part }
        };
        total = total.checked_add(part)?;
        rest = next;
    }
    Some(total)
}

/// `toDate()`, or `None` where it overflows.
pub(crate) fn to_date(epoch: i64) -> Option<i64> {
    epoch.checked_sub(epoch.rem_euclid(DAY_MS))
}

/// `toTime()`
pub(crate) fn to_time(epoch: i64) -> i64 {
    epoch.rem_euclid(DAY_MS)
}

#[cfg(test)]
mod tests {
    use crate::schema::ExtFn;
    use cedar_policy::{Context, EvalResult};

    #[track_caller]
    fn same_as_cedar(function: &str, text: &str) {
        let json = serde_json::json!({"x": {"__extn": {"fn": function, "arg": text}}});
        let cedar = Context::from_json_value(json, None)
            .ok()
            .and_then(|context| context.get("x"));
        let ours = ExtFn::named(function).unwrap().call(text);
        assert_eq!(
            cedar.is_some(),
            ours.is_some(),
            "{function}({text:?}): {cedar:?} {ours:?}"
        );
        assert!(!matches!(cedar, Some(EvalResult::String(_))));
    }

    #[test]
    fn accepts_and_refuses_what_cedar_does() {
        for text in [
            "1.0",
            "-1.0",
            "1",
            "1.",
            ".1",
            "0.00001",
            "922337203685477.5807",
            "922337203685477.5808",
            "-922337203685477.5808",
            "-922337203685477.5809",
            "-0.5",
            "+1.0",
            "1.0 ",
            "\u{661}.0",
            "--1.0",
            "1.1.1",
            "00001.1",
        ] {
            same_as_cedar("decimal", text);
        }
        for text in [
            "127.0.0.1",
            "127.0.0.1/8",
            "127.0.0.1/08",
            "127.0.0.1/33",
            "::1",
            "::1/128",
            "::1/129",
            "::ffff:127.0.0.1",
            "1.2.3.4/",
            "/8",
            "1.2.3.4/+8",
            "::/0",
            "0.0.0.0/0",
            "1.2.3",
            "fe80::1%eth0",
            "1.2.3.4/8/8",
            "::ffff:1.2",
            "01.2.3.4",
            "ABCD:EF01:2345:6789:ABCD:EF01:2345:6789/128",
        ] {
            same_as_cedar("ip", text);
        }
        for text in [
            "2024-01-01",
            "2024-02-29",
            "2023-02-29",
            "2100-02-29",
            "2000-02-29",
            "0000-01-01",
            "9999-12-31",
            "2024-13-01",
            "2024-01-01T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T23:59:60Z",
            "2024-01-01T23:59:59.999Z",
            "2024-01-01T23:59:59.99Z",
            "2024-01-01T23:59:59+0100",
            "2024-01-01T23:59:59-2359",
            "2024-01-01T23:59:59+2400",
            "2024-01-01T23:59:59.123+0060",
            "2024-01-01T23:59:59",
            "2024-1-1",
            "",
            "2024-01-01Z",
            "2024-01-01T00:00:00ZZ",
            "2024-00-10",
            "2024-01-00",
            "2024-01-01T0\u{661}:00:00Z",
        ] {
            same_as_cedar("datetime", text);
        }
        for text in [
            "1d",
            "1h",
            "1m",
            "1s",
            "1ms",
            "1d2h3m4s5ms",
            "-1d2h3m4s5ms",
            "",
            "-",
            "1",
            "d",
            "1h1d",
            "1d1d",
            "1msx",
            "5m5ms",
            "9223372036854775807ms",
            "9223372036854775808ms",
            "-9223372036854775808ms",
            "-9223372036854775809ms",
            "106751991168d",
            "-106751991168d",
            "106751991167d7h12m55s807ms",
            "106751991167d7h12m55s808ms",
            "-106751991167d7h12m55s808ms",
            "1D",
            "1 d",
            "1dd",
            "--1d",
            "00001d",
        ] {
            same_as_cedar("duration", text);
        }
    }
}
