//! Turns a panic inside the database's crate into an error: a page that is damaged makes it panic.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use super::dir::StateDirectory;
use super::error::{Kind, StateDirError};

/// Longest text of a panic that is kept, in characters.
const LONGEST: usize = 200;

thread_local! {
    /// Whether a panic of this thread becomes an error, so that nothing is printed about it.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`, which uses the database. A panic is returned as `state_damaged`.
pub(super) fn guarded<T>(
    place: &StateDirectory,
    work: impl FnOnce() -> Result<T, StateDirError>,
) -> Result<T, StateDirError> {
    print_no_caught_panics();
    let outer = CAUGHT.replace(true);
    let end = catch_unwind(AssertUnwindSafe(work));
    CAUGHT.set(outer);
    end.unwrap_or_else(|panic| {
        let message = format!("the database is damaged: {}", text(&*panic));
        Err(place.fail(Kind::Damaged, message))
    })
}

/// Puts a hook before the present one that leaves out what [`guarded`] catches.
fn print_no_caught_panics() {
    static ONCE: Once = Once::new();
    if std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !CAUGHT.try_with(Cell::get).unwrap_or(false) {
                before(info);
            }
        }));
    });
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("a page cannot be read");
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(LONGEST).collect()
}
