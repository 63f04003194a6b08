//! The file of a Unix-domain socket: made with its permissions, never over a socket that somebody
//! listens on, removed at the end.

use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// The socket's name before it has its permissions; short, because the whole path may be no longer than
/// about a hundred bytes.
const NAME: &str = "s";

/// The file; removed when this is dropped, unless another has taken its place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

/// Listens on a socket at `path` with the permissions `mode`.
pub(crate) fn bind(path: &Path, mode: u32) -> Result<(UnixListener, SocketFile)> {
    make_way(path)?;
    // Made where nobody else can reach it, so that it never is there with other permissions.
    let private = private_directory(path)?;
    let inside = private.join(NAME);
    let bound = (|| {
        let listener = UnixListener::bind(&inside)?;
        fs::set_permissions(&inside, fs::Permissions::from_mode(mode))?;
        fs::rename(&inside, path)?;
        let meta = fs::symlink_metadata(path)?;
        let file = SocketFile {
            path: path.to_owned(),
            identity: (meta.dev(), meta.ino()),
        };
        Ok((listener, file))
    })();
    // Left where it fails: an empty directory.
    let _ = remove(&inside);
    let _ = fs::remove_dir(&private);
    bound
}

/// Makes a directory beside `path` that only this user can enter.
fn private_directory(path: &Path) -> Result<PathBuf> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let private = directory
        .unwrap_or(Path::new("."))
        .join(format!(".d{}", std::process::id()));
    // What a process of this number left that was killed at it. One that somebody else made cannot be
    // removed, and is not used.
    let _ = remove(&private.join(NAME));
    let _ = fs::remove_dir(&private);
    fs::DirBuilder::new().mode(0o700).create(&private)?;
    Ok(private)
}

/// Makes sure that nothing of use is at `path`.
fn make_way(path: &Path) -> Result<()> {
    let meta = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        meta => meta?,
    };
    if !meta.file_type().is_socket() {
        let message = "there is a file already, and it is not a socket";
        return Err(Error::new(ErrorKind::AlreadyExists, message));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(Error::new(
            ErrorKind::AddrInUse,
            "another process listens on it",
        )),
        // Nobody listens: it was left by a process that was killed.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => remove(path),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|meta| (meta.dev(), meta.ino()) == self.identity);
        if ours {
            // Whoever starts next finds it stale otherwise.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[tokio::test]
    async fn made_with_its_permissions_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deodar.sock");
        let (listener, file) = bind(&path, 0o640).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert_eq!(names(directory.path()), ["deodar.sock"]);
        std::os::unix::net::UnixStream::connect(&path).unwrap();
        drop((listener, file));
        assert!(names(directory.path()).is_empty());
    }

    #[tokio::test]
    async fn a_stale_one_is_replaced_and_one_in_use_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deodar.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "left behind");
        let (listener, file) = bind(&path, 0o600).unwrap();
        let error = bind(&path, 0o600).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(path.exists());
        // Another process took the place meanwhile; its socket stays.
        fs::remove_file(&path).unwrap();
        let other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop((listener, file));
        assert!(path.exists());
        drop(other);
    }

    #[tokio::test]
    async fn what_a_killed_process_left_is_no_hindrance_and_what_others_made_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deodar.sock");
        let private = private_directory(&path).unwrap();
        drop(std::os::unix::net::UnixListener::bind(private.join(NAME)).unwrap());
        let (listener, file) = bind(&path, 0o600).unwrap();
        assert_eq!(names(directory.path()), ["deodar.sock"]);
        drop((listener, file));
        fs::create_dir(&private).unwrap();
        fs::write(private.join("other"), "").unwrap();
        assert!(bind(&path, 0o600).is_err());
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn other_files_are_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes");
        fs::write(&path, "mine").unwrap();
        assert!(bind(&path, 0o600).is_err());
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(bind(&link, 0o600).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}
