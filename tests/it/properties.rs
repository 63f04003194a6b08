//! What holds of every policy set: both engines agree, order is irrelevant, a forbid never allows.

use deodar::cases::{self, Sources};
use deodar::{Caller, Decision, EngineChoice, Limits, Pdp, Request};
use proptest::prelude::*;

use crate::support::root;

/// The statements of the sample's permits and forbids, one a text.
fn statements() -> Vec<String> {
    let folder = root().join("policies/workspace");
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "cedar") {
            let set: cedar_policy::PolicySet =
                std::fs::read_to_string(path).unwrap().parse().unwrap();
            found.extend(set.policies().map(ToString::to_string));
        }
    }
    found.sort();
    found
}

fn requests() -> Vec<Request> {
    let suites = cases::read(&root().join("policies/workspace"), &Sources::default()).unwrap();
    let mut requests = Vec::new();
    for suite in suites {
        for case in suite
            .cases
            .iter()
            .filter(|case| case.entities.is_empty())
            .step_by(7)
        {
            let body = case.request.to_string();
            let request =
                Request::from_json(body.as_bytes(), &Limits::default(), Caller::library()).unwrap();
            requests.push(request.with_now(case.now.unwrap()));
        }
    }
    requests
}

fn pdp(policies: &[String], engine: EngineChoice) -> Pdp {
    Pdp::builder()
        .policies_text("p.cedar", &policies.join("\n"))
        .engine(engine)
        .schema(root().join("schemas"))
        .entities(root().join("policies/workspace"))
        .obligations([
            "log_access",
            "redact_fields",
            "watermark",
            "notify_security",
        ])
        .advice(["renew_review", "contact_owner"])
        .build()
        .unwrap()
}

fn answers(pdp: &Pdp, requests: &[Request]) -> Vec<(Decision, Vec<String>, Vec<String>)> {
    let decided = requests
        .iter()
        .map(|request| pdp.authorize(request).unwrap());
    decided
        .map(|outcome| {
            (
                outcome.decision(),
                outcome
                    .determining_policies()
                    .map(ToString::to_string)
                    .collect(),
                outcome
                    .policy_errors()
                    .map(|e| e.policy().to_string())
                    .collect(),
            )
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn order_is_irrelevant_and_a_forbid_never_allows(
        chosen in prop::sample::subsequence(statements(), 1..40).prop_shuffle(),
    ) {
        let requests = requests();
        let mut sorted = chosen.clone();
        sorted.sort();
        let one = answers(&pdp(&chosen, EngineChoice::Compiled), &requests);
        let cedars = answers(&pdp(&chosen, EngineChoice::Reference), &requests);
        prop_assert_eq!(&one, &cedars);
        prop_assert_eq!(&one, &answers(&pdp(&sorted, EngineChoice::Compiled), &requests));

        let mut more = chosen.clone();
        more.push("@id(\"extra\") forbid(principal, action, resource) when { principal has email };".to_owned());
        for (before, after) in one.iter().zip(answers(&pdp(&more, EngineChoice::Compiled), &requests)) {
            prop_assert!(before.0 == Decision::Allow || after.0 == Decision::Deny);
        }
    }
}
