//! Reloading when the files of a [`Pdp`] change.

use std::path::PathBuf;
use std::sync::{Arc, Weak};

use super::{Inner, Pdp, ReloadError, reading};
use crate::base::fault::Fault;
use crate::source::watch::{Reloading, Watch, WatchMode, Watcher};

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
            let limits = inner.bounds.reading();
            Some(inner.reloader.fingerprint(limits))
        };
        let changed = move || {
            // The result is logged, counted and told to subscribers.
            let done = reload.upgrade().map(|inner| inner.reload(false));
            match done {
                Some(Err(ReloadError::Faulty(faults))) if faults.iter().any(is_passing) => {
                    Reloading::Retry
                }
                _ => Reloading::Done,
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

/// Whether a fault may pass without a change of any file: the files could not be read.
fn is_passing(fault: &Fault) -> bool {
    ["io", "unstable", reading::HANGS].contains(&fault.code())
}
