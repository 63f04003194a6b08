//! Hot reload: what changes is published whole, what is faulty or looks like an accident is not.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use deodar::{Pdp, PdpBuilder, ReloadError, Reloaded, Request, StateChange, WatchMode};
use serde_json::{Value, json};

use crate::support::{Served, Tree, administrator, wait_until};

fn permit(id: &str) -> String {
    format!("@id(\"{id}\") permit(principal, action, resource);")
}

fn watched(path: &Path) -> PdpBuilder {
    Pdp::builder().policies(path).watch(
        WatchMode::Auto,
        Duration::from_millis(20),
        Duration::from_millis(200),
    )
}

fn reasons(pdp: &Pdp) -> Vec<String> {
    let request = Request::builder()
        .principal(("U", "a"))
        .action(("Action", "x"))
        .resource(("R", "r"))
        .build()
        .unwrap();
    let outcome = pdp.authorize(&request).unwrap();
    outcome
        .determining_policies()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn every_way_of_changing_a_file_is_noticed() {
    let tree = Tree::new(&[("a.cedar", &permit("a"))]);
    let pdp = watched(tree.path()).build().unwrap();
    let changes = pdp.subscribe();
    assert_eq!(reasons(&pdp), ["a"]);

    tree.write("b.cedar", &permit("b"));
    wait_until("a new file", || reasons(&pdp) == ["a", "b"]);
    std::fs::write(tree.join("b.cedar"), permit("b2")).unwrap();
    wait_until("a file written in place", || reasons(&pdp) == ["a", "b2"]);
    tree.write("b.cedar", &permit("b3"));
    wait_until("a file renamed over another", || {
        reasons(&pdp) == ["a", "b3"]
    });
    tree.write("deep/down/c.cedar", &permit("c"));
    wait_until("a file in a new directory", || {
        reasons(&pdp) == ["a", "b3", "c"]
    });
    tree.remove("b.cedar");
    wait_until("a deleted file", || reasons(&pdp) == ["a", "c"]);

    let mut last = 1;
    while let Ok(change) = changes.try_next() {
        let StateChange::Published { sequence, .. } = change else {
            panic!("{change:?}");
        };
        assert!(sequence > last, "sequences rise");
        last = sequence;
    }
    assert_eq!(last, pdp.state().sequence());
}

#[cfg(unix)]
#[test]
fn a_config_map_is_swapped_by_a_link() {
    use std::os::unix::fs::symlink;
    // As Kubernetes mounts one: files are links through `..data`, which is replaced by a rename.
    let tree = Tree::new(&[
        ("mount/..1/p.cedar", &permit("one")),
        ("mount/..2/p.cedar", &permit("two")),
    ]);
    let mount = tree.join("mount");
    symlink("..1", mount.join("..data")).unwrap();
    symlink("..data/p.cedar", mount.join("p.cedar")).unwrap();
    let pdp = watched(&mount).build().unwrap();
    assert_eq!(reasons(&pdp), ["one"]);
    symlink("..2", mount.join("..data_tmp")).unwrap();
    std::fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    std::fs::remove_dir_all(mount.join("..1")).unwrap();
    wait_until("the swapped link", || reasons(&pdp) == ["two"]);
}

#[cfg(unix)]
#[test]
fn a_directory_that_is_itself_a_link_is_swapped() {
    use std::os::unix::fs::symlink;
    let tree = Tree::new(&[
        ("v1/p.cedar", &permit("one")),
        ("v2/p.cedar", &permit("two")),
    ]);
    symlink("v1", tree.join("current")).unwrap();
    let pdp = watched(&tree.join("current")).build().unwrap();
    symlink("v2", tree.join("next")).unwrap();
    std::fs::rename(tree.join("next"), tree.join("current")).unwrap();
    wait_until("the swapped directory", || reasons(&pdp) == ["two"]);
}

#[test]
fn a_faulty_change_is_reported_and_not_published() {
    let tree = Tree::new(&[("a.cedar", &permit("a"))]);
    let pdp = watched(tree.path()).build().unwrap();
    let changes = pdp.subscribe();
    tree.write("a.cedar", "permit(");
    let change = changes.next_within(Duration::from_secs(20)).unwrap();
    let StateChange::Rejected(faults) = change else {
        panic!("{change:?}");
    };
    assert!(faults.summary().contains("a.cedar:1:"), "{faults}");
    assert_eq!(reasons(&pdp), ["a"]);
    let health = pdp.health();
    assert!(
        health.is_degraded() && health.reasons[0].contains("a.cedar:1:"),
        "{health:?}"
    );
    assert!(pdp.reload_counts().failed >= 1);
    tree.write("a.cedar", &permit("mended"));
    wait_until("the mended file", || reasons(&pdp) == ["mended"]);
    assert!(!pdp.health().is_degraded());
}

#[test]
fn what_looks_like_an_accident_waits_for_a_word() {
    let forbid = "@id(\"f\") forbid(principal == U::\"x\", action, resource);";
    let tree = Tree::new(&[
        ("p/a.cedar", &permit("a")),
        ("p/b.cedar", &permit("b")),
        ("p/f.cedar", forbid),
    ]);
    let start = || Pdp::builder().policies(tree.join("p")).build().unwrap();
    #[track_caller]
    fn check(pdp: &Pdp, expect: &str) {
        let Err(ReloadError::Held(reason)) = pdp.reload() else {
            panic!("not held back");
        };
        assert!(reason.contains(expect), "{reason}");
        let health = pdp.health();
        assert!(
            health.reasons[0].contains("deodar reload --confirm"),
            "{health:?}"
        );
        assert_eq!(pdp.state().sequence(), 1);
        assert!(pdp.reload_counts().held >= 1);
    }
    let pdp = start();
    tree.remove("p/f.cedar");
    check(&pdp, "no forbid would be left of 1");
    tree.remove("p/a.cedar");
    tree.remove("p/b.cedar");
    check(&pdp, "no policy would be left of 3");
    tree.write("p/f.cedar", forbid);
    check(&pdp, "2 of 3 policies would be removed");
    let done = pdp.reload_confirmed().unwrap();
    assert!(matches!(done, Reloaded::Published { sequence: 2, .. }));
    assert!(!pdp.health().is_degraded());

    // Renaming every policy is not a loss, and the guard can be switched off.
    tree.write("p/f.cedar", &forbid.replace("\"f\"", "\"g\""));
    assert!(pdp.reload().is_ok());
    let unguarded = Pdp::builder()
        .policies(tree.join("p"))
        .guard(false)
        .build()
        .unwrap();
    tree.remove("p/f.cedar");
    assert!(unguarded.reload().is_ok());
}

/// A tree that never had a policy is as good after a restart as before; one that lost its policies is not.
#[test]
fn a_tree_without_policies_starts_again_unless_it_had_some() {
    let tree = Tree::new(&[("p/a.cedar", "// none yet\n")]);
    let start = |strict: bool| {
        let builder = Pdp::builder()
            .policies(tree.join("p"))
            .state_dir(tree.join("state"));
        builder.strict_start(strict).build()
    };
    for text in ["// none yet\n", "// still none\n", "// still none\n"] {
        tree.write("p/a.cedar", text);
        let pdp = start(true).unwrap();
        assert!(reasons(&pdp).is_empty());
    }
    tree.write("p/a.cedar", "permit(principal, action, resource);");
    drop(start(true).unwrap());
    tree.write("p/a.cedar", "// gone\n");
    assert!(start(true).is_err());
    let pdp = start(false).unwrap();
    assert!(!reasons(&pdp).is_empty() && pdp.health().is_degraded());
}

#[test]
fn the_last_good_sources_survive_a_restart_into_a_broken_tree() {
    let tree = Tree::new(&[("p/a.cedar", &permit("a"))]);
    let state = tree.join("state");
    let builder = || Pdp::builder().policies(tree.join("p")).state_dir(&state);
    let pdp = builder().build().unwrap();
    tree.write("p/a.cedar", &permit("b"));
    pdp.reload().unwrap();
    assert_eq!(pdp.state().sequence(), 2);
    let revision = pdp.state().revision().clone();
    let second = builder().build().unwrap_err().to_string();
    assert!(second.contains("is in use by process"), "{second}");
    drop(pdp);

    let unchanged = builder().build().unwrap();
    assert_eq!(
        unchanged.state().sequence(),
        2,
        "the same content keeps its sequence"
    );
    drop(unchanged);

    tree.write("p/a.cedar", "broken");
    let strict = builder().strict_start(true).build();
    assert!(strict.is_err());
    let pdp = builder().build().unwrap();
    assert_eq!(
        (reasons(&pdp), pdp.state().sequence()),
        (vec!["b".to_owned()], 2)
    );
    assert_eq!(pdp.state().revision(), &revision);
    let health = pdp.health();
    assert!(
        health.reasons[0].contains("started on the last good sources"),
        "{health:?}"
    );
    tree.write("p/a.cedar", &permit("c"));
    pdp.reload().unwrap();
    assert_eq!(pdp.state().sequence(), 3);
    assert!(!pdp.health().is_degraded());
    drop(pdp);

    std::fs::remove_file(tree.join("p/a.cedar")).unwrap();
    let pdp = builder().build().unwrap();
    assert_eq!(
        reasons(&pdp),
        ["c"],
        "an emptied tree is no reason to forget"
    );
}

#[test]
fn parsed_cedar_values_and_texts_make_a_state_too() {
    let set: cedar_policy::PolicySet = "permit(principal, action, resource in G::\"g\");"
        .parse()
        .unwrap();
    let entities = cedar_policy::Entities::from_json_value(
        json!([{"uid": {"type": "R", "id": "r"}, "attrs": {}, "parents": [{"type": "G", "id": "g"}]}]),
        None,
    )
    .unwrap();
    let (fragment, _) = cedar_policy::SchemaFragment::from_cedarschema_str(
        "entity U; entity G; entity R in [G]; action x appliesTo {principal: U, resource: [R, G]};",
    )
    .unwrap();
    let build = || {
        Pdp::builder()
            .policy_set(set.clone())
            .entity_set(entities.clone())
            .schema_fragment(fragment.clone())
            .build()
            .unwrap()
    };
    let pdp = build();
    assert_eq!(reasons(&pdp), ["policy0"]);
    assert_eq!(pdp.state().revision(), build().state().revision());
    assert_eq!(pdp.reload().unwrap(), Reloaded::Unchanged);
}

/// 300 reloads, every third one invalid, while clients ask without pause.
/// One fault that takes the place of another is told, also where files are only polled.
#[test]
fn a_fault_that_replaces_another_is_told() {
    let tree = Tree::new(&[("a.cedar", &permit("a"))]);
    let pdp = Pdp::builder()
        .policies(tree.path())
        .watch(
            WatchMode::Poll,
            Duration::from_millis(5),
            Duration::from_millis(20),
        )
        .build()
        .unwrap();
    let says = |wanted: &str| pdp.health().reasons.join(" ").contains(wanted);
    let link = tree.join("b.cedar");
    std::os::unix::fs::symlink(tree.join("nothing"), &link).unwrap();
    wait_until("a link to nothing", || says("No such file"));
    std::fs::remove_file(&link).unwrap();
    std::fs::create_dir(tree.join("c")).unwrap();
    let pipe = Command::new("mkfifo").arg(tree.join("c/c.cedar")).status();
    assert!(pipe.unwrap().success());
    wait_until("a pipe", || says("not a regular file"));
    std::fs::remove_file(tree.join("c/c.cedar")).unwrap();
    wait_until("nothing", || pdp.health().reasons.is_empty());
    // One of two faults changes, and the first stays.
    tree.write("b.cedar", "permit(");
    tree.write("d.cedar", "forbid(");
    wait_until("two faults", || says("b.cedar") && says("d.cedar"));
    tree.write("d.cedar", &permit("a"));
    wait_until("another second fault", || {
        says("b.cedar") && says("used twice")
    });
}

/// A file that a writer truncates and fills again holds, for a while, a beginning that parses.
#[test]
fn a_beginning_that_parses_is_not_published() {
    let forbids: String = (0..40)
        .map(|n| format!("@id(\"f{n}\") forbid(principal == U::\"{n}\", action, resource);\n"))
        .collect();
    let whole = format!("{}\n{forbids}", permit("a"));
    let tree = Tree::new(&[("a.cedar", &whole)]);
    let pdp = Pdp::builder()
        .policies(tree.path())
        .guard(false)
        .watch(
            WatchMode::Auto,
            Duration::from_millis(150),
            Duration::from_millis(20),
        )
        .build()
        .unwrap();
    let changes = pdp.subscribe();
    for n in 0..10 {
        let text = format!("// {n}\n{whole}");
        let mut file = std::fs::File::create(tree.join("a.cedar")).unwrap();
        for line in text.lines() {
            use std::io::Write as _;
            writeln!(file, "{line}").unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
        // Reloads that are asked for wait as well.
        let _ = pdp.reload();
        assert_eq!(pdp.state().snapshot().policies().policies().count(), 41);
    }
    while let Ok(change) = changes.try_next() {
        assert!(
            matches!(change, StateChange::Published { .. }),
            "{change:?}"
        );
    }
}

#[test]
fn reloads_under_load() {
    const RELOADS: usize = 300;
    let tree = Tree::new(&[]);
    let write = |version: usize, valid: bool| {
        let policy = format!(
            "@id(\"v{version}\") permit(principal, action, resource) when {{ resource.version == {version} }};{}",
            if valid { "" } else { " permit(oops" }
        );
        let entity = format!(
            r#"[{{"uid":{{"type":"R","id":"r"}},"attrs":{{"version":{version}}},"parents":[]}}]"#
        );
        tree.write("p/a.cedar", &policy);
        tree.write("e/r.json", &entity);
    };
    write(0, true);
    let (policies, entities) = (tree.join("p"), tree.join("e"));
    let off = tree.join("deodar.toml");
    // Nothing is shed, however busy the machine is: every question must have its answer.
    std::fs::write(
        &off,
        format!(
            "reload.watch = \"off\"\nreload.debounce = \"1ms\"\nlimits.manage_per_second = 100000\n\
             limits.target_wait = \"0s\"\n{}",
            administrator()
        ),
    )
    .unwrap();
    let served = Served::start(
        &[
            "--policies",
            policies.to_str().unwrap(),
            "--entities",
            entities.to_str().unwrap(),
            "--config",
            off.to_str().unwrap(),
        ],
        tree.path(),
    );
    let done = AtomicBool::new(false);
    let asked = AtomicUsize::new(0);
    let body = json!({"principal": "U::\"a\"", "action": "Action::\"x\"", "resource": "R::\"r\""});
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = served.client();
                let mut last = 0;
                while !done.load(Ordering::SeqCst) {
                    let (status, answer) = client.post("/authorize", &body);
                    assert_eq!(status, 200, "{answer}");
                    // A policy of one version and an entity of another would not match.
                    assert_eq!(answer["decision"], "Allow", "{answer}");
                    let sequence = answer["sequence"].as_u64().unwrap();
                    assert!(sequence >= last, "states do not go back");
                    last = sequence;
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let _done = SetOnDrop(&done);
        let mut admin = served.administrator();
        let mut invalid = 0;
        for version in 1..=RELOADS {
            let valid = version % 3 != 0;
            write(version, valid);
            let (status, answer): (u16, Value) = admin.post("/admin/reload", &json!({}));
            if valid {
                assert_eq!(
                    (status, &answer["result"]),
                    (200, &json!("published")),
                    "{answer}"
                );
            } else {
                invalid += 1;
                assert_eq!(
                    (status, &answer["result"]),
                    (422, &json!("faulty")),
                    "{answer}"
                );
                let fault = &answer["faults"][0];
                assert!(fault["file"].as_str().unwrap().ends_with("a.cedar") && fault["line"] == 1);
                let (_, ready) = admin.get("/readyz");
                assert_eq!(ready["status"], "degraded");
            }
        }
        done.store(true, Ordering::SeqCst);
        let (_, ready) = admin.get("/readyz");
        assert_eq!(ready["sequence"], 1 + RELOADS - invalid);
    });
    assert!(
        asked.load(Ordering::SeqCst) > RELOADS,
        "clients asked all the time"
    );
}

/// Ends the threads that look at it, also when an assertion fails.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
