//! How far a read of files has come, for those who wait for it: a file system can block for ever.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::base::lock::lock;

/// Where a read is, and since when. Shared with the thread that reads.
#[derive(Debug)]
pub(crate) struct Progress {
    began: Instant,
    last: Mutex<(Instant, PathBuf)>,
    ended: AtomicBool,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            last: Mutex::new((Instant::now(), PathBuf::new())),
            ended: AtomicBool::new(false),
        }
    }
}

impl Progress {
    /// The read goes on with this path.
    pub(crate) fn at(&self, path: &Path) {
        let mut last = self.last();
        last.0 = Instant::now();
        last.1.clear();
        last.1.push(path);
    }

    /// The read goes on with the same path.
    pub(crate) fn moved(&self) {
        self.last().0 = Instant::now();
    }

    /// The read is over.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Whether it is over.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// How long the read has taken.
    pub(crate) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// How long nothing has moved, and the path that is being read.
    pub(crate) fn stands_still(&self) -> (Duration, PathBuf) {
        let last = self.last();
        (last.0.elapsed(), last.1.clone())
    }

    fn last(&self) -> MutexGuard<'_, (Instant, PathBuf)> {
        lock(&self.last)
    }
}
