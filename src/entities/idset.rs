//! A sorted set of entity numbers that versions share: children of a group, members of a type.
//!
//! Up to three numbers live in place; up to a chunk in one sorted vector; beyond that in chunks, so that a
//! change to a set of a million copies one chunk and a list of a few hundred pointers.

use super::symbol::Uid;
use std::sync::Arc;

const INLINE: usize = 3;
const CHUNK: usize = 2_048;

/// A persistent sorted set of [`Uid`]s.
#[derive(Debug, Clone)]
pub(crate) enum IdSet {
    /// At most three, sorted, the rest `NONE`.
    Few([Uid; INLINE]),
    /// One sorted vector.
    Some(Arc<Vec<Uid>>),
    /// Sorted chunks, none of them empty.
    Many(Arc<Vec<Arc<Vec<Uid>>>>),
}

impl Default for IdSet {
    fn default() -> Self {
        Self::Few([Uid::NONE; INLINE])
    }
}

fn few(ids: &[Uid; INLINE]) -> &[Uid] {
    let len = ids.iter().take_while(|id| **id != Uid::NONE).count();
    ids.get(..len).unwrap_or_default()
}

impl IdSet {
    /// Adds `id`; whether it was new.
    pub(crate) fn insert(&mut self, id: Uid) -> bool {
        match self {
            Self::Few(ids) => {
                let known = few(ids);
                if known.contains(&id) {
                    return false;
                }
                if let Some(free) = ids.iter_mut().find(|at| **at == Uid::NONE) {
                    *free = id;
                    ids.sort_unstable();
                } else {
                    let mut all = Vec::with_capacity(INLINE * 2);
                    all.extend_from_slice(ids);
                    all.push(id);
                    all.sort_unstable();
                    *self = Self::Some(Arc::new(all));
                }
                true
            }
            Self::Some(ids) => {
                let Err(at) = search(ids, id) else {
                    return false;
                };
                if ids.len() < CHUNK {
                    Arc::make_mut(ids).insert(at, id);
                } else {
                    let mut chunks = vec![Arc::clone(ids)];
                    insert_chunked(&mut chunks, id);
                    *self = Self::Many(Arc::new(chunks));
                }
                true
            }
            Self::Many(chunks) => {
                if contains_chunked(chunks, id) {
                    return false;
                }
                insert_chunked(Arc::make_mut(chunks), id);
                true
            }
        }
    }

    /// Removes `id`; whether it was there.
    pub(crate) fn remove(&mut self, id: Uid) -> bool {
        match self {
            Self::Few(ids) => {
                let Some(at) = ids.iter_mut().find(|at| **at == id) else {
                    return false;
                };
                *at = Uid::NONE;
                ids.sort_unstable();
                true
            }
            Self::Some(ids) => {
                let Ok(at) = search(ids, id) else {
                    return false;
                };
                let ids = Arc::make_mut(ids);
                ids.remove(at);
                if ids.len() <= INLINE {
                    let mut kept = [Uid::NONE; INLINE];
                    kept.iter_mut()
                        .zip(ids.iter())
                        .for_each(|(to, from)| *to = *from);
                    *self = Self::Few(kept);
                }
                true
            }
            Self::Many(chunks) => {
                let at = chunk_of(chunks, id);
                let Some(Ok(inside)) = chunks.get(at).map(|chunk| search(chunk, id)) else {
                    return false;
                };
                let chunks = Arc::make_mut(chunks);
                if let Some(chunk) = chunks.get_mut(at) {
                    let chunk = Arc::make_mut(chunk);
                    chunk.remove(inside);
                    if chunk.is_empty() {
                        chunks.remove(at);
                    }
                }
                if chunks.len() == 1
                    && let Some(last) = chunks.pop()
                {
                    *self = Self::Some(last);
                }
                true
            }
        }
    }

    /// Whether `id` is among them.
    pub(crate) fn contains(&self, id: Uid) -> bool {
        match self {
            Self::Few(ids) => few(ids).contains(&id),
            Self::Some(ids) => search(ids, id).is_ok(),
            Self::Many(chunks) => contains_chunked(chunks, id),
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Few(ids) => few(ids).len(),
            Self::Some(ids) => ids.len(),
            Self::Many(chunks) => chunks.iter().map(|chunk| chunk.len()).sum(),
        }
    }

    /// The numbers in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Uid> + '_ {
        let (flat, chunks): (&[Uid], &[Arc<Vec<Uid>>]) = match self {
            Self::Few(ids) => (few(ids), &[]),
            Self::Some(ids) => (ids, &[]),
            Self::Many(chunks) => (&[], chunks),
        };
        flat.iter()
            .chain(chunks.iter().flat_map(|chunk| chunk.iter()))
            .copied()
    }
}

fn search(ids: &[Uid], id: Uid) -> Result<usize, usize> {
    match ids.last() {
        Some(last) if *last < id => Err(ids.len()),
        _ => ids.binary_search(&id),
    }
}

/// The chunk that holds `id`, or would.
fn chunk_of(chunks: &[Arc<Vec<Uid>>], id: Uid) -> usize {
    let after = chunks.partition_point(|chunk| chunk.first().is_some_and(|first| *first <= id));
    after.saturating_sub(1)
}

fn contains_chunked(chunks: &[Arc<Vec<Uid>>], id: Uid) -> bool {
    chunks
        .get(chunk_of(chunks, id))
        .is_some_and(|chunk| search(chunk, id).is_ok())
}

/// Inserts a number that is not there; a full last chunk is followed by a new one, another is halved.
fn insert_chunked(chunks: &mut Vec<Arc<Vec<Uid>>>, id: Uid) {
    let at = chunk_of(chunks, id);
    let last = at + 1 == chunks.len();
    let Some(chunk) = chunks.get_mut(at) else {
        chunks.push(Arc::new(vec![id]));
        return;
    };
    let inside = search(chunk, id).unwrap_or_else(|free| free);
    if chunk.len() < CHUNK {
        Arc::make_mut(chunk).insert(inside, id);
    } else if last && inside == CHUNK {
        chunks.push(Arc::new(vec![id]));
    } else {
        let chunk = Arc::make_mut(chunk);
        let mut upper = chunk.split_off(CHUNK / 2);
        match inside.checked_sub(CHUNK / 2) {
            Some(inside) => upper.insert(inside, id),
            None => chunk.insert(inside, id),
        }
        chunks.insert(at + 1, Arc::new(upper));
    }
}

#[cfg(test)]
mod tests {
    use super::IdSet;
    use crate::entities::symbol::Uid;
    use std::collections::BTreeSet;

    #[test]
    fn agrees_with_a_tree_through_growth_and_shrinkage() {
        let mut set = IdSet::default();
        let mut model = BTreeSet::new();
        let mut state = 1u32;
        for round in 0..60_000u32 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let id = Uid::stored((state >> 8) % 20_000);
            if round % 60_000 < 30_000 || state.is_multiple_of(4) {
                assert_eq!(set.insert(id), model.insert(id));
            } else {
                assert_eq!(set.remove(id), model.remove(&id));
            }
        }
        assert!(set.iter().eq(model.iter().copied()));
        assert_eq!(set.len(), model.len());
        for id in model {
            assert!(set.remove(id));
        }
        assert_eq!(set.len(), 0);
    }
}
