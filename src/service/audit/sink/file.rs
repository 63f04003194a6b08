//! The file of records: private, appended to, rotated, and whole again after a failure.
//!
//! What must hold: the file ends with a whole record, or with part of the one being written; what was
//! written of one that failed is cut off before anything else is written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::tail::{self, Last};
use super::{rotated, rotated::Rotated};
use crate::base::hex::hex;
use crate::base::timestamp::Timestamp;
use crate::service::audit::chain::Link;

/// How often it is checked that the path still leads to the open file.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The open file of records.
#[derive(Debug)]
pub(crate) struct FileSink {
    path: PathBuf,
    file: Option<File>,
    /// Bytes of whole records in it.
    good: u64,
    /// Its first record: number and time; `None` while it is empty.
    first: Option<(u64, Timestamp)>,
    looked: Instant,
    unsynced: bool,
    /// Held as long as the process writes.
    _owner: File,
}

/// What was found when the file was opened.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    /// The last record, there or in the newest rotated file.
    pub(crate) last: Option<Link>,
    /// Whether the log was closed behind it.
    pub(crate) closed: bool,
    /// The log's id, if the file says it.
    pub(crate) log: Option<String>,
    /// What was cut off.
    pub(crate) torn: Option<Torn>,
}

/// A record that was never finished.
#[derive(Debug, Clone)]
pub(crate) struct Torn {
    pub(crate) bytes: u64,
    pub(crate) hash: String,
}

/// What a rotation did.
#[derive(Debug)]
pub(crate) struct Rotation {
    /// The name the old file has now.
    pub(crate) name: String,
    /// The number of its first record.
    pub(crate) from: u64,
    /// Rotated files that were removed: name, number of the first and of the last record.
    pub(crate) removed: Vec<(String, u64, u64)>,
}

impl FileSink {
    /// Opens the file for appending, and cuts off what was never finished.
    ///
    /// # Errors
    /// When it cannot be written, another process writes it, or it holds something else.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Opened)> {
        let owner = private().open(beside(path, "lock"))?;
        if let Err(error) = owner.try_lock() {
            return Err(match error {
                fs::TryLockError::Error(error) => error,
                fs::TryLockError::WouldBlock => io::Error::other("another process writes it"),
            });
        }
        let mut file = private().read(true).append(true).open(path)?;
        let mut found = Opened::default();
        let length = file.metadata()?.len();
        let mut good = 0;
        let mut first = None;
        if length > 0 {
            let tail = tail::find(&mut file)?;
            good = tail.good;
            if good < length {
                found.torn = Some(cut_off(&mut file, good, &beside(path, "torn"))?);
            }
            found.take(tail.last);
            if let Some(record) = tail::first(&mut file) {
                let time = record.time.parse().unwrap_or_else(|_| Timestamp::now());
                first = Some((record.sequence, time));
                found.log = record.log;
            }
        }
        if found.last.is_none()
            && let Some(newest) = rotated::list(path)?.pop()
        {
            let mut newest = File::open(newest.path)?;
            found.take(tail::find(&mut newest)?.last);
            found.log = tail::first(&mut newest).and_then(|record| record.log);
        }
        let sink = Self {
            path: path.to_owned(),
            file: Some(file),
            good,
            first: first.filter(|_| good > 0),
            looked: Instant::now(),
            unsynced: false,
            _owner: owner,
        };
        Ok((sink, found))
    }

    /// Appends whole records, the first of them of this number. Nothing is written where this fails.
    pub(crate) fn write(&mut self, records: &[u8], first: u64) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.reopen()?,
        };
        if let Err(error) = file.write_all(records) {
            if file.set_len(self.good).is_ok() {
                self.file = Some(file);
            }
            return Err(error);
        }
        self.good += records.len() as u64;
        self.first.get_or_insert((first, Timestamp::now()));
        self.unsynced = true;
        self.file = Some(file);
        Ok(())
    }

    /// Opens the file again after a failure, without what was written of a record.
    fn reopen(&mut self) -> io::Result<File> {
        let file = private().read(true).append(true).open(&self.path)?;
        let length = file.metadata()?.len();
        if length > self.good {
            file.set_len(self.good)?;
        } else if length < self.good {
            self.good = length;
        }
        if length == 0 {
            self.first = None;
        }
        Ok(file)
    }

    /// Whether somebody moved, removed or cut the file, so that the path leads elsewhere. The next
    /// write makes it again.
    pub(crate) fn was_moved(&mut self) -> bool {
        if self.looked.elapsed() < LOOK_EVERY {
            return false;
        }
        self.looked = Instant::now();
        let Some(file) = &self.file else {
            return false;
        };
        let same = match (fs::metadata(&self.path), file.metadata()) {
            (Ok(there), Ok(here)) => same_file(&there, &here) && here.len() >= self.good,
            _ => false,
        };
        if same {
            return false;
        }
        let there = fs::metadata(&self.path).map_or(0, |there| there.len());
        self.file = None;
        self.good = there;
        if there == 0 {
            self.first = None;
        }
        true
    }

    /// Whether it is time for another file.
    pub(crate) fn is_due(&self, bytes: u64, age: Duration) -> bool {
        let Some((_, began)) = self.first else {
            return false;
        };
        let old = Timestamp::now()
            .as_millis()
            .saturating_sub(began.as_millis());
        (bytes > 0 && self.good >= bytes)
            || (!age.is_zero() && u128::try_from(old).unwrap_or(0) >= age.as_millis())
    }

    /// Moves the file away and begins another one; keeps `keep` of those moved away, or all for 0.
    pub(crate) fn rotate(&mut self, keep: usize) -> io::Result<Option<Rotation>> {
        let Some((from, _)) = self.first else {
            return Ok(None);
        };
        self.sync()?;
        let mut again = 0;
        let target = loop {
            let target = rotated::name(&self.path, from, again);
            if !target.try_exists()? {
                break target;
            }
            again += 1;
        };
        fs::rename(&self.path, &target)?;
        self.file = None;
        self.good = 0;
        self.first = None;
        // The new file has to be there even if the next write fails, and its name on the disk.
        self.file = Some(self.reopen()?);
        sync_directory(&self.path)?;
        Ok(Some(Rotation {
            name: file_name(&target),
            from,
            removed: self.remove_old(keep),
        }))
    }

    fn remove_old(&self, keep: usize) -> Vec<(String, u64, u64)> {
        let mut removed = Vec::new();
        let Ok(all) = rotated::list(&self.path) else {
            return removed;
        };
        let many = if keep == 0 {
            0
        } else {
            all.len().saturating_sub(keep)
        };
        for pair in all.windows(2).take(many) {
            let [Rotated { first, path }, next] = pair else {
                continue;
            };
            match fs::remove_file(path) {
                Ok(()) => removed.push((file_name(path), *first, next.first.saturating_sub(1))),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "an old file of records stays");
                    break;
                }
            }
        }
        removed
    }

    /// Forces what was written to the disk.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if let Some(file) = self.file.as_ref().filter(|_| self.unsynced) {
            file.sync_data()?;
        }
        self.unsynced = false;
        Ok(())
    }

    /// Whether there is something that was not forced to the disk.
    pub(crate) fn is_unsynced(&self) -> bool {
        self.unsynced
    }
}

impl Opened {
    fn take(&mut self, last: Option<Last>) {
        if let Some(last) = last {
            self.last = Some(last.link);
            self.closed = last.closed;
        }
    }
}

/// A file of this name with another ending, beside the log.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{ending}"));
    path.with_file_name(name)
}

pub(crate) fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Options for a file that only its owner reads.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

/// Forces the names in a file's directory to the disk.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Moves what stands behind `good` to another file.
fn cut_off(file: &mut File, good: u64, to: &Path) -> io::Result<Torn> {
    file.seek(SeekFrom::Start(good))?;
    let mut kept = private().append(true).open(to)?;
    let mut hash = Sha256::new();
    let mut bytes = 0;
    let mut room = vec![0; 64 << 10];
    loop {
        let read = file.read(&mut room)?;
        let Some(part) = room.get(..read).filter(|part| !part.is_empty()) else {
            break;
        };
        kept.write_all(part)?;
        hash.update(part);
        bytes += read as u64;
    }
    kept.write_all(b"\n")?;
    kept.sync_all()?;
    file.set_len(good)?;
    Ok(Torn {
        bytes,
        hash: hex(&hash.finalize()),
    })
}

#[cfg(unix)]
fn same_file(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn same_file(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn what_was_written_of_a_failed_record_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.ndjson");
        let (mut sink, found) = FileSink::open(&path).unwrap();
        assert!(found.last.is_none());
        sink.write(b"one\n", 1).unwrap();
        // A disk that took half of a record, and now takes nothing.
        sink.file.as_mut().unwrap().write_all(b"tw").unwrap();
        sink.file = Some(File::open(&path).unwrap());
        sink.write(b"two\n", 2).unwrap_err();
        assert_eq!(text(&path), "one\ntw");
        sink.write(b"two\n", 2).unwrap();
        assert_eq!(text(&path), "one\ntwo\n");
    }

    #[test]
    fn a_rotated_file_never_takes_the_place_of_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.ndjson");
        let (mut sink, _) = FileSink::open(&path).unwrap();
        assert!(sink.rotate(0).unwrap().is_none());
        for turn in 0..3 {
            sink.write(format!("{turn}\n").as_bytes(), 1).unwrap();
            assert!(sink.is_due(1, Duration::ZERO) && !sink.is_due(0, Duration::from_secs(9)));
            let turned = sink.rotate(0).unwrap().unwrap();
            assert_eq!((turned.from, turned.removed.len()), (1, 0));
            assert_eq!(text(&dir.path().join(turned.name)), format!("{turn}\n"));
        }
        assert_eq!(rotated::list(&path).unwrap().len(), 3);
        assert_eq!(text(&path), "");
    }
}
