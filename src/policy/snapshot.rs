//! The immutable result of loading: policies, schema and the settings that decisions depend on.

use std::fmt;
use std::sync::{Arc, OnceLock};

use cedar_policy::{PolicyId, PolicySet, SchemaFragment};
use sha2::{Digest, Sha256};

use super::annotations::{OnError, Vocabulary};
use super::cedar;
use super::load::{self, Against, Ids};
use super::plan::{ActionPlan, Plan};
use super::table::{PolicyInfo, Table};
use super::unit::Source;
#[cfg(feature = "server")]
use crate::base::fault::Location;
use crate::base::fault::{Fault, Faults};
use crate::base::hex::hex;
use crate::engine::CompiledPolicies;
use crate::entities::{EntityStore, Uid};
use crate::schema;
use crate::schema::SchemaSet;
use crate::source::{Kind, SourceFile};
use crate::trust::model::Role;
use crate::trust::{Enforcement, Trust, TrustConfig, TrustPlan};

/// Settings that can change a decision; they are part of the revision.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Settings {
    pub(crate) on_error: OnError,
    pub(crate) vocabulary: Vocabulary,
    /// What the names of annotations with a meaning begin with; empty unless policies of others use the
    /// same names for something else.
    pub(crate) annotation_prefix: String,
    pub(crate) inject: Inject,
    pub(crate) ids: Ids,
    pub(crate) engine: EngineChoice,
    /// The trust configuration, where there is one.
    pub(crate) trust: Option<Arc<Trust>>,
    /// Whether policies that fail validation are taken all the same (Cedar's test formats).
    pub(crate) lenient: bool,
    /// Whether requests need not fit the schema (Cedar's test formats).
    pub(crate) unvalidated_requests: bool,
}

/// What evaluates policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EngineChoice {
    /// Deodar's compiled and indexed policies: the cost follows the policies that can match.
    #[default]
    Compiled,
    /// Cedar's own authorizer, which looks at every policy.
    Reference,
}

/// How context is injected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inject {
    /// The context member that carries [`crate::policy::ENV_TYPE`].
    pub(crate) env: String,
    /// The context member that carries [`crate::policy::TRUST_TYPE`].
    pub(crate) trust: String,
    /// The context member that carries [`crate::policy::AUTH_TYPE`].
    pub(crate) auth: String,
    /// Whether it is injected where there is no schema to declare it.
    pub(crate) without_schema: bool,
}

impl Default for Inject {
    fn default() -> Self {
        Self {
            env: "env".to_owned(),
            trust: "trust".to_owned(),
            auth: "auth".to_owned(),
            without_schema: false,
        }
    }
}

/// A hash of everything in a snapshot: the same sources and settings give the same revision.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Revision(String);

impl Revision {
    /// 32 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Policies, schema and settings, published together.
#[derive(Debug)]
pub struct Snapshot {
    table: Table,
    forbids: usize,
    schema: Schema,
    settings: Settings,
    revision: Revision,
    trust: Option<TrustPlan>,
    plan: Plan,
    set: OnceLock<PolicySet>,
}

/// A schema and the sources it was made from.
#[derive(Debug, Clone, Default)]
struct Schema {
    files: Vec<SourceFile>,
    set: Option<Arc<SchemaSet>>,
}

/// What a snapshot is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Material<'a> {
    pub(crate) files: &'a [SourceFile],
    pub(crate) policies: &'a [Arc<PolicySet>],
    pub(crate) schema: &'a [SchemaFragment],
}

/// A schema that was read, or what is wrong with it.
#[derive(Debug)]
pub(crate) struct ReadSchema {
    schema: Schema,
    /// Whether it is the one of the snapshot before.
    pub(crate) is_the_same: bool,
}

impl ReadSchema {
    pub(crate) fn set(&self) -> Option<&SchemaSet> {
        self.schema.set.as_deref()
    }
}

impl Snapshot {
    /// Reads the schema, unless it is that of the snapshot before.
    pub(crate) fn read_schema(
        material: &Material<'_>,
        before: Option<&Self>,
    ) -> Result<ReadSchema, Faults> {
        let files: Vec<SourceFile> = of_kind(material, Kind::Schema).cloned().collect();
        if let Some(before) = before {
            let known = &before.schema.files;
            let same = |(a, b): (&SourceFile, &SourceFile)| {
                Source::File(a.clone()).says_the_same(&Source::File(b.clone()))
            };
            if known.len() == files.len() && known.iter().zip(&files).all(same) {
                return Ok(ReadSchema {
                    schema: before.schema.clone(),
                    is_the_same: true,
                });
            }
        }
        let set = schema::load(&files, material.schema)?.map(Arc::new);
        Ok(ReadSchema {
            schema: Schema { files, set },
            is_the_same: false,
        })
    }

    /// Parses, validates and compiles against the numbers of `store`; every fault is returned at once.
    /// What is the same as `before` is taken over.
    pub(crate) fn build(
        material: &Material<'_>,
        settings: Settings,
        schema: ReadSchema,
        store: &EntityStore,
        before: Option<(&Self, &CompiledPolicies)>,
    ) -> Result<(Self, CompiledPolicies), Faults> {
        let sets = material.policies.iter().enumerate();
        let sets = sets.map(|(n, set)| Source::Set(n, Arc::clone(set)));
        let sources = of_kind(material, Kind::Policies).cloned().map(Source::File);
        let against = Against {
            settings: &settings,
            schema: schema.set(),
            store,
            previous: before.map(|(snapshot, compiled)| (&snapshot.table, compiled)),
        };
        let (table, compiled) = load::load(sources.chain(sets).collect(), &against)?;
        let revision = revision(material, &settings)?;
        let plan = Plan::new(
            schema.set().map(|schema| &schema.model),
            &settings.inject,
            &compiled.program.context_reads(),
            store,
        );
        let trust = match &settings.trust {
            Some(trust) => Some(Arc::clone(trust)),
            // Policies that ask for scores get them by the numbers as they are shipped, and no floor.
            None if plan.asks_for_scores() || table.requires_trust() => {
                let config = TrustConfig {
                    enforcement: Enforcement::Off,
                    ..TrustConfig::default()
                };
                Some(Trust::new(config)?)
            }
            None => None,
        };
        if let Some(trust) = &trust {
            let beyond = table.out_of_reach(trust.model().reach(Role::Plain));
            Faults::or(beyond, ())?;
        }
        let snapshot = Self {
            trust: trust.map(|trust| TrustPlan::new(trust, store)),
            plan,
            forbids: table.forbids(),
            table,
            schema: schema.schema,
            settings,
            revision,
            set: OnceLock::new(),
        };
        Ok((snapshot, compiled))
    }

    /// The hash of sources and settings.
    #[must_use]
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// The policies as Cedar holds them; read from their sources when first asked for.
    #[must_use]
    pub fn policies(&self) -> &PolicySet {
        self.set.get_or_init(|| cedar::policy_set(&self.table))
    }

    /// The policy at a place of the table as Cedar holds it, alone in a set.
    pub(crate) fn policy_alone(&self, at: usize) -> Option<PolicySet> {
        cedar::alone(&self.table, at)
    }

    /// The schema, where there is one.
    #[must_use]
    pub fn schema(&self) -> Option<&cedar_policy::Schema> {
        self.schema_set().map(|schema| &schema.schema)
    }

    pub(crate) fn schema_set(&self) -> Option<&SchemaSet> {
        self.schema.set.as_deref()
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The trust configuration that requests are scored by; `None` where nothing asks for a score.
    pub(crate) fn trust(&self) -> Option<&TrustPlan> {
        self.trust.as_ref()
    }

    /// What is known of an action beforehand, by its number if the store knows it.
    #[inline]
    pub(crate) fn plan(&self, action: Option<Uid>) -> &ActionPlan {
        self.plan.of(action)
    }

    /// What validation found worth a look without being wrong.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = &Fault> {
        self.table.units.iter().flat_map(|unit| &unit.warnings)
    }

    /// Where a policy or template stands.
    #[cfg(feature = "server")]
    pub(crate) fn source_of(&self, id: &PolicyId) -> Option<Location> {
        self.table.place(id)
    }

    /// The policy at a place of the table, which is sorted by id.
    pub(crate) fn policy(&self, at: usize) -> Option<PolicyInfo<'_>> {
        self.table.policy(at)
    }

    /// Whether the annotations of the policy at a place of the table ask for anything.
    #[inline]
    pub(crate) fn is_meaningful(&self, at: usize) -> bool {
        self.table.is_meaningful(at)
    }

    /// The place of a policy in the table.
    pub(crate) fn position(&self, id: &PolicyId) -> Option<usize> {
        self.table.position(id)
    }

    /// How many policies can determine a decision, and how many of them forbid.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.table.len(), self.forbids)
    }

    /// How many policies are neither in `next` by id nor replaced by another: a policy that was edited
    /// and has no id of its own changes its id.
    pub(crate) fn lost_in(&self, next: &Self) -> usize {
        let (gone, new) = self.table.differences(&next.table);
        gone.saturating_sub(new)
    }

    /// Whether there is neither a policy nor a template.
    pub(crate) fn is_empty(&self) -> bool {
        self.table.len() == 0 && self.table.template_ids().next().is_none()
    }
}

fn of_kind<'a>(material: &Material<'a>, kind: Kind) -> impl Iterator<Item = &'a SourceFile> {
    let files = material.files.iter();
    files.filter(move |file| file.form.kind() == kind)
}

fn revision(material: &Material<'_>, settings: &Settings) -> Result<Revision, Faults> {
    let mut hash = Sha256::new();
    let mut field = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    let mut files: Vec<_> = material
        .files
        .iter()
        .filter(|file| file.form.kind() != Kind::Entities)
        .map(|file| (file.form.kind(), &file.relative, &file.source.text))
        .collect();
    files.sort();
    for (_, name, text) in files {
        field(name);
        field(text);
    }
    let fault =
        |error: &dyn miette::Diagnostic| Faults::from(Fault::from_cedar("parse", error, None));
    for set in material.policies {
        let mut texts = Vec::new();
        for template in set.templates() {
            let json = template.to_json().map_err(|error| fault(&error))?;
            texts.push((template.id().to_string(), json.to_string()));
        }
        for policy in set.policies() {
            let text = match (policy.template_id(), policy.template_links()) {
                (Some(template), Some(links)) => {
                    let mut links: Vec<_> = links
                        .iter()
                        .map(|(slot, uid)| format!("{slot:?}={uid}"))
                        .collect();
                    links.sort();
                    format!("{template} {}", links.join(" "))
                }
                _ => policy.to_json().map_err(|error| fault(&error))?.to_string(),
            };
            texts.push((policy.id().to_string(), text));
        }
        // Cedar's own order is random.
        texts.sort();
        for (id, text) in &texts {
            field(id);
            field(text);
        }
    }
    for fragment in material.schema {
        let json = fragment.to_json_string().map_err(|error| fault(&error))?;
        field(&json);
    }
    field(&format!("{settings:?}"));
    let digest = hash.finalize();
    Ok(Revision(hex(digest.iter().take(16))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Form;

    fn build(files: &[(&str, &str)], settings: Settings) -> Result<Snapshot, Faults> {
        let files: Vec<_> = files
            .iter()
            .map(|(name, text)| {
                let kind = if name.contains("schema") {
                    Kind::Schema
                } else {
                    Kind::Policies
                };
                SourceFile::new(name, name, text, Form::of_file(kind, name))
            })
            .collect();
        let material = Material {
            files: &files,
            policies: &[],
            schema: &[],
        };
        let schema = Snapshot::read_schema(&material, None)?;
        let store = EntityStore::new();
        Snapshot::build(&material, settings, schema, &store, None).map(|(snapshot, _)| snapshot)
    }

    const SCHEMA: &str =
        "entity User = {age: Long}; action go appliesTo {principal: User, resource: User};";

    #[test]
    fn strict_validation_points_into_the_file() {
        let policy =
            "permit(principal, action == Action::\"go\", resource)\nwhen { principal.agee > 1 };";
        let faults = build(
            &[("s.cedarschema", SCHEMA), ("p.cedar", policy)],
            Settings::default(),
        )
        .unwrap_err();
        let fault = faults.iter().next().unwrap();
        assert_eq!(fault.code(), "validation");
        assert_eq!(fault.position().unwrap().0, 2);
    }

    #[test]
    fn the_revision_follows_content_and_settings_only() {
        let policy = ("p.cedar", "permit(principal, action, resource);");
        let one = build(&[policy], Settings::default()).unwrap();
        let same = build(&[policy], Settings::default()).unwrap();
        assert_eq!(one.revision(), same.revision());
        let deny = Settings {
            on_error: OnError::Skip,
            ..Settings::default()
        };
        assert_ne!(one.revision(), build(&[policy], deny).unwrap().revision());
    }
}
