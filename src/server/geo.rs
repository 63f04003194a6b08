//! The database of places that the configuration names, taken up again when its file changes.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;

use crate::enrich::{GeoAnswer, GeoSource, MaxMind};

/// What tells where addresses are; nothing as long as no database is named.
#[derive(Debug, Default)]
pub(super) struct LiveGeo {
    database: ArcSwapOption<MaxMind>,
    /// What was asked for last, whether or not it could be read.
    path: Mutex<Option<PathBuf>>,
}

impl LiveGeo {
    /// Reads the database at `path`, or the one before again where its file changed. One that cannot be
    /// read leaves the one before where it is.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(super) fn take_up(&self, path: Option<&Path>) -> Result<(), String> {
        let mut now = self.path.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.database.load_full();
        match (path, before) {
            (None, _) => self.database.store(None),
            (Some(path), Some(before)) if before.path() == path => {
                before.reload()?;
            }
            (Some(path), _) => self.database.store(Some(Arc::new(MaxMind::open(path)?))),
        }
        *now = path.map(Path::to_owned);
        Ok(())
    }

    /// The database's file, where one was taken up.
    pub(super) fn path(&self) -> Option<PathBuf> {
        let path = self.path.lock().unwrap_or_else(PoisonError::into_inner);
        path.clone()
    }
}

impl GeoSource for LiveGeo {
    fn look_up(&self, ip: IpAddr) -> Option<GeoAnswer> {
        self.database.load().as_ref()?.look_up(ip)
    }
}
