//! Webhooks that were registered through the API, deliveries that wait, and dead letters. What they are
//! is JSON that only `webhooks` reads; their secrets are kept by `secrets`.

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition};

use super::Store;
use super::error::StateDirError;
use super::revisions::open;

/// JSON by name.
const WEBHOOKS: TableDefinition<'_, &str, &str> = TableDefinition::new("webhooks");
/// JSON by number: what waits to be delivered, in the order in which it came.
const PENDING: TableDefinition<'_, u64, &str> = TableDefinition::new("webhook_pending");
/// JSON by number: what could not be delivered.
const DEAD: TableDefinition<'_, u64, &str> = TableDefinition::new("webhook_dead");

/// A delivery as it is kept: its number and its JSON.
pub(crate) type Kept = (u64, String);

impl Store {
    /// Every registered webhook, by name.
    pub(crate) fn webhooks(&self) -> Result<Vec<(String, String)>, StateDirError> {
        self.handle().read(|read| {
            let Some(table) = open(read, WEBHOOKS)? else {
                return Ok(Vec::new());
            };
            let mut all = Vec::new();
            for entry in table.iter()? {
                let (name, json) = entry?;
                all.push((name.value().to_owned(), json.value().to_owned()));
            }
            Ok(all)
        })
    }

    /// Keeps a webhook, in place of what has its name.
    pub(crate) fn put_webhook(&self, name: &str, json: String) -> Result<(), StateDirError> {
        let name = name.to_owned();
        self.handle().write(move |write| {
            let mut table = write.open_table(WEBHOOKS)?;
            table.insert(name.as_str(), json.as_str())?;
            Ok(())
        })
    }

    /// Forgets a webhook.
    pub(crate) fn remove_webhook(&self, name: &str) -> Result<(), StateDirError> {
        let name = name.to_owned();
        self.handle().write(move |write| {
            write.open_table(WEBHOOKS)?.remove(name.as_str())?;
            Ok(())
        })
    }

    /// What waits to be delivered, the oldest first.
    pub(crate) fn pending_deliveries(&self) -> Result<Vec<Kept>, StateDirError> {
        self.handle().read(|read| all(read, PENDING))
    }

    /// Keeps deliveries, in place of those that have their numbers.
    pub(crate) fn put_deliveries(&self, deliveries: Vec<Kept>) -> Result<(), StateDirError> {
        self.handle().write(move |write| {
            let mut table = write.open_table(PENDING)?;
            for (number, json) in &deliveries {
                table.insert(number, json.as_str())?;
            }
            Ok(())
        })
    }

    /// Forgets deliveries.
    pub(crate) fn remove_deliveries(&self, numbers: Vec<u64>) -> Result<(), StateDirError> {
        self.handle().write(move |write| {
            let mut table = write.open_table(PENDING)?;
            for number in numbers {
                table.remove(number)?;
            }
            Ok(())
        })
    }

    /// Makes deliveries dead letters, and drops the oldest beyond `most`: how many.
    pub(crate) fn bury(&self, letters: Vec<Kept>, most: u64) -> Result<u64, StateDirError> {
        self.handle().write(move |write| {
            let mut pending = write.open_table(PENDING)?;
            let mut dead = write.open_table(DEAD)?;
            for (number, json) in &letters {
                pending.remove(number)?;
                dead.insert(number, json.as_str())?;
            }
            let mut dropped = 0;
            while dead.len()? > most && dead.pop_first()?.is_some() {
                dropped += 1;
            }
            Ok(dropped)
        })
    }

    /// Dead letters, the oldest first.
    pub(crate) fn dead_letters(&self) -> Result<Vec<Kept>, StateDirError> {
        self.handle().read(|read| all(read, DEAD))
    }

    /// How many dead letters there are.
    pub(crate) fn dead_count(&self) -> Result<u64, StateDirError> {
        self.handle().read(|read| match open(read, DEAD)? {
            Some(table) => Ok(table.len()?),
            None => Ok(0),
        })
    }

    /// Makes dead letters deliveries again.
    pub(crate) fn revive(&self, letters: Vec<Kept>) -> Result<(), StateDirError> {
        self.handle().write(move |write| {
            let mut pending = write.open_table(PENDING)?;
            let mut dead = write.open_table(DEAD)?;
            for (number, json) in &letters {
                dead.remove(number)?;
                pending.insert(number, json.as_str())?;
            }
            Ok(())
        })
    }
}

fn all(
    read: &ReadTransaction,
    table: TableDefinition<'_, u64, &'static str>,
) -> Result<Vec<Kept>, redb::Error> {
    let Some(table) = open(read, table)? else {
        return Ok(Vec::new());
    };
    let mut all = Vec::new();
    for entry in table.iter()? {
        let (number, json) = entry?;
        all.push((number.value(), json.value().to_owned()));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::StoreSettings;

    fn kept(number: u64, json: &str) -> Kept {
        (number, json.to_owned())
    }

    #[test]
    fn deliveries_die_are_revived_and_outlive_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreSettings::default()).unwrap();
        assert_eq!(store.pending_deliveries().unwrap(), []);
        assert_eq!(store.dead_count().unwrap(), 0);
        store
            .put_deliveries(vec![kept(1, "a"), kept(2, "b"), kept(3, "c")])
            .unwrap();
        store.put_deliveries(vec![kept(2, "b2")]).unwrap();
        store.remove_deliveries(vec![1, 99]).unwrap();
        assert_eq!(store.bury(vec![kept(2, "b3")], 10).unwrap(), 0);
        drop(store);
        let store = Store::open(dir.path(), StoreSettings::default()).unwrap();
        assert_eq!(store.pending_deliveries().unwrap(), [kept(3, "c")]);
        assert_eq!(store.dead_letters().unwrap(), [kept(2, "b3")]);
        store.revive(vec![kept(2, "b4")]).unwrap();
        assert_eq!(
            store.pending_deliveries().unwrap(),
            [kept(2, "b4"), kept(3, "c")]
        );
        assert_eq!(store.dead_count().unwrap(), 0);
    }

    #[test]
    fn the_oldest_dead_letters_are_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreSettings::default()).unwrap();
        let letters: Vec<Kept> = (1..=5).map(|n| kept(n, "x")).collect();
        assert_eq!(store.bury(letters, 3).unwrap(), 2);
        let left: Vec<u64> = store.dead_letters().unwrap().iter().map(|l| l.0).collect();
        assert_eq!(left, [3, 4, 5]);
    }

    #[test]
    fn webhooks_are_kept_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreSettings::default()).unwrap();
        store.put_webhook("b", "1".to_owned()).unwrap();
        store.put_webhook("a", "2".to_owned()).unwrap();
        store.put_webhook("b", "3".to_owned()).unwrap();
        let all = store.webhooks().unwrap();
        assert_eq!(
            all,
            [
                ("a".to_owned(), "2".to_owned()),
                ("b".to_owned(), "3".to_owned())
            ]
        );
        store.remove_webhook("a").unwrap();
        assert_eq!(store.webhooks().unwrap().len(), 1);
    }
}
