//! Entries of the deny-list for tokens: opaque JSON by id, each with an end.

use redb::{ReadableTable, TableDefinition};
use serde_json::Value;

use super::Store;
use super::error::StateDirError;
use super::revisions::open;
use crate::timestamp::Timestamp;

/// End (milliseconds since the Unix epoch) and JSON, by id.
const DENIALS: TableDefinition<'_, &str, (i64, &str)> = TableDefinition::new("denials");

/// An entry.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Denial {
    pub(crate) id: String,
    /// When it may be forgotten.
    pub(crate) expires: Timestamp,
    pub(crate) json: Value,
}

impl Store {
    /// Every entry that has not expired, in the order of ids.
    pub(crate) fn denials(&self, now: Timestamp) -> Result<Vec<Denial>, StateDirError> {
        self.handle().read(move |read| {
            let Some(table) = open(read, DENIALS)? else {
                return Ok(Vec::new());
            };
            let mut all = Vec::new();
            for entry in table.iter()? {
                let (id, stored) = entry?;
                let (expires, json) = stored.value();
                let expires = Timestamp::from_millis(expires);
                if expires > now {
                    all.push(Denial {
                        id: id.value().to_owned(),
                        expires,
                        json: serde_json::from_str(json).unwrap_or_default(),
                    });
                }
            }
            Ok(all)
        })
    }

    /// Adds an entry, in place of what has its id, and forgets those that have expired.
    pub(crate) fn deny(&self, denial: Denial, now: Timestamp) -> Result<(), StateDirError> {
        self.handle().write(move |write| {
            let mut table = write.open_table(DENIALS)?;
            table.retain(|_, (expires, _)| expires > now.as_millis())?;
            let json = denial.json.to_string();
            table.insert(
                denial.id.as_str(),
                (denial.expires.as_millis(), json.as_str()),
            )?;
            Ok(())
        })
    }

    /// Takes an entry out; whether it was there.
    pub(crate) fn undeny(&self, id: &str) -> Result<bool, StateDirError> {
        let id = id.to_owned();
        self.handle().write(move |write| {
            let mut table = write.open_table(DENIALS)?;
            let there = table.remove(id.as_str())?.is_some();
            Ok(there)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::StoreSettings;
    use super::*;
    use serde_json::json;

    #[test]
    fn entries_last_until_their_end() {
        let at = Timestamp::from_millis;
        let denial = |id: &str, expires| Denial {
            id: id.to_owned(),
            expires: at(expires),
            json: json!({"jti": id}),
        };
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreSettings::default()).unwrap();
        assert_eq!(store.denials(at(0)).unwrap(), []);
        store.deny(denial("a", 10), at(0)).unwrap();
        store.deny(denial("b", 20), at(0)).unwrap();
        drop(store);
        let store = Store::open(dir.path(), StoreSettings::default()).unwrap();
        assert_eq!(
            store.denials(at(9)).unwrap(),
            [denial("a", 10), denial("b", 20)]
        );
        assert_eq!(store.denials(at(10)).unwrap(), [denial("b", 20)]);
        store.deny(denial("c", 30), at(15)).unwrap();
        assert_eq!(
            store.denials(at(0)).unwrap(),
            [denial("b", 20), denial("c", 30)]
        );
        assert!(store.undeny("b").unwrap() && !store.undeny("b").unwrap());
    }
}
