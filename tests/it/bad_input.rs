//! Whatever is sent: an answer or a 400 that says where, never a 500, never a panic.

use deodar::Pdp;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{block_on, post, router};

fn pdp() -> Pdp {
    Pdp::builder()
        .schema_text(
            "s.cedarschema",
            "entity User in [Group] = {age: Long, boss?: User};
             entity Group;
             entity Doc = {owner: User};
             action read, write appliesTo {principal: User, resource: Doc,
               context: {mfa: Bool, ip?: ipaddr, tags?: Set<String>, env: Deodar::Env}};",
        )
        .policies_text(
            "p.cedar",
            "permit(principal, action == Action::\"read\", resource) when { context.mfa };",
        )
        .entities_text(
            "e.json",
            r#"[{"uid":{"type":"User","id":"a"},"attrs":{"age":1},"parents":[]}]"#,
        )
        .build()
        .unwrap()
}

fn good() -> Value {
    json!({"principal": "User::\"a\"", "action": "Action::\"read\"", "resource": "Doc::\"d\"", "context": {"mfa": true}})
}

#[track_caller]
fn check(change: impl FnOnce(&mut Value), expect: &[(&str, &str)]) {
    let mut body = good();
    change(&mut body);
    check_text(&body.to_string(), expect);
}

#[track_caller]
fn check_text(body: &str, expect: &[(&str, &str)]) {
    let (status, problem) = block_on(post(&router(pdp(), None), body.to_owned()));
    assert_eq!(status, 400, "{problem}");
    let errors = problem["errors"].as_array().unwrap();
    let got: Vec<_> = errors
        .iter()
        .map(|e| e["pointer"].as_str().unwrap())
        .collect();
    let pointers: Vec<_> = expect.iter().map(|(pointer, _)| *pointer).collect();
    assert_eq!(got, pointers, "{problem}");
    for (error, (_, text)) in errors.iter().zip(expect) {
        let detail = error["detail"].as_str().unwrap();
        assert!(detail.contains(text), "`{text}` in `{detail}`");
    }
}

#[test]
fn the_good_one_is_good() {
    let (status, answer) = block_on(post(&router(pdp(), None), good().to_string()));
    assert_eq!(
        (status.as_u16(), &answer["decision"]),
        (200, &json!("Allow"))
    );
}

#[test]
fn types_and_actions_that_the_schema_does_not_have() {
    check(
        |b| b["action"] = "Action::\"raed\"".into(),
        &[("/action", "did you mean `Action::\"read\"`?")],
    );
    check(
        |b| b["principal"] = "Usr::\"a\"".into(),
        &[("/principal", "did you mean `User`?")],
    );
    check(
        |b| b["principal"] = "Group::\"a\"".into(),
        &[("/principal", "cannot be the principal")],
    );
    check(
        |b| {
            b["principal"] = "Nobody::\"a\"".into();
            b["resource"] = "Nothing::\"a\"".into();
            b["context"] = json!({"mfa": 1});
        },
        &[
            ("/principal", "no entity type"),
            ("/resource", "no entity type"),
            ("/context/mfa", "expected true or false"),
        ],
    );
}

#[test]
fn contexts() {
    check(
        |b| b["context"] = json!({}),
        &[("/context/mfa", "is required")],
    );
    check(
        |b| b["context"]["mfa"] = Value::Null,
        &[("/context/mfa", "null is not a Cedar value")],
    );
    check(
        |b| b["context"]["ip"] = "300.0.0.1".into(),
        &[("/context/ip", "`300.0.0.1` is not the text of a `ipaddr`")],
    );
    check(
        |b| b["context"]["tags"] = json!(["a", 1.5]),
        &[("/context/tags/1", "not a whole number")],
    );
    check(
        |b| b["context"]["mfaa"] = true.into(),
        &[("/context/mfaa", "did you mean `mfa`?")],
    );
    check(
        |b| b["context"]["env"] = json!({}),
        &[("/context/env", "set by the decision point")],
    );
}

#[test]
fn shapes() {
    check_text("", &[("", "empty")]);
    check_text("{\"principal\"", &[("", "not valid JSON")]);
    check_text("[1]", &[("", "expected an object")]);
    check(
        |b| b["contxt"] = json!({}),
        &[("/contxt", "did you mean `context`?")],
    );
    check_text(
        r#"{"principal":"User::\"a\"","principal":"User::\"b\"","context":{"mfa":true,"mfa":false}}"#,
        &[
            ("/principal", "appears twice"),
            ("/context/mfa", "appears twice"),
        ],
    );
    let deep = format!("{{\"context\":{}1{}}}", "[".repeat(100), "]".repeat(100));
    check_text(
        &deep,
        &[(&format!("/context{}", "/0".repeat(63)), "deeper than 64")],
    );
}

/// A small body must not make a large answer, or keep a thread.
#[test]
fn long_names_do_not_multiply() {
    let long = "k".repeat(300_000);
    let nulls = vec![Value::Null; 40_000];
    let zeros = vec![json!(0); 200_000];
    let open = Pdp::builder()
        .policies_text("p.cedar", "permit(principal, action, resource);")
        .build()
        .unwrap();
    for (pdp, value) in [
        (pdp(), json!(nulls)),
        (open.clone(), json!(nulls)),
        (open, json!(zeros)),
    ] {
        let mut body = good();
        body["context"] = json!({ long.as_str(): value });
        let began = std::time::Instant::now();
        let (status, answer) = block_on(post(&router(pdp, None), body.to_string()));
        assert!([200, 400].contains(&status.as_u16()), "{status}");
        assert!(
            answer.to_string().len() < 50_000,
            "{}",
            answer.to_string().len()
        );
        assert!(
            began.elapsed() < std::time::Duration::from_secs(10),
            "{:?}",
            began.elapsed()
        );
    }
    let twice = format!(
        "{{\"context\":{{\"{long}\":{{{}\"a\":1}}}}}}",
        "\"a\":1,".repeat(60)
    );
    let (status, answer) = block_on(post(&router(self::pdp(), None), twice));
    assert!(status == 400 && answer.to_string().len() < 50_000);
}

/// No policy and no request can hold a thread: a decision has a bound on its work.
#[test]
fn work_is_bounded() {
    let limits = deodar::Limits {
        decision_steps: 1_000,
        ..deodar::Limits::default()
    };
    let pdp = Pdp::builder()
        .policies_text(
            "p.cedar",
            "permit(principal, action, resource) when { context.a.containsAll(context.b) };",
        )
        .limits(limits)
        .build()
        .unwrap();
    let router = router(pdp, None);
    let ask = |n: usize| {
        let numbers: Vec<_> = (0..n).collect();
        let mut body = good();
        body["context"] = json!({"a": numbers, "b": numbers});
        block_on(post(&router, body.to_string()))
    };
    assert_eq!(ask(10).1["decision"], "Allow");
    let (status, problem) = ask(5_000);
    assert_eq!(
        (status.as_u16(), &problem["code"]),
        (503, &json!("budget_exhausted"))
    );
}

#[test]
fn inline_entities() {
    let entity = |ty: &str, id: &str, parents: Value| json!({"uid": {"type": ty, "id": id}, "attrs": {}, "parents": parents});
    check(
        |b| b["entities"] = json!([entity("Nope", "x", json!([]))]),
        &[("/entities/0/uid", "no entity type `Nope`")],
    );
    check(
        |b| b["entities"] = json!([entity("Action", "read", json!([]))]),
        &[("/entities/0/uid", "actions come from the schema")],
    );
    check(
        |b| b["entities"] = vec![Value::Null; 1_001].into(),
        &[("/entities", "the limit is 1000")],
    );
    check(
        |b| b["entities"] = json!([{"uid": {"type": "User", "id": "a"}, "attrs": {"age": "old"}}]),
        &[(
            "/entities/0/attrs/age",
            "expected a whole number, found a string",
        )],
    );
    let group = json!({"type": "Group", "id": "g"});
    let twice = json!([
        {"uid": {"type": "User", "id": "n"}, "attrs": {"age": 1}},
        {"uid": {"type": "User", "id": "n"}, "attrs": {"age": 1}, "parents": [group]},
    ]);
    check(|b| b["entities"] = twice, &[("/entities/1", "given twice")]);
    check(
        |b| {
            b["entities"] = json!([{
                "uid": {"type": "User", "id": "n"},
                "attrs": {"age": null, "boss": {"type": "Doc", "id": "x"}, "aeg": 1},
                "parents": [{"type": "Doc", "id": "d"}], "tags": {"t": 1},
            }]);
        },
        &[
            ("/entities/0/attrs/age", "null is not a Cedar value"),
            (
                "/entities/0/attrs/boss",
                "an entity of type `User`, found `Doc`",
            ),
            ("/entities/0/attrs/aeg", "did you mean `age`?"),
            ("/entities/0/tags", "no tags"),
            ("/entities/0/parents/0", "lets no `User` be in a `Doc`"),
        ],
    );
}

/// What clients write that leave members empty, and what programs put before a text.
#[test]
fn null_for_no_member_marks_and_the_same_entity_twice() {
    let router = router(pdp(), None);
    let allows = |text: Vec<u8>| {
        let (status, answer) = block_on(post(&router, text));
        assert_eq!(
            (status.as_u16(), &answer["decision"]),
            (200, &json!("Allow")),
            "{answer}"
        );
    };
    let mut body = good();
    for member in [
        "entities",
        "requestId",
        "client",
        "obligations",
        "signals",
        "explain",
        "purpose",
        "atLeast",
    ] {
        body[member] = Value::Null;
    }
    allows(body.to_string().into_bytes());
    let marked = |text: String| [b"\xef\xbb\xbf".as_slice(), text.as_bytes()].concat();
    allows(marked(good().to_string()));
    allows(marked(body.to_string()));
    let mut body = good();
    let new = json!({"uid": {"type": "User", "id": "n"}, "attrs": {"age": 1}, "parents": null, "tags": null});
    body["entities"] = json!([new, new]);
    allows(body.to_string().into_bytes());
    let utf16: Vec<u8> = good()
        .to_string()
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let (status, problem) = block_on(post(&router, [b"\xff\xfe".as_slice(), &utf16].concat()));
    assert_eq!(status, 400);
    assert!(problem.to_string().contains("byte order mark"), "{problem}");
}

/// Inline entities of a caller that may only add, under many stored groups, cost what they are.
#[test]
fn inline_entities_under_many_groups_are_bounded() {
    let group = |n: usize| json!({"type": "Group", "id": n.to_string()});
    let name = |n: usize| json!({"type": "User", "id": n.to_string()});
    let mut entities: Vec<Value> = (1..=1_000)
        .map(|n| json!({"uid": name(n), "attrs": {"age": 1}, "parents": [group(0)]}))
        .collect();
    let all: Vec<Value> = (1..=20_000).map(group).collect();
    entities.push(json!({"uid": group(0), "attrs": {}, "parents": all}));
    let pdp = Pdp::builder()
        .policies_text("p.cedar", "permit(principal, action, resource);")
        .entities_text("e.json", &json!(entities).to_string())
        .limits(deodar::Limits {
            decision_steps: 1_000_000,
            ..deodar::Limits::default()
        })
        .build()
        .unwrap();
    let ask = |entities: Vec<Value>| {
        let caller = deodar::Caller::new(
            "adds",
            [deodar::Scope::Decide],
            deodar::InlineRule::Add,
            deodar::Handles::Any,
        );
        let mut body = good();
        body["principal"] = name(1);
        body["entities"] = entities.into();
        let began = std::time::Instant::now();
        let request =
            deodar::Request::from_json(body.to_string().as_bytes(), &pdp.limits().0, caller);
        let answer = pdp.authorize(&request.unwrap());
        assert!(
            began.elapsed() < std::time::Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
        answer
    };
    let users = |with: Value| -> Vec<Value> {
        let user = |n| {
            let mut user = json!({"uid": name(n)});
            user.as_object_mut()
                .unwrap()
                .extend(with.as_object().unwrap().clone());
            user
        };
        (1..=1_000).map(user).collect()
    };
    assert!(ask(users(json!({}))).unwrap().is_allow());
    assert!(
        ask(users(json!({"parents": [group(0)]})))
            .unwrap()
            .is_allow()
    );
    let mut faulty = users(json!({}));
    faulty[999]["attrs"] = json!({"x": {"__extn": {"fn": "ip", "arg": "bad"}}});
    let error = ask(faulty).unwrap_err();
    assert_eq!(
        error.faults()[0].pointer,
        "/entities/999/attrs/x",
        "{error}"
    );
    let error = ask(users(json!({"parents": [group(20_000)]}))).unwrap_err();
    assert_eq!(error.code(), "budget_exhausted");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_get_an_answer(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let (status, _) = block_on(post(&router(pdp(), None), body));
        prop_assert_eq!(status.as_u16(), 400);
    }

    #[test]
    fn a_broken_request_is_refused_or_decided(at in 0..95_usize, with in any::<u8>(), cut in any::<bool>()) {
        let mut body = good().to_string().into_bytes();
        let at = at % body.len();
        if cut { body.truncate(at); } else { body[at] = with; }
        let (status, answer) = block_on(post(&router(pdp(), None), body));
        prop_assert!([200, 400].contains(&status.as_u16()), "{status} {answer}");
    }

    #[test]
    fn any_json_gets_an_answer(value in json_value()) {
        for member in ["principal", "action", "resource", "context", "entities", "client", "obligations", "atLeast", "explain", "requestId"] {
            let mut body = good();
            body[member] = value.clone();
            let (status, answer) = block_on(post(&router(pdp(), None), body.to_string()));
            prop_assert!([200, 400, 403, 503].contains(&status.as_u16()), "{member} {status} {answer}");
        }
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        Just(json!("User::\"a\"")),
        Just(json!({"type": "User", "id": "a"})),
        Just(json!({"__extn": {"fn": "ip", "arg": "1.2.3.4"}})),
        Just(json!({"__entity": {"type": "User", "id": "a"}})),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(
                "uid|attrs|parents|tags|type|id|mfa|[a-z]{1,3}",
                inner,
                0..4
            )
            .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
