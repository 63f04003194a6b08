//! Schema fragments in Cedar or JSON syntax, merged into one schema, and what Deodar itself needs to
//! know of it: which actions declare which context.

mod ext;
mod model;

use std::sync::Arc;

use cedar_policy::{Schema, SchemaFragment};

use crate::base::fault::{Fault, Faults, Location};
use crate::source::nesting;
use crate::source::nesting::nesting_fault;
use crate::source::{Form, SourceFile};

pub(crate) use ext::ExtFn;
pub(crate) use model::{ActionModel, EntityModel, Member, Model, Type};

/// The types whose values Deodar injects, shipped as `schemas/deodar.cedarschema`. Added by itself to
/// a schema that does not bring it.
pub(crate) const SHIPPED: &str = include_str!("../schemas/deodar.cedarschema");
/// The namespace of the shipped types.
const NAMESPACE: &str = "Deodar";

/// A merged schema.
#[derive(Debug)]
pub(crate) struct SchemaSet {
    pub(crate) schema: Schema,
    pub(crate) model: Model,
}

/// A fragment that was parsed, with the file it came from.
struct Parsed {
    file: Option<Arc<str>>,
    fragment: SchemaFragment,
    json: serde_json::Value,
}

/// Merges the fragments in `files` and those handed over already parsed. `None` when there is none.
pub(crate) fn load(
    files: &[SourceFile],
    parsed: &[SchemaFragment],
) -> Result<Option<SchemaSet>, Faults> {
    let mut faults = Faults::new();
    let mut fragments = Vec::new();
    for file in files {
        match parse(file) {
            Ok(fragment) => fragments.push((Some(Arc::clone(&file.source.name)), fragment)),
            Err(found) => faults.extend(found),
        }
    }
    fragments.extend(parsed.iter().map(|fragment| (None, fragment.clone())));
    let mut all = Vec::new();
    for (file, fragment) in fragments {
        match fragment.clone().to_json_value() {
            Ok(json) => all.push(Parsed {
                file,
                fragment,
                json,
            }),
            Err(error) => faults.push(Fault::from_cedar("schema", &error, None)),
        }
    }
    let mut all = faults.or(all)?;
    if all.is_empty() {
        return Ok(None);
    }
    add_shipped(&mut all)?;
    let model = Model::new(all.iter().map(|parsed| &parsed.json));
    if let Some(name) = model.oversized() {
        return Err(Fault::new(
            "schema",
            format!("common type `{name}` expands beyond all measure"),
        )
        .help("types that hold another one twice, which holds another one twice, double each time")
        .into());
    }
    let schema = Schema::from_schema_fragments(all.into_iter().map(|parsed| parsed.fragment))
        .map_err(|error| unresolved(&error, files))?;
    Ok(Some(SchemaSet { schema, model }))
}

/// A fault that Cedar finds when fragments are merged has no place of its own. It names types or actions: each
/// is looked up in the files, where the name stands as a whole word.
fn unresolved(error: &cedar_policy::SchemaError, files: &[SourceFile]) -> Faults {
    let fault = Fault::from_cedar("schema", error, None);
    let mut places: Vec<Location> = Vec::new();
    for name in names(fault.message()) {
        for file in files {
            let found = words(&file.source.text, name).map(|offset| Location {
                source: file.source.clone(),
                offset,
                length: name.len(),
                label: None,
            });
            places.extend(found);
        }
    }
    if !places.is_empty() {
        return places.into_iter().fold(fault, Fault::at).into();
    }
    let named: Vec<&str> = files
        .iter()
        .map(|file| &*file.source.name)
        .take(5)
        .collect();
    Faults::from(if named.is_empty() {
        fault
    } else {
        fault.in_file(named.join(" + "))
    })
}

/// The names in a message: what stands in backticks or quotes, else what follows the last colon.
fn names(message: &str) -> Vec<&str> {
    let quoted = |quote: char| message.split(quote).skip(1).step_by(2);
    let listed = message
        .rsplit(':')
        .next()
        .into_iter()
        .flat_map(|list| list.split(','));
    let mut names: Vec<&str> = quoted('`')
        .chain(quoted('"'))
        .chain(listed)
        .map(str::trim)
        .collect();
    // `N::Strng` is written `Strng` within its namespace.
    let last: Vec<&str> = names
        .iter()
        .filter_map(|name| name.rsplit("::").next())
        .collect();
    names.extend(last);
    let is_name = |name: &&str| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '_' | ':'))
    };
    names.retain(is_name);
    names.dedup();
    names
}

/// Where a word stands in a text.
fn words<'t>(text: &'t str, word: &'t str) -> impl Iterator<Item = usize> + 't {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).filter_map(move |(at, _)| {
        let before = text.get(..at)?.chars().next_back();
        let after = text.get(at + word.len()..)?.chars().next();
        (!before.is_some_and(is_part) && !after.is_some_and(is_part)).then_some(at)
    })
}

fn parse(file: &SourceFile) -> Result<SchemaFragment, Faults> {
    let text = &file.source.text;
    if file.form == Form::SchemaJson {
        return SchemaFragment::from_json_str(text).map_err(|error| {
            Faults::from(
                Fault::from_cedar("schema", &error, Some(&file.source))
                    .in_file(Arc::clone(&file.source.name)),
            )
        });
    }
    if let Some(fault) = nesting_fault(file, nesting::too_many_brackets, nesting::SCHEMA) {
        return Err(fault.into());
    }
    match SchemaFragment::from_cedarschema_str(text) {
        Ok((fragment, warnings)) => {
            for warning in warnings {
                tracing::warn!(file = %file.source.name, %warning, "schema warning");
            }
            Ok(fragment)
        }
        Err(error) => {
            let related: Vec<_> = miette::Diagnostic::related(&error)
                .into_iter()
                .flatten()
                .map(|related| Fault::from_cedar("schema", related, Some(&file.source)))
                .collect();
            let mut faults = Faults::from(Fault::from_cedar("schema", &error, Some(&file.source)));
            for fault in related {
                faults.push(fault);
            }
            Err(faults)
        }
    }
}

/// Adds the shipped types unless they are there; refuses other types in their place, because a value
/// of the shipped type could then never be injected.
fn add_shipped(all: &mut Vec<Parsed>) -> Result<(), Faults> {
    let shipped_fault =
        |error: &dyn miette::Diagnostic| Faults::from(Fault::from_cedar("schema", error, None));
    let (fragment, _) =
        SchemaFragment::from_cedarschema_str(SHIPPED).map_err(|error| shipped_fault(&error))?;
    let json = fragment
        .clone()
        .to_json_value()
        .map_err(|error| shipped_fault(&error))?;
    let theirs = all
        .iter()
        .find_map(|parsed| Some((parsed, parsed.json.get(NAMESPACE)?)));
    match theirs {
        None => {
            all.push(Parsed {
                file: None,
                fragment,
                json,
            });
            Ok(())
        }
        Some((_, types))
            if model::common_types(types)
                == json
                    .get(NAMESPACE)
                    .map_or_else(Default::default, model::common_types) =>
        {
            Ok(())
        }
        Some((parsed, _)) => Err(Faults::from(
            Fault::new(
                "schema",
                format!("namespace `{NAMESPACE}` differs from the shipped `deodar.cedarschema`"),
            )
            .in_file(parsed.file.clone().unwrap_or_else(|| "schema".into()))
            .help("leave the namespace out (it is added by itself) or copy the shipped file"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fault::SourceText;

    fn file(text: &str) -> SourceFile {
        SourceFile::new("s.cedarschema", "s.cedarschema", text, Form::SchemaCedar)
    }

    #[test]
    fn fragments_merge_and_the_shipped_types_are_added() {
        let files = [
            file(
                "namespace A { entity U; action go appliesTo {principal: U, resource: B::R, context: {env: Deodar::Env}}; }",
            ),
            file("namespace B { entity R; }"),
        ];
        let set = load(&files, &[]).unwrap().unwrap();
        assert!(
            set.model
                .action("A::Action", "go")
                .is_some_and(|action| action.injects("env", "Deodar::Env")
                    && !action.injects("env", "Deodar::Trust"))
        );
        let shipped = [file("entity U;"), file(SHIPPED)];
        assert!(load(&shipped, &[]).is_ok());
    }

    #[test]
    fn other_types_in_the_shipped_namespace_are_refused() {
        let faults =
            load(&[file("namespace Deodar { type Env = {now: Long}; }")], &[]).unwrap_err();
        assert!(faults.summary().contains("differs from the shipped"));
    }

    #[test]
    fn what_cannot_be_resolved_has_a_place() {
        let cedar = file("entity A;\nnamespace N {\n  entity B { a: String, b: Strng };\n}");
        let json = SourceFile::new(
            "s.json",
            "s.json",
            "{\"\": {\"actions\": {}, \"entityTypes\": {\n\"A\": {\"memberOfTypes\": [\"Gruop\"]}}}}",
            Form::SchemaJson,
        );
        for (file, line) in [(cedar, 3), (json, 2)] {
            let faults = load(&[file], &[]).unwrap_err();
            let fault = faults.iter().next().unwrap();
            assert_eq!(
                fault.position().map(|(line, _)| line),
                Some(line),
                "{}",
                fault.one_line()
            );
        }
    }

    #[test]
    fn a_fault_names_file_and_place() {
        let faults = load(&[file("entity A;\nentity ;")], &[]).unwrap_err();
        let fault = faults.iter().next().unwrap();
        assert_eq!(fault.position(), Some((2, 8)));
        let _ = SourceText {
            name: "x".into(),
            text: "".into(),
        };
    }
}
