//! One question to the issuer for all requests that wait for its answer about the same token.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::OnceCell;

use super::cache::CacheKey;
use super::error::TokenError;
use crate::base::lock::lock;
use crate::base::timestamp::Timestamp;

/// Until when a token may be believed, or why not.
type Answer = Result<Timestamp, TokenError>;
type Cells = Mutex<HashMap<CacheKey, Arc<OnceCell<Answer>>>>;

/// Questions that are under way.
#[derive(Debug, Default)]
pub(super) struct Flights {
    cells: Cells,
}

impl Flights {
    /// The answer to `ask`, or to the same question of another request that is under way. If that one
    /// is given up, this one asks.
    pub(super) async fn join(&self, key: CacheKey, ask: impl Future<Output = Answer>) -> Answer {
        let cell = {
            let mut cells = lock(&self.cells);
            Arc::clone(cells.entry(key).or_default())
        };
        let waiting = Waiting {
            cells: &self.cells,
            key,
            cell,
        };
        waiting.cell.get_or_init(|| ask).await.clone()
    }
}

/// A request that waits; the last one to go clears the table, whether it has its answer or not.
struct Waiting<'a> {
    cells: &'a Cells,
    key: CacheKey,
    cell: Arc<OnceCell<Answer>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut cells = lock(self.cells);
        // Answered: whoever comes now asks again. Not answered: only the table and this request have it.
        let over = self.cell.initialized() || Arc::strong_count(&self.cell) <= 2;
        let same = cells
            .get(&self.key)
            .is_some_and(|cell| Arc::ptr_eq(cell, &self.cell));
        if over && same {
            cells.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::service::config::TokenUsage;

    #[tokio::test]
    async fn one_question_for_all_who_wait_and_another_for_who_comes_later() {
        let (flights, asked) = (Arc::new(Flights::default()), Arc::new(AtomicUsize::new(0)));
        let join = |wait: u64| {
            let (flights, asked) = (Arc::clone(&flights), Arc::clone(&asked));
            tokio::spawn(async move {
                let ask = async {
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                    let nth = asked.fetch_add(1, Ordering::SeqCst);
                    Ok(Timestamp::from_millis(nth as i64))
                };
                flights
                    .join(CacheKey::of("t", TokenUsage::Caller), ask)
                    .await
            })
        };
        let waiting: Vec<_> = (0..20).map(|_| join(50)).collect();
        for one in waiting {
            assert_eq!(one.await.unwrap(), Ok(Timestamp::from_millis(0)));
        }
        assert_eq!(join(0).await.unwrap(), Ok(Timestamp::from_millis(1)));
        // Given up by the one that asks: another one asks.
        let (first, second) = (join(10_000), join(0));
        tokio::time::sleep(Duration::from_millis(20)).await;
        first.abort();
        assert_eq!(second.await.unwrap(), Ok(Timestamp::from_millis(2)));
        let _ = first.await;
        let only = join(10_000);
        tokio::time::sleep(Duration::from_millis(20)).await;
        only.abort();
        let _ = only.await;
        assert!(flights.cells.lock().unwrap().is_empty());
    }
}
