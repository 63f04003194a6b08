//! Both engines on the same: a set of policies, entities and requests, from a document or from a seed.

use deodar::{Caller, EngineChoice, Limits, Outcome, Pdp, Request, RequestError};
use serde::Deserialize;
use serde_json::{Value, json};

#[path = "../../src/pdp/evaluate/tests/generate.rs"]
#[allow(dead_code)]
mod generate;

use generate::Gen;

/// What a seed file of this target holds.
#[derive(Deserialize)]
struct Document {
    policies: String,
    #[serde(default)]
    links: Vec<Value>,
    schema: Option<String>,
    #[serde(default)]
    entities: Vec<Value>,
    requests: Vec<Value>,
}

/// Bytes that begin with `{` are a document; any others choose a random case.
pub fn differential(bytes: &[u8]) {
    if bytes.first() == Some(&b'{') {
        if let Ok(document) = serde_json::from_slice(bytes) {
            compare(&document);
        }
        return;
    }
    let seed = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    compare(&random(seed));
}

fn random(seed: u64) -> Document {
    let mut g = Gen::new(seed, 10);
    g.open = g.one_in(3);
    let count = g.pick(&[1, 2, 5, 12, 40]);
    let depth = g.pick(&[1, 2, 3]);
    let (mut policies, mut links) = (String::new(), Vec::new());
    for n in 0..count {
        let template = g.one_in(4);
        let text = g.policy(template, depth);
        policies.push_str(&format!("@id(\"p{n}\") {text}\n"));
        for link in 0..if template { g.below(3) } else { 0 } {
            let mut args = serde_json::Map::new();
            for slot in ["?principal", "?resource"] {
                if text.contains(slot) {
                    args.insert(slot.to_owned(), g.uid_text().into());
                }
            }
            links.push(json!({"template_id": format!("p{n}"), "link_id": format!("p{n}-{link}"), "args": args}));
        }
    }
    let mut entities = g.entities();
    let requests = (0..4)
        .map(|_| {
            let action = g.pick(&["read", "write", "all"]);
            let inline: Vec<Value> = if g.one_in(3) && !entities.is_empty() {
                // Some of the entities come with the request; actions cannot.
                let at = g.below(entities.len());
                let entity = entities[at].clone();
                if entity["uid"]["type"] == "Action" { Vec::new() } else { vec![entity] }
            } else {
                Vec::new()
            };
            json!({"principal": g.uid_text(), "action": format!("Action::\"{action}\""), "resource": g.uid_text(),
                   "context": g.json_record(2), "entities": inline})
        })
        .collect();
    entities.retain(|entity| entity["uid"]["id"] != "5");
    Document {
        policies,
        links,
        schema: None,
        entities,
        requests,
    }
}

fn build(document: &Document, engine: EngineChoice) -> Option<Pdp> {
    let mut builder = Pdp::builder()
        .engine(engine)
        .policies_text("p.cedar", &document.policies)
        .links_text(
            "l.links.json",
            &Value::from(document.links.clone()).to_string(),
        )
        .entities_text(
            "e.json",
            &Value::from(document.entities.clone()).to_string(),
        );
    if let Some(schema) = &document.schema {
        builder = builder.schema_text("s.cedarschema", schema);
    }
    builder.build().ok()
}

/// Decision, reasons and errors; or what the request was refused for.
fn said(
    decided: &Result<Outcome, RequestError>,
) -> Result<(bool, Vec<String>, Vec<String>), String> {
    match decided {
        Ok(outcome) => Ok((
            outcome.is_allow(),
            outcome
                .determining_policies()
                .map(ToString::to_string)
                .collect(),
            outcome
                .policy_errors()
                .map(|error| format!("{} {}", error.policy(), error.code()))
                .collect(),
        )),
        Err(error) => Err(error.code().to_owned()),
    }
}

fn compare(document: &Document) {
    let compiled = build(document, EngineChoice::Compiled);
    let reference = build(document, EngineChoice::Reference);
    let (Some(compiled), Some(reference)) = (compiled, reference) else {
        return;
    };
    for body in &document.requests {
        let Ok(bytes) = serde_json::to_vec(body) else {
            continue;
        };
        let Ok(request) = Request::from_json(&bytes, &Limits::default(), Caller::library()) else {
            continue;
        };
        let request = request.with_now(deodar::Timestamp::from_millis(1_700_000_000_000));
        let (ours, cedars) = (compiled.authorize(&request), reference.authorize(&request));
        if matches!(&ours, Err(error) if error.code() == "budget_exhausted") {
            continue;
        }
        assert_eq!(said(&ours), said(&cedars), "{}\n{body}", document.policies);
    }
}
