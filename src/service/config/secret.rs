//! Secrets: named in the configuration, read where they are kept, never printed.

use std::fmt;
use std::path::PathBuf;

use crate::base::described::described;
use crate::base::files;

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SecretRef {
    /// In a file, without the line end at its end.
    File(PathBuf),
    /// In an environment variable.
    Env(String),
}

described!(SecretRef, {
    "type": "object",
    "format": "secret",
    "properties": {"file": {"type": "string", "format": "path"}, "env": {"type": "string"}},
    "additionalProperties": false,
    "minProperties": 1,
    "maxProperties": 1,
});

/// A secret in memory. Its `Debug` form does not show it.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Shortest secret taken, in bytes; a shorter one can be guessed.
const SHORTEST: usize = 16;
/// Longest file that is read for a secret, in bytes.
const LONGEST: u64 = 64 << 10;

impl SecretRef {
    /// Reads the secret.
    ///
    /// # Errors
    /// When it is not there, or too short to be one. The message does not hold it.
    pub fn read(&self) -> Result<Secret, String> {
        let (text, place) = match self {
            Self::File(path) => (
                files::read_text(path, LONGEST)
                    .map_err(|error| format!("`{}`: {error}", path.display()))?,
                format!("`{}`", path.display()),
            ),
            Self::Env(name) => (
                std::env::var(name)
                    .map_err(|_| format!("environment variable `{name}` is not set"))?,
                format!("environment variable `{name}`"),
            ),
        };
        let text = text.trim_end_matches(['\r', '\n']);
        if text.len() < SHORTEST {
            return Err(format!("{place}: a secret has at least {SHORTEST} bytes"));
        }
        Ok(Secret(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_and_never_printed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "correct horse battery\n").unwrap();
        let secret = SecretRef::File(path.clone()).read().unwrap();
        assert_eq!(secret.reveal(), "correct horse battery");
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        std::fs::write(&path, "short").unwrap();
        let error = SecretRef::File(path).read().unwrap_err();
        assert!(error.contains("16 bytes") && !error.contains("short\n"));
    }
}
