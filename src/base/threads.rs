//! Threads for loading. Where a platform has none (`wasm32`), the caller does the work itself.

use std::io;
use std::thread::{Builder, Scope, ScopedJoinHandle};

/// Starts a thread with this name and this stack in bytes.
///
/// # Errors
/// When the system starts no thread; `work` has not run then.
pub(crate) fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    stack: usize,
    work: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    #[cfg(test)]
    if NONE.get() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let builder = Builder::new().name(name.to_owned()).stack_size(stack);
    builder.spawn_scoped(scope, work)
}

#[cfg(test)]
thread_local! {
    static NONE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Runs `work` as on a system that starts no threads.
#[cfg(test)]
pub(crate) fn without_threads<T>(work: impl FnOnce() -> T) -> T {
    NONE.set(true);
    let done = work();
    NONE.set(false);
    done
}
