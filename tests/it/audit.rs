//! `deodar audit verify` on a log that is made here, by the format as it is documented.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::support::{Ran, Tree, deodar, hex, run};

const KEY: &str = "a shared key of some length";

/// Lines with these members, chained and MACed.
fn sealed(members: &[&str]) -> Vec<String> {
    let mut prev = "0".repeat(64);
    let mut lines = Vec::new();
    for (at, members) in members.iter().enumerate() {
        let time = "2026-03-10T10:00:00.000Z";
        let sequence = at + 1;
        let signed = format!(
            "{{\"kind\":{members},\"sequence\":{sequence},\"time\":\"{time}\",\"prev\":\"{prev}\""
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
        mac.update(&Sha256::digest(&signed));
        let mac = hex(&mac.finalize().into_bytes());
        let line = format!("{signed},\"mac\":\"{mac}\"}}");
        prev = hex(&Sha256::digest(&line));
        lines.push(line);
    }
    lines
}

const MEMBERS: [&str; 4] = [
    "\"started\",\"log\":\"l\"",
    "\"decision\",\"decision\":\"Deny\"",
    "\"dropped\",\"count\":3",
    "\"decision\",\"decision\":\"Allow\"",
];

fn verify(tree: &Tree, more: &[&str]) -> Ran {
    let mut command = deodar();
    command.current_dir(tree.path());
    run(command.args(["audit", "verify"]).args(more))
}

fn written(lines: &[String]) -> Tree {
    let tree = Tree::new(&[("key", KEY), ("other", "another key of some length")]);
    tree.write("audit.ndjson", &format!("{}\n", lines.join("\n")));
    tree
}

#[test]
fn a_log_as_it_is_documented_holds() {
    let lines = sealed(&MEMBERS);
    let tree = written(&lines);
    let ran = verify(&tree, &["audit.ndjson", "--key-file", "key"]);
    ran.ends(0);
    for expect in [
        "audit.ndjson: holds: 4 records (2 decisions) in 1 files",
        "authenticated by MACs",
        "the end is not anchored",
        "3 decisions were not recorded",
    ] {
        assert!(ran.out.contains(expect), "{expect}: {}", ran.out);
    }
    let hash = hex(&Sha256::digest(&lines[3]));
    let expect = ["--expect-sequence", "4", "--expect-hash", &hash];
    let ran = verify(&tree, &[&[".", "--json"], &expect[..]].concat());
    ran.ends(0);
    let log = &ran.json()["logs"][0];
    assert_eq!(log["anchor"]["by"], "expected record");
    assert_eq!(
        (&log["afterAnchor"], &log["last"]["hash"]),
        (&0.into(), &hash.into())
    );
    assert_eq!(log["checked"], "nothing");
}

#[test]
fn the_first_bad_record_is_named() {
    let lines = sealed(&MEMBERS);
    let mut changed = lines.clone();
    changed[1] = changed[1].replace("Deny", "Allow");
    let tree = written(&changed);
    // With a key by its MAC, without by the record after it.
    for key in [&["--key-file", "key"][..], &[]] {
        let ran = verify(&tree, &[&["audit.ndjson"], key].concat());
        ran.ends(2);
        ran.says("audit.ndjson:2: record 2: changed: ");
    }
    let tree = written(&[&lines[..1], &lines[2..]].concat());
    let ran = verify(&tree, &[".", "--json"]);
    let bad = &ran.json()["logs"][0]["bad"];
    assert_eq!((ran.code, &bad["problem"]), (2, &"missing".into()));
    assert_eq!((&bad["line"], &bad["sequence"]), (&2.into(), &2.into()));
    let tree = written(&lines);
    let ran = verify(&tree, &["audit.ndjson", "--key-file", "other"]);
    ran.ends(2);
    let ran = verify(&tree, &["audit.ndjson", "--expect-sequence", "9"]);
    ran.ends(2).says("records 5 to 9 are not there");
}

#[test]
fn what_cannot_be_checked_is_said() {
    let tree = written(&sealed(&MEMBERS));
    tree.write("short", "\n");
    for (arguments, expect) in [
        (&["none.ndjson"][..], "none.ndjson"),
        (&["audit.ndjson", "--key-file", "nowhere"], "nowhere"),
        (&["audit.ndjson", "--key-file", "short"], "is empty"),
        (&["audit.ndjson", "--public-key", "key"], "openssl"),
        (&["audit.ndjson", "--head", "nowhere"], "is not there"),
        (&["audit.ndjson", "--head", "key"], "not a head of a log"),
        (
            &["audit.ndjson", "--expect-hash", "00"],
            "--expect-sequence",
        ),
        (
            &[
                "audit.ndjson",
                "--expect-sequence",
                "1",
                "--expect-hash",
                "0",
            ],
            "64 hexadecimal",
        ),
    ] {
        let ran = verify(&tree, arguments);
        let all = format!("{}{}", ran.out, ran.err);
        assert_eq!(ran.code, 1, "{arguments:?}: {all}");
        assert!(all.contains(expect), "{arguments:?}: {all}");
        assert!(!all.contains(KEY), "{all}");
    }
}
