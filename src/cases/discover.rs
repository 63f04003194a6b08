//! Which files of a path are case files, and in which format.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Sources, Suite, cedar, fault, format};
use crate::base::fault::Faults;

/// Directories below each other that are searched.
const MAX_DEPTH: usize = 32;
/// A larger file is not a case file.
pub(super) const LONGEST: u64 = 64 << 20;

/// Reads the case files of `path`: a file, or a directory tree in which every file of one of the
/// formats is found.
///
/// # Errors
/// Every fault of every case file; a path without any.
pub fn read(path: &Path, sources: &Sources) -> Result<Vec<Suite>, Faults> {
    let meta =
        std::fs::metadata(path).map_err(|error| fault(path, format!("cannot read: {error}")))?;
    if meta.is_file() {
        let base = path.parent().unwrap_or(Path::new("."));
        return match one(path, base, sources)? {
            Some(suite) => Ok(vec![suite]),
            None => Err(fault(
                path,
                "is not a case file: expected `version: 1` with `cases`, one of Cedar's integration \
                 tests, or a `cedar run-tests` file",
            )),
        };
    }
    let mut faults = Faults::new();
    let mut files = Vec::new();
    collect(path, 0, &mut files).map_err(|error| fault(path, format!("cannot list: {error}")))?;
    files.sort();
    let mut suites = Vec::new();
    for file in files {
        match one(&file, path, sources) {
            Ok(Some(suite)) => suites.push(suite),
            Ok(None) => {}
            Err(found) => faults.extend(found),
        }
    }
    if suites.is_empty() && faults.is_empty() {
        return Err(fault(path, "there is no case file in it"));
    }
    faults.or(suites)
}

fn collect(directory: &Path, depth: usize, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if depth > MAX_DEPTH {
        return Ok(());
    }
    for member in std::fs::read_dir(directory)? {
        let member = member?;
        let name = member.file_name();
        let name = name.to_string_lossy();
        let path = member.path();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            collect(&path, depth + 1, files)?;
        } else if is_own(&name) || (name.ends_with(".json") && !is_other(&name)) {
            files.push(path);
        }
    }
    Ok(())
}

fn is_own(name: &str) -> bool {
    [".cases.yaml", ".cases.yml", ".cases.json"]
        .iter()
        .any(|ending| name.ends_with(ending))
}

/// JSON of another kind, by its name.
fn is_other(name: &str) -> bool {
    [".entities.json", ".cedarschema.json", ".links.json"]
        .iter()
        .any(|ending| name.ends_with(ending))
}

/// The suite in a file; `None` when it is JSON of another kind.
fn one(path: &Path, base: &Path, sources: &Sources) -> Result<Option<Suite>, Faults> {
    let text = crate::base::files::read_text(path, LONGEST)
        .map_err(|error| fault(path, format!("cannot read: {error}")))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_json = name.ends_with(".json");
    if is_own(&name) || !is_json {
        return format::read(path, &text, sources).map(Some);
    }
    let value: Value = match serde_json::from_str(&text) {
        Ok(value) => value,
        Err(error) => return Err(fault(path, format!("not valid JSON: {error}"))),
    };
    if cedar::is_integration(&value) {
        cedar::integration(path, base, value).map(Some)
    } else if cedar::is_run_tests(&value) {
        cedar::run_tests(path, value, sources).map(Some)
    } else if value.get("version").is_some() && value.get("cases").is_some() {
        format::read(path, &text, sources).map(Some)
    } else {
        Ok(None)
    }
}
