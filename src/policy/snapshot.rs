//! The immutable result of loading: policies, schema and the settings that decisions depend on.

use std::collections::HashMap;
use std::fmt;

use cedar_policy::{Effect, PolicyId, PolicySet, SchemaFragment, ValidationMode, Validator};
use sha2::{Digest, Sha256};

use super::annotations::{self, Meaning, OnError, Vocabulary};
use super::load::{self, Ids, Loaded};
use super::schema::{self, SchemaSet};
use super::source::{Kind, SourceFile};
use crate::engine::CompiledPolicies;
use crate::entities::EntityStore;
#[cfg(feature = "cli")]
use crate::fault::Place;
use crate::fault::{Fault, Faults};

/// Settings that can change a decision; they are part of the revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) on_error: OnError,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) inject: Inject,
    pub(crate) ids: Ids,
    pub(crate) engine: EngineChoice,
    /// Whether policies that fail validation are taken all the same (Cedar's test formats).
    pub(crate) lenient: bool,
    /// Whether requests need not fit the schema (Cedar's test formats).
    pub(crate) unvalidated_requests: bool,
}

/// What evaluates policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
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
    /// Whether it is injected where there is no schema to declare it.
    pub(crate) without_schema: bool,
}

impl Default for Inject {
    fn default() -> Self {
        Self {
            env: "env".to_owned(),
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

/// A policy that can determine a decision: static or linked.
#[derive(Debug)]
pub(crate) struct PolicyInfo {
    pub(crate) id: PolicyId,
    pub(crate) effect: Effect,
    pub(crate) meaning: Meaning,
}

/// Policies, schema and settings, published together.
#[derive(Debug)]
pub struct Snapshot {
    set: PolicySet,
    table: Vec<PolicyInfo>,
    index: HashMap<PolicyId, usize>,
    schema: Option<SchemaSet>,
    settings: Settings,
    revision: Revision,
    warnings: Vec<Fault>,
    #[cfg(feature = "cli")]
    places: HashMap<PolicyId, Place>,
}

/// What a snapshot is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Material<'a> {
    pub(crate) files: &'a [SourceFile],
    pub(crate) policies: &'a [PolicySet],
    pub(crate) schema: &'a [SchemaFragment],
}

impl Snapshot {
    /// Parses, merges and validates; every fault of policies and schema is returned at once.
    pub(crate) fn build(material: &Material<'_>, settings: Settings) -> Result<Self, Faults> {
        let of = |kind: Kind| -> Vec<SourceFile> {
            let files = material.files.iter();
            files
                .filter(|file| file.form.kind() == kind)
                .cloned()
                .collect()
        };
        let schema = schema::load(&of(Kind::Schema), material.schema);
        let loaded = load::load(&of(Kind::Policies), material.policies, settings.ids);
        let (schema, loaded) = match (schema, loaded) {
            (Ok(schema), Ok(loaded)) => (schema, loaded),
            (schema, loaded) => {
                let mut faults = Faults::new();
                faults.extend(schema.err().unwrap_or_default());
                faults.extend(loaded.err().unwrap_or_default());
                return Err(faults);
            }
        };
        let mut faults = Faults::new();
        let mut warnings = Vec::new();
        if let Some(schema) = schema.as_ref().filter(|_| !settings.lenient) {
            validate(schema, &loaded, &mut faults, &mut warnings);
        }
        let mut table = Vec::new();
        let mut policies: Vec<_> = loaded.set.policies().collect();
        policies.sort_by(|a, b| a.id().cmp(b.id()));
        for policy in policies {
            let meaning = meaning(
                policy.id(),
                policy.annotations(),
                &loaded,
                &settings,
                &mut faults,
            );
            table.push(PolicyInfo {
                id: policy.id().clone(),
                effect: policy.effect(),
                meaning,
            });
        }
        // A link has its template's annotations; a template that has no link yet has its own.
        for template in loaded.set.templates() {
            let links = loaded.set.get_linked_policies(template.id().clone());
            if links.is_ok_and(|mut links| links.next().is_none()) {
                let found = template.annotations();
                meaning(template.id(), found, &loaded, &settings, &mut faults);
            }
        }
        let index = table
            .iter()
            .enumerate()
            .map(|(n, info)| (info.id.clone(), n))
            .collect();
        let revision = revision(material, &settings)?;
        faults.or(Self {
            set: loaded.set,
            table,
            index,
            schema,
            settings,
            revision,
            warnings,
            #[cfg(feature = "cli")]
            places: loaded.places,
        })
    }

    /// The hash of sources and settings.
    #[must_use]
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// The policies as Cedar holds them.
    #[must_use]
    pub fn policies(&self) -> &PolicySet {
        &self.set
    }

    /// The schema, where there is one.
    #[must_use]
    pub fn schema(&self) -> Option<&cedar_policy::Schema> {
        self.schema.as_ref().map(|schema| &schema.schema)
    }

    pub(crate) fn schema_set(&self) -> Option<&SchemaSet> {
        self.schema.as_ref()
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Compiles the policies against the names of `store`.
    pub(crate) fn compile(&self, store: &EntityStore) -> Result<CompiledPolicies, Faults> {
        CompiledPolicies::compile(store, &self.set).map_err(|errors| {
            let mut faults = Faults::new();
            for error in errors.0 {
                faults.push(Fault::new("compile", error.to_string()));
            }
            faults
        })
    }

    /// What validation found worth a look without being wrong.
    pub(crate) fn warnings(&self) -> &[Fault] {
        &self.warnings
    }

    /// Where a policy or template stands.
    #[cfg(feature = "cli")]
    pub(crate) fn source_of(&self, id: &PolicyId) -> Option<&Place> {
        self.places.get(id)
    }

    /// The policy at a place of the table, which is sorted by id.
    pub(crate) fn policy(&self, at: usize) -> Option<&PolicyInfo> {
        self.table.get(at)
    }

    /// The place of a policy in the table.
    pub(crate) fn position(&self, id: &PolicyId) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// How many policies can determine a decision, and how many of them forbid.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let forbids = self.table.iter().filter(|p| p.effect == Effect::Forbid);
        (self.table.len(), forbids.count())
    }

    /// Whether there is neither a policy nor a template.
    pub(crate) fn is_empty(&self) -> bool {
        self.set.is_empty() && self.set.num_of_templates() == 0
    }
}

fn validate(schema: &SchemaSet, loaded: &Loaded, faults: &mut Faults, warnings: &mut Vec<Fault>) {
    let result =
        Validator::new(schema.schema.clone()).validate(&loaded.set, ValidationMode::Strict);
    let fault = |code, id: &PolicyId, found: &dyn miette::Diagnostic| {
        // A link has no text of its own; what is wrong with it stands in its template.
        let template = loaded
            .set
            .policy(id)
            .and_then(|policy| policy.template_id());
        let place = loaded.places.get(id);
        let home = template
            .and_then(|template| loaded.places.get(template))
            .or(place);
        let fault = Fault::from_cedar(code, found, home.map(|place| &place.source));
        match (place, fault.position()) {
            (Some(place), None) => fault.at(place.clone()),
            _ => fault,
        }
    };
    let mut errors: Vec<_> = result.validation_errors().collect();
    errors.sort_by(|a, b| (a.policy_id(), a.to_string()).cmp(&(b.policy_id(), b.to_string())));
    for error in errors {
        faults.push(fault("validation", error.policy_id(), error));
    }
    for warning in result.validation_warnings() {
        warnings.push(fault("warning", warning.policy_id(), warning));
    }
}

fn meaning<'a>(
    id: &PolicyId,
    found: impl Iterator<Item = (&'a str, &'a str)>,
    loaded: &Loaded,
    settings: &Settings,
    faults: &mut Faults,
) -> Meaning {
    if settings.ids == Ids::Cedar {
        return Meaning::default();
    }
    match annotations::read(found, &settings.vocabulary) {
        Ok(meaning) => meaning,
        Err(found) => {
            for (message, help) in found {
                let message = format!("policy `{id}`: {message}");
                let mut fault = Fault::new("annotation", message).help(help);
                if let Some(place) = loaded.places.get(id) {
                    fault = fault.at(place.clone());
                }
                faults.push(fault);
            }
            Meaning::default()
        }
    }
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
    Ok(Revision(
        digest.iter().take(16).map(|b| format!("{b:02x}")).collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::source::Form;
    use super::*;

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
        Snapshot::build(&material, settings)
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
            on_error: OnError::Deny,
            ..Settings::default()
        };
        assert_ne!(one.revision(), build(&[policy], deny).unwrap().revision());
    }

    #[test]
    fn schema_and_policy_faults_come_together() {
        let faults = build(
            &[("s.cedarschema", "entity"), ("p.cedar", "permit")],
            Settings::default(),
        )
        .unwrap_err();
        assert!(faults.iter().any(|f| f.code() == "schema"));
        assert!(faults.iter().any(|f| f.code() == "parse"));
    }
}
