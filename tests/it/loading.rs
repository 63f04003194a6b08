//! What Cedar's users have is loaded, and every fault is told within bounds: at the door of the command line.

use crate::support::{Ran, Tree, deodar, run};

#[track_caller]
fn check(tree: &Tree, arguments: &[&str], code: i32, expect: &[&str]) -> Ran {
    let ran = run(deodar().current_dir(tree.path()).args(arguments));
    let all = format!("{}{}", ran.out, ran.err);
    assert_eq!(ran.code, code, "{arguments:?}: {all}");
    for expect in expect {
        assert!(all.contains(expect), "{arguments:?}: `{expect}` in {all}");
    }
    ran
}

const ALL: &str = "permit(principal, action, resource);";
const ALICE_READS: [&str; 7] = [
    "authorize",
    "--principal",
    "User::\"alice\"",
    "--action",
    "Action::\"read\"",
    "--resource",
    "Document::\"plan\"",
];
const TEMPLATE: &str =
    "@id(\"viewer\") permit(principal == ?principal, action, resource == ?resource);";
const LINK: &str = r#"[{"template_id": "viewer", "link_id": "viewer-alice-plan",
    "args": {"?principal": "User::\"alice\"", "?resource": "Document::\"plan\""}}]"#;
const SCHEMA: &str = "entity User = {age?: Long}; entity Document; action read appliesTo {principal: User, resource: Document};";
const REQUEST: &str = r#"{"principal": "User::\"alice\"", "action": "Action::\"read\"", "resource": "Document::\"plan\"", "context": {}}"#;
const ENTITIES: &str = r#"[{"uid": {"type": "User", "id": "alice"}, "attrs": {"age": 7}, "parents": []},
    {"uid": {"type": "Document", "id": "plan"}, "attrs": {}, "parents": []}]"#;
const MARK: &str = "\u{feff}";

#[test]
fn warnings_are_refused_when_asked_for() {
    let tree = Tree::new(&[
        (
            "warned.cedar",
            "@advice(\"Ask your manager first.\") permit(principal, action, resource);",
        ),
        ("clean.cedar", ALL),
    ]);
    let warned = ["validate", "--policies", "warned.cedar"];
    check(&tree, &warned, 0, &["1 warning", "valid: 1 policy"]);
    let strict = [&warned[..], &["--deny-warnings"]].concat();
    let refused = check(&tree, &strict, 3, &["1 warning", "--deny-warnings"]);
    assert!(!refused.out.contains("valid"), "{}", refused.out);
    let json = check(&tree, &[&strict[..], &["--json"]].concat(), 3, &[]).json();
    assert_eq!(json["valid"], false);
    assert_eq!(json["warnings"].as_array().unwrap().len(), 1);
    check(
        &tree,
        &["validate", "--policies", "clean.cedar", "--deny-warnings"],
        0,
        &["valid: 1 policy"],
    );
}

#[test]
fn links_of_any_name_are_loaded() {
    let tree = Tree::new(&[
        ("t.cedar", TEMPLATE),
        ("linked", LINK),
        ("more.links.json", "[]"),
    ]);
    let links = [
        "--policies",
        "t.cedar",
        "--links",
        "linked",
        "--links",
        "more.links.json",
    ];
    check(
        &tree,
        &[&["validate"], &links[..]].concat(),
        0,
        &["valid: 1 policy (0 forbid), 1 template"],
    );
    check(
        &tree,
        &[&ALICE_READS[..], &links[..]].concat(),
        0,
        &["policy viewer-alice-plan"],
    );
    // Without the links the template permits nothing.
    check(
        &tree,
        &[&ALICE_READS[..], &["--policies", "t.cedar"]].concat(),
        2,
        &["not_permitted"],
    );
}

#[test]
fn everything_may_lie_in_one_folder() {
    let tree = Tree::new(&[
        ("all/policy.cedar", TEMPLATE),
        ("all/links.json", LINK),
        ("all/schema.cedarschema", SCHEMA),
        ("all/entities.json", ENTITIES),
        ("all/request.json", REQUEST),
        ("all/vocabulary.json", r#"{"obligations": ["log_access"]}"#),
        ("all/a.cases.yaml", "version: 1\ncases: []\n"),
    ]);
    let folder = ["--policies", "all", "--schema", "all", "--entities", "all"];
    let ran = check(
        &tree,
        &[&["validate"], &folder[..]].concat(),
        0,
        &["1 policy", "1 template", "2 entities"],
    );
    assert!(ran.err.is_empty(), "{}", ran.err);
    let decided = [&["authorize", "all/request.json"], &folder[..]].concat();
    check(&tree, &decided, 0, &["policy viewer-alice-plan"]);
}

#[test]
fn a_policy_in_json_may_stand_alone() {
    let policy = r#"{"effect": "permit", "principal": {"op": "All"}, "action": {"op": "All"}, "resource": {"op": "All"}, "conditions": []}"#;
    let tree = Tree::new(&[("one.json", policy), ("p/one.json", policy)]);
    for path in ["one.json", "p"] {
        check(
            &tree,
            &["validate", "--policies", path],
            0,
            &["valid: 1 policy"],
        );
        check(
            &tree,
            &[&ALICE_READS[..], &["--policies", path]].concat(),
            0,
            &["Allow"],
        );
    }
    // A typo does not make it another kind of file.
    tree.write("p/one.json", &policy.replace("effect", "efect"));
    check(&tree, &["validate", "--policies", "p"], 3, &["one.json"]);
}

#[test]
fn a_set_without_policies_denies_and_says_so() {
    let tree = Tree::new(&[("p/empty.cedar", "// Nothing is decided yet.\n")]);
    check(
        &tree,
        &["validate", "--policies", "p"],
        0,
        &["every request is denied", "valid: 0 policies"],
    );
    check(
        &tree,
        &[&ALICE_READS[..], &["--policies", "p"]].concat(),
        2,
        &["Deny"],
    );
}

#[test]
fn policies_without_names_may_be_alike() {
    let tree = Tree::new(&[("p.cedar", &format!("{ALL}\n{ALL}\n"))]);
    let ran = check(
        &tree,
        &[&ALICE_READS[..], &["--policies", "p.cedar", "--json"]].concat(),
        0,
        &[],
    )
    .json();
    let reasons: Vec<_> = ran["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_str().unwrap())
        .collect();
    let [first, second] = reasons[..] else {
        panic!("{reasons:?}");
    };
    assert!(first.starts_with("p.cedar#"), "{first}");
    assert_eq!(second, format!("{first}.2"));
}

/// Editors of Windows begin a file so.
#[test]
fn a_byte_order_mark_is_read_over_in_every_kind_of_file() {
    let marked = |text: &str| format!("{MARK}{text}");
    let policies = format!("@obligation(\"log_access\") {ALL}");
    let set = r#"{"staticPolicies": {"json": {"effect": "permit", "principal": {"op": "All"}, "action": {"op": "All"}, "resource": {"op": "All"}, "conditions": []}}, "templates": {}, "templateLinks": []}"#;
    let cases = format!(
        "version: 1\ndefaults: {{policies: p, schema: s, entities: e.json, obligations: [log_access]}}\ncases:\n- name: one\n  request: {}\n  expect: {{decision: Allow}}\n",
        REQUEST
    );
    let tree = Tree::new(&[
        ("p/a.cedar", &marked(&policies)),
        ("p/t.cedar", &marked(TEMPLATE)),
        ("p/set.json", &marked(set)),
        ("p/t.links.json", &marked(LINK)),
        (
            "p/vocabulary.json",
            &marked(r#"{"obligations": ["log_access"]}"#),
        ),
        ("s/s.cedarschema", &marked(SCHEMA)),
        (
            "s/more.cedarschema.json",
            &marked(r#"{"More": {"entityTypes": {"Thing": {}}, "actions": {}}}"#),
        ),
        ("e.json", &marked(ENTITIES)),
        (
            "e.ndjson",
            &marked(
                "{\"uid\": {\"type\": \"User\", \"id\": \"bo\"}, \"attrs\": {}, \"parents\": []}\n",
            ),
        ),
        ("request.json", &marked(REQUEST)),
        ("c.cases.yaml", &marked(&cases)),
        ("deodar.toml", &marked("[log]\nlevel = \"warn\"\n")),
    ]);
    let folder = [
        "--policies",
        "p",
        "--schema",
        "s",
        "--entities",
        "e.json",
        "--entities",
        "e.ndjson",
    ];
    check(
        &tree,
        &[&["validate"], &folder[..]].concat(),
        0,
        &["valid: 3 policies", "3 entities"],
    );
    let decided = [&["authorize", "request.json", "--json"], &folder[..]].concat();
    let reasons = check(&tree, &decided, 2, &[]).json();
    assert_eq!(reasons["cause"], "unsupported_obligation", "{reasons}");
    let flags = ["--context", "context.json"];
    tree.write("context.json", &marked("{}"));
    check(
        &tree,
        &[&ALICE_READS[..], &flags, &folder[..]].concat(),
        2,
        &["log_access"],
    );
    check(&tree, &["test", "c.cases.yaml"], 2, &["0 passed, 1 failed"]);
    check(&tree, &["config"], 0, &["deodar.toml:2"]);
}

#[test]
fn a_fault_far_along_in_one_line_is_shown_in_a_window() {
    let entity = |n: usize, age: &str| {
        format!(
            r#"{{"uid":{{"type":"User","id":"user-{n}"}},"attrs":{{"age":{age}}},"parents":[]}}"#
        )
    };
    let mut entities: Vec<String> = (0..1500).map(|n| entity(n, "7")).collect();
    entities.push(entity(1500, "\"seven\""));
    let text = format!("[{}]", entities.join(","));
    assert!(text.len() > 90_000);
    let tree = Tree::new(&[
        ("p.cedar", ALL),
        ("s.cedarschema", SCHEMA),
        ("e.json", &text),
        ("cut.json", &text[..text.len() - 1]),
    ]);
    for file in ["e.json", "cut.json"] {
        let sources = [
            "--policies",
            "p.cedar",
            "--schema",
            "s.cedarschema",
            "--entities",
            file,
        ];
        for command in ["validate", "serve"] {
            let listen: &[&str] = if command == "serve" {
                &["--listen", "127.0.0.1:0"]
            } else {
                &[]
            };
            let ran = check(
                &tree,
                &[&[command], &sources[..], listen].concat(),
                3,
                &[file],
            );
            assert!(
                ran.err.len() < 2_100,
                "{} bytes: {}",
                ran.err.len(),
                ran.err
            );
        }
    }
}

#[test]
fn many_faults_are_cut_and_counted() {
    let policies: String = (0..200)
        .map(|n| format!("permit(principal, action, resource) when {{ context.a{n} + }};\n"))
        .collect();
    let one_each: Vec<(String, String)> = (0..200)
        .map(|n| (format!("p/{n:03}.cedar"), format!("permit(principal {n}")))
        .collect();
    let tree = Tree::new(&[("all.cedar", &policies)]);
    for (name, text) in &one_each {
        tree.write(name, text);
    }
    let ran = check(
        &tree,
        &["validate", "--policies", "p"],
        3,
        &["and 100 more", "200 faults"],
    );
    assert!(ran.err.len() < 100 * 2_100, "{} bytes", ran.err.len());
    // In the order of their places.
    let at = |name: &str| ran.err.find(name).unwrap_or_else(|| panic!("{name}"));
    assert!(at("000.cedar") < at("001.cedar") && at("001.cedar") < at("099.cedar"));
    assert!(!ran.err.contains("100.cedar"));
    let faults = check(&tree, &["validate", "--policies", "p", "--json"], 3, &[]).json();
    let faults = faults["error"]["faults"].as_array().unwrap();
    assert_eq!(faults.len(), 101);
    assert_eq!(faults[100]["message"], "and 100 more");
    let ran = check(
        &tree,
        &["validate", "--policies", "all.cedar"],
        3,
        &["all.cedar"],
    );
    assert!(ran.err.len() < 100 * 2_100, "{} bytes", ran.err.len());
}

#[test]
fn a_faulty_template_is_not_told_again_for_each_link() {
    let links: Vec<String> = (0..50)
        .map(|n| format!(r#"{{"template_id": "viewer", "link_id": "l{n}", "args": {{"?principal": "User::\"u{n}\"", "?resource": "Document::\"plan\""}}}}"#))
        .collect();
    let tree = Tree::new(&[
        ("p/t.cedar", &TEMPLATE.replace(");", ") when { 1 + };")),
        ("p/t.links.json", &format!("[{}]", links.join(","))),
    ]);
    let ran = check(&tree, &["validate", "--policies", "p", "--json"], 3, &[]).json();
    let faults = ran["error"]["faults"].as_array().unwrap();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0]["file"].as_str().unwrap().ends_with("t.cedar"));
}

#[test]
fn failing_cases_have_a_line() {
    let case = |name: &str, decision: &str| {
        format!(
            "- name: {name}\n  request: {{principal: 'User::\"a\"', action: 'Action::\"x\"', resource: 'Document::\"d\"'}}\n  expect: {{decision: {decision}}}\n"
        )
    };
    let cases = format!(
        "version: 1\ndefaults: {{policies: p.cedar}}\ncases:\n{}{}",
        case("good", "Allow"),
        case("bad", "Deny")
    );
    let tree = Tree::new(&[("p.cedar", ALL), ("c.cases.yaml", &cases)]);
    check(
        &tree,
        &["test", "c.cases.yaml"],
        2,
        &["FAIL c.cases.yaml:7: bad", "1 passed, 1 failed"],
    );
    let json = check(&tree, &["test", "c.cases.yaml", "--json"], 2, &[]).json();
    assert_eq!(json["cases"][1]["line"], 7, "{json}");
}

/// Names of files and ids reach terminals: nothing in them may be obeyed there.
#[test]
fn names_and_ids_are_harmless() {
    let escape = "\u{1b}[31m";
    let name = format!("p/{escape}red\u{202e}.cedar");
    let tree = Tree::new(&[
        (&name, "permit(principal"),
        (
            "q/p.cedar",
            &format!("@id(\"{escape}id\") permit(principal, action, resource) when {{ 1 + }};"),
        ),
        (
            "r/p.cedar",
            "@id(\"\\u{1b}[31mid\") permit(principal, action, resource);\n@id(\"\\u{1b}[31mid\") forbid(principal, action, resource);",
        ),
        (
            "s/p.cedar",
            "@id(\"\\u{1b}[31mid\") permit(principal, action, resource);",
        ),
    ]);
    for folder in ["p", "q", "r"] {
        let ran = check(&tree, &["validate", "--policies", folder], 3, &[]);
        assert!(
            !ran.err.contains(['\u{1b}', '\u{202e}']),
            "{folder}: {:?}",
            ran.err
        );
    }
    let ran = check(
        &tree,
        &[&ALICE_READS[..], &["--policies", "s"]].concat(),
        0,
        &["Allow"],
    );
    assert!(!ran.out.contains('\u{1b}'), "{:?}", ran.out);
}

#[test]
fn a_decision_says_what_is_not_stored() {
    let tree = Tree::new(&[
        (
            "p.cedar",
            "permit(principal is Shop::User, action == Shop::Action::\"read\", resource);",
        ),
        (
            "e.json",
            r#"[{"uid": {"type": "Shop::User", "id": "alice"}, "attrs": {}, "parents": []}]"#,
        ),
        (
            "s.cedarschema",
            "namespace Shop { entity User; entity Item; action read appliesTo {principal: User, resource: Item}; }",
        ),
        (
            "request.json",
            r#"{"principal": "Shop::User::\"dora\"", "action": "Shop::Action::\"read\"", "resource": "Shop::Item::\"x\"",
                "entities": [{"uid": {"type": "Shop::User", "id": "dora"}, "attrs": {}, "parents": []},
                             {"uid": {"type": "Shop::Item", "id": "x"}, "attrs": {}, "parents": []}]}"#,
        ),
    ]);
    let ask = |principal: &str, action: &str, more: &[&str]| {
        let mut arguments = vec!["authorize", "--policies", "p.cedar", "--entities", "e.json"];
        arguments.extend([
            "--principal",
            principal,
            "--action",
            action,
            "--resource",
            "Shop::Item::\"x\"",
        ]);
        arguments.extend(more);
        run(deodar().current_dir(tree.path()).args(arguments))
    };
    let known = ask("Shop::User::\"alice\"", "Shop::Action::\"read\"", &[]);
    known.ends(0);
    assert!(!known.err.contains("principal"), "{}", known.err);
    assert!(
        known
            .err
            .contains("the resource `Shop::Item::\"x\"` is not among the stored entities"),
        "{}",
        known.err
    );
    let typo = ask("Shop::User::\"alcie\"", "Shop::Action::\"read\"", &[]);
    typo.complains("did you mean the id `alice`?");
    let bare = ask("User::\"alice\"", "Action::\"read\"", &[]);
    bare.ends(2);
    bare.complains("did you mean the type `Shop::User`?");
    bare.complains("did you mean `Shop::Action`?");
    // With a schema the request is refused, with the same hint.
    let refused = ask(
        "User::\"alice\"",
        "Action::\"read\"",
        &["--schema", "s.cedarschema"],
    );
    refused.ends(1);
    refused.complains("did you mean `Shop::User`?");
    assert!(
        refused
            .err
            .contains("did you mean `Shop::Action::\"read\"`?"),
        "{}",
        refused.err
    );
    // What the request brings along is known.
    let inline = check(
        &tree,
        &["authorize", "request.json", "--policies", "p.cedar"],
        0,
        &[],
    );
    assert!(!inline.err.contains("not among"), "{}", inline.err);
}
