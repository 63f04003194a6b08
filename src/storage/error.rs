//! Why a state directory cannot be used.

use std::io;

/// What to do about a damaged directory.
const DAMAGED: &str = "restore the directory from a backup, or move it away and start with an empty one: \
     policies, schema and entities of files are read again, but API keys, webhooks, denied tokens, entities \
     written through the API, signals and earlier revisions are lost";

/// Why a state directory cannot be opened, read or written. The text says what to do.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: state directory `{path}`: {message}{}", self.code(), self.advice())]
pub struct StateDirError {
    path: String,
    kind: Kind,
    message: String,
}

/// What kind of trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    InUse,
    Format,
    Damaged,
    #[cfg_attr(
        not(feature = "server"),
        allow(dead_code, reason = "nothing is sealed")
    )]
    SealKey,
    Full,
    Io,
}

impl StateDirError {
    pub(super) fn new(path: &std::path::Path, kind: Kind, message: impl Into<String>) -> Self {
        Self {
            path: path.display().to_string(),
            kind,
            message: message.into(),
        }
    }

    /// A stable name: `state_in_use`, `state_format`, `state_damaged`, `state_seal_key`, `state_full` or
    /// `state_io`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.kind {
            Kind::InUse => "state_in_use",
            Kind::Format => "state_format",
            Kind::Damaged => "state_damaged",
            Kind::SealKey => "state_seal_key",
            Kind::Full => "state_full",
            Kind::Io => "state_io",
        }
    }
}

impl StateDirError {
    /// Whether what is in the directory is not what was written.
    pub(crate) fn is_damage(&self) -> bool {
        self.kind == Kind::Damaged
    }

    fn advice(&self) -> String {
        match self.kind {
            Kind::Damaged => format!("; {DAMAGED}"),
            _ => String::new(),
        }
    }
}

impl Kind {
    /// What the system says.
    pub(super) fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io,
        }
    }

    /// What the database says.
    pub(super) fn of_database(error: &redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => Self::Damaged,
                _ => Self::of_io(error),
            },
            redb::Error::DatabaseAlreadyOpen => Self::InUse,
            redb::Error::UpgradeRequired(_) => Self::Format,
            redb::Error::PreviousIo | redb::Error::DatabaseClosed => Self::Io,
            _ => Self::Damaged,
        }
    }
}
