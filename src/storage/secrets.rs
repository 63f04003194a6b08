//! Secrets that have to be read back, such as those of webhooks: sealed, by name.
//!
//! API keys are none of them: of those only a hash is kept.

use redb::{ReadableTable, TableDefinition};

use super::Store;
use super::database::Handle;
use super::error::{Kind, StateDirError};
use super::revisions::open;
use super::seal::{SealError, SealKeys};

/// Envelopes by name.
const SECRETS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("secrets");

impl Store {
    /// Keeps a secret under a name.
    pub(crate) fn put_secret(&self, name: &str, secret: &[u8]) -> Result<(), StateDirError> {
        let sealed = self.inner.settings.seal.seal(name, secret);
        let sealed = sealed.map_err(|error| fail(&self.handle(), name, &error))?;
        let name = name.to_owned();
        self.handle().write(move |write| {
            write
                .open_table(SECRETS)?
                .insert(name.as_str(), sealed.as_slice())?;
            Ok(())
        })
    }

    /// The secret of this name.
    pub(crate) fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, StateDirError> {
        let key = name.to_owned();
        let sealed = self.handle().read(move |read| match open(read, SECRETS)? {
            Some(table) => Ok(table
                .get(key.as_str())?
                .map(|sealed| sealed.value().to_vec())),
            None => Ok(None),
        })?;
        let unseal = |sealed: Vec<u8>| self.inner.settings.seal.unseal(name, &sealed);
        let opened = sealed.map(unseal).transpose();
        opened.map_err(|error| fail(&self.handle(), name, &error))
    }

    /// Forgets the secret of this name.
    pub(crate) fn remove_secret(&self, name: &str) -> Result<(), StateDirError> {
        let name = name.to_owned();
        self.handle().write(move |write| {
            write.open_table(SECRETS)?.remove(name.as_str())?;
            Ok(())
        })
    }
}

/// Seals everything with the newest key, or says which key is missing; nothing changes then.
pub(super) fn reseal(handle: &Handle, keys: &SealKeys) -> Result<(), StateDirError> {
    let sealed: Vec<(String, Vec<u8>)> = handle.read(|read| {
        let Some(table) = open(read, SECRETS)? else {
            return Ok(Vec::new());
        };
        let mut all = Vec::new();
        for entry in table.iter()? {
            let (name, envelope) = entry?;
            all.push((name.value().to_owned(), envelope.value().to_vec()));
        }
        Ok(all)
    })?;
    if keys.is_empty() {
        if !sealed.is_empty() {
            let secrets = sealed.len();
            tracing::warn!(secrets, "sealed secrets cannot be read without `state.key`");
        }
        return Ok(());
    }
    let mut again = Vec::new();
    for (name, envelope) in sealed {
        let secret = keys.unseal(&name, &envelope);
        let secret = secret.map_err(|error| fail(handle, &name, &error))?;
        if !keys.is_newest(&envelope) {
            let envelope = keys.seal(&name, &secret);
            again.push((
                name.clone(),
                envelope.map_err(|error| fail(handle, &name, &error))?,
            ));
        }
    }
    if again.is_empty() {
        return Ok(());
    }
    let secrets = again.len();
    handle.write(move |write| {
        let mut table = write.open_table(SECRETS)?;
        for (name, envelope) in &again {
            table.insert(name.as_str(), envelope.as_slice())?;
        }
        Ok(())
    })?;
    tracing::info!(secrets, "sealed again with the newest key");
    Ok(())
}

fn fail(handle: &Handle, name: &str, error: &SealError) -> StateDirError {
    let kind = match error {
        SealError::NoKey | SealError::OtherKey(_) => Kind::SealKey,
        SealError::Damaged => Kind::Damaged,
        SealError::Version(_) => Kind::Format,
        SealError::Random(_) => Kind::Io,
    };
    handle
        .place()
        .fail(kind, format!("secret `{name}`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{SealKey, StoreSettings};
    use std::path::Path;

    fn open(path: &Path, seeds: &[u8]) -> Result<Store, StateDirError> {
        let keys = seeds.iter().map(|seed| SealKey::new([*seed; 32]));
        let settings = StoreSettings {
            seal: SealKeys::new(keys.collect()),
            ..StoreSettings::default()
        };
        Store::open(path, settings)
    }

    #[test]
    fn keys_are_rotated_at_opening() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), &[1]).unwrap();
        store.put_secret("a", b"one").unwrap();
        store.put_secret("b", b"two").unwrap();
        drop(store);
        // The old key is needed once more, then never again.
        drop(open(dir.path(), &[2, 1]).unwrap());
        let store = open(dir.path(), &[2]).unwrap();
        assert_eq!(store.secret("a").unwrap().unwrap(), b"one");
        assert_eq!(store.secret("b").unwrap().unwrap(), b"two");
        store.remove_secret("a").unwrap();
        assert_eq!(store.secret("a").unwrap(), None);
    }

    #[test]
    fn a_wrong_key_is_named_and_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), &[1])
            .unwrap()
            .put_secret("a", b"one")
            .unwrap();
        let error = open(dir.path(), &[2]).unwrap_err();
        assert_eq!(error.code(), "state_seal_key");
        let id = format!("{:?}", SealKey::new([1; 32]));
        let id = id
            .trim_start_matches("SealKey(")
            .trim_end_matches(')')
            .to_owned();
        assert!(error.to_string().contains(&id), "{error}");
        let store = open(dir.path(), &[1]).unwrap();
        assert_eq!(store.secret("a").unwrap().unwrap(), b"one");
    }

    #[test]
    fn without_a_key_no_secret_is_stored_or_read() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), &[1])
            .unwrap()
            .put_secret("a", b"one")
            .unwrap();
        let store = open(dir.path(), &[]).unwrap();
        let refused = store.put_secret("b", b"two").unwrap_err();
        assert_eq!(refused.code(), "state_seal_key");
        assert!(refused.to_string().contains("`state.key`"), "{refused}");
        assert_eq!(store.secret("a").unwrap_err().code(), "state_seal_key");
    }
}
