//! `deodar config`.

use serde_json::{Map, Value, json};

use super::args::{Args, ConfigArgs};
use super::output::Output;
use super::{Done, Exit};
use crate::service::config::Config;

pub(super) fn run(args: &Args, command: &ConfigArgs, output: Output) -> Done {
    if command.schema {
        output.value(Config::json_schema());
        return Ok(Exit::Holds);
    }
    let entries = args.load_config()?.entries();
    if output.is_json() {
        let entries = entries.into_iter().map(|(key, value, origin)| {
            let entry = json!({"value": value, "origin": origin.to_string()});
            (key, entry)
        });
        output.value(&Value::Object(entries.collect::<Map<_, _>>()));
        return Ok(Exit::Holds);
    }
    let rows = entries.into_iter().map(|(key, value, origin)| {
        let value = match value {
            Value::Null => "(none)".to_owned(),
            value => value.to_string(),
        };
        (format!("{key} = {value}"), origin)
    });
    let rows: Vec<_> = rows.collect();
    let width = rows.iter().map(|(row, _)| row.len()).max().unwrap_or(0);
    let width = width.min(60);
    for (row, origin) in rows {
        output.line(&format!("{row:width$}  # {origin}"));
    }
    Ok(Exit::Holds)
}
