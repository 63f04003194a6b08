//! A server's life: start, drain, limits, configuration that changes under it.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{ADMIN_KEY, Client, Served, Tree, administrator, deodar, run, wait_until};

const PERMIT: &str = "@id(\"p\") permit(principal, action, resource);";

fn body() -> Value {
    json!({"principal": "U::\"a\"", "action": "Action::\"x\"", "resource": "R::\"r\""})
}

#[test]
fn sigterm_drains() {
    let tree = Tree::new(&[
        ("p/a.cedar", PERMIT),
        (
            "deodar.toml",
            "[server]\ndrain_delay = \"3s\"\ndrain_timeout = \"5s\"\nops_listen = \"127.0.0.1:0\"\n[sources]\npolicies = [\"p\"]\n",
        ),
    ]);
    let mut served = Served::start(&[], tree.path());
    let mut client = served.client();
    let mut probe = Client::new(served.ops.as_ref().unwrap());
    assert_eq!(probe.get("/readyz").0, 200);
    assert_eq!(
        probe.get("/authorize").0,
        404,
        "no decisions on the operations listener"
    );
    let began = Instant::now();
    served.signal("TERM");
    wait_until("readiness falls", || {
        let (status, ready) = probe.get("/readyz");
        status == 503 && ready["status"] == "draining"
    });
    assert!(began.elapsed() < Duration::from_millis(2_700), "at once");
    assert_eq!(
        client.post("/authorize", &body()).0,
        200,
        "still served during the delay"
    );
    drop((client, probe));
    let status = served.child.wait().unwrap();
    assert!(status.success());
    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(2_900) && took < Duration::from_secs(20),
        "{took:?}"
    );
}

#[test]
fn an_interrupt_ends_at_once_and_finishes_what_is_under_way() {
    let tree = Tree::new(&[("a.cedar", PERMIT)]);
    let mut served = Served::start(&["--policies", "a.cedar"], tree.path());
    let mut client = served.client();
    let body = body().to_string();
    let head = format!(
        "POST /authorize HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        served.address,
        body.len()
    );
    client.write(head.as_bytes()).unwrap();
    client.write(&body.as_bytes()[..10]).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    served.signal("INT");
    std::thread::sleep(Duration::from_millis(200));
    client.write(&body.as_bytes()[10..]).unwrap();
    let (status, answer) = client.read().unwrap();
    assert_eq!((status, &answer["decision"]), (200, &json!("Allow")));
    assert!(served.child.wait().unwrap().success());
}

#[test]
fn sighup_reloads() {
    let tree = Tree::new(&[
        ("a.cedar", PERMIT),
        ("deodar.toml", "reload.watch = \"off\""),
    ]);
    let served = Served::start(&["--policies", "a.cedar"], tree.path());
    let mut client = served.client();
    tree.write("a.cedar", "@id(\"q\") permit(principal, action, resource);");
    served.signal("HUP");
    wait_until("the reload", || {
        client.post("/authorize", &body()).1["reasons"] == json!(["q"])
    });
}

#[test]
fn limits_and_logging_change_under_way_and_other_keys_need_a_restart() {
    let config = |limit: u32, guard: bool, level: &str| {
        format!(
            "[sources]\npolicies = [\"a.cedar\"]\n[limits]\nbody_bytes = {limit}\nconcurrent_requests = {limit}\n[reload]\nguard = {guard}\ndebounce = \"10ms\"\n[log]\nlevel = \"{level}\"\n"
        )
    };
    let tree = Tree::new(&[
        ("a.cedar", PERMIT),
        ("deodar.toml", &config(1000, true, "info")),
    ]);
    let served = Served::start(&[], tree.path());
    let mut client = served.client();
    assert_eq!(client.post("/authorize", &body()).0, 200);
    tree.write("deodar.toml", &config(10, true, "info"));
    wait_until("the smaller limit", || {
        let (status, problem) = Client::new(&served.address).post("/authorize", &body());
        status == 413 && problem["code"] == "too_large"
    });
    tree.write("deodar.toml", &config(1000, false, "debug"));
    wait_until("the restart that is needed", || {
        client_get(&served)["restartNeeded"] == json!(["reload.guard"])
    });
    wait_until("the line about logging", || {
        served.log().contains("logging settings applied")
    });
    tree.write("deodar.toml", "[limits]\nbody_byte = 5\n");
    wait_until("the faulty file", || {
        let ready = client_get(&served);
        ready["status"] == "degraded"
            && ready["reasons"][0]
                .as_str()
                .unwrap()
                .contains("limits.body_byte")
    });
    assert_eq!(
        served.client().post("/authorize", &body()).0,
        200,
        "the last good settings stay"
    );
    let first = served.log().lines().next().unwrap().to_owned();
    assert!(
        serde_json::from_str::<Value>(&first).is_ok(),
        "JSON where no terminal is: {first}"
    );
}

fn client_get(served: &Served) -> Value {
    served.client().get("/readyz").1
}

#[test]
fn slow_and_endless_requests_are_cut() {
    let tree = Tree::new(&[
        ("a.cedar", PERMIT),
        ("deodar.toml", "limits.read_timeout = \"300ms\""),
    ]);
    let served = Served::start(&["--policies", "a.cedar"], tree.path());
    let mut slow = served.client();
    slow.write(b"POST /authorize HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{")
        .unwrap();
    let (status, problem) = slow.read().unwrap();
    assert_eq!((status, &problem["code"]), (408, &json!("timeout")));
    let mut head = served.client();
    head.write(b"POST /authorize HTTP/1.1\r\nhost: lo").unwrap();
    let began = Instant::now();
    let _ = head.read();
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "an endless head is cut"
    );
    assert_eq!(served.client().post("/authorize", &body()).0, 200);
}

#[test]
fn a_client_that_takes_no_answers_loses_its_place() {
    let settings = format!(
        "limits.read_timeout = \"500ms\"\nlimits.connections = 2\n{}",
        administrator()
    );
    let tree = Tree::new(&[("a.cedar", PERMIT), ("deodar.toml", &settings)]);
    let served = Served::start(&["--policies", "a.cedar"], tree.path());
    let request = format!(
        "GET /metrics HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {ADMIN_KEY}\r\n\r\n",
        served.address
    );
    let mut greedy: Vec<_> = (0..2).map(|_| served.client()).collect();
    for client in &mut greedy {
        client.write_until_full(request.repeat(100).as_bytes());
    }
    let began = Instant::now();
    assert_eq!(served.client().get("/healthz").0, 200);
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    drop(greedy);
}

#[test]
fn an_overfull_server_says_so() {
    let settings = "limits.concurrent_requests = 1\nlimits.queue_timeout = \"1ms\"";
    // Thousands of policies that are all looked at make a decision take its time.
    let many: String = (0..3_000)
        .map(|n| {
            format!(
                "@id(\"p{n}\") permit(principal, action, resource) when {{ context has x{n} }};\n"
            )
        })
        .collect();
    let tree = Tree::new(&[("a.cedar", &many), ("deodar.toml", settings)]);
    let served = Served::start(&["--policies", "a.cedar"], tree.path());
    let until = Instant::now() + Duration::from_secs(20);
    let overloaded = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = served.client();
                while !overloaded.load(Ordering::SeqCst) && Instant::now() < until {
                    let (status, problem) = client.post("/authorize", &body());
                    if status == 503 {
                        assert_eq!(problem["code"], "overloaded");
                        assert_eq!(problem["retryAfter"], 1);
                        overloaded.store(true, Ordering::SeqCst);
                    } else {
                        assert_eq!(status, 200, "{problem}");
                    }
                }
            });
        }
    });
    assert!(overloaded.load(Ordering::SeqCst));
}

#[test]
fn whoever_waits_for_a_state_keeps_nobody_waiting() {
    let settings = "limits.concurrent_requests = 1\nlimits.queue_timeout = \"2s\"";
    let tree = Tree::new(&[("a.cedar", PERMIT), ("deodar.toml", settings)]);
    let served = Served::start(&["--policies", "a.cedar"], tree.path());
    let mut waiting = body();
    waiting["atLeast"] = 9.into();
    std::thread::scope(|scope| {
        let holder = scope.spawn(|| {
            let mut client = served.client();
            (0..5)
                .map(|_| client.post("/authorize", &waiting))
                .collect::<Vec<_>>()
        });
        let mut client = served.client();
        let mut answered = 0;
        while !holder.is_finished() {
            assert_eq!(client.post("/authorize", &body()).0, 200);
            answered += 1;
        }
        assert!(answered > 5, "{answered} while five waited for 100 ms each");
        for (status, problem) in holder.join().unwrap() {
            assert_eq!((status, &problem["code"]), (503, &json!("stale")));
        }
    });
}

#[test]
fn keys_are_asked_for_and_never_logged() {
    let settings = "client.key = {file = \"key\"}\nlog.level = \"trace\"\n".to_owned();
    let tree = Tree::new(&[
        ("a.cedar", PERMIT),
        ("key", ADMIN_KEY),
        ("deodar.toml", &(settings + &administrator())),
    ]);
    let served = Served::start(&["--policies", "a.cedar"], tree.path());
    let (status, problem) = served.client().post("/admin/reload", &json!({}));
    assert_eq!((status, &problem["code"]), (401, &json!("unauthenticated")));
    let (status, who) = served.administrator().get("/whoami");
    assert_eq!((status, &who["name"]), (200, &json!("administrator")));
    let reload = || {
        run(deodar()
            .current_dir(tree.path())
            .args(["reload", &served.address]))
    };
    let ran = reload();
    assert_eq!((ran.code, ran.out.trim()), (0, "unchanged"), "{}", ran.err);
    tree.write("key", "another-key-that-is-wrong\n");
    let ran = reload();
    ran.ends(1);
    assert!(
        ran.err
            .contains("the API key or token is unknown, expired or revoked"),
        "{}",
        ran.err
    );
    for secret in [ADMIN_KEY, "another-key-that-is-wrong"] {
        assert!(!served.log().contains(secret));
        assert!(!ran.out.contains(secret) && !ran.err.contains(secret));
    }
}

#[test]
fn callers_change_without_a_restart() {
    let tree = Tree::new(&[
        ("a.cedar", PERMIT),
        ("deodar.toml", "log.level = \"info\"\n"),
    ]);
    let served = Served::start(&["--policies", "a.cedar"], tree.path());
    assert_eq!(served.administrator().get("/whoami").0, 401);
    tree.write("deodar.toml", &administrator());
    wait_until("the caller to be known", || {
        served.administrator().get("/whoami").0 == 200
    });
    tree.write("deodar.toml", "log.level = \"info\"\n");
    wait_until("the caller to be gone", || {
        [401, 429].contains(&served.administrator().get("/whoami").0)
    });
}

/// A key set with one Ed25519 key, and tokens that it signed: for a principal, for a caller.
const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","alg":"EdDSA","use":"sig","x":"A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"}]}"#;
const OF_PRINCIPAL: &str = "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCIsImtpZCI6ImsxIn0.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwiYXVkIjoiYXBwIiwic3ViIjoiYSIsImlhdCI6MTcwMDAwMDAwMCwiZXhwIjo0MTAyNDQ0ODAwLCJzY29wZSI6ImRlY2lkZSJ9.rJ_g_DOHHvylVM7u3xOHjXTDg1j0lZmmq-tdXP2zR4Gb3A5qivnfxMkhuq2Lrf5LosmQw7K7HNts3freVbl7Aw";
const OF_CALLER: &str = "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCIsImtpZCI6ImsxIn0.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwiYXVkIjoiZGVvZGFyIiwic3ViIjoic3ZjIiwiaWF0IjoxNzAwMDAwMDAwLCJleHAiOjQxMDI0NDQ4MDAsInNjb3BlIjoiZGVjaWRlIn0.3axbLWJZoQPQd-9mR-OHuyK_LJnJ3EaOpt16NpboriOLjVObjpvkctk9zBiymocMMJtU4RncRH2ILSTIUrUeCA";

#[test]
fn tokens_are_taken_and_never_logged_or_recorded() {
    let settings = "log.level = \"trace\"\naudit.file = \"decisions.ndjson\"\n\
        [[issuers]]\nissuer = \"https://idp.example\"\naudience = [\"app\"]\nusage = \"principal\"\n\
        jwks_file = \"keys.json\"\nprincipal_type = \"U\"\n\
        [[issuers]]\nissuer = \"https://idp.example\"\naudience = [\"deodar\"]\nusage = \"caller\"\n\
        jwks_file = \"keys.json\"\n";
    let tree = Tree::new(&[
        (
            "a.cedar",
            "permit(principal == U::\"a\", action, resource);",
        ),
        ("keys.json", KEYS),
        ("deodar.toml", settings),
    ]);
    let served = Served::start(&["--policies", "a.cedar"], tree.path());
    let mut caller = served.client();
    caller.key = Some(OF_CALLER.to_owned());
    let (status, who) = caller.get("/whoami");
    assert_eq!(
        (status, &who["name"]),
        (200, &json!("https://idp.example#svc"))
    );
    let asked = json!({"token": OF_PRINCIPAL, "action": "Action::\"x\"", "resource": "R::\"r\""});
    let (status, answer) = caller.post("/authorize", &asked);
    assert_eq!(
        (status, &answer["decision"]),
        (200, &json!("Allow")),
        "{answer}"
    );
    // One that is changed, in both places.
    let changed = OF_PRINCIPAL.replace(".rJ_g", ".rJ_h");
    let asked = json!({"token": changed, "action": "Action::\"x\"", "resource": "R::\"r\""});
    let (status, problem) = caller.post("/authorize", &asked);
    assert_eq!((status, &problem["code"]), (400, &json!("token_signature")));
    caller.key = Some(OF_CALLER.replace(".3axb", ".3axc"));
    assert_eq!(caller.get("/whoami").0, 401);
    served.signal("INT");
    wait_until("the server to end", || served.log().contains("\"ended\""));
    let recorded = std::fs::read_to_string(tree.join("decisions.ndjson")).unwrap();
    assert!(recorded.contains("\"U\"") && recorded.contains("idp.example#svc"));
    for token in [OF_PRINCIPAL, OF_CALLER] {
        for part in token.split('.').skip(1) {
            assert!(!served.log().contains(part) && !recorded.contains(part));
        }
    }
}
