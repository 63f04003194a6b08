//! Which files make up a log, and their lines.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::service::audit::LONGEST_LINE;
use crate::service::audit::sink::rotated;

/// Endings of files beside a log that hold no records of it.
const ASIDE: &[&str] = &[".head", ".head.tmp", ".torn", ".lock"];
/// How often, and how long each time, the rest of a line is waited for that is being written.
const WAITS: u32 = 5;
const WAIT: Duration = Duration::from_millis(50);

/// The files of one log.
#[derive(Debug)]
pub(crate) struct LogFiles {
    /// The file that is written.
    pub(crate) base: PathBuf,
    rotated: Vec<rotated::Rotated>,
    /// Whether the file itself belongs to it.
    current: bool,
}

/// The logs that paths name: a directory has all logs in it, the file of a log its rotated ones too, and
/// a rotated file stands for itself.
///
/// # Errors
/// When something cannot be read, or no log is there.
pub(crate) fn gather(paths: &[PathBuf]) -> Result<Vec<LogFiles>, String> {
    let mut logs: BTreeMap<PathBuf, LogFiles> = BTreeMap::new();
    for path in paths {
        let fail = |error: io::Error| format!("`{}`: {error}", path.display());
        if std::fs::metadata(path).map_err(fail)?.is_dir() {
            for base in bases(path).map_err(fail)? {
                add_whole(&mut logs, &base).map_err(fail)?;
            }
            continue;
        }
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.unwrap_or_default();
        if ASIDE.iter().any(|ending| name.ends_with(ending)) {
            continue;
        }
        match rotated::split(name) {
            Some((of, first)) => {
                let log = entry(&mut logs, &path.with_file_name(of));
                log.rotated.push(rotated::Rotated {
                    first,
                    path: path.clone(),
                });
            }
            None => add_whole(&mut logs, path).map_err(fail)?,
        }
    }
    let mut logs: Vec<LogFiles> = logs.into_values().collect();
    for log in &mut logs {
        log.rotated.sort();
        log.rotated.dedup();
    }
    if logs.is_empty() {
        return Err(
            "there is no log: expected `*.ndjson`, or files with a `.head` beside".to_owned(),
        );
    }
    Ok(logs)
}

fn entry<'a>(logs: &'a mut BTreeMap<PathBuf, LogFiles>, base: &Path) -> &'a mut LogFiles {
    logs.entry(base.to_owned()).or_insert_with(|| LogFiles {
        base: base.to_owned(),
        rotated: Vec::new(),
        current: false,
    })
}

fn add_whole(logs: &mut BTreeMap<PathBuf, LogFiles>, base: &Path) -> io::Result<()> {
    let rotated = rotated::list(base)?;
    let log = entry(logs, base);
    log.rotated.extend(rotated);
    log.current = true;
    Ok(())
}

/// The logs in a directory.
fn bases(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for item in std::fs::read_dir(directory)? {
        let name = item?.file_name();
        let Some(name) = name.to_str() else {
            continue;
        };
        if let Some(of) = name.strip_suffix(".head") {
            found.push(directory.join(of));
        } else if let Some((of, _)) = rotated::split(name) {
            found.push(directory.join(of));
        } else if name.ends_with(".ndjson") {
            found.push(directory.join(name));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// One line of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// The text is in [`Lines::text`], without its line end.
    Whole,
    /// The text has no line end.
    Torn,
    /// Longer than any record.
    TooLong,
}

/// The lines of all files of a log, one after the other.
pub(super) struct Lines {
    waiting: std::vec::IntoIter<PathBuf>,
    /// The file that is written, opened before the others were listed.
    current: Option<(PathBuf, File)>,
    open: Option<BufReader<File>>,
    is_last: bool,
    /// The file that is being read.
    pub(super) path: PathBuf,
    /// The number of the line, from 1.
    pub(super) line: u64,
    pub(super) text: Vec<u8>,
    /// Files that were begun.
    pub(super) files: usize,
}

impl Lines {
    pub(super) fn open(files: LogFiles) -> io::Result<Self> {
        let current = match crate::base::files::open(&files.base) {
            _ if !files.current => None,
            Ok(file) => Some((files.base.clone(), file)),
            // Between a rotation and the next record there is none.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !files.rotated.is_empty() => {
                None
            }
            Err(error) => return Err(error),
        };
        let mut rotated = files.rotated;
        if let Some((base, file)) = &current {
            // It may have been rotated since the others were listed, and others before it.
            rotated = rotated::list(base)?;
            rotated.retain(|other| !is_same(&other.path, file));
        }
        let paths: Vec<PathBuf> = rotated.into_iter().map(|file| file.path).collect();
        Ok(Self {
            waiting: paths.into_iter(),
            current,
            open: None,
            is_last: false,
            path: files.base,
            line: 0,
            text: Vec::new(),
            files: 0,
        })
    }

    /// The next line; `None` at the end of the last file.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if self.open.is_none() && !self.turn()? {
                return Ok(None);
            }
            let Some(reader) = &mut self.open else {
                return Ok(None);
            };
            self.text.clear();
            let most = LONGEST_LINE as u64 + 1;
            reader
                .by_ref()
                .take(most)
                .read_until(b'\n', &mut self.text)?;
            if self.text.is_empty() {
                self.open = None;
                continue;
            }
            self.line += 1;
            let mut waits = if self.is_last { WAITS } else { 0 };
            while self.text.last() != Some(&b'\n') && (self.text.len() as u64) < most && waits > 0 {
                std::thread::sleep(WAIT);
                waits -= 1;
                let left = most - self.text.len() as u64;
                reader
                    .by_ref()
                    .take(left)
                    .read_until(b'\n', &mut self.text)?;
            }
            return Ok(Some(if self.text.last() == Some(&b'\n') {
                self.text.pop();
                Line::Whole
            } else if self.text.len() as u64 >= most {
                Line::TooLong
            } else {
                Line::Torn
            }));
        }
    }

    /// Goes on with the next file.
    fn turn(&mut self) -> io::Result<bool> {
        let file = match (self.waiting.next(), self.current.take()) {
            (Some(path), current) => {
                self.current = current;
                self.is_last = self.waiting.len() == 0 && self.current.is_none();
                self.path = path;
                crate::base::files::open(&self.path)?
            }
            (None, Some((path, file))) => {
                self.is_last = true;
                self.path = path;
                file
            }
            (None, None) => return Ok(false),
        };
        self.open = Some(BufReader::with_capacity(256 << 10, file));
        self.line = 0;
        self.files += 1;
        Ok(true)
    }

    /// Whether the line that was read is in the last file.
    pub(super) fn is_last_file(&self) -> bool {
        self.is_last
    }
}

#[cfg(unix)]
fn is_same(path: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    let of = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
    match (std::fs::metadata(path), file.metadata()) {
        (Ok(one), Ok(other)) => of(one) == of(other),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_same(_: &Path, _: &File) -> bool {
    false
}
