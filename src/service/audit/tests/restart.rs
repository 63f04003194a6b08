//! Restarts, rotations, and ends that nobody wanted.

use std::process::{Command, Stdio};

use super::*;
use crate::service::audit::verify::Wrong;

fn record(config: &AuditConfig, many: usize) {
    let log = start(config);
    let pdp = pdp(ALLOW_ALL);
    for _ in 0..many {
        log.record(entry_of(&pdp, request())).unwrap();
    }
    log.close();
}

#[test]
fn the_chain_goes_on_across_restarts_and_files() {
    for chain in [ChainKind::None, ChainKind::Hmac, ChainKind::Ed25519] {
        let room = Room::new();
        let config = AuditConfig {
            rotate_bytes: 3_000,
            ..room.config(chain)
        };
        for _ in 0..3 {
            record(&config, 10);
        }
        let report = room.verify(chain);
        assert_eq!(report.bad, None, "{chain:?}");
        assert!(report.files >= 3, "{}", report.files);
        assert_eq!((report.decisions, report.first), (30, 1));
        assert_eq!(report.after_anchor(), 0);
        let records = room.records();
        let starts: Vec<&Value> = records.iter().filter(|r| r["kind"] == "started").collect();
        let after: Vec<&str> = starts
            .iter()
            .map(|r| r["after"].as_str().unwrap())
            .collect();
        assert_eq!(after, ["nothing", "stop", "stop"]);
        assert!(starts.iter().all(|start| start["log"] == starts[0]["log"]));
        #[cfg(unix)]
        for item in std::fs::read_dir(room.0.path()).unwrap() {
            use std::os::unix::fs::PermissionsExt;
            let item = item.unwrap();
            if item.file_name().to_str().unwrap().starts_with("audit") {
                let mode = item.metadata().unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600, "{:?}", item.file_name());
            }
        }
    }
}

#[test]
fn old_files_are_removed_and_the_log_says_so() {
    let room = Room::new();
    let config = AuditConfig {
        rotate_bytes: 1_000,
        keep_files: 2,
        ..room.config(ChainKind::Hmac)
    };
    for _ in 0..6 {
        record(&config, 3);
    }
    assert_eq!(sink::rotated::list(&room.log()).unwrap().len(), 2);
    let report = room.verify(ChainKind::Hmac);
    assert_eq!(report.bad, None);
    assert!(report.first > 1);
    assert!(
        report.notes[0].contains("as the log itself says"),
        "{:?}",
        report.notes
    );
    let complete = Wanted {
        keys: check_keys(ChainKind::Hmac),
        complete: true,
        ..Wanted::default()
    };
    let bad = room.verify_against(&complete).bad.unwrap();
    assert_eq!((bad.wrong, bad.sequence), (Wrong::Missing, Some(1)));
}

#[test]
fn a_torn_tail_is_cut_off_kept_and_told() {
    let room = Room::new();
    let config = room.config(ChainKind::Hmac);
    record(&config, 2);
    let torn = r#"{"kind":"decision","sequence":99,"ti"#;
    let mut text = std::fs::read_to_string(room.log()).unwrap();
    text.push_str(torn);
    std::fs::write(room.log(), &text).unwrap();
    let bad = room.verify(ChainKind::Hmac).bad.unwrap();
    assert_eq!((bad.wrong, bad.line), (Wrong::TornTail, 7));
    record(&config, 1);
    assert_eq!(room.verify(ChainKind::Hmac).bad, None);
    let kept = std::fs::read_to_string(room.path("audit.ndjson.torn")).unwrap();
    assert_eq!(kept, format!("{torn}\n"));
    let records = room.records();
    let told = &records[7];
    assert_eq!(
        (&told["kind"], &told["torn"]["bytes"]),
        (&"recovered".into(), &torn.len().into())
    );
    // A first record that was never finished.
    let room = Room::new();
    std::fs::write(room.log(), "{\"kin").unwrap();
    record(&room.config(ChainKind::None), 1);
    assert_eq!(room.verify(ChainKind::None).bad, None);
}

#[test]
fn a_restart_does_not_heal_a_cut() {
    let room = Room::new();
    let config = room.config(ChainKind::Hmac);
    record(&config, 5);
    let text = std::fs::read_to_string(room.log()).unwrap();
    let kept: Vec<&str> = text.lines().take(4).collect();
    std::fs::write(room.log(), format!("{}\n", kept.join("\n"))).unwrap();
    record(&config, 1);
    let bad = room.verify(ChainKind::Hmac).bad.unwrap();
    assert_eq!(
        (bad.wrong, bad.sequence, bad.line),
        (Wrong::Missing, Some(5), 5)
    );
    let records = room.records();
    assert_eq!(records[4]["after"], "crash");
    assert_eq!(records[5]["missing"]["from"], 5);
    assert_eq!(records[5]["missing"]["to"], 9);
}

#[test]
fn another_key_begins_another_file() {
    let room = Room::new();
    record(&room.config(ChainKind::Hmac), 2);
    record(&room.config(ChainKind::Ed25519), 2);
    let files = sink::rotated::list(&room.log()).unwrap();
    assert_eq!(files.len(), 1);
    let check = |path: PathBuf, chain: ChainKind| {
        let room = Room::new();
        std::fs::copy(path, room.log()).unwrap();
        room.verify(chain)
    };
    assert_eq!(check(files[0].path.clone(), ChainKind::Hmac).bad, None);
    assert_eq!(check(room.log(), ChainKind::Ed25519).bad, None);
    // As a whole it is one chain all the same.
    let complete = Wanted {
        complete: true,
        ..Wanted::default()
    };
    assert_eq!(room.verify_against(&complete).bad, None);
    assert!(room.verify(ChainKind::Hmac).bad.is_some());
}

#[test]
fn a_file_that_is_moved_away_is_begun_anew() {
    let room = Room::new();
    let log = start(&room.config(ChainKind::None));
    log.record(entry()).unwrap();
    wait_until("it is written", || log.counts().recorded == 1);
    let moved = sink::rotated::list(&room.log()).unwrap().len();
    assert_eq!(moved, 0);
    let aside = room.path("audit.ndjson.00000000000000000001");
    std::fs::rename(room.log(), aside).unwrap();
    wait_until("another file is begun", || {
        log.record(entry()).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        room.log().exists()
    });
    log.close();
    let report = room.verify(ChainKind::None);
    assert_eq!((report.bad, report.files), (None, 2));
}

const DIRECTORY: &str = "DEODAR_TEST_AUDIT_DIRECTORY";
/// How often to kill.
const ROUNDS: &str = "DEODAR_TEST_AUDIT_KILLS";

/// Run by the test below in a process of its own.
#[test]
#[ignore = "writes until it is killed"]
fn writes_until_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let config = killed_config(Path::new(&directory));
    let log = start(&config);
    let pdp = pdp(ALLOW_ALL);
    loop {
        for _ in 0..20 {
            log.record(entry_of(&pdp, request())).unwrap();
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn killed_config(directory: &Path) -> AuditConfig {
    AuditConfig {
        file: Some(directory.join("audit.ndjson")),
        chain: ChainKind::Hmac,
        key: Some(SecretRef::File(directory.join("key"))),
        rotate_bytes: 200_000,
        checkpoint_records: 50,
        ..config()
    }
}

#[test]
fn a_killed_log_holds_or_names_its_torn_tail_and_goes_on() {
    let room = Room::new();
    room.keep("key", SHARED_KEY);
    let mut seen = 0;
    let rounds = std::env::var(ROUNDS).map_or(10, |text| text.parse::<u64>().unwrap());
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "service::audit::tests::restart::writes_until_killed",
            ])
            .args(["--ignored", "--nocapture"])
            .env(DIRECTORY, room.0.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let head = || Head::read(&room.path("audit.ndjson.head")).ok().flatten();
        wait_until("something is written", || {
            head().is_some_and(|head| head.sequence > seen + 50)
        });
        std::thread::sleep(Duration::from_millis(round * 7 % 40));
        child.kill().unwrap();
        child.wait().unwrap();
        let report = room.verify(ChainKind::Hmac);
        if let Some(bad) = &report.bad {
            assert_eq!(bad.wrong, Wrong::TornTail, "round {round}: {bad:?}");
        }
        // What the head said is there.
        let head = head().unwrap().sequence;
        assert!(report.last_sequence() >= head);
        if round % 2 == 0 {
            record(&killed_config(room.0.path()), 1);
            let report = room.verify(ChainKind::Hmac);
            assert_eq!(report.bad, None, "round {round}");
        }
        seen = head_sequence(&room);
    }
    let records = room.records();
    let crashes = records.iter().filter(|record| record["after"] == "crash");
    // Every start after a kill, and those here after one.
    assert!(crashes.count() as u64 >= rounds - 1);
}

fn head_sequence(room: &Room) -> u64 {
    let head = Head::read(&room.path("audit.ndjson.head")).unwrap();
    head.map_or(0, |head| head.sequence)
}
