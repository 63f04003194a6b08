//! Bringing a directory to the present format.
//!
//! A new database is made beside the others' files and takes its name when it is whole; the format
//! number is written last. A crash in between leaves the old format with everything it had, and the next
//! start begins again. What was there is copied aside first and never removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use serde::Deserialize;

use super::FORMAT;
use super::database::{begin, with_backend};
use super::dir::{
    DATABASE_FILE, FORMAT_FILE, Place, VERSION_FILE, copy_file, make_private_dir, private,
    read_small, rename, sync, write_whole,
};
use super::error::{Kind, StateDirError};
use super::integrity;
use super::revisions::{self, META};
use crate::base::timestamp::Timestamp;
use crate::source::{Form, SourceFile};

/// The database while it is made.
const NEW_DATABASE_FILE: &str = "state.redb.new";
/// All there is in format 1.
const LAST_GOOD_FILE: &str = "last-good.json";

/// The last good sources as format 1 has them.
#[derive(Deserialize)]
struct Format1 {
    sequence: u64,
    revision: String,
    files: Vec<Format1File>,
}

#[derive(Deserialize)]
struct Format1File {
    name: String,
    relative: String,
    form: Form,
    text: String,
}

/// Makes or migrates the directory; it has the present format and a database afterwards.
pub(super) fn to_present_format(place: &Place) -> Result<(), StateDirError> {
    let database = place.file(DATABASE_FILE).exists();
    match read_format(place)? {
        Some(FORMAT) if database => {
            check_database(place)?;
            // What the migration left when it was cut short after its last step.
            remove(place, LAST_GOOD_FILE)
        }
        Some(FORMAT) => {
            let message = format!("`{DATABASE_FILE}` is missing");
            Err(place.fail(Kind::Damaged, message))
        }
        Some(1) => {
            back_up_format_1(place).map_err(|e| place.io("cannot be backed up", &e))?;
            make_database(place, read_format_1(place)?)?;
            passing(place)?;
            write_format(place)?;
            passing(place)?;
            remove(place, LAST_GOOD_FILE)?;
            tracing::info!(from = 1, to = FORMAT, "state directory migrated");
            Ok(())
        }
        Some(found) => Err(place.fail(Kind::Format, too_new(place, found.into()))),
        // The number is written last: a database without one was made whole, and holds its own.
        None if database => {
            check_database(place)?;
            write_format(place)
        }
        None => {
            make_database(place, None)?;
            write_format(place)
        }
    }
}

/// Refuses a database that is damaged, another program's, or of another format.
fn check_database(place: &Place) -> Result<(), StateDirError> {
    match integrity::check(place)? {
        Some(found) if found == u64::from(FORMAT) => Ok(()),
        Some(found) if found > u64::from(FORMAT) => {
            Err(place.fail(Kind::Format, too_new(place, found)))
        }
        _ => {
            let message = format!("`{DATABASE_FILE}` is not a database of deodar");
            Err(place.fail(Kind::Damaged, message))
        }
    }
}

fn read_format(place: &Place) -> Result<Option<u32>, StateDirError> {
    let damaged = |what: &str| Err(place.fail(Kind::Damaged, format!("`{FORMAT_FILE}` {what}")));
    match read_small(place, FORMAT_FILE) {
        Ok(text) => match text.trim().parse() {
            Ok(format) => Ok(Some(format)),
            Err(_) => damaged("is not a format number"),
        },
        // The number may have been lost; what only format 1 has tells it too.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let last_good = place.file(LAST_GOOD_FILE).exists();
            Ok((last_good && !place.file(DATABASE_FILE).exists()).then_some(1))
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => damaged(&error.to_string()),
        Err(error) => Err(place.io(&format!("`{FORMAT_FILE}` cannot be read"), &error)),
    }
}

fn too_new(place: &Place, found: u64) -> String {
    let ours = env!("CARGO_PKG_VERSION");
    let needed = read_small(place, VERSION_FILE).unwrap_or_default();
    let is_version = |version: &&str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-+".contains(&byte);
        (1..=32).contains(&version.len()) && version.bytes().all(allowed)
    };
    let needed = match Some(needed.trim()).filter(is_version) {
        None => "a newer version is needed".to_owned(),
        Some(version) => format!("deodar {version} or newer is needed"),
    };
    format!(
        "has format {found}; this is deodar {ours}, which reads up to format {FORMAT}: {needed}"
    )
}

fn write_format(place: &Place) -> Result<(), StateDirError> {
    let version = format!("{}\n", env!("CARGO_PKG_VERSION"));
    write_whole(place.path(), VERSION_FILE, version.as_bytes())
        .and_then(|()| crash::point())
        .and_then(|()| write_whole(place.path(), FORMAT_FILE, format!("{FORMAT}\n").as_bytes()))
        .map_err(|error| place.io("cannot be written", &error))
}

fn remove(place: &Place, name: &str) -> Result<(), StateDirError> {
    match fs::remove_file(place.file(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(place.io(&format!("`{name}` cannot be removed"), &error))
        }
        _ => Ok(()),
    }
}

/// Makes a database with what there was, in place of one that an interrupted migration left.
fn make_database(place: &Place, before: Option<Format1>) -> Result<(), StateDirError> {
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
        if let Some(before) = before {
            let now = Timestamp::now();
            let files: Vec<SourceFile> = before
                .files
                .iter()
                .map(|f| SourceFile::new(&f.name, &f.relative, &f.text, f.form))
                .collect();
            let keep = revisions::Keep::new(before.sequence, &before.revision, files, now, 1);
            keep.write(&transaction)?;
        }
        transaction.commit()?;
        Ok(())
    };
    fill().map_err(|error: redb::Error| place.database(&error))?;
    drop(database);
    passing(place)?;
    rename(&path, &place.file(DATABASE_FILE)).map_err(written)
}

fn read_format_1(place: &Place) -> Result<Option<Format1>, StateDirError> {
    let text = match fs::read(place.file(LAST_GOOD_FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(place.io(&format!("`{LAST_GOOD_FILE}` cannot be read"), &error)),
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        let message = format!("`{LAST_GOOD_FILE}` is damaged: {error}");
        place.fail(Kind::Damaged, message)
    })
}

/// Copies the files of format 1 into `backup-format-1-<time>/`, unless a backup holds the same already.
fn back_up_format_1(place: &Place) -> io::Result<()> {
    let names = [FORMAT_FILE, LAST_GOOD_FILE];
    let same = |directory: &Path| {
        names
            .iter()
            .all(|name| fs::read(directory.join(name)).ok() == fs::read(place.file(name)).ok())
    };
    let mut backups: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(place.path())? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("backup-format-1-") {
            if name.ends_with(".tmp") {
                fs::remove_dir_all(entry.path())?;
            } else {
                backups.push(entry.path());
            }
        }
    }
    if backups.iter().any(|backup| same(backup)) {
        return Ok(());
    }
    let time = Timestamp::now().to_string().replace([':', '.'], "-");
    let backup = place.file(&format!("backup-format-1-{time}"));
    let temporary = backup.with_extension("tmp");
    make_private_dir(&temporary)?;
    crash::point()?;
    for name in names {
        if place.file(name).exists() {
            copy_file(&place.file(name), &temporary.join(name))?;
        }
    }
    sync(&temporary)?;
    crash::point()?;
    rename(&temporary, &backup)?;
    tracing::info!(to = %backup.display(), "state directory of format 1 backed up");
    Ok(())
}

/// A point between two steps, at which a test may end the migration.
fn passing(place: &Place) -> Result<(), StateDirError> {
    crash::point().map_err(|error| place.io("interrupted", &error))
}

#[cfg(not(test))]
mod crash {
    pub(super) fn point() -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod crash {
    use std::cell::Cell;

    thread_local! {
        /// Points that are passed before the migration ends.
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
    use super::*;
    use crate::storage::{Store, StoreSettings};

    fn format_1(directory: &Path) {
        let last_good = serde_json::json!({
            "sequence": 41,
            "revision": "0123456789abcdef0123456789abcdef",
            "files": [
                {"name": "/etc/p/a.cedar", "relative": "a.cedar", "form": "Cedar",
                 "text": "permit(principal, action, resource);"},
                {"name": "/etc/e/e.json", "relative": "e.json", "form": "EntitiesJson", "text": "[]"},
            ],
        });
        fs::write(directory.join(FORMAT_FILE), "1\n").unwrap();
        fs::write(directory.join("owner.lock"), "process 1\n").unwrap();
        fs::write(directory.join(LAST_GOOD_FILE), last_good.to_string()).unwrap();
    }

    fn open(directory: &Path) -> Result<Store, StateDirError> {
        Store::open(directory, StoreSettings::default())
    }

    #[track_caller]
    fn check_migrated(directory: &Path) {
        let store = open(directory).unwrap();
        let last = store.last_good().unwrap().unwrap();
        assert_eq!(last.sequence, 41);
        assert_eq!(last.revision, "0123456789abcdef0123456789abcdef");
        assert_eq!(last.files.len(), 2);
        assert_eq!(&*last.files[0].source.name, "/etc/p/a.cedar");
        assert_eq!(last.files[1].form, Form::EntitiesJson);
        let names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let backups: Vec<_> = names.iter().filter(|n| n.starts_with("backup")).collect();
        assert_eq!(backups.len(), 1, "{names:?}");
        let backup = directory.join(backups[0]);
        assert_eq!(fs::read_to_string(backup.join(FORMAT_FILE)).unwrap(), "1\n");
        let kept: Format1 =
            serde_json::from_slice(&fs::read(backup.join(LAST_GOOD_FILE)).unwrap()).unwrap();
        assert_eq!(kept.sequence, 41);
        assert!(
            !names
                .iter()
                .any(|n| n == LAST_GOOD_FILE || n.ends_with(".tmp"))
        );
        assert_eq!(
            fs::read_to_string(directory.join(FORMAT_FILE)).unwrap(),
            "2\n"
        );
    }

    #[test]
    fn format_1_is_backed_up_and_migrated() {
        let directory = tempfile::tempdir().unwrap();
        format_1(directory.path());
        check_migrated(directory.path());
        check_migrated(directory.path());

        let lost = tempfile::tempdir().unwrap();
        format_1(lost.path());
        fs::remove_file(lost.path().join(FORMAT_FILE)).unwrap();
        let store = open(lost.path()).unwrap();
        assert_eq!(store.last_good().unwrap().unwrap().sequence, 41);
    }

    #[test]
    fn a_migration_that_was_cut_short_anywhere_is_done_again() {
        let mut cut_short = 0;
        for point in 0..20 {
            let directory = tempfile::tempdir().unwrap();
            format_1(directory.path());
            // Twice, as a machine that goes down again while it comes up.
            for _ in 0..2 {
                crash::AFTER.set(point);
                cut_short += usize::from(open(directory.path()).is_err());
                crash::AFTER.set(usize::MAX);
            }
            check_migrated(directory.path());
        }
        assert!(cut_short >= 6, "{cut_short}");
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
    fn a_newer_format_is_refused_with_the_version_it_needs() {
        let directory = tempfile::tempdir().unwrap();
        drop(open(directory.path()).unwrap());
        fs::write(directory.path().join(FORMAT_FILE), "9\n").unwrap();
        fs::write(directory.path().join(VERSION_FILE), "7.1.0\n").unwrap();
        let error = open(directory.path()).unwrap_err();
        assert_eq!(error.code(), "state_format");
        let error = error.to_string();
        assert!(
            error.contains("format 9") && error.contains("deodar 7.1.0 or newer is needed"),
            "{error}"
        );
    }

    #[test]
    fn damage_is_an_error_and_not_an_empty_state() {
        let directory = tempfile::tempdir().unwrap();
        drop(open(directory.path()).unwrap());
        fs::remove_file(directory.path().join(DATABASE_FILE)).unwrap();
        assert_eq!(open(directory.path()).unwrap_err().code(), "state_damaged");

        let directory = tempfile::tempdir().unwrap();
        format_1(directory.path());
        fs::write(directory.path().join(LAST_GOOD_FILE), "{").unwrap();
        assert_eq!(open(directory.path()).unwrap_err().code(), "state_damaged");
    }
}
