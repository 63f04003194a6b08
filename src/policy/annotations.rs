//! The annotations that Deodar gives a meaning: `@obligation`, `@advice`, `@on_error`.
//!
//! Annotations ride along with a policy and never change whether it is satisfied; these say what a
//! satisfied policy asks of the enforcement point, and what an error in a forbid means.

use std::collections::BTreeSet;

use cedar_policy::Effect;

use crate::score::Score;

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
    /// The composite that a permit requires.
    pub(crate) requires_trust: Option<Score>,
    /// The authentication level, 1 to 4, that a permit requires.
    pub(crate) requires_level: Option<u8>,
}

impl Meaning {
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

/// A fault of an annotation: message and help.
pub(crate) type AnnotationFault = (String, String);

/// Reads the annotations of one policy; every fault is returned.
pub(crate) fn read<'a>(
    annotations: impl Iterator<Item = (&'a str, &'a str)>,
    effect: Effect,
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
            "requires_trust" | "requires_auth_level" if effect == Effect::Forbid => faults.push((
                format!("`@{key}` stands on a forbid, which cannot require anything"),
                "a forbid holds whatever the trust; put it on permits, or forbid by a condition on \
                 `context.trust` or `context.auth`"
                    .to_owned(),
            )),
            "requires_trust" => match value.parse() {
                Ok(score) if (Score::ZERO..=Score::ONE).contains(&score) => {
                    meaning.requires_trust = Some(score);
                }
                _ => faults.push((
                    format!("`@requires_trust(\"{value}\")` is no score from 0 to 1"),
                    "write it with at most four digits after the point, such as \"0.7\"".to_owned(),
                )),
            },
            "requires_auth_level" => match value {
                "1" | "2" | "3" | "4" => meaning.requires_level = value.parse().ok(),
                _ => faults.push((
                    format!("`@requires_auth_level(\"{value}\")` is no level from 1 to 4"),
                    "write \"1\", \"2\", \"3\" or \"4\"".to_owned(),
                )),
            },
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

    fn read_permit<const N: usize>(
        annotations: [(&str, &str); N],
    ) -> Result<Meaning, Vec<AnnotationFault>> {
        read(annotations.into_iter(), Effect::Permit, &vocabulary())
    }

    #[test]
    fn permits_require_trust_and_levels() {
        let meaning =
            read_permit([("requires_trust", "0.7"), ("requires_auth_level", "3")]).unwrap();
        assert_eq!(meaning.requires_trust, Some(Score::new(7_000)));
        assert_eq!(meaning.requires_level, Some(3));
        assert!(meaning.requires() && !read_permit([]).unwrap().requires());
        let on_forbid = [("requires_trust", "0.7"), ("requires_auth_level", "3")].into_iter();
        let faults = read(on_forbid, Effect::Forbid, &vocabulary()).unwrap_err();
        assert_eq!(faults.len(), 2);
        assert!(
            faults[0].0.contains("stands on a forbid"),
            "{}",
            faults[0].0
        );
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
            Effect::Permit,
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
                ("requires_trust", "0.70001"),
                ("requires_auth_level", "5"),
            ]
            .into_iter(),
            Effect::Permit,
            &vocabulary(),
        )
        .unwrap_err();
        assert_eq!(faults.len(), 6);
        assert_eq!(faults[0].1, "did you mean `log_access`?");
        let typo = read_permit([("obligatoin", "log_access")]).unwrap_err();
        assert!(typo[0].1.contains("`@obligation`"));
        assert!(read_permit([("owner", "team")]).is_ok());
    }
}
