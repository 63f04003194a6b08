//! Reading trees of policy, schema and entity files, whole or not at all.
//!
//! A tree is handed on only if its listing after reading equals the one before: a half-written
//! deployment or a directory swapped under the reader is read again.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::fault::{Fault, Faults, SourceText};

/// What a tree is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Policies,
    Schema,
    Entities,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Form {
    Cedar,
    PolicySetJson,
    Links,
    SchemaCedar,
    SchemaJson,
    EntitiesJson,
    EntitiesNdjson,
}

impl Form {
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Cedar | Self::PolicySetJson | Self::Links => Kind::Policies,
            Self::SchemaCedar | Self::SchemaJson => Kind::Schema,
            Self::EntitiesJson | Self::EntitiesNdjson => Kind::Entities,
        }
    }

    /// The form of a file met in a directory that is read for `kind`; `None` when it is no such file.
    fn of_member(kind: Kind, name: &str) -> Option<Self> {
        let ends = |suffix: &str| name.ends_with(suffix);
        let schema = ends(".cedarschema") || ends(".cedarschema.json");
        let cases = ends(".cases.json") || ends(".requests.json");
        match kind {
            Kind::Policies if ends(".cedar") => Some(Self::Cedar),
            Kind::Policies if ends(".links.json") => Some(Self::Links),
            Kind::Policies if ends(".json") && !schema && !cases && !ends(".entities.json") => {
                Some(Self::PolicySetJson)
            }
            Kind::Schema if ends(".cedarschema") => Some(Self::SchemaCedar),
            Kind::Schema if schema => Some(Self::SchemaJson),
            Kind::Entities if ends(".ndjson") || ends(".jsonl") => Some(Self::EntitiesNdjson),
            Kind::Entities if ends(".json") && !schema && !cases && !ends(".links.json") => {
                Some(Self::EntitiesJson)
            }
            _ => None,
        }
    }

    /// The form of a file that was named by itself: any name will do, its ending decides the form.
    pub(crate) fn of_file(kind: Kind, name: &str) -> Self {
        Self::of_member(kind, name).unwrap_or(match kind {
            Kind::Policies if name.ends_with(".json") => Self::PolicySetJson,
            Kind::Policies => Self::Cedar,
            Kind::Schema if name.ends_with(".json") => Self::SchemaJson,
            Kind::Schema => Self::SchemaCedar,
            Kind::Entities => Self::EntitiesJson,
        })
    }
}

/// A file that was read.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    /// The whole text, under the name the operator knows it by.
    pub(crate) source: SourceText,
    /// The path below its root with `/` between; ids of unnamed policies begin with it.
    pub(crate) relative: Arc<str>,
    pub(crate) form: Form,
}

impl SourceFile {
    pub(crate) fn new(name: &str, relative: &str, text: &str, form: Form) -> Self {
        Self {
            source: SourceText {
                name: name.into(),
                text: text.into(),
            },
            relative: relative.into(),
            form,
        }
    }
}

/// Bounds on what is read from disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// Bytes of one policy, links or schema file (default 64 MiB).
    pub policy_file_bytes: u64,
    /// Bytes of one entities file (default 1 GiB).
    pub entity_file_bytes: u64,
    /// Files in all trees together (default 100,000).
    pub files: usize,
    /// Length of a chain of parents among stored entities (default 1,000).
    pub entity_parent_depth: usize,
    /// Stored entities of all files and of the API, the actions of the schema among them (default 2,000,000).
    pub entities: usize,
    /// Different names of attributes, tags and types in stored entities and policies (default 1,000,000).
    pub entity_names: usize,
    /// Bytes of the JSON of one entity that is written through the API (default 256 KiB).
    pub entity_bytes: usize,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            policy_file_bytes: 64 << 20,
            entity_file_bytes: 1 << 30,
            files: 100_000,
            entity_parent_depth: 1_000,
            entities: 2_000_000,
            entity_names: 1_000_000,
            entity_bytes: 256 << 10,
        }
    }
}

/// The files and directories to read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roots(pub(crate) Vec<(Kind, PathBuf)>);

/// Which files there are, and everything that tells one state of them from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listing(Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    form: Form,
    path: PathBuf,
    root: PathBuf,
    real: PathBuf,
    len: u64,
    modified: Option<SystemTime>,
    identity: (u64, u64, i64, i64),
}

/// Directories below each other; a deeper tree is a mistake or a loop of links.
const MAX_TREE_DEPTH: usize = 64;
/// Times that a tree which changes while it is read is read again.
const ATTEMPTS: usize = 40;
const PAUSE: Duration = Duration::from_millis(25);

impl Roots {
    /// Lists the files without reading them.
    pub(crate) fn list(&self, limits: &ReadLimits) -> Result<Listing, Faults> {
        let mut faults = Faults::new();
        let mut entries = Vec::new();
        for (kind, root) in &self.0 {
            if let Err(fault) = list_root(*kind, root, limits, &mut entries) {
                faults.push(fault);
            }
        }
        faults.or(Listing(entries))
    }

    /// Reads every file, again if the tree changed meanwhile.
    pub(crate) fn read(&self, limits: &ReadLimits) -> Result<Vec<SourceFile>, Faults> {
        let mut last = Faults::new();
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                std::thread::sleep(PAUSE);
            }
            let before = self.list(limits);
            let read = before.as_ref().map(|listing| listing.read(limits));
            let after = self.list(limits);
            match (before.as_ref(), &after, read) {
                (Ok(one), Ok(other), Ok(read)) if one == other => return read,
                (Err(faults), Err(_), _) => {
                    // Gone for good, or between two renames: a second look tells.
                    if attempt >= 2 {
                        return Err(faults.clone());
                    }
                    last = faults.clone();
                }
                _ => {
                    last = Fault::new("unstable", "the files kept changing while they were read")
                        .help("the next change is picked up as soon as they rest")
                        .into();
                }
            }
        }
        Err(last)
    }
}

impl Listing {
    fn read(&self, limits: &ReadLimits) -> Result<Vec<SourceFile>, Faults> {
        let mut faults = Faults::new();
        let mut files = Vec::with_capacity(self.0.len());
        for entry in &self.0 {
            match read_file(entry, limits) {
                Ok(file) => files.push(file),
                Err(fault) => faults.push(fault),
            }
        }
        faults.or(files)
    }
}

fn io_fault(path: &Path, what: &str, error: &std::io::Error) -> Fault {
    let fault = Fault::new("io", format!("{what}: {error}")).in_file(path.display().to_string());
    match error.kind() {
        std::io::ErrorKind::NotFound => fault.help("check the path"),
        std::io::ErrorKind::PermissionDenied => {
            fault.help("give the user that runs deodar the right to read it")
        }
        _ => fault,
    }
}

fn list_root(
    kind: Kind,
    root: &Path,
    limits: &ReadLimits,
    entries: &mut Vec<Entry>,
) -> Result<(), Fault> {
    let meta = fs::metadata(root).map_err(|error| io_fault(root, "cannot read", &error))?;
    if !meta.is_dir() {
        regular(root, &meta)?;
        let name = root.file_name().unwrap_or_default().to_string_lossy();
        let base = root.parent().unwrap_or(Path::new("")).to_owned();
        let form = Form::of_file(kind, &name);
        entries.push(entry(root.to_owned(), base, form, &meta)?);
        return Ok(());
    }
    let mut pending = vec![(root.to_owned(), 0)];
    // By their real names: a link that leads back up, or twice to one place, is followed once.
    let mut visited = std::collections::HashSet::new();
    while let Some((directory, depth)) = pending.pop() {
        let real = fs::canonicalize(&directory)
            .map_err(|error| io_fault(&directory, "cannot read", &error))?;
        if !visited.insert(real) {
            continue;
        }
        if depth > MAX_TREE_DEPTH {
            return Err(
                Fault::new("io", format!("more than {MAX_TREE_DEPTH} directories deep"))
                    .in_file(directory.display().to_string()),
            );
        }
        let cannot_list = |error| io_fault(&directory, "cannot list the directory", &error);
        let mut members = fs::read_dir(&directory)
            .map_err(cannot_list)?
            .collect::<Result<Vec<_>, _>>()
            .map_err(cannot_list)?;
        members.sort_by_key(fs::DirEntry::file_name);
        for member in members {
            let name = member.file_name();
            let name = name.to_string_lossy();
            // Hidden members are editors' files and the `..data` of a mounted ConfigMap, whose files
            // are also reached by their own names.
            if name.starts_with('.') {
                continue;
            }
            let path = member.path();
            let form = Form::of_member(kind, &name);
            let meta = match fs::metadata(&path) {
                Ok(meta) => meta,
                // A dangling link of a name that is not read anyway.
                Err(_) if form.is_none() => continue,
                Err(error) => return Err(io_fault(&path, "cannot read", &error)),
            };
            if meta.is_dir() {
                pending.push((path, depth + 1));
            } else if let Some(form) = form {
                regular(&path, &meta)?;
                if entries.len() >= limits.files {
                    return Err(Fault::new(
                        "too_many_files",
                        format!("more than {} files", limits.files),
                    )
                    .in_file(root.display().to_string())
                    .help("raise `limits.source_files`"));
                }
                entries.push(entry(path, root.to_owned(), form, &meta)?);
            }
        }
    }
    Ok(())
}

/// Refuses what is no file: reading a pipe or a device may never end.
fn regular(path: &Path, meta: &fs::Metadata) -> Result<(), Fault> {
    if meta.is_file() {
        return Ok(());
    }
    let fault = Fault::new("io", "is no regular file").in_file(path.display().to_string());
    Err(fault.help("remove it, or give it a hidden name"))
}

fn entry(path: PathBuf, root: PathBuf, form: Form, meta: &fs::Metadata) -> Result<Entry, Fault> {
    let real = fs::canonicalize(&path).map_err(|error| io_fault(&path, "cannot read", &error))?;
    Ok(Entry {
        form,
        path,
        root,
        real,
        len: meta.len(),
        modified: meta.modified().ok(),
        identity: identity(meta),
    })
}

#[cfg(unix)]
fn identity(meta: &fs::Metadata) -> (u64, u64, i64, i64) {
    use std::os::unix::fs::MetadataExt;
    (meta.dev(), meta.ino(), meta.ctime(), meta.ctime_nsec())
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> (u64, u64, i64, i64) {
    (0, 0, 0, 0)
}

fn read_file(entry: &Entry, limits: &ReadLimits) -> Result<SourceFile, Fault> {
    let name = entry.path.display().to_string();
    let (longest, setting) = match entry.form.kind() {
        Kind::Entities => (limits.entity_file_bytes, "limits.entity_file_bytes"),
        Kind::Policies | Kind::Schema => (limits.policy_file_bytes, "limits.policy_file_bytes"),
    };
    let too_large = || {
        Fault::new("too_large", format!("larger than {longest} bytes"))
            .in_file(name.as_str())
            .help(format!("split the file or raise `{setting}`"))
    };
    if entry.len > longest {
        return Err(too_large());
    }
    let file =
        File::open(&entry.path).map_err(|error| io_fault(&entry.path, "cannot open", &error))?;
    let mut bytes = Vec::with_capacity(usize::try_from(entry.len).unwrap_or(0));
    file.take(longest.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| io_fault(&entry.path, "cannot read", &error))?;
    if bytes.len() as u64 > longest {
        return Err(too_large());
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        Fault::new(
            "encoding",
            format!(
                "not UTF-8: byte {} is invalid",
                error.utf8_error().valid_up_to()
            ),
        )
        .in_file(name.as_str())
        .help("save the file as UTF-8")
    })?;
    let relative = entry.path.strip_prefix(&entry.root).unwrap_or(&entry.path);
    let relative: Vec<_> = relative
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    Ok(SourceFile::new(
        &name,
        &relative.join("/"),
        text.strip_prefix('\u{feff}').unwrap_or(&text),
        entry.form,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(files: &[SourceFile]) -> Vec<(&str, Form)> {
        files.iter().map(|f| (&*f.relative, f.form)).collect()
    }

    #[test]
    fn each_kind_takes_its_own_files_of_a_shared_directory() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "b.cedar",
            "a/c.cedar",
            "s.links.json",
            "set.json",
            "x.entities.json",
            "y.ndjson",
            "z.cedarschema",
            "z.cedarschema.json",
            "t.cases.json",
            "t.cases.yaml",
            ".hidden.cedar",
            "readme.md",
        ] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let read = |kind| {
            Roots(vec![(kind, dir.path().to_owned())])
                .read(&ReadLimits::default())
                .unwrap()
        };
        assert_eq!(
            names(&read(Kind::Policies)),
            [
                ("b.cedar", Form::Cedar),
                ("s.links.json", Form::Links),
                ("set.json", Form::PolicySetJson),
                ("a/c.cedar", Form::Cedar),
            ]
        );
        assert_eq!(read(Kind::Schema).len(), 2);
        assert_eq!(
            names(&read(Kind::Entities)),
            [
                ("set.json", Form::EntitiesJson),
                ("x.entities.json", Form::EntitiesJson),
                ("y.ndjson", Form::EntitiesNdjson),
            ]
        );
    }

    #[test]
    fn too_large_and_not_utf_8_are_said_so_for_every_file() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.cedar"), "x".repeat(100)).unwrap();
        fs::write(dir.path().join("b.cedar"), b"\xff").unwrap();
        let limits = ReadLimits {
            policy_file_bytes: 99,
            ..ReadLimits::default()
        };
        let faults = Roots(vec![(Kind::Policies, dir.path().to_owned())])
            .read(&limits)
            .unwrap_err();
        let codes: Vec<_> = faults.iter().map(Fault::code).collect();
        assert_eq!(codes, ["too_large", "encoding"]);
    }

    #[test]
    fn a_missing_root_and_a_loop_of_links_end() {
        let dir = tempfile::tempdir().unwrap();
        let missing = Roots(vec![(Kind::Policies, dir.path().join("none"))]);
        assert!(
            missing
                .read(&ReadLimits::default())
                .unwrap_err()
                .summary()
                .contains("none")
        );
        #[cfg(unix)]
        {
            fs::write(dir.path().join("a.cedar"), "").unwrap();
            std::os::unix::fs::symlink(dir.path(), dir.path().join("loop")).unwrap();
            let roots = Roots(vec![(Kind::Policies, dir.path().to_owned())]);
            assert_eq!(roots.read(&ReadLimits::default()).unwrap().len(), 1);
        }
    }
}
