//! Policy texts, policy-set JSON and links files to one Cedar policy set with stable ids.
//!
//! Every fault of every file is gathered; nothing is returned unless there is none.

use std::collections::HashMap;
use std::str::FromStr;

use cedar_policy::{EntityUid, ParseErrors, Policy, PolicyId, PolicySet, SlotId, Template};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::nesting;
use super::source::{Form, SourceFile};
use super::statements::statements;
use crate::fault::{Fault, Faults, Place};

/// How policies get their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Ids {
    /// `@id`, JSON key or link id, else `<file>#<12 hex of the canonical text>`.
    #[default]
    Named,
    /// As Cedar counts them: `policy0`, `policy1`, ... (for Cedar's own test formats).
    Cedar,
}

/// The policies that were read, and where each of them stands.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) set: PolicySet,
    pub(crate) places: HashMap<PolicyId, Place>,
}

/// Reads the files, then adds the sets that were handed over already parsed.
pub(crate) fn load(files: &[SourceFile], parsed: &[PolicySet], ids: Ids) -> Result<Loaded, Faults> {
    let mut loader = Loader {
        ids,
        loaded: Loaded::default(),
        faults: Faults::new(),
    };
    for file in files {
        match file.form {
            Form::Cedar => loader.text(file),
            Form::PolicySetJson => loader.json(file),
            // Links come last: they may name templates of any file.
            _ => {}
        }
    }
    for set in parsed {
        loader.merge(set, None);
    }
    for file in files.iter().filter(|file| file.form == Form::Links) {
        loader.links(file);
    }
    loader.faults.or(loader.loaded)
}

struct Loader {
    ids: Ids,
    loaded: Loaded,
    faults: Faults,
}

impl Loader {
    fn text(&mut self, file: &SourceFile) {
        if let Some(fault) = nesting_fault(file, nesting::too_deep, nesting::POLICY) {
            return self.faults.push(fault);
        }
        let set = match PolicySet::from_str(&file.source.text) {
            Ok(set) => set,
            Err(errors) => return self.faults.extend(parse_faults(&errors, file)),
        };
        let spans = statements(&file.source.text);
        let place = |id: &PolicyId| {
            let id: &str = id.as_ref();
            let number: usize = id.strip_prefix("policy")?.parse().ok()?;
            let span = spans.get(number)?;
            Some(Place {
                source: file.source.clone(),
                offset: span.start,
                length: span.len(),
                label: None,
            })
        };
        // Cedar counts in text order; its own iteration order is random.
        let mut templates: Vec<_> = set.templates().collect();
        templates.sort_by_key(|template| order(template.id()));
        for template in templates {
            let canonical = || canonical_template(template);
            let id = self.name(template.annotation("id"), template.id(), file, canonical);
            self.add_template(template.new_id(id), place(template.id()));
        }
        let mut policies: Vec<_> = set.policies().collect();
        policies.sort_by_key(|policy| order(policy.id()));
        for policy in policies {
            let canonical = || canonical_policy(policy);
            let id = self.name(policy.annotation("id"), policy.id(), file, canonical);
            self.add_policy(policy.new_id(id), place(policy.id()));
        }
    }

    fn name(
        &self,
        annotation: Option<&str>,
        counted: &PolicyId,
        file: &SourceFile,
        canonical: impl FnOnce() -> String,
    ) -> PolicyId {
        match (self.ids, annotation) {
            (Ids::Cedar, _) => counted.clone(),
            (Ids::Named, Some(id)) if !id.is_empty() => PolicyId::new(id),
            (Ids::Named, _) => {
                let digest = Sha256::digest(canonical().as_bytes());
                let hex: String = digest.iter().take(6).map(|b| format!("{b:02x}")).collect();
                PolicyId::new(format!("{}#{hex}", file.relative))
            }
        }
    }

    fn json(&mut self, file: &SourceFile) {
        match PolicySet::from_json_str(&file.source.text) {
            Ok(set) => self.merge(&set, Some(file)),
            Err(error) => {
                let fault = Fault::from_cedar("parse", &error, None)
                    .in_file(std::sync::Arc::clone(&file.source.name))
                    .help(
                        "a policy set is {\"staticPolicies\": {..}, \"templates\": {..}, \
                         \"templateLinks\": [..]}; name a file of links `*.links.json` and one of \
                         entities `*.entities.json`",
                    );
                self.faults.push(fault);
            }
        }
    }

    /// Adds a whole set under its own ids.
    fn merge(&mut self, set: &PolicySet, file: Option<&SourceFile>) {
        let place = |id: &PolicyId| {
            let file = file?;
            let key = serde_json::to_string(id.as_ref() as &str).ok()?;
            let offset = file.source.text.find(&key)?;
            Some(Place {
                source: file.source.clone(),
                offset,
                length: key.len(),
                label: None,
            })
        };
        let mut templates: Vec<_> = set.templates().collect();
        templates.sort_by(|a, b| a.id().cmp(b.id()));
        for template in templates {
            self.add_template(template.clone(), place(template.id()));
        }
        let mut policies: Vec<_> = set.policies().collect();
        policies.sort_by(|a, b| a.id().cmp(b.id()));
        for policy in policies {
            match (policy.template_id(), policy.template_links()) {
                (Some(template), Some(values)) => {
                    self.link(template, policy.id().clone(), values, place(policy.id()));
                }
                _ => self.add_policy(policy.clone(), place(policy.id())),
            }
        }
    }

    /// Whether the id is still free; a duplicate is a fault that names both places.
    fn free(&mut self, id: &PolicyId, place: Option<&Place>) -> bool {
        let set = &self.loaded.set;
        if set.policy(id).is_none() && set.template(id).is_none() {
            return true;
        }
        let mut fault = Fault::new("duplicate_id", format!("policy id `{id}` is used twice"))
            .help("give one of them another `@id(\"..\")`");
        if let Some(place) = place {
            fault = fault.at(place.clone().labelled("second use"));
        }
        if let Some(first) = self.loaded.places.get(id) {
            fault = fault.at(first.clone().labelled("first use"));
        }
        self.faults.push(fault);
        false
    }

    fn keep(&mut self, id: PolicyId, place: Option<Place>) {
        if let Some(place) = place {
            self.loaded.places.insert(id, place);
        }
    }

    fn refuse(&mut self, error: &dyn miette::Diagnostic, place: Option<&Place>) {
        let mut fault = Fault::from_cedar("policy_set", error, None);
        if let Some(place) = place {
            fault = fault.at(place.clone());
        }
        self.faults.push(fault);
    }

    fn add_policy(&mut self, policy: Policy, place: Option<Place>) {
        let id = policy.id().clone();
        if !self.free(&id, place.as_ref()) {
            return;
        }
        match self.loaded.set.add(policy) {
            Ok(()) => self.keep(id, place),
            Err(error) => self.refuse(&error, place.as_ref()),
        }
    }

    fn add_template(&mut self, template: Template, place: Option<Place>) {
        let id = template.id().clone();
        if !self.free(&id, place.as_ref()) {
            return;
        }
        match self.loaded.set.add_template(template) {
            Ok(()) => self.keep(id, place),
            Err(error) => self.refuse(&error, place.as_ref()),
        }
    }

    fn link(
        &mut self,
        template: &PolicyId,
        id: PolicyId,
        values: HashMap<SlotId, EntityUid>,
        place: Option<Place>,
    ) {
        if !self.free(&id, place.as_ref()) {
            return;
        }
        match self.loaded.set.link(template.clone(), id.clone(), values) {
            Ok(()) => self.keep(id, place),
            Err(error) => self.refuse(&error, place.as_ref()),
        }
    }

    fn links(&mut self, file: &SourceFile) {
        let text = &file.source.text;
        let items: Vec<&serde_json::value::RawValue> = match serde_json::from_str(text) {
            Ok(items) => items,
            Err(error) => {
                return self
                    .faults
                    .push(json_fault("parse", &error, file).help(LINKS_HELP));
            }
        };
        for item in items {
            let offset = offset_in(text, item.get());
            let place = Place {
                source: file.source.clone(),
                offset,
                length: item.get().len(),
                label: None,
            };
            match read_link(item.get()) {
                Ok(link) => {
                    let template = PolicyId::new(link.template_id);
                    if self.loaded.set.template(&template).is_none() {
                        let near = nearest_template(&self.loaded.set, template.as_ref());
                        self.faults.push(
                            Fault::new("link", format!("there is no template `{template}`"))
                                .at(place)
                                .help(near),
                        );
                        continue;
                    }
                    self.link(
                        &template,
                        PolicyId::new(link.link_id),
                        link.values,
                        Some(place),
                    );
                }
                Err(message) => self
                    .faults
                    .push(Fault::new("link", message).at(place).help(LINKS_HELP)),
            }
        }
    }
}

const LINKS_HELP: &str = "a links file is [{\"template_id\", \"link_id\", \"args\": \
                          {\"?principal\": \"User::\\\"x\\\"\"}}]";

impl Place {
    fn labelled(mut self, label: &str) -> Self {
        self.label = Some(label.to_owned());
        self
    }
}

fn nearest_template(set: &PolicySet, id: &str) -> String {
    let known: Vec<_> = set.templates().map(Template::id).collect();
    match crate::nearest::nearest(id, known.iter().map(|id| id.as_ref() as &str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "a link names the id of a template of the same policies".to_owned(),
    }
}

struct Link {
    template_id: String,
    link_id: String,
    values: HashMap<SlotId, EntityUid>,
}

fn read_link(text: &str) -> Result<Link, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wire {
        template_id: String,
        link_id: String,
        args: Args,
    }
    /// As members of a struct, a slot given twice is refused.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Args {
        #[serde(rename = "?principal")]
        principal: Option<String>,
        #[serde(rename = "?resource")]
        resource: Option<String>,
    }
    let wire: Wire = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut values = HashMap::new();
    let slots = [
        (SlotId::principal(), wire.args.principal),
        (SlotId::resource(), wire.args.resource),
    ];
    for (slot_id, entity) in slots {
        let Some(entity) = entity else { continue };
        let uid = EntityUid::from_str(&entity)
            .map_err(|_| format!("`{entity}` is not an entity such as `User::\"alice\"`"))?;
        values.insert(slot_id, uid);
    }
    Ok(Link {
        template_id: wire.template_id,
        link_id: wire.link_id,
        values,
    })
}

fn parse_faults(errors: &ParseErrors, file: &SourceFile) -> Faults {
    let mut faults = Faults::new();
    for error in errors.iter() {
        let fault = Fault::from_cedar("parse", error, Some(&file.source));
        faults.push(fault);
    }
    faults
}

/// A fault where `scan` finds that the text nests deeper than `most`.
pub(super) fn nesting_fault(
    file: &SourceFile,
    scan: fn(&str, usize) -> Option<usize>,
    most: usize,
) -> Option<Fault> {
    let offset = scan(&file.source.text, most)?;
    let fault = Fault::new("nesting", format!("nests deeper than {most} levels")).at(Place {
        source: file.source.clone(),
        offset,
        length: 1,
        label: None,
    });
    Some(fault.help("split it: a long chain of `||` is better written as `[..].contains(..)` or several policies"))
}

/// A fault at the place where `serde_json` stopped.
pub(crate) fn json_fault(
    code: &'static str,
    error: &serde_json::Error,
    file: &SourceFile,
) -> Fault {
    let text = &file.source.text;
    let line_start: usize = text
        .split_inclusive('\n')
        .take(error.line().saturating_sub(1))
        .map(str::len)
        .sum();
    let offset = (line_start + error.column().saturating_sub(1)).min(text.len());
    Fault::new(code, format!("not valid JSON: {error}")).at(Place {
        source: file.source.clone(),
        offset,
        length: 0,
        label: None,
    })
}

/// Where `part`, a slice of `text`, begins in it.
pub(crate) fn offset_in(text: &str, part: &str) -> usize {
    (part.as_ptr() as usize)
        .saturating_sub(text.as_ptr() as usize)
        .min(text.len())
}

fn order(id: &PolicyId) -> usize {
    let id: &str = id.as_ref();
    id.strip_prefix("policy")
        .and_then(|number| number.parse().ok())
        .unwrap_or(usize::MAX)
}

/// Cedar's own rendering: independent of layout and comments.
fn canonical_policy(policy: &Policy) -> String {
    policy
        .to_json()
        .ok()
        .and_then(|json| Policy::from_json(None, json).ok()?.to_cedar())
        .unwrap_or_else(|| policy.to_string())
}

fn canonical_template(template: &Template) -> String {
    template
        .to_json()
        .ok()
        .and_then(|json| Some(Template::from_json(None, json).ok()?.to_cedar()))
        .unwrap_or_else(|| template.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::source::Kind;
    use super::*;

    fn file(name: &str, text: &str) -> SourceFile {
        SourceFile::new(name, name, text, Form::of_file(Kind::Policies, name))
    }

    fn ids(loaded: &Loaded) -> Vec<String> {
        let mut ids: Vec<_> = loaded.set.policies().map(|p| p.id().to_string()).collect();
        ids.sort();
        ids
    }

    const TEMPLATE: &str =
        "@id(\"share\") permit(principal == ?principal, action, resource in ?resource);";

    #[test]
    fn ids_come_from_annotations_keys_links_or_the_text() {
        let json = r#"{"staticPolicies":{"from-key":{"effect":"permit","principal":{"op":"All"},"action":{"op":"All"},"resource":{"op":"All"},"conditions":[]}},"templates":{},"templateLinks":[]}"#;
        let links = r#"[{"template_id":"share","link_id":"l1","args":{"?principal":"U::\"a\"","?resource":"D::\"d\""}}]"#;
        let files = [
            file("x.links.json", links),
            file(
                "a.cedar",
                "@id(\"named\") permit(principal, action, resource);\npermit(principal,action,resource) when { 1 == 1 };",
            ),
            file("t.cedar", TEMPLATE),
            file("s.json", json),
        ];
        let loaded = load(&files, &[], Ids::Named).unwrap();
        let got = ids(&loaded);
        assert_eq!(got.len(), 4);
        assert!(got[0].starts_with("a.cedar#") && got[0].len() == "a.cedar#".len() + 12);
        assert_eq!(got[1..], ["from-key", "l1", "named"]);

        let other_layout = file(
            "a.cedar",
            "permit ( principal, action, resource )\n// note\nwhen { 1==1 };",
        );
        let again = load(&[other_layout], &[], Ids::Named).unwrap();
        assert_eq!(ids(&again)[0], got[0]);
    }

    #[test]
    fn a_duplicate_names_both_places() {
        let text = "@id(\"x\") permit(principal, action, resource);";
        let faults = load(
            &[file("a.cedar", text), file("b.cedar", &format!("\n{text}"))],
            &[],
            Ids::Named,
        )
        .unwrap_err();
        let json = faults.iter().next().unwrap().to_json();
        assert_eq!(
            (json["file"].as_str(), json["line"].as_u64()),
            (Some("b.cedar"), Some(2))
        );
        assert_eq!(json["related"][0]["file"], "a.cedar");
    }

    #[test]
    fn every_fault_of_every_file_is_reported() {
        let files = [
            file(
                "a.cedar",
                "permit(principal);\nforbid(principal, action, resource) when { 1 + };",
            ),
            file("b.json", "{}"),
            file(
                "c.links.json",
                r#"[{"template_id":"shar","link_id":"l","args":{}}, {"template":1}]"#,
            ),
            file("t.cedar", TEMPLATE),
        ];
        let faults = load(&files, &[], Ids::Named).unwrap_err();
        let lines: Vec<_> = faults.iter().map(Fault::one_line).collect();
        for start in [
            "a.cedar:",
            "c.links.json:1:2: there is no template `shar`",
            "c.links.json:1:",
        ] {
            assert!(
                lines.iter().any(|line| line.starts_with(start)),
                "{start} in {lines:?}"
            );
        }
    }

    #[test]
    fn cedar_ids_are_kept_for_cedars_formats() {
        let loaded = load(
            &[file(
                "a.cedar",
                "@id(\"x\") permit(principal, action, resource);",
            )],
            &[],
            Ids::Cedar,
        )
        .unwrap();
        assert_eq!(ids(&loaded), ["policy0"]);
    }
}
