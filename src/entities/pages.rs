//! A vector that many versions share: changing one element copies one page and the path to it.
//!
//! Reading costs three dependent loads whatever the length. While a vector is shared by nobody (loading a store)
//! changes happen in place. Cloning costs one reference count, and a change to a shared vector about two hundred of
//! them and one for every 4,096 elements: the pages are small because those counts, cold in memory, are what a
//! change costs.

use std::sync::Arc;

const LEAF_BITS: u32 = 5;
const LEAF: usize = 1 << LEAF_BITS;
const MIDDLE_BITS: u32 = 7;
const MIDDLE: usize = 1 << MIDDLE_BITS;

type Leaf<T> = Arc<[T; LEAF]>;
type Middle<T> = Arc<[Leaf<T>; MIDDLE]>;

/// A persistent vector; positions never written hold `T::default()` once something near them was.
#[derive(Debug)]
pub(crate) struct PageVec<T> {
    root: Arc<Vec<Middle<T>>>,
}

impl<T> Clone for PageVec<T> {
    fn clone(&self) -> Self {
        Self {
            root: Arc::clone(&self.root),
        }
    }
}

impl<T> Default for PageVec<T> {
    fn default() -> Self {
        Self {
            root: Arc::new(Vec::new()),
        }
    }
}

const fn split(index: u32) -> (usize, usize, usize) {
    let at = index as usize;
    (
        at >> (LEAF_BITS + MIDDLE_BITS),
        (at >> LEAF_BITS) & (MIDDLE - 1),
        at & (LEAF - 1),
    )
}

impl<T> PageVec<T> {
    /// The element at `index`, if its page exists.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        let (root, middle, leaf) = split(index);
        self.root.get(root)?.get(middle)?.get(leaf)
    }
}

impl<T: Clone + Default> PageVec<T> {
    /// The element at `index` for writing; the vector grows to hold it.
    #[expect(
        clippy::indexing_slicing,
        reason = "INVARIANT: `root` was grown past the index above; the masks keep the others inside their arrays"
    )]
    pub(crate) fn get_mut(&mut self, index: u32) -> &mut T {
        let (root, middle, leaf) = split(index);
        let pages = Arc::make_mut(&mut self.root);
        while pages.len() <= root {
            let empty: Leaf<T> = Arc::new(std::array::from_fn(|_| T::default()));
            pages.push(Arc::new(std::array::from_fn(|_| Arc::clone(&empty))));
        }
        let page = Arc::make_mut(&mut pages[root]);
        &mut Arc::make_mut(&mut page[middle])[leaf]
    }
}

#[cfg(test)]
mod tests {
    use super::PageVec;

    #[test]
    fn versions_do_not_see_each_others_changes() {
        let mut vec = PageVec::<u64>::default();
        for i in 0..100_000u32 {
            *vec.get_mut(i) = u64::from(i);
        }
        let old = vec.clone();
        *vec.get_mut(4_711) = 1;
        *vec.get_mut(200_000) = 2;
        assert_eq!(old.get(4_711), Some(&4_711));
        assert_eq!(old.get(200_000), None);
        assert_eq!(vec.get(4_711), Some(&1));
        assert_eq!(vec.get(200_000), Some(&2));
        assert_eq!(vec.get(9_999), Some(&9_999));
    }
}
