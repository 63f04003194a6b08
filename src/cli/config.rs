//! `deodar config`.

use serde_json::{Map, Value, json};

use super::args::Args;
use super::output::Output;
use super::{Done, Exit};

pub(super) fn run(args: &Args, output: Output) -> Done {
    let config = args.load_config()?;
    if output.is_json() {
        let entries: Map<String, Value> = config
            .entries()
            .map(|(name, value, origin)| {
                (
                    name.to_owned(),
                    json!({"value": value, "origin": origin.to_string()}),
                )
            })
            .collect();
        output.value(&Value::Object(entries));
        return Ok(Exit::Holds);
    }
    let rows: Vec<_> = config
        .entries()
        .map(|(name, value, origin)| {
            let value = match value {
                Value::Null => "(none)".to_owned(),
                value => value.to_string(),
            };
            (format!("{name} = {value}"), origin)
        })
        .collect();
    let width = rows
        .iter()
        .map(|(row, _)| row.len())
        .max()
        .unwrap_or(0)
        .min(60);
    for (row, origin) in rows {
        output.line(&format!("{row:width$}  # {origin}"));
    }
    Ok(Exit::Holds)
}
