//! `deodar validate`.

use serde_json::json;

use super::args::{Args, Validate};
use super::output::{Output, faults_json, report};
use super::{Done, Exit, sample};
use crate::fault::Faults;

pub(super) fn run(command: &Validate, args: &Args, output: Output) -> Done {
    let config = args.load_config()?;
    let pdp = sample::builder(&command.sources, &config)?.build()?;
    let state = pdp.state();
    let snapshot = state.snapshot();
    let (policies, forbids) = snapshot.counts();
    let templates = snapshot.policies().num_of_templates();
    let entities = state.entity_count();
    let mut warnings = Faults::new();
    for warning in snapshot.warnings() {
        warnings.push(warning.clone());
    }
    let checked = snapshot.schema().is_some();
    if output.is_json() {
        output.value(&json!({
            "valid": true, "schema": checked, "policies": policies, "forbids": forbids,
            "templates": templates, "entities": entities,
            "revision": snapshot.revision().as_str(), "warnings": faults_json(&warnings),
        }));
        return Ok(Exit::Holds);
    }
    if !warnings.is_empty() {
        report(&warnings);
    }
    output.line(&format!(
        "valid: {policies} policies ({forbids} forbid), {templates} templates, {entities} entities"
    ));
    if !checked {
        output.line("without a schema only the syntax was checked; give `--schema PATH`");
    }
    Ok(Exit::Holds)
}
