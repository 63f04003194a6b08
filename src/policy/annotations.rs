//! The annotations that Deodar gives a meaning: `@obligation`, `@advice`, `@on_error`.
//!
//! Annotations ride along with a policy and never change whether it is satisfied; these say what a
//! satisfied policy asks of the enforcement point, and what an error in a forbid means.

use std::collections::BTreeSet;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The policy is skipped, as Cedar does.
    #[default]
    Skip,
    /// The decision is Deny.
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

/// The names of obligations and advice that policies may use.
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
}

/// The annotations with a meaning.
const KNOWN: [&str; 5] = [
    "obligation",
    "advice",
    "on_error",
    "requires_trust",
    "requires_auth_level",
];

/// A fault of an annotation: message and help.
pub(crate) type AnnotationFault = (String, String);

/// Reads the annotations of one policy; every fault is returned.
pub(crate) fn read<'a>(
    annotations: impl Iterator<Item = (&'a str, &'a str)>,
    vocabulary: &Vocabulary,
) -> Result<Meaning, Vec<AnnotationFault>> {
    let mut meaning = Meaning::default();
    let mut faults = Vec::new();
    for (key, value) in annotations {
        match key {
            "obligation" => {
                meaning.obligations = duties(
                    key,
                    value,
                    &vocabulary.obligations,
                    "obligations",
                    &mut faults,
                );
            }
            "advice" => {
                meaning.advice = duties(key, value, &vocabulary.advice, "advice", &mut faults);
            }
            "on_error" => match value {
                "deny" => meaning.on_error = Some(OnError::Deny),
                "skip" => meaning.on_error = Some(OnError::Skip),
                _ => faults.push((
                    format!("`@on_error(\"{value}\")` is neither `deny` nor `skip`"),
                    "write `@on_error(\"deny\")` or `@on_error(\"skip\")`".to_owned(),
                )),
            },
            "requires_trust" | "requires_auth_level" => faults.push((
                format!("`@{key}` needs trust scores, which this version does not compute"),
                "remove the annotation; it must not be ignored in silence".to_owned(),
            )),
            _ => {
                // An obligation that is lost to a typo would be an Allow without it.
                if key != "id"
                    && let Some(near) = crate::nearest::nearest(key, KNOWN)
                {
                    faults.push((
                        format!("`@{key}` has no meaning"),
                        format!("did you mean `@{near}`? Else give it a name less alike"),
                    ));
                }
            }
        }
    }
    if faults.is_empty() {
        Ok(meaning)
    } else {
        Err(faults)
    }
}

fn duties(
    key: &str,
    value: &str,
    declared: &BTreeSet<String>,
    setting: &str,
    faults: &mut Vec<AnnotationFault>,
) -> Vec<Duty> {
    let mut duties = Vec::new();
    for item in value.split(',').map(str::trim) {
        let (name, argument) = match item.split_once(':') {
            Some((name, argument)) => (name.trim(), Some(argument.trim().to_owned())),
            None => (item, None),
        };
        if name.is_empty() {
            faults.push((
                format!("`@{key}(\"{value}\")` has an empty name"),
                "write a comma list of `name` or `name:argument`".to_owned(),
            ));
        } else if !declared.contains(name) {
            let near = crate::nearest::nearest(name, declared.iter().map(String::as_str));
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("declare it in the configuration: `vocabulary.{setting}`"),
            };
            faults.push((
                format!("`@{key}` names `{name}`, which is not declared"),
                help,
            ));
        } else {
            duties.push(Duty {
                name: name.to_owned(),
                argument,
            });
        }
    }
    duties
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

    #[test]
    fn a_comma_list_of_names_with_arguments() {
        let meaning = read(
            [
                ("obligation", "log_access, redact_fields:pii"),
                ("on_error", "deny"),
                ("id", "x"),
            ]
            .into_iter(),
            &vocabulary(),
        )
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
        let faults = read(
            [
                ("obligation", "log_acess,"),
                ("advice", "hurry"),
                ("on_error", "panic"),
                ("requires_trust", "0.7"),
            ]
            .into_iter(),
            &vocabulary(),
        )
        .unwrap_err();
        assert_eq!(faults.len(), 5);
        assert_eq!(faults[0].1, "did you mean `log_access`?");
        let typo = read([("obligatoin", "log_access")].into_iter(), &vocabulary()).unwrap_err();
        assert!(typo[0].1.contains("`@obligation`"));
        assert!(read([("owner", "team")].into_iter(), &vocabulary()).is_ok());
    }
}
