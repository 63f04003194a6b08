//! What is done to the files of a state directory: each damage is refused by name, or harms nothing.
#![cfg(all(feature = "server", unix))]

use std::fs;
use std::path::Path;

use serde_json::json;

use super::dir::{DATABASE_FILE, FORMAT_FILE, VERSION_FILE};
use super::keys::NewKey;
use super::*;
use crate::InlineRule;
use crate::base::timestamp::Timestamp;
use crate::source::{Form, SourceFile};

const PAGE: usize = 4_096;

fn open(path: &Path) -> Result<Store, StateDirError> {
    Store::open(path, StoreSettings::default())
}

/// Fills a directory with something in every table that is read at the start.
fn fill(path: &Path) {
    let store = open(path).unwrap();
    let now = Timestamp::from_millis(1);
    for n in 0..6_u64 {
        let key = NewKey {
            name: format!("k{n}"),
            scopes: vec!["decide".to_owned()],
            inline: InlineRule::Off,
            handles: Default::default(),
            limits: None,
            expires: None,
        };
        store.keys().create(key, now).unwrap();
        let text = format!("@id(\"p{n}\") permit(principal, action, resource);");
        let file = SourceFile::new("p.cedar", "p.cedar", &text, Form::Cedar);
        store.keep(n * 2 + 1, "r", &[file], now).unwrap();
        let entity = |at: u64| {
            let long = "x".repeat(700);
            let json = json!({"uid": {"type": "U", "id": at.to_string()}, "attrs": {"n": long}});
            ("U".to_owned(), at.to_string(), Some(json.to_string()))
        };
        let writes = EntityWrites {
            sequence: n * 2 + 2,
            entities: (0..6).map(|at| entity(n * 6 + at)).collect(),
        };
        store.write_entities(writes).unwrap();
        let denial = Denial {
            id: format!("d{n}"),
            expires: Timestamp::from_millis(1 << 50),
            json: json!({"jti": n}),
        };
        store.deny(denial, now).unwrap();
    }
}

/// All that a directory says.
fn content(store: &Store) -> Result<String, StateDirError> {
    let mut keys: Vec<_> = store
        .keys()
        .list()
        .iter()
        .map(|k| format!("{k:?}"))
        .collect();
    keys.sort();
    let lines = store.revisions(100)?;
    let mut revisions = Vec::new();
    for line in &lines {
        revisions.push(format!("{:?}", store.revision(line.sequence)?));
    }
    Ok(format!(
        "{keys:?} {:?} {:?} {lines:?} {revisions:?} {:?}",
        store.entities()?,
        store.denials(Timestamp::from_millis(2))?,
        store.last_good()?,
    ))
}

/// A directory that was filled once, what it says, and copies of it.
struct Good {
    dir: tempfile::TempDir,
    says: String,
    bytes: Vec<u8>,
}

impl Good {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path());
        let store = open(dir.path()).unwrap();
        let says = content(&store).unwrap();
        drop(store);
        let bytes = fs::read(dir.path().join(DATABASE_FILE)).unwrap();
        Self { dir, says, bytes }
    }

    fn copy(&self) -> tempfile::TempDir {
        let to = tempfile::tempdir().unwrap();
        for name in [DATABASE_FILE, FORMAT_FILE, VERSION_FILE] {
            fs::copy(self.dir.path().join(name), to.path().join(name)).unwrap();
        }
        to
    }

    /// Whether a directory is refused by name; it says the same as before otherwise.
    #[track_caller]
    fn is_refused(&self, dir: &Path, what: &str) -> bool {
        let found = open(dir).and_then(|store| content(&store));
        match found {
            Ok(says) => {
                assert!(says == self.says, "{what}: says something else");
                false
            }
            Err(error) => {
                let code = error.code();
                assert!(
                    matches!(code, "state_damaged" | "state_format"),
                    "{what}: {error}"
                );
                let text = error.to_string();
                assert!(text.len() < 800 && text.starts_with(code), "{what}: {text}");
                assert!(text.contains(&dir.display().to_string()), "{what}: {text}");
                assert!(code == "state_format" || text.contains("backup"), "{text}");
                true
            }
        }
    }

    #[track_caller]
    fn is_refused_with(&self, bytes: &[u8], what: &str) -> bool {
        let copy = self.copy();
        fs::write(copy.path().join(DATABASE_FILE), bytes).unwrap();
        self.is_refused(copy.path(), what)
    }
}

/// A generator of numbers (xorshift) that gives the same ones each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }
}

#[test]
fn every_page_that_is_damaged_is_refused_or_does_not_matter() {
    let good = Good::new();
    let pages = good.bytes.len() / PAGE;
    let mut numbers = Numbers(0x5eed);
    let (mut refused, mut used) = (0, 0);
    for page in 0..pages {
        let at = page * PAGE..(page + 1) * PAGE;
        if good.bytes[at.clone()].iter().all(|byte| *byte == 0) {
            continue;
        }
        used += 1;
        let mut zeros = good.bytes.clone();
        zeros[at.clone()].fill(0);
        refused += usize::from(good.is_refused_with(&zeros, &format!("page {page} is zeros")));
        let mut flipped = good.bytes.clone();
        let byte = at.start + numbers.below(if page == 0 { 320 } else { 400 });
        flipped[byte] ^= 1 << numbers.below(8);
        good.is_refused_with(&flipped, &format!("byte {byte} is another one"));
        let mut swapped = good.bytes.clone();
        let other = numbers.below(pages) * PAGE;
        swapped.copy_within(other..other + PAGE, at.start);
        good.is_refused_with(&swapped, &format!("page {page} is that at {other}"));
    }
    assert!(used >= 8 && refused >= 6, "{refused} of {used} of {pages}");
}

#[test]
fn every_bit_of_the_flags_and_every_byte_of_the_head_is_looked_at() {
    let good = Good::new();
    for bit in 0..8 {
        let mut bytes = good.bytes.clone();
        bytes[9] ^= 1 << bit;
        let refused = good.is_refused_with(&bytes, &format!("flag {bit}"));
        assert!(refused || bit > 2 || bit == 1, "flag {bit}");
    }
    for byte in (0..320).step_by(7) {
        let mut bytes = good.bytes.clone();
        bytes[byte] ^= 0x55;
        good.is_refused_with(&bytes, &format!("byte {byte} of the head"));
    }
}

#[test]
fn another_length_another_file_and_another_format_are_refused() {
    let good = Good::new();
    let mut numbers = Numbers(0xcafe);
    for _ in 0..12 {
        let length = numbers.below(good.bytes.len());
        let what = format!("cut to {length}");
        assert!(good.is_refused_with(&good.bytes[..length], &what), "{what}");
    }
    let mut longer = good.bytes.clone();
    longer.extend(b"garbage at the end");
    good.is_refused_with(&longer, "garbage at the end");
    assert!(good.is_refused_with(b"", "an empty file"));
    assert!(good.is_refused_with(b"SQLite format 3\0", "another program's file"));
    let noise: Vec<u8> = (0..40_000).map(|_| numbers.below(256) as u8).collect();
    assert!(good.is_refused_with(&noise, "noise"));

    // A database of redb that is another program's.
    let copy = good.copy();
    fs::remove_file(copy.path().join(DATABASE_FILE)).unwrap();
    let other = redb::Database::create(copy.path().join(DATABASE_FILE)).unwrap();
    let write = super::database::begin(&other).unwrap();
    let table: redb::TableDefinition<'_, u64, u64> = redb::TableDefinition::new("other");
    write.open_table(table).unwrap().insert(1, 1).unwrap();
    write.commit().unwrap();
    drop(other);
    assert!(good.is_refused(copy.path(), "another program's database"));

    let file = |name: &str, what: &[u8]| {
        let copy = good.copy();
        fs::write(copy.path().join(name), what).unwrap();
        good.is_refused(copy.path(), &format!("{name} is {what:?}"))
    };
    for text in ["", "x", "99", "-1", "4294967297", "\u{0}\u{0}", "2 2"] {
        assert!(file(FORMAT_FILE, text.as_bytes()), "{text:?}");
    }
    assert!(file(FORMAT_FILE, &[0xff; 10]) && file(FORMAT_FILE, &[b'2'; 100_000]));
    assert!(!file(VERSION_FILE, &[0xff; 100_000]));
    for name in [DATABASE_FILE, FORMAT_FILE] {
        let copy = good.copy();
        fs::remove_file(copy.path().join(name)).unwrap();
        fs::create_dir(copy.path().join(name)).unwrap();
        assert!(good.is_refused(copy.path(), &format!("{name} is a directory")));
    }
    let copy = good.copy();
    fs::remove_file(copy.path().join(DATABASE_FILE)).unwrap();
    assert!(good.is_refused(copy.path(), "not a database"));
    // The number is in the database too.
    let copy = good.copy();
    fs::remove_file(copy.path().join(FORMAT_FILE)).unwrap();
    assert!(!good.is_refused(copy.path(), "not a format number"));
}

#[test]
fn the_check_changes_nothing_on_the_disk() {
    let good = Good::new();
    let copy = good.copy();
    let path = copy.path().join(DATABASE_FILE);
    let mut bytes = good.bytes.clone();
    bytes[5 * PAGE..].fill(0);
    fs::write(&path, &bytes).unwrap();
    assert!(good.is_refused(copy.path(), "zeros"));
    assert!(fs::read(&path).unwrap() == bytes);
}

#[test]
fn damage_while_it_runs_ends_writing_and_not_the_process() {
    for (seed, most) in [(1, 1), (2, 3), (3, usize::MAX)] {
        let good = Good::new();
        let copy = good.copy();
        let store = open(copy.path()).unwrap();
        let keys = store.keys().list().len();
        let mut numbers = Numbers(seed);
        let path = copy.path().join(DATABASE_FILE);
        let length = fs::metadata(&path).unwrap().len();
        if most == usize::MAX {
            fs::OpenOptions::new()
                .write(true)
                .open(&path)
                .unwrap()
                .set_len(100)
                .unwrap();
        } else {
            let mut bytes = fs::read(&path).unwrap();
            for page in (1..bytes.len() / PAGE).filter(|page| page % most == 0) {
                let at = page * PAGE + numbers.below(PAGE - 64);
                bytes[at..at + 64].fill(0xa5);
            }
            fs::write(&path, bytes).unwrap();
        }
        assert!(length > 0);
        // Each write is made, or refused by name; one that is refused for damage is the last.
        let mut damaged = false;
        for n in 0..40 {
            let id = format!("d{n}");
            let denial = Denial {
                id,
                expires: Timestamp::from_millis(1 << 50),
                json: json!({"jti": "y".repeat(2_000)}),
            };
            match store.deny(denial, Timestamp::from_millis(2)) {
                Ok(()) => assert!(!damaged),
                Err(error) => {
                    damaged |= error.code() == "state_damaged";
                    assert!(damaged || error.code() == "state_io", "{error}");
                    assert!(store.trouble().is_some());
                }
            }
        }
        // Keys are known from memory, whatever became of the file.
        assert_eq!(store.keys().list().len(), keys);
        drop(store);
        let again = open(copy.path()).and_then(|store| content(&store));
        if let Err(error) = again {
            assert_eq!(error.code(), "state_damaged", "{error}");
        }
    }
}

#[test]
fn a_panic_within_a_use_of_the_database_is_an_error_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let error = store
        .handle()
        .read(|_| -> Result<(), _> { panic!("page 7") });
    let error = error.unwrap_err();
    assert_eq!(error.code(), "state_damaged");
    assert!(error.to_string().contains("page 7"), "{error}");
    let writes = EntityWrites::default();
    assert_eq!(
        store.write_entities(writes).unwrap_err().code(),
        "state_damaged"
    );
    assert!(store.trouble().unwrap().contains("page 7"));
    drop(store);
    assert!(open(dir.path()).is_ok());
}
