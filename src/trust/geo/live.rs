//! The database of places that the configuration names, taken up again when its file changes.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::trust::geo::{GeoAnswer, GeoSource, MaxMind};

/// What tells where addresses are; nothing as long as no database is named.
#[derive(Debug, Default)]
pub(crate) struct LiveGeo {
    database: ArcSwapOption<MaxMind>,
}

impl LiveGeo {
    /// Reads the database at `path`, or the one before again where its file changed. One that cannot be
    /// read leaves the one before where it is.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(crate) fn take_up(&self, path: Option<&Path>) -> Result<(), String> {
        match (path, self.database.load_full()) {
            (None, _) => self.database.store(None),
            (Some(path), Some(before)) if before.path() == path => {
                before.reload()?;
            }
            (Some(path), _) => self.database.store(Some(Arc::new(MaxMind::open(path)?))),
        }
        Ok(())
    }
}

impl GeoSource for LiveGeo {
    fn look_up(&self, ip: IpAddr) -> Option<GeoAnswer> {
        self.database.load().as_ref()?.look_up(ip)
    }
}
