//! Calls of extension functions with the wrong number of arguments.
//!
//! Cedar parses them, and they fail when they are evaluated, but its public syntax tree has no form for them.
//! A policy that holds one is taken through Cedar's JSON form, where each such call is replaced by a set of a
//! marker and the arguments given to a constructor; the compiler knows the marker.

use cedar_policy::pst::{Expr, Literal};
use serde_json::{Value as Json, json};
use std::sync::Arc;

const MARKER: &str = "\u{0}wrong number of arguments";

fn arity(function: &str) -> Option<usize> {
    Some(match function {
        "ip" | "decimal" | "datetime" | "duration" | "isIpv4" | "isIpv6" | "isLoopback"
        | "isMulticast" | "toDate" | "toTime" | "toMilliseconds" | "toSeconds" | "toMinutes"
        | "toHours" | "toDays" => 1,
        "isInRange" | "offset" | "durationSince" | "lessThan" | "lessThanOrEqual"
        | "greaterThan" | "greaterThanOrEqual" => 2,
        _ => return None,
    })
}

/// Replaces every such call in a policy's JSON form; whether there was one.
pub(crate) fn mark(policy: &mut Json) -> bool {
    let mut found = false;
    let mut waiting = vec![policy];
    while let Some(json) = waiting.pop() {
        let Json::Object(object) = json else {
            if let Json::Array(items) = json {
                waiting.extend(items);
            }
            continue;
        };
        let call = object
            .iter()
            .next()
            .and_then(|(name, args)| Some((arity(name)?, args.as_array()?)));
        if let (1, Some((arity, args))) = (object.len(), call)
            && args.len() != arity
        {
            let marked: Vec<Json> = [json!({"Value": MARKER})]
                .into_iter()
                .chain(args.iter().cloned())
                .collect();
            object.clear();
            object.insert("ip".to_owned(), json!([{"Set": marked}]));
            found = true;
        }
        waiting.extend(
            object
                .iter_mut()
                .filter(|(name, _)| *name != "Value")
                .map(|(_, inner)| inner),
        );
    }
    found
}

/// The arguments of a marked call, given what a constructor is applied to.
pub(crate) fn marked(argument: &Expr) -> Option<&[Arc<Expr>]> {
    let Expr::Set(items) = argument else {
        return None;
    };
    let (first, args) = items.split_first()?;
    matches!(first.as_ref(), Expr::Literal(Literal::String(text)) if text == MARKER).then_some(args)
}
