//! Files that were rotated away: `<file>.<number of the first record, in twenty digits>`.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

const DIGITS: usize = 20;

/// A file beside the log that was rotated away.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rotated {
    /// The number of its first record.
    pub(crate) first: u64,
    pub(crate) path: PathBuf,
}

/// The name that a file gets when it is rotated away; `again` where another one has the name.
pub(super) fn name(path: &Path, first: u64, again: u32) -> PathBuf {
    let mut name = path.file_name().map(OsString::from).unwrap_or_default();
    name.push(format!(".{first:0DIGITS$}"));
    if again > 0 {
        name.push(format!("-{again}"));
    }
    path.with_file_name(name)
}

/// What stands before the number in the name of a rotated file, and the number.
pub(crate) fn split(name: &str) -> Option<(&str, u64)> {
    let (base, number) = name.rsplit_once('.')?;
    let number = number.split_once('-').map_or(number, |(number, _)| number);
    let digits = number.len() == DIGITS && number.bytes().all(|byte| byte.is_ascii_digit());
    if digits && !base.is_empty() {
        Some((base, number.parse().ok()?))
    } else {
        None
    }
}

/// The rotated files of a log, oldest first.
///
/// # Errors
/// When the directory cannot be listed.
pub(crate) fn list(path: &Path) -> io::Result<Vec<Rotated>> {
    let base = path.file_name().and_then(|name| name.to_str());
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut found = Vec::new();
    for item in std::fs::read_dir(directory)? {
        let item = item?;
        let name = item.file_name();
        let Some((of, first)) = name.to_str().and_then(split) else {
            continue;
        };
        if Some(of) == base {
            let path = path.with_file_name(&name);
            found.push(Rotated { first, path });
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_made() {
        let path = Path::new("/log/audit.ndjson");
        for again in [0, 2] {
            let made = name(path, 42, again);
            let made = made.file_name().unwrap().to_str().unwrap();
            assert_eq!(split(made), Some(("audit.ndjson", 42)));
        }
        for other in [
            "audit.ndjson",
            "audit.ndjson.torn",
            "audit.ndjson.42",
            ".00000000000000000042",
        ] {
            assert_eq!(split(other), None, "{other}");
        }
    }
}
