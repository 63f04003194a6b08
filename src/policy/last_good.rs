//! The state directory: the sources that were published last, so that a restart into a broken tree
//! still has something to decide with.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::source::{Form, SourceFile};

/// The format this version writes, and the newest it reads.
const FORMAT: u32 = 1;
const FORMAT_FILE: &str = "format";
const OWNER_FILE: &str = "owner.lock";
const LAST_GOOD_FILE: &str = "last-good.json";

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("state directory `{path}`: {message}")]
pub struct StateDirError {
    path: String,
    message: String,
}

/// A state directory that this process owns for as long as the value lives.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    _owner: File,
}

/// The sources of the last published state.
#[derive(Debug, Clone)]
pub(crate) struct LastGood {
    pub(crate) sequence: u64,
    pub(crate) revision: String,
    pub(crate) files: Vec<SourceFile>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    sequence: u64,
    revision: String,
    files: Vec<StoredFile>,
}

#[derive(Serialize, Deserialize)]
struct StoredFile {
    name: String,
    relative: String,
    form: Form,
    text: String,
}

impl StateDir {
    /// Opens the directory, making it where there is none, and becomes its owner.
    pub(crate) fn open(path: &Path) -> Result<Self, StateDirError> {
        let fail = |message: String| StateDirError {
            path: path.display().to_string(),
            message,
        };
        make_private_dir(path).map_err(|error| fail(format!("cannot be made: {error}")))?;
        let mut owner = private()
            .read(true)
            .truncate(false)
            .open(path.join(OWNER_FILE))
            .map_err(|error| fail(format!("cannot be written: {error}")))?;
        if let Err(error) = owner.try_lock() {
            if let std::fs::TryLockError::Error(error) = error {
                return Err(fail(format!("cannot be locked: {error}")));
            }
            let mut name = String::new();
            let _ = owner.read_to_string(&mut name);
            let name = match name.trim() {
                "" => "another process",
                name => name,
            };
            return Err(fail(format!(
                "is in use by {name}; one process owns it at a time"
            )));
        }
        owner
            .set_len(0)
            .and_then(|()| writeln!(owner, "process {}", std::process::id()))
            .map_err(|error| fail(format!("cannot be written: {error}")))?;
        let format = path.join(FORMAT_FILE);
        match fs::read_to_string(&format) {
            Ok(text) => match text.trim().parse::<u32>() {
                Ok(found) if found == FORMAT => {}
                Ok(found) => {
                    return Err(fail(format!(
                        "has format {found}; this version reads format {FORMAT}, a newer one is needed"
                    )));
                }
                Err(_) => return Err(fail(format!("`{FORMAT_FILE}` is no format number"))),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                write_whole(path, FORMAT_FILE, format!("{FORMAT}\n").as_bytes())
                    .map_err(|error| fail(format!("cannot be written: {error}")))?;
            }
            Err(error) => return Err(fail(format!("`{FORMAT_FILE}` cannot be read: {error}"))),
        }
        Ok(Self {
            path: path.to_owned(),
            _owner: owner,
        })
    }

    /// What was published last; `None` when nothing was.
    pub(crate) fn last_good(&self) -> Result<Option<LastGood>, StateDirError> {
        let text = match fs::read(self.path.join(LAST_GOOD_FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(self.fail(&format!("`{LAST_GOOD_FILE}` cannot be read: {error}")));
            }
        };
        let stored: Stored = serde_json::from_slice(&text)
            .map_err(|error| self.fail(&format!("`{LAST_GOOD_FILE}` is damaged: {error}")))?;
        Ok(Some(LastGood {
            sequence: stored.sequence,
            revision: stored.revision,
            files: stored
                .files
                .into_iter()
                .map(|file| SourceFile::new(&file.name, &file.relative, &file.text, file.form))
                .collect(),
        }))
    }

    /// Keeps the sources of a state that is about to be published. When this returns they survive a
    /// crash.
    pub(crate) fn keep(
        &self,
        sequence: u64,
        revision: &str,
        files: &[SourceFile],
    ) -> Result<(), StateDirError> {
        let stored = Stored {
            sequence,
            revision: revision.to_owned(),
            files: files
                .iter()
                .map(|file| StoredFile {
                    name: file.source.name.to_string(),
                    relative: file.relative.to_string(),
                    form: file.form,
                    text: file.source.text.to_string(),
                })
                .collect(),
        };
        serde_json::to_vec(&stored)
            .map_err(std::io::Error::from)
            .and_then(|bytes| write_whole(&self.path, LAST_GOOD_FILE, &bytes))
            .map_err(|error| self.fail(&format!("`{LAST_GOOD_FILE}` cannot be written: {error}")))
    }

    fn fail(&self, message: &str) -> StateDirError {
        StateDirError {
            path: self.path.display().to_string(),
            message: message.to_owned(),
        }
    }
}

/// Writes a file whole or not at all: a reader sees the old one or the new one, a crash too.
fn write_whole(directory: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = directory.join(format!("{name}.tmp"));
    let mut file = private().truncate(true).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, directory.join(name))?;
    // The rename itself must reach the disk.
    File::open(directory)?.sync_all()
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

fn make_private_dir(path: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> SourceFile {
        SourceFile::new(
            "p/a.cedar",
            "a.cedar",
            "permit(principal, action, resource);",
            Form::Cedar,
        )
    }

    #[test]
    fn what_was_kept_is_there_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        assert!(state.last_good().unwrap().is_none());
        state.keep(7, "abc", &[file()]).unwrap();
        drop(state);
        let kept = StateDir::open(dir.path())
            .unwrap()
            .last_good()
            .unwrap()
            .unwrap();
        assert_eq!((kept.sequence, kept.revision.as_str()), (7, "abc"));
        assert_eq!(kept.files[0].source.text, file().source.text);
    }

    #[test]
    fn one_owner_at_a_time_and_no_newer_format() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateDir::open(dir.path()).unwrap();
        let second = StateDir::open(dir.path()).unwrap_err().to_string();
        assert!(
            second.contains(&format!("process {}", std::process::id())),
            "{second}"
        );
        drop(first);
        fs::write(dir.path().join(FORMAT_FILE), "9").unwrap();
        assert!(
            StateDir::open(dir.path())
                .unwrap_err()
                .to_string()
                .contains("format 9")
        );
    }

    #[test]
    fn a_damaged_file_is_an_error_and_not_an_empty_state() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        fs::write(dir.path().join(LAST_GOOD_FILE), "{").unwrap();
        assert!(state.last_good().is_err());
    }
}
