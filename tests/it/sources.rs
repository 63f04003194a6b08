//! Bad files: a clear error, and the old state goes on deciding.

use deodar::{BuildError, Faults, Pdp, ReadLimits, ReloadError};

use crate::support::Tree;

const GOOD: &str = "@id(\"good\") permit(principal, action, resource);";

/// Starts on a good tree, writes a bad file beside, reloads: the fault is as said, the state stays.
#[track_caller]
fn check(name: &str, text: &str, expect: &str) {
    let tree = Tree::new(&[("a.cedar", GOOD)]);
    let mut builder = Pdp::builder().policies(tree.path()).entities(tree.path());
    if name.contains("cedarschema") {
        tree.write(
            "good.cedarschema",
            "entity Good; action go appliesTo {principal: Good, resource: Good};",
        );
        builder = builder.schema(tree.path());
    }
    let pdp = builder.build().unwrap();
    let before = pdp.state();
    tree.write(name, text);
    let Err(ReloadError::Faulty(faults)) = pdp.reload() else {
        panic!("`{name}` was taken");
    };
    assert!(
        faults.summary().contains(expect),
        "`{expect}` in `{faults}`"
    );
    assert_eq!(pdp.state().sequence(), before.sequence());
    assert!(pdp.health().is_degraded());
    tree.remove(name);
    pdp.reload().unwrap();
    assert!(!pdp.health().is_degraded());
}

#[test]
fn policies() {
    check("b.cedar", "permit(principal", "unexpected end");
    check("b.cedar", GOOD, "policy id `good` is used twice");
    check(
        "b.cedar",
        "@obligation(\"undeclared\") permit(principal, action, resource);",
        "which no vocabulary declares",
    );
    check(
        "b.cedar",
        "@requires_trust(\"1.5\") permit(principal, action, resource);",
        "is not a score from 0 to 1",
    );
    check(
        "b.cedar",
        "@requires_trust(\"0.99\") permit(principal, action, resource);",
        "the best possible request reaches",
    );
    check("b.json", "{\"staticPolicies\": 5}", "b.json");
    check(
        "b.links.json",
        r#"[{"template_id":"t","link_id":"l","args":{}}]"#,
        "no template `t`",
    );
    let twice = r#"[{"template_id":"t","link_id":"l","args":{"?principal":"U::\"a\"","?principal":"U::\"b\""}}]"#;
    check("b.links.json", twice, "duplicate field `?principal`");
    check(
        "b.cedar",
        "@obligatoin(\"x\") permit(principal, action, resource);",
        "`@obligatoin` has no meaning",
    );
    check(
        "b.cedar",
        "@obligation(\"x\") permit(principal == ?principal, action, resource);",
        "which no vocabulary declares",
    );
}

#[test]
fn nesting_that_would_exhaust_the_stack() {
    let deep = format!(
        "permit(principal, action, resource) when {{ {}true{} }};",
        "(".repeat(5_000),
        ")".repeat(5_000)
    );
    check("deep.cedar", &deep, "deep.cedar");
    let not = format!(
        "permit(principal, action, resource) when {{ {}true }};",
        "!".repeat(5_000)
    );
    check("not.cedar", &not, "not.cedar");
    let sums = format!(
        "permit(principal, action, resource) when {{ {}1 == 1 }};",
        "if true then ".repeat(3_000)
    );
    check("if.cedar", &sums, "if.cedar");
    let json = format!(
        "{{\"staticPolicies\":{{\"x\":{}{}}}}}",
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    check("deep.json", &json, "deep.json");
    let entity = format!(
        "[{{\"uid\":{{\"type\":\"U\",\"id\":\"x\"}},\"parents\":[],\"attrs\":{{\"a\":{}1{}}}}}]",
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    check("deep.entities.json", &entity, "deep.entities.json");
}

#[test]
fn nesting_that_hides_behind_brackets() {
    let mut left = "true".to_owned();
    for n in (1..=300_usize).rev() {
        left = format!(
            "({left}{})",
            " || false".repeat(195_usize.saturating_sub(n).max(1))
        );
    }
    let text = format!("permit(principal, action, resource) when {{ {left} }};");
    check("left.cedar", &text, "nests deeper");
    let records = vec!["{} == {}"; 100_000].join(" || ");
    let text = format!("permit(principal, action, resource) when {{ {records} }};");
    check("records.cedar", &text, "nests deeper");
    let clauses = format!(
        "permit(principal, action, resource) {};",
        "when { true } ".repeat(50_000)
    );
    check("clauses.cedar", &clauses, "nests deeper");
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_not_read() {
    let tree = Tree::new(&[("a.cedar", GOOD)]);
    let pdp = Pdp::builder().policies(tree.path()).build().unwrap();
    let pipe = tree.join("x.cedar");
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .unwrap();
    assert!(made.success());
    let Err(ReloadError::Faulty(faults)) = pdp.reload() else {
        panic!("a pipe was taken");
    };
    assert!(faults.summary().contains("not a regular file"), "{faults}");
    std::fs::remove_file(pipe).unwrap();
    pdp.reload().unwrap();
}

#[test]
fn long_chains_of_operators_are_taken_or_refused_and_nothing_else() {
    // Cedar parses these into trees as deep as they are long.
    for length in [100, 2_000, 20_000] {
        for (operator, operand) in [("+", "1"), ("&&", "true"), ("||", "false")] {
            let chain = vec![operand; length].join(operator);
            let condition = if operator == "+" {
                format!("{chain} == 1")
            } else {
                chain
            };
            let text = format!("permit(principal, action, resource) when {{ {condition} }};");
            let built = Pdp::builder().policies_text("p.cedar", &text).build();
            if let Ok(pdp) = built {
                let request = deodar::Request::builder()
                    .principal(("U", "a"))
                    .action(("Action", "x"))
                    .resource(("R", "r"))
                    .build()
                    .unwrap();
                let _ = pdp.authorize(&request).unwrap();
            }
        }
    }
}

#[test]
fn schemas_that_would_exhaust_the_stack() {
    let deep = format!(
        "type A = {}Long{};",
        "Set<".repeat(5_000),
        ">".repeat(5_000)
    );
    check("deep.cedarschema", &deep, "nests deeper");
    let aliases: Vec<_> = (1..3_000)
        .map(|n| format!("type A{n} = {{a: A{}}};", n - 1))
        .collect();
    let text = format!(
        "type A0 = Long;\n{}\nentity E = {{a: A2999}};",
        aliases.join("\n")
    );
    // However Cedar sees it, the process goes on.
    let _ = Pdp::builder()
        .policies_text("p.cedar", GOOD)
        .schema_text("s.cedarschema", &text)
        .build();
}

#[test]
fn entities() {
    check("b.entities.json", "[{]", "not valid JSON");
    let typo = r#"[{"uid":{"type":"U","id":"x"},"attrs":{},"parents":[],"tag":{"a":1}}]"#;
    check("b.entities.json", typo, "unknown member `tag`");
    check(
        "b.entities.json",
        r#"[{"uid":{"type":"U","id":"x"},"attrs":{"a":null},"parents":[]}]"#,
        "b.entities.json",
    );
    let cycle = r#"[{"uid":{"type":"U","id":"x"},"attrs":{},"parents":[{"type":"U","id":"y"}]},
                    {"uid":{"type":"U","id":"y"},"attrs":{},"parents":[{"type":"U","id":"x"}]}]"#;
    check("b.entities.json", cycle, "their own ancestors");
    let chain: Vec<_> = (0..100_000)
        .map(|n| format!(r#"{{"uid":{{"type":"U","id":"{n}"}},"attrs":{{}},"parents":[{{"type":"U","id":"{}"}}]}}"#, n + 1))
        .collect();
    check(
        "b.ndjson",
        &chain.join("\n"),
        "chain of more than 1000 parents",
    );
}

#[test]
fn schemas() {
    check("b.cedarschema", "entity ;", "b.cedarschema:1:8");
    check("b.cedarschema", "entity A in [Missing];", "Missing");
    check("b.cedarschema.json", "{", "b.cedarschema.json");
}

fn sources(result: Result<Pdp, BuildError>) -> Faults {
    match result {
        Err(BuildError::Sources(faults)) => faults,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_schema_that_was_asked_for_must_be_there() {
    let tree = Tree::new(&[("a.cedar", GOOD)]);
    let faults = sources(
        Pdp::builder()
            .policies(tree.path())
            .schema(tree.path())
            .build(),
    );
    assert!(faults.summary().contains("no schema in"), "{faults}");
}

#[test]
fn a_file_of_200_megabytes() {
    let tree = Tree::new(&[("a.cedar", GOOD)]);
    let file = std::fs::File::create(tree.join("huge.cedar")).unwrap();
    file.set_len(200 << 20).unwrap();
    let faults = sources(Pdp::builder().policies(tree.path()).build());
    assert!(
        faults.summary().contains("larger than 67108864 bytes"),
        "{faults}"
    );
    let few = ReadLimits {
        files: 1,
        ..ReadLimits::default()
    };
    let faults = sources(
        Pdp::builder()
            .policies(tree.path())
            .read_limits(few)
            .build(),
    );
    assert!(faults.summary().contains("more than 1 files"), "{faults}");
}

#[test]
fn nothing_valid_at_the_start_is_an_error() {
    let empty = Tree::new(&[("readme.txt", "no policy here")]);
    let faults = sources(Pdp::builder().build());
    assert!(
        faults.summary().contains("no policies to decide with"),
        "{faults}"
    );
    let faults = sources(Pdp::builder().policies(empty.join("missing")).build());
    assert!(faults.summary().contains("missing"), "{faults}");
}

/// A fresh installation: it denies, says so, and takes the first policy up. Where there were policies before, an
/// empty tree is an accident.
#[test]
fn a_tree_without_a_policy_yet_denies_everything_and_says_so() {
    let tree = Tree::new(&[("p/a.cedar", "// to be filled\n")]);
    let pdp = Pdp::builder()
        .policies(tree.join("p"))
        .state_dir(tree.join("state"))
        .build()
        .unwrap();
    let request = deodar::Request::builder()
        .principal(("U", "a"))
        .action(("Action", "x"))
        .resource(("R", "r"))
        .build()
        .unwrap();
    assert!(!pdp.authorize(&request).unwrap().is_allow());
    let reasons = pdp.health().reasons;
    assert!(
        reasons
            .iter()
            .any(|reason| reason.contains("no policy yet")),
        "{reasons:?}"
    );
    tree.write("p/a.cedar", GOOD);
    pdp.reload().unwrap();
    assert!(pdp.health().reasons.is_empty());
    drop(pdp);
    tree.write("p/a.cedar", "// emptied by accident\n");
    let pdp = Pdp::builder()
        .policies(tree.join("p"))
        .state_dir(tree.join("state"))
        .build()
        .unwrap();
    assert_eq!(pdp.state().snapshot().policies().policies().count(), 1);
    assert!(pdp.health().is_degraded());
}

#[cfg(unix)]
#[test]
fn a_directory_without_permission_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let tree = Tree::new(&[
        ("a.cedar", GOOD),
        ("closed/b.cedar", "permit(principal, action, resource);"),
    ]);
    let closed = tree.join("closed");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).unwrap();
    let result = Pdp::builder().policies(tree.path()).build();
    let readable = std::fs::read_dir(&closed).is_ok();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o755)).unwrap();
    if readable {
        // The superuser may read everything: there is nothing to refuse.
        assert!(result.is_ok());
    } else {
        assert!(sources(result).summary().contains("closed"));
    }
}

#[test]
fn every_fault_of_every_file_at_once() {
    let tree = Tree::new(&[
        (
            "a.cedar",
            "permit(principal, action, resource) when { principal.agee > 1 };\npermit(oops);",
        ),
        (
            "b.cedar",
            "forbid(principal, action, resource) when { 1 + };",
        ),
        ("c.cedarschema", "entity User = {age: Lnog};"),
    ]);
    let faults = sources(
        Pdp::builder()
            .policies(tree.path())
            .schema(tree.path())
            .build(),
    );
    let files: std::collections::BTreeSet<_> = faults
        .iter()
        .filter_map(|fault| fault.file().and_then(|file| file.rsplit('/').next()))
        .collect();
    assert_eq!(files, ["a.cedar", "b.cedar", "c.cedarschema"].into());
}
