//! Reads files that somebody else may replace at any moment.
//!
//! Every file that comes from outside (sources, configuration, certificates, secrets, key sets, requests)
//! is read here: opening never waits for the other end of a pipe, what is not a regular file is refused on
//! the open handle, so that a swap after a look at the path changes nothing, and no read exceeds its
//! bound, whatever length the file system claims.

#[cfg(feature = "server")]
use super::described::described;
use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// Opens a regular file for reading.
///
/// # Errors
/// Those of the system, and `InvalidInput` for what is not a regular file.
pub(crate) fn open(path: &Path) -> Result<File> {
    // Opening a device can have effects of its own, so the path is looked at first.
    regular(&std::fs::metadata(path)?)?;
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    }
    let file = options.open(path)?;
    regular(&file.metadata()?)?;
    Ok(file)
}

/// Reads a regular file of at most `longest` bytes.
///
/// # Errors
/// As [`open`], and `FileTooLarge` for a longer one.
#[cfg(feature = "server")]
pub(crate) fn read(path: &Path, longest: u64) -> Result<Vec<u8>> {
    read_noting(path, longest, || {})
}

/// As [`read`]; calls `moved` after each part of at most [`PART`] bytes.
pub(crate) fn read_noting(path: &Path, longest: u64, moved: impl Fn()) -> Result<Vec<u8>> {
    let file = open(path)?;
    let length = file.metadata()?.len();
    if length > longest {
        return Err(too_large(longest));
    }
    // The length is only a claim: a file may grow while it is read, or say that it has none.
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    loop {
        let part = (&file).take(PART).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > longest {
            return Err(too_large(longest));
        }
        if part == 0 {
            return Ok(bytes);
        }
        moved();
    }
}

/// Bytes that are read at once.
const PART: u64 = 1 << 20;

/// Reads a regular UTF-8 file of at most `longest` bytes, without its byte order mark.
///
/// # Errors
/// As [`read`], and `InvalidData` where it is not UTF-8.
#[cfg(feature = "server")]
pub(crate) fn read_text(path: &Path, longest: u64) -> Result<String> {
    text(read(path, longest)?)
}

/// The bytes of a stream, such as standard input, of which there are at most `longest`.
#[cfg(feature = "cli")]
pub(crate) fn read_stream(stream: impl Read, longest: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream
        .take(longest.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > longest {
        return Err(too_large(longest));
    }
    Ok(bytes)
}

/// The text of a file, without its byte order mark.
///
/// # Errors
/// `InvalidData` where it is not UTF-8.
pub(crate) fn text(bytes: Vec<u8>) -> Result<String> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::new(
            ErrorKind::InvalidData,
            format!("not UTF-8: byte {at} is invalid"),
        )
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// Refuses what is not a regular file: reading a pipe or a device may never end.
///
/// # Errors
/// `InvalidInput`.
pub(crate) fn regular(meta: &std::fs::Metadata) -> Result<()> {
    if meta.is_file() {
        return Ok(());
    }
    let message = if meta.is_dir() {
        "is a directory, not a file"
    } else {
        "is not a regular file (a pipe, socket or device)"
    };
    Err(Error::new(ErrorKind::InvalidInput, message))
}

fn too_large(longest: u64) -> Error {
    Error::new(
        ErrorKind::FileTooLarge,
        format!("larger than {longest} bytes"),
    )
}

/// What the schema of a setting says of a path; relative ones in a configuration file are against its directory.
#[cfg(feature = "server")]
#[derive(Debug)]
pub(crate) struct PathText;

#[cfg(feature = "server")]
described!(PathText, {"type": "string", "format": "path"});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound_and_without_a_byte_order_mark() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "\u{feff}text").unwrap();
        assert_eq!(read_text(&path, 7).unwrap(), "text");
        let error = read_text(&path, 6).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        std::fs::write(&path, b"a\xff").unwrap();
        let error = read_text(&path, 6).unwrap_err();
        assert_eq!(error.to_string(), "not UTF-8: byte 1 is invalid");
    }

    #[test]
    fn what_claims_no_length_is_bounded_too() {
        // Regular by its mode, of length 0 by its metadata, and longer than the bound.
        let path = Path::new("/proc/self/smaps");
        if path.exists() {
            assert_eq!(std::fs::metadata(path).unwrap().len(), 0);
            assert_eq!(read(path, 10).unwrap_err().kind(), ErrorKind::FileTooLarge);
        }
    }

    /// A sparse file costs neither memory nor time.
    #[test]
    fn a_sparse_file_is_refused_by_its_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sparse");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(
            read(&path, 1 << 20).unwrap_err().kind(),
            ErrorKind::FileTooLarge
        );
    }

    #[cfg(unix)]
    #[test]
    fn pipes_sockets_devices_and_directories_are_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [&pipe, &socket, dir.path(), Path::new("/dev/zero")] {
            let error = read(path, 10).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{}", path.display());
        }
    }

    /// The swap that happens between a look at the path and opening it: the handle is looked at too.
    #[cfg(unix)]
    #[test]
    fn a_file_swapped_for_a_pipe_at_any_moment_never_hangs_a_reader() {
        use std::sync::atomic::{AtomicBool, Ordering};

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        std::fs::write(&path, "text").unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (file, pipe_link) = (dir.path().join("f"), dir.path().join("p"));
                while !done.load(Ordering::Relaxed) {
                    std::fs::hard_link(&pipe, &pipe_link).unwrap();
                    std::fs::rename(&pipe_link, &path).unwrap();
                    std::fs::write(&file, "text").unwrap();
                    std::fs::rename(&file, &path).unwrap();
                }
            });
            for _ in 0..20_000 {
                match read(&path, 10) {
                    Ok(bytes) => assert_eq!(bytes, b"text"),
                    Err(error) => assert!(
                        matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound),
                        "{error}"
                    ),
                }
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
