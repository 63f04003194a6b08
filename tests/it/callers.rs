//! What a caller may hand on, and what names mean: through a server and on the command line.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Client, Ran, Served, Tree, administrator, deodar, run, wait_until};

const POLICIES: &str = "@id(\"all\") permit(principal, action, resource);";
const STATE: &str = "[sources]\npolicies = [\"a.cedar\"]\n[state]\ndir = \"state\"\n";

fn tree(more: &str) -> Tree {
    Tree::new(&[
        ("a.cedar", POLICIES),
        ("deodar.toml", &format!("{STATE}{more}")),
    ])
}

fn keys(tree: &Tree, arguments: &[&str]) -> Ran {
    let mut command = deodar();
    command.current_dir(tree.path()).arg("keys").args(arguments);
    run(command.arg("--offline"))
}

/// A key that is made in the state directory: its text.
fn made_offline(tree: &Tree, name: &str, scopes: &str, more: &[&str]) -> String {
    let arguments = ["create", "--name", name, "--scopes", scopes];
    let ran = keys(tree, &[&arguments, more].concat());
    ran.ends(0);
    ran.out.trim().to_owned()
}

fn id_of(key: &str) -> &str {
    &key[3..15]
}

fn client(served: &Served, key: &str) -> Client {
    let mut client = served.client();
    client.key = Some(key.to_owned());
    client
}

fn make(client: &mut Client, key: &Value) -> (u16, Value) {
    client.post("/keys", key)
}

fn decide(client: &mut Client) -> (u16, Value) {
    let body = json!({"principal": "U::\"a\"", "action": "Action::\"x\"", "resource": "R::\"r\""});
    client.post("/authorize", &body)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn a_key_has_no_more_than_its_maker() {
    let tree = tree("");
    let low = made_offline(
        &tree,
        "low",
        "keys:write,decide",
        &["--inline", "off", "--handles", "log", "--expires", "1h"],
    );
    let wide = made_offline(&tree, "wide", "decide", &["--inline", "override"]);
    let served = Served::start(&[], tree.path());
    let mut low = client(&served, &low);
    let (status, made) = make(&mut low, &json!({"name": "plain", "scopes": ["decide"]}));
    assert_eq!((status, &made["inline"]), (201, &json!("off")), "{made}");
    assert!(
        made["expires"].is_string() && made["madeBy"].is_string(),
        "{made}"
    );
    for more in [
        json!({"scopes": ["watch"]}),
        json!({"inline": "add"}),
        json!({"inline": "override"}),
        json!({"handles": ["log", "mask"]}),
        json!({"expires": "2999-01-01T00:00:00Z"}),
    ] {
        let mut key = json!({"name": "more", "scopes": ["decide"]});
        key.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let (status, problem) = make(&mut low, &key);
        assert_eq!(
            (status, &problem["code"]),
            (403, &json!("scope_required")),
            "{key}: {problem}"
        );
    }
    // A wider key is neither taken over nor ended.
    let wide = format!("/keys/{}", id_of(&wide));
    assert_eq!(low.post(&format!("{wide}/rotate"), &json!({})).0, 403);
    assert_eq!(low.send("DELETE", &wide, None).unwrap().0, 403);
    // What it made it may change, and so may that key itself.
    let own = format!("/keys/{}", text(&made["id"]));
    let (status, rotated) = low.post(&format!("{own}/rotate"), &json!({"overlap": "1h"}));
    assert_eq!(
        (status, &rotated["expires"]),
        (200, &made["expires"]),
        "{rotated}"
    );
    assert_eq!(low.send("DELETE", &own, None).unwrap().0, 200);
    assert_eq!(low.post(&format!("{own}/rotate"), &json!({})).0, 409);
    assert_eq!(low.post("/keys/aaaaaaaaaaaa/rotate", &json!({})).0, 404);
}

#[test]
fn clones_and_rotated_keys_of_a_bounded_key_have_its_room() {
    let tree = tree("");
    let bounded = ["--per-second", "1", "--burst", "4"];
    let bounded = made_offline(&tree, "bounded", "keys:write,decide", &bounded);
    let other = made_offline(
        &tree,
        "other",
        "decide",
        &["--per-second", "1", "--burst", "4"],
    );
    let free = made_offline(&tree, "free", "decide", &[]);
    let served = Served::start(&[], tree.path());
    let mut maker = client(&served, &bounded);
    for key in [&other, &free] {
        let path = format!("/keys/{}/rotate", id_of(key));
        let (status, problem) = maker.post(&path, &json!({}));
        assert_eq!(status, 403, "{problem}");
    }
    let mut family = Vec::new();
    let mut by = bounded.clone();
    for n in 0..5 {
        // Each made by the one before.
        let key = json!({"name": format!("c{n}"), "scopes": ["decide", "keys:write"]});
        let (status, made) = make(&mut client(&served, &by), &key);
        assert_eq!(status, 201, "{made}");
        by = text(&made["key"]).to_owned();
        family.push(by.clone());
    }
    // Both secrets of a rotated key, too.
    let path = format!("/keys/{}/rotate", id_of(&family[0]));
    let (_, rotated) = maker.post(&path, &json!({"overlap": "1h"}));
    family.push(text(&rotated["key"]).to_owned());
    family.push(bounded);
    let answered = (0..30).filter(|n| {
        let key = &family[n % family.len()];
        decide(&mut client(&served, key)).0 == 200
    });
    let answered = answered.count();
    assert!((4..=8).contains(&answered), "{answered}");
    assert_eq!(decide(&mut client(&served, &other)).0, 200);
}

#[test]
fn keys_end_with_their_maker() {
    let tree = tree("");
    let first = made_offline(&tree, "first", "keys:write,decide", &[]);
    let admin = made_offline(&tree, "admin", "keys:write,decide", &[]);
    let served = Served::start(&[], tree.path());
    let made = |by: &str, name: &str| {
        let key = json!({"name": name, "scopes": ["keys:write", "decide"]});
        let (status, made) = make(&mut client(&served, by), &key);
        assert_eq!(status, 201, "{made}");
        text(&made["key"]).to_owned()
    };
    let second = made(&first, "second");
    let third = made(&second, "third");
    let stays = made(&first, "stays");
    let left = made(&stays, "left");
    let mut admin = client(&served, &admin);
    let keep = format!("/keys/{}?made=keep", id_of(&stays));
    let (status, revoked) = admin.send("DELETE", &keep, None).unwrap();
    assert_eq!(
        (status, &revoked["revokedWithIt"]),
        (200, &json!([])),
        "{revoked}"
    );
    assert_eq!(decide(&mut client(&served, &left)).0, 200);
    let (status, revoked) = admin
        .send("DELETE", &format!("/keys/{}", id_of(&second)), None)
        .unwrap();
    assert_eq!(
        (status, &revoked["revokedWithIt"]),
        (200, &json!([id_of(&third)]))
    );
    for key in [&second, &third] {
        assert_eq!(decide(&mut client(&served, key)).0, 401);
    }
    drop(served);
    let ran = keys(&tree, &["revoke", id_of(&first)]);
    ran.ends(0);
    ran.complains("and the 1 key that it made");
    let served = Served::start(&[], tree.path());
    assert_eq!(decide(&mut client(&served, &left)).0, 401);
}

#[test]
fn a_key_of_a_configured_caller_is_within_what_that_caller_may_do_now() {
    let caller = |rest: &str| {
        format!(
            "{STATE}{}",
            administrator().replace("\nscopes", &format!("\n{rest}\nscopes"))
        )
    };
    let tree = tree("");
    tree.write("deodar.toml", &caller("inline = \"add\""));
    let served = Served::start(&[], tree.path());
    let (status, made) = make(
        &mut served.administrator(),
        &json!({"name": "made", "scopes": ["decide", "watch"]}),
    );
    assert_eq!(
        (status, &made["madeBy"]),
        (201, &json!("administrator")),
        "{made}"
    );
    let mut key = client(&served, text(&made["key"]));
    assert_eq!(key.get("/whoami").1["inline"], "add");
    tree.write("deodar.toml", &caller("inline = \"off\""));
    served.signal("HUP");
    wait_until("the maker is narrowed", || {
        key.get("/whoami").1["inline"] == "off"
    });
    tree.write(
        "deodar.toml",
        &format!("{STATE}[[callers]]\nname = \"x\"\nscopes = []\nuid = [77]\n"),
    );
    served.signal("HUP");
    wait_until("the maker is gone", || key.get("/whoami").0 == 401);
    let (_, ready) = served.client().get("/readyz");
    let told = "does not have the caller `administrator`";
    assert!(ready.to_string().contains(told), "{ready}");
    tree.write(
        "deodar.toml",
        &caller("limits = {requests_per_second = 1, burst = 2}"),
    );
    served.signal("HUP");
    wait_until("the maker is back", || key.get("/whoami").0 == 200);
    let answered = (0..10).filter(|n| {
        let mut other = served.administrator();
        let asked = if n % 2 == 0 { &mut key } else { &mut other };
        decide(asked).0 == 200
    });
    assert!(answered.count() <= 4);
}

const ENFORCE: &str = "[trust]\nenforcement = \"enforce\"\n";

fn rule(callers: &str, mode: &str) -> String {
    format!("enforce = [{{callers = [{callers}], mode = \"{mode}\"}}]\n")
}

#[test]
fn nobody_makes_a_name_that_means_something() {
    let tree = tree(&format!(
        "{}{}{}",
        ENFORCE,
        rule("\"legacy-batch\"", "off"),
        administrator()
    ));
    let taken = made_offline(&tree, "taken", "decide", &[]);
    let ended = made_offline(&tree, "ended", "decide", &[]);
    assert_eq!(keys(&tree, &["revoke", id_of(&ended)]).code, 0);
    let bad = [
        "legacy-batch",
        "Legacy-Batch",
        "legacy-batch ",
        " legacy-batch",
        "legacy\u{2010}batch",
        "l\u{435}gacy-batch",
        "legacy-batch\u{200b}",
        "\u{202e}hctab-ycagel",
        "leg\u{ad}acy-batch",
        "administrator",
        "ADMINISTRATOR",
        "taken",
        "Taken",
        "ended",
        "owner",
        "anonymous",
        "library",
        "key:abcdefghij27",
        "https://id.example.com#svc",
        "",
    ];
    for name in bad {
        let ran = keys(&tree, &["create", "--name", name, "--scopes", "decide"]);
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (1, ""),
            "{name:?}: {}",
            ran.err
        );
    }
    let served = Served::start(&[], tree.path());
    let mut admin = served.administrator();
    for name in bad {
        let (status, problem) = make(&mut admin, &json!({"name": name, "scopes": ["decide"]}));
        assert!([400, 409].contains(&status), "{name:?}: {problem}");
    }
    let (status, denied) = decide(&mut client(&served, &taken));
    assert_eq!(
        (status, &denied["cause"]),
        (200, &json!("insufficient_trust"))
    );
    drop(served);
    // The configuration's own names are held to the same.
    for name in ["orders ", "\u{43e}rders", "Owner", "key:x", "Administrator"] {
        let file = format!(
            "{STATE}{}[[callers]]\nname = \"{name}\"\nscopes = []\nuid = [77]\n",
            administrator()
        );
        tree.write("deodar.toml", &file);
        let ran = run(deodar().current_dir(tree.path()).arg("config"));
        assert_ne!(ran.code, 0, "{name:?}");
    }
}

#[test]
fn a_rule_that_comes_to_name_a_key_gives_it_nothing() {
    let tree = tree(ENFORCE);
    let key = made_offline(&tree, "batch", "decide,keys:write", &[]);
    let id = id_of(&key).to_owned();
    let served = Served::start(&[], tree.path());
    let cause = |key: &str| decide(&mut client(&served, key)).1["cause"].clone();
    assert_eq!(cause(&key), "insufficient_trust");
    let (_, ready) = served.client().get("/readyz");
    assert_eq!(ready["status"], "ok", "{ready}");
    tree.write(
        "deodar.toml",
        &format!("{STATE}{ENFORCE}{}", rule("\"batch\"", "off")),
    );
    served.signal("HUP");
    wait_until("the name is told", || {
        let (_, ready) = served.client().get("/readyz");
        ready
            .to_string()
            .contains(&format!("the API key {id} is named `batch`"))
    });
    wait_until("the name is logged", || {
        served.log().contains(&format!("the API key {id} is named"))
    });
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(cause(&key), "insufficient_trust");
    assert_eq!(
        client(&served, &key).get("/whoami").1["name"],
        json!(format!("key:{id}"))
    );
    // By its id the operator means this key, and none that it makes; nobody else gets its secret.
    let named = format!("\"key:{id}\"");
    tree.write(
        "deodar.toml",
        &format!("{STATE}{ENFORCE}{}{}", rule(&named, "off"), administrator()),
    );
    served.signal("HUP");
    wait_until("the key is exempt", || cause(&key) == "permitted");
    let (_, made) = make(
        &mut client(&served, &key),
        &json!({"name": "child", "scopes": ["decide"]}),
    );
    assert_eq!(cause(text(&made["key"])), "insufficient_trust");
    let path = format!("/keys/{id}/rotate");
    let (status, problem) = served.administrator().post(&path, &json!({}));
    assert_eq!(status, 403, "{problem}");
    let (status, rotated) = client(&served, &key).post(&path, &json!({}));
    assert_eq!(status, 200, "{rotated}");
    assert_eq!(cause(text(&rotated["key"])), "permitted");
}

#[test]
fn a_stricter_rule_holds_for_what_its_caller_makes() {
    for callers in ["\"key:ID\"", "\"strict\""] {
        let tree = tree("");
        let key = made_offline(&tree, "strict", "decide,keys:write", &[]);
        let rule = rule(&callers.replace("ID", id_of(&key)), "enforce");
        let file = format!("{STATE}[trust]\nenforcement = \"off\"\n{rule}");
        tree.write("deodar.toml", &file);
        let served = Served::start(&[], tree.path());
        let (status, made) = make(
            &mut client(&served, &key),
            &json!({"name": "child", "scopes": ["decide"]}),
        );
        assert_eq!(status, 201, "{made}");
        for key in [&key, text(&made["key"])] {
            let (_, answer) = decide(&mut client(&served, key));
            assert_eq!(answer["cause"], "insufficient_trust", "{callers}: {answer}");
        }
    }
}

#[test]
fn a_refused_token_is_told_to_the_log_as_documented() {
    let docs = include_str!("../../docs/tokens.md");
    let shown = docs.lines().find(|line| line.contains("\"token refused\""));
    let shown: Value = serde_json::from_str(shown.unwrap()).unwrap();
    let tree = tree(
        "[[issuers]]\nissuer = \"https://id.example.com\"\naudience = [\"app\"]\nusage = \"principal\"\n\
         principal_type = \"U\"\njwks_file = \"keys.json\"\n",
    );
    // The public key of RFC 8037, appendix A.2.
    let key = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]});
    tree.write("keys.json", &key.to_string());
    let served = Served::start(&[], tree.path());
    // {"alg":"EdDSA"} . {"iss":"https://other.example.com"}
    let token = "eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJodHRwczovL290aGVyLmV4YW1wbGUuY29tIn0.AAAA";
    let body = json!({"token": token, "action": "Action::\"x\"", "resource": "R::\"r\""});
    for _ in 0..20 {
        let (status, problem) = served.client().post("/authorize", &body);
        assert_eq!(
            (status, &problem["code"]),
            (400, &json!("token_issuer")),
            "{problem}"
        );
    }
    wait_until("the line is there", || {
        served.log().contains("token refused")
    });
    let log = served.log();
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("token refused"))
        .collect();
    // However many are refused, one line a second is written.
    assert!(lines.len() <= 5, "{log}");
    let line: Value = serde_json::from_str(lines[0]).unwrap();
    for (member, value) in shown.as_object().unwrap() {
        assert_eq!(&line[member], value, "{member}: {line}");
    }
    assert!(!log.contains(token), "{log}");
}
