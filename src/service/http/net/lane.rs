//! A lane of their own for large bodies: they are parsed and decided a few at a time, away from the
//! threads that serve connections, so that probes and small requests do not wait for them.

use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};

use super::permits::{Permit, Permits};

/// A body of more bytes than this takes the lane.
pub(crate) const LARGE: usize = 32 << 10;
/// Most large bodies that are worked on at once.
pub(crate) const WIDEST: usize = 4;
/// Large requests that wait at once for an issuer or for a newer state, with what was parsed of them.
pub(crate) const PARKED: usize = 4;
/// How long a large body waits for its turn.
const PATIENCE: Duration = Duration::from_secs(1);

/// The lane.
#[derive(Debug)]
pub(crate) struct Lane {
    working: Permits,
    parked: Permits,
}

/// A turn on the lane, for a body that needs one.
#[derive(Debug)]
pub(crate) struct Turn(Option<Permit>);

impl Lane {
    /// Half of the processors may work for large bodies, at least one and at most [`WIDEST`].
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            working: Permits::new((processors / 2).clamp(1, WIDEST)),
            parked: Permits::new(PARKED),
        }
    }

    /// Waits for a turn for a body of so many bytes; `None` when there was none in time.
    pub(crate) async fn turn(&self, bytes: usize) -> Option<Turn> {
        if bytes <= LARGE {
            return Some(Turn(None));
        }
        Some(Turn(Some(self.working.take(PATIENCE).await?)))
    }

    /// Leaves the lane to wait for something else; `None` when too many large requests do so already.
    pub(crate) async fn park(&self, turn: Turn) -> Option<Turn> {
        match turn {
            Turn(None) => Some(Turn(None)),
            Turn(Some(working)) => {
                drop(working);
                Some(Turn(Some(self.parked.take(Duration::ZERO).await?)))
            }
        }
    }

    /// Large bodies that are worked on.
    pub(crate) fn working(&self) -> usize {
        self.working.taken()
    }
}

impl Turn {
    /// Does the work for a body: where it is, or for a large one where it holds up no connection.
    pub(crate) fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        match self {
            Self(Some(_)) if is_threaded() => tokio::task::block_in_place(work),
            _ => work(),
        }
    }
}

/// Whether there are other threads that can go on with what this one would have done.
fn is_threaded() -> bool {
    Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn large_work_leaves_the_only_worker_to_others() {
        let lane = std::sync::Arc::new(Lane::new());
        let (started, began) = tokio::sync::oneshot::channel();
        let (finish, end) = std::sync::mpsc::channel::<()>();
        let working = std::sync::Arc::clone(&lane);
        let large = tokio::spawn(async move {
            let turn = working.turn(LARGE + 1).await.unwrap();
            turn.run(|| {
                started.send(()).unwrap();
                end.recv().unwrap();
            });
        });
        began.await.unwrap();
        assert_eq!(lane.working(), 1);
        // Served by the only worker, which is free.
        tokio::spawn(async { 1 }).await.unwrap();
        let small = lane.turn(LARGE).await.unwrap();
        assert_eq!(small.run(|| 2), 2);
        finish.send(()).unwrap();
        large.await.unwrap();
        assert_eq!(lane.working(), 0);
    }

    #[tokio::test]
    async fn a_runtime_of_one_thread_does_the_work_itself() {
        let lane = Lane::new();
        let turn = lane.turn(LARGE + 1).await.unwrap();
        assert_eq!(turn.run(|| 3), 3);
        let turn = lane.park(turn).await.unwrap();
        assert_eq!(lane.working(), 0);
        drop(turn);
    }
}
