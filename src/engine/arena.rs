//! Room for values made while a decision runs: they stay put until the next decision begins.

use crate::entities::Value;
use std::cell::{Cell, OnceCell};

const FIRST: usize = 32;

/// Every chunk is twice as large as the one before, so that the last is a few steps away.
#[derive(Debug)]
struct Chunk {
    cells: Box<[OnceCell<Value>]>,
    next: OnceCell<Box<Chunk>>,
}

impl Chunk {
    fn new(size: usize) -> Self {
        Self {
            cells: (0..size).map(|_| OnceCell::new()).collect(),
            next: OnceCell::new(),
        }
    }
}

/// Values made at run time.
#[derive(Debug)]
pub(crate) struct Arena {
    first: Chunk,
    used: Cell<usize>,
}

impl Default for Arena {
    fn default() -> Self {
        Self {
            first: Chunk::new(FIRST),
            used: Cell::new(0),
        }
    }
}

impl Arena {
    /// Keeps `value` and gives a reference to it.
    pub(crate) fn keep(&self, value: Value) -> &Value {
        let at = self.used.get();
        self.used.set(at + 1);
        let mut chunk = &self.first;
        let mut skip = at;
        loop {
            match chunk.cells.get(skip) {
                Some(cell) => return cell.get_or_init(|| value),
                None => {
                    let size = chunk.cells.len();
                    skip -= size;
                    chunk = chunk.next.get_or_init(|| Box::new(Chunk::new(size * 2)));
                }
            }
        }
    }

    /// Forgets everything; what was lent is gone by then. The first chunk's room stays.
    pub(crate) fn clear(&mut self) {
        let used = self.used.replace(0);
        for cell in self.first.cells.iter_mut().take(used) {
            cell.take();
        }
        let mut next = self.first.next.take();
        while let Some(mut chunk) = next {
            next = chunk.next.take();
        }
    }
}
