//! The decision log: a record of every decision, bound to the one before, in a file, on standard output
//! or over HTTP.
//!
//! What enters: an [`Entry`], made of what a decision was made of. What leaves: lines of JSON. What must
//! hold:
//! - handing an entry over costs its caller next to nothing; all else is done by the log's own thread;
//! - a record that cannot be kept goes by the overflow rule, and is counted; nothing is lost in silence;
//! - no sink gets what a mask hides, and no record holds the message of an error, which may quote it;
//! - what is sealed into the chain is written in that order, once.

mod canonical;
mod chain;
mod change;
mod counts;
mod entry;
mod head;
mod keys;
pub(crate) mod mask;
mod notice;
mod queue;
mod record;
mod sink;
pub(crate) mod verify;
mod writer;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde::Deserialize;
use uuid::Uuid;

use crate::base::json::Pointer;
use crate::base::lock::lock;
use crate::pdp::decide::Outcome;
use crate::pdp::evaluate::Slicer;
use crate::service::config::{self, AuditConfig, ChainKind, Overflow, Secret, SecretRef};
use crate::service::net::fetch::Fetch;

use chain::{Chain, Link};
use counts::{Counters, SinkState};
use entry::Filter;
use head::Head;
use keys::ChainKey;
use mask::Masks;

use queue::{NoRoom, Pushed, Queue};
use sink::file::{FileSink, Opened, beside};
use sink::post::PostSink;
use writer::{Begin, Pending, Writer};

pub(crate) use canonical::from_hex;
pub(crate) use change::SubjectChange;
pub(crate) use counts::AuditCounts;
pub(crate) use entry::Entry;
pub(crate) use keys::CheckKeys;

/// Longest line, in bytes. A record that would be longer is reduced to a summary.
const LONGEST_LINE: usize = 8 << 20;
/// Stack of the writing thread: reading a request again recurses as deep as it nests.
const STACK: usize = 16 << 20;

/// The decision log; cheap to clone. Without a call of [`DecisionLog::close`] what waits is written when
/// the last handle goes, as long as the process lives.
#[derive(Debug, Clone)]
pub(crate) struct DecisionLog(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    filter: Filter,
    no_room: NoRoom,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What callers and the writing thread share.
#[derive(Debug)]
struct Shared {
    queue: Queue,
    counters: Counters,
    file: SinkState,
    stdout: SinkState,
    http: Arc<SinkState>,
}

/// There is no room for the record, and the settings say that nothing is decided without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the decision cannot be recorded")]
pub(crate) struct LogFull;

/// Why the log cannot be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditError {
    /// The file cannot be written.
    #[error("`audit.file`: `{path}`: {error}")]
    File { path: String, error: std::io::Error },
    /// A setting cannot be used.
    #[error("`{key}`: {message}")]
    Setting {
        key: &'static str,
        /// Without the secret, where it is one.
        message: String,
    },
    /// There is no thread to write on.
    #[error("cannot start the audit log: {0}")]
    System(#[from] std::io::Error),
}

impl DecisionLog {
    /// Starts the log; `None` where nothing is to be recorded. `routes` are the names that
    /// `audit.routes` may use, `fetch` posts batches.
    ///
    /// # Errors
    /// When a key cannot be read or used, the file cannot be written, or a route is not known.
    pub(crate) fn start(
        config: &AuditConfig,
        routes: &[&str],
        fetch: Option<Arc<dyn Fetch>>,
    ) -> Result<Option<Self>, AuditError> {
        let stdout = config.stdout.then(|| {
            let out: Box<dyn std::io::Write + Send> = Box::new(std::io::stdout());
            out
        });
        Self::start_with(config, routes, fetch, stdout)
    }

    fn start_with(
        config: &AuditConfig,
        routes: &[&str],
        fetch: Option<Arc<dyn Fetch>>,
        out: Option<Box<dyn std::io::Write + Send>>,
    ) -> Result<Option<Self>, AuditError> {
        if !config.is_on() {
            return Ok(None);
        }
        let unknown = |route: &&String| !routes.contains(&route.as_str());
        if let Some(route) = config.routes.iter().find(unknown) {
            let known = routes.join(", ");
            return Err(AuditError::Setting {
                key: "audit.routes",
                message: format!("no route `{route}`; known are {known}"),
            });
        }
        let mask_key = match read("audit.mask_key", config.mask_key.as_ref())? {
            Some(secret) => canonical::MaskKey::new(&secret),
            None => None,
        };
        let key = read("audit.key", config.key.as_ref())?;
        let key = ChainKey::new(config.chain, key.as_ref()).map_err(|message| {
            let key = "audit.key";
            AuditError::Setting { key, message }
        })?;
        if config.chain == ChainKind::None {
            tracing::warn!(
                "the audit log is not sealed: anyone who can write it can rewrite it (`audit.chain`)"
            );
        }
        let masks = masks(config, mask_key.as_ref())?;
        // The token is read for each batch; one that is not there is better known now.
        read("audit.url_token", config.url_token.as_ref())?;
        if config.url.is_some() && fetch.is_none() {
            return Err(AuditError::Setting {
                key: "audit.url",
                message: "there is no client to post with".to_owned(),
            });
        }
        // Opening may cut something off, so it comes when nothing else can be wrong.
        let file = match &config.file {
            Some(path) => Some(open(path)?),
            None => None,
        };
        let (file, found) = file.unzip();
        let Start { log, last, begin } = begin(config, &key, found);
        let shared = Arc::new(Shared {
            queue: Queue::new(config.buffer, config.buffer_bytes),
            counters: Counters::default(),
            file: SinkState::new("file", config.file.is_some()),
            stdout: SinkState::new("stdout", config.stdout),
            http: Arc::new(SinkState::new("http", config.url.is_some())),
        });
        let post = match config.url.as_deref().zip(fetch) {
            Some((url, fetch)) => {
                let state = Arc::clone(&shared.http);
                Some(PostSink::start(config, url, fetch, state)?)
            }
            None => None,
        };
        let writer = Writer {
            shared: Arc::clone(&shared),
            config: config.clone(),
            log,
            chain: Chain::new(key, last),
            masks,
            mask_key,
            file,
            out,
            post,
            slicer: Slicer::default(),
            pending: Pending::default(),
        };
        let thread = std::thread::Builder::new()
            .name("deodar-audit".to_owned())
            .stack_size(STACK)
            .spawn(move || writer.run(&begin))?;
        Ok(Some(Self(Arc::new(Handle {
            shared,
            filter: Filter::new(config),
            no_room: match config.overflow {
                Overflow::Drop => NoRoom::Drop,
                Overflow::Block => NoRoom::Wait(*config.block_timeout),
                Overflow::Deny => NoRoom::Fail,
            },
            thread: Mutex::new(Some(thread)),
        }))))
    }

    /// Whether a decision would be recorded, for callers that need not make an entry of others.
    pub(crate) fn wants(&self, id: Uuid, route: &str, outcome: &Outcome) -> bool {
        let wanted = self.0.filter.takes(id, route, outcome);
        if !wanted {
            let filtered = &self.0.shared.counters.filtered;
            filtered.fetch_add(1, Ordering::Relaxed);
        }
        wanted
    }

    /// Records a decision, unless filters leave it out. Returns at once under `drop` and `deny`; waits
    /// under `block`, and is then called where waiting is allowed.
    ///
    /// # Errors
    /// [`LogFull`] under `deny` and `block`, when there is no room: the decision must not be told.
    pub(crate) fn record(&self, entry: Entry) -> Result<(), LogFull> {
        if !self.wants(entry.id, entry.route, &entry.outcome) {
            return Ok(());
        }
        let Handle {
            shared, no_room, ..
        } = &*self.0;
        match shared.queue.push(entry, *no_room) {
            Pushed::Taken => Ok(()),
            Pushed::Dropped => {
                shared.counters.drop_one();
                Ok(())
            }
            Pushed::Full => {
                shared.counters.refused.fetch_add(1, Ordering::Relaxed);
                Err(LogFull)
            }
        }
    }

    /// Records what was ordered about a subject. Returns at once; what finds no room is counted as dropped.
    pub(crate) fn note(&self, change: SubjectChange) {
        let shared = &self.0.shared;
        if shared.queue.push_change(change) == Pushed::Dropped {
            shared.counters.drop_one();
        }
    }

    /// Whether [`DecisionLog::record`] may wait.
    pub(crate) fn may_wait(&self) -> bool {
        matches!(self.0.no_room, NoRoom::Wait(_))
    }

    /// Why the log is degraded, if it is.
    pub(crate) fn health(&self) -> Option<String> {
        let shared = &self.0.shared;
        let ended = || {
            let thread = lock(&self.0.thread);
            thread.as_ref().is_some_and(JoinHandle::is_finished)
        };
        if !shared.queue.is_closed() && ended() {
            return Some("the audit log has stopped writing".to_owned());
        }
        let sinks = [&shared.file, &shared.stdout, &*shared.http];
        if let Some(trouble) = sinks.into_iter().find_map(SinkState::trouble) {
            return Some(trouble);
        }
        let dropped = shared.counters.dropped_lately();
        dropped.then(|| "decisions were not recorded within the last minute".to_owned())
    }

    /// The results of decisions since the start.
    pub(crate) fn counts(&self) -> AuditCounts {
        let shared = &self.0.shared;
        let counters = &shared.counters;
        let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        AuditCounts {
            recorded: load(&counters.recorded),
            dropped: load(&counters.dropped),
            refused: load(&counters.refused),
            filtered: load(&counters.filtered),
            reduced: load(&counters.reduced),
            queued: shared.queue.len() as u64,
            bytes: load(&counters.bytes),
            sinks: [&shared.file, &shared.stdout, &*shared.http].map(SinkState::counts),
        }
    }

    /// Writes what waits, closes the chain and ends; takes a few seconds where a sink fails. Whoever
    /// records after it is refused, or counted as dropped.
    pub(crate) fn close(self) {
        self.0.shared.queue.close();
        let thread = lock(&self.0.thread).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the audit log ended by a panic");
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

/// Where a log begins.
struct Start {
    /// Its id: it tells one chain from another.
    log: String,
    last: Link,
    begin: Begin,
}

fn begin(config: &AuditConfig, key: &ChainKey, found: Option<Opened>) -> Start {
    let found = found.unwrap_or_default();
    let head = config.file.as_deref().and_then(|path| {
        let path = beside(path, "head");
        Head::read(&path).unwrap_or_else(|message| {
            tracing::warn!(path = %path.display(), message, "the head of the audit log is left out");
            None
        })
    });
    let end = found.last.unwrap_or(Link::START);
    let headed = head.as_ref().and_then(Head::link);
    // A head beyond the end of the file says that the end is not there any more.
    let beyond = headed.filter(|link| link.sequence > end.sequence);
    let other_key = head
        .as_ref()
        .is_some_and(|head| head.chain != config.chain.as_str() || head.key_id != key.id());
    let known = head.map(|head| head.log).or(found.log);
    Start {
        log: known.unwrap_or_else(|| Uuid::now_v7().to_string()),
        last: beyond.unwrap_or(end),
        begin: Begin {
            after: match (found.last, beyond) {
                (None, None) => "nothing",
                (Some(_), None) if found.closed => "stop",
                _ => "crash",
            },
            torn: found.torn,
            missing: beyond.map(|link| (end.sequence + 1, link.sequence)),
            rotate: other_key,
        },
    }
}

fn open(path: &Path) -> Result<(FileSink, Opened), AuditError> {
    FileSink::open(path).map_err(|error| AuditError::File {
        path: path.display().to_string(),
        error,
    })
}

fn read(key: &'static str, secret: Option<&SecretRef>) -> Result<Option<Secret>, AuditError> {
    let read = secret.map(SecretRef::read).transpose();
    read.map_err(|message| AuditError::Setting { key, message })
}

fn masks(
    config: &AuditConfig,
    key: Option<&canonical::MaskKey>,
) -> Result<Option<Masks>, AuditError> {
    let fault = |message: String| AuditError::Setting {
        key: "audit.masks",
        message,
    };
    let pointers = config.masks.iter().map(|text| config::mask(text));
    let pointers: Vec<Pointer> = pointers.collect::<Result<_, _>>().map_err(fault)?;
    match (pointers.is_empty(), key) {
        (true, _) => Ok(None),
        (false, Some(key)) => Ok(Some(Masks::new(pointers, key.clone()))),
        (false, None) => Err(fault("masks need `audit.mask_key`".to_owned())),
    }
}

/// What every record says of itself.
#[derive(Debug, Deserialize)]
struct Meta<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    sequence: u64,
    #[serde(default)]
    closing: bool,
}

impl Meta<'_> {
    /// Whether the log was closed behind it.
    fn closes(&self) -> bool {
        self.kind == "checkpoint" && self.closing
    }
}
