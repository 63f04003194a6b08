//! Entities changed in part, annotations in answers, and what commands say about the state they used.

use serde_json::{Value, json};

use crate::support::{ADMIN_KEY, Client, Ran, Served, Tree, administrator, deodar, root, run};

const POLICIES: &str = "@id(\"f\") @redirect(\"/upgrade\") @message_id(\"plan.basic\") \
    forbid(principal, action, resource) unless { principal has level && principal.level > 1 };\n\
    @id(\"dir/p\") @note permit(principal, action, resource);";

fn tree() -> Tree {
    let config = format!(
        "[sources]\npolicies = [\"p.cedar\"]\n[state]\ndir = \"st\"\n{}",
        administrator()
    );
    Tree::new(&[
        ("p.cedar", POLICIES),
        ("deodar.toml", &config),
        ("key", ADMIN_KEY),
    ])
}

fn cli(tree: &Tree, arguments: &[&str]) -> Ran {
    run(deodar().current_dir(tree.path()).args(arguments))
}

fn send(client: &mut Client, method: &str, path: &str, body: &Value) -> (u16, Value) {
    client.send(method, path, Some(body.to_string())).unwrap()
}

/// A request with one more header; the status.
fn with_header(served: &Served, method: &str, header: &str, body: &str) -> (u16, Value) {
    let mut client = served.client();
    let request = format!(
        "{method} /entities/User/a HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {ADMIN_KEY}\r\n\
         content-type: application/merge-patch+json\r\n{header}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    client.write(request.as_bytes()).unwrap();
    client.read().unwrap()
}

#[test]
fn one_attribute_is_changed_and_the_others_stay() {
    let tree = tree();
    let served = Served::start(&[], tree.path());
    let mut client = served.administrator();
    let user = json!({"attrs": {"level": 1, "team": "x", "r": {"a": 1, "b": 2}}});
    assert_eq!(send(&mut client, "PUT", "/entities/G/g", &json!({})).0, 200);
    assert_eq!(send(&mut client, "PUT", "/entities/User/a", &user).0, 200);
    let patch = json!({"attrs": {"level": 2, "team": null, "r": {"b": null}}, "parents": [{"type": "G", "id": "g"}]});
    let (status, body) = send(&mut client, "PATCH", "/entities/User/a", &patch);
    assert_eq!(status, 200, "{body}");
    let (_, found) = client.get("/entities/User/a");
    assert_eq!(
        found["attrs"],
        json!({"level": 2, "r": {"a": 1}}),
        "{found}"
    );
    assert_eq!(found["parents"].as_array().unwrap().len(), 1);

    // Batches take the same form: nothing but `uid` is required, and changes see those before them.
    let uid = |id: &str| json!({"type": "User", "id": id});
    let batch = json!({"changes": [
        {"upsert": {"uid": uid("b")}},
        {"upsert": {"uid": uid("c"), "attrs": {"n": 1}, "parents": null, "tags": null}},
        {"patch": {"uid": uid("c"), "attrs": {"m": 2}}},
        {"delete": {"type": "G", "id": "g"}},
        {"patch": {"uid": uid("a"), "attrs": {"level": 3}}},
    ]});
    let (status, body) = send(&mut client, "POST", "/entities", &batch);
    assert_eq!(status, 200, "{body}");
    assert_eq!(client.get("/entities/User/b").1["attrs"], json!({}));
    assert_eq!(
        client.get("/entities/User/c").1["attrs"],
        json!({"n": 1, "m": 2})
    );
    assert_eq!(client.get("/entities/User/a").1["attrs"]["level"], 3);

    for (method, path, body, status, place) in [
        (
            "PATCH",
            "/entities/User/none",
            json!({"attrs": {}}),
            404,
            "",
        ),
        (
            "PATCH",
            "/entities/User/a",
            json!({"attr": {}}),
            400,
            "/attr",
        ),
        (
            "PATCH",
            "/entities/User/a",
            json!({"uid": uid("a")}),
            400,
            "/uid",
        ),
        (
            "PATCH",
            "/entities/User/a",
            json!({"attrs": [1]}),
            422,
            "/attrs",
        ),
        (
            "PATCH",
            "/entities/User/a",
            json!({"parents": {}}),
            422,
            "/parents",
        ),
        ("PUT", "/entities/User/a", json!({"tag": {}}), 400, "/tag"),
        (
            "POST",
            "/entities",
            json!({"changes": [{"upsert": {"uid": uid("d")}}, {"upsurt": 1}]}),
            400,
            "/changes/1",
        ),
        (
            "POST",
            "/entities",
            json!({"changes": [{"delete": {"type": "User"}}]}),
            400,
            "/changes/0/delete/id",
        ),
        (
            "POST",
            "/entities",
            json!({"changes": [{"patch": {"uid": uid("a"), "x": 1}}]}),
            422,
            "/changes/0/x",
        ),
        (
            "POST",
            "/entities",
            json!({"changes": [], "ifSequence": "x"}),
            400,
            "/ifSequence",
        ),
    ] {
        let (got, problem) = send(&mut client, method, path, &body);
        assert_eq!(got, status, "{method} {path} {body}: {problem}");
        assert_eq!(problem["errors"][0]["pointer"], place, "{body}: {problem}");
        let text = problem.to_string();
        assert!(
            !text.contains("variant") && !text.contains("struct"),
            "{text}"
        );
    }
    // What was written in part is on disk.
    drop(served);
    let served = Served::start(&[], tree.path());
    let (_, found) = served.administrator().get("/entities/User/a");
    assert_eq!(found["attrs"], json!({"level": 3, "r": {"a": 1}}));
    assert_eq!(
        found["parents"],
        json!([]),
        "the deleted group is not a parent"
    );
}

#[test]
fn patches_race_without_a_loss_and_preconditions_hold() {
    let tree = tree();
    let served = Served::start(&[], tree.path());
    let mut client = served.administrator();
    assert_eq!(
        send(&mut client, "PUT", "/entities/User/a", &json!({})).0,
        200
    );
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let served = &served;
            scope.spawn(move || {
                let mut client = served.administrator();
                for n in 0..8 {
                    let patch = json!({"attrs": {format!("a{thread}_{n}"): n}});
                    let (status, body) = send(&mut client, "PATCH", "/entities/User/a", &patch);
                    assert_eq!(status, 200, "{body}");
                }
            });
        }
    });
    let attrs = client.get("/entities/User/a").1["attrs"].clone();
    assert_eq!(attrs.as_object().unwrap().len(), 32, "{attrs}");

    let patch = r#"{"attrs": {"level": 7}}"#;
    assert_eq!(
        with_header(&served, "PATCH", "if-match: \"other\"", patch).0,
        412
    );
    assert_eq!(
        with_header(&served, "PATCH", "if-match: other", patch).0,
        400
    );
    assert_eq!(with_header(&served, "PUT", "if-none-match: *", "{}").0, 412);
    assert_eq!(with_header(&served, "PATCH", "if-match: *", patch).0, 200);
    assert_eq!(with_header(&served, "DELETE", "if-match: \"x\"", "").0, 412);
    // A second content type is no reason to refuse, unless it is another one.
    let second = "content-type: application/json";
    assert_eq!(with_header(&served, "PATCH", second, patch).0, 200);
    let text = "content-type: text/plain";
    assert_eq!(with_header(&served, "PATCH", text, patch).0, 415);
    let other = "content-type: application/json-patch+json";
    assert_eq!(with_header(&served, "PATCH", other, "[]").0, 415);
}

#[test]
fn annotations_of_determining_policies_are_told_when_asked() {
    let tree = tree();
    let served = Served::start(&[], tree.path());
    let mut client = served.administrator();
    let mut request =
        json!({"principal": "User::\"a\"", "action": "Action::\"v\"", "resource": "D::\"d\""});
    let (_, plain) = client.post("/authorize", &request);
    assert!(plain.get("annotations").is_none(), "{plain}");
    request["explain"] = json!(true);
    let (_, explained) = client.post("/authorize", &request);
    assert_eq!(
        explained["annotations"],
        json!({"f": {"message_id": "plan.basic", "redirect": "/upgrade"}})
    );
    let (status, policy) = client.get("/policies/f");
    assert_eq!((status, &policy["effect"]), (200, &json!("forbid")));
    assert_eq!(policy["annotations"]["redirect"], "/upgrade");
    let (status, policy) = client.get("/policies/dir%2Fp");
    assert_eq!(
        (status, &policy["annotations"]),
        (200, &json!({"note": ""})),
        "{policy}"
    );
    assert_eq!(client.get("/policies/none").0, 404);
    drop(served);
    let ask = [
        "authorize",
        "--principal",
        "User::\"a\"",
        "--action",
        "Action::\"v\"",
        "--resource",
        "D::\"d\"",
    ];
    let ran = cli(&tree, &ask);
    ran.says("@redirect(\"/upgrade\")");
    let ran = cli(&tree, &[&ask[..], &["--json", "--explain"]].concat());
    assert_eq!(ran.json()["annotations"]["f"]["message_id"], "plan.basic");
}

#[test]
fn authorize_says_what_it_decided_on() {
    let tree = tree();
    let served = Served::start(&[], tree.path());
    let mut client = served.administrator();
    let user = json!({"attrs": {"level": 2}});
    assert_eq!(send(&mut client, "PUT", "/entities/User/a", &user).0, 200);
    let ask = [
        "authorize",
        "--principal",
        "User::\"a\"",
        "--action",
        "Action::\"v\"",
        "--resource",
        "D::\"d\"",
    ];
    let with = |more: &[&str]| cli(&tree, &[&ask[..], more].concat());
    // The files alone say no, and that entities were left out.
    let ran = with(&[]);
    ran.ends(2);
    ran.complains("--state-dir").says("decided on files;");
    let ran = with(&["--server", &served.address]);
    ran.ends(0);
    ran.says("decided by http://").says("sequence 2");
    let ran = with(&["--state-dir", "st"]);
    ran.ends(1).complains("--server");
    drop(served);
    let ran = with(&["--state-dir", "st"]);
    ran.ends(0);
    assert!(
        ran.out.contains("1 entity that were written") || ran.out.contains("1 entity"),
        "{}",
        ran.out
    );
    let ran = with(&["--state-dir", "none"]);
    assert!(ran.code == 1 && !tree.join("none").exists(), "{}", ran.err);
}

#[test]
fn commands_ask_over_the_socket_where_the_server_has_one() {
    let tree = Tree::new(&[
        (
            "p/a.cedar",
            "@id(\"a\") permit(principal, action, resource);",
        ),
        (
            "p/b.cedar",
            "@id(\"b\") forbid(principal == U::\"x\", action, resource);",
        ),
        (
            "deodar.toml",
            "[sources]\npolicies = [\"p\"]\n[reload]\nwatch = \"off\"\n[server]\nsocket = \"s.sock\"\n",
        ),
    ]);
    let served = Served::start(&[], tree.path());
    // Nobody is known over TCP; the message says what to do.
    let ran = cli(&tree, &["reload", &served.address]);
    ran.ends(1).complains("server.socket");
    let ran = cli(&tree, &["reload"]);
    assert_eq!((ran.code, ran.out.trim()), (0, "unchanged"), "{}", ran.err);
    tree.remove("p/b.cedar");
    let ran = cli(&tree, &["reload"]);
    ran.ends(2).says("--confirm");
    let ran = cli(&tree, &["reload", "--confirm"]);
    ran.ends(0).says("sequence 2");
}

#[test]
fn a_damaged_state_directory_is_named_at_every_entry() {
    let tree = tree();
    for n in 0..3 {
        let name = format!("k{n}");
        let ran = cli(
            &tree,
            &[
                "keys",
                "create",
                "--offline",
                "--name",
                &name,
                "--scopes",
                "decide",
            ],
        );
        ran.ends(0);
    }
    let path = tree.join("st").join("state.redb");
    let good = std::fs::read(&path).unwrap();
    let pages = good.len() / 4096;
    let mut refused = 0;
    for page in (0..pages).filter(|page| good[page * 4096..][..4096].iter().any(|b| *b != 0)) {
        let mut bytes = good.clone();
        bytes[page * 4096..][..4096].fill(0);
        std::fs::write(&path, bytes).unwrap();
        let commands: [&[&str]; 3] = [
            &["keys", "list", "--offline"],
            &[
                "authorize",
                "--principal",
                "U::\"a\"",
                "--action",
                "Action::\"v\"",
                "--resource",
                "D::\"d\"",
                "--state-dir",
                "st",
            ],
            &["serve", "--listen", "127.0.0.1:0"],
        ];
        let damaged = cli(&tree, commands[0]);
        if damaged.code == 0 {
            continue;
        }
        refused += 1;
        for command in commands.iter().take(if refused > 2 { 1 } else { 3 }) {
            let ran = cli(&tree, command);
            let all = format!("{}{}", ran.out, ran.err);
            assert_eq!(ran.code, 1, "page {page} {command:?}: {all}");
            assert!(
                all.contains("state_damaged") && all.contains("backup"),
                "{all}"
            );
            assert!(all.contains("st") && !all.contains("panicked"), "{all}");
        }
    }
    assert!(refused > 1, "{refused} of {pages}");
}

/// The request that README shows gets an answer with the members that README shows.
#[test]
fn the_sample_answers_as_the_readme_says() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let request = readme
        .split("/authorize -H 'Content-Type: application/json' -d '")
        .nth(1)
        .unwrap();
    let request: Value = serde_json::from_str(request.split('\'').next().unwrap()).unwrap();
    let shown = readme
        .split("```json\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let shown: Value = serde_json::from_str(shown).unwrap();
    let served = Served::start(&["--sample"], std::path::Path::new("/"));
    let (status, answer) = served.client().post("/authorize", &request);
    assert_eq!(status, 200, "{answer}");
    check_shape(&shown, &answer, "");
}

/// Same members of the same kinds; texts and numbers that do not depend on the moment are the same.
fn check_shape(shown: &Value, found: &Value, at: &str) {
    match (shown, found) {
        (Value::Object(shown), Value::Object(found)) => {
            let names = |object: &serde_json::Map<String, Value>| {
                object.keys().cloned().collect::<Vec<_>>()
            };
            assert_eq!(names(shown), names(found), "members at `{at}`");
            for (name, value) in shown {
                check_shape(value, &found[name], &format!("{at}/{name}"));
            }
        }
        (Value::String(text), Value::String(_)) if text.contains('…') || at == "/evaluatedAt" => {
        }
        // What a request scores depends on the moment.
        _ if at.starts_with("/trust/") => {
            assert_eq!(
                std::mem::discriminant(shown),
                std::mem::discriminant(found),
                "kind at `{at}`"
            );
        }
        _ => assert_eq!(shown, found, "at `{at}`"),
    }
}
