//! `deodar validate`.

use serde_json::json;

use super::args::{Args, Validate};
use super::output::{Output, count, report};
use super::{Done, Exit, sample};

pub(super) fn run(command: &Validate, args: &Args, output: Output) -> Done {
    let config = args.load_config()?;
    let pdp = sample::builder(&command.sources, &config)?.build()?;
    let state = pdp.state();
    let snapshot = state.snapshot();
    let (policies, forbids) = snapshot.counts();
    let templates = snapshot.policies().num_of_templates();
    let entities = state.own_entity_count();
    let warnings = pdp.warnings();
    let refused = command.deny_warnings && !warnings.is_empty();
    let checked = snapshot.schema().is_some();
    if output.is_json() {
        output.value(&json!({
            "valid": !refused, "schema": checked, "policies": policies, "forbids": forbids,
            "templates": templates, "entities": entities,
            "revision": snapshot.revision().as_str(), "warnings": warnings.to_json(),
        }));
        return Ok(if refused { Exit::Invalid } else { Exit::Holds });
    }
    if !warnings.is_empty() {
        report(&warnings);
    }
    if refused {
        output.note("refused, because `--deny-warnings` is set");
        return Ok(Exit::Invalid);
    }
    if policies == 0 {
        output.note("there is no policy: every request is denied");
    }
    output.line(&format!(
        "valid: {} ({forbids} forbid), {}, {}",
        count(policies, "policy"),
        count(templates, "template"),
        count(entities, "entity"),
    ));
    if !checked {
        output.line("without a schema only the syntax was checked; give `--schema PATH`");
    }
    Ok(Exit::Holds)
}
