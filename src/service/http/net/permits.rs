//! A bounded number of places for requests under way; the bound can change while places are taken.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::base::lock::lock;

/// The places. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Permits {
    semaphore: Arc<Semaphore>,
    bound: Arc<Mutex<Bound>>,
}

#[derive(Debug)]
struct Bound {
    most: usize,
    /// Places that were taken when the bound fell, and are not to be given again.
    owed: usize,
}

/// A place that was taken; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Permit {
    permit: Option<OwnedSemaphorePermit>,
    bound: Arc<Mutex<Bound>>,
}

impl Permits {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            semaphore: Arc::new(Semaphore::new(most)),
            bound: Arc::new(Mutex::new(Bound { most, owed: 0 })),
        }
    }

    /// Takes a place that is free now.
    pub(crate) fn try_take(&self) -> Option<Permit> {
        let permit = Arc::clone(&self.semaphore).try_acquire_owned().ok()?;
        Some(self.place(permit))
    }

    /// Waits for a place, for as long as `patience`.
    pub(crate) async fn take(&self, patience: Duration) -> Option<Permit> {
        // Mostly there is one, and no clock to start.
        if let Some(place) = self.try_take() {
            return Some(place);
        }
        let waiting = Arc::clone(&self.semaphore).acquire_owned();
        let permit = tokio::time::timeout(patience, waiting).await.ok()?.ok()?;
        Some(self.place(permit))
    }

    fn place(&self, permit: OwnedSemaphorePermit) -> Permit {
        Permit {
            permit: Some(permit),
            bound: Arc::clone(&self.bound),
        }
    }

    /// How many places there are.
    pub(crate) fn most(&self) -> usize {
        let bound = lock(&self.bound);
        bound.most
    }

    /// How many places are taken.
    pub(crate) fn taken(&self) -> usize {
        let bound = lock(&self.bound);
        let all = bound.most + bound.owed;
        all.saturating_sub(self.semaphore.available_permits())
    }

    /// Changes how many places there are.
    pub(crate) fn resize(&self, most: usize) {
        let mut bound = lock(&self.bound);
        if most >= bound.most {
            let more = most - bound.most;
            let paid = more.min(bound.owed);
            bound.owed -= paid;
            self.semaphore.add_permits(more - paid);
        } else {
            let fewer = bound.most - most;
            bound.owed += fewer - self.semaphore.forget_permits(fewer);
        }
        bound.most = most;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut bound = lock(&self.bound);
        if bound.owed > 0
            && let Some(permit) = self.permit.take()
        {
            bound.owed -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_bound_rises_and_falls_while_places_are_taken() {
        let places = Permits::new(2);
        let soon = Duration::from_millis(5);
        let (one, two) = (places.take(soon).await, places.take(soon).await);
        assert!(one.is_some() && two.is_some());
        assert!(places.take(soon).await.is_none());
        places.resize(3);
        let three = places.take(soon).await;
        assert!(three.is_some());
        assert_eq!(places.taken(), 3);
        places.resize(1);
        assert_eq!(places.taken(), 3);
        drop(one);
        drop(two);
        assert_eq!(places.taken(), 1);
        assert!(
            places.take(soon).await.is_none(),
            "one is taken, one is all there are"
        );
        drop(three);
        let four = places.take(soon).await;
        assert!(four.is_some());
        places.resize(2);
        assert!(places.take(soon).await.is_some());
    }
}
