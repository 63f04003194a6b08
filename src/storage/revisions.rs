//! What was published: every revision by its sequence, the latest with their sources.
//!
//! A text is kept once however many revisions hold it, compressed, under its hash. `sequence` in the
//! table `meta` is the last one given out, which entity writes raise too.

use std::collections::HashMap;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use redb::{
    ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Store;
use super::error::{Kind, StateDirError};
use crate::base::timestamp::Timestamp;
use crate::source::{Form, SourceFile};

/// Numbers by name.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// A line for each revision, by its sequence.
const REVISIONS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("revisions");
/// Which texts the latest revisions consist of, by sequence.
const SOURCES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("sources");
/// Compressed texts by their hash.
const TEXTS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("texts");
/// How often the kept sources name a text.
const TEXT_USES: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("text_uses");

/// Lines that are kept.
const MOST_LINES: u64 = 10_000;

/// The sources of the last published state.
#[derive(Debug, Clone)]
pub(crate) struct LastGood {
    /// The last sequence that was given out.
    pub(crate) sequence: u64,
    pub(crate) revision: String,
    pub(crate) files: Vec<SourceFile>,
}

/// A line about a revision.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct RevisionLine {
    pub(crate) sequence: u64,
    pub(crate) revision: String,
    /// When it was published, in milliseconds since the Unix epoch.
    pub(crate) published: i64,
    /// How many files it was read from.
    pub(crate) files: usize,
}

#[derive(Serialize, Deserialize)]
struct StoredFile {
    name: String,
    relative: String,
    form: Form,
    /// The hash of its text.
    text: [u8; 32],
}

/// What is to be kept of a revision.
pub(super) struct Keep {
    line: RevisionLine,
    files: Vec<SourceFile>,
    hashes: Vec<[u8; 32]>,
    keep: usize,
}

impl Store {
    /// What was published last; `None` when nothing was.
    pub(crate) fn last_good(&self) -> Result<Option<LastGood>, StateDirError> {
        let last = |read: &ReadTransaction| {
            let sequence = match read.open_table(META) {
                Ok(meta) => meta.get("sequence")?.map(|sequence| sequence.value()),
                Err(redb::TableError::TableDoesNotExist(_)) => None,
                Err(error) => return Err(error.into()),
            };
            let Some(sources) = open(read, SOURCES)? else {
                return Ok(None);
            };
            let last = sources.last()?.map(|(at, _)| at.value());
            Ok(sequence.zip(last))
        };
        let Some((sequence, at)) = self.handle().read(last)? else {
            return Ok(None);
        };
        let Some((line, files)) = self.revision(at)? else {
            return Err(self.damaged(at, "it is not there"));
        };
        let revision = line.revision;
        Ok(Some(LastGood {
            sequence,
            revision,
            files,
        }))
    }

    /// Keeps the sources of a state that is about to be published. When this returns they survive a
    /// crash.
    pub(crate) fn keep(
        &self,
        sequence: u64,
        revision: &str,
        files: &[SourceFile],
        now: Timestamp,
    ) -> Result<(), StateDirError> {
        let most = self.inner.settings.keep_revisions;
        let keep = Keep::new(sequence, revision, files.to_vec(), now, most);
        self.handle().write(move |write| keep.write(write))
    }

    /// Lines about the latest revisions, newest first.
    #[cfg(any(feature = "server", test))]
    pub(crate) fn revisions(&self, most: usize) -> Result<Vec<RevisionLine>, StateDirError> {
        self.handle().read(move |read| {
            let Some(table) = open(read, REVISIONS)? else {
                return Ok(Vec::new());
            };
            let mut lines = Vec::new();
            for entry in table.iter()?.rev().take(most) {
                lines.extend(line(entry?.1.value()));
            }
            Ok(lines)
        })
    }

    /// A revision with its sources; `None` where they are not kept (any more).
    pub(crate) fn revision(
        &self,
        sequence: u64,
    ) -> Result<Option<(RevisionLine, Vec<SourceFile>)>, StateDirError> {
        type Found = Option<(Option<RevisionLine>, Vec<u8>, HashMap<[u8; 32], Vec<u8>>)>;
        let find = move |read: &ReadTransaction| -> Result<Found, redb::Error> {
            let (Some(lines), Some(sources)) = (open(read, REVISIONS)?, open(read, SOURCES)?)
            else {
                return Ok(None);
            };
            let Some(stored) = sources.get(sequence)?.map(|stored| stored.value().to_vec()) else {
                return Ok(None);
            };
            let mut texts = HashMap::new();
            if let Some(table) = open(read, TEXTS)? {
                for file in files(&stored).unwrap_or_default() {
                    if let Some(text) = table.get(&file.text)? {
                        texts.insert(file.text, text.value().to_vec());
                    }
                }
            }
            let line = lines.get(sequence)?.and_then(|stored| line(stored.value()));
            Ok(Some((line, stored, texts)))
        };
        let Some((line, stored, texts)) = self.handle().read(find)? else {
            return Ok(None);
        };
        let damaged = |what: &str| self.damaged(sequence, what);
        let line = line.ok_or_else(|| damaged("its line cannot be read"))?;
        let stored = files(&stored).ok_or_else(|| damaged("its files cannot be read"))?;
        let mut read = Vec::with_capacity(stored.len());
        for file in stored {
            let text = texts.get(&file.text).and_then(|text| decompress(text));
            let text = text.filter(|text| hash(text) == file.text);
            let text =
                text.ok_or_else(|| damaged(&format!("the text of `{}` is lost", file.name)))?;
            read.push(SourceFile::new(
                &file.name,
                &file.relative,
                &text,
                file.form,
            ));
        }
        Ok(Some((line, read)))
    }

    fn damaged(&self, sequence: u64, what: &str) -> StateDirError {
        let message = format!("the revision of sequence {sequence} is damaged: {what}");
        self.inner.place.fail(Kind::Damaged, message)
    }
}

impl Keep {
    pub(super) fn new(
        sequence: u64,
        revision: &str,
        files: Vec<SourceFile>,
        now: Timestamp,
        keep: usize,
    ) -> Self {
        Self {
            line: RevisionLine {
                sequence,
                revision: revision.to_owned(),
                published: now.as_millis(),
                files: files.len(),
            },
            hashes: files.iter().map(|file| hash(&file.source.text)).collect(),
            files,
            keep: keep.max(1),
        }
    }

    pub(super) fn write(&self, write: &WriteTransaction) -> Result<(), redb::Error> {
        let sequence = self.line.sequence;
        raise_sequence(write, sequence)?;
        let stored: Vec<StoredFile> = self
            .files
            .iter()
            .zip(&self.hashes)
            .map(|(file, hash)| StoredFile {
                name: file.source.name.to_string(),
                relative: file.relative.to_string(),
                form: file.form,
                text: *hash,
            })
            .collect();
        let mut texts = write.open_table(TEXTS)?;
        let mut uses = write.open_table(TEXT_USES)?;
        for (file, hash) in self.files.iter().zip(&self.hashes) {
            let known = uses.get(hash)?.map_or(0, |known| known.value());
            if known == 0 {
                texts.insert(hash, compress(file.source.text.as_bytes()).as_slice())?;
            }
            uses.insert(hash, known + 1)?;
        }
        let mut sources = write.open_table(SOURCES)?;
        let json = |value: serde_json::Result<Vec<u8>>| value.map_err(std::io::Error::from);
        let files = compress(&json(serde_json::to_vec(&stored))?);
        let replaced = sources.insert(sequence, files.as_slice())?;
        let mut gone = vec![replaced.map(|files| files.value().to_vec())];
        while sources.len()? > self.keep as u64 {
            gone.push(
                sources
                    .pop_first()?
                    .map(|(_, files)| files.value().to_vec()),
            );
        }
        for file in gone
            .into_iter()
            .flatten()
            .filter_map(|gone| self::files(&gone))
            .flatten()
        {
            let known = uses.get(&file.text)?.map_or(0, |known| known.value());
            if known > 1 {
                uses.insert(&file.text, known - 1)?;
            } else {
                uses.remove(&file.text)?;
                texts.remove(&file.text)?;
            }
        }
        let mut lines = write.open_table(REVISIONS)?;
        let line = json(serde_json::to_vec(&self.line))?;
        lines.insert(sequence, line.as_slice())?;
        while lines.len()? > MOST_LINES {
            lines.pop_first()?;
        }
        Ok(())
    }
}

/// Writes down that a sequence was given out.
pub(super) fn raise_sequence(write: &WriteTransaction, to: u64) -> Result<(), redb::Error> {
    let mut meta = write.open_table(META)?;
    let known = meta.get("sequence")?.map_or(0, |known| known.value());
    if to > known {
        meta.insert("sequence", to)?;
    }
    Ok(())
}

/// A table that may not be there yet.
pub(super) fn open<K: redb::Key + 'static, V: redb::Value + 'static>(
    read: &ReadTransaction,
    table: TableDefinition<'_, K, V>,
) -> Result<Option<redb::ReadOnlyTable<K, V>>, redb::Error> {
    match read.open_table(table) {
        Ok(table) => Ok(Some(table)),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn line(stored: &[u8]) -> Option<RevisionLine> {
    serde_json::from_slice(stored).ok()
}

fn files(stored: &[u8]) -> Option<Vec<StoredFile>> {
    serde_json::from_str(&decompress(stored)?).ok()
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory does not fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

fn decompress(bytes: &[u8]) -> Option<String> {
    let mut text = String::new();
    ZlibDecoder::new(bytes).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::StoreSettings;

    fn file(name: &str, text: &str) -> SourceFile {
        SourceFile::new(&format!("p/{name}"), name, text, Form::Cedar)
    }

    fn open(path: &std::path::Path, keep_revisions: usize) -> Store {
        let settings = StoreSettings {
            keep_revisions,
            ..StoreSettings::default()
        };
        Store::open(path, settings).unwrap()
    }

    fn texts(store: &Store) -> u64 {
        let count = |read: &ReadTransaction| Ok(read.open_table(TEXTS)?.len()?);
        store.handle().read(count).unwrap()
    }

    #[test]
    fn what_was_kept_is_there_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), 20);
        assert!(store.last_good().unwrap().is_none());
        let files = [file("a.cedar", "permit(principal, action, resource);")];
        let now = Timestamp::from_millis(5);
        store.keep(7, "abc", &files, now).unwrap();
        drop(store);
        let store = open(dir.path(), 20);
        let kept = store.last_good().unwrap().unwrap();
        assert_eq!((kept.sequence, kept.revision.as_str()), (7, "abc"));
        assert_eq!(kept.files[0].source.text, files[0].source.text);
        assert_eq!(&*kept.files[0].source.name, "p/a.cedar");
        let lines = store.revisions(10).unwrap();
        assert_eq!((lines[0].sequence, lines[0].published), (7, 5));
    }

    #[test]
    fn a_text_is_kept_once_and_as_long_as_a_kept_revision_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), 3);
        let now = Timestamp::from_millis(0);
        for sequence in 1..=10 {
            let files = [
                file("same.cedar", "same"),
                file("also.cedar", "same"),
                file("new.cedar", &format!("text {sequence}")),
            ];
            store.keep(sequence, "r", &files, now).unwrap();
        }
        assert_eq!(texts(&store), 4);
        assert!(store.revision(7).unwrap().is_none());
        let (line, files) = store.revision(8).unwrap().unwrap();
        assert_eq!((line.sequence, &*files[2].source.text), (8, "text 8"));
        assert_eq!(store.revisions(100).unwrap().len(), 10);
        // The same sequence again takes the place of what it was.
        store.keep(10, "s", &[file("x.cedar", "x")], now).unwrap();
        assert_eq!(texts(&store), 4);
        assert_eq!(store.last_good().unwrap().unwrap().revision, "s");
    }
}
