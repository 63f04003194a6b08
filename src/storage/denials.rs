//! Entries of the deny-list for tokens: opaque JSON by id, each with an end.

use redb::{ReadableTable, TableDefinition};
use serde_json::Value;

use super::Store;
use super::error::{Kind, StateDirError};
use super::revisions::open;
use crate::base::timestamp::Timestamp;

/// End (milliseconds since the Unix epoch) and JSON, by id.
const DENIALS: TableDefinition<'_, &str, (i64, &str)> = TableDefinition::new("denials");

/// The same entries by their ends, so that those that are over are found without a walk.
const ENDS: TableDefinition<'_, (i64, &str), ()> = TableDefinition::new("denial_ends");

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
        let read = self.handle().read(move |read| {
            let Some(table) = open(read, DENIALS)? else {
                return Ok(Ok(Vec::new()));
            };
            let mut all = Vec::new();
            for entry in table.iter()? {
                let (id, stored) = entry?;
                let (expires, json) = stored.value();
                let expires = Timestamp::from_millis(expires);
                if expires > now {
                    let Ok(json) = serde_json::from_str(json) else {
                        return Ok(Err(id.value().to_owned()));
                    };
                    all.push(Denial {
                        id: id.value().to_owned(),
                        expires,
                        json,
                    });
                }
            }
            Ok(Ok(all))
        })?;
        read.map_err(|id| {
            let message = format!("the entry `{id}` of the deny-list is damaged");
            self.inner.place.fail(Kind::Damaged, message)
        })
    }

    /// Adds an entry, in place of what has its id, and forgets those that have expired.
    pub(crate) fn deny(&self, denial: Denial, now: Timestamp) -> Result<(), StateDirError> {
        self.handle().write(move |write| {
            let mut table = write.open_table(DENIALS)?;
            let mut ends = write.open_table(ENDS)?;
            while let Some((end, id)) = first(&ends)?.filter(|(end, _)| *end <= now.as_millis()) {
                ends.remove((end, id.as_str()))?;
                table.remove(id.as_str())?;
            }
            let (id, end) = (denial.id.as_str(), denial.expires.as_millis());
            let json = denial.json.to_string();
            let before = table.insert(id, (end, json.as_str()))?;
            if let Some(before) = before.map(|before| before.value().0) {
                ends.remove((before, id))?;
            }
            ends.insert((end, id), ())?;
            Ok(())
        })
    }

    /// Takes an entry out; whether it was there.
    pub(crate) fn undeny(&self, id: &str) -> Result<bool, StateDirError> {
        let id = id.to_owned();
        self.handle().write(move |write| {
            let mut table = write.open_table(DENIALS)?;
            let before = table.remove(id.as_str())?.map(|before| before.value().0);
            if let Some(end) = before {
                write.open_table(ENDS)?.remove((end, id.as_str()))?;
            }
            Ok(before.is_some())
        })
    }
}

/// The entry that ends first.
fn first(
    ends: &impl ReadableTable<(i64, &'static str), ()>,
) -> Result<Option<(i64, String)>, redb::Error> {
    Ok(ends.first()?.map(|(key, _)| {
        let (end, id) = key.value();
        (end, id.to_owned())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::StoreSettings;
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
        // Another end takes the place of the one before.
        store.deny(denial("c", 50), at(20)).unwrap();
        store.deny(denial("d", 60), at(31)).unwrap();
        assert_eq!(
            store.denials(at(0)).unwrap(),
            [denial("c", 50), denial("d", 60)]
        );
        store.deny(denial("b", 90), at(31)).unwrap();
        assert!(store.undeny("b").unwrap() && !store.undeny("b").unwrap());
    }
}
