//! Records of users, sessions, devices and addresses: opaque bytes by kind and name.

use redb::{ReadableTable, TableDefinition};

use super::Store;
use super::error::{Kind, StateDirError};
use super::revisions::open;

/// A record by kind and name.
const SIGNALS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("signals");

/// Writes a record, or with `None` takes it out.
pub(crate) type WriteSignal<'a> =
    dyn FnMut(&str, &str, Option<&[u8]>) -> Result<(), redb::Error> + 'a;

impl Store {
    /// Hands over every record. What `take` says is wrong with one ends it: whatever is held against
    /// somebody may not be lost in silence.
    pub(crate) fn each_signal(
        &self,
        mut take: impl FnMut(&str, &str, &[u8]) -> Result<(), String> + Send + 'static,
    ) -> Result<(), StateDirError> {
        let read = self.handle().read(move |read| {
            let Some(table) = open(read, SIGNALS)? else {
                return Ok(Ok(()));
            };
            for entry in table.iter()? {
                let (key, record) = entry?;
                let (kind, name) = key.value();
                if let Err(message) = take(kind, name, record.value()) {
                    return Ok(Err(message));
                }
            }
            Ok(Ok(()))
        })?;
        read.map_err(|message| {
            let message = format!("signals: {message}");
            self.inner.place.fail(Kind::Damaged, message)
        })
    }

    /// Writes what `work` writes, all of it or nothing. When this returns it survives a crash. `work` runs
    /// on the thread of the database, after every write that was ordered before.
    pub(crate) fn write_signals(
        &self,
        work: impl FnOnce(&mut WriteSignal<'_>) -> Result<(), redb::Error> + Send + 'static,
    ) -> Result<(), StateDirError> {
        self.handle().write(move |write| {
            let mut table = write.open_table(SIGNALS)?;
            work(&mut |kind, name, record| {
                match record {
                    Some(record) => table.insert((kind, name), record)?,
                    None => table.remove((kind, name))?,
                };
                Ok(())
            })
        })
    }

    /// That there is no thread to write with.
    pub(crate) fn no_thread(&self, error: &std::io::Error) -> StateDirError {
        self.inner
            .place
            .io("no thread to write signals with", error)
    }
}
