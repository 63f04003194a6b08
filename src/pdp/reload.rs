//! Sources to the next state, or the reasons why there is none.

use std::hash::Hasher;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use cedar_policy::{Entities, PolicySet, SchemaFragment};

use super::reading::Reading;
use crate::base::fault::{Fault, Faults};
use crate::base::lock::lock;
use crate::base::threads::spawn;
use crate::base::timestamp::Timestamp;
use crate::entities::{self, EntityStore, Stored};
use crate::policy::{Material, ReadSchema, Settings, Snapshot, vocabulary};
use crate::source::ReadLimits;
use crate::source::{Kind, ReadFiles, Roots, Settling, SourceFile};
use crate::state::State;
use crate::storage::{LastGood, Store};

/// Where everything comes from.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) roots: Arc<Roots>,
    pub(super) texts: Vec<SourceFile>,
    pub(super) policies: Vec<Arc<PolicySet>>,
    pub(super) schema: Vec<SchemaFragment>,
    pub(super) entities: Vec<Entities>,
    /// Entities that stand in place of stored ones of the same id, or (when the flag is set) of all.
    pub(super) given: Option<(Vec<serde_json::Value>, bool)>,
}

/// Everything that a reload needs and never changes.
#[derive(Debug)]
pub(super) struct Reloader {
    pub(super) sources: Sources,
    /// What decisions depend on besides sources; the trust configuration may be replaced.
    pub(super) settings: ArcSwap<Settings>,
    pub(super) guard: bool,
    pub(super) state_dir: Option<Store>,
    /// How long a file must have been unchanged before a reload takes it.
    pub(super) rest: Duration,
    pub(super) reading: Reading,
    /// Warnings of the last read about files that were not read.
    pub(super) not_read: Mutex<Vec<Fault>>,
}

/// A reload waits this long for files that go on changing, then refuses them.
const STORM_PATIENCE: Duration = Duration::from_secs(5);

/// Stack for loading, in bytes; only what is used of it takes memory.
const LOAD_STACK: usize = 64 << 20;

/// Why a reload published nothing new.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The sources are faulty; the last good state goes on deciding.
    #[error("{0}")]
    Faulty(Faults),
    /// The sources look like an accident; the last good state goes on deciding until the change is
    /// confirmed.
    #[error("held back: {0}")]
    Held(String),
}

impl Reloader {
    fn settings(&self) -> Settings {
        Settings::clone(&self.settings.load())
    }

    /// Reads the files of all roots once they stand still. `first` waits for nothing.
    pub(super) fn read(&self, limits: ReadLimits, first: bool) -> Result<Vec<SourceFile>, Faults> {
        let roots = Arc::clone(&self.sources.roots);
        if roots.0.is_empty() {
            return Ok(Vec::new());
        }
        let settling = if first {
            Settling::FIRST
        } else {
            Settling {
                rest: self.rest,
                patience: STORM_PATIENCE,
            }
        };
        let read = self
            .reading
            .run(move |progress| roots.read(&limits, settling, progress));
        let ReadFiles { files, warnings } = read.and_then(|read| read)?;
        let mut known = lock(&self.not_read);
        let is_known = |warning: &Fault| known.iter().any(|known| known.file() == warning.file());
        for warning in warnings.iter().filter(|warning| !is_known(warning)) {
            tracing::warn!(place = %warning.one_line(), "a file is not read");
        }
        *known = warnings;
        drop(known);
        Ok(files)
    }

    /// Which files there are, or why that cannot be said; one text for one reason.
    #[cfg(feature = "watch")]
    pub(super) fn fingerprint(&self, limits: ReadLimits) -> Result<crate::source::Listing, String> {
        let roots = Arc::clone(&self.sources.roots);
        let listed = self
            .reading
            .run(move |progress| roots.list(&limits, progress));
        let listed = listed.and_then(|listed| listed);
        listed.map_err(|faults| faults.named())
    }

    /// Builds a state from files read from the roots, and all that was handed over in memory. What says
    /// the same as `before` is taken over from it.
    ///
    /// Parsing recurses as deep as the texts nest (`policy::nesting` bounds it), so this runs on a thread
    /// with a large stack. On a platform without threads, such as `wasm32`, it runs on the calling one.
    pub(super) fn build(
        &self,
        files: &[SourceFile],
        limits: &ReadLimits,
        sequence: u64,
        before: Option<&State>,
    ) -> Result<State, Faults> {
        let load = || self.build_here(files, limits, sequence, before);
        std::thread::scope(
            |scope| match spawn(scope, "deodar-load", LOAD_STACK, load) {
                Ok(thread) => thread
                    .join()
                    .unwrap_or_else(|_| Err(Fault::new("internal", "loading panicked").into())),
                Err(error) if error.kind() == std::io::ErrorKind::Unsupported => load(),
                Err(error) => {
                    Err(Fault::new("io", format!("no thread to load on: {error}")).into())
                }
            },
        )
    }

    fn build_here(
        &self,
        files: &[SourceFile],
        limits: &ReadLimits,
        sequence: u64,
        before: Option<&State>,
    ) -> Result<State, Faults> {
        self.no_schema_lost(files)?;
        let mut all = files.to_vec();
        all.extend(self.sources.texts.iter().cloned());
        let material = Material {
            files: &all,
            policies: &self.sources.policies,
            schema: &self.sources.schema,
        };
        let mut settings = self.settings();
        vocabulary::add(&mut settings.vocabulary, &all)?;
        let schema = match Snapshot::read_schema(&material, before.map(State::snapshot)) {
            Ok(schema) => schema,
            Err(mut faults) => {
                // Every policy and entity would be at fault against no schema; their own are named.
                let unchecked = Snapshot::read_schema(
                    &Material {
                        files: &[],
                        schema: &[],
                        ..material
                    },
                    None,
                )?;
                let store = EntityStore::new();
                let built = Snapshot::build(&material, settings, unchecked, &store, None);
                faults.extend(built.err().unwrap_or_default());
                return Err(faults);
            }
        };
        let before = before.filter(|_| schema.is_the_same);
        let entities = self.entities(&all, &schema, limits, before);
        let (stored, faults) = match entities {
            Ok(stored) => (stored, Faults::new()),
            Err(faults) => (Stored::default(), faults),
        };
        // Policies that were compiled against the numbers of another store are compiled again, and those
        // whose names of obligations were checked against another vocabulary are read again.
        let before = before
            .filter(|before| before.store().shares_store(&stored))
            .filter(|before| before.snapshot().settings().vocabulary == settings.vocabulary)
            .map(|before| (before.snapshot(), before.compiled()));
        let built = Snapshot::build(&material, settings, schema, stored.entity_store(), before);
        match (built, faults.is_empty()) {
            (Ok((snapshot, compiled)), true) => Ok(State::new(
                Arc::new(snapshot),
                // Compiling names entities in the store, so its version comes after.
                Arc::new(stored.refreshed()),
                Arc::new(compiled),
                sequence,
            )),
            (built, _) => {
                let mut all = built.err().unwrap_or_default();
                all.extend(faults);
                Err(all)
            }
        }
    }

    /// The stored entities: those of `before`, where the files say the same, or read again.
    fn entities(
        &self,
        files: &[SourceFile],
        schema: &ReadSchema,
        limits: &ReadLimits,
        before: Option<&State>,
    ) -> Result<Stored, Faults> {
        let only_given = matches!(self.sources.given, Some((_, true)));
        let files: Vec<&SourceFile> = files
            .iter()
            .filter(|file| file.form.kind() == Kind::Entities && !only_given)
            .collect();
        let hash = hash(&files);
        if let Some(before) = before
            && *before.store().hash() == hash
        {
            return Ok(before.store().clone());
        }
        let given = self.sources.given.as_ref();
        let written = self.state_dir.as_ref().map_or(Ok(Vec::new()), |dir| {
            let written = dir.entities();
            written.map_err(|error| Fault::new("state", error.to_string()))
        })?;
        let mut loaded = entities::load(&entities::Material {
            files: &files,
            parsed: &self.sources.entities,
            given: given.map_or(&[], |(given, _)| given),
            written: &written,
            schema: schema.set(),
            max_depth: limits.entity_parent_depth,
            room: Some(entities::StoreLimits::of(limits)),
        })?;
        let store = EntityStore::new();
        loaded.store(&store)?;
        let held_back = loaded.held_back();
        for reason in held_back.reasons() {
            tracing::warn!(%reason, "a written entity conflicts with the sources");
        }
        Ok(Stored::new(Arc::new(store), hash).with_held_back(held_back))
    }

    /// Where a schema was asked for there has to be one: without it nothing would be validated.
    fn no_schema_lost(&self, files: &[SourceFile]) -> Result<(), Faults> {
        if files.iter().any(|file| file.form.kind() == Kind::Schema) {
            return Ok(());
        }
        let roots = self.sources.roots.0.iter();
        let asked: Vec<_> = roots
            .filter(|(kind, _)| *kind == Kind::Schema)
            .map(|(_, path)| format!("`{}`", path.display()))
            .collect();
        if asked.is_empty() {
            return Ok(());
        }
        Err(
            Fault::new("no_schema", format!("no schema in {}", asked.join(", ")))
                .help("schemas are read from `*.cedarschema` and `*.cedarschema.json` files")
                .into(),
        )
    }

    /// What about `next` looks like an accident, against the state that decides now.
    pub(super) fn suspicious(&self, now: &State, next: &State) -> Option<String> {
        if !self.guard {
            return None;
        }
        let (policies, forbids) = now.snapshot().counts();
        let (next_policies, next_forbids) = next.snapshot().counts();
        if policies > 0 && next_policies == 0 {
            Some(format!("no policy would be left of {policies}"))
        } else if forbids > 0 && next_forbids == 0 {
            Some(format!("no forbid would be left of {forbids}"))
        } else if now.has_own_entities() && !next.has_own_entities() {
            Some("no entity would be left".to_owned())
        } else {
            let lost = now.snapshot().lost_in(next.snapshot());
            (policies > 0 && lost * 2 >= policies)
                .then(|| format!("{lost} of {policies} policies would be removed"))
        }
    }

    /// The first state: from the sources, else from what the state directory kept. The second value
    /// says what is wrong with the sources in the latter case.
    pub(super) fn first(
        &self,
        limits: &ReadLimits,
        strict: bool,
    ) -> Result<(State, Option<Faults>), super::BuildError> {
        let last = match &self.state_dir {
            Some(dir) => dir.last_good()?,
            None => None,
        };
        let next_sequence = last.as_ref().map_or(1, |last| last.sequence + 1);
        let built = self.read(*limits, true).and_then(|files| {
            let state = self.build(&files, limits, next_sequence, None)?;
            // A fresh installation may have no policy yet: it denies everything, and says so. But where there
            // is nothing to read at all, or there were policies before, something is amiss.
            let named = self
                .sources
                .roots
                .0
                .iter()
                .any(|(kind, _)| *kind == Kind::Policies);
            let named = named || !self.sources.texts.is_empty();
            let had_policies = |last: &LastGood| {
                let last = self.build(&last.files, limits, last.sequence, None);
                last.is_ok_and(|state| !state.snapshot().is_empty())
            };
            if state.snapshot().is_empty() && (!named || last.as_ref().is_some_and(had_policies)) {
                return Err(nothing(&self.sources));
            }
            Ok((state, files))
        });
        match built {
            Ok((state, files)) => match (&last, &self.state_dir) {
                (Some(last), _) if same(last, &state, &files) => {
                    Ok((state.with_sequence(last.sequence), None))
                }
                (_, Some(dir)) => {
                    let (sequence, now) = (state.sequence(), Timestamp::now());
                    dir.keep(sequence, state.revision().as_str(), &files, now)?;
                    Ok((state, None))
                }
                (_, None) => Ok((state, None)),
            },
            Err(faults) => match last {
                Some(last) if !strict => {
                    match self.build(&last.files, limits, last.sequence, None) {
                        Ok(state) => Ok((state, Some(faults))),
                        // What is to be mended are the present sources, not the kept ones.
                        Err(_) => Err(super::BuildError::Sources(faults)),
                    }
                }
                _ => Err(super::BuildError::Sources(faults)),
            },
        }
    }
}

fn same(last: &LastGood, state: &State, files: &[SourceFile]) -> bool {
    let key = |file: &SourceFile| (file.relative.clone(), file.source.text.clone());
    last.revision == state.revision().as_str()
        && last.files.len() == files.len()
        && last.files.iter().zip(files).all(|(a, b)| key(a) == key(b))
}

fn nothing(sources: &Sources) -> Faults {
    let roots = sources.roots.0.iter();
    let places: Vec<_> = roots
        .filter(|(kind, _)| *kind == Kind::Policies)
        .map(|(_, path)| format!("`{}`", path.display()))
        .collect();
    let fault = if places.is_empty() {
        Fault::new("no_policies", "there are no policies to decide with")
            .help("name a file or directory of policies")
    } else {
        Fault::new("no_policies", format!("no policy in {}", places.join(", "))).help(
            "policies are read from `*.cedar` and `*.json` files; a file of only comments has none",
        )
    };
    fault.into()
}

/// Tells one content from another within this process, whose keys nobody knows.
fn hash(files: &[&SourceFile]) -> [u64; 2] {
    [1, 2].map(|seed| {
        let mut hasher = crate::base::hash::hasher(seed);
        for file in files {
            for part in [&file.relative, &file.source.text] {
                hasher.write_usize(part.len());
                hasher.write(part.as_bytes());
            }
        }
        hasher.finish()
    })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use crate::base::threads::without_threads;
    use crate::{Pdp, Request};

    /// A tree that is large enough to be read on several threads where there are any.
    fn build() -> Pdp {
        let mut policies = String::new();
        for n in 0..2_000 {
            let _ = writeln!(
                policies,
                "@id(\"p{n}\") permit(principal == U::\"{n}\", action, resource);"
            );
        }
        let entities: String = (0..5_000)
            .map(|n| {
                format!(
                    "{{\"uid\":{{\"type\":\"U\",\"id\":\"{n}\"}},\"attrs\":{{}},\"parents\":[]}}\n"
                )
            })
            .collect();
        Pdp::builder()
            .policies_text("p.cedar", &policies)
            .entities_text("e.ndjson", &entities)
            .build()
            .unwrap()
    }

    #[test]
    fn loading_needs_no_threads() {
        let (with, without) = (build(), without_threads(build));
        assert_eq!(with.state().revision(), without.state().revision());
        assert_eq!(without.state().entity_count(), 5_000);
        let request = Request::builder()
            .principal(("U", "1999"))
            .action(("Action", "read"))
            .resource(("R", "r"))
            .build()
            .unwrap();
        let outcome = without.authorize(&request).unwrap();
        let reasons: Vec<_> = outcome
            .determining_policies()
            .map(ToString::to_string)
            .collect();
        assert_eq!(reasons, ["p1999"]);
        without_threads(|| without.reload()).unwrap();
    }

    #[test]
    fn a_forbid_that_fails_denies_unless_the_builder_says_skip() {
        let text = "permit(principal, action, resource);\n\
                    forbid(principal, action, resource) when { context.missing == 1 };";
        let request = Request::builder()
            .principal(("U", "a"))
            .action(("Action", "read"))
            .resource(("R", "r"))
            .build()
            .unwrap();
        let cause = |pdp: Pdp| pdp.authorize(&request).unwrap().cause();
        let builder = || Pdp::builder().policies_text("p.cedar", text);
        assert_eq!(cause(builder().build().unwrap()), crate::Cause::PolicyError);
        let skip = builder().on_error(crate::OnError::Skip);
        assert_eq!(cause(skip.build().unwrap()), crate::Cause::Permitted);
    }
}
