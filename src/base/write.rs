//! JSON text written straight into a buffer, for answers on the way of every decision.

use serde::Serialize;

/// JSON in the making. Commas and brackets are the caller's.
#[derive(Debug)]
pub(crate) struct JsonText(Vec<u8>);

impl JsonText {
    /// An empty text with room for `capacity` bytes.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// A text that is written behind `bytes`.
    #[cfg(feature = "server")]
    pub(crate) fn behind(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Writes `json` as it is.
    #[inline]
    pub(crate) fn raw(&mut self, json: &str) {
        self.0.extend_from_slice(json.as_bytes());
    }

    /// Writes `before` as it is, and `text`, which needs no escapes, in quotes.
    #[inline]
    pub(crate) fn plain(&mut self, before: &str, text: &str) {
        self.raw(before);
        self.0.push(b'"');
        self.raw(text);
        self.0.push(b'"');
    }

    /// Writes a string in quotes, with the escapes that serde_json writes.
    #[inline]
    pub(crate) fn string(&mut self, text: &str) {
        self.0.push(b'"');
        self.escaped(text);
        self.0.push(b'"');
    }

    /// Writes the inside of a string.
    #[inline]
    pub(crate) fn escaped(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let plain = bytes
            .iter()
            .fold(true, |all, byte| all & !needs_escape(*byte));
        if plain {
            self.0.extend_from_slice(bytes);
        } else {
            self.escape_each(bytes);
        }
    }

    #[cold]
    fn escape_each(&mut self, mut rest: &[u8]) {
        while let Some(at) = rest.iter().position(|byte| needs_escape(*byte)) {
            let (plain, after) = rest.split_at(at);
            self.0.extend_from_slice(plain);
            let Some((byte, after)) = after.split_first() else {
                return;
            };
            self.escape(*byte);
            rest = after;
        }
        self.0.extend_from_slice(rest);
    }

    fn escape(&mut self, byte: u8) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            _ => {
                self.0.extend_from_slice(b"\\u00");
                for nibble in [byte >> 4, byte & 15] {
                    self.0.extend(DIGITS.get(usize::from(nibble)));
                }
                return;
            }
        };
        self.0.extend_from_slice(&[b'\\', short]);
    }

    /// Writes a number.
    #[inline]
    pub(crate) fn number(&mut self, mut number: u64) {
        let mut digits = [0_u8; 20];
        let mut start = digits.len();
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
            start -= 1;
            if number == 0 {
                break;
            }
        }
        self.0
            .extend_from_slice(digits.get(start..).unwrap_or_default());
    }

    /// Writes `items` in brackets, each by `write`.
    #[inline]
    pub(crate) fn list<T>(
        &mut self,
        items: impl Iterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.0.push(b'[');
        let mut first = true;
        for item in items {
            if !std::mem::take(&mut first) {
                self.0.push(b',');
            }
            write(self, item);
        }
        self.0.push(b']');
    }

    /// Writes what serializes, for parts that are rare.
    ///
    /// # Errors
    /// When it does not serialize as JSON.
    pub(crate) fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> serde_json::Result<()> {
        serde_json::to_writer(&mut self.0, value)
    }
}

#[inline]
const fn needs_escape(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// How many bytes stand before the first quote or backslash, or the end.
///
/// Eight bytes are looked at together: a byte whose high bit remains is one of the two, and the lowest such byte is
/// exact (Mycroft's test for a zero byte).
#[inline]
pub(crate) fn unquoted(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let mut at = 0;
    let mut rest = bytes;
    while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
        let chunk = u64::from_le_bytes(*chunk);
        let (quote, backslash) = (chunk ^ (ONES * 0x22), chunk ^ (ONES * 0x5c));
        let zero = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes;
        let found = (zero(quote) | zero(backslash)) & HIGH;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
        rest = after;
    }
    let ends = |byte: &u8| matches!(byte, b'"' | b'\\');
    at + rest.iter().position(ends).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::{JsonText, unquoted};
    use proptest::prelude::*;

    fn string(text: &str) -> String {
        let mut json = JsonText::with_capacity(0);
        json.string(text);
        String::from_utf8(json.into_bytes()).unwrap()
    }

    #[test]
    fn every_character_below_the_letters_is_written_as_serde_json_writes_it() {
        let all: String = (0..=0x2fff_u32).filter_map(char::from_u32).collect();
        assert_eq!(string(&all), serde_json::to_string(&all).unwrap());
    }

    proptest! {
        #[test]
        fn strings_and_numbers_are_those_of_serde_json(text in ".*", number: u64) {
            prop_assert_eq!(string(&text), serde_json::to_string(&text).unwrap());
            let mut json = JsonText::with_capacity(0);
            json.number(number);
            prop_assert_eq!(json.into_bytes(), number.to_string().into_bytes());
        }

        #[test]
        fn quotes_and_backslashes_are_found(bytes: Vec<u8>, at in 0_usize..40, byte in "[\"\\\\]") {
            let mut bytes = bytes;
            if at <= bytes.len() {
                bytes.insert(at, byte.as_bytes()[0]);
            }
            let first = bytes.iter().position(|byte| b"\"\\".contains(byte));
            prop_assert_eq!(unquoted(&bytes), first.unwrap_or(bytes.len()));
        }
    }
}
