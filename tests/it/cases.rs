//! The sample's cases at three doors: library, HTTP, command line.

use deodar::cases::{self, Sources, Suite};
use deodar::{Caller, Limits, Request};

use crate::support::{block_on, config, deodar, post, root, router, run};

fn suites() -> Vec<Suite> {
    cases::read(&root().join("policies/workspace"), &Sources::default()).unwrap()
}

#[test]
fn the_sample_is_as_large_as_it_says() {
    let suites = suites();
    let count: usize = suites.iter().map(|suite| suite.cases.len()).sum();
    assert!(count >= 80, "{count} cases");
    let pdp = suites[0].pdp(&suites[0].cases[0], &config()).unwrap();
    let state = pdp.state();
    assert!(state.snapshot().policies().num_of_policies() >= 25);
    assert!(state.entity_count() >= 150);
}

#[test]
fn library() {
    for suite in suites() {
        for verdict in suite.run(&config()).unwrap() {
            let none: [String; 0] = [];
            assert_eq!(verdict.failures, none, "{}", verdict.case.name);
        }
    }
}

#[test]
fn library_with_cedars_own_authorizer() {
    let mut config = config();
    config.decide.engine = deodar::EngineChoice::Reference;
    for suite in suites() {
        for verdict in suite.run(&config).unwrap() {
            let none: [String; 0] = [];
            assert_eq!(verdict.failures, none, "{}", verdict.case.name);
        }
    }
}

#[test]
fn http() {
    let config = config();
    block_on(async {
        for suite in suites() {
            let shared = suite.pdp(&suite.cases[0], &config).unwrap();
            for case in &suite.cases {
                let own = !case.entities.is_empty();
                let pdp = if own {
                    suite.pdp(case, &config).unwrap()
                } else {
                    shared.clone()
                };
                let body = case.request.to_string();
                let (status, answer) = post(&router(pdp, case.now), body).await;
                assert_eq!(status, 200, "{}: {answer}", case.name);
                let none: [String; 0] = [];
                assert_eq!(case.expect.check(&answer), none, "{}", case.name);
            }
        }
    });
}

#[test]
fn command_line() {
    let ran = run(deodar().arg("test").arg(root().join("policies/workspace")));
    ran.ends(0);
    let count: usize = suites().iter().map(|suite| suite.cases.len()).sum();
    assert_eq!(
        ran.out.lines().last().unwrap(),
        format!("{count} passed, 0 failed")
    );
}

#[test]
fn the_command_line_answers_as_the_server_does() {
    for suite in suites() {
        let case = suite
            .cases
            .iter()
            .find(|case| case.entities.is_empty())
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("request.json");
        std::fs::write(&file, case.request.to_string()).unwrap();
        let mut command = deodar();
        command.args(["authorize", "--json", "--sample"]).arg(&file);
        if let Some(now) = case.now {
            command.args(["--now", &now.to_string()]);
        }
        let ran = run(&mut command);
        let answer = ran.json();
        let none: [String; 0] = [];
        assert_eq!(case.expect.check(&answer), none, "{}", case.name);
        let allowed = answer["decision"] == "Allow";
        assert_eq!(ran.code, if allowed { 0 } else { 2 });
    }
}

#[test]
fn a_case_that_does_not_hold_is_named_with_the_difference() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("wrong.cases.json");
    let case = serde_json::json!({
        "version": 1,
        "defaults": {"policies": root().join("policies/workspace"), "schema": root().join("schemas"),
                     "entities": root().join("policies/workspace"),
                     "obligations": ["log_access", "redact_fields", "watermark", "notify_security"],
                     "advice": ["renew_review", "contact_owner"]},
        "cases": [{
            "name": "wrong on purpose",
            "request": {"principal": "Workspace::User::\"alice\"", "action": "Workspace::Action::\"readProfile\"",
                        "resource": "Workspace::Profile::\"alice\""},
            "expect": {"decision": "Deny", "reasons": []}}],
    });
    std::fs::write(&file, case.to_string()).unwrap();
    let ran = run(deodar().arg("test").arg(&file));
    ran.ends(2);
    for text in [
        "wrong on purpose",
        "decision: expected Deny, found Allow",
        "reasons: expected [], found [own-profile-read]",
        "0 passed, 1 failed",
    ] {
        assert!(ran.out.contains(text), "{text}: {}", ran.out);
    }
}

#[test]
fn requests_read_alike_from_bytes_and_from_values() {
    for suite in suites() {
        for case in &suite.cases {
            let body = case.request.to_string();
            let request =
                Request::from_json(body.as_bytes(), &Limits::default(), Caller::anonymous());
            assert!(request.is_ok(), "{}", case.name);
        }
    }
}
