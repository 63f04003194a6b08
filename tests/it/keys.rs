//! `deodar keys`: in the state directory, and through a server.

use serde_json::{Value, json};

use crate::support::{Ran, Served, Tree, answer, deodar, run};

fn offline(tree: &Tree, arguments: &[&str]) -> Ran {
    let state = tree.join("state");
    let mut command = deodar();
    command.arg("keys").args(arguments);
    run(command.args(["--offline", "--state-dir"]).arg(state))
}

const CREATE: [&str; 5] = [
    "create",
    "--name",
    "billing",
    "--scopes",
    "decide,keys:write",
];

#[test]
fn keys_are_made_and_changed_in_the_state_directory() {
    let tree = Tree::new(&[]);
    let made = offline(&tree, &CREATE);
    made.ends(0);
    // Alone on standard output, so that it can be piped.
    let key = made.out.trim_end();
    assert!(
        key.starts_with("dk_") && key.len() == 59 && !key.contains('\n'),
        "{key}"
    );
    let id = &key[3..15];
    assert!(
        made.err.contains(id) && !made.err.contains(key),
        "{}",
        made.err
    );

    let json = offline(&tree, &["rotate", id, "--overlap", "10m", "--json"]).json();
    assert_eq!(
        (json["id"].as_str(), json["name"].as_str()),
        (Some(id), Some("billing"))
    );
    assert!(
        json["key"]
            .as_str()
            .unwrap()
            .starts_with(&format!("dk_{id}_"))
    );
    assert_ne!(json["key"], key);

    let more = [
        "create",
        "--name",
        "b",
        "--scopes",
        "search",
        "--inline",
        "off",
        "--handles",
    ];
    let more = [
        more.as_slice(),
        &["x,y", "--expires", "90d", "--per-second", "5", "--json"],
    ]
    .concat();
    let json = offline(&tree, &more).json();
    assert_eq!(
        (&json["inline"], &json["handles"]),
        (&json!("off"), &json!(["x", "y"]))
    );
    assert!(json["expires"].as_str().unwrap().ends_with('Z'));
    assert_eq!(json["limits"]["requestsPerSecond"], 5);

    assert_eq!(offline(&tree, &["revoke", id]).code, 0);
    let listed = offline(&tree, &["list"]);
    let lines: Vec<&str> = listed.out.lines().collect();
    assert_eq!(lines.len(), 2, "{}", listed.out);
    assert!(
        lines[0].starts_with(&format!("{id}  billing  decide,keys:write")),
        "{}",
        lines[0]
    );
    assert!(
        lines[0].contains("revoked 20") && lines[1].contains("expires 20"),
        "{}",
        listed.out
    );
    let json = offline(&tree, &["list", "--json"]).json();
    assert_eq!(json["keys"].as_array().unwrap().len(), 2);
    assert!(!json.to_string().contains("secret"));
    assert_eq!(offline(&tree, &["purge", "--json"]).json()["purged"], 0);
    assert_eq!(
        offline(&tree, &["purge", "--ended", "0s"]).err,
        "1 key forgotten\n"
    );
    assert_eq!(offline(&tree, &["list"]).out.lines().count(), 1);
}

#[test]
fn a_key_for_the_configuration_is_printed_with_its_hash() {
    let made = run(deodar().args(["keys", "hash"]));
    assert!(
        made.out.starts_with("dk_") && made.out.lines().count() == 1,
        "{}",
        made.out
    );
    let start = "key_sha256 = [\"";
    let hash = made
        .err
        .lines()
        .find_map(|line| line.strip_prefix(start))
        .unwrap();
    assert_eq!(hash.strip_suffix("\"]").unwrap().len(), 64);
    let json = run(deodar().args(["keys", "hash", "--json"])).json();
    assert_eq!(json["sha256"].as_str().unwrap().len(), 64);
}

#[track_caller]
fn check_refused(ran: &Ran, expect: &str) {
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{}", ran.err);
    ran.complains(expect);
}

#[test]
fn what_cannot_be_done_is_said() {
    let tree = Tree::new(&[("p/a.cedar", "permit(principal, action, resource);")]);
    let scope = ["create", "--name", "a", "--scopes", "entity:write"];
    check_refused(&offline(&tree, &scope), "did you mean `entities:write`?");
    check_refused(&offline(&tree, &["rotate", "abc"]), "there is no key `abc`");
    offline(&tree, &CREATE);
    check_refused(&offline(&tree, &CREATE), "has this name already");
    let expires = [CREATE.as_slice(), &["--expires", "soon"]].concat();
    check_refused(&offline(&tree, &expires), "a duration such as 90d");
    let nowhere = run(deodar().args(["keys", "list", "--offline"]));
    check_refused(&nowhere, "set `state.dir`");

    let mut served = Served::start(&["--policies", "p", "--state-dir", "state"], tree.path());
    let owned = offline(&tree, &["list"]);
    check_refused(
        &owned,
        &format!("is in use by process {} on host", served.child.id()),
    );
    owned.complains("without --offline");
    served.child.kill().unwrap();
    served.child.wait().unwrap();
    assert_eq!(
        offline(&tree, &["list"]).code,
        0,
        "a killed server leaves no owner"
    );
}

#[test]
fn a_server_is_asked_with_the_callers_key() {
    let tree = Tree::new(&[("key", "dk_abcdefghij27_0123456789\n")]);
    let made = json!({"id": "abc", "name": "billing", "key": "dk_abc_new"});
    let (server, asked) = answer("201 Created", made);
    let mut command = deodar();
    command
        .arg("keys")
        .args(CREATE)
        .args(["--server", &server, "--key-file"]);
    let ran = run(command.arg(tree.join("key")));
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "dk_abc_new\n"),
        "{}",
        ran.err
    );
    let (head, body) = asked.join().unwrap();
    assert!(head.starts_with("POST /keys HTTP/1.1"), "{head}");
    assert!(
        head.contains("authorization: Bearer dk_abcdefghij27_0123456789\r\n"),
        "{head}"
    );
    let body: Value = serde_json::from_str(&body).unwrap();
    let expected = json!({"name": "billing", "scopes": ["decide", "keys:write"], "inline": null,
        "handles": [], "limits": null, "expires": null});
    assert_eq!(body, expected);

    let config = format!("client.key = {{file = \"{}\"}}", tree.join("key").display());
    tree.write("deodar.toml", &config);
    for (arguments, expect) in [
        (
            ["rotate", "abcdefghij27"],
            "POST /keys/abcdefghij27/rotate HTTP",
        ),
        (["revoke", "abcdefghij27"], "DELETE /keys/abcdefghij27 HTTP"),
    ] {
        let (server, asked) = answer(
            "200 OK",
            json!({"id": "abc", "name": "b", "key": "dk_abc_x"}),
        );
        let mut command = deodar();
        command.current_dir(tree.path()).arg("keys").args(arguments);
        let ran = run(command.args(["--server", &server]));
        ran.ends(0);
        let (head, _) = asked.join().unwrap();
        assert!(
            head.starts_with(expect) && head.contains("Bearer dk_abcdefghij27"),
            "{head}"
        );
    }

    let (server, _asked) = answer("401 Unauthorized", json!({"detail": "who are you"}));
    let ran = run(deodar().args(["keys", "list", "--server", &server]));
    check_refused(&ran, "the scope that it needs is keys:write");
    let path = run(deodar().args(["keys", "revoke", "../policies", "--server", &server]));
    check_refused(&path, "is not an id of a key");
}
