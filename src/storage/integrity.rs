//! Whether the database file is as it was written: checked once, when a directory is opened.
//!
//! Every page that is in use has a checksum, which the database itself looks at only when it was asked to.
//! The check reads the file and writes nothing: what it would repair it repairs in memory.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::{Mutex, MutexGuard};

use redb::backends::FileBackend;
use redb::{Builder, ReadableDatabase, StorageBackend};

use super::database::CACHE;
use super::dir::{DATABASE_FILE, StateDirectory};
use super::error::{Kind, StateDirError};
use super::guard::guarded;
use super::revisions::{META, open};
use crate::base::lock::lock;

/// Length of the file's head, with both commit slots.
const HEAD: usize = 320;
/// Where the flags are.
const FLAGS: usize = 9;
/// Flag: the second slot holds the last commit.
const SECOND: u8 = 1;
/// Flag: the file was not closed.
const NOT_CLOSED: u8 = 2;
/// Flag: the last commit had two phases, as each of ours has.
const TWO_PHASES: u8 = 4;
/// Where the transactions' numbers are, of the first and of the second slot.
const NUMBERS: [usize; 2] = [168, 296];
/// What the file is kept in while it is checked, in bytes.
const BLOCK: usize = 4_096;

/// Checks every checksum of the database file, and returns the format number that it holds.
pub(super) fn check(place: &StateDirectory) -> Result<Option<u64>, StateDirError> {
    guarded(place, || {
        let file = super::database::file(place, false)?;
        let backend = InMemory::new(file).map_err(|error| place.database(&error.into()))?;
        check_head(place, &backend)?;
        let database = Builder::new()
            .set_cache_size(CACHE)
            .set_check_integrity_on_open(true)
            .create_with_backend(backend)
            .map_err(|error| place.database(&error.into()))?;
        let format = || {
            let Some(meta) = open(&database.begin_read()?, META)? else {
                return Ok(None);
            };
            Ok(meta.get("format")?.map(|format| format.value()))
        };
        format().map_err(|error: redb::Error| place.database(&error))
    })
}

/// Refuses a head that names another commit than the last one. It has no checksum of its own.
fn check_head(place: &StateDirectory, backend: &InMemory) -> Result<(), StateDirError> {
    let damaged = |what: &str| Err(place.fail(Kind::Damaged, format!("`{DATABASE_FILE}` {what}")));
    let mut head = [0; HEAD];
    if backend.read(0, &mut head).is_err() || !head.starts_with(b"redb") {
        return damaged("is not a database of deodar");
    }
    let flags = head.get(FLAGS).copied().unwrap_or(0);
    let numbers = NUMBERS.map(|at| {
        let number = head.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        u64::from_le_bytes(number.unwrap_or_default())
    });
    let [first, second] = numbers;
    let (last, other) = if flags & SECOND == 0 {
        (first, second)
    } else {
        (second, first)
    };
    // A crash between the two phases leaves a newer commit that was not acknowledged.
    if flags & TWO_PHASES == 0 || (flags & NOT_CLOSED == 0 && other > last) {
        return damaged("is damaged: its head does not name the last commit");
    }
    Ok(())
}

/// A file whose changes stay in memory.
#[derive(Debug)]
struct InMemory {
    file: FileBackend,
    changed: Mutex<Changed>,
}

#[derive(Debug)]
struct Changed {
    length: u64,
    /// What the file has of that, in bytes; the rest is zeros.
    of_file: u64,
    blocks: HashMap<u64, Vec<u8>>,
}

impl InMemory {
    fn new(file: File) -> Result<Self, redb::DatabaseError> {
        let file = FileBackend::new(file)?;
        let length = file.len()?;
        Ok(Self {
            file,
            changed: Mutex::new(Changed {
                length,
                of_file: length,
                blocks: HashMap::new(),
            }),
        })
    }

    fn changed(&self) -> MutexGuard<'_, Changed> {
        lock(&self.changed)
    }

    fn block(&self, changed: &Changed, number: u64) -> io::Result<Vec<u8>> {
        if let Some(block) = changed.blocks.get(&number) {
            return Ok(block.clone());
        }
        let mut block = vec![0; BLOCK];
        let start = number.saturating_mul(BLOCK as u64);
        let there = changed.of_file.saturating_sub(start).min(BLOCK as u64);
        if let Some(there) = block.get_mut(..usize::try_from(there).unwrap_or(BLOCK)) {
            self.file.read(start, there)?;
        }
        Ok(block)
    }
}

/// The parts of blocks that `length` bytes at `offset` are in: number of the block, place in it, length.
fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let (mut at, mut left) = (offset, length);
    std::iter::from_fn(move || {
        let within = usize::try_from(at % BLOCK as u64).unwrap_or(0);
        let part = left.min(BLOCK - within);
        let number = at / BLOCK as u64;
        at = at.saturating_add(part as u64);
        left -= part;
        (part > 0).then_some((number, within, part))
    })
}

impl StorageBackend for InMemory {
    fn len(&self) -> io::Result<u64> {
        Ok(self.changed().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changed = self.changed();
        if offset.saturating_add(out.len() as u64) > changed.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut rest = out;
        for (number, within, length) in parts(offset, rest.len()) {
            let block = self.block(&changed, number)?;
            let (part, after) = std::mem::take(&mut rest).split_at_mut(length);
            if let Some(bytes) = block.get(within..within + length) {
                part.copy_from_slice(bytes);
            }
            rest = after;
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut changed = self.changed();
        changed.length = length;
        changed.of_file = changed.of_file.min(length);
        changed
            .blocks
            .retain(|number, _| number.saturating_mul(BLOCK as u64) < length);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut changed = self.changed();
        let mut rest = data;
        for (number, within, length) in parts(offset, data.len()) {
            let mut block = self.block(&changed, number)?;
            let (part, after) = rest.split_at(length);
            if let Some(bytes) = block.get_mut(within..within + length) {
                bytes.copy_from_slice(part);
            }
            changed.blocks.insert(number, block);
            rest = after;
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}
