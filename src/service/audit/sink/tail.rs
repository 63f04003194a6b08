//! The end of a file of records: the last whole one, and what of another follows it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use serde::Deserialize;

use crate::service::audit::chain::{Link, unseal};
use crate::service::audit::{LONGEST_LINE, Meta};

/// How much is read at first; more where no record begins in it.
const FIRST_LOOK: u64 = 64 << 10;
/// Beyond this there is no record to be found.
const LAST_LOOK: u64 = 4 * LONGEST_LINE as u64;

/// The last whole record of a file.
#[derive(Debug, Clone)]
pub(super) struct Last {
    pub(super) link: Link,
    /// Whether the log was closed behind it.
    pub(super) closed: bool,
}

/// How a file ends.
#[derive(Debug)]
pub(super) struct Tail {
    /// Bytes up to the end of the last whole record.
    pub(super) good: u64,
    /// That record; `None` where there is none.
    pub(super) last: Option<Last>,
}

/// Looks for the last whole record.
///
/// # Errors
/// When the file cannot be read, or is none of records: nothing of it may be cut off then.
pub(super) fn find(file: &mut File) -> io::Result<Tail> {
    let length = file.metadata()?.len();
    let mut look = FIRST_LOOK;
    let mut bytes = Vec::new();
    loop {
        let from = length.saturating_sub(look);
        file.seek(SeekFrom::Start(from))?;
        bytes.clear();
        file.by_ref().take(length - from).read_to_end(&mut bytes)?;
        if let Some((end, last)) = last_in(&bytes, from == 0) {
            return Ok(Tail {
                good: from + end as u64,
                last: Some(last),
            });
        }
        if from == 0 {
            break;
        }
        if look >= LAST_LOOK {
            return Err(not_records());
        }
        look *= 8;
    }
    // All of it may be a first record that was never finished.
    let begins = b"{\"kind\":";
    let begun = bytes
        .get(..begins.len().min(bytes.len()))
        .unwrap_or_default();
    if begins.starts_with(begun) && !bytes.contains(&b'\n') {
        return Ok(Tail {
            good: 0,
            last: None,
        });
    }
    Err(not_records())
}

fn not_records() -> io::Error {
    io::Error::other("is not a decision log, and is left as it is")
}

/// The last record in these bytes, and where it ends. `whole` says whether the first line is whole.
fn last_in(bytes: &[u8], whole: bool) -> Option<(usize, Last)> {
    let mut end = bytes.iter().rposition(|byte| *byte == b'\n')?;
    loop {
        let before = bytes.get(..end)?;
        let start = match before.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => at + 1,
            None if whole => 0,
            None => return None,
        };
        if let Some(last) = read(before.get(start..)?) {
            return Some((end + 1, last));
        }
        end = start.checked_sub(1)?;
    }
}

fn read(line: &[u8]) -> Option<Last> {
    let sealed = unseal(line)?;
    let meta: Meta<'_> = serde_json::from_slice(line).ok()?;
    Some(Last {
        link: Link {
            sequence: meta.sequence,
            hash: sealed.hash,
        },
        closed: meta.closes(),
    })
}

/// What the first record of a file says about it.
#[derive(Debug, Deserialize)]
pub(super) struct First {
    pub(super) sequence: u64,
    pub(super) time: String,
    pub(super) log: Option<String>,
}

/// The first record of a file, if it can be read.
pub(super) fn first(file: &mut File) -> Option<First> {
    use std::io::BufRead;
    file.seek(SeekFrom::Start(0)).ok()?;
    let mut line = Vec::new();
    let mut reader = io::BufReader::new(file.take(LONGEST_LINE as u64));
    reader.read_until(b'\n', &mut line).ok()?;
    serde_json::from_slice(&line).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const ONE: &str = concat!(
        r#"{"kind":"decision","sequence":7,"prev":""#,
        "0000000000000000000000000000000000000000000000000000000000000000\"}\n"
    );

    fn tail(text: &[u8]) -> io::Result<(u64, Option<u64>)> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        let tail = find(&mut file)?;
        Ok((tail.good, tail.last.map(|last| last.link.sequence)))
    }

    #[test]
    fn the_last_whole_record_is_found_before_whatever_follows_it() {
        let good = ONE.len() as u64;
        for rest in [
            &b""[..],
            b"{\"kind\":",
            b"\0\0\0\0",
            b"\0\0\n\0\0\n",
            &ONE.as_bytes()[..ONE.len() - 1],
            &vec![b'x'; 3 << 20],
        ] {
            let text = [ONE.as_bytes(), rest].concat();
            assert_eq!(tail(&text).unwrap(), (good, Some(7)));
        }
        assert_eq!(tail(b"{\"ki").unwrap(), (0, None));
    }

    #[test]
    fn a_file_of_something_else_is_left_alone() {
        for text in ["Dear Sir,\n", "{\"kind\":\n", "root:x:0:0\n", "x"] {
            let error = tail(text.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("not a decision log"), "{text}");
        }
    }
}
