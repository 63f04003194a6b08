//! Dead letters: deliveries that were given up, kept until somebody has them sent again.
//!
//! They are in the state directory; without one in a file of NDJSON, if one is configured; else they
//! are only counted. However they are kept, the oldest are dropped beyond a bound.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::queue::Delivery;
use crate::base::lock::lock;
use crate::storage::Store;

/// Longest file of dead letters that is read.
const LONGEST_FILE: u64 = 1 << 30;

/// Where dead letters are.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    place: Backend,
    most: usize,
    count: AtomicU64,
}

#[derive(Debug)]
enum Backend {
    Store(Store),
    File(PathBuf, Mutex<Lines>),
    Nowhere,
}

/// What the file holds, and how many lines it has: some may be of letters that are gone.
#[derive(Debug, Default)]
struct Lines {
    letters: VecDeque<Delivery>,
    lines: usize,
}

impl DeadLetters {
    /// In the state directory, else in the file, else nowhere.
    pub(crate) fn open(
        store: Option<&Store>,
        file: Option<&Path>,
        most: usize,
    ) -> Result<Self, String> {
        let (place, count) = match (store, file) {
            (Some(store), _) => {
                let count = store.dead_count().map_err(|error| error.to_string())?;
                (Backend::Store(store.clone()), count)
            }
            (None, Some(path)) => {
                let mut lines = read(path, most)?;
                // Makes sure that it can be written; what was cut off must not spoil the next line.
                let written = if lines.lines == lines.letters.len() {
                    append(path, &[])
                } else {
                    rewrite(path, &lines.letters)
                };
                written.map_err(|error| format!("`{}`: {error}", path.display()))?;
                lines.lines = lines.letters.len();
                for (number, letter) in (1..).zip(&mut lines.letters) {
                    letter.number = number;
                }
                let count = lines.letters.len() as u64;
                (Backend::File(path.to_owned(), Mutex::new(lines)), count)
            }
            (None, None) => (Backend::Nowhere, 0),
        };
        Ok(Self {
            place,
            most,
            count: AtomicU64::new(count),
        })
    }

    /// Whether they are kept at all.
    pub(crate) fn kept(&self) -> bool {
        !matches!(self.place, Backend::Nowhere)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Adds letters; how many letters are gone by that, these or older ones.
    pub(crate) fn bury(&self, letters: Vec<Delivery>) -> u64 {
        let many = letters.len() as u64;
        let dropped = match &self.place {
            Backend::Store(store) => {
                let kept = letters.iter().map(Delivery::kept).collect();
                match store.bury(kept, self.most as u64) {
                    Ok(dropped) => dropped,
                    Err(error) => {
                        // They stay among what waits, and are tried again after a restart.
                        tracing::error!(%error, letters = many, "dead letters are not kept");
                        return 0;
                    }
                }
            }
            Backend::File(path, lines) => match bury_in(path, &mut lock(lines), letters, self.most)
            {
                Ok(dropped) => dropped,
                Err(error) => {
                    tracing::error!(%error, path = %path.display(), "dead letters are not kept");
                    return many;
                }
            },
            Backend::Nowhere => return many,
        };
        self.count.fetch_add(many, Ordering::Relaxed);
        self.count.fetch_sub(dropped, Ordering::Relaxed);
        dropped
    }

    /// Every letter, the oldest first.
    pub(crate) fn list(&self) -> Result<Vec<Delivery>, String> {
        match &self.place {
            Backend::Store(store) => {
                let kept = store.dead_letters().map_err(|error| error.to_string())?;
                let read = |(number, json): (u64, String)| match Delivery::read(number, &json) {
                    Ok(letter) => Some(letter),
                    Err(error) => {
                        tracing::error!(number, %error, "a dead letter is damaged");
                        None
                    }
                };
                Ok(kept.into_iter().filter_map(read).collect())
            }
            Backend::File(_, lines) => Ok(lock(lines).letters.iter().cloned().collect()),
            Backend::Nowhere => Ok(Vec::new()),
        }
    }

    /// Takes letters out: they wait to be delivered again.
    pub(crate) fn revive(&self, letters: &[Delivery]) -> Result<(), String> {
        match &self.place {
            Backend::Store(store) => {
                let kept = letters.iter().map(Delivery::kept).collect();
                store.revive(kept).map_err(|error| error.to_string())?;
            }
            Backend::File(path, lines) => {
                let mut lines = lock(lines);
                let out = |letter: &Delivery| letters.iter().any(|l| l.number == letter.number);
                let left: VecDeque<_> = lines.letters.iter().filter(|l| !out(l)).cloned().collect();
                rewrite(path, &left).map_err(|error| format!("`{}`: {error}", path.display()))?;
                *lines = Lines {
                    lines: left.len(),
                    letters: left,
                };
            }
            Backend::Nowhere => return Ok(()),
        }
        self.count
            .fetch_sub(letters.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

fn line(letter: &Delivery) -> String {
    format!("{}\n", letter.kept().1)
}

fn bury_in(
    path: &Path,
    lines: &mut Lines,
    letters: Vec<Delivery>,
    most: usize,
) -> std::io::Result<u64> {
    let text: String = letters.iter().map(line).collect();
    append(path, text.as_bytes())?;
    lines.lines += letters.len();
    lines.letters.extend(letters);
    let mut dropped = 0;
    while lines.letters.len() > most {
        lines.letters.pop_front();
        dropped += 1;
    }
    // Not at every letter that is dropped: the whole file is written again.
    if lines.lines > most.saturating_mul(2) {
        rewrite(path, &lines.letters)?;
        lines.lines = lines.letters.len();
    }
    Ok(dropped)
}

/// Who may read it: it says who did what.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600);
    options
}

fn append(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut file = options().append(true).open(path)?;
    file.write_all(text)?;
    file.sync_data()
}

/// Writes another file and puts it in the place of this one.
fn rewrite(path: &Path, letters: &VecDeque<Delivery>) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let text: String = letters.iter().map(line).collect();
    let mut file = options().write(true).truncate(true).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    std::fs::rename(&new, path)
}

/// The last `most` letters of a file. A line that is none is left out: the last one may be cut off.
fn read(path: &Path, most: usize) -> Result<Lines, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Lines::default()),
        Err(error) => return Err(format!("`{}`: {error}", path.display())),
    };
    let mut read = Lines::default();
    let mut damaged = 0;
    for line in BufReader::new(file.take(LONGEST_FILE)).split(b'\n') {
        let line = line.map_err(|error| format!("`{}`: {error}", path.display()))?;
        read.lines += 1;
        match serde_json::from_slice(&line) {
            Ok(letter) => read.letters.push_back(letter),
            Err(_) => damaged += 1,
        }
        if read.letters.len() > most {
            read.letters.pop_front();
        }
    }
    if damaged > 0 {
        tracing::warn!(damaged, path = %path.display(), "lines of the file of dead letters are none");
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(number: u64) -> Delivery {
        Delivery {
            number,
            webhook: "a".to_owned(),
            id: format!("msg_{number}"),
            event: "test".to_owned(),
            body: "{}".to_owned(),
            created: 0,
            attempts: 7,
            due: 0,
            last_status: None,
            last_error: None,
            died: Some(1),
        }
    }

    fn ids(dead: &DeadLetters) -> Vec<String> {
        let all = dead.list().unwrap();
        all.into_iter().map(|letter| letter.id).collect()
    }

    #[test]
    fn a_file_keeps_the_newest_and_outlives_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dead.ndjson");
        let open = || DeadLetters::open(None, Some(&path), 3).unwrap();
        let dead = open();
        assert_eq!(dead.bury(vec![letter(1), letter(2)]), 0);
        assert_eq!(dead.bury(vec![letter(3), letter(4)]), 1);
        assert_eq!(
            (ids(&dead), dead.count()),
            (vec!["msg_2".into(), "msg_3".into(), "msg_4".into()], 3)
        );
        drop(dead);
        // A write that was cut off costs no other letter.
        append(&path, b"{\"webhook\":\"a").unwrap();
        let dead = open();
        assert_eq!(dead.count(), 3);
        dead.bury(vec![letter(4)]);
        assert_eq!(ids(&open()).len(), 3);
        let all = dead.list().unwrap();
        dead.revive(&all[..2]).unwrap();
        assert_eq!((ids(&dead), dead.count()), (vec!["msg_4".into()], 1));
        assert_eq!(ids(&open()), ["msg_4"]);
        // The file does not grow without bound.
        for number in 10..40 {
            dead.bury(vec![letter(number)]);
        }
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 7, "{lines}");
        assert_eq!(ids(&open()), ["msg_37", "msg_38", "msg_39"]);
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn nowhere_is_only_counted() {
        let dead = DeadLetters::open(None, None, 3).unwrap();
        assert!(!dead.kept());
        assert_eq!(dead.bury(vec![letter(1), letter(2)]), 2);
        assert_eq!(dead.count(), 0);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_no_start() {
        let dir = tempfile::tempdir().unwrap();
        let error = DeadLetters::open(None, Some(dir.path()), 3).unwrap_err();
        assert!(error.contains(&dir.path().display().to_string()), "{error}");
    }
}
