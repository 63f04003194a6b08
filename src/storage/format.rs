//! The format of a directory: an empty directory gets the present one, any other one is refused.
//!
//! A new database is made under another name and takes its own when it is whole; the format number is
//! written last. After a crash in between the next start begins again.

use std::fs;
use std::io;

use redb::backends::FileBackend;

use super::FORMAT;
use super::database::{begin, with_backend};
use super::dir::{
    DATABASE_FILE, FORMAT_FILE, StateDirectory, VERSION_FILE, private, read_small, rename,
    write_whole,
};
use super::error::{Kind, StateDirError};
use super::integrity;
use super::revisions::META;

/// The database while it is made.
const NEW_DATABASE_FILE: &str = "state.redb.new";

/// Makes what an empty directory lacks; it has the present format and a database afterwards.
pub(super) fn make_or_check(place: &StateDirectory) -> Result<(), StateDirError> {
    let database = place.file(DATABASE_FILE).exists();
    match read_format(place)? {
        Some(FORMAT) if database => check_database(place),
        Some(FORMAT) => {
            let message = format!("`{DATABASE_FILE}` is missing");
            Err(place.fail(Kind::Damaged, message))
        }
        Some(found) => Err(place.fail(Kind::Format, other_format(place, found.into()))),
        // The number is written last: a database without one was made whole, and holds its own.
        None if database => {
            check_database(place)?;
            write_format(place)
        }
        None => {
            make_database(place)?;
            write_format(place)
        }
    }
}

/// Refuses a database that is damaged, another program's, or of another format.
fn check_database(place: &StateDirectory) -> Result<(), StateDirError> {
    match integrity::check(place)? {
        Some(found) if found == u64::from(FORMAT) => Ok(()),
        Some(found) => Err(place.fail(Kind::Format, other_format(place, found))),
        None => {
            let message = format!("`{DATABASE_FILE}` is not a database of deodar");
            Err(place.fail(Kind::Damaged, message))
        }
    }
}

fn read_format(place: &StateDirectory) -> Result<Option<u32>, StateDirError> {
    let damaged = |what: &str| Err(place.fail(Kind::Damaged, format!("`{FORMAT_FILE}` {what}")));
    match read_small(place, FORMAT_FILE) {
        Ok(text) => match text.trim().parse() {
            Ok(format) => Ok(Some(format)),
            Err(_) => damaged("is not a format number"),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => damaged(&error.to_string()),
        Err(error) => Err(place.io(&format!("`{FORMAT_FILE}` cannot be read"), &error)),
    }
}

fn other_format(place: &StateDirectory, found: u64) -> String {
    let ours = env!("CARGO_PKG_VERSION");
    let needed = read_small(place, VERSION_FILE).unwrap_or_default();
    let is_version = |version: &&str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-+".contains(&byte);
        (1..=32).contains(&version.len()) && version.bytes().all(allowed)
    };
    let needed = match Some(needed.trim()).filter(is_version) {
        _ if found < u64::from(FORMAT) => "an older version is needed".to_owned(),
        None => "a newer version is needed".to_owned(),
        Some(version) => format!("deodar {version} or newer is needed"),
    };
    format!("has format {found}; this is deodar {ours}, which reads format {FORMAT}: {needed}")
}

fn write_format(place: &StateDirectory) -> Result<(), StateDirError> {
    let version = format!("{}\n", env!("CARGO_PKG_VERSION"));
    write_whole(place.path(), VERSION_FILE, version.as_bytes())
        .and_then(|()| crash::point())
        .and_then(|()| write_whole(place.path(), FORMAT_FILE, format!("{FORMAT}\n").as_bytes()))
        .map_err(|error| place.io("cannot be written", &error))
}

fn remove(place: &StateDirectory, name: &str) -> Result<(), StateDirError> {
    match fs::remove_file(place.file(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(place.io(&format!("`{name}` cannot be removed"), &error))
        }
        _ => Ok(()),
    }
}

/// Makes an empty database, in place of one that an interrupted start left.
fn make_database(place: &StateDirectory) -> Result<(), StateDirError> {
    remove(place, NEW_DATABASE_FILE)?;
    let path = place.file(NEW_DATABASE_FILE);
    let written = |error: io::Error| place.io("cannot be written", &error);
    let file = private().read(true).create_new(true).open(&path);
    let backend =
        FileBackend::new(file.map_err(written)?).map_err(|error| place.database(&error.into()))?;
    let database = with_backend(place, backend)?;
    let fill = || {
        let transaction = begin(&database)?;
        transaction
            .open_table(META)?
            .insert("format", u64::from(FORMAT))?;
        transaction.commit()?;
        Ok(())
    };
    fill().map_err(|error: redb::Error| place.database(&error))?;
    drop(database);
    crash::point()
        .and_then(|()| rename(&path, &place.file(DATABASE_FILE)))
        .map_err(written)
}

#[cfg(not(test))]
mod crash {
    /// A point between two steps, at which a test may end the start.
    pub(super) fn point() -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod crash {
    use std::cell::Cell;

    thread_local! {
        /// Points that are passed before the start ends.
        pub(super) static AFTER: Cell<usize> = const { Cell::new(usize::MAX) };
    }

    pub(super) fn point() -> std::io::Result<()> {
        let left = AFTER.get();
        AFTER.set(left.saturating_sub(1));
        if left == 0 {
            return Err(std::io::Error::other("a crash"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::storage::{Store, StoreSettings};

    fn open(directory: &Path) -> Result<Store, StateDirError> {
        Store::open(directory, StoreSettings::default())
    }

    #[test]
    fn a_new_directory_that_was_cut_short_is_made_whole() {
        for point in 0..4 {
            let directory = tempfile::tempdir().unwrap();
            crash::AFTER.set(point);
            let _ = open(directory.path());
            crash::AFTER.set(usize::MAX);
            assert!(
                open(directory.path())
                    .unwrap()
                    .last_good()
                    .unwrap()
                    .is_none()
            );
        }
    }

    #[test]
    fn another_format_is_refused_with_the_version_it_needs() {
        let directory = tempfile::tempdir().unwrap();
        drop(open(directory.path()).unwrap());
        fs::write(directory.path().join(VERSION_FILE), "7.1.0\n").unwrap();
        for (format, needed) in [
            ("9", "deodar 7.1.0 or newer is needed"),
            ("1", "an older version is needed"),
        ] {
            fs::write(directory.path().join(FORMAT_FILE), format).unwrap();
            let error = open(directory.path()).unwrap_err();
            assert_eq!(error.code(), "state_format");
            let error = error.to_string();
            assert!(
                error.contains(&format!("format {format};")) && error.contains(needed),
                "{error}"
            );
        }
    }

    #[test]
    fn damage_is_an_error_and_not_an_empty_state() {
        let directory = tempfile::tempdir().unwrap();
        drop(open(directory.path()).unwrap());
        fs::remove_file(directory.path().join(DATABASE_FILE)).unwrap();
        assert_eq!(open(directory.path()).unwrap_err().code(), "state_damaged");
    }
}
