//! The directory and its files: who owns it, who may read it, how files are written whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::error::{Kind, StateDirError};

/// Held locked by the owner; says who that is.
const OWNER_FILE: &str = "owner.lock";
/// The format number, alone, so that any version can read it.
pub(super) const FORMAT_FILE: &str = "format";
/// The version that made the format; one that old or newer reads it.
pub(super) const VERSION_FILE: &str = "version";
/// The database.
pub(super) const DATABASE_FILE: &str = "state.redb";

/// Longest file that [`read_small`] reads, in bytes.
const SMALL: u64 = 4_096;

/// Where a state directory is, for messages and for files in it.
#[derive(Debug, Clone)]
pub(super) struct StateDirectory(PathBuf);

impl StateDirectory {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn fail(&self, kind: Kind, message: impl Into<String>) -> StateDirError {
        StateDirError::new(&self.0, kind, message)
    }

    /// What the system refused, such as `cannot be written`.
    pub(super) fn io(&self, what: &str, error: &io::Error) -> StateDirError {
        self.fail(Kind::of_io(error), format!("{what}: {error}"))
    }

    /// What the database refused.
    pub(super) fn database(&self, error: &redb::Error) -> StateDirError {
        let what = match Kind::of_database(error) {
            Kind::Damaged => "the database is damaged",
            Kind::Full => "the disk is full",
            _ => "the database cannot be used",
        };
        self.fail(Kind::of_database(error), format!("{what}: {error}"))
    }
}

/// The owner's lock, let go when it is dropped.
#[derive(Debug)]
pub(super) struct Owner(File);

impl Drop for Owner {
    fn drop(&mut self) {
        // Closing would do, were it not for a process that is being forked just now and holds the file too.
        let _ = self.0.unlock();
    }
}

/// Makes the directory where there is none and becomes its owner.
pub(super) fn own(place: &StateDirectory) -> Result<Owner, StateDirError> {
    make_private_dir(place.path()).map_err(|error| place.io("cannot be made", &error))?;
    warn_if_open_to_others(place.path());
    let mut owner = private()
        .read(true)
        .truncate(false)
        .open(place.file(OWNER_FILE))
        .map_err(|error| place.io("cannot be written", &error))?;
    if let Err(error) = owner.try_lock() {
        if let fs::TryLockError::Error(error) = error {
            return Err(place.io("cannot be locked", &error));
        }
        let mut name = String::new();
        let _ = owner.take(200).read_to_string(&mut name);
        let name = match name.trim() {
            "" => "another process",
            name => name,
        };
        let message = format!("is in use by {name}; one process owns it at a time");
        return Err(place.fail(Kind::InUse, message));
    }
    let name = format!("process {} on host {}\n", std::process::id(), host());
    owner
        .set_len(0)
        .and_then(|()| owner.write_all(name.as_bytes()))
        .map_err(|error| place.io("cannot be written", &error))?;
    Ok(Owner(owner))
}

/// The text of a small file. Anything but a file is refused.
///
/// # Errors
/// `InvalidData` for what is not a file, is too long, or is not UTF-8.
pub(super) fn read_small(place: &StateDirectory, name: &str) -> io::Result<String> {
    let refused = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let path = place.file(name);
    if !fs::metadata(&path)?.is_file() {
        return Err(refused("is not a file"));
    }
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    file.take(SMALL + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > SMALL {
        return Err(refused("is too long"));
    }
    String::from_utf8(bytes).map_err(|_| refused("is not text"))
}

/// This machine's name, as far as it is known.
fn host() -> String {
    let known = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    let found = known
        .iter()
        .find_map(|path| fs::read_to_string(path).ok())
        .or_else(|| std::env::var("HOSTNAME").ok());
    match found.as_deref().map(str::trim) {
        None | Some("") => "unknown".to_owned(),
        Some(name) => name.to_owned(),
    }
}

/// Writes a file whole or not at all: a reader sees the old one or the new one, a crash too.
pub(super) fn write_whole(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = directory.join(format!("{name}.tmp"));
    let mut file = private().truncate(true).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    rename(&temporary, &directory.join(name))
}

/// Renames, and waits until the disk has it.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    match to.parent() {
        Some(directory) => sync(directory),
        None => Ok(()),
    }
}

/// Waits until the disk has what was renamed and removed in a directory.
pub(super) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// For files that only their owner may read.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

pub(super) fn make_private_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(path)
}

/// A directory that was there already keeps its mode (a mounted volume may need its group), and every
/// file in it is private; others could still remove them.
fn warn_if_open_to_others(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o022 != 0) {
            tracing::warn!(path = %path.display(), "others may write into the state directory");
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}
