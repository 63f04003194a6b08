//! More decisions than a sink takes.

use super::*;

fn held_up(overflow: Overflow, block_timeout: Duration) -> (DecisionLog, Gate) {
    let gate = Gate::default();
    let config = AuditConfig {
        stdout: true,
        overflow,
        block_timeout: block_timeout.into(),
        buffer: 4,
        ..config()
    };
    let sink: Box<dyn Write + Send> = Box::new(gate.clone());
    let log = DecisionLog::start_with(&config, &[], None, Some(sink));
    let log = log.unwrap().unwrap();
    wait_until("the start is written", || gate.records().len() == 2);
    gate.shut(true);
    (log, gate)
}

fn of_kind(records: &[Value], kind: &str) -> Vec<Value> {
    let records = records.iter().filter(|record| record["kind"] == kind);
    records.cloned().collect()
}

#[test]
fn drop_never_waits_and_the_count_becomes_a_record() {
    let (log, gate) = held_up(Overflow::Drop, Duration::ZERO);
    assert!(log.health().is_none() && !log.may_wait());
    for _ in 0..50 {
        log.record(entry()).unwrap();
    }
    let dropped = log.counts().dropped;
    assert!(dropped >= 40, "{dropped}");
    assert!(log.health().unwrap().contains("not recorded"));
    gate.shut(false);
    wait_until("all is written", || log.counts().queued == 0);
    log.record(entry()).unwrap();
    let counts = log.clone();
    log.close();
    let records = gate.records();
    let told = of_kind(&records, "dropped");
    let told: u64 = told
        .iter()
        .map(|record| record["count"].as_u64().unwrap())
        .sum();
    assert_eq!(told, dropped);
    let decisions = of_kind(&records, "decision").len() as u64;
    assert_eq!(decisions + dropped, 51);
    assert_eq!(counts.counts().recorded, decisions);
    for (at, record) in records.iter().enumerate() {
        assert_eq!(record["sequence"], at as u64 + 1);
    }
}

#[test]
fn deny_fails_at_once() {
    let (log, gate) = held_up(Overflow::Deny, Duration::ZERO);
    let refused = (0..50)
        .filter(|_| log.record(entry()) == Err(LogFull))
        .count();
    assert!(refused >= 40, "{refused}");
    assert_eq!(log.counts().refused, refused as u64);
    gate.shut(false);
    wait_until("all is written", || log.counts().queued == 0);
    assert_eq!(log.record(entry()), Ok(()));
    log.close();
    let records = gate.records();
    assert_eq!(of_kind(&records, "decision").len(), 51 - refused);
    assert!(of_kind(&records, "dropped").is_empty());
}

#[test]
fn block_waits_for_room_and_then_fails() {
    let (log, gate) = held_up(Overflow::Block, Duration::from_millis(50));
    assert!(log.may_wait());
    let until_full = (0..50).take_while(|_| log.record(entry()).is_ok()).count();
    assert!((4..20).contains(&until_full), "{until_full}");
    let began = Instant::now();
    assert_eq!(log.record(entry()), Err(LogFull));
    assert!(began.elapsed() >= Duration::from_millis(45));
    log.close_later(&gate);

    let (log, gate) = held_up(Overflow::Block, Duration::from_secs(60));
    let open = {
        let gate = gate.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            gate.shut(false);
        })
    };
    for _ in 0..30 {
        log.record(entry()).unwrap();
    }
    open.join().unwrap();
    log.close();
    assert_eq!(of_kind(&gate.records(), "decision").len(), 30);
}

impl DecisionLog {
    /// Opens the gate and closes.
    fn close_later(self, gate: &Gate) {
        gate.shut(false);
        self.close();
    }
}

#[test]
fn a_directory_that_goes_and_comes_back_is_waited_for() {
    let room = Room::new();
    let directory = room.path("log");
    std::fs::create_dir(&directory).unwrap();
    let config = AuditConfig {
        file: Some(directory.join("audit.ndjson")),
        ..room.config(ChainKind::None)
    };
    let log = start(&config);
    log.record(entry()).unwrap();
    wait_until("it is written", || log.counts().recorded == 1);
    std::fs::remove_dir_all(&directory).unwrap();
    wait_until("somebody notices", || {
        log.record(entry()).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        log.health().is_some()
    });
    assert!(log.counts().sinks[0].failed > 0);
    std::fs::create_dir(&directory).unwrap();
    wait_until("it is written again", || {
        log.health().is_none() && log.counts().queued == 0
    });
    log.close();
    let records = lines(&directory.join("audit.ndjson"));
    assert_eq!(records[0]["kind"], "reopened");
    let mut logs = gather(&[directory]).unwrap();
    let report = verify(logs.remove(0), &Wanted::default()).unwrap();
    assert_eq!(report.bad, None);
    assert!(
        report.first > 1 && report.notes[0].contains("not here"),
        "{report:?}"
    );
}

#[test]
fn a_slow_receiver_loses_records_and_the_chain_says_so() {
    use crate::service::net::fetch::{Call, Reply};

    let room = Room::new();
    let (gate, taken) = (Gate::default(), Arc::new(Mutex::new(Vec::new())));
    let (theirs, held) = (Arc::clone(&taken), gate.clone());
    let fetch = move |call: &Call| {
        held.clone().write_all(b"\n").unwrap();
        theirs.lock().unwrap().extend_from_slice(&call.body);
        Ok(Reply {
            status: 200,
            headers: Vec::new(),
            body: Vec::new(),
        })
    };
    let config = AuditConfig {
        url: Some("https://collector.example/".to_owned()),
        post_buffer_bytes: 10_000,
        flush_interval: Duration::ZERO.into(),
        ..room.config(ChainKind::Hmac)
    };
    let fetch: Arc<dyn Fetch> = Arc::new(fetch);
    let log = DecisionLog::start_with(&config, &[], Some(fetch), None);
    let log = log.unwrap().unwrap();
    gate.shut(true);
    // The file takes them all meanwhile.
    for n in 1..=100 {
        log.record(entry()).unwrap();
        wait_until("it is written", || log.counts().recorded == n);
    }
    let lost = log.counts().sinks[2].lost;
    assert!(lost >= 50, "{lost}");
    assert!(log.health().unwrap().contains("`http`"));
    gate.shut(false);
    wait_until("there is room", || {
        log.record(entry()).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        let text = std::fs::read_to_string(room.log()).unwrap();
        text.contains("\"kind\":\"lost\"")
    });
    let counts = log.clone();
    log.close();
    let lost = counts.counts().sinks[2].lost;
    let records = room.records();
    let told = of_kind(&records, "lost");
    let told: u64 = told
        .iter()
        .map(|record| record["count"].as_u64().unwrap())
        .sum();
    assert_eq!(told, lost);
    let posted = String::from_utf8(taken.lock().unwrap().clone()).unwrap();
    assert_eq!(posted.lines().count() as u64 + lost, records.len() as u64);
    assert_eq!(room.verify(ChainKind::Hmac).bad, None);
}
