//! The log as a whole: what is recorded, what is not, and what is found out afterwards.

mod overflow;
mod records;
mod restart;
mod speed;
mod tamper;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use uuid::Uuid;

use super::verify::{Report, Wanted, gather, verify};
use super::*;
use crate::base::span::Span;
use crate::pdp::Pdp;
use crate::request::Request;
use crate::service::config::{Fsync, Recording};

pub(super) const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIAJ024Ww64xru2mtrd2wCDyEnsF2wlVh0pry5DXuS9x3
-----END PRIVATE KEY-----";
pub(super) const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA9JPucEeTRKViBFmQ/l4NDi/qXz7gYZTWcU1RI9HNMh0=
-----END PUBLIC KEY-----";
const OTHER_PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGr/tQIQi8F8HrKlT99HXmCHSSPwqY5K7PkJVaoFXYwA=
-----END PUBLIC KEY-----";
const SHARED_KEY: &str = "a shared key of some length";
const MASK_KEY: &str = "a mask key of some length";

pub(super) const DENY_ALL: &str = "forbid(principal, action, resource);";
pub(super) const ALLOW_ALL: &str = "@id(\"all\") permit(principal, action, resource);";

/// A log without a sink.
pub(super) fn config() -> AuditConfig {
    AuditConfig {
        rotate_bytes: 0,
        rotate_age: Span::ZERO,
        fsync: Fsync::None,
        flush_interval: Span::milliseconds(10),
        post_timeout: Span::seconds(1),
        ..AuditConfig::default()
    }
}

/// A directory with a log's file and keys.
struct Room(tempfile::TempDir);

impl Room {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn log(&self) -> PathBuf {
        self.path("audit.ndjson")
    }

    fn keep(&self, name: &str, text: &str) -> SecretRef {
        std::fs::write(self.path(name), text).unwrap();
        SecretRef::File(self.path(name))
    }

    /// A log to the file, sealed in this way.
    fn config(&self, chain: ChainKind) -> AuditConfig {
        AuditConfig {
            file: Some(self.log()),
            chain,
            key: match chain {
                ChainKind::None => None,
                ChainKind::Hmac => Some(self.keep("key", SHARED_KEY)),
                ChainKind::Ed25519 => Some(self.keep("key.pem", PRIVATE_KEY)),
            },
            ..config()
        }
    }

    fn verify(&self, chain: ChainKind) -> Report {
        let wanted = Wanted {
            keys: check_keys(chain),
            ..Wanted::default()
        };
        self.verify_against(&wanted)
    }

    fn verify_against(&self, wanted: &Wanted) -> Report {
        let mut logs = gather(&[self.0.path().to_owned()]).unwrap();
        assert_eq!(logs.len(), 1);
        verify(logs.remove(0), wanted).unwrap()
    }

    /// All records, oldest first.
    fn records(&self) -> Vec<Value> {
        let mut files: Vec<PathBuf> = sink::rotated::list(&self.log())
            .unwrap()
            .into_iter()
            .map(|file| file.path)
            .collect();
        files.push(self.log());
        files.iter().flat_map(|path| lines(path)).collect()
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn check_keys(chain: ChainKind) -> CheckKeys {
    let mut keys = CheckKeys::default();
    match chain {
        ChainKind::None => {}
        ChainKind::Hmac => keys.add_shared(SHARED_KEY.as_bytes()).unwrap(),
        ChainKind::Ed25519 => keys.add_public(PUBLIC_KEY).unwrap(),
    }
    keys
}

fn start(config: &AuditConfig) -> DecisionLog {
    DecisionLog::start(config, &["authorize"], None)
        .unwrap()
        .unwrap()
}

pub(super) fn secret(text: &str) -> Secret {
    let room = Room::new();
    room.keep("secret", text).read().unwrap()
}

fn pdp(policies: &str) -> Pdp {
    Pdp::builder()
        .policies_text("p.cedar", policies)
        .build()
        .unwrap()
}

fn request() -> Request {
    Request::builder()
        .principal(("User", "alice"))
        .action(("Action", "read"))
        .resource(("Doc", "plan"))
        .build()
        .unwrap()
}

pub(super) fn outcome(policies: &str) -> Outcome {
    pdp(policies).authorize(&request()).unwrap().settled()
}

pub(super) fn entry() -> Entry {
    entry_of(&pdp(ALLOW_ALL), request())
}

fn entry_of(pdp: &Pdp, request: Request) -> Entry {
    let outcome = pdp.authorize(&request).unwrap();
    let latency = Duration::from_micros(7);
    Entry::new(Uuid::now_v7(), "authorize", request, outcome, latency, 100)
}

/// An output that somebody may hold up.
#[derive(Clone, Default)]
struct Gate(Arc<Held>);

#[derive(Default)]
struct Held {
    shut: Mutex<bool>,
    opened: Condvar,
    written: Mutex<Vec<u8>>,
}

impl Gate {
    fn shut(&self, shut: bool) {
        *self.0.shut.lock().unwrap() = shut;
        self.0.opened.notify_all();
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.written.lock().unwrap().clone()).unwrap()
    }

    fn records(&self) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let shut = self.0.shut.lock().unwrap();
        drop(self.0.opened.wait_while(shut, |shut| *shut).unwrap());
        self.0.written.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[track_caller]
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let latest = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < latest, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
