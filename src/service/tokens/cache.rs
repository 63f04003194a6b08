//! Verified tokens by the hash of their text, so that one is verified once.
//!
//! The token itself is not kept. What was refused is verified again each time, except a bad signature,
//! which is remembered for a moment: it costs most and cannot become good.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::Verified;
use super::claims::later;
use super::denied::Denied;
use super::error::TokenError;
use crate::base::hash;
use crate::base::hash::Lru;
use crate::base::lock::lock;
use crate::base::timestamp::Timestamp;
use crate::service::config::TokenUsage;

/// Parts that are locked apart.
const SHARDS: usize = 16;
/// Verified tokens kept in each.
const MOST: NonZeroUsize = NonZeroUsize::new(512).unwrap();
/// Bad signatures remembered in each.
const MOST_BAD: NonZeroUsize = NonZeroUsize::new(128).unwrap();
/// Entities of verified tokens kept in each: a token may list a thousand groups.
const MOST_ENTITIES: usize = 8_192;
/// How long a bad signature is remembered.
const BAD_FOR: Duration = Duration::from_secs(10);

/// A token's hash, and what it is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct CacheKey([u8; 32]);

impl CacheKey {
    /// The key of a token that stands for this.
    pub(super) fn of(token: &str, usage: TokenUsage) -> Self {
        let mut hash = Sha256::new();
        hash.update([match usage {
            TokenUsage::Principal => 0,
            TokenUsage::Caller => 1,
        }]);
        hash.update(token);
        Self(hash.finalize().into())
    }
}

#[derive(Debug)]
struct Entry {
    verified: Arc<Verified>,
    until: Timestamp,
    /// The deny-list's generation in which the token was looked up.
    clean: u64,
}

#[derive(Debug)]
struct Shard {
    good: Lru<CacheKey, Entry>,
    /// Entities of those.
    entities: usize,
    bad: Lru<CacheKey, (Timestamp, TokenError)>,
}

/// The cache of all issuers.
#[derive(Debug)]
pub(super) struct Cache {
    shards: Vec<Mutex<Shard>>,
}

impl Shard {
    /// Counts an entry that is kept no longer.
    fn forget(&mut self, gone: Option<Entry>) {
        let entities = gone.map_or(0, |gone| gone.verified.entities.len());
        self.entities = self.entities.saturating_sub(entities);
    }
}

impl Cache {
    pub(super) fn new() -> Self {
        let shard = || {
            Mutex::new(Shard {
                good: hash::lru(MOST),
                entities: 0,
                bad: hash::lru(MOST_BAD),
            })
        };
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
        }
    }

    fn shard(&self, key: &CacheKey) -> Option<MutexGuard<'_, Shard>> {
        let [first, ..] = key.0;
        let shard = self.shards.get(usize::from(first) % SHARDS)?;
        Some(lock(shard))
    }

    /// What is known of a token, looked up in the deny-list if that has changed since.
    pub(super) fn find(
        &self,
        key: &CacheKey,
        denied: &Denied,
        now: Timestamp,
    ) -> Option<Result<Arc<Verified>, TokenError>> {
        let mut shard = self.shard(key)?;
        if let Some(entry) = shard.good.get_mut(key) {
            if now >= entry.until {
                let gone = shard.good.pop(key);
                shard.forget(gone);
                return None;
            }
            let generation = denied.generation();
            if entry.clean != generation {
                if let Some(kind) = denied.is_denied(&entry.verified, now) {
                    return Some(Err(super::denied_by(kind)));
                }
                entry.clean = generation;
            }
            return Some(Ok(Arc::clone(&entry.verified)));
        }
        let (until, error) = shard.bad.get(key)?;
        if now >= *until {
            shard.bad.pop(key);
            return None;
        }
        Some(Err(error.clone()))
    }

    /// Keeps a verified token until an instant; `clean` is the deny-list's generation before it was
    /// looked up there.
    pub(super) fn keep(
        &self,
        key: CacheKey,
        verified: Arc<Verified>,
        until: Timestamp,
        clean: u64,
    ) {
        if let Some(mut shard) = self.shard(&key) {
            let entry = Entry {
                verified,
                until,
                clean,
            };
            shard.entities += entry.verified.entities.len();
            let gone = shard.good.push(key, entry).map(|(_, gone)| gone);
            shard.forget(gone);
            while shard.entities > MOST_ENTITIES
                && let Some((_, gone)) = shard.good.pop_lru()
            {
                shard.forget(Some(gone));
            }
        }
    }

    /// Remembers a bad signature for a moment.
    pub(super) fn refuse(&self, key: CacheKey, error: TokenError, now: Timestamp) {
        if let Some(mut shard) = self.shard(&key) {
            shard.bad.put(key, (later(now, BAD_FOR), error));
        }
    }
}
