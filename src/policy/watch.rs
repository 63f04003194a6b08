//! Noticing that files changed: `notify` where it works, looking again and again where it does not.
//!
//! Notifications only wake the watcher; a comparison of fingerprints finds what they miss (network
//! file systems, links swapped further up).

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

/// How changes are noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WatchMode {
    /// By notifications of the system, and by looking every poll interval.
    #[default]
    Auto,
    /// By looking every poll interval only.
    Poll,
    /// Not at all; `reload` must be called.
    Off,
}

/// Settings of a watcher.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watch {
    pub(crate) mode: WatchMode,
    /// Rest that a change must be followed by before it is taken up.
    pub(crate) debounce: Duration,
    pub(crate) poll_interval: Duration,
}

enum Message {
    Changed,
    Stop,
}

/// A thread that watches; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Watcher {
    stop: Sender<Message>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // A failure means that the thread is gone already.
        let _ = self.stop.send(Message::Stop);
    }
}

impl Watcher {
    /// Calls `changed` after every change below `roots`, and once at the start for what changed
    /// before the watch began. `fingerprint` tells one state of the files from another.
    pub(crate) fn spawn<F: PartialEq>(
        roots: Vec<PathBuf>,
        watch: Watch,
        fingerprint: impl Fn() -> F + Send + 'static,
        changed: impl Fn() + Send + 'static,
    ) -> std::io::Result<Self> {
        let (stop, messages) = channel();
        let sender = stop.clone();
        thread::Builder::new()
            .name("deodar-watch".to_owned())
            .spawn(move || run(&roots, watch, &sender, &messages, &fingerprint, &changed))?;
        Ok(Self { stop })
    }
}

fn run<F: PartialEq>(
    roots: &[PathBuf],
    watch: Watch,
    sender: &Sender<Message>,
    messages: &Receiver<Message>,
    fingerprint: &impl Fn() -> F,
    changed: &impl Fn(),
) {
    let mut notified = subscribe(roots, watch, sender);
    let mut seen = fingerprint();
    changed();
    loop {
        match messages.recv_timeout(watch.poll_interval) {
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Ok(Message::Changed) => {
                if !settle(messages, watch.debounce) {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                if fingerprint() == seen {
                    continue;
                }
            }
        }
        // Taken before the files are read: what changes meanwhile differs from it.
        seen = fingerprint();
        changed();
        // A directory that was replaced is watched no longer.
        drop(notified);
        notified = subscribe(roots, watch, sender);
    }
}

/// Waits until nothing was heard for `rest`, for ten times as long at most. False when told to stop.
fn settle(messages: &Receiver<Message>, rest: Duration) -> bool {
    let latest = Instant::now() + rest * 10;
    while Instant::now() < latest {
        match messages.recv_timeout(rest) {
            Ok(Message::Changed) => {}
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => break,
        }
    }
    true
}

fn subscribe(
    roots: &[PathBuf],
    watch: Watch,
    sender: &Sender<Message>,
) -> Option<RecommendedWatcher> {
    if watch.mode != WatchMode::Auto {
        return None;
    }
    let sender = sender.clone();
    let ours = roots.to_vec();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| concerns(&event, &ours)) {
            let _ = sender.send(Message::Changed);
        }
    });
    let mut watcher = match watcher {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::warn!(%error, interval = ?watch.poll_interval, "no file notifications, polling");
            return None;
        }
    };
    for root in roots {
        let mut places = vec![(parent(root), RecursiveMode::NonRecursive)];
        if root.is_dir() {
            places.push((root.clone(), RecursiveMode::Recursive));
        }
        for (place, mode) in places {
            if let Err(error) = watcher.watch(&place, mode) {
                tracing::debug!(path = %place.display(), %error, "cannot watch, polling finds its changes");
            }
        }
    }
    Some(watcher)
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Whether an event can have changed what is read. Reading itself causes access events; taking those
/// for changes would reload for ever.
fn concerns(event: &notify::Event, roots: &[PathBuf]) -> bool {
    let writes = match event.kind {
        EventKind::Access(AccessKind::Close(mode)) => mode == AccessMode::Write,
        EventKind::Access(_) => false,
        _ => true,
    };
    let within = |path: &PathBuf| {
        roots.iter().any(|root| {
            path.starts_with(root) || path.strip_prefix(".").is_ok_and(|p| p.starts_with(root))
        })
    };
    writes && (event.need_rescan() || event.paths.is_empty() || event.paths.iter().any(within))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn wait_until(condition: impl Fn() -> bool) {
        let latest = Instant::now() + Duration::from_secs(10);
        while !condition() {
            assert!(Instant::now() < latest, "nothing was noticed");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn counts_changes(mode: WatchMode, poll: Duration) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        fs::write(&file, "1").unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let (counter, path) = (Arc::clone(&count), file.clone());
        let watch = Watch {
            mode,
            debounce: Duration::from_millis(10),
            poll_interval: poll,
        };
        let print = move || fs::read(&path).ok();
        let watcher = Watcher::spawn(vec![dir.path().to_owned()], watch, print, move || {
            counter.fetch_add(1, Ordering::SeqCst);
        })
        .unwrap();
        wait_until(|| count.load(Ordering::SeqCst) >= 1);
        thread::sleep(Duration::from_millis(50));
        let before = count.load(Ordering::SeqCst);
        fs::write(&file, "2").unwrap();
        wait_until(|| count.load(Ordering::SeqCst) > before);
        drop(watcher);
    }

    #[test]
    fn notifications_are_enough_where_there_are_any() {
        counts_changes(WatchMode::Auto, Duration::from_secs(3600));
    }

    #[test]
    fn polling_is_enough_where_there_are_none() {
        counts_changes(WatchMode::Poll, Duration::from_millis(20));
    }
}
