//! The command line: exit codes, messages, JSON.

use serde_json::json;

use crate::support::{ADMIN_KEY, Served, Tree, administrator, deodar, root, run};

#[track_caller]
fn check(arguments: &[&str], code: i32, expect: &str) -> crate::support::Ran {
    let ran = run(deodar().args(arguments));
    let all = format!("{}{}", ran.out, ran.err);
    assert_eq!(ran.code, code, "{arguments:?}: {all}");
    assert!(all.contains(expect), "{arguments:?}: `{expect}` in {all}");
    ran
}

const ALICE: [&str; 5] = [
    "--principal",
    "Workspace::User::\"alice\"",
    "--action",
    "Workspace::Action::\"readProfile\"",
    "--resource",
];

#[test]
fn exit_codes() {
    let own = [
        &["authorize", "--sample"],
        &ALICE[..],
        &["Workspace::Profile::\"alice\""],
    ]
    .concat();
    check(&own, 0, "Allow  (permitted)\n  policy own-profile-read");
    let other = [
        &["authorize", "--sample"],
        &ALICE[..],
        &["Workspace::Profile::\"petra\""],
    ]
    .concat();
    check(&other, 2, "Deny  (");
    check(
        &["authorize", "--sample"],
        1,
        "give --principal and --action and --resource",
    );
    check(&["authorise"], 1, "authorize");
    check(&["serve", "--lisen", "x"], 1, "--listen");
    let ran = check(&["validate", "--json", "--polices", "x"], 1, "--policies");
    assert_eq!(ran.json()["error"]["code"], "could_not_run");
    check(&["--version"], 0, "deodar ");
    check(&["--help"], 0, "Exit codes");
    check(&["validate", "--sample"], 0, "valid: 79 policies");
    check(&["serve"], 1, "--sample");
    check(
        &["serve", "--sample", "--listen", "0.0.0.0:0"],
        1,
        "danger_allow_anonymous",
    );
    check(&["test", "/nonexistent"], 1, "cannot read");
    check(&["health", "127.0.0.1:9"], 1, "is `deodar serve` running?");
    check(&["completions", "bash"], 0, "_deodar");
    let mut unknown = own.clone();
    unknown[5] = "Workspace::Action::\"readProfil\"";
    check(&unknown, 1, "/action: the schema declares no action");
}

/// Every command that decides takes the flags that name what it decides on; none is dropped in silence.
#[test]
fn sources_are_taken_by_every_command_that_decides() {
    let tree = Tree::new(&[
        (
            "p.cedar",
            "@id(\"all\") permit(principal, action, resource);",
        ),
        ("deodar.toml", "[trust]\nenforcement = \"report\"\n"),
        ("links.json", "[]"),
    ]);
    let ask = [
        "--principal",
        "U::\"a\"",
        "--action",
        "Action::\"x\"",
        "--resource",
        "R::\"r\"",
    ];
    let policies = ["--policies", "p.cedar"];
    // `score` exits with what enforcement would decide: nothing is known of this user.
    for (command, code) in [("authorize", 0), ("score", 2)] {
        let mut deodar = deodar();
        deodar.current_dir(tree.path()).arg(command);
        let ran = run(deodar.args(policies).args(ask).arg("--json"));
        assert_eq!(ran.code, code, "{command}: {}{}", ran.out, ran.err);
        assert_eq!(ran.json()["decision"], "Allow", "{command}");
    }
    let server = ["--server", "http://127.0.0.1:1", "--links", "links.json"];
    let mut deodar = deodar();
    deodar.current_dir(tree.path()).arg("authorize");
    let ran = run(deodar.args(server).args(ask));
    ran.ends(1).complains("cannot be used with");
}

/// A forbid that its file's name hides is told by `validate`, and refused where warnings are.
#[test]
fn a_policy_file_that_is_not_read_is_a_warning() {
    let tree = Tree::new(&[
        ("p/a.cedar", "permit(principal, action, resource);"),
        (
            "p/leavers.cedar.bak",
            "forbid(principal, action, resource);",
        ),
    ]);
    let validate = |more: &[&str]| {
        let mut deodar = deodar();
        deodar.current_dir(tree.path());
        run(deodar.args(["validate", "--policies", "p"]).args(more))
    };
    let ran = validate(&[]);
    ran.ends(0);
    ran.complains("leavers.cedar.bak").complains("not read");
    assert_eq!(validate(&["--deny-warnings"]).code, 3);
    let warnings = validate(&["--json"]).json()["warnings"].clone();
    assert_eq!(warnings[0]["code"], "not_read", "{warnings}");
}

/// The first request of the README: what a newcomer sees.
#[test]
fn every_command_scores_the_sample_alike() {
    let own = [&ALICE[..], &["Workspace::Profile::\"alice\"", "--json"]].concat();
    let own: Vec<_> = own
        .into_iter()
        .filter(|argument| *argument != "authorize")
        .collect();
    let with = |command: &str| {
        let ran = run(deodar().args([command, "--sample"]).args(&own));
        ran.ends(0);
        ran.json()
    };
    let (authorized, scored) = (with("authorize"), with("score"));
    let tree = Tree::new(&[]);
    let served = crate::support::Served::start(&["--sample"], tree.path());
    let asked = serde_json::json!({
        "principal": {"type": "Workspace::User", "id": "alice"},
        "action": {"type": "Workspace::Action", "id": "readProfile"},
        "resource": {"type": "Workspace::Profile", "id": "alice"},
    });
    let (_, answered) = served.client().post("/authorize", &asked);
    for answer in [&authorized, &scored, &answered] {
        assert_eq!(answer["decision"], "Allow", "{answer}");
        assert!(answer.get("wouldBe").is_none(), "{answer}");
        assert_eq!(answer["trust"]["risk"], "MEDIUM", "{answer}");
        let missing = serde_json::json!(["device", "location", "behavior", "network"]);
        assert_eq!(answer["trust"]["missing"], missing, "{answer}");
        for member in [
            "score",
            "required",
            "level",
            "requiredLevel",
            "configuration",
            "enforcement",
        ] {
            assert_eq!(
                answer["trust"][member], authorized["trust"][member],
                "{member}"
            );
        }
    }
    let told = run(deodar()
        .args(["authorize", "--sample"])
        .args(own.iter().filter(|a| **a != "--json")));
    told.complains("scored by the sample's [trust]");
    assert!(
        told.out
            .contains("not known: device, location, behavior, network"),
        "{}",
        told.out
    );
}

#[test]
fn a_score_is_explained_and_compared() {
    let tree = Tree::new(&[(
        "request.json",
        r#"{"principal": "Workspace::User::\"greta\"", "action": "Workspace::Action::\"readReport\"",
            "resource": "Workspace::Report::\"q1-2026\"", "client": {"ip": "10.20.3.4"},
            "signals": {"device": {"registered": true, "jailbroken": false}, "location": {"country": "NO"}}}"#,
    )]);
    let file = tree.join("request.json");
    let score = |more: &[&str]| {
        let mut command = deodar();
        command.args(["score", "--sample", "--now", "2026-03-10T10:00:00Z"]);
        run(command.arg(&file).args(more))
    };
    let shown = score(&["--bars"]);
    shown.ends(2);
    for expect in [
        "enforced it would be Deny",
        "identity",
        "device registered: factor +0.30",
        "░",
        "What would raise it:",
    ] {
        assert!(
            shown.out.contains(expect),
            "{expect} is not in {}",
            shown.out
        );
    }
    let compared = |change: &str| {
        let ran = score(&["--json", "--what-if", change]).json();
        let score = |at: &str| ran.pointer(at).and_then(serde_json::Value::as_f64).unwrap();
        score("/whatIf/trust/score") - score("/asItIs/trust/score")
    };
    assert!(compared("device.jailbroken=true") < 0.0);
    assert!(compared("device.managed=true") > 0.0);
    // Asking changes nothing of what is asked next.
    assert_eq!(compared("device.jailbroken=false"), 0.0);
    assert_eq!(score(&["--what-if", "device.managed"]).code, 1);
    assert_eq!(score(&["--what-if", "device.mangaed=true"]).code, 1);
}

#[test]
fn invalid_policies_are_shown_with_their_place() {
    let tree = Tree::new(&[
        (
            "p/a.cedar",
            "@id(\"x\")\npermit(principal, action == Action::\"go\", resource)\nwhen { principal.agee > 1 };\n",
        ),
        (
            "p/b.cedar",
            "permit(principal, action, resource) when { 1 + };\n",
        ),
        (
            "s.cedarschema",
            "entity User = {age: Long}; action go appliesTo {principal: User, resource: User};",
        ),
    ]);
    let directory = tree.path().to_str().unwrap();
    let schema = tree.join("s.cedarschema");
    let schema = schema.to_str().unwrap();
    let ran = check(
        &["validate", "--policies", directory, "--schema", schema],
        3,
        "b.cedar:1:48",
    );
    ran.complains("1 + }");
    let ran = check(
        &["validate", "--json", "--policies", directory],
        3,
        "\"faults\"",
    );
    let fault = &ran.json()["error"]["faults"][0];
    assert!(fault["file"].as_str().unwrap().ends_with("p/b.cedar"));
    assert_eq!(
        (&fault["line"], &fault["code"]),
        (&json!(1), &json!("parse"))
    );
    tree.remove("p/b.cedar");
    let ran = check(
        &["validate", "--policies", directory, "--schema", schema],
        3,
        "a.cedar:3",
    );
    ran.complains("agee").complains("help");
    check(
        &[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--policies",
            directory,
            "--schema",
            schema,
        ],
        3,
        "agee",
    );
    check(
        &["validate", "--policies", directory],
        0,
        "without a schema",
    );
}

#[test]
fn authorize_reads_files_flags_and_standard_input() {
    let tree = Tree::new(&[
        (
            "p.cedar",
            "@id(\"p\") permit(principal, action, resource) when { context.mfa && resource.open };",
        ),
        (
            "e.json",
            r#"[{"uid":{"type":"R","id":"r"},"attrs":{"open":true},"parents":[]}]"#,
        ),
        ("context.json", r#"{"mfa": true}"#),
        (
            "request.json",
            r#"{"principal":"U::\"a\"","action":"Action::\"x\"","resource":"R::\"r\"","context":{"mfa":true},"explain":true}"#,
        ),
    ]);
    let flags = [
        "authorize",
        "--policies",
        "p.cedar",
        "--entities",
        "e.json",
        "--principal",
        "U::\"a\"",
        "--action",
        "Action::\"x\"",
        "--resource",
        "R::\"r\"",
    ];
    let in_tree = |arguments: &[&str]| {
        let mut command = deodar();
        command.current_dir(tree.path()).args(arguments);
        command
    };
    let with = |more: &[&str]| run(&mut in_tree(&[&flags[..], more].concat()));
    assert_eq!(with(&["--context", r#"{"mfa": true}"#]).code, 0);
    assert_eq!(with(&["--context", "context.json"]).code, 0);
    assert_eq!(with(&["--context", r#"{"mfa": false}"#]).code, 2);
    let failed = with(&[]);
    failed.ends(2);
    failed.says("policy p failed: ");
    assert_eq!(with(&["--context", "{"]).code, 1);
    let twice = with(&["--context", r#"{"mfa": false, "mfa": true}"#]);
    twice.ends(1).complains("appears twice");
    let ran = run(&mut in_tree(&[
        "authorize",
        "request.json",
        "--policies",
        "p.cedar",
        "--entities",
        "e.json",
    ]));
    ran.says("policy p  p.cedar:1");
    let input = std::fs::File::open(tree.join("request.json")).unwrap();
    let ran = run(in_tree(&[
        "authorize",
        "-",
        "--json",
        "--policies",
        "p.cedar",
        "--entities",
        "e.json",
    ])
    .stdin(input));
    assert_eq!((ran.code, &ran.json()["reasons"]), (0, &json!(["p"])));
}

#[test]
fn cedars_run_tests_files() {
    let tree = Tree::new(&[
        (
            "p.cedar",
            "permit(principal == U::\"a\", action, resource in G::\"g\");\nforbid(principal, action, resource) when { context.bad };",
        ),
        (
            "e.json",
            r#"[{"uid":{"type":"R","id":"r"},"attrs":{},"parents":[{"type":"G","id":"g"}]}]"#,
        ),
        (
            "tests.json",
            r#"[
            {"name": "by file", "request": {"principal": "U::\"a\"", "action": "Action::\"x\"", "resource": "R::\"r\"", "context": {"bad": false}},
             "entities": "e.json", "decision": "allow", "reason": ["policy0"], "num_errors": 0},
            {"request": {"principal": "U::\"a\"", "action": "Action::\"x\"", "resource": "R::\"r\"", "context": {}},
             "entities": [], "decision": "deny", "reason": [], "num_errors": 1},
            {"name": "wrong", "request": {"principal": "U::\"b\"", "action": "Action::\"x\"", "resource": "R::\"r\"", "context": {}},
             "entities": [], "decision": "allow", "reason": ["policy0"], "num_errors": 0}
        ]"#,
        ),
    ]);
    let ran = run(deodar().current_dir(tree.path()).args([
        "test",
        "tests.json",
        "--policies",
        "p.cedar",
    ]));
    ran.ends(2);
    assert_eq!(ran.out.lines().last(), Some("2 passed, 1 failed"));
    ran.says("number of errors: expected 0, found 1");
    let ran = run(deodar()
        .current_dir(tree.path())
        .args(["test", "tests.json"]));
    ran.ends(1).complains("--policies");
}

#[test]
fn configuration_is_printed_with_its_origins() {
    let tree = Tree::new(&[("deodar.toml", "[limits]\nbody_bytes = 7\n")]);
    let ran = run(deodar()
        .current_dir(tree.path())
        .env("DEODAR_LOG_LEVEL", "debug")
        .args(["config", "--json"]));
    let config = ran.json();
    assert_eq!(
        config["limits.body_bytes"],
        json!({"value": 7, "origin": "deodar.toml:2"})
    );
    assert_eq!(
        config["log.level"],
        json!({"value": "debug", "origin": "$DEODAR_LOG_LEVEL"})
    );
    assert_eq!(config["limits.json_depth"]["origin"], "default");
    let ran = run(deodar()
        .current_dir(tree.path())
        .env("DEODAR_LOG_LEVLE", "x")
        .args(["config"]));
    ran.ends(1).complains("did you mean `DEODAR_LOG_LEVEL`?");
    let sample = root().join("deodar.toml");
    check(
        &["config", "--config", sample.to_str().unwrap()],
        0,
        "server.listen",
    );
}

#[test]
fn every_table_of_the_configuration_is_printed_and_no_secret() {
    let file = "[trust]\nenforcement = \"enforce\"\n[[webhooks]]\nname = \"soc\"\n\
                url = \"https://soc.example.org/d\"\nsecret = {env = \"SOC_SECRET\"}\n";
    let tree = Tree::new(&[("deodar.toml", file)]);
    let config = |flags: &[&str]| {
        let ran = run(deodar()
            .current_dir(tree.path())
            .env("SOC_SECRET", "whsec_hunter2hunter2hunter2hunter2")
            .env("DEODAR_TRUST_SIGNALS_HALF_LIFE", "30m")
            .arg("config")
            .args(flags));
        ran.ends(0);
        assert!(!ran.out.contains("hunter2"), "{}", ran.out);
        ran
    };
    let shown = config(&[]).out;
    for line in [
        r#"trust.enforcement = "enforce""#,
        r#"trust.signals.half_life = "30m""#,
        r#"trust.model.max_age.device = "30d""#,
        r#"webhooks[0].secret = {"env":"SOC_SECRET"}"#,
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let printed = config(&["--json"]).json();
    assert_eq!(
        printed["webhooks[0].secret"],
        json!({"value": {"env": "SOC_SECRET"}, "origin": "deodar.toml:6"})
    );
    let schema = config(&["--schema"]).json();
    let limits = &schema["properties"]["limits"]["properties"];
    assert_eq!(limits["json_depth"]["maximum"], 127);
    assert_eq!(limits["read_timeout"]["default"], "10s");
}

#[test]
fn health_and_reload_talk_to_a_server() {
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
            &format!(
                "reload.watch = \"off\"\nclient.key = {{file = \"key\"}}\n{}",
                administrator()
            ),
        ),
        ("key", ADMIN_KEY),
    ]);
    let served = Served::start(&["--policies", "p"], tree.path());
    let ask = |arguments: &[&str]| {
        run(deodar()
            .current_dir(tree.path())
            .args(arguments)
            .arg(&served.address))
    };
    let ran = ask(&["health"]);
    assert!(
        ran.code == 0 && ran.out.starts_with("ok\n"),
        "{}{}",
        ran.out,
        ran.err
    );
    tree.remove("p/b.cedar");
    let ran = ask(&["reload"]);
    ran.ends(2).says("--confirm");
    let ran = ask(&["health"]);
    assert!(
        ran.code == 0 && ran.out.starts_with("degraded\n"),
        "{}",
        ran.out
    );
    let ran = ask(&["reload", "--confirm"]);
    ran.ends(0).says("sequence 2");
    tree.write("p/a.cedar", "permit(");
    let ran = ask(&["reload"]);
    ran.ends(3).says("a.cedar:1");
}
