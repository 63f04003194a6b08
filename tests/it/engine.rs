//! The engine from outside: both engines agree, reloads take over what did not change, shadow checks count.

use deodar::{
    Caller, EngineChoice, Handles, InlineRule, Pdp, PdpBuilder, Reloaded, Request, Scope,
    ShadowSettings,
};
use proptest::prelude::*;
use serde_json::json;

use crate::support::{Served, Tree, administrator, deodar, run, wait_until};

fn request(user: &str, doc: &str) -> Request {
    Request::builder()
        .principal(("User", user))
        .action(("Action", "read"))
        .resource(("Doc", doc))
        .context(json!({"mfa": true}))
        .build()
        .unwrap()
}

/// Decision, reasons and failing policies.
fn answer(pdp: &Pdp, request: &Request) -> (bool, Vec<String>, Vec<String>) {
    let outcome = pdp.authorize(request).unwrap();
    let reasons = outcome.determining_policies().map(ToString::to_string);
    let errors = outcome.policy_errors().map(|e| e.policy().to_string());
    (outcome.is_allow(), reasons.collect(), errors.collect())
}

const ENTITIES: &str = r#"[
{"uid": {"type": "User", "id": "ada"}, "attrs": {"level": 3}, "parents": [{"type": "Team", "id": "t1"}, {"type": "Team", "id": "t2"}]},
{"uid": {"type": "Doc", "id": "plan"}, "attrs": {"owner": {"__entity": {"type": "User", "id": "ada"}}}, "parents": [{"type": "Folder", "id": "f"}]}
]"#;

/// What a file of the tree may say.
fn text(name: usize, content: u8) -> String {
    let scope = match content % 5 {
        0 => "principal in Team::\"t1\", action, resource",
        1 => "principal, action == Action::\"read\", resource in Folder::\"f\"",
        2 => "principal == User::\"ada\", action, resource",
        3 => "principal, action, resource",
        _ => "principal in Team::\"t2\", action, resource == Doc::\"plan\"",
    };
    let effect = if content.is_multiple_of(7) {
        "forbid"
    } else {
        "permit"
    };
    let condition = match content % 4 {
        0 => "",
        1 => " when { resource.owner == principal }",
        2 => " when { principal.level > 2 && context.mfa }",
        _ => " when { resource.missing }",
    };
    let template =
        format!("@id(\"t{name}\") permit(principal in ?principal, action, resource){condition};\n");
    let policies: Vec<_> = (0..content % 4)
        .map(|n| format!("@id(\"p{name}-{n}\") {effect}({scope}){condition};\n"))
        .collect();
    format!("{}{template}", policies.concat())
}

fn links(of: &[usize]) -> String {
    let links: Vec<_> = of
        .iter()
        .map(|name| {
            json!({"template_id": format!("t{name}"), "link_id": format!("l{name}"), "args": {"?principal": "Team::\"t1\""}})
        })
        .collect();
    json!(links).to_string()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// After any changes a reloaded decision point says what one says that reads everything anew, by
    /// either engine.
    #[test]
    fn a_reload_is_as_good_as_a_new_start(changes in prop::collection::vec((0usize..6, any::<u8>()), 1..12)) {
        let tree = Tree::new(&[("e.entities.json", ENTITIES), ("l.links.json", &links(&[0, 3]))]);
        for name in 0..6 {
            tree.write(&format!("{name}.cedar"), &text(name, 2));
        }
        let builder = |engine| {
            Pdp::builder().policies(tree.path()).entities(tree.join("e.entities.json")).guard(false).engine(engine)
        };
        let pdp = builder(EngineChoice::Compiled).build().unwrap();
        for (n, (name, content)) in changes.into_iter().enumerate() {
            tree.write(&format!("{name}.cedar"), &text(name, content));
            if content.is_multiple_of(3) {
                tree.write("l.links.json", &links(&[n % 6, (n + 2) % 6]));
            }
            if content.is_multiple_of(11) {
                tree.write("e.entities.json", &ENTITIES.replace("\"level\": 3", &format!("\"level\": {content}")));
            }
            pdp.reload().unwrap();
            let anew = builder(EngineChoice::Compiled).build().unwrap();
            let cedars = builder(EngineChoice::Reference).build().unwrap();
            let snapshot = |pdp: &Pdp| pdp.state().revision().clone();
            prop_assert_eq!(snapshot(&pdp), snapshot(&anew));
            for (user, doc) in [("ada", "plan"), ("ada", "other"), ("bob", "plan")] {
                let request = request(user, doc);
                let expected = answer(&anew, &request);
                prop_assert_eq!(&answer(&pdp, &request), &expected);
                prop_assert_eq!(&answer(&cedars, &request), &expected);
            }
        }
    }
}

#[test]
fn what_was_not_read_again_is_still_checked() {
    let schema = "entity User; entity Doc; action read appliesTo {principal: User, resource: Doc};";
    let tree = Tree::new(&[
        (
            "a.cedar",
            "@id(\"a\") permit(principal == ?principal, action, resource);",
        ),
        ("b.cedar", "@id(\"b\") permit(principal, action, resource);"),
        (
            "l.links.json",
            r#"[{"template_id": "a", "link_id": "l", "args": {"?principal": "User::\"ada\""}}]"#,
        ),
        ("s.cedarschema", schema),
    ]);
    let pdp = Pdp::builder()
        .policies(tree.path())
        .schema(tree.path())
        .build()
        .unwrap();
    let refused = |what: &str| {
        let error = pdp.reload().unwrap_err().to_string();
        assert!(error.contains(what), "`{what}` in {error}");
    };
    tree.write("b.cedar", "@id(\"l\") permit(principal, action, resource);");
    refused("used twice");
    tree.write("b.cedar", "@id(\"b\") permit(principal, action, resource);");
    tree.write(
        "a.cedar",
        "@id(\"a\") permit(principal == ?principal, action, resource == ?resource);",
    );
    refused("slot");
    tree.write(
        "a.cedar",
        "@id(\"other\") permit(principal == ?principal, action, resource);",
    );
    refused("there is no template `a`");
    tree.write(
        "a.cedar",
        "@id(\"a\") permit(principal == ?principal, action, resource);",
    );
    tree.write(
        "s.cedarschema",
        "entity Person; entity Doc; action read appliesTo {principal: Person, resource: Doc};",
    );
    refused("User");
    tree.write("s.cedarschema", schema);
    assert_eq!(pdp.reload().unwrap(), Reloaded::Unchanged);
}

fn shadowed(settings: ShadowSettings) -> PdpBuilder {
    Pdp::builder()
        .policies_text("p.cedar", &text(0, 2))
        .entities_text("e.json", ENTITIES)
        .shadow(settings)
}

#[test]
fn a_share_of_decisions_is_checked_in_the_shadow() {
    let settings = ShadowSettings {
        share: 0.25,
        queue: 1_000,
        ..ShadowSettings::default()
    };
    let pdp = shadowed(settings).build().unwrap();
    for n in 0..400 {
        let _ = answer(&pdp, &request("ada", &format!("doc{n}")));
    }
    wait_until("a quarter is checked", || {
        pdp.shadow_counts().matched == 100
    });
    let counts = pdp.shadow_counts();
    assert_eq!(
        (counts.mismatched, counts.dropped, counts.not_checked),
        (0, 0, 0)
    );
    assert!(pdp.shadow_mismatches().is_empty());
    assert_eq!(pdp.engine_fallbacks(), 0);
}

#[test]
fn a_check_that_reaches_too_far_is_not_made() {
    let settings = ShadowSettings {
        share: 1.0,
        entities: 1,
        ..ShadowSettings::default()
    };
    let pdp = shadowed(settings).build().unwrap();
    let _ = answer(&pdp, &request("ada", "plan"));
    wait_until("the check is given up", || {
        pdp.shadow_counts().not_checked == 1
    });
}

#[test]
fn unknown_values_are_refused_by_both_engines() {
    for engine in [EngineChoice::Compiled, EngineChoice::Reference] {
        let pdp = Pdp::builder()
            .policies_text(
                "p.cedar",
                "permit(principal, action, resource) when { context.x };",
            )
            .engine(engine)
            .build()
            .unwrap();
        let unknown = json!({"__extn": {"fn": "unknown", "arg": "x"}});
        let request = Request::builder()
            .principal(("User", "a"))
            .action(("Action", "a"))
            .resource(("Doc", "d"))
            .context(json!({ "x": unknown }))
            .build()
            .unwrap();
        let error = pdp.authorize(&request).unwrap_err();
        assert!(error.to_string().contains("unknown"), "{error}");
    }
}

#[test]
fn shadow_counts_and_mismatches_over_http() {
    let settings = "decide.shadow_percent = 100\n".to_owned() + &administrator();
    let tree = Tree::new(&[("deodar.toml", &settings)]);
    let server = Served::start(&["--sample"], tree.path());
    let mut client = server.client();
    let body = json!({
        "principal": {"type": "Workspace::User", "id": "alice"},
        "action": {"type": "Workspace::Action", "id": "readProfile"},
        "resource": {"type": "Workspace::Profile", "id": "alice"}
    });
    assert_eq!(client.post("/authorize", &body).0, 200);
    assert_eq!(
        server.administrator().get("/admin/mismatches"),
        (200, json!({"mismatches": []}))
    );
}

#[test]
fn bench_compares_both_engines_on_own_requests() {
    let line = |user: &str| {
        json!({"principal": {"type": "User", "id": user}, "action": "Action::\"read\"",
               "resource": "Doc::\"plan\"", "context": {"mfa": true}})
    };
    let tree = Tree::new(&[
        ("p.cedar", &text(0, 2)),
        ("e.json", ENTITIES),
        (
            "r.ndjson",
            &format!("{0}\n\n{1}\n{0}\n", line("ada"), line("bob")),
        ),
        ("bad.ndjson", "{\"principal\": 1}\n"),
        ("empty.ndjson", "\n"),
    ]);
    let bench = |arguments: &[&str]| {
        run(deodar()
            .current_dir(tree.path())
            .args([
                "bench",
                "--policies",
                "p.cedar",
                "--entities",
                "e.json",
                "--seconds",
                "0.1",
            ])
            .args(arguments))
    };
    let one = bench(&["--requests", "r.ndjson", "--json"]);
    one.ends(0);
    let one = one.json();
    assert_eq!(
        (&one["engine"], &one["requests"], &one["distinct"]),
        (&json!("compiled"), &json!(3), &json!(2))
    );
    for figures in [&one, &one["with_clock"], &one["body_to_answer"]] {
        for figure in ["p50_ns", "p99_ns", "decisions_per_second"] {
            assert!(figures[figure].as_f64().unwrap() > 0.0, "{one}");
        }
        let members = figures.as_object().unwrap();
        assert!(members.contains_key("allocations_per_decision"), "{one}");
    }
    let both = bench(&["--requests", "r.ndjson", "--engine", "both", "--json"]).json();
    assert_eq!(both["differing"], json!([]));
    assert!(both["reference"]["p50_ns"].as_u64() > both["compiled"]["p50_ns"].as_u64());
    let people = bench(&["--requests", "r.ndjson", "--engine", "both"]);
    people
        .says("both gave the same answers")
        .says("3 requests (2 distinct), ");
    assert_eq!(people.out.matches("body to answer").count(), 2);
    let bad = bench(&["--requests", "bad.ndjson"]);
    bad.ends(1).complains("line 1");
    let empty = bench(&["--requests", "empty.ndjson"]);
    empty.ends(1).complains("holds no request");
    assert_eq!(bench(&["--requests", "none.ndjson"]).code, 1);
}

#[test]
fn who_may_add_gives_stored_entities_no_ancestors_through_one_that_is_not_stored() {
    let stored = r#"[{"uid": {"type": "User", "id": "a"}, "attrs": {}, "parents": [{"type": "Group", "id": "staff"}]}]"#;
    for engine in [EngineChoice::Compiled, EngineChoice::Reference] {
        let pdp = Pdp::builder()
            .policies_text(
                "p.cedar",
                r#"permit(principal in Group::"admins", action, resource);"#,
            )
            .entities_text("e.json", stored)
            .engine(engine)
            .build()
            .unwrap();
        let decide = |rule, group: &str| {
            let caller = Caller::new("c", [Scope::Decide], rule, Handles::Any);
            let admins = json!([{"type": "Group", "id": "admins"}]);
            let request = Request::builder()
                .principal(("User", "a"))
                .action(("Action", "x"))
                .resource(("Doc", "d"))
                .entity(
                    json!({"uid": {"type": "Group", "id": group}, "attrs": {}, "parents": admins}),
                )
                .caller(caller)
                .build()
                .unwrap();
            pdp.authorize(&request).map(|outcome| outcome.is_allow())
        };
        let refused = decide(InlineRule::Add, "staff").unwrap_err();
        assert_eq!(refused.faults()[0].pointer, "/entities/0/parents");
        assert!(!decide(InlineRule::Add, "other").unwrap());
        assert!(decide(InlineRule::Override, "staff").unwrap());
    }
}
