//! Which key made which, and how many there may be.

use super::record::Maker;
use super::{ApiKey, Index, KeyError, MOST_KEYS};
use crate::base::caller::KEY_PREFIX;
use crate::base::timestamp::Timestamp;

/// Keys that one key and its descendants have made, those that have ended among them.
const MOST_MADE: usize = 1_000;
/// Keys in a chain of keys that made one another.
pub(super) const DEEPEST: usize = 8;

/// The keys above a key, the nearest first.
pub(super) fn makers<'a>(
    key: &'a ApiKey,
    find: impl Fn(&str) -> Option<&'a ApiKey>,
) -> impl Iterator<Item = &'a ApiKey> {
    let above = move |key: &&'a ApiKey| match key.maker() {
        Maker::Key(id) => find(id),
        _ => None,
    };
    // One more than can be made: a store that says otherwise is not followed in circles.
    std::iter::successors(Some(key), above)
        .skip(1)
        .take(DEEPEST + 1)
}

/// Whether the caller of this id made a key, or one above it.
pub(super) fn made_by(index: &Index, key: &ApiKey, caller: &str) -> bool {
    let above = makers(key, |id| index.get(id).map(|maker| &*maker.key));
    std::iter::once(key)
        .chain(above)
        .any(|key| key.made_by.as_deref() == Some(caller))
}

/// Checks that there is room for one more key, and that its maker is one that holds.
pub(super) fn check_room(
    index: &Index,
    made_by: Option<&str>,
    now: Timestamp,
) -> Result<(), KeyError> {
    if index.len() >= MOST_KEYS {
        return Err(KeyError::Full(format!("{MOST_KEYS} keys are kept")));
    }
    let Some(id) = made_by.and_then(|id| id.strip_prefix(KEY_PREFIX)) else {
        return Ok(());
    };
    let maker = index.get(id).map(|entry| &entry.key);
    let maker = maker.filter(|key| key.revoked.is_none() && !key.is_expired(now));
    let maker = maker.ok_or_else(|| KeyError::Revoked(id.to_owned()))?;
    let find = |id: &str| index.get(id).map(|entry| &*entry.key);
    if makers(maker, find).count() + 1 >= DEEPEST {
        return Err(KeyError::Exceeds(format!(
            "a chain of keys that made one another has at most {DEEPEST}"
        )));
    }
    let first = makers(maker, find).last().unwrap_or(maker).identity();
    let made = index.values();
    let made = made.filter(|entry| self::made_by(index, &entry.key, &first));
    if made.count() >= MOST_MADE {
        let message = format!("`{first}` and its descendants have made {MOST_MADE} keys");
        return Err(KeyError::Full(message));
    }
    Ok(())
}
