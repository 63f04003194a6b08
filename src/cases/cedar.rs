//! Cedar's own formats: integration tests, and the files of `cedar run-tests`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Case, Expect, Setup, Sources, Suite, fault, find};
use crate::base::fault::Faults;

/// One of Cedar's integration tests.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Integration {
    policies: String,
    entities: String,
    schema: String,
    should_validate: bool,
    requests: Vec<IntegrationRequest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IntegrationRequest {
    #[serde(default)]
    description: String,
    principal: Value,
    action: Value,
    resource: Value,
    context: Value,
    #[serde(default = "yes")]
    validate_request: bool,
    decision: String,
    reason: BTreeSet<String>,
    errors: BTreeSet<String>,
}

fn yes() -> bool {
    true
}

/// One entry of a `cedar run-tests` file.
#[derive(Deserialize)]
struct RunTest {
    name: Option<String>,
    request: RunRequest,
    #[serde(default)]
    entities: RunEntities,
    decision: String,
    reason: Option<BTreeSet<String>>,
    num_errors: Option<usize>,
}

#[derive(Deserialize)]
struct RunRequest {
    principal: String,
    action: String,
    resource: String,
    #[serde(default)]
    context: Value,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RunEntities {
    File(String),
    Inline(Vec<Value>),
}

impl Default for RunEntities {
    fn default() -> Self {
        Self::Inline(Vec::new())
    }
}

/// Whether the value looks like one of Cedar's integration tests.
pub(super) fn is_integration(value: &Value) -> bool {
    let members = ["policies", "entities", "schema", "requests"];
    members.iter().all(|member| value.get(member).is_some())
}

/// Whether the value looks like a `cedar run-tests` file.
pub(super) fn is_run_tests(value: &Value) -> bool {
    value.as_array().is_some_and(|items| {
        !items.is_empty()
            && items
                .iter()
                .all(|item| item.get("request").is_some() && item.get("decision").is_some())
    })
}

/// Reads an integration test; its inner paths are relative to `base` or a directory above it.
pub(super) fn integration(path: &Path, base: &Path, value: Value) -> Result<Suite, Faults> {
    let test: Integration =
        serde_json::from_value(value).map_err(|error| fault(path, error.to_string()))?;
    let mut faults = Faults::new();
    let mut locate = |inner: &str| {
        find(base, inner).unwrap_or_else(|| {
            let message = format!("names `{inner}`, which is not below `{}`", base.display());
            faults.extend(fault(path, message));
            PathBuf::new()
        })
    };
    let setup = Setup {
        policies: vec![locate(&test.policies)],
        schema: vec![locate(&test.schema)],
        entities: vec![locate(&test.entities)],
        obligations: Vec::new(),
        advice: Vec::new(),
        on_error: None,
        trust: None,
        cedar: true,
    };
    let cases = test
        .requests
        .into_iter()
        .enumerate()
        .map(|(n, request)| Case {
            line: None,
            name: match request.description.as_str() {
                "" => format!("request {n}"),
                text => text.to_owned(),
            },
            request: json!({
                "principal": request.principal, "action": request.action,
                "resource": request.resource, "context": request.context,
            }),
            now: None,
            authentication: None,
            entities: Vec::new(),
            only_these_entities: false,
            validate_request: request.validate_request,
            expect: Expect {
                decision: Some(capitalized(&request.decision)),
                reasons: Some(request.reason),
                errors: Some(request.errors),
                ..Expect::default()
            },
        });
    let cases = cases.collect();
    let mut suite = Suite {
        file: path.to_owned(),
        cases,
        notes: Vec::new(),
        setup,
    };
    if faults.is_empty() {
        suite
            .notes
            .extend(should_validate(&suite.setup, test.should_validate));
    }
    faults.or(suite)
}

/// Reads a `cedar run-tests` file; policies and schema are named on the command line, file names of
/// entities are relative to its own directory.
pub(super) fn run_tests(path: &Path, value: Value, sources: &Sources) -> Result<Suite, Faults> {
    let tests: Vec<RunTest> =
        serde_json::from_value(value).map_err(|error| fault(path, error.to_string()))?;
    if sources.policies.is_empty() {
        return Err(fault(path, "a `run-tests` file needs `--policies`"));
    }
    let base = path.parent().unwrap_or(Path::new(""));
    let mut faults = Faults::new();
    let mut cases = Vec::with_capacity(tests.len());
    for (n, test) in tests.into_iter().enumerate() {
        let name = test.name.unwrap_or_else(|| format!("test {n}"));
        let entities = match test.entities {
            RunEntities::Inline(entities) => entities,
            RunEntities::File(file) => match read_entities(&base.join(&file)) {
                Ok(entities) => entities,
                Err(message) => {
                    faults.extend(fault(path, format!("test `{name}`: `{file}`: {message}")));
                    Vec::new()
                }
            },
        };
        let context = match test.request.context {
            Value::Null => json!({}),
            context => context,
        };
        cases.push(Case {
            line: None,
            name,
            request: json!({
                "principal": test.request.principal, "action": test.request.action,
                "resource": test.request.resource, "context": context,
            }),
            now: None,
            authentication: None,
            entities,
            only_these_entities: true,
            validate_request: true,
            expect: Expect {
                decision: Some(capitalized(&test.decision)),
                some_reasons: test.reason,
                num_errors: test.num_errors,
                ..Expect::default()
            },
        });
    }
    faults.or(Suite {
        file: path.to_owned(),
        cases,
        notes: Vec::new(),
        setup: Setup {
            policies: sources.policies.clone(),
            schema: sources.schema.clone(),
            entities: Vec::new(),
            obligations: Vec::new(),
            advice: Vec::new(),
            on_error: None,
            trust: None,
            cedar: true,
        },
    })
}

fn read_entities(path: &Path) -> Result<Vec<Value>, String> {
    let text = crate::base::files::read_text(path, super::discover::LONGEST)
        .map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

fn capitalized(decision: &str) -> String {
    match decision {
        "allow" => "Allow".to_owned(),
        "deny" => "Deny".to_owned(),
        other => other.to_owned(),
    }
}

/// Whether validation agrees with the test's flag; told apart and never a failure, because the flag
/// depends on the version of the language.
fn should_validate(setup: &Setup, expected: bool) -> Option<String> {
    let mut builder = crate::pdp::Pdp::builder();
    for path in &setup.policies {
        builder = builder.policies(path);
    }
    for path in &setup.schema {
        builder = builder.schema(path);
    }
    let found = builder.with_cedar_ids().build().is_ok();
    (found != expected).then(|| {
        let said = |valid: bool| if valid { "valid" } else { "invalid" };
        format!(
            "shouldValidate: the test says {}, validation says {}",
            said(expected),
            said(found)
        )
    })
}
