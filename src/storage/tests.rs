//! The state directory under what can happen to it: a killed process, a second owner, a full disk.
#![cfg(all(feature = "server", unix))]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redb::StorageBackend;
use redb::backends::FileBackend;
use serde_json::json;

use super::dir::{self, DATABASE_FILE, StateDirectory};
use super::keys::{Made, NewKey};
use super::*;
use crate::base::timestamp::Timestamp;
use crate::{EntityChange, InlineRule, Pdp};

fn open(path: &Path) -> Result<Store, StateDirError> {
    Store::open(path, StoreSettings::default())
}

fn key(name: &str) -> NewKey {
    NewKey {
        name: name.to_owned(),
        scopes: vec!["decide".to_owned()],
        inline: InlineRule::Off,
        handles: Default::default(),
        limits: None,
        expires: None,
    }
}

/// The directory that the killed process writes to; unset in an ordinary run.
const CHILD: &str = "STATE_TEST_DIRECTORY";

/// Writes and says what was acknowledged, until it is killed.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(CHILD) else {
        return;
    };
    let directory = Path::new(&directory);
    let store = open(&directory.join("state")).unwrap();
    let policies = directory.join("p.cedar");
    let pdp = Pdp::builder()
        .policies(&policies)
        .guard(false)
        .store(store.clone())
        .build()
        .unwrap();
    let say = |line: String| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nACK {line}").unwrap();
        out.flush().unwrap();
    };
    let start = pdp.state().sequence();
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (store, say) = (&store, &say);
            scope.spawn(move || {
                for n in 0.. {
                    let name = format!("{start}-{thread}-{n}");
                    let (key, text) = store.keys().create(key(&name), Timestamp::now()).unwrap();
                    say(format!("key {text}"));
                    if n % 3 == 0 {
                        store
                            .keys()
                            .revoke(&key.id, Made::Revoke, Timestamp::now())
                            .unwrap();
                        say(format!("revoked {text}"));
                    }
                }
            });
        }
        for thread in 0..2 {
            let (pdp, say) = (&pdp, &say);
            scope.spawn(move || {
                for n in 1.. {
                    let value = start * 100_000 + n;
                    let entity = |id: &str| {
                        EntityChange::Upsert(json!({
                            "uid": {"type": "U", "id": format!("{id}{thread}")},
                            "attrs": {"n": value}, "parents": [],
                        }))
                    };
                    let written = pdp.write_entities(vec![entity("a"), entity("b")]).unwrap();
                    say(format!("entity {thread} {value}"));
                    say(format!("sequence {}", written.sequence));
                }
            });
        }
        for n in 0.. {
            let text = format!("@id(\"p{start}-{n}\") permit(principal, action, resource);");
            std::fs::write(&policies, text).unwrap();
            pdp.reload().unwrap();
            say(format!("sequence {}", pdp.state().sequence()));
            std::thread::sleep(Duration::from_millis(5));
        }
    });
}

#[test]
fn what_was_acknowledged_survives_being_killed() {
    let rounds: usize = std::env::var("STATE_TEST_KILLS").map_or(20, |n| n.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let policy = "permit(principal, action, resource);";
    std::fs::write(directory.path().join("p.cedar"), policy).unwrap();
    let mut keys: HashMap<String, bool> = HashMap::new();
    let mut entities: HashMap<String, i64> = HashMap::new();
    let mut sequence = 0;
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["storage::tests::child", "--exact", "--nocapture"])
            .env(CHILD, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let (mut line, mut lines) = (String::new(), 0);
        // A different moment each time, among the first hundred acknowledgements.
        let last = 5 + round * 37 % 100;
        while out.read_line(&mut line).is_ok_and(|n| n > 0) {
            if line.ends_with('\n') {
                let words: Vec<&str> = line.split_whitespace().collect();
                match words.as_slice() {
                    ["ACK", "key", text] => {
                        keys.entry((*text).to_owned()).or_insert(false);
                    }
                    ["ACK", "revoked", text] => {
                        keys.insert((*text).to_owned(), true);
                    }
                    ["ACK", "entity", thread, n] => {
                        entities.insert((*thread).to_owned(), n.parse().unwrap());
                    }
                    ["ACK", "sequence", n] => sequence = sequence.max(n.parse().unwrap()),
                    _ => {}
                }
                lines += usize::from(words.first() == Some(&"ACK"));
                if lines == last {
                    child.kill().unwrap();
                }
            }
            line.clear();
        }
        assert!(
            lines >= last,
            "the child ended by itself after {lines} lines"
        );
        child.wait().unwrap();
        check_all(directory.path(), &keys, &entities, sequence);
    }
    assert!(keys.len() > rounds / 4 && entities.len() == 2);
}

#[track_caller]
fn check_all(
    directory: &Path,
    keys: &HashMap<String, bool>,
    entities: &HashMap<String, i64>,
    sequence: u64,
) {
    let store = open(&directory.join("state")).unwrap();
    for (text, revoked) in keys {
        // A revocation that was not acknowledged may have been done.
        let found = store.keys().find(text, Timestamp::now());
        let is_good = match found {
            Ok(_) => !revoked,
            Err(refused) => refused == super::keys::KeyRefused::Revoked,
        };
        assert!(is_good, "{text}: {found:?}");
    }
    let written: HashMap<String, i64> = store
        .entities()
        .unwrap()
        .iter()
        .map(|text| {
            let json: serde_json::Value = serde_json::from_str(text).unwrap();
            let id = json["uid"]["id"].as_str().unwrap().to_owned();
            (id, json["attrs"]["n"].as_i64().unwrap())
        })
        .collect();
    for (thread, n) in entities {
        let [a, b] = ["a", "b"].map(|id| written[&format!("{id}{thread}")]);
        assert_eq!(a, b, "a batch is whole");
        assert!(a >= *n, "{a} is older than {n}");
    }
    let last = store.last_good().unwrap().unwrap();
    assert!(last.sequence >= sequence, "{} < {sequence}", last.sequence);
    assert!(
        last.files[0]
            .source
            .text
            .contains("permit(principal, action, resource);")
    );
}

#[test]
fn one_owner_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path()).unwrap();
    let second = open(directory.path()).unwrap_err();
    assert_eq!(second.code(), "state_in_use");
    let named = format!("is in use by process {} on host ", std::process::id());
    assert!(second.to_string().contains(&named), "{second}");
    let other = first.clone();
    drop(first);
    assert!(open(directory.path()).is_err());
    drop(other);
    assert!(open(directory.path()).is_ok());
}

#[test]
fn only_the_owner_may_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("made/here");
    let store = open(&path).unwrap();
    store.keys().create(key("a"), Timestamp::now()).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for file in std::fs::read_dir(&path).unwrap() {
        let file = file.unwrap().path();
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn writes_that_wait_together_are_committed_together() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    // While the thread is held up, writes gather.
    let (begin, hold) = std::sync::mpsc::channel::<()>();
    let handle = store.handle();
    let held = std::thread::spawn(move || {
        handle.read(move |_| {
            hold.recv().unwrap();
            Ok(())
        })
    });
    let writers: Vec<_> = (0..20)
        .map(|n| {
            let store = store.clone();
            std::thread::spawn(move || {
                let entity = ("U".to_owned(), n.to_string(), Some("{}".to_owned()));
                store.write_entities(EntityWrites {
                    sequence: n,
                    entities: vec![entity],
                })
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(50));
    begin.send(()).unwrap();
    held.join().unwrap().unwrap();
    for writer in writers {
        writer.join().unwrap().unwrap();
    }
    assert_eq!(store.entities().unwrap().len(), 20);
}

/// A disk that can be full.
#[derive(Debug)]
struct Disk {
    file: FileBackend,
    full: Arc<AtomicBool>,
}

impl Disk {
    fn check(&self) -> std::io::Result<()> {
        if self.full.load(Ordering::SeqCst) {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> std::io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.check().and_then(|()| self.file.set_len(len))
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.check().and_then(|()| self.file.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.check().and_then(|()| self.file.write(offset, data))
    }

    fn close(&self) -> std::io::Result<()> {
        self.file.close()
    }
}

/// A store on a disk that is full while the switch is set.
pub(crate) fn on_a_disk(directory: &Path) -> (Store, Arc<AtomicBool>) {
    drop(open(directory).unwrap());
    let full = Arc::new(AtomicBool::new(false));
    let place = StateDirectory::new(directory);
    let owner = dir::own(&place).unwrap();
    let (at, is_full) = (place.clone(), Arc::clone(&full));
    // A database that is closed must be gone before it is opened again.
    let one = Mutex::new(());
    let disk = move || {
        let _one = one.lock().unwrap();
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(at.file(DATABASE_FILE))
            .unwrap();
        let disk = Disk {
            file: FileBackend::new(file).unwrap(),
            full: Arc::clone(&is_full),
        };
        database::with_backend(&at, disk)
    };
    let store = Store::start(place, owner, StoreSettings::default(), disk).unwrap();
    (store, full)
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let (store, full) = on_a_disk(directory.path());
    let now = Timestamp::now();
    let (_, before) = store.keys().create(key("a"), now).unwrap();
    full.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let error = store.keys().create(key("b"), now).unwrap_err();
        assert_eq!(error.code(), "state_full", "{error}");
        assert!(store.trouble().unwrap().contains("the disk is full"));
        // Who is known is known all the same.
        assert!(store.keys().find(&before, now).is_ok());
    }
    full.store(false, Ordering::SeqCst);
    let (_, after) = store.keys().create(key("b"), now).unwrap();
    assert_eq!(store.trouble(), None);
    drop(store);
    let store = open(directory.path()).unwrap();
    assert!(store.keys().find(&before, now).is_ok() && store.keys().find(&after, now).is_ok());
}

/// What writes cost on this machine; `cargo test --lib storage::tests::figures -- --ignored --nocapture`.
#[test]
#[ignore = "prints figures"]
fn figures() {
    use std::time::Instant;
    let directory = tempfile::tempdir_in(std::env::current_dir().unwrap()).unwrap();
    let path = directory.path().join("p.cedar");
    std::fs::write(&path, "permit(principal, action, resource);").unwrap();
    let store = open(&directory.path().join("state")).unwrap();
    let pdp = Pdp::builder()
        .policies(&path)
        .store(store.clone())
        .build()
        .unwrap();
    let mut times: Vec<Duration> = (0..200)
        .map(|n| {
            let start = Instant::now();
            store
                .keys()
                .create(key(&n.to_string()), Timestamp::now())
                .unwrap();
            start.elapsed()
        })
        .collect();
    times.sort();
    println!("a key: median {:?}, p99 {:?}", times[100], times[197]);
    for writers in [1, 4, 16, 64] {
        let (start, each) = (Instant::now(), 640 / writers);
        std::thread::scope(|scope| {
            for writer in 0..writers {
                let store = &store;
                scope.spawn(move || {
                    for n in 0..each {
                        let id = format!("{writer}-{n}");
                        let denial = Denial {
                            id,
                            expires: Timestamp::from_millis(1 << 50),
                            json: json!({}),
                        };
                        store.deny(denial, Timestamp::now()).unwrap();
                    }
                });
            }
        });
        let rate = f64::from(writers * each) / start.elapsed().as_secs_f64();
        println!("{writers} writers: {rate:.0} acknowledged writes/s");
    }
    for size in [1, 100, 10_000] {
        let batch = (0..size).map(|n| {
            let uid = json!({"type": "U", "id": format!("{size}-{n}")});
            EntityChange::Upsert(json!({"uid": uid, "attrs": {"n": n}, "parents": []}))
        });
        let batch = batch.collect();
        let start = Instant::now();
        pdp.write_entities(batch).unwrap();
        println!("a batch of {size} entities: {:?}", start.elapsed());
    }
    drop(pdp);
    drop(store);
    let start = Instant::now();
    drop(open(&directory.path().join("state")).unwrap());
    println!("opening and closing: {:?}", start.elapsed());
    let size = std::fs::metadata(directory.path().join("state").join(DATABASE_FILE)).unwrap();
    println!("size: {} KiB", size.len() >> 10);
}
