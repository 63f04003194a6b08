//! Strict JSON: text in, a value out, and every duplicate member, too deep value and unreadable
//! place named by JSON pointer.
//!
//! `serde_json` alone keeps the last of two members of one name in silence; a decision must not
//! hang on which of them was meant.

mod fault;
mod path;
#[cfg(feature = "server")]
mod pointer;

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

pub use fault::InputFault;
pub(crate) use fault::pointer;
pub(crate) use path::{Path, shown, shown_within};
#[cfg(feature = "server")]
pub(crate) use pointer::Pointer;

/// Reads one JSON value from `bytes`, which must be UTF-8 and nothing else besides. A byte order mark at the
/// beginning is ignored, as RFC 8259 section 8.1 allows.
///
/// `depth` is the nesting allowed, at most 127 levels.
pub(crate) fn read(bytes: &[u8], depth: usize) -> Result<Value, Vec<InputFault>> {
    let text = std::str::from_utf8(without_mark(bytes)).map_err(|error| {
        let detail = match bytes {
            [0xfe, 0xff, ..] | [0xff, 0xfe, ..] => {
                "begins with the byte order mark of UTF-16 or UTF-32; send it as UTF-8".to_owned()
            }
            _ => format!("not UTF-8: byte {} is invalid", error.valid_up_to()),
        };
        vec![InputFault::new("", detail)]
    })?;
    let faults = RefCell::new(Vec::new());
    let mut reader = serde_json::Deserializer::from_str(text);
    let seed = Reader {
        faults: &faults,
        here: Path::Root(""),
        left: depth.min(DEEPEST),
        depth: depth.min(DEEPEST),
    };
    let read = seed
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value));
    let mut faults = faults.into_inner();
    match read {
        Ok(value) if faults.is_empty() => Ok(value),
        Ok(_) => Err(faults),
        Err(error) => {
            let detail = if text.trim().is_empty() {
                "empty: expected a JSON object".to_owned()
            } else {
                format!("not valid JSON: {error}")
            };
            faults.push(InputFault::new("", detail));
            Err(faults)
        }
    }
}

/// Text without the byte order mark that some programs put before it.
pub(crate) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Takes out members that are `null`: of a member that may be left out, `null` says that it is.
pub(crate) fn drop_nulls(object: &mut Map<String, Value>, optional: &[&str]) {
    object.retain(|name, value| !(value.is_null() && optional.contains(&name.as_str())));
}

/// Deepest nesting that is ever read.
const DEEPEST: usize = 127;

struct Reader<'a> {
    faults: &'a RefCell<Vec<InputFault>>,
    here: Path<'a>,
    left: usize,
    depth: usize,
}

impl Reader<'_> {
    fn at<'b>(&'b self, here: Path<'b>) -> Reader<'b> {
        Reader {
            faults: self.faults,
            here,
            left: self.left - 1,
            depth: self.depth,
        }
    }

    fn note(&self, here: Path<'_>, detail: impl FnOnce() -> String) {
        let mut faults = self.faults.borrow_mut();
        if faults.len() < MAX_FAULTS {
            faults.push(InputFault {
                pointer: here.pointer(),
                detail: detail(),
            });
        }
    }

    /// Notes the fault when there is no level left for an array or object here.
    fn too_deep(&self) -> bool {
        if self.left == 0 {
            self.note(self.here, || {
                format!("nested deeper than {} levels", self.depth)
            });
        }
        self.left == 0
    }
}

/// Faults named in one answer; a hostile body must not make a long one.
pub(crate) const MAX_FAULTS: usize = 50;

/// A fault for each member that is not among `known`, with the nearest known name.
pub(crate) fn unknown_members(
    object: &Map<String, Value>,
    known: &[&str],
    at: &str,
) -> Vec<InputFault> {
    object
        .keys()
        .filter(|name| !known.contains(&name.as_str()))
        .take(MAX_FAULTS)
        .map(|name| {
            let hint = match crate::base::nearest::nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known are {}", known.join(", ")),
            };
            InputFault::new(
                Path::Member(&Path::Root(at), name).pointer(),
                format!("unknown member `{}`; {hint}", shown(name)),
            )
        })
        .collect()
}

/// A value without any fault, for readers that leave faults to others.
#[derive(Debug)]
pub(crate) struct Strict(pub(crate) Value);

impl<'de> serde::Deserialize<'de> for Strict {
    fn deserialize<D: serde::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let faults = RefCell::new(Vec::new());
        let seed = Reader {
            faults: &faults,
            here: Path::Root(""),
            left: DEEPEST,
            depth: DEEPEST,
        };
        let value = seed.deserialize(reader)?;
        match faults.into_inner().first() {
            None => Ok(Self(value)),
            Some(fault) => Err(serde::de::Error::custom(&fault.detail)),
        }
    }
}

/// How deep arrays and objects nest in a value.
pub(crate) fn levels(value: &Value) -> usize {
    let below = match value {
        Value::Array(items) => items.iter().map(levels).max(),
        Value::Object(object) => object.values().map(levels).max(),
        _ => return 0,
    };
    1 + below.unwrap_or(0)
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        if self.too_deep() {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Value::Null);
        }
        let mut array = Vec::new();
        while let Some(item) =
            items.next_element_seed(self.at(Path::Item(&self.here, array.len())))?
        {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        if self.too_deep() {
            while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Value::Null);
        }
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(self.at(Path::Member(&self.here, &name)))?;
            if object.contains_key(&name) {
                self.note(Path::Member(&self.here, &name), || {
                    format!("member `{}` appears twice", shown(&name))
                });
            } else {
                object.insert(name, value);
            }
        }
        Ok(Value::Object(object))
    }
}

/// A JSON value's kind, for messages.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_faults(text: &str, expect: &[(&str, &str)]) {
        let faults = read(text.as_bytes(), 4).unwrap_err();
        let got: Vec<_> = faults
            .iter()
            .map(|f| (f.pointer.as_str(), f.detail.as_str()))
            .collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn names_duplicates_anywhere() {
        check_faults(
            r#"{"a":1,"b":[{"c/d":1,"c/d":2}],"a":3}"#,
            &[
                ("/b/0/c~1d", "member `c/d` appears twice"),
                ("/a", "member `a` appears twice"),
            ],
        );
    }

    #[test]
    fn names_what_is_too_deep() {
        check_faults(
            "[[[[[1]]],[[[[2]]]]]]",
            &[
                ("/0/0/0/0", "nested deeper than 4 levels"),
                ("/0/1/0/0", "nested deeper than 4 levels"),
            ],
        );
    }

    #[test]
    fn is_not_confused_by_extreme_nesting_or_bad_text() {
        let deep = "[".repeat(200_000);
        assert!(read(deep.as_bytes(), 64).is_err());
        assert!(read(b"\xff{}", 64).unwrap_err()[0].detail.contains("UTF-8"));
        assert!(
            read(b"{} x", 64).unwrap_err()[0]
                .detail
                .contains("not valid JSON")
        );
        assert!(read(b" ", 64).unwrap_err()[0].detail.contains("empty"));
        assert!(read(b"\xef\xbb\xbf{}", 64).is_ok());
        for utf16 in [&b"\xff\xfe{\0}\0"[..], b"\xfe\xff\0{\0}"] {
            let detail = &read(utf16, 64).unwrap_err()[0].detail;
            assert!(detail.contains("byte order mark"), "{detail}");
        }
    }

    #[test]
    fn reads_what_serde_json_reads() {
        let text = r#"{"a":[1,-2,18446744073709551615,1.5,true,null,"é\n"],"b":{}}"#;
        let value = read(text.as_bytes(), 64).unwrap();
        assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
    }
}
