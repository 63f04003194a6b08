//! Entities that were written through the API: their JSON in Cedar's form, by type and id.

use redb::{ReadTransaction, ReadableTable, TableDefinition};

use super::Store;
use super::error::StateDirError;
use super::revisions::{open, raise_sequence};

/// JSON by type and id.
const ENTITIES: TableDefinition<'_, (&str, &str), &str> = TableDefinition::new("entities");

/// What a batch leaves of the entities it touches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EntityWrites {
    /// The sequence that the batch is published as.
    pub(crate) sequence: u64,
    /// Type, id and JSON; `None` takes the entity out.
    pub(crate) entities: Vec<(String, String, Option<String>)>,
}

impl Store {
    /// Every entity, as JSON, in the order of type and id.
    pub(crate) fn entities(&self) -> Result<Vec<String>, StateDirError> {
        self.handle().read(|read: &ReadTransaction| {
            let Some(table) = open(read, ENTITIES)? else {
                return Ok(Vec::new());
            };
            let mut all = Vec::new();
            for entry in table.iter()? {
                all.push(entry?.1.value().to_owned());
            }
            Ok(all)
        })
    }

    /// Writes a batch whole. When this returns it survives a crash.
    pub(crate) fn write_entities(&self, writes: EntityWrites) -> Result<(), StateDirError> {
        self.handle().write(move |write| {
            raise_sequence(write, writes.sequence)?;
            let mut table = write.open_table(ENTITIES)?;
            for (ty, id, json) in &writes.entities {
                let key = (ty.as_str(), id.as_str());
                match json {
                    Some(json) => table.insert(key, json.as_str())?,
                    None => table.remove(key)?,
                };
            }
            Ok(())
        })
    }
}
