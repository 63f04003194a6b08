//! `deodar subject`, through a server.

use serde_json::{Value, json};

use crate::support::{Ran, Served, Tree, administrator, answer, deodar, run};

/// Answers one request; tells its first line and its body.
fn asked(status: &'static str, body: Value, arguments: &[&str]) -> (Ran, String, String) {
    let (server, answering) = answer(status, body);
    let mut command = deodar();
    command.arg("subject").args(arguments);
    let ran = run(command.args(["--server", &server]));
    let (head, sent) = answering.join().unwrap();
    let line = head.lines().next().unwrap().to_owned();
    (ran, line, sent)
}

#[test]
fn what_is_known_is_shown_and_listed() {
    let known = json!({"type": "User", "id": "alice", "findings": [{"kind": "correlated"}]});
    let (ran, line, _) = asked("200 OK", known.clone(), &["show", "User::\"alice\""]);
    ran.ends(0);
    assert_eq!(line, "GET /subjects/User/alice HTTP/1.1");
    assert!(!ran.out.contains("kind: correlated"), "{}", ran.out);
    let (ran, ..) = asked(
        "200 OK",
        known.clone(),
        &["show", "User/alice", "--verbose"],
    );
    ran.says("    kind: correlated\n");
    let (ran, ..) = asked("200 OK", known.clone(), &["show", "User/alice", "--json"]);
    assert_eq!(ran.json(), known);
    let held = json!({"subjects": [{"type": "User", "id": "alice"}, {"type": "ip", "id": "::1"}],
        "more": true});
    let (ran, line, _) = asked("200 OK", held, &["list", "--limit", "2"]);
    assert_eq!(line, "GET /subjects?limit=2 HTTP/1.1");
    assert_eq!(ran.out, "User/alice\nip/::1\n");
    ran.complains("--limit");
}

#[test]
fn orders_go_to_the_server() {
    let (ran, line, sent) = asked(
        "200 OK",
        json!({}),
        &["remediate", "session/s 1", "--reason", "checked"],
    );
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
    assert_eq!(line, "POST /subjects/session/s%201/remediate HTTP/1.1");
    assert_eq!(sent, r#"{"reason":"checked"}"#);
    let until = "2026-03-10T12:00:00Z";
    let (_, line, sent) = asked(
        "200 OK",
        json!({}),
        &["override", "User/a", "--until", until, "--reason", "x"],
    );
    assert_eq!(line, "POST /subjects/User/a/override HTTP/1.1");
    let sent: Value = serde_json::from_str(&sent).unwrap();
    assert_eq!(sent, json!({"until": until, "reason": "x"}));
    let (_, line, sent) = asked("200 OK", json!({}), &["override", "User/a", "--end"]);
    assert_eq!(line, "DELETE /subjects/User/a/override HTTP/1.1");
    assert_eq!(sent, "");
    let (_, line, _) = asked("200 OK", json!({"erased": true}), &["erase", "ip/::1"]);
    assert_eq!(line, "DELETE /subjects/ip/%3A%3A1 HTTP/1.1");
}

#[test]
fn exit_codes_say_what_came_of_it() {
    let unknown = json!({"code": "not_found", "detail": "nothing is known of this subject"});
    let (ran, ..) = asked("404 Not Found", unknown, &["show", "User/nobody"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (2, "nothing is known of this subject\n")
    );
    let refused = json!({"code": "unauthenticated", "detail": "who are you"});
    let (ran, ..) = asked("401 Unauthorized", refused, &["list"]);
    ran.ends(1);
    ran.complains("the scope that it needs is subjects:read");
    for arguments in [
        &["show", "alice"][..],
        &["override", "User/a", "--reason", "x"],
        &["override", "User/a", "--end", "--for", "1h"],
        &["override", "User/a", "--for", "1h"],
        &["remediate", "User/a"],
        &["override", "User/a", "--for", "soon", "--reason", "x"],
    ] {
        let ran = run(deodar().arg("subject").args(arguments));
        assert_eq!(ran.code, 1, "{arguments:?} {}", ran.out);
    }
}

#[test]
fn a_server_shows_what_it_was_told_and_gives_a_way_back() {
    let tree = Tree::new(&[
        ("p.cedar", "permit(principal, action, resource);"),
        ("deodar.toml", &administrator()),
        ("key", crate::support::ADMIN_KEY),
    ]);
    let served = Served::start(&["--policies", "p.cedar"], tree.path());
    let key = tree.join("key");
    let subject = |arguments: &[&str]| {
        let mut command = deodar();
        command.arg("subject").args(arguments);
        command.args(["--server", &served.address, "--key-file"]);
        run(command.arg(&key))
    };
    assert_eq!(subject(&["show", "User/ada"]).code, 2);
    let event = json!({
        "id": "e1", "type": "account-disabled", "timestamp": deodar::Timestamp::now().to_string(),
        "subject": {"user": "User::\"ada\""},
    });
    let (status, answer) = served.administrator().post("/events", &event);
    assert_eq!(status, 202, "{answer}");
    assert_eq!(answer["results"][0]["status"], "accepted", "{answer}");
    let listed = subject(&["list"]);
    assert_eq!(
        (listed.code, listed.out.as_str()),
        (0, "User/ada\n"),
        "{}",
        listed.err
    );
    let shown = subject(&["show", "User/ada", "--json"]);
    shown.ends(0);
    assert_eq!(shown.json()["id"], "ada");
    assert_eq!(subject(&["erase", "User/ada"]).code, 0);
    assert_eq!(subject(&["show", "User/ada"]).code, 2);
}

/// A server with a schema, and a command that asks it as the administrator.
fn with_schema(tree: &Tree) -> (Served, impl Fn(&[&str]) -> Ran) {
    let served = Served::start(
        &["--policies", "p.cedar", "--schema", "s.cedarschema"],
        tree.path(),
    );
    let (address, key) = (served.address.clone(), tree.join("key"));
    let ask = move |arguments: &[&str]| {
        let mut command = deodar();
        command.args(arguments);
        run(command.args(["--server", &address, "--key-file"]).arg(&key))
    };
    (served, ask)
}

fn schema_tree() -> Tree {
    Tree::new(&[
        ("p.cedar", "permit(principal, action, resource);"),
        (
            "s.cedarschema",
            "namespace Acme { entity User; entity Doc; action read appliesTo { principal: User, resource: Doc }; }",
        ),
        (
            "deodar.toml",
            &format!(
                "{}[trust.signals.bounds]\nmax_subjects = 5\n",
                administrator()
            ),
        ),
        ("key", crate::support::ADMIN_KEY),
    ])
}

#[test]
fn events_devices_and_assurance_go_to_a_server() {
    let tree = schema_tree();
    let (_served, ask) = with_schema(&tree);
    let ada = "Acme::User::\"ada\"";
    let sent = ask(&[
        "events",
        "send",
        "--type",
        "credential-compromise",
        "--user",
        ada,
    ]);
    sent.ends(0);
    assert!(sent.out.ends_with(" accepted\n"), "{}", sent.out);
    let shown = ask(&["subject", "show", ada]);
    let lines: Vec<_> = shown.out.lines().collect();
    assert_eq!(lines[0], ada, "{}", shown.out);
    assert_eq!(
        lines[1],
        "  authentication level 3 is demanded, until it is remediated"
    );
    assert!(
        lines[2].contains("why   credential_compromise (critical, 1 event)"),
        "{}",
        shown.out
    );
    assert!(
        lines[3].contains("ends  with an event `credential-change`"),
        "{}",
        shown.out
    );
    assert!(lines.len() < 12, "{}", shown.out);
    let file = tree.join("events.json");
    std::fs::write(
        &file,
        r#"{"events": [{"id": "1", "type": "nothing.known", "timestamp": "2026-03-10T10:00:00Z",
            "severity": "low", "subject": {"ip": "192.0.2.1"}}]}"#,
    )
    .unwrap();
    let refused = ask(&["events", "send", file.to_str().unwrap()]);
    refused.ends(2);
    assert!(refused.out.starts_with("1 refused: "), "{}", refused.out);
    assert_eq!(ask(&["events", "send"]).code, 1);

    let made = ask(&[
        "devices",
        "register",
        "laptop",
        "--user",
        ada,
        "--trust",
        "high",
        "--managed",
        "true",
        "--no-indicators",
    ]);
    made.ends(0);
    let shown = ask(&["devices", "show", "laptop", "--json"]).json();
    assert_eq!(
        (&shown["trust"], &shown["managed"]),
        (&json!("high"), &json!(true))
    );
    assert!(
        ask(&["devices", "show", "laptop"])
            .out
            .contains("it is Acme::User::\"ada\"'s")
    );
    assert_eq!(ask(&["devices", "remove", "laptop"]).code, 0);
    assert_eq!(ask(&["devices", "show", "none"]).code, 2);

    let record = ["assurance", "record", "--session", "s1", "--user", ada];
    let made = ask(&[&record[..], &["--method", "webauthn", "--user-verified"]].concat());
    made.ends(0);
    let session = ask(&["subject", "show", "session/s1", "--json"]).json();
    assert_eq!(session["recorded"]["evidence"][0]["method"], "webauthn");
    assert_eq!(ask(&record).code, 1);
    assert_eq!(
        ask(&[&record[..], &["--level", "2", "--acr", "x"]].concat()).code,
        1
    );
}

#[test]
fn types_that_the_schema_does_not_know_are_refused() {
    let tree = schema_tree();
    let (served, ask) = with_schema(&tree);
    let hint = "the schema has no entity type `User`; did you mean `Acme::User`?";
    let mut client = served.administrator();
    let event = |id: &str, user: &str| {
        json!({"id": id, "type": "account-disabled", "timestamp": "2026-03-10T10:00:00Z",
            "subject": {"user": user}})
    };
    let (status, answer) = client.post("/events", &event("1", "User::\"ada\""));
    assert_eq!(
        (status, &answer["errors"][0]["pointer"]),
        (400, &json!("/subject/user"))
    );
    assert_eq!(answer["errors"][0]["detail"], hint);
    let both = json!({"events": [event("1", "User::\"ada\""), event("2", "Acme::User::\"ada\"")]});
    let (status, answer) = client.post("/events", &both);
    assert_eq!(
        (status, &answer["results"][1]["status"]),
        (202, &json!("accepted"))
    );
    let first = &answer["results"][0];
    assert_eq!(
        (&first["status"], &first["errors"][0]["pointer"]),
        (&json!("refused"), &json!("/events/0/subject/user"))
    );
    for (path, body) in [
        ("/devices", json!({"id": "d", "user": "User::\"ada\""})),
        (
            "/assurance",
            json!({"session": "s", "user": "User::\"ada\"", "level": 1}),
        ),
    ] {
        let (status, answer) = client.post(path, &body);
        assert_eq!(
            (status, &answer["errors"][0]["pointer"]),
            (400, &json!("/user")),
            "{path}"
        );
        assert_eq!(answer["errors"][0]["detail"], hint);
    }
    let body = json!({"until": "2099-01-01T00:00:00Z", "reason": "x"});
    let (status, answer) = client.post("/subjects/User/ada/override", &body);
    assert_eq!((status, &answer["detail"]), (400, &json!(hint)), "{answer}");
    for arguments in [&["show", "User/ada"][..], &["erase", "User/ada"]] {
        let ran = ask(&[&["subject"], arguments].concat());
        ran.ends(2);
        ran.says(hint);
    }
}

#[test]
fn a_room_that_runs_full_is_told_of_before_it_is() {
    let tree = schema_tree();
    let (served, ask) = with_schema(&tree);
    let mut client = served.administrator();
    for (n, status) in ["ok", "ok", "ok", "degraded"].iter().enumerate() {
        let user = format!("Acme::User::\"u{n}\"");
        let sent = ask(&[
            "events",
            "send",
            "--type",
            "account-disabled",
            "--user",
            &user,
        ]);
        sent.ends(0);
        let (code, ready) = client.get("/readyz");
        assert_eq!(
            (code, ready["status"].as_str()),
            (200, Some(*status)),
            "{ready}"
        );
    }
    let (_, ready) = client.get("/readyz");
    let reason = ready["reasons"][0].as_str().unwrap();
    assert!(reason.contains("4 of 5 subjects"), "{reason}");
    // Its reporter has its share; what a decision shows of somebody new changes nothing.
    let sent = ask(&[
        "events",
        "send",
        "--type",
        "account-disabled",
        "--user",
        "Acme::User::\"u9\"",
    ]);
    sent.ends(1);
    sent.complains("its share");
}
