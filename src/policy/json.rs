//! Policies in Cedar's JSON form: a set, or one policy or template alone, as `cedar translate-policy`
//! writes it.

use std::sync::Arc;

use cedar_policy::{Policy, PolicyId, PolicySet, Template};
use serde_json::Value;

use crate::base::fault::Fault;
use crate::source::SourceFile;

const HELP: &str = "a policy set is {\"staticPolicies\": {..}, \"templates\": {..}, \"templateLinks\": [..]}, \
                    one policy {\"effect\": .., \"principal\": .., ..}; name a file of links `*.links.json` \
                    and one of entities `*.entities.json`";

/// The policies of a file. One policy alone gets the id of its `@id`, else the file's path below its root.
pub(crate) fn read_set(file: &SourceFile) -> Result<PolicySet, Fault> {
    let text = &file.source.text;
    let set = PolicySet::from_json_str(text);
    // Sets are many and large, and one policy alone is none: only what is not a set is looked at again.
    set.or_else(|error| match single(text) {
        Some(json) => one(&file.relative, json),
        None => Err(boxed(error)),
    })
    .map_err(|error| {
        Fault::from_cedar("parse", error.as_ref(), None)
            .in_file(Arc::clone(&file.source.name))
            .help(HELP)
    })
}

type Cause = Box<dyn miette::Diagnostic + Send + Sync>;

/// The JSON of a policy or template that stands alone.
fn single(text: &str) -> Option<Value> {
    let json: Value = serde_json::from_str(text).ok()?;
    json.get("effect")?.is_string().then_some(json)
}

fn one(relative: &str, json: Value) -> Result<PolicySet, Cause> {
    let named = json.pointer("/annotations/id").and_then(Value::as_str);
    let id = PolicyId::new(named.filter(|id| !id.is_empty()).unwrap_or(relative));
    let has_slot = |scope: &str| json.pointer(scope).is_some_and(holds_slot);
    let mut set = PolicySet::new();
    if has_slot("/principal") || has_slot("/resource") {
        let template = Template::from_json(Some(id), json).map_err(boxed)?;
        set.add_template(template).map_err(boxed)?;
    } else {
        let policy = Policy::from_json(Some(id), json).map_err(boxed)?;
        set.add(policy).map_err(boxed)?;
    }
    Ok(set)
}

fn boxed(error: impl miette::Diagnostic + Send + Sync + 'static) -> Cause {
    Box::new(error)
}

/// `{"op": "==", "slot": "?principal"}`, also within `{"op": "is", "in": {"slot": ..}}`.
fn holds_slot(scope: &Value) -> bool {
    let scope = scope.as_object();
    scope.is_some_and(|scope| scope.contains_key("slot") || scope.get("in").is_some_and(holds_slot))
}
