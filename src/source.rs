//! Reading trees of policy, schema and entity files, whole or not at all.
//!
//! A tree is handed on only if its listing after reading equals the one before: a half-written
//! deployment or a directory swapped under the reader is read again.

pub(crate) mod content;
pub(crate) mod json;
pub(crate) mod nesting;
pub(crate) mod progress;
pub(crate) mod statements;
#[cfg(feature = "watch")]
pub(crate) mod watch;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use self::content::Content;
use self::progress::Progress;
use crate::base::fault::{Fault, Faults, SourceText};
use crate::base::files;

/// What a tree is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// Names of obligations and advice.
    Vocabulary,
    SchemaCedar,
    SchemaJson,
    EntitiesJson,
    EntitiesNdjson,
}

impl Form {
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Cedar | Self::PolicySetJson | Self::Links | Self::Vocabulary => Kind::Policies,
            Self::SchemaCedar | Self::SchemaJson => Kind::Schema,
            Self::EntitiesJson | Self::EntitiesNdjson => Kind::Entities,
        }
    }

    /// The form of a file met in a directory that is read for `kind`; `None` when it is no such file.
    fn of_member(kind: Kind, name: &str) -> Option<Self> {
        // A forbid in `LEAVERS.CEDAR` must not be passed by.
        let name = name.to_ascii_lowercase();
        let ends = |suffix: &str| name.ends_with(suffix);
        let schema = ends(".cedarschema") || ends(".cedarschema.json");
        let cases = ends(".cases.json") || ends(".requests.json");
        let vocabulary = name == "vocabulary.json" || ends(".vocabulary.json");
        match kind {
            Kind::Policies if ends(".cedar") => Some(Self::Cedar),
            Kind::Policies if ends(".links.json") => Some(Self::Links),
            Kind::Policies if vocabulary => Some(Self::Vocabulary),
            Kind::Policies if ends(".json") && !schema && !cases && !ends(".entities.json") => {
                Some(Self::PolicySetJson)
            }
            Kind::Schema if ends(".cedarschema") => Some(Self::SchemaCedar),
            Kind::Schema if schema => Some(Self::SchemaJson),
            Kind::Entities if ends(".ndjson") || ends(".jsonl") => Some(Self::EntitiesNdjson),
            Kind::Entities
                if ends(".json") && !schema && !cases && !vocabulary && !ends(".links.json") =>
            {
                Some(Self::EntitiesJson)
            }
            _ => None,
        }
    }

    /// The form of a file that was named by itself: any name will do, its ending decides the form.
    pub(crate) fn of_file(kind: Kind, name: &str) -> Self {
        let name = &*name.to_ascii_lowercase();
        Self::of_member(kind, name).unwrap_or(match kind {
            Kind::Policies if name.ends_with(".json") => Self::PolicySetJson,
            Kind::Policies => Self::Cedar,
            Kind::Schema if name.ends_with(".json") => Self::SchemaJson,
            Kind::Schema => Self::SchemaCedar,
            Kind::Entities => Self::EntitiesJson,
        })
    }
}

/// Whether a file that is not read for `kind` looks as if its author meant it to be: a forbid in
/// `leavers.cedar.bak` does not hold.
fn looks_meant(kind: Kind, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_schema = name.contains(".cedarschema");
    match kind {
        Kind::Policies => name.contains(".cedar") && !is_schema || says_other_content(&name),
        Kind::Schema => is_schema,
        Kind::Entities => false,
    }
}

/// Whether a name says that a JSON file holds no policies.
fn says_other_content(name: &str) -> bool {
    let other = [".cases.json", ".requests.json", ".entities.json"];
    other.iter().any(|suffix| name.ends_with(suffix))
}

/// Files that are not read and are told one by one.
const MOST_WARNED: usize = 100;

/// A JSON file of another name is looked into for policies up to this many bytes.
const LOOKED_INTO: u64 = 1 << 20;

/// A warning about a file that is not read, if there is a reason for one.
fn passed_by(path: &Path, progress: &Progress) -> Option<Fault> {
    progress.at(path);
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let (message, help) = if says_other_content(&name) {
        let text = files::read_noting(path, LOOKED_INTO, || progress.moved());
        let text = text.and_then(files::text).ok()?;
        let has_policies = text.trim_start().starts_with('{')
            && matches!(content::of(&text), Some(Content::Policies));
        if !has_policies {
            return None;
        }
        (
            "this file is not read, because its name says that it holds no policies; it does",
            "rename it to `*.json` if its policies are to hold",
        )
    } else {
        (
            "this file is not read, because of the end of its name",
            "policies are read from `*.cedar`, schemas from `*.cedarschema`; rename it, or move it elsewhere",
        )
    };
    let fault = Fault::new("not_read", message).help(help);
    Some(fault.in_file(shown(path)).into_warning())
}

/// Files that were read, and warnings about those that were not.
#[derive(Debug)]
pub(crate) struct ReadFiles {
    pub(crate) files: Vec<SourceFile>,
    pub(crate) warnings: Vec<Fault>,
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

    /// The file in the form that its content shows, where its name does not: Cedar's users call a file of
    /// links `linked` or `links.json`, and keep requests, entities and policies in one folder. `None` for a
    /// file of a directory that is plainly of another kind. What cannot be told is left as it is, and is a
    /// fault where it cannot be read: a set of policies with a typo must not be passed by.
    fn by_content(self, is_named: bool) -> Option<Self> {
        let text = &*self.source.text;
        // Most lists of entities are large, and all that such a list could be instead is one of links.
        let is_plain = self.form == Form::EntitiesJson
            && (is_named || text.trim_start().starts_with('[') && !text.contains("_id\""));
        let found = if is_plain { None } else { content::of(text) };
        let form = match (self.form, found) {
            (Form::Cedar | Form::PolicySetJson, Some(Content::Links)) => Form::Links,
            (Form::Cedar, Some(Content::Policies)) => Form::PolicySetJson,
            (Form::PolicySetJson, Some(Content::Entities | Content::Request | Content::Schema))
                if !is_named =>
            {
                return None;
            }
            (
                Form::EntitiesJson,
                Some(Content::Policies | Content::Links | Content::Request | Content::Schema),
            ) if !is_named => return None,
            (form, _) => form,
        };
        Some(Self { form, ..self })
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
pub(crate) struct Listing {
    files: Vec<Entry>,
    /// Files that are not read and look as if they were meant to be.
    others: Vec<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    form: Form,
    /// Whether the operator named the file itself, not a directory that it is in.
    is_named: bool,
    path: PathBuf,
    root: PathBuf,
    real: PathBuf,
    len: u64,
    modified: Option<SystemTime>,
    identity: (u64, u64, i64, i64),
}

/// Directories below each other; a deeper tree is a mistake or a loop of links.
const MAX_TREE_DEPTH: usize = 64;
/// Members of directories that are looked at for each file that may be read.
const MEMBERS_PER_FILE: usize = 2;
/// All files of a kind together have at most as many times the bytes of one.
const FILES_OF_MOST_BYTES: u64 = 4;
/// Pause before a tree that changes is looked at again.
const PAUSE: Duration = Duration::from_millis(25);
/// Looks at a tree that cannot be listed: between two renames a second look finds it.
const LOOKS: usize = 3;

/// How a tree is read while others write to it.
///
/// A file that is written in place holds, for a while, a beginning that may parse. So a file is taken only
/// once it has not changed for `rest`. A writer that pauses for longer than that cannot be told from one
/// that has finished.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settling {
    /// How long a file must have been unchanged.
    pub(crate) rest: Duration,
    /// How long to wait for files that go on changing. Then the tree is refused as a whole: old texts of some
    /// files beside new texts of others could lack a forbid that was never missing.
    pub(crate) patience: Duration,
}

impl Settling {
    /// For a first read: it waits for nothing, but for a tree that changes under it.
    pub(crate) const FIRST: Self = Self {
        rest: Duration::ZERO,
        patience: Duration::from_secs(1),
    };
}

impl Roots {
    /// Lists the files without reading them.
    pub(crate) fn list(&self, limits: &ReadLimits, progress: &Progress) -> Result<Listing, Faults> {
        let mut faults = Faults::new();
        let mut listing = Listing {
            files: Vec::new(),
            others: Vec::new(),
        };
        for (kind, root) in &self.0 {
            if let Err(fault) = list_root(*kind, root, limits, progress, &mut listing) {
                faults.push(fault);
            }
        }
        faults.or(listing)
    }

    /// Reads every file, again if the tree changed meanwhile.
    pub(crate) fn read(
        &self,
        limits: &ReadLimits,
        settling: Settling,
        progress: &Progress,
    ) -> Result<ReadFiles, Faults> {
        let latest = Instant::now() + settling.patience;
        let mut looks = 0;
        loop {
            let out_of_patience = Instant::now() >= latest;
            let before = match self.list(limits, progress) {
                Ok(before) => before,
                Err(faults) => {
                    looks += 1;
                    if looks >= LOOKS || out_of_patience {
                        return Err(faults);
                    }
                    std::thread::sleep(PAUSE);
                    continue;
                }
            };
            if !out_of_patience && let Some(wait) = before.unsettled(settling.rest) {
                std::thread::sleep(wait.clamp(Duration::from_millis(1), PAUSE));
                continue;
            }
            let read = before.read(limits, progress);
            match self.list(limits, progress) {
                Ok(after) if after == before && after.unsettled(settling.rest).is_none() => {
                    let mut files = read?;
                    tell_apart(&mut files);
                    let others = after.others.iter();
                    let warnings = others
                        .filter_map(|path| passed_by(path, progress))
                        .take(MOST_WARNED)
                        .collect();
                    return Ok(ReadFiles { files, warnings });
                }
                Ok(after) if out_of_patience => {
                    return Err(unstable(&after.restless(&before, settling.rest)).into());
                }
                Err(faults) if out_of_patience => return Err(faults),
                _ => std::thread::sleep(PAUSE),
            }
        }
    }
}

fn unstable(restless: &[PathBuf]) -> Fault {
    let names: Vec<_> = restless.iter().take(3).map(|path| shown(path)).collect();
    let message = format!(
        "the files kept changing while they were read: {}",
        names.join(", ")
    );
    Fault::new("unstable", message).help("the change is published once they are stable")
}

/// Where files of several roots have one path below their roots, the whole path takes its place: ids of unnamed
/// policies begin with it.
fn tell_apart(files: &mut [SourceFile]) {
    let mut times: HashMap<(Kind, Arc<str>), usize> = HashMap::new();
    for file in &*files {
        let key = (file.form.kind(), Arc::clone(&file.relative));
        *times.entry(key).or_default() += 1;
    }
    for file in files {
        let key = (file.form.kind(), Arc::clone(&file.relative));
        if times.get(&key).is_some_and(|times| *times > 1) {
            file.relative = Arc::clone(&file.source.name);
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

impl Listing {
    /// How long the file that changed last must still stand still; `None` when all have for `rest`.
    fn unsettled(&self, rest: Duration) -> Option<Duration> {
        let now = SystemTime::now();
        let left = self
            .files
            .iter()
            .filter_map(|entry| entry.unsettled(rest, now));
        left.max()
    }

    /// The files that changed since `before`, came, went, or changed less than `rest` ago.
    fn restless(&self, before: &Self, rest: Duration) -> Vec<PathBuf> {
        let now = SystemTime::now();
        let differs = |entry: &&Entry, other: &Self| {
            entry.unsettled(rest, now).is_some() || !other.files.contains(entry)
        };
        let mut paths: Vec<_> = self
            .files
            .iter()
            .filter(|entry| differs(entry, before))
            .chain(before.files.iter().filter(|entry| differs(entry, self)))
            .map(|entry| entry.path.clone())
            .collect();
        paths.sort();
        paths.dedup();
        paths
    }

    fn read(&self, limits: &ReadLimits, progress: &Progress) -> Result<Vec<SourceFile>, Faults> {
        let mut faults = Faults::new();
        for (entities, one, setting) in [
            (false, limits.policy_file_bytes, "limits.policy_file_bytes"),
            (true, limits.entity_file_bytes, "limits.entity_file_bytes"),
        ] {
            let entries = self.files.iter();
            let of_kind = entries.filter(|entry| (entry.form.kind() == Kind::Entities) == entities);
            let all: u64 = of_kind
                .map(|entry| entry.len.min(one.saturating_add(1)))
                .sum();
            let most = one.saturating_mul(FILES_OF_MOST_BYTES);
            if all > most {
                let message = format!("the files together are larger than {most} bytes");
                faults.push(Fault::new("too_large", message).help(format!("raise `{setting}`")));
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut files = Vec::with_capacity(self.files.len());
        for entry in &self.files {
            match read_file(entry, limits, progress) {
                Ok(file) => files.extend(file.by_content(entry.is_named)),
                Err(fault) => faults.push(fault),
            }
        }
        faults.or(files)
    }
}

impl Entry {
    fn named(self) -> Self {
        Self {
            is_named: true,
            ..self
        }
    }

    /// How long it must still stand still. A time in the future is another clock's and says nothing.
    fn unsettled(&self, rest: Duration, now: SystemTime) -> Option<Duration> {
        let age = now.duration_since(self.changed()?).ok()?;
        rest.checked_sub(age).filter(|left| !left.is_zero())
    }

    /// When it changed last. Unlike the time of modification nobody sets this one at will.
    fn changed(&self) -> Option<SystemTime> {
        let (_, _, seconds, nanoseconds) = self.identity;
        if seconds <= 0 {
            return self.modified;
        }
        let since = Duration::new(
            u64::try_from(seconds).ok()?,
            u32::try_from(nanoseconds).ok()?,
        );
        SystemTime::UNIX_EPOCH.checked_add(since)
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
    progress: &Progress,
    listing: &mut Listing,
) -> Result<(), Fault> {
    progress.at(root);
    let meta = fs::metadata(root).map_err(|error| io_fault(root, "cannot read", &error))?;
    if !meta.is_dir() {
        regular(root, &meta)?;
        let name = root.file_name().unwrap_or_default().to_string_lossy();
        let base = root.parent().unwrap_or(Path::new("")).to_owned();
        let form = Form::of_file(kind, &name);
        let entry = entry(root.to_owned(), base, form, &meta)?.named();
        listing.files.push(entry);
        return Ok(());
    }
    let mut pending = vec![(root.to_owned(), 0)];
    let mut seen = 0;
    // By their real names: a link that leads back up, or twice to one place, is followed once.
    let mut visited = std::collections::HashSet::new();
    while let Some((directory, depth)) = pending.pop() {
        progress.at(&directory);
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
        seen += members.len();
        if seen > limits.files.saturating_mul(MEMBERS_PER_FILE) {
            let message = format!("more than {seen} members in all directories");
            return Err(Fault::new("too_many_files", message)
                .in_file(root.display().to_string())
                .help("name a directory that holds sources, or raise `limits.source_files`"));
        }
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
            progress.at(&path);
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
                if listing.files.len() >= limits.files {
                    return Err(Fault::new(
                        "too_many_files",
                        format!("more than {} files", limits.files),
                    )
                    .in_file(root.display().to_string())
                    .help("raise `limits.source_files`"));
                }
                let entry = entry(path, root.to_owned(), form, &meta)?;
                listing.files.push(entry);
            } else if looks_meant(kind, &name) {
                listing.others.push(path);
            }
        }
    }
    Ok(())
}

fn regular(path: &Path, meta: &fs::Metadata) -> Result<(), Fault> {
    files::regular(meta).map_err(|error| {
        let fault = Fault::new("io", error.to_string()).in_file(path.display().to_string());
        fault.help("remove it, or give it a hidden name")
    })
}

fn entry(path: PathBuf, root: PathBuf, form: Form, meta: &fs::Metadata) -> Result<Entry, Fault> {
    let real = fs::canonicalize(&path).map_err(|error| io_fault(&path, "cannot read", &error))?;
    Ok(Entry {
        form,
        is_named: false,
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

fn read_file(entry: &Entry, limits: &ReadLimits, progress: &Progress) -> Result<SourceFile, Fault> {
    progress.at(&entry.path);
    let name = entry.path.display().to_string();
    let (longest, setting) = match entry.form.kind() {
        Kind::Entities => (limits.entity_file_bytes, "limits.entity_file_bytes"),
        Kind::Policies | Kind::Schema => (limits.policy_file_bytes, "limits.policy_file_bytes"),
    };
    let read = files::read_noting(&entry.path, longest, || progress.moved());
    let text = read.and_then(files::text).map_err(|error| {
        let fault = |code, help: String| {
            let fault = Fault::new(code, error.to_string());
            fault.in_file(name.as_str()).help(help)
        };
        match error.kind() {
            std::io::ErrorKind::FileTooLarge => {
                fault("too_large", format!("split the file or raise `{setting}`"))
            }
            std::io::ErrorKind::InvalidData => {
                fault("encoding", "save the file as UTF-8".to_owned())
            }
            _ => io_fault(&entry.path, "cannot read", &error),
        }
    })?;
    let relative = entry.path.strip_prefix(&entry.root).unwrap_or(&entry.path);
    let relative: Vec<_> = relative
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    Ok(SourceFile::new(
        &name,
        &relative.join("/"),
        &text,
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
            "b.CEDAR",
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
                .read(
                    &ReadLimits::default(),
                    Settling::FIRST,
                    &Progress::default(),
                )
                .unwrap()
                .files
        };
        assert_eq!(
            names(&read(Kind::Policies)),
            [
                ("b.CEDAR", Form::Cedar),
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

    /// A forbid that does not hold because of its file's name is worth a warning, whatever the name.
    #[test]
    fn files_that_look_meant_and_are_not_read_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let policies = r#"{"staticPolicies": {}, "templates": {}, "templateLinks": []}"#;
        for (name, text) in [
            ("read.cedar", ""),
            ("z.cedar~", ""),
            ("z.cedar.bak", ""),
            ("old/z.CEDAR.disabled", ""),
            ("z.cases.json", policies),
            ("z.entities.json", policies),
            // Nothing to tell of these.
            ("a.cases.json", r#"{"version": 1, "cases": []}"#),
            ("a.entities.json", "[]"),
            ("s.cedarschema", ""),
            ("s.cedarschema.bak", ""),
            (".z.cedar.swp", ""),
            ("cedar.md", ""),
        ] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        // Many others hide none.
        for n in 0..2 * MOST_WARNED {
            fs::write(dir.path().join(format!("many{n}.cases.json")), "{}").unwrap();
        }
        let told = |kind| {
            let roots = Roots(vec![(kind, dir.path().to_owned())]);
            let limits = ReadLimits::default();
            let read = roots.read(&limits, Settling::FIRST, &Progress::default());
            let of_file = |fault: &Fault| {
                let name = Path::new(fault.file().unwrap())
                    .file_name()
                    .unwrap()
                    .to_owned();
                assert!(fault.is_warning());
                name.into_string().unwrap()
            };
            let mut told: Vec<_> = read.unwrap().warnings.iter().map(of_file).collect();
            told.sort();
            told
        };
        assert_eq!(
            told(Kind::Policies),
            [
                "z.CEDAR.disabled",
                "z.cases.json",
                "z.cedar.bak",
                "z.cedar~",
                "z.entities.json"
            ]
        );
        assert_eq!(told(Kind::Schema), ["s.cedarschema.bak"]);
        assert!(told(Kind::Entities).is_empty());
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
            .read(&limits, Settling::FIRST, &Progress::default())
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
                .read(
                    &ReadLimits::default(),
                    Settling::FIRST,
                    &Progress::default()
                )
                .unwrap_err()
                .summary()
                .contains("none")
        );
        #[cfg(unix)]
        {
            fs::write(dir.path().join("a.cedar"), "").unwrap();
            std::os::unix::fs::symlink(dir.path(), dir.path().join("loop")).unwrap();
            let roots = Roots(vec![(Kind::Policies, dir.path().to_owned())]);
            let read = roots.read(
                &ReadLimits::default(),
                Settling::FIRST,
                &Progress::default(),
            );
            assert_eq!(read.unwrap().files.len(), 1);
        }
    }

    const REST: Duration = Duration::from_millis(100);

    fn settled(patience: Duration) -> Settling {
        Settling {
            rest: REST,
            patience,
        }
    }

    /// A writer that truncates and goes on within `REST` is waited for.
    #[test]
    fn a_file_that_is_written_in_place_is_read_when_it_has_rested() {
        use std::io::Write;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.cedar");
        fs::write(&path, "old").unwrap();
        let roots = Roots(vec![(Kind::Policies, dir.path().to_owned())]);
        std::thread::scope(|scope| {
            let mut file = fs::File::create(&path).unwrap();
            scope.spawn(move || {
                for part in ["permit", "(principal", ", action, resource);"] {
                    file.write_all(part.as_bytes()).unwrap();
                    std::thread::sleep(REST / 3);
                }
            });
            let settling = settled(Duration::from_secs(5));
            let read = roots.read(&ReadLimits::default(), settling, &Progress::default());
            let read = read.unwrap().files;
            assert_eq!(
                &*read[0].source.text,
                "permit(principal, action, resource);"
            );
        });
    }

    /// A forbid that moves from one file to another, while the other is written to all the time, must not be
    /// lost from both: no mix of old and new texts is taken.
    #[test]
    fn a_tree_with_a_file_that_never_rests_is_refused_as_a_whole() {
        use std::sync::atomic::{AtomicBool, Ordering};

        let dir = tempfile::tempdir().unwrap();
        let storm = dir.path().join("storm.cedar");
        fs::write(&storm, "settled").unwrap();
        fs::write(dir.path().join("other.cedar"), "1").unwrap();
        let roots = Roots(vec![(Kind::Policies, dir.path().to_owned())]);
        let read = || {
            let settling = settled(Duration::from_millis(400));
            roots.read(&ReadLimits::default(), settling, &Progress::default())
        };
        let done = AtomicBool::new(false);
        let refused = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    fs::write(&storm, "half").unwrap();
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
            std::thread::sleep(REST);
            let refused = read();
            done.store(true, Ordering::Relaxed);
            refused
        });
        let faults = refused.unwrap_err();
        let fault = faults.iter().next().unwrap();
        assert_eq!(fault.code(), "unstable");
        assert!(fault.message().contains("storm.cedar"), "{fault}");
        assert_eq!(read().unwrap().files.len(), 2);
    }

    #[test]
    fn all_files_together_and_all_members_have_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..5 {
            let file = fs::File::create(dir.path().join(format!("{n}.cedar"))).unwrap();
            file.set_len(90).unwrap();
        }
        let roots = Roots(vec![(Kind::Policies, dir.path().to_owned())]);
        let read = |limits: &ReadLimits| {
            let read = roots.read(limits, Settling::FIRST, &Progress::default());
            read.map_err(|faults| faults.iter().next().map(Fault::code))
        };
        let bytes = |policy_file_bytes| ReadLimits {
            policy_file_bytes,
            ..ReadLimits::default()
        };
        assert_eq!(read(&bytes(100)).unwrap_err(), Some("too_large"));
        assert_eq!(read(&bytes(120)).unwrap().files.len(), 5);
        for n in 0..20 {
            fs::write(dir.path().join(format!("{n}.txt")), "").unwrap();
        }
        let few = ReadLimits {
            files: 10,
            ..ReadLimits::default()
        };
        assert_eq!(read(&few).unwrap_err(), Some("too_many_files"));
    }
}
