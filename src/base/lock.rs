//! Locks that stay usable after a panic.
//!
//! A thread that panics while it holds a lock poisons it. The lock is used on all the same: what it guards
//! is changed so that it is valid at every step, and one request that failed must not make all later ones
//! fail.

use std::sync::{LockResult, Mutex, MutexGuard, PoisonError};

/// Locks a mutex, poisoned or not.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    unpoisoned(mutex.lock())
}

/// What a lock or a wait on a condition gave, poisoned or not.
pub(crate) fn unpoisoned<T>(result: LockResult<T>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}
