//! Where a request stands in its caller's trace: W3C Trace Context, read strictly.
//!
//! What enters: headers. What leaves: a context, or nothing where the headers are not as the
//! specification has them; a request with a broken header is a request without one (section 4.3). The
//! server answers without `traceparent`, as the specification wants it.

use axum::http::{HeaderMap, HeaderName};

use crate::request::TraceId;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The caller's span, of which a request is a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceContext {
    /// The trace.
    pub(crate) trace: TraceId,
    /// The caller's span.
    pub(crate) parent: [u8; 8],
    /// Whether the caller records it.
    pub(crate) sampled: bool,
}

impl TraceContext {
    /// From `traceparent`, if there is one and it is good.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut parents = headers.get_all(TRACEPARENT).iter();
        match (parents.next(), parents.next()) {
            (Some(one), None) => parse(one.as_bytes()),
            // Of several nobody could say which one is meant.
            _ => None,
        }
    }
}

/// `version "-" trace-id "-" parent-id "-" trace-flags`, in lower-case hexadecimal digits.
fn parse(text: &[u8]) -> Option<TraceContext> {
    let (version, text) = field::<1>(text)?;
    let (trace, text) = field::<16>(text.strip_prefix(b"-")?)?;
    let (parent, text) = field::<8>(text.strip_prefix(b"-")?)?;
    let ([flags], rest) = field::<1>(text.strip_prefix(b"-")?)?;
    match version {
        [0xff] => return None,
        [0] if !rest.is_empty() => return None,
        // A later version may have more fields, divided as these are.
        _ if !rest.is_empty() && !rest.starts_with(b"-") => return None,
        _ => {}
    }
    if parent == [0; 8] {
        return None;
    }
    Some(TraceContext {
        trace: TraceId::new(trace)?,
        parent,
        sampled: flags & 1 == 1,
    })
}

/// `N` bytes in hexadecimal digits, and what follows them.
fn field<const N: usize>(mut text: &[u8]) -> Option<([u8; N], &[u8])> {
    let mut bytes = [0; N];
    for byte in &mut bytes {
        let [high, low, rest @ ..] = text else {
            return None;
        };
        *byte = digit(*high)? << 4 | digit(*low)?;
        text = rest;
    }
    Some((bytes, text))
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[track_caller]
    fn check(text: &str, sampled: Option<bool>) {
        let found = parse(text.as_bytes());
        assert_eq!(found.map(|context| context.sampled), sampled, "{text}");
        if let Some(found) = found {
            assert_eq!(found.trace.to_string(), TRACE);
            assert_eq!(found.parent, [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
        }
    }

    #[test]
    fn traceparent_is_read_strictly() {
        check(&format!("00-{TRACE}-{SPAN}-01"), Some(true));
        check(&format!("00-{TRACE}-{SPAN}-00"), Some(false));
        check(&format!("00-{TRACE}-{SPAN}-fe"), Some(false));
        check(&format!("cc-{TRACE}-{SPAN}-01"), Some(true));
        check(&format!("cc-{TRACE}-{SPAN}-01-more"), Some(true));
        check(&format!("cc-{TRACE}-{SPAN}-01more"), None);
        check(&format!("00-{TRACE}-{SPAN}-01-more"), None);
        check(&format!("00-{TRACE}-{SPAN}-01-"), None);
        check(&format!("ff-{TRACE}-{SPAN}-01"), None);
        check(&format!("0-{TRACE}-{SPAN}-01"), None);
        check(&format!("00-{TRACE}-{SPAN}-1"), None);
        check(&format!("00-{TRACE}-{SPAN}"), None);
        check(&format!("00-{TRACE}-{SPAN}-0x"), None);
        check(&format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), None);
        check(&format!("00-{}-{SPAN}-01", "0".repeat(32)), None);
        check(&format!("00-{TRACE}-{}-01", "0".repeat(16)), None);
        check(&format!(" 00-{TRACE}-{SPAN}-01"), None);
        check(&format!("00-{SPAN}-{TRACE}-01"), None);
        check("", None);
    }

    #[test]
    fn several_headers_are_none() {
        let one: axum::http::HeaderValue = format!("00-{TRACE}-{SPAN}-01").parse().unwrap();
        let mut headers = HeaderMap::new();
        assert_eq!(TraceContext::of(&headers), None);
        headers.append("traceparent", one.clone());
        assert!(TraceContext::of(&headers).is_some());
        headers.append("traceparent", one);
        assert_eq!(TraceContext::of(&headers), None);
    }
}
