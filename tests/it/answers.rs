//! Answers: what a decision point in this process says, and what is read of one elsewhere, are the same.

use deodar::signals::{Event, EventKind, EventSubject, Severity};
use deodar::{
    Answer, AnswerObligation, Authentication, Authorize, Caller, Cause, ClassificationRule, Denied,
    Enforcement, EntityRef, FixedPdp, Handles, InlineRule, Pdp, Request, RequestBuilder,
    RequestError, Scope, Timestamp, TrustConfig,
};
use serde_json::{Value, json};

use crate::trust::best;

/// A permit that calls itself `trust` and carries what the trust model asks for, one with an argument, a forbid
/// with an obligation, one that errs, and permits that require something.
const POLICIES: &str = r#"
@id("trust") @obligation("step_up") permit(principal == User::"ada", action, resource);
@id("plain") permit(principal == User::"bo", action, resource);
@id("log") @obligation("log_access, redact:pii") @advice("renew") @note("see the log")
permit(principal, action == Action::"log", resource);
@id("strong") @requires_auth_level("4") permit(principal, action == Action::"strong", resource);
@id("never") @obligation("log_access") forbid(principal, action, resource == Doc::"locked");
@id("errs") permit(principal, action, resource) when { context.no == 1 };
"#;

fn pdp(enforcement: Option<Enforcement>) -> Pdp {
    let builder = Pdp::builder()
        .policies_text("p.cedar", POLICIES)
        .obligations(["log_access", "redact", "step_up"])
        .advice(["renew"]);
    let Some(enforcement) = enforcement else {
        return builder.build().unwrap();
    };
    let config = TrustConfig {
        enforcement,
        classification: vec![ClassificationRule {
            resource_type: "Doc".to_owned(),
            class: Some("public".to_owned()),
            ..ClassificationRule::default()
        }],
        ..TrustConfig::default()
    };
    let pdp = builder.trust(config).build().unwrap();
    let event = Event {
        id: "1".to_owned(),
        kind: EventKind::CredentialCompromise,
        at: Timestamp::now(),
        source: "test".to_owned(),
        severity: Severity::Critical,
        subject: EventSubject {
            user: Some(EntityRef::new("User", "bo").unwrap()),
            ..EventSubject::default()
        },
    };
    let _ = pdp.signals().unwrap().report(vec![event], Timestamp::now());
    pdp
}

/// A principal that was authenticated as strongly as can be.
fn strongly() -> Authentication {
    Authentication {
        acr: Some("4".to_owned()),
        auth_time: Some(Timestamp::now()),
        session: Some("s".to_owned()),
        ..Authentication::default()
    }
}

/// A user reads the plan.
fn reads(user: &str) -> RequestBuilder {
    Request::builder()
        .principal(("User", user))
        .action(("Action", "read"))
        .resource(("Doc", "plan"))
}

fn requests() -> Vec<Request> {
    let mut all = Vec::new();
    for user in ["ada", "bo", "cy"] {
        for action in ["read", "log", "strong"] {
            for (resource, explain, handled) in [
                ("plan", false, vec![]),
                ("plan", true, vec!["log_access", "redact", "step_up"]),
                ("locked", true, vec!["admin_approval", "step_up"]),
                (
                    "plan",
                    false,
                    vec!["admin_approval", "step_up", "log_access", "redact"],
                ),
            ] {
                for strong in [false, true] {
                    let request = Request::builder()
                        .principal(("User", user))
                        .action(("Action", action))
                        .resource(("Doc", resource))
                        .obligations(handled.clone())
                        .explain(explain)
                        .request_id(format!("{user}-{action}"));
                    let request = match strong {
                        true => request.authentication(strongly()).signals(best()),
                        false => request,
                    };
                    all.push(request.build().unwrap());
                }
            }
        }
    }
    all
}

fn shown<'a>(duties: impl Iterator<Item = AnswerObligation<'a>>) -> Vec<String> {
    let shown = |duty: AnswerObligation<'_>| format!("{:?} {duty}", duty.policy());
    duties.map(shown).collect()
}

#[test]
fn an_answer_from_elsewhere_says_what_one_from_here_says() {
    let modes = [
        None,
        Some(Enforcement::Off),
        Some(Enforcement::Report),
        Some(Enforcement::Enforce),
    ];
    let (mut allowed, mut approvals) = (0, 0);
    for mode in modes {
        let pdp = pdp(mode);
        for request in requests() {
            let here = Authorize::authorize(&pdp, &request).unwrap();
            let json = serde_json::to_vec(&here).unwrap();
            let there = Answer::from_json(&json).unwrap();
            let text = String::from_utf8_lossy(&json);
            assert_eq!(
                serde_json::to_value(&there).unwrap(),
                serde_json::from_slice::<Value>(&json).unwrap()
            );
            assert_eq!(there.decision(), here.decision(), "{text}");
            assert_eq!(there.cause(), here.cause(), "{text}");
            assert!(there.determining_policies().eq(here.determining_policies()));
            assert_eq!(
                shown(there.obligations()),
                shown(here.obligations()),
                "{text}"
            );
            assert_eq!(shown(there.advice()), shown(here.advice()), "{text}");
            assert_eq!(there.revision(), here.revision());
            assert_eq!(there.sequence(), here.sequence());
            assert_eq!(there.evaluated_at(), here.evaluated_at());
            assert!(here.outcome().is_some() && there.outcome().is_none());
            let all = ["step_up", "log_access", "redact", "admin_approval"];
            for n in 0..1_usize << all.len() {
                let handled = (0..all.len()).filter(|at| n >> at & 1 == 1);
                let handled: Vec<_> = handled.map(|at| all[at]).collect();
                assert_eq!(
                    there.require(&handled),
                    here.require(&handled),
                    "{mode:?} {text}"
                );
            }
            allowed += usize::from(here.is_allow());
            approvals += usize::from(text.contains("trust:admin_approval"));
        }
    }
    assert!(allowed > 20 && approvals > 2, "{allowed} {approvals}");
}

/// Under `report` enforcement changes nothing: not what has to be done either.
#[test]
fn what_enforcement_would_ask_for_is_not_required_before_it_is_enforced() {
    let request = reads("bo")
        .authentication(strongly())
        .signals(best())
        .caller(Caller::new(
            "handles nothing",
            [Scope::Decide, Scope::AssertSignals],
            InlineRule::Off,
            Handles::Only([].into()),
        ))
        .build()
        .unwrap();
    let outcome = pdp(Some(Enforcement::Report)).authorize(&request).unwrap();
    let would_be = outcome.trust().unwrap().would_be().unwrap();
    assert!(outcome.is_allow());
    assert_eq!(would_be.cause, Cause::UnsupportedObligation);
    assert_eq!(outcome.require(&[]), Ok(()));
}

/// A policy's name hides no obligation: neither here nor elsewhere.
#[test]
fn the_name_of_a_policy_hides_no_obligation() {
    let request = reads("ada").build().unwrap();
    let here = Authorize::authorize(&pdp(None), &request).unwrap();
    let there = Answer::from_json(&serde_json::to_vec(&here).unwrap()).unwrap();
    for answer in [here, there] {
        let refused = Err(Denied::Obligation("step_up".to_owned()));
        assert_eq!(answer.require(&["log_access"]), refused);
        assert_eq!(answer.require(&["step_up"]), Ok(()));
    }
}

#[test]
fn what_is_no_answer_is_refused_and_never_an_allow() {
    let request = &requests()[0];
    let good = Authorize::authorize(&FixedPdp::allow(), request).unwrap();
    let good = serde_json::to_value(&good).unwrap();
    assert!(
        Answer::from_json(good.to_string().as_bytes())
            .unwrap()
            .is_allow()
    );
    for member in [
        "decision",
        "cause",
        "reasons",
        "obligations",
        "advice",
        "revision",
        "sequence",
        "evaluatedAt",
    ] {
        for value in [None, Some(Value::Null), Some(json!({})), Some(json!("x"))] {
            let mut bad = good.clone();
            match value {
                None => _ = bad.as_object_mut().unwrap().remove(member),
                Some(ref value) => bad[member] = value.clone(),
            }
            // A revision is any text.
            if (member, &value) == ("revision", &Some(json!("x"))) {
                continue;
            }
            let error = Answer::from_json(bad.to_string().as_bytes()).unwrap_err();
            assert!(error.to_string().contains(member), "{member}: {error}");
        }
    }
    let text = good.to_string();
    for (from, to) in [
        ("\"Allow\"", "\"Deny\""),
        ("\"Allow\"", "\"allow\""),
        ("\"permitted\"", "\"not_permitted\""),
        ("\"permitted\"", "\"blessed\""),
        ("\"obligations\":[]", "\"obligations\":[{\"id\":\"a:b\"}]"),
        ("\"obligations\":[]", "\"obligations\":[{\"type\":\"\"}]"),
        (
            "\"obligations\":[]",
            "\"obligations\":[{\"type\":\"a\",\"properties\":{\"argument\":1}}]",
        ),
        ("{\"", "{\"decision\":\"Deny\",\""),
        ("}", ""),
        ("{", "[{"),
    ] {
        let bad = text.replacen(from, to, 1);
        assert_ne!(bad, text, "{from}");
        assert!(Answer::from_json(bad.as_bytes()).is_err(), "{bad}");
    }
    for bad in [
        json!({"type": "urn:deodar:problem:overloaded", "title": "x", "status": 503}).to_string(),
        String::new(),
        "null".to_owned(),
        "[".repeat(100_000),
    ] {
        let error = Answer::from_json(bad.as_bytes()).unwrap_err().to_string();
        assert!(error.len() < 500, "{error}");
    }
    // What a later version adds is ignored.
    let mut later = good.clone();
    later["later"] = json!([1]);
    assert!(Answer::from_json(later.to_string().as_bytes()).is_ok());
}

/// A closure decides in tests, and a client that gets no answer says so.
#[test]
fn closures_decide() {
    let (allow, deny) = (FixedPdp::allow(), FixedPdp::deny());
    let only_ada = |request: &Request| match request.principal().id() {
        "ada" => allow.authorize(request),
        "bo" => deny.authorize(request),
        _ => Err(RequestError::Unavailable("no route to host".to_owned())),
    };
    let ask = |pdp: &dyn Authorize, user| {
        let request = reads(user).build().unwrap();
        pdp.authorize(&request).map(|answer| answer.is_allow())
    };
    assert_eq!(ask(&only_ada, "ada"), Ok(true));
    assert_eq!(ask(&only_ada, "bo"), Ok(false));
    let error = ask(&only_ada, "cy").unwrap_err();
    assert_eq!(error.code(), "unavailable");
}
