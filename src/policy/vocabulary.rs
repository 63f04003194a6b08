//! The names that `@obligation` and `@advice` may use, from files beside the policies.
//!
//! Policies are complete in themselves: a tree that holds policies holds the names they use, in
//! `vocabulary.json` or any `*.vocabulary.json`: `{"obligations": ["log_access"], "advice": []}`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::annotations::Vocabulary;
use crate::base::fault::{Fault, Faults};
use crate::source::{Form, SourceFile};

/// Nesting of its JSON.
const DEPTH: usize = 8;
const HELP: &str = "a vocabulary is {\"obligations\": [\"name\", ..], \"advice\": [\"name\", ..]}";

/// Adds the names of all vocabulary files.
pub(crate) fn add(vocabulary: &mut Vocabulary, files: &[SourceFile]) -> Result<(), Faults> {
    let mut faults = Faults::new();
    for file in files.iter().filter(|file| file.form == Form::Vocabulary) {
        let json: Value = match crate::base::json::read(file.source.text.as_bytes(), DEPTH) {
            Ok(json) => json,
            Err(found) => {
                for found in found {
                    let fault = Fault::new("vocabulary", found.to_string()).help(HELP);
                    faults.push(fault.in_file(&*file.source.name));
                }
                continue;
            }
        };
        let mut wrong = |message: String| {
            let fault = Fault::new("vocabulary", message).help(HELP);
            faults.push(fault.in_file(&*file.source.name));
        };
        let Some(members) = json.as_object() else {
            wrong("a vocabulary is a JSON object".to_owned());
            continue;
        };
        for (member, names) in members {
            let into: &mut BTreeSet<String> = match member.as_str() {
                "obligations" => &mut vocabulary.obligations,
                "advice" => &mut vocabulary.advice,
                _ => {
                    let name = crate::base::json::shown(member);
                    wrong(format!("unknown member `{name}`"));
                    continue;
                }
            };
            let Some(names) = names.as_array() else {
                wrong(format!("`{member}` is not a list of names"));
                continue;
            };
            for name in names {
                match name.as_str().filter(|name| is_name(name)) {
                    Some(name) => _ = into.insert(name.to_owned()),
                    None => wrong(format!(
                        "{name} in `{member}` is not a name: a name has letters, digits, `_`, `-`, `.` and `/`"
                    )),
                }
            }
        }
    }
    faults.or(())
}

/// Whether a text can be the name of an obligation or advice.
pub(crate) fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    !text.is_empty() && text.len() <= 128 && text.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vocabulary, Faults> {
        let file = SourceFile::new("vocabulary.json", "vocabulary.json", text, Form::Vocabulary);
        let mut vocabulary = Vocabulary::default();
        add(&mut vocabulary, &[file]).map(|()| vocabulary)
    }

    #[test]
    fn names_are_read_and_everything_else_is_a_fault() {
        let read_names = read(r#"{"obligations": ["a", "b-c"], "advice": ["d.e/f"]}"#).unwrap();
        assert_eq!(
            read_names.obligations,
            ["a".to_owned(), "b-c".to_owned()].into()
        );
        assert_eq!(read_names.advice, ["d.e/f".to_owned()].into());
        for wrong in [
            "",
            "[]",
            r#"{"obligation": []}"#,
            r#"{"advice": "a"}"#,
            r#"{"advice": ["a b", "", 1]}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert_eq!(read(r#"{"advice": ["a:b", "", 1]}"#).unwrap_err().len(), 3);
    }
}
