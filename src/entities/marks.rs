//! Marks on entity numbers: one bit each, set and taken away in constant time whatever the numbers are.

use super::symbol::Uid;

/// A set of entity numbers. It is as long as the highest number that was ever marked needs, and is emptied
/// by taking back the marks that were set.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    stored: Vec<u64>,
    local: Vec<u64>,
}

const fn place(uid: Uid) -> (usize, u64) {
    let index = uid.index();
    ((index / 64) as usize, 1 << (index % 64))
}

impl Marks {
    /// Whether `uid` is marked.
    #[inline]
    pub(crate) fn has(&self, uid: Uid) -> bool {
        let (word, bit) = place(uid);
        let words = if uid.is_local() {
            &self.local
        } else {
            &self.stored
        };
        words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Marks `uid`; whether it was not marked before.
    #[inline]
    pub(crate) fn set(&mut self, uid: Uid) -> bool {
        if uid == Uid::NONE {
            return false;
        }
        let (at, bit) = place(uid);
        let words = if uid.is_local() {
            &mut self.local
        } else {
            &mut self.stored
        };
        if words.len() <= at {
            words.resize((at + 1).next_power_of_two(), 0);
        }
        let Some(word) = words.get_mut(at) else {
            return false;
        };
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Takes the mark from `uid`.
    pub(crate) fn unset(&mut self, uid: Uid) {
        let (at, bit) = place(uid);
        let words = if uid.is_local() {
            &mut self.local
        } else {
            &mut self.stored
        };
        if let Some(word) = words.get_mut(at) {
            *word &= !bit;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Marks;
    use crate::entities::symbol::Uid;

    #[test]
    fn numbers_of_the_store_and_of_a_request_do_not_meet() {
        let mut marks = Marks::default();
        assert!(marks.set(Uid::stored(70)) && marks.set(Uid::local(70)));
        assert!(!marks.set(Uid::stored(70)) && !marks.set(Uid::NONE));
        assert!(!marks.has(Uid::NONE) && !marks.has(Uid::stored(71)));
        marks.unset(Uid::stored(70));
        assert!(!marks.has(Uid::stored(70)) && marks.has(Uid::local(70)));
    }
}
