//! A vector that many versions share: changing one element copies one page and the path to it.
//!
//! Reading costs four dependent loads whatever the length. While a vector is shared by nobody (loading a
//! store) changes happen in place. Cloning costs one reference count, and a change to a shared vector about
//! a hundred of them: the pages are small because those counts, cold in memory, are what a change costs.

use std::sync::Arc;

const BITS: u32 = 5;
const FAN: usize = 1 << BITS;

type Leaf<T> = Arc<[T; FAN]>;
type Middle<T> = Arc<[Option<Leaf<T>>; FAN]>;
type Upper<T> = Arc<[Option<Middle<T>>; FAN]>;

/// A persistent vector; positions never written hold `T::default()` once something near them was.
#[derive(Debug)]
pub(crate) struct PageVec<T> {
    root: Arc<Vec<Upper<T>>>,
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

const fn split(index: u32) -> (usize, usize, usize, usize) {
    let at = index as usize;
    let mask = FAN - 1;
    (
        at >> (3 * BITS),
        (at >> (2 * BITS)) & mask,
        (at >> BITS) & mask,
        at & mask,
    )
}

impl<T> PageVec<T> {
    /// The element at `index`, if its page exists.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        let (root, upper, middle, leaf) = split(index);
        self.root
            .get(root)?
            .get(upper)?
            .as_ref()?
            .get(middle)?
            .as_ref()?
            .get(leaf)
    }
}

impl<T: Clone + Default> PageVec<T> {
    /// The element at `index` for writing; the vector grows to hold it.
    #[expect(
        clippy::indexing_slicing,
        reason = "INVARIANT: `root` was grown past the index above; the masks keep the others inside their arrays"
    )]
    pub(crate) fn get_mut(&mut self, index: u32) -> &mut T {
        let (root, upper, middle, leaf) = split(index);
        let pages = Arc::make_mut(&mut self.root);
        while pages.len() <= root {
            pages.push(Arc::new([const { None }; FAN]));
        }
        let page = Arc::make_mut(&mut pages[root])[upper]
            .get_or_insert_with(|| Arc::new([const { None }; FAN]));
        let page = Arc::make_mut(page)[middle]
            .get_or_insert_with(|| Arc::new(std::array::from_fn(|_| T::default())));
        &mut Arc::make_mut(page)[leaf]
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
