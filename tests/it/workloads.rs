//! The benchmarks' workloads: they parse and validate, both engines answer alike, and the mix of
//! answers is as documented.

#[path = "../../benches/workload/mod.rs"]
mod workload;

use std::collections::HashSet;

use cedar_policy::{PolicySet, Schema, ValidationMode, Validator};
use deodar::{Caller, Decision, EngineChoice, Limits, Pdp, Request};
use serde_json::Value;

use workload::{Shape, Workload, build};

fn pdp(workload: &Workload, engine: EngineChoice) -> Pdp {
    let entities = Value::from(workload.entities.clone()).to_string();
    let mut builder = Pdp::builder()
        .policies_text("workload.cedar", &workload.policies)
        .links_text("workload.links.json", &workload.links)
        .entities_text("workload.json", &entities)
        .engine(engine);
    if let Some(schema) = &workload.schema {
        builder = builder.schema_text("workload.cedarschema", schema);
    }
    builder.build().unwrap()
}

/// Decision and determining policies of each request.
fn answers(workload: &Workload, engine: EngineChoice) -> Vec<(Decision, Vec<String>)> {
    let pdp = pdp(workload, engine);
    let limits = Limits::default();
    workload
        .requests
        .iter()
        .map(|body| {
            let body = body.to_string();
            let request =
                Request::from_json(body.as_bytes(), &limits, Caller::anonymous()).unwrap();
            let outcome = pdp.authorize(&request).unwrap();
            assert_eq!(outcome.policy_errors().count(), 0, "{body}");
            let mut ids: Vec<String> = outcome
                .determining_policies()
                .map(ToString::to_string)
                .collect();
            ids.sort_unstable();
            (outcome.decision(), ids)
        })
        .collect()
}

/// In hundredths: requests allowed, and of these the ones that one to five policies allow.
fn mix(answers: &[(Decision, Vec<String>)]) -> (usize, usize) {
    let allowed: Vec<usize> = answers
        .iter()
        .filter(|(decision, _)| *decision == Decision::Allow)
        .map(|(_, ids)| ids.len())
        .collect();
    let few = allowed.iter().filter(|count| **count <= 5).count();
    (
        allowed.len() * 100 / answers.len(),
        few * 100 / allowed.len().max(1),
    )
}

#[test]
fn every_shape_is_valid_and_decided_alike_by_both_engines() {
    for shape in Shape::ALL {
        let workload = build(shape, 20, 200);
        let set: PolicySet = workload.policies.parse().unwrap();
        if let Some(schema) = &workload.schema {
            let (schema, _) = Schema::from_cedarschema_str(schema).unwrap();
            let result = Validator::new(schema).validate(&set, ValidationMode::Strict);
            assert!(result.validation_passed(), "{}: {result}", shape.name());
        }
        let distinct: HashSet<String> = workload.requests.iter().map(Value::to_string).collect();
        assert_eq!(distinct.len(), 200, "{}", shape.name());
        let compiled = answers(&workload, EngineChoice::Compiled);
        let reference = answers(&workload, EngineChoice::Reference);
        assert_eq!(compiled, reference, "{}", shape.name());
        let (allowed, few) = mix(&compiled);
        assert!((30..=80).contains(&allowed), "{}: {allowed}", shape.name());
        assert!(few >= 80, "{}: {few}", shape.name());
        assert_eq!(Shape::from_name(shape.name()), Some(shape));
    }
}

#[test]
fn links_say_what_the_policies_say() {
    for (plain, linked) in [
        (Shape::Roles, Shape::RolesLinks),
        (Shape::Gdrive, Shape::GdriveTemplates),
        (Shape::Github, Shape::GithubTemplates),
        (Shape::Tinytodo, Shape::TinytodoTemplates),
    ] {
        let (plain, linked) = (build(plain, 20, 200), build(linked, 20, 200));
        assert_eq!(plain.requests, linked.requests);
        let decisions = |workload: &Workload| -> Vec<Decision> {
            answers(workload, EngineChoice::Compiled)
                .into_iter()
                .map(|(decision, _)| decision)
                .collect()
        };
        assert_eq!(decisions(&plain), decisions(&linked));
    }
}

/// The shares of answers that the shapes' modules state: `cargo test --test it workloads -- --ignored --nocapture`.
#[test]
#[ignore = "takes a minute, and prints"]
fn print_mixes() {
    for shape in Shape::ALL {
        let sizes: &[usize] = match shape {
            Shape::Roles | Shape::RolesLinks | Shape::Shares => &[10, 100, 1_000, 10_000],
            Shape::Open => &[1_000],
            _ => &[50],
        };
        for size in sizes {
            let workload = build(shape, *size, 10_000);
            let pdp = pdp(&workload, EngineChoice::Compiled);
            let mut satisfied = std::collections::BTreeMap::<usize, usize>::new();
            let (mut allowed, mut forbidden) = (0, 0);
            for body in &workload.requests {
                let body = body.to_string();
                let request =
                    Request::from_json(body.as_bytes(), &Limits::default(), Caller::anonymous())
                        .unwrap();
                let outcome = pdp.authorize(&request).unwrap();
                let count = outcome.determining_policies().count();
                if outcome.is_allow() {
                    allowed += 1;
                    *satisfied.entry(count).or_default() += 1;
                } else if count > 0 {
                    forbidden += 1;
                }
            }
            println!(
                "{} {size}: entities {} links {} allowed {allowed} forbidden {forbidden} satisfied {satisfied:?}",
                shape.name(),
                workload.entities.len(),
                workload.links.lines().count(),
            );
        }
    }
}
