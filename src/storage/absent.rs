//! What stands in for `storage` without the feature `state`: a store that nobody can have, so that
//! the code that asks for one compiles as it is, and its branches are empty.

use crate::base::timestamp::Timestamp;
use crate::source::SourceFile;

/// Why a state directory cannot be used. Without the feature `state` there is no such value.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StateDirError {}

impl StateDirError {
    /// A stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match *self {}
    }
}

/// A state directory. There is none.
#[derive(Debug, Clone)]
pub(crate) enum Store {}

/// The sources of the last published state. There are none.
#[derive(Debug, Clone)]
pub(crate) struct LastGood {
    pub(crate) sequence: u64,
    pub(crate) revision: String,
    pub(crate) files: Vec<SourceFile>,
}

/// What a batch leaves of the entities it touches.
#[derive(Debug, Clone, Default)]
#[expect(dead_code, reason = "nothing reads it where nothing can be written")]
pub(crate) struct EntityWrites {
    pub(crate) sequence: u64,
    pub(crate) entities: Vec<(String, String, Option<String>)>,
}

impl Store {
    pub(crate) fn last_good(&self) -> Result<Option<LastGood>, StateDirError> {
        match *self {}
    }

    pub(crate) fn keep(
        &self,
        _sequence: u64,
        _revision: &str,
        _files: &[SourceFile],
        _now: Timestamp,
    ) -> Result<(), StateDirError> {
        match *self {}
    }

    pub(crate) fn entities(&self) -> Result<Vec<String>, StateDirError> {
        match *self {}
    }

    pub(crate) fn write_entities(&self, _writes: EntityWrites) -> Result<(), StateDirError> {
        match *self {}
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        match *self {}
    }
}
