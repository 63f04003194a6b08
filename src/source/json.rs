//! Where in a JSON source something is.

use super::SourceFile;
use crate::base::fault::{Fault, Location};

/// A fault at the place where `serde_json` stopped.
pub(crate) fn json_fault(
    code: &'static str,
    error: &serde_json::Error,
    file: &SourceFile,
) -> Fault {
    let text = &file.source.text;
    let line_start: usize = text
        .split_inclusive('\n')
        .take(error.line().saturating_sub(1))
        .map(str::len)
        .sum();
    let offset = (line_start + error.column().saturating_sub(1)).min(text.len());
    Fault::new(code, format!("not valid JSON: {error}")).at(Location {
        source: file.source.clone(),
        offset,
        length: 0,
        label: None,
    })
}

/// Where `part`, a slice of `text`, begins in it.
pub(crate) fn offset_in(text: &str, part: &str) -> usize {
    (part.as_ptr() as usize)
        .saturating_sub(text.as_ptr() as usize)
        .min(text.len())
}
