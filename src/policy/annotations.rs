//! The annotations that Deodar gives a meaning: `@obligation`, `@advice`, `@on_error`.
//!
//! Annotations ride along with a policy and never change whether it is satisfied; these say what a
//! satisfied policy asks of the enforcement point, and what an error in a forbid means.

use std::collections::BTreeSet;

use cedar_policy::Effect;

use super::vocabulary::is_name;
use crate::trust::model::Score;

/// Something a policy asks of the enforcement point: `name` or `name:argument`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duty {
    name: String,
    argument: Option<String>,
}

impl Duty {
    /// The declared name, such as `redact_fields`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What stands behind the colon, such as `pii`.
    #[must_use]
    pub fn argument(&self) -> Option<&str> {
        self.argument.as_deref()
    }
}

impl std::fmt::Display for Duty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        match &self.argument {
            Some(argument) => write!(f, ":{argument}"),
            None => Ok(()),
        }
    }
}

/// What an evaluation error in a forbid means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OnError {
    /// The policy is skipped, as Cedar does.
    Skip,
    /// The decision is Deny.
    #[default]
    Deny,
}

impl OnError {
    /// The name in settings and annotations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Deny => "deny",
        }
    }
}

/// The names of obligations and advice that policies may use. Files named `vocabulary.json` beside the policies add
/// to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vocabulary {
    /// Names that `@obligation` may use.
    pub obligations: BTreeSet<String>,
    /// Names that `@advice` may use.
    pub advice: BTreeSet<String>,
}

/// The meaning of one policy's annotations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Meaning {
    pub(crate) obligations: Vec<Duty>,
    pub(crate) advice: Vec<Duty>,
    pub(crate) on_error: Option<OnError>,
    /// The composite that a permit requires.
    pub(crate) requires_trust: Option<Score>,
    /// The authentication level, 1 to 4, that a permit requires.
    pub(crate) requires_level: Option<u8>,
}

impl Meaning {
    /// Whether the annotations mean nothing.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the permit requires anything of trust or authentication.
    pub(crate) fn requires(&self) -> bool {
        self.requires_trust.is_some() || self.requires_level.is_some()
    }
}

/// The annotations with a meaning.
const KNOWN: [&str; 5] = [
    "obligation",
    "advice",
    "on_error",
    "requires_trust",
    "requires_auth_level",
];

/// What is wrong with an annotation, and what to do.
pub(crate) type Finding = (String, String);

/// What the annotations of one policy say.
#[derive(Debug, Default)]
pub(crate) struct ParsedAnnotations {
    pub(crate) meaning: Meaning,
    pub(crate) faults: Vec<Finding>,
    /// Names that no vocabulary declares.
    pub(crate) undeclared: Vec<Finding>,
    pub(crate) warnings: Vec<Finding>,
}

/// Reads the annotations of one policy; every fault is returned. Those whose names do not begin with
/// `prefix` have no meaning.
pub(crate) fn read<'a>(
    annotations: impl Iterator<Item = (&'a str, &'a str)>,
    effect: Effect,
    vocabulary: &Vocabulary,
    prefix: &str,
) -> ParsedAnnotations {
    let mut read = ParsedAnnotations::default();
    for (name, value) in annotations {
        let Some(key) = name.strip_prefix(prefix) else {
            continue;
        };
        read.one(name, key, value, effect, vocabulary, prefix);
    }
    read
}

impl ParsedAnnotations {
    fn one(
        &mut self,
        name: &str,
        key: &str,
        value: &str,
        effect: Effect,
        vocabulary: &Vocabulary,
        prefix: &str,
    ) {
        match key {
            "obligation" => {
                self.meaning.obligations = self.duties(name, value, &vocabulary.obligations);
            }
            // A sentence is meant for people: other engines show it to the user.
            "advice" if !is_list_of_names(value) => self.warnings.push((
                format!("`@{name}(\"{}\")` is a text, not a list of names; it has no meaning", shown(value)),
                "name an advice that a vocabulary declares, or set `decide.annotation_prefix` if the \
                 annotation belongs to another program"
                    .to_owned(),
            )),
            "advice" => self.meaning.advice = self.duties(name, value, &vocabulary.advice),
            "on_error" => match value {
                "deny" => self.meaning.on_error = Some(OnError::Deny),
                "skip" => self.meaning.on_error = Some(OnError::Skip),
                _ => self.faults.push((
                    format!("`@{name}(\"{}\")` is neither `deny` nor `skip`", shown(value)),
                    format!("write `@{name}(\"deny\")` or `@{name}(\"skip\")`"),
                )),
            },
            "requires_trust" | "requires_auth_level" if effect == Effect::Forbid => {
                self.faults.push((
                    format!("`@{name}` stands on a forbid, which cannot require anything"),
                    "a forbid holds whatever the trust; put it on permits, or forbid by a condition \
                     on `context.trust` or `context.auth`"
                        .to_owned(),
                ));
            }
            "requires_trust" => match value.parse() {
                Ok(score) if (Score::ZERO..=Score::ONE).contains(&score) => {
                    self.meaning.requires_trust = Some(score);
                }
                _ => self.faults.push((
                    format!("`@{name}(\"{}\")` is not a score from 0 to 1", shown(value)),
                    "write it with at most four digits after the point, such as \"0.7\"".to_owned(),
                )),
            },
            "requires_auth_level" => match value {
                "1" | "2" | "3" | "4" => self.meaning.requires_level = value.parse().ok(),
                _ => self.faults.push((
                    format!("`@{name}(\"{}\")` is not a level from 1 to 4", shown(value)),
                    "write \"1\", \"2\", \"3\" or \"4\"".to_owned(),
                )),
            },
            // An obligation that is lost to a typo would be an Allow without it.
            _ if key != "id" => {
                if let Some(near) = crate::base::nearest::nearest(key, KNOWN) {
                    self.faults.push((
                        format!("`@{name}` has no meaning"),
                        format!("did you mean `@{prefix}{near}`? Else choose a name that is less similar"),
                    ));
                }
            }
            _ => {}
        }
    }

    fn duties(&mut self, key: &str, value: &str, declared: &BTreeSet<String>) -> Vec<Duty> {
        let mut duties = Vec::new();
        for item in value.split(',').map(str::trim) {
            let (name, argument) = match item.split_once(':') {
                Some((name, argument)) => (name.trim(), Some(argument.trim().to_owned())),
                None => (item, None),
            };
            if name.is_empty() {
                self.faults.push((
                    format!("`@{key}(\"{}\")` has an empty name", shown(value)),
                    "write a comma list of `name` or `name:argument`".to_owned(),
                ));
            } else if !declared.contains(name) {
                let near = crate::base::nearest::nearest(name, declared.iter().map(String::as_str));
                let help = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "declare it in a file `vocabulary.json` beside the policies: \
                             {\"obligations\": [..], \"advice\": [..]}; if the annotation belongs to \
                             another program, set `decide.annotation_prefix`"
                        .to_owned(),
                };
                let name = shown(name);
                let message = format!("`@{key}` names `{name}`, which no vocabulary declares");
                self.undeclared.push((message, help));
            } else {
                duties.push(Duty {
                    name: name.to_owned(),
                    argument,
                });
            }
        }
        duties
    }
}

/// Whether a text is a comma list of `name` or `name:argument`, as opposed to a sentence.
fn is_list_of_names(value: &str) -> bool {
    value.split(',').all(|item| {
        let name = item.split_once(':').map_or(item, |(name, _)| name).trim();
        name.is_empty() || is_name(name)
    })
}

/// Outside text in a message.
fn shown(text: &str) -> String {
    crate::base::json::shown_within(text, 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary() -> Vocabulary {
        Vocabulary {
            obligations: ["log_access".to_owned(), "redact_fields".to_owned()].into(),
            advice: BTreeSet::new(),
        }
    }

    fn read_permit<const N: usize>(
        annotations: [(&str, &str); N],
    ) -> Result<Meaning, Vec<Finding>> {
        read_as(annotations, Effect::Permit, "")
    }

    fn read_as<const N: usize>(
        annotations: [(&str, &str); N],
        effect: Effect,
        prefix: &str,
    ) -> Result<Meaning, Vec<Finding>> {
        let read = read(annotations.into_iter(), effect, &vocabulary(), prefix);
        let faults: Vec<_> = read.faults.into_iter().chain(read.undeclared).collect();
        if faults.is_empty() {
            Ok(read.meaning)
        } else {
            Err(faults)
        }
    }

    #[test]
    fn a_sentence_in_advice_is_a_text_and_a_prefix_leaves_the_names_to_others() {
        for sentence in ["Ask your manager, then try again", "ask: them", "a b"] {
            let read = read(
                [("advice", sentence)].into_iter(),
                Effect::Forbid,
                &vocabulary(),
                "",
            );
            let is_text = sentence != "ask: them";
            assert_eq!(read.warnings.len(), usize::from(is_text), "{sentence}");
            assert_eq!(read.undeclared.len(), usize::from(!is_text), "{sentence}");
            assert!(read.faults.is_empty());
        }
        let foreign = [
            ("obligation", "whatever they mean"),
            ("on_error", "explode"),
        ];
        assert_eq!(
            read_as(foreign, Effect::Permit, "deodar_").unwrap(),
            Meaning::default()
        );
        let ours = [
            ("deodar_obligation", "log_access"),
            ("deodar_requires_auth_level", "2"),
        ];
        let meaning = read_as(ours, Effect::Permit, "deodar_").unwrap();
        assert_eq!(
            (meaning.obligations.len(), meaning.requires_level),
            (1, Some(2))
        );
        let typo = read_as([("deodar_obligatoin", "x")], Effect::Permit, "deodar_").unwrap_err();
        assert!(typo[0].1.contains("`@deodar_obligation`"), "{}", typo[0].1);
    }

    #[test]
    fn permits_require_trust_and_levels() {
        let meaning =
            read_permit([("requires_trust", "0.7"), ("requires_auth_level", "3")]).unwrap();
        assert_eq!(meaning.requires_trust, Some(Score::new(7_000)));
        assert_eq!(meaning.requires_level, Some(3));
        assert!(meaning.requires() && !read_permit([]).unwrap().requires());
        let on_forbid = [("requires_trust", "0.7"), ("requires_auth_level", "3")];
        let faults = read_as(on_forbid, Effect::Forbid, "").unwrap_err();
        assert_eq!(faults.len(), 2);
        assert!(
            faults[0].0.contains("stands on a forbid"),
            "{}",
            faults[0].0
        );
    }

    #[test]
    fn a_comma_list_of_names_with_arguments() {
        let meaning = read_permit([
            ("obligation", "log_access, redact_fields:pii"),
            ("on_error", "deny"),
            ("id", "x"),
        ])
        .unwrap();
        let duties: Vec<_> = meaning
            .obligations
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(duties, ["log_access", "redact_fields:pii"]);
        assert_eq!(meaning.on_error, Some(OnError::Deny));
    }

    #[test]
    fn what_is_undeclared_or_unknown_is_a_fault() {
        let faults = read_permit([
            ("obligation", "log_acess,"),
            ("advice", "hurry"),
            ("on_error", "panic"),
            ("requires_trust", "0.70001"),
            ("requires_auth_level", "5"),
        ])
        .unwrap_err();
        assert_eq!(faults.len(), 6);
        assert_eq!(faults[4].1, "did you mean `log_access`?");
        let typo = read_permit([("obligatoin", "log_access")]).unwrap_err();
        assert!(typo[0].1.contains("`@obligation`"));
        assert!(read_permit([("owner", "team")]).is_ok());
    }
}
