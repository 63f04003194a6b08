//! Hashing under keys that nobody outside the process can know.
//!
//! Whoever knows how a table hashes can choose keys that all meet in one place, and each look-up then walks
//! over all of them. Three rules keep that from outsiders, and every table here follows one of them:
//! - where order costs no more than hashing (sets, inline entities), there is no hash: the table is sorted;
//! - where a decision looks up text ([`text`], [`Keyed`]), the keys of a fast hash are drawn from the operating
//!   system when the process starts. Such a hash is not a pseudo-random function, so the tables of
//!   [`crate::entities`] do not rest on it: they bound how far they probe, and keep what finds no place in
//!   order (`entities/index.rs`);
//! - everything else uses the standard library's `RandomState` (SipHash-1-3 under random keys).

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::num::NonZeroUsize;
use std::sync::LazyLock;

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;
use lru::LruCache;

/// The keys of this process.
static KEYS: LazyLock<(SharedSeed, u64)> =
    LazyLock::new(|| (SharedSeed::from_u64(random()), random()));

/// 64 bits that the operating system drew.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// A hasher under the keys of this process and a seed.
#[inline]
pub(crate) fn hasher(seed: u64) -> FoldHasher<'static> {
    let (shared, own) = &*KEYS;
    FoldHasher::with_seed(seed ^ own, shared)
}

/// The hash of a text under a seed.
#[inline]
pub(crate) fn text(seed: u64, text: &str) -> u64 {
    let mut hasher = hasher(seed);
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// The hash of an entity's type and id. It is the same in every store of this process, so that a request that
/// is decided many times is hashed once.
#[inline]
pub(crate) fn entity(type_name: &str, id: &str) -> u64 {
    let mut hasher = hasher(0);
    hasher.write(type_name.as_bytes());
    hasher.write(id.as_bytes());
    hasher.finish()
}

/// A cache whose keys come from outside: hashed by SipHash, not by what `lru` has for a default.
pub(crate) type Lru<K, V> = LruCache<K, V, RandomState>;

/// An empty cache of at most `most`.
pub(crate) fn lru<K: Hash + Eq, V>(most: NonZeroUsize) -> Lru<K, V> {
    LruCache::with_hasher(most, RandomState::new())
}

/// The state of a hash map whose keys are names that an operator writes, such as those of a schema, or numbers
/// that a store gives out.
#[derive(Debug, Clone)]
pub(crate) struct Keyed(u64);

impl Default for Keyed {
    fn default() -> Self {
        Self(random())
    }
}

impl BuildHasher for Keyed {
    type Hasher = FoldHasher<'static>;

    #[inline]
    fn build_hasher(&self) -> FoldHasher<'static> {
        hasher(self.0)
    }
}
