//! Noticing that files changed: `notify` where it works, looking again and again where it does not.
//!
//! Notifications only wake the watcher; a comparison of fingerprints finds what they miss (network
//! file systems, links swapped further up).

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

/// How changes are noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
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
    /// Files must have been unchanged for this long before a change is taken up.
    pub(crate) debounce: Duration,
    pub(crate) poll_interval: Duration,
}

/// The result of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reloading {
    /// It was taken up, or refused for what it says.
    Done,
    /// It could not be read; the next poll tries again, whether or not files have changed.
    Retry,
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
        changed: impl Fn() -> Reloading + Send + 'static,
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
    changed: &impl Fn() -> Reloading,
) {
    let mut notified = subscribe(roots, watch, sender);
    let mut seen = fingerprint();
    let mut taken = changed();
    loop {
        match messages.recv_timeout(watch.poll_interval) {
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Ok(Message::Changed) => {
                if !settle(messages, watch.debounce) {
                    return;
                }
                // A directory that was replaced is not watched any more. Subscribing comes before the
                // fingerprint: a change after it sends a notification, a change before it is in the fingerprint.
                drop(notified);
                notified = subscribe(roots, watch, sender);
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        // Taken before the files are read: what changes meanwhile differs from it.
        let now = fingerprint();
        if now != seen || taken == Reloading::Retry {
            seen = now;
            taken = changed();
        }
    }
}

/// Waits until no notification came for `rest`, for ten times as long at most. False when told to stop.
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
    let mut ways = Ways::default();
    for root in roots {
        ways.add(root);
    }
    let Ways { names, places } = ways;
    let sender = sender.clone();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| concerns(&event, &names)) {
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
    for (place, mode) in places {
        if let Err(error) = watcher.watch(&place, mode) {
            tracing::debug!(path = %place.display(), %error, "cannot watch, polling finds its changes");
        }
    }
    Some(watcher)
}

/// Links that are followed on the way to one root, as the kernel does.
const MAX_LINKS: usize = 40;

/// The ways to the roots, in real paths: notifications carry the path of the directory that is watched, so
/// a relative path or one through a link would never be recognized.
#[derive(Default)]
struct Ways {
    /// Paths that concern a root, and all below them: the root itself, each link on the way to it, or the
    /// first part of the way that does not exist yet.
    names: Vec<PathBuf>,
    places: BTreeMap<PathBuf, RecursiveMode>,
}

impl Ways {
    /// Walks to a root part by part, as the kernel does.
    fn add(&mut self, root: &Path) {
        let Ok(absolute) = std::path::absolute(root) else {
            return;
        };
        let mut parts: VecDeque<OsString> = owned_parts(&absolute).collect();
        let (mut at, mut links) = (PathBuf::new(), 0);
        while let Some(part) = parts.pop_front() {
            if part == ".." {
                at.pop();
                continue;
            }
            let next = at.join(&part);
            match fs::symlink_metadata(&next) {
                Ok(meta) if meta.is_symlink() => {
                    links += 1;
                    let target = fs::read_link(&next);
                    self.name(next);
                    let Ok(target) = target else { return };
                    if links > MAX_LINKS {
                        return;
                    }
                    for part in owned_parts(&target).collect::<Vec<_>>().into_iter().rev() {
                        parts.push_front(part);
                    }
                    if target.is_absolute() {
                        at = PathBuf::new();
                    }
                }
                Ok(_) => at = next,
                Err(_) => return self.name(next),
            }
        }
        let is_directory = at.is_dir();
        self.name(at.clone());
        if is_directory {
            self.places.insert(at, RecursiveMode::Recursive);
        }
    }

    /// Watches a name in the directory it is in.
    fn name(&mut self, path: PathBuf) {
        if let Some(parent) = path.parent() {
            let place = self.places.entry(parent.to_owned());
            place.or_insert(RecursiveMode::NonRecursive);
        }
        self.names.push(path);
    }
}

/// The parts of a path without `.`.
fn owned_parts(path: &Path) -> impl Iterator<Item = OsString> {
    let parts = path.components();
    let parts = parts.filter(|part| !matches!(part, Component::CurDir));
    parts.map(|part| part.as_os_str().to_owned())
}

/// Whether an event can have changed what is read. Reading causes access events; taking those for changes
/// would reload for ever.
fn concerns(event: &notify::Event, names: &[PathBuf]) -> bool {
    let writes = match event.kind {
        EventKind::Access(AccessKind::Close(mode)) => mode == AccessMode::Write,
        EventKind::Access(_) => false,
        _ => true,
    };
    let named = |path: &PathBuf| names.iter().any(|name| path.starts_with(name));
    writes && (event.need_rescan() || event.paths.is_empty() || event.paths.iter().any(named))
}

#[cfg(test)]
mod tests {
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

    /// A watcher of one path that counts changes.
    struct Counting {
        count: Arc<AtomicUsize>,
        _watcher: Watcher,
    }

    impl Counting {
        fn start(root: &Path, mode: WatchMode, poll: Duration) -> Self {
            let count = Arc::new(AtomicUsize::new(0));
            let (counter, path) = (Arc::clone(&count), root.to_owned());
            let watch = Watch {
                mode,
                debounce: Duration::from_millis(10),
                poll_interval: poll,
            };
            let print = move || content(&path);
            let watcher = Watcher::spawn(vec![root.to_owned()], watch, print, move || {
                counter.fetch_add(1, Ordering::SeqCst);
                Reloading::Done
            });
            let counting = Self {
                count,
                _watcher: watcher.unwrap(),
            };
            wait_until(|| counting.count() >= 1);
            thread::sleep(Duration::from_millis(50));
            counting
        }

        fn count(&self) -> usize {
            self.count.load(Ordering::SeqCst)
        }

        #[track_caller]
        fn notices(&self, change: impl FnOnce()) {
            let before = self.count();
            change();
            wait_until(|| self.count() > before);
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// All that is below a path.
    fn content(path: &Path) -> Vec<Option<Vec<u8>>> {
        match fs::read_dir(path) {
            Err(_) => vec![fs::read(path).ok()],
            Ok(members) => {
                let mut paths: Vec<_> = members.flatten().map(|member| member.path()).collect();
                paths.sort();
                paths.iter().flat_map(|path| content(path)).collect()
            }
        }
    }

    const NEVER: Duration = Duration::from_secs(3600);

    fn by_notification(root: &Path) -> Counting {
        Counting::start(root, WatchMode::Auto, NEVER)
    }

    #[test]
    fn polling_is_enough_where_there_are_no_notifications() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        fs::write(&file, "1").unwrap();
        let poll = Duration::from_millis(20);
        Counting::start(dir.path(), WatchMode::Poll, poll)
            .notices(|| fs::write(&file, "2").unwrap());
    }

    #[test]
    fn a_change_that_could_not_be_read_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let tries = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&tries);
        let watch = Watch {
            mode: WatchMode::Poll,
            debounce: Duration::from_millis(1),
            poll_interval: Duration::from_millis(5),
        };
        let _watcher = Watcher::spawn(
            vec![dir.path().to_owned()],
            watch,
            || (),
            move || match counter.fetch_add(1, Ordering::SeqCst) {
                0..=2 => Reloading::Retry,
                _ => Reloading::Done,
            },
        )
        .unwrap();
        wait_until(|| tries.load(Ordering::SeqCst) == 4);
        thread::sleep(Duration::from_millis(100));
        assert_eq!(tries.load(Ordering::SeqCst), 4);
    }

    /// Every way to write a path. The working directory belongs to the whole process, so that relative
    /// paths climb from it to the root of the file system.
    #[test]
    fn notifications_arrive_for_every_form_of_path() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        let tree = real.join("tree");
        fs::create_dir_all(tree.join("sub")).unwrap();
        let file = tree.join("sub/a");
        fs::write(&file, "0").unwrap();
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
        let below = |path: &Path| up.join(path.strip_prefix("/").unwrap());
        std::os::unix::fs::symlink(&tree, real.join("link")).unwrap();
        std::os::unix::fs::symlink("link", real.join("link-to-link")).unwrap();
        let forms = [
            tree.clone(),
            below(&tree),
            Path::new(".").join(below(&tree)),
            real.join("link"),
            below(&real.join("link-to-link")),
            real.join("link/../tree/./sub"),
            file.clone(),
            below(&file),
            real.join("link/sub/a"),
        ];
        for (n, form) in forms.iter().enumerate() {
            let counting = by_notification(form);
            counting.notices(|| fs::write(&file, format!("in place {n}")).unwrap());
            counting.notices(|| {
                let other = real.join("other");
                fs::write(&other, format!("by rename {n}")).unwrap();
                fs::rename(&other, &file).unwrap();
            });
        }
    }

    #[test]
    fn what_is_swapped_on_the_way_to_a_root_is_noticed_and_watched_from_then_on() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        for release in ["1", "2"] {
            let tree = real.join("releases").join(release).join("policies");
            fs::create_dir_all(&tree).unwrap();
            fs::write(tree.join("a"), release).unwrap();
        }
        let link = |target: &str| {
            std::os::unix::fs::symlink(target, real.join("new")).unwrap();
            fs::rename(real.join("new"), real.join("current")).unwrap();
        };
        link("releases/1");
        let root = real.join("current/policies");
        let counting = by_notification(&root);
        counting.notices(|| link("releases/2"));
        counting.notices(|| fs::write(real.join("releases/2/policies/a"), "3").unwrap());
        // The directory itself is replaced.
        counting.notices(|| {
            let tree = real.join("releases/2/policies");
            fs::rename(&tree, real.join("releases/2/old")).unwrap();
            fs::create_dir(&tree).unwrap();
            fs::write(tree.join("a"), "4").unwrap();
        });
        counting.notices(|| fs::write(root.join("a"), "5").unwrap());
    }

    /// A mounted ConfigMap: `file -> ..data/file`, and `..data` is swapped.
    #[test]
    fn the_swapped_data_of_a_mounted_volume_is_noticed_for_a_file_and_for_the_directory() {
        for root in ["", "a"] {
            let dir = tempfile::tempdir().unwrap();
            let real = dir.path().canonicalize().unwrap();
            for version in ["..1", "..2"] {
                fs::create_dir(real.join(version)).unwrap();
                fs::write(real.join(version).join("a"), version).unwrap();
            }
            std::os::unix::fs::symlink("..1", real.join("..data")).unwrap();
            std::os::unix::fs::symlink("..data/a", real.join("a")).unwrap();
            let counting = by_notification(&real.join(root));
            counting.notices(|| {
                std::os::unix::fs::symlink("..2", real.join("..data_tmp")).unwrap();
                fs::rename(real.join("..data_tmp"), real.join("..data")).unwrap();
            });
        }
    }

    #[test]
    fn a_root_that_does_not_exist_yet_is_noticed_when_it_comes() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        let root = real.join("a/b");
        let counting = by_notification(&root);
        fs::create_dir(real.join("a")).unwrap();
        thread::sleep(Duration::from_millis(200));
        counting.notices(|| {
            fs::create_dir(&root).unwrap();
            fs::write(root.join("c"), "1").unwrap();
        });
    }

    #[test]
    fn neighbours_of_a_root_wake_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        fs::write(real.join("a"), "1").unwrap();
        let mut ways = Ways::default();
        ways.add(&real.join("a"));
        let event = |name: &str| {
            let kind = EventKind::Modify(notify::event::ModifyKind::Any);
            notify::Event::new(kind).add_path(real.join(name))
        };
        assert!(concerns(&event("a"), &ways.names));
        assert!(!concerns(&event("b"), &ways.names));
    }
}
