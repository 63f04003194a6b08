//! A cursor over JSON text that reads common values without a tree and refuses whatever is rare.
//!
//! A refusal (`None`) is not a fault: the text may be good JSON. What is taken is what serde_json would take.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

use crate::base::write::unquoted;

/// A place in a JSON text.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    /// The bytes that are left of it.
    rest: &'a [u8],
    /// Whether there is a control character anywhere, which a string must not hold.
    controls: bool,
}

/// The name of a member as most write it: in quotes, and a colon behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name {
    spelled: &'static str,
    name: &'static str,
}

impl Name {
    /// `spelled` is such as `"type":`, with its quotes.
    pub(super) const fn new(spelled: &'static str) -> Self {
        let (_, name) = spelled.split_at(1);
        let (name, _) = name.split_at(name.len() - 2);
        Self { spelled, name }
    }
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let controls = text.bytes().fold(false, |any, byte| any | (byte < 0x20));
        Self {
            text,
            rest: text.as_bytes(),
            controls,
        }
    }

    /// The next byte that is no white space, which is not taken.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            let (byte, rest) = self.rest.split_first()?;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.rest = rest;
        }
    }

    #[inline]
    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.skip();
        Some(byte)
    }

    /// How many bytes were taken.
    #[inline]
    fn at(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    /// Takes a byte that was looked at.
    #[inline]
    fn skip(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.take()? == byte).then_some(())
    }

    /// Whether nothing but white space is left.
    pub(super) fn end(&mut self) -> Option<()> {
        self.peek().is_none().then_some(())
    }

    /// An object; `member` reads the value of each name. A name with an escape is refused.
    #[inline]
    pub(super) fn object(
        &mut self,
        member: impl FnMut(&mut Self, &'a str) -> Option<()>,
    ) -> Option<()> {
        self.each_member(Self::name, member)
    }

    /// An object whose members are among `names`, expected in this order; `member` reads the value of each, by the
    /// position of its name.
    #[inline]
    pub(super) fn members<const N: usize>(
        &mut self,
        names: &[Name; N],
        member: impl FnMut(&mut Self, usize) -> Option<()>,
    ) -> Option<()> {
        let mut expected = 0;
        let name = |cursor: &mut Self| {
            let at = cursor.one_of(names, expected)?;
            expected = at + 1;
            Some(at)
        };
        self.each_member(name, member)
    }

    /// An object; `name` reads the name of a member and its colon, and `member` the value.
    #[inline]
    fn each_member<T>(
        &mut self,
        mut name: impl FnMut(&mut Self) -> Option<T>,
        mut member: impl FnMut(&mut Self, T) -> Option<()>,
    ) -> Option<()> {
        self.expect(b'{')?;
        if self.peek()? == b'}' {
            self.skip();
            return Some(());
        }
        loop {
            let name = name(self)?;
            member(self, name)?;
            match self.take()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// The name of a member and its colon.
    #[inline]
    fn name(&mut self) -> Option<&'a str> {
        let name = self.plain()?;
        self.expect(b':')?;
        Some(name)
    }

    /// The same, for one of `names`: its position.
    #[inline]
    fn one_of<const N: usize>(&mut self, names: &[Name; N], expected: usize) -> Option<usize> {
        if let Some(name) = names.get(expected)
            && let Some(rest) = self.rest.strip_prefix(name.spelled.as_bytes())
        {
            self.rest = rest;
            return Some(expected);
        }
        let name = self.name()?;
        names.iter().position(|known| known.name == name)
    }

    /// A string, borrowed where it holds no escape; one with an escape `\u` is refused.
    #[inline]
    pub(super) fn text(&mut self) -> Option<Cow<'a, str>> {
        self.expect(b'"')?;
        let run = self.run()?;
        match self.rest.split_first()? {
            (b'"', rest) => {
                self.rest = rest;
                Some(Cow::Borrowed(run))
            }
            (b'\\', _) => self.escaped(run).map(Cow::Owned),
            _ => None,
        }
    }

    /// A string that holds no escape.
    #[inline]
    fn plain(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let run = self.run()?;
        self.rest = self.rest.strip_prefix(b"\"")?;
        Some(run)
    }

    /// The text up to the next quote or backslash; none where it holds a control character.
    #[inline]
    fn run(&mut self) -> Option<&'a str> {
        let start = self.at();
        let len = unquoted(self.rest);
        self.rest = self.rest.get(len..)?;
        let run = self.text.get(start..start + len)?;
        if self.controls && run.bytes().any(|byte| byte < 0x20) {
            return None;
        }
        Some(run)
    }

    fn escaped(&mut self, begin: &str) -> Option<String> {
        let mut text = String::from(begin);
        loop {
            match *self.rest {
                [b'"', ref rest @ ..] => {
                    self.rest = rest;
                    return Some(text);
                }
                [b'\\', escape, ref rest @ ..] => {
                    self.rest = rest;
                    text.push(match escape {
                        b'"' | b'\\' | b'/' => escape.into(),
                        b'b' => '\u{8}',
                        b'f' => '\u{c}',
                        b'n' => '\n',
                        b'r' => '\r',
                        b't' => '\t',
                        _ => return None,
                    });
                }
                _ => return None,
            }
            text.push_str(self.run()?);
        }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self) -> Option<bool> {
        self.peek()?;
        let (value, rest) = match self.rest.strip_prefix(b"true") {
            Some(rest) => (true, rest),
            None => (false, self.rest.strip_prefix(b"false")?),
        };
        self.rest = rest;
        Some(value)
    }

    /// A whole number of at most 18 digits.
    #[inline]
    pub(super) fn long(&mut self) -> Option<i64> {
        let negative = self.peek()? == b'-';
        if negative {
            self.skip();
        }
        let start = self.rest;
        let mut number = 0_i64;
        let mut digits = 0;
        while let Some((digit @ b'0'..=b'9', rest)) = self.rest.split_first() {
            if digits == 18 {
                return None;
            }
            number = number * 10 + i64::from(digit - b'0');
            digits += 1;
            self.rest = rest;
        }
        let leads_with_zero = start.first() == Some(&b'0');
        // JSON has no leading zeros; serde_json takes `-0` for a number with a fraction.
        if digits == 0 || leads_with_zero && (digits > 1 || negative) {
            return None;
        }
        match self.rest.first() {
            Some(b'.' | b'e' | b'E') => None,
            _ => Some(if negative { -number } else { number }),
        }
    }

    /// Any value, by serde_json.
    pub(super) fn value<T: DeserializeOwned>(&mut self) -> Option<T> {
        let rest = self.text.get(self.at()..)?;
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<T>();
        let value = values.next()?.ok()?;
        self.rest = self.rest.get(values.byte_offset()..)?;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn numbers_are_those_of_serde_json() {
        for text in [
            "0",
            "-1",
            "12",
            "999999999999999999",
            "-999999999999999999",
            "1 ",
            " 7",
        ] {
            let expected = serde_json::from_str::<i64>(text).unwrap();
            assert_eq!(Cursor::new(text).long(), Some(expected), "{text}");
        }
        for text in [
            "",
            "-",
            "-0",
            "00",
            "01",
            "1.0",
            "1e3",
            "1E3",
            "1000000000000000000",
            "+1",
            "x",
        ] {
            assert_eq!(Cursor::new(text).long(), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn strings_are_those_of_serde_json(text in "(\\PC|[\"\\\\/\u{0}-\u{1f}])*") {
            let json = serde_json::to_string(&text).unwrap();
            let mut cursor = Cursor::new(&json);
            match cursor.text() {
                Some(read) => {
                    prop_assert_eq!(&*read, text);
                    prop_assert!(cursor.end().is_some());
                }
                None => prop_assert!(json.contains("\\u")),
            }
        }

        #[test]
        fn what_serde_json_refuses_is_refused(text in "[\"\\\\ntu{}:,0-9.eE+\\-a-c \u{0}-\u{1f}é]{0,24}") {
            let mut cursor = Cursor::new(&text);
            if let (Some(read), Some(())) = (cursor.text(), cursor.end()) {
                let expected: String = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(&*read, expected);
            }
            let mut cursor = Cursor::new(&text);
            if let (Some(read), Some(())) = (cursor.long(), cursor.end()) {
                prop_assert_eq!(read, serde_json::from_str::<i64>(&text).unwrap());
            }
            let mut cursor = Cursor::new(&text);
            let mut names = Vec::new();
            let read = cursor.object(|cursor, name| {
                names.push(name.to_owned());
                cursor.long().map(|_| ())
            });
            let mut again = Cursor::new(&text);
            let known = ["", "a", "b", "ab"];
            let spelled = ["\"\":", "\"a\":", "\"b\":", "\"ab\":"].map(Name::new);
            let mut positions = Vec::new();
            let read_known = again.members(&spelled, |cursor, at| {
                positions.push(known[at].to_owned());
                cursor.long().map(|_| ())
            });
            if names.iter().all(|name| known.contains(&name.as_str())) && read.is_some() {
                prop_assert_eq!(&positions, &names);
                prop_assert_eq!(again.rest, cursor.rest);
            } else {
                prop_assert_eq!(read_known, None);
            }
            if let (Some(()), Some(())) = (read, cursor.end()) {
                let expected: Value = serde_json::from_str(&text).unwrap();
                let mut known: Vec<String> = expected.as_object().unwrap().keys().cloned().collect();
                known.sort();
                names.sort();
                names.dedup();
                prop_assert_eq!(names, known);
            }
        }
    }
}
