//! Reloading when the files of a [`Pdp`] change.

use std::path::PathBuf;
use std::sync::{Arc, Weak};

use super::{Inner, Pdp};
use crate::policy::{Watch, WatchMode, Watcher};

impl Pdp {
    /// Watches the paths of the sources from now on; the thread ends with the last clone of this value.
    pub(super) fn watch(&self, watch: Watch) -> std::io::Result<()> {
        let roots = &self.inner.reloader.sources.roots.0;
        let paths: Vec<PathBuf> = roots.iter().map(|(_, path)| path.clone()).collect();
        if paths.is_empty() || watch.mode == WatchMode::Off {
            return Ok(());
        }
        let (list, reload) = (self.weak(), self.weak());
        let fingerprint = move || {
            let inner = list.upgrade()?;
            let limits = inner.limits.load().1;
            inner.reloader.sources.roots.list(&limits).ok()
        };
        let changed = move || {
            if let Some(inner) = reload.upgrade() {
                // The result is logged, counted and told to subscribers.
                let _ = inner.reload(false);
            }
        };
        let watcher = Watcher::spawn(paths, watch, fingerprint, changed)?;
        // A second watcher is dropped again, which ends its thread.
        let _ = self.inner.watcher.set(watcher);
        Ok(())
    }

    fn weak(&self) -> Weak<Inner> {
        Arc::downgrade(&self.inner)
    }
}
