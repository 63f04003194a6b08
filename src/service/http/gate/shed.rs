//! Load shedding: when work waits too long for its turn, a share of requests is refused at once, so
//! that those that are taken are answered soon.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How often the wait is measured.
const LOOK: Duration = Duration::from_millis(5);
/// All requests, as a share.
const ALL: u32 = 1 << 16;
/// Largest share that is refused: what is let through shows when it is over.
const MOST: u32 = ALL - ALL / 20;
/// How fast the share rises and falls, a step a look.
const UP: u32 = ALL / 20;
const DOWN: u32 = ALL / 50;

/// Decides which requests are refused.
#[derive(Debug, Default)]
pub(crate) struct Shedder {
    share: AtomicU32,
    turn: AtomicU32,
}

impl Shedder {
    /// Whether this request is one of the share. Spread evenly: of ten at 0.3, three.
    pub(crate) fn refuses(&self) -> bool {
        let share = self.share.load(Ordering::Relaxed);
        if share == 0 {
            return false;
        }
        // Steps of the golden ratio fall evenly into the whole.
        let turn = self.turn.fetch_add(40_503, Ordering::Relaxed) % ALL;
        turn < share
    }

    /// Adjusts the share to how long a task waited for its turn.
    fn adjust(&self, waited: Duration, bearable: Duration) {
        let share = self.share.load(Ordering::Relaxed);
        let next = if waited > bearable {
            (share + UP).min(MOST)
        } else if waited * 2 < bearable {
            share.saturating_sub(DOWN)
        } else {
            share
        };
        self.share.store(next, Ordering::Relaxed);
    }

    /// The share that is refused now, in percent.
    pub(crate) fn percent(&self) -> u64 {
        u64::from(self.share.load(Ordering::Relaxed)) * 100 / u64::from(ALL)
    }
}

/// How many looks in a row must find work waiting: a machine that stood still for a moment is not
/// overloaded, a queue that does not empty is (as in CoDel, RFC 8289 section 3.2).
const STANDING: usize = 10;

/// Measures, for as long as the server runs, how long a task that could go on waits for its turn.
pub(crate) async fn watch(shedder: Arc<Shedder>, bearable: impl Fn() -> Duration) {
    let mut last = [Duration::ZERO; STANDING];
    let mut turn = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        let bearable = bearable();
        if bearable.is_zero() {
            shedder.share.store(0, Ordering::Relaxed);
            continue;
        }
        let from = Instant::now();
        tokio::task::yield_now().await;
        turn = (turn + 1) % STANDING;
        if let Some(place) = last.get_mut(turn) {
            *place = from.elapsed();
        }
        let standing = last.iter().min().copied().unwrap_or_default();
        shedder.adjust(standing, bearable);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_rises_under_load_and_falls_after_it() {
        let shedder = Shedder::default();
        let refused = |shedder: &Shedder| (0..1_000).filter(|_| shedder.refuses()).count();
        assert_eq!(refused(&shedder), 0);
        let bearable = Duration::from_millis(4);
        for _ in 0..6 {
            shedder.adjust(Duration::from_millis(9), bearable);
        }
        assert!(
            (280..320).contains(&refused(&shedder)),
            "{}",
            refused(&shedder)
        );
        shedder.adjust(Duration::from_millis(3), bearable);
        assert!((280..320).contains(&refused(&shedder)));
        for _ in 0..100 {
            shedder.adjust(Duration::from_millis(9), bearable);
        }
        assert!(
            (930..970).contains(&refused(&shedder)),
            "some are let through"
        );
        for _ in 0..100 {
            shedder.adjust(Duration::ZERO, bearable);
        }
        assert_eq!(refused(&shedder), 0);
        assert_eq!(shedder.percent(), 0);
    }
}
