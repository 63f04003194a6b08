//! The state directory: what has to outlive the process.
//!
//! What enters: revisions that are about to be published, entities written through the API, API keys,
//! entries of the token deny-list, secrets, webhooks and their deliveries. What leaves: the same after a restart. What must hold:
//! - one process owns the directory; a second one is told who does;
//! - what a write has acknowledged is on disk, and survives `kill -9` and a loss of power; what was not
//!   acknowledged is there whole or not at all;
//! - only this module knows the database, and only its one thread uses it;
//! - the directory has a format number: any but the present one is refused.
//!
//! A write waits for the disk (two syncs), so it is never made on the way of a decision. Writes that
//! wait together are committed together.

mod database;
mod dir;
mod entities;
mod error;
mod format;
mod guard;
mod integrity;
mod revisions;
mod signals;

#[cfg(feature = "server")]
mod denials;
#[cfg(feature = "server")]
pub(crate) mod keys;
#[cfg(feature = "server")]
mod seal;
#[cfg(feature = "server")]
mod secrets;
#[cfg(feature = "server")]
mod webhooks;

#[cfg(test)]
mod damage;
#[cfg(test)]
pub(crate) mod tests;

use std::path::Path;
use std::sync::Arc;

use database::{Database, Handle};
use dir::{Owner, StateDirectory};

#[cfg(feature = "server")]
pub(crate) use denials::Denial;
pub(crate) use entities::EntityWrites;
pub use error::StateDirError;
pub(crate) use revisions::LastGood;
#[cfg(feature = "server")]
pub(crate) use revisions::RevisionLine;
#[cfg(feature = "server")]
pub(crate) use seal::{SealKey, SealKeys};

/// The format this version writes, and the only one it reads.
const FORMAT: u32 = 2;
/// Revisions whose sources are kept, unless set.
const KEEP_REVISIONS: usize = 20;

/// How a state directory is opened.
#[derive(Debug, Clone)]
pub(crate) struct StoreSettings {
    /// Revisions whose sources are kept; of older ones a line stays.
    pub(crate) keep_revisions: usize,
    /// What seals secrets.
    #[cfg(feature = "server")]
    pub(crate) seal: SealKeys,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            keep_revisions: KEEP_REVISIONS,
            #[cfg(feature = "server")]
            seal: SealKeys::default(),
        }
    }
}

/// A state directory that this process owns as long as a handle lives. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    place: StateDirectory,
    settings: StoreSettings,
    #[cfg(feature = "server")]
    keys: keys::Keys,
    /// Dropped before the lock: the database is closed by then.
    database: Database,
    _owner: Owner,
}

impl Store {
    /// Opens the directory, making it where there is none, and becomes its owner.
    pub(crate) fn open(path: &Path, settings: StoreSettings) -> Result<Self, StateDirError> {
        let place = StateDirectory::new(path);
        let owner = dir::own(&place)?;
        format::make_or_check(&place)?;
        let at = place.clone();
        Self::start(place, owner, settings, move || database::open(&at))
    }

    fn start(
        place: StateDirectory,
        owner: Owner,
        settings: StoreSettings,
        open: impl Fn() -> Result<redb::Database, StateDirError> + Send + 'static,
    ) -> Result<Self, StateDirError> {
        let database = Database::start(place.clone(), open)?;
        #[cfg(feature = "server")]
        let keys = {
            secrets::reseal(&database.handle(), &settings.seal)?;
            keys::Keys::load(database.handle())?
        };
        Ok(Self {
            inner: Arc::new(Inner {
                place,
                settings,
                #[cfg(feature = "server")]
                keys,
                database,
                _owner: owner,
            }),
        })
    }

    /// The API keys.
    #[cfg(feature = "server")]
    pub(crate) fn keys(&self) -> &keys::Keys {
        &self.inner.keys
    }

    /// Why the last write failed; `None` once one has succeeded.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.handle().trouble()
    }

    fn handle(&self) -> Handle {
        self.inner.database.handle()
    }
}
