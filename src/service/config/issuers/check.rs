//! What contradicts itself in `[[issuers]]`, within a table and between two.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{IssuerConfig, Preset, TokenUsage};
use crate::base::entity_ref::EntityRef;
use crate::base::fault::Faults;
use crate::base::span::Span;
use crate::service::config::notes::{TableNotes, wrong};

impl IssuerConfig {
    /// What no single key can say: every contradiction.
    #[must_use]
    pub fn check(&self) -> Faults {
        let mut notes = TableNotes::of("[[issuers]]", &self.issuer);
        notes.check_tokens(
            &self.issuer,
            &self.audience,
            self.algorithms.len(),
            self.leeway,
        );
        self.check_source(&mut notes);
        self.check_times(&mut notes);
        self.check_preset(&mut notes);
        match self.usage {
            TokenUsage::Principal => self.check_principal(&mut notes),
            TokenUsage::Caller => self.check_caller(&mut notes),
        }
        for pointer in self.require.keys() {
            notes.pointer("require", pointer);
        }
        if let Some(introspection) = &self.introspection {
            notes.address("introspection.url", &introspection.url);
            wrong! { notes.note;
                introspection.client_id.is_empty() => "`introspection.client_id` is empty", "name the client";
            }
            notes.at_most("introspection.cache", introspection.cache, 3_600);
        }
        if let Some(list) = &self.status_list {
            notes.at_most("status_list.cache", list.cache, 24 * 3_600);
        }
        notes.faults
    }

    fn check_source(&self, notes: &mut TableNotes<'_>) {
        wrong! { notes.note;
            self.usage == TokenUsage::Caller && self.issuer.contains('#') => "an `issuer` of callers with a `#`",
                "its callers are named `<issuer>#<name>`, and it must be clear where the name begins";
        }
        let given = [
            ("discovery", self.discovery == Some(true)),
            ("jwks_uri", self.jwks_uri.is_some()),
            ("jwks_file", self.jwks_file.is_some()),
        ];
        let given: Vec<_> = given.iter().filter(|(_, is)| *is).collect();
        if let [(one, _), (other, _), ..] = given.as_slice() {
            notes.note(
                format!("`{one}` and `{other}` both say where the keys are"),
                "keep one of them",
            );
        }
        wrong! { notes.note;
            given.is_empty() && self.discovery == Some(false) && self.preset != Preset::Firebase =>
                "nothing says where the keys are", "give `jwks_uri` or `jwks_file`, or leave out `discovery = false`";
        }
        if self.finds_by_discovery() {
            notes.address("issuer", &self.issuer);
            wrong! { notes.note;
                self.issuer.contains(['?', '#']) => "an `issuer` with a query or a fragment cannot be discovered",
                    "give `jwks_uri`";
            }
        }
        if let Some(uri) = &self.jwks_uri {
            notes.address("jwks_uri", uri);
        }
        wrong! { notes.note;
            self.required_type.as_deref() == Some("") => "`required_type` is empty", "leave the key out";
        }
    }

    /// Whether the keys are found by the issuer's discovery document.
    pub(crate) fn finds_by_discovery(&self) -> bool {
        let elsewhere =
            self.jwks_uri.is_some() || self.jwks_file.is_some() || self.preset == Preset::Firebase;
        self.discovery.unwrap_or(!elsewhere)
    }

    fn check_times(&self, notes: &mut TableNotes<'_>) {
        notes.at_most("timeout", self.timeout, 60);
        notes.at_most("cache", self.cache, 24 * 3_600);
        notes.at_most("refresh", self.refresh, 7 * 24 * 3_600);
        notes.at_most("stale", self.stale, 30 * 24 * 3_600);
        for (key, value, least) in [
            ("timeout", self.timeout, Span::milliseconds(100)),
            ("min_refresh", self.min_refresh, Span::seconds(1)),
        ] {
            wrong! { notes.note;
                value < least => format!("`{key}` is shorter than {least}"), "lengthen it";
            }
        }
        wrong! { notes.note;
            self.min_refresh > self.refresh => "`min_refresh` is longer than `refresh`",
                "keys are fetched at most every `min_refresh` and at least every `refresh`";
            self.stale < self.refresh =>
                "`stale` is shorter than `refresh`: keys would be too old before they are fetched again",
                "lengthen `stale`";
            self.max_age.is_some_and(|age| age.is_zero()) => "`max_age` is not time at all", "leave the key out";
        }
    }

    fn check_preset(&self, notes: &mut TableNotes<'_>) {
        if self.preset != Preset::Firebase {
            return;
        }
        match self.firebase_project() {
            None => notes.note(
                "`preset = \"firebase\"` fits issuers `https://securetoken.google.com/<project>` only",
                "write the project's id after the last slash",
            ),
            Some(project) if self.audience != [project] => notes.note(
                format!("the `audience` of firebase tokens is the project, `{project}`"),
                "write it as the only one",
            ),
            Some(_) => {}
        }
    }

    fn firebase_project(&self) -> Option<&str> {
        let project = self
            .issuer
            .strip_prefix("https://securetoken.google.com/")?;
        (!project.is_empty() && !project.contains('/')).then_some(project)
    }

    fn check_principal(&self, notes: &mut TableNotes<'_>) {
        wrong! { notes.note;
            self.principal_type.is_none() => "`principal_type` is not given",
                "write the entity type of its principals, such as \"User\"";
        }
        for (key, name) in [
            ("principal_type", &self.principal_type),
            ("group_type", &self.group_type),
            ("role_type", &self.role_type),
        ] {
            if let Some(name) = name
                && EntityRef::of(name, "").is_err()
            {
                notes.note(
                    format!("`{key}`: `{name}` is not a Cedar type name"),
                    "write a name such as `Workspace::User`",
                );
            }
        }
        for (key, list, of_type, type_key) in [
            ("groups", &self.groups, &self.group_type, "group_type"),
            ("roles", &self.roles, &self.role_type, "role_type"),
        ] {
            wrong! { notes.note;
                list.is_some() && of_type.is_none() => format!("`{key}` is given and `{type_key}` is not"),
                    format!("write the entity type as `{type_key}`");
            }
            for claim in list.iter().flatten() {
                notes.list_pointer(key, claim.parts().0);
            }
        }
        if let Some(pointer) = &self.principal_id {
            notes.pointer("principal_id", pointer);
        }
        for (name, pointer) in self.attributes.iter().flatten() {
            notes.pointer("attributes", pointer);
            wrong! { notes.note;
                self.constants.contains_key(name) =>
                    format!("attribute `{name}` is in `attributes` and in `constants`"), "keep one of them";
            }
        }
        for (name, value) in &self.constants {
            wrong! { notes.note;
                !holdable(value) => format!("`constants.{name}` is nothing that Cedar can hold"),
                    "write text, whole numbers, booleans, lists or tables of them";
            }
        }
        notes.not_for(
            self.usage.name(),
            &[
                ("caller_name", self.caller_name.is_some()),
                ("caller_scopes", self.caller_scopes.is_some()),
                ("scope_prefix", self.scope_prefix.is_some()),
            ],
        );
    }

    fn check_caller(&self, notes: &mut TableNotes<'_>) {
        for (key, pointer) in [
            ("caller_name", &self.caller_name),
            ("caller_scopes", &self.caller_scopes),
        ] {
            if let Some(pointer) = pointer {
                notes.pointer(key, pointer);
            }
        }
        notes.not_for(
            self.usage.name(),
            &[
                ("principal_type", self.principal_type.is_some()),
                ("principal_id", self.principal_id.is_some()),
                ("id_prefix", !self.id_prefix.is_empty()),
                ("attributes", self.attributes.is_some()),
                ("constants", !self.constants.is_empty()),
                ("groups", self.groups.is_some()),
                ("group_type", self.group_type.is_some()),
                ("roles", self.roles.is_some()),
                ("role_type", self.role_type.is_some()),
            ],
        );
    }
}

/// Whether a constant is a value that Cedar can hold.
fn holdable(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => number.as_i64().is_some(),
        Value::Array(items) => items.iter().all(holdable),
        // A date of TOML comes as such a member; Cedar has a function for dates.
        Value::Object(members) => members
            .iter()
            .all(|(name, value)| !name.starts_with("$__toml") && holdable(value)),
    }
}

/// Every contradiction within the tables and between them.
#[must_use]
pub fn check(issuers: &[IssuerConfig]) -> Faults {
    let mut faults = Faults::new();
    for issuer in issuers {
        faults.extend(issuer.check());
    }
    faults.extend(disjoint(issuers));
    faults
}

/// Callers and principals share no (issuer, audience), and no pair is in two tables of one usage.
///
/// A token that stood for a caller and for a principal could be taken from the one place and used in
/// the other.
#[must_use]
fn disjoint(issuers: &[IssuerConfig]) -> Faults {
    let mut faults = Faults::new();
    let mut seen: BTreeMap<(&str, &str), BTreeSet<TokenUsage>> = BTreeMap::new();
    for config in issuers {
        for audience in &config.audience {
            let usages = seen.entry((&config.issuer, audience)).or_default();
            let message = match usages.insert(config.usage) {
                false => format!("audience `{audience}` is given twice"),
                true if usages.len() > 1 => {
                    format!("audience `{audience}` is that of callers and that of principals")
                }
                true => continue,
            };
            let mut notes = TableNotes::of("[[issuers]]", &config.issuer);
            let help = "have the issuer name another audience for the one of them";
            notes.note(message, help);
            faults.extend(notes.faults);
        }
    }
    faults
}
