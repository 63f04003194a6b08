//! A server with a state directory and a decision log: keys, entities, denials, records; also across
//! kill -9.
//!
//! `KILLS=100 cargo test --test it manage::killed` kills often; by default it does so a few times.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Client, Ran, Served, Tree, deodar, run};

const POLICIES: &str = "@id(\"member\") permit(principal in G::\"g\", action, resource);";
const CONFIG: &str = "[state]\ndir = \"state\"\n[audit]\nfile = \"log/decisions.ndjson\"\nchain = \"hmac\"\n\
    key = {file = \"audit.key\"}\ncheckpoint_interval = \"100ms\"\n\
    [limits]\nmanage_per_second = 100000\n";

fn tree() -> Tree {
    let tree = Tree::new(&[
        ("a.cedar", POLICIES),
        ("deodar.toml", CONFIG),
        ("audit.key", "0123456789abcdef0123456789abcdef\n"),
    ]);
    std::fs::create_dir(tree.join("log")).unwrap();
    tree
}

fn cli(tree: &Tree, arguments: &[&str]) -> Ran {
    run(deodar().current_dir(tree.path()).args(arguments))
}

/// A key that may do everything, made while no server runs.
fn admin(tree: &Tree) -> String {
    let scopes: Vec<_> = deodar::Scope::ALL
        .iter()
        .map(|scope| scope.name())
        .collect();
    let ran = cli(
        tree,
        &[
            "keys",
            "create",
            "--offline",
            "--name",
            "admin",
            "--inline",
            "override",
            "--scopes",
            &scopes.join(","),
        ],
    );
    ran.ends(0);
    let key = ran.out.trim().to_owned();
    assert!(key.starts_with("dk_"), "{key}");
    key
}

fn client(served: &Served, key: &str) -> Client {
    let mut client = served.client();
    client.key = Some(key.to_owned());
    client
}

fn send(client: &mut Client, method: &str, path: &str, body: &Value) -> (u16, Value) {
    client.send(method, path, Some(body.to_string())).unwrap()
}

fn ask(client: &mut Client, user: &str) -> Value {
    let body = json!({"principal": {"type": "U", "id": user}, "action": "Action::\"x\"", "resource": "R::\"r\""});
    let (status, answer) = client.post("/authorize", &body);
    assert_eq!(status, 200, "{answer}");
    answer["decision"].clone()
}

#[test]
fn keys_are_made_rotated_and_revoked_over_http() {
    let tree = tree();
    let key = admin(&tree);
    tree.write("admin.key", &key);
    let served = Served::start(&["--policies", "a.cedar"], tree.path());
    let shown = ["--key-file", "admin.key", "--server", &served.address];
    let with = |arguments: &[&str]| cli(&tree, &[arguments, shown.as_slice()].concat());
    let made = with(&["keys", "create", "--name", "orders", "--scopes", "decide"]);
    made.ends(0);
    let orders = made.out.trim().to_owned();
    let (status, who) = client(&served, &orders).get("/whoami");
    assert_eq!(
        (status, &who["name"], &who["scopes"]),
        (200, &json!("orders"), &json!(["decide"]))
    );
    // Who lacks a scope can give it to nobody.
    let keys = with(&[
        "keys",
        "create",
        "--name",
        "maker",
        "--scopes",
        "keys:write",
    ]);
    let mut maker = client(&served, keys.out.trim());
    let more = json!({"name": "more", "scopes": ["decide"]});
    let (status, problem) = send(&mut maker, "POST", "/keys", &more);
    assert_eq!(
        (status, &problem["code"]),
        (403, &json!("scope_required")),
        "{problem}"
    );
    let (_, listed) = maker.get("/keys");
    let id = |name: &str| {
        let keys = listed["keys"].as_array().unwrap().iter();
        let mut found = keys.filter(|key| key["name"] == name);
        found.next().unwrap()["id"].as_str().unwrap().to_owned()
    };
    let (status, _) = send(
        &mut maker,
        "POST",
        &format!("/keys/{}/rotate", id("admin")),
        &json!({}),
    );
    assert_eq!(status, 403);
    let rotated = with(&["keys", "rotate", &id("orders"), "--overlap", "0s"]);
    rotated.ends(0);
    assert_eq!(client(&served, &orders).get("/whoami").0, 401);
    let orders = rotated.out.trim().to_owned();
    assert_eq!(client(&served, &orders).get("/whoami").0, 200);
    assert_eq!(with(&["keys", "revoke", &id("orders")]).code, 0);
    assert_eq!(client(&served, &orders).get("/whoami").0, 401);
    // Nobody bounded makes a key with wider limits, or with none.
    let bounded = json!({"name": "bounded", "scopes": ["keys:write", "decide"], "limits": {"requestsPerSecond": 5}});
    let (_, bounded) = send(&mut client(&served, &key), "POST", "/keys", &bounded);
    let mut bounded = client(&served, bounded["key"].as_str().unwrap());
    let wider = json!({"name": "wider", "scopes": ["decide"], "limits": {"requestsPerSecond": 6}});
    assert_eq!(send(&mut bounded, "POST", "/keys", &wider).0, 403);
    let same = json!({"name": "same", "scopes": ["decide"]});
    let (_, made) = send(&mut bounded, "POST", "/keys", &same);
    assert_eq!(made["limits"]["requestsPerSecond"], 5, "{made}");
    let owner = json!({"name": "owner", "scopes": ["decide"]});
    assert_eq!(send(&mut bounded, "POST", "/keys", &owner).0, 400);
    for secret in [&key, &orders] {
        assert!(!served.log().contains(secret.as_str()));
    }
}

#[test]
fn entities_are_written_and_decide_at_once() {
    let tree = tree();
    let key = admin(&tree);
    let mut served = Served::start(&["--policies", "a.cedar"], tree.path());
    let mut admin = client(&served, &key);
    assert_eq!(ask(&mut admin, "ada"), "Deny");
    let member = json!({"parents": [{"type": "G", "id": "g"}]});
    let (status, written) = send(&mut admin, "PUT", "/entities/U/ada", &member);
    assert_eq!((status, &written["stored"]), (200, &json!(1)), "{written}");
    assert_eq!(ask(&mut admin, "ada"), "Allow");
    let batch = json!({"changes": [
        {"upsert": {"uid": {"type": "U", "id": "bo"}, "attrs": {}, "parents": [{"type": "G", "id": "g"}]}},
        {"delete": {"type": "U", "id": "ada"}},
    ], "ifSequence": written["sequence"]});
    let (status, done) = send(&mut admin, "POST", "/entities", &batch);
    assert_eq!(status, 200, "{done}");
    let (status, problem) = send(&mut admin, "POST", "/entities", &batch);
    assert_eq!(
        (status, &problem["code"]),
        (412, &json!("sequence_mismatch"))
    );
    assert_eq!(
        (ask(&mut admin, "ada"), ask(&mut admin, "bo")),
        (json!("Deny"), json!("Allow"))
    );
    let (status, entity) = admin.get("/entities/U/bo");
    assert_eq!((status, &entity["origin"]), (200, &json!("api")));
    assert_eq!(admin.get("/entities/U/ada").0, 404);
    let (status, problem) = send(&mut admin, "PUT", "/entities/U/x", &json!({"attrs": 5}));
    assert_eq!(status, 422, "{problem}");
    // A faulty change spoils its batch.
    let half = json!({"changes": [{"delete": {"type": "U", "id": "bo"}}, {"upsert": {"uid": 1}}]});
    let (status, problem) = send(&mut admin, "POST", "/entities", &half);
    assert_eq!(
        (status, &problem["errors"][0]["pointer"]),
        (422, &json!("/changes/1")),
        "{problem}"
    );
    assert_eq!(ask(&mut admin, "bo"), "Allow");
    served.child.kill().unwrap();
    served.child.wait().unwrap();
    let served = Served::start(&["--policies", "a.cedar"], tree.path());
    assert_eq!(ask(&mut client(&served, &key), "bo"), "Allow");
}

#[test]
fn without_a_state_directory_what_needs_one_says_so() {
    let config = crate::support::administrator();
    let tree = Tree::new(&[("a.cedar", POLICIES), ("deodar.toml", &config)]);
    let served = Served::start(&["--policies", "a.cedar"], tree.path());
    let mut admin = served.administrator();
    for (method, path, body) in [
        ("GET", "/keys", json!({})),
        ("POST", "/keys", json!({"name": "a", "scopes": ["decide"]})),
        ("PUT", "/entities/U/a", json!({})),
        ("GET", "/revisions", json!({})),
    ] {
        let (status, problem) = send(&mut admin, method, path, &body);
        assert_eq!(
            (status, &problem["code"]),
            (501, &json!("no_state")),
            "{method} {path}"
        );
    }
    let denial = json!({"kind": "subject", "value": "mallory"});
    let (status, done) = send(&mut admin, "POST", "/denials", &denial);
    assert_eq!((status, &done["durable"]), (201, &json!(false)));
}

#[test]
fn denials_and_revisions_are_kept() {
    let tree = tree();
    tree.write("e.json", "[]");
    let key = admin(&tree);
    let sources = ["--policies", "a.cedar", "--entities", "e.json"];
    let mut served = Served::start(&sources, tree.path());
    let denial = json!({"kind": "session", "value": "s1", "issuer": "https://idp.example"});
    let (status, done) = send(&mut client(&served, &key), "POST", "/denials", &denial);
    assert_eq!((status, &done["durable"]), (201, &json!(true)));
    // A weaker one does not take its place, in memory or on disk.
    let mut weaker = denial.clone();
    weaker["issuedBefore"] = "2020-01-01T00:00:00Z".into();
    weaker["expires"] = "2090-01-01T00:00:00Z".into();
    let (_, done) = send(&mut client(&served, &key), "POST", "/denials", &weaker);
    assert_eq!(done["denial"], denial);
    weaker["expires"] = "2020-01-01T00:00:00Z".into();
    assert_eq!(
        send(&mut client(&served, &key), "POST", "/denials", &weaker).0,
        400
    );
    served.child.kill().unwrap();
    served.child.wait().unwrap();
    let served = Served::start(&sources, tree.path());
    let mut admin = client(&served, &key);
    assert_eq!(admin.get("/denials").1["denials"], json!([denial]));
    assert_eq!(send(&mut admin, "DELETE", "/denials", &denial).0, 200);
    assert_eq!(send(&mut admin, "DELETE", "/denials", &denial).0, 404);
    let (_, revisions) = admin.get("/revisions");
    let sequence = revisions["revisions"][0]["sequence"].as_u64().unwrap();
    let (status, revision) = admin.get(&format!("/revisions/{sequence}"));
    assert_eq!(
        (status, &revision["sources"][0]["text"]),
        (200, &json!(POLICIES))
    );
    assert_eq!(admin.get("/revisions/999999").0, 404);
    let (status, problem) = admin.get("/revisions/x");
    assert_eq!((status, &problem["code"]), (400, &json!("invalid_request")));
    let reader = json!({"name": "reader", "scopes": ["policies:read"]});
    let (_, made) = send(&mut admin, "POST", "/keys", &reader);
    let mut reader = client(&served, made["key"].as_str().unwrap());
    let (_, revision) = reader.get(&format!("/revisions/{sequence}"));
    assert_eq!(
        revision["sources"].as_array().unwrap().len(),
        1,
        "no entities"
    );
}

fn verify(tree: &Tree) -> Ran {
    cli(
        tree,
        &[
            "audit",
            "verify",
            "log/decisions.ndjson",
            "--key-file",
            "audit.key",
            "--json",
        ],
    )
}

#[test]
fn every_decision_is_recorded_and_tampering_is_named() {
    let tree = tree();
    let key = admin(&tree);
    let mut served = Served::start(&["--policies", "a.cedar"], tree.path());
    let mut admin = client(&served, &key);
    for user in ["ada", "bo", "cy"] {
        ask(&mut admin, user);
    }
    let (_, status) = admin.get("/audit");
    assert_eq!(
        (&status["recording"], &status["dropped"]),
        (&json!(true), &json!(0))
    );
    served.signal("INT");
    served.child.wait().unwrap();
    let text = std::fs::read_to_string(tree.join("log/decisions.ndjson")).unwrap();
    for part in ["\"caller\":\"admin\"", "\"bo\"", "\"not_permitted\""] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains(&key));
    let holds = verify(&tree);
    holds.ends(0);
    std::fs::write(
        tree.join("log/decisions.ndjson"),
        text.replacen("\"bo\"", "\"bz\"", 1),
    )
    .unwrap();
    let changed = verify(&tree);
    changed.ends(2);
}

/// What a server acknowledged before it was killed.
#[derive(Default)]
struct Acknowledged {
    entities: Vec<String>,
    keys: Vec<String>,
}

#[test]
fn killed_again_and_again_nothing_acknowledged_is_lost() {
    let kills = std::env::var("KILLS")
        .ok()
        .and_then(|text| text.parse().ok());
    let kills: u64 = kills.unwrap_or(4);
    let tree = tree();
    let key = admin(&tree);
    let acknowledged = Arc::new(Mutex::new(Acknowledged::default()));
    for round in 0..kills {
        let mut served = Served::start(&["--policies", "a.cedar"], tree.path());
        check(&mut client(&served, &key), &acknowledged.lock().unwrap());
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let (served, key, stop) = (&served, &key, &stop);
                let acknowledged = Arc::clone(&acknowledged);
                scope.spawn(move || {
                    let mut client = client(served, key);
                    for n in 0.. {
                        if stop.load(Ordering::SeqCst)
                            || write(&mut client, &acknowledged, &format!("{round}-{thread}-{n}"))
                                .is_err()
                        {
                            return;
                        }
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(60 + round * 37 % 300));
            served.signal("KILL");
            stop.store(true, Ordering::SeqCst);
        });
        served.child.wait().unwrap();
    }
    let served = Served::start(&["--policies", "a.cedar"], tree.path());
    let acknowledged = acknowledged.lock().unwrap();
    check(&mut client(&served, &key), &acknowledged);
    assert!(
        acknowledged.entities.len() as u64 > kills,
        "{}",
        acknowledged.entities.len()
    );
    served.signal("INT");
    drop(served);
    // What was cut off is named by a record of its own; the chain holds over it.
    let verified = verify(&tree);
    verified.ends(0);
    assert!(!Path::new(&tree.join("state")).join("tmp").exists());
}

fn write(
    client: &mut Client,
    acknowledged: &Mutex<Acknowledged>,
    name: &str,
) -> std::io::Result<()> {
    let member = json!({"parents": [{"type": "G", "id": "g"}]}).to_string();
    let (status, answer) = client.send("PUT", &format!("/entities/U/{name}"), Some(member))?;
    assert_eq!(status, 200, "{answer}");
    acknowledged.lock().unwrap().entities.push(name.to_owned());
    let new = json!({"name": name, "scopes": ["decide"]}).to_string();
    let (status, answer) = client.send("POST", "/keys", Some(new))?;
    assert_eq!(status, 201, "{answer}");
    let key = answer["key"].as_str().unwrap().to_owned();
    acknowledged.lock().unwrap().keys.push(key);
    let body = json!({"principal": {"type": "U", "id": name}, "action": "Action::\"x\"", "resource": "R::\"r\""});
    let (status, answer) = client.send("POST", "/authorize", Some(body.to_string()))?;
    assert_eq!((status, &answer["decision"]), (200, &json!("Allow")));
    Ok(())
}

fn check(client: &mut Client, acknowledged: &Acknowledged) {
    for name in &acknowledged.entities {
        assert_eq!(ask(client, name), "Allow", "{name} was acknowledged");
    }
    let admin = client.key.clone();
    for key in &acknowledged.keys {
        client.key = Some(key.clone());
        assert_eq!(client.get("/whoami").0, 200, "a key was acknowledged");
    }
    client.key = admin;
}
