//! Deodar's own case files, version 1.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::{Case, Expect, Setup, Sources, Suite, fault};
use crate::base::fault::Faults;
use crate::base::timestamp::TimestampError;
use crate::policy::OnError;
use crate::request::Authentication;
use crate::trust::TrustConfig;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(default)]
    defaults: Defaults,
    cases: Vec<FileCase>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Defaults {
    now: Option<String>,
    #[serde(default)]
    policies: Paths,
    #[serde(default)]
    schema: Paths,
    entities: Option<Entities>,
    #[serde(default)]
    obligations: Vec<String>,
    #[serde(default)]
    advice: Vec<String>,
    on_error: Option<OnError>,
    trust: Option<TrustConfig>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Paths {
    One(String),
    Many(Vec<String>),
}

impl Default for Paths {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

/// Entities of the file: paths, or the entities themselves.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entities {
    Paths(Paths),
    Inline(Vec<Value>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileCase {
    name: String,
    request: Value,
    #[serde(default)]
    given: Given,
    #[serde(default)]
    expect: Expect,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Given {
    now: Option<String>,
    authentication: Option<GivenAuthentication>,
    #[serde(default)]
    entities: Vec<Value>,
}

/// How the principal was authenticated, as if a verified token said so.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct GivenAuthentication {
    acr: Option<String>,
    #[serde(default)]
    amr: Vec<String>,
    auth_time: Option<String>,
    session: Option<String>,
}

impl GivenAuthentication {
    fn read(self) -> Result<Authentication, TimestampError> {
        Ok(Authentication {
            acr: self.acr,
            amr: self.amr,
            auth_time: self.auth_time.map(|text| text.parse()).transpose()?,
            session: self.session,
            issued_at: None,
            token: None,
        })
    }
}

/// Reads a case file; its paths are relative to its own directory.
pub(super) fn read(path: &Path, text: &str, sources: &Sources) -> Result<Suite, Faults> {
    let json = path.extension().is_some_and(|ending| ending == "json");
    let file: File = if json {
        serde_json::from_str(text).map_err(|error| fault(path, error.to_string()))?
    } else {
        serde_saphyr::from_str(text).map_err(|error| fault(path, error.to_string()))?
    };
    if file.version != 1 {
        let message = format!("version {} is unknown; this reads version 1", file.version);
        return Err(fault(path, message));
    }
    let base = path.parent().unwrap_or(Path::new(""));
    let (entity_paths, shared) = match file.defaults.entities {
        None => (Vec::new(), Vec::new()),
        Some(Entities::Paths(paths)) => (paths.under(base), Vec::new()),
        Some(Entities::Inline(entities)) => (Vec::new(), entities),
    };
    let over = |flags: &[PathBuf], own: Vec<PathBuf>| {
        if flags.is_empty() {
            own
        } else {
            flags.to_vec()
        }
    };
    let setup = Setup {
        policies: over(&sources.policies, file.defaults.policies.under(base)),
        schema: over(&sources.schema, file.defaults.schema.under(base)),
        entities: over(&sources.entities, entity_paths),
        obligations: file.defaults.obligations,
        advice: file.defaults.advice,
        on_error: file.defaults.on_error,
        trust: file.defaults.trust,
        cedar: false,
    };
    let default_now = file.defaults.now;
    let mut faults = Faults::new();
    let mut cases = Vec::with_capacity(file.cases.len());
    let mut lines = Lines {
        text,
        at: 0,
        line: 1,
    };
    for case in file.cases {
        let now = match case.given.now.as_ref().or(default_now.as_ref()) {
            None => None,
            Some(text) => match text.parse() {
                Ok(now) => Some(now),
                Err(error) => {
                    faults.extend(fault(path, format!("case `{}`: {error}", case.name)));
                    None
                }
            },
        };
        let authentication = case.given.authentication.map(GivenAuthentication::read);
        let authentication = authentication.transpose().unwrap_or_else(|error| {
            faults.extend(fault(path, format!("case `{}`: {error}", case.name)));
            None
        });
        let mut entities = shared.clone();
        entities.extend(case.given.entities);
        let line = lines.of(&case.name);
        cases.push(Case {
            name: case.name,
            line,
            request: case.request,
            now,
            authentication,
            entities,
            only_these_entities: false,
            validate_request: true,
            expect: case.expect,
        });
    }
    if cases.is_empty() {
        faults.extend(fault(path, "there is no case in it"));
    }
    faults.or(Suite {
        file: path.to_owned(),
        cases,
        notes: Vec::new(),
        setup,
    })
}

/// Finds the lines of cases, which follow each other, in one pass.
struct Lines<'a> {
    text: &'a str,
    /// What follows the case that was found last, and its line.
    at: usize,
    line: usize,
}

impl Lines<'_> {
    /// The line of the next case of this name.
    fn of(&mut self, name: &str) -> Option<usize> {
        let rest = self.text.get(self.at..)?;
        let before = rest.get(..rest.find(name).filter(|_| !name.is_empty())?)?;
        let line = self.line + before.matches('\n').count();
        self.at += before.len() + name.len();
        self.line = line + name.matches('\n').count();
        Some(line)
    }
}

impl Paths {
    fn under(self, base: &Path) -> Vec<PathBuf> {
        let paths = match self {
            Self::One(path) => vec![path],
            Self::Many(paths) => paths,
        };
        paths.iter().map(|path| base.join(path)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Suite, Faults> {
        read(Path::new("dir/a.cases.yaml"), text, &Sources::default())
    }

    #[test]
    fn yaml_and_json_read_alike() {
        let yaml = "version: 1\ndefaults: {now: '2026-03-10T10:00:00Z', policies: p}\ncases:\n- name: n\n  request: {a: 1}\n  given: {now: '2026-03-11T10:00:00Z'}\n  expect: {decision: Allow, reasons: [x]}\n";
        let suite = check(yaml).unwrap();
        assert_eq!(suite.setup.policies, [PathBuf::from("dir/p")]);
        assert_eq!(
            suite.cases[0].now.unwrap().to_string(),
            "2026-03-11T10:00:00.000Z"
        );
        let json = r#"{"version":1,"cases":[{"name":"n","request":{}}]}"#;
        let suite = read(Path::new("a.cases.json"), json, &Sources::default()).unwrap();
        assert_eq!(suite.cases[0].name, "n");
    }

    #[test]
    fn what_is_unknown_or_empty_is_refused() {
        assert!(
            check("version: 2\ncases: []")
                .unwrap_err()
                .summary()
                .contains("version 2")
        );
        assert!(
            check("version: 1\ncases: []")
                .unwrap_err()
                .summary()
                .contains("no case")
        );
        let typo = check("version: 1\ncases: [{name: n, request: {}, expects: {}}]").unwrap_err();
        assert!(typo.summary().contains("expects"), "{typo}");
        let now =
            check("version: 1\ncases: [{name: n, request: {}, given: {now: noon}}]").unwrap_err();
        assert!(now.summary().contains("noon"));
    }
}
