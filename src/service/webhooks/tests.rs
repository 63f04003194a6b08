//! Deliveries under a clock that is set, and registrations across restarts.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::AtomicI64;

use serde_json::Value;

use super::queue::Next;
use super::sign::SigningKey;
use super::*;
use crate::base::span::Span;
use crate::service::config::SecretRef;
use crate::storage::{SealKey, SealKeys, StoreSettings};
use crate::trust::model::Score;
use crate::trust::subjects::{EventSubject, NotificationKind, Severity};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// Webhooks without threads, a clock, and receivers that answer as they are told.
struct Bench {
    dir: tempfile::TempDir,
    clock: Arc<AtomicI64>,
    answers: Arc<Mutex<VecDeque<Reply>>>,
    calls: Arc<Mutex<Vec<Call>>>,
    hooks: Vec<WebhookConfig>,
    config: WebhookDeliveryConfig,
    sealed: bool,
}

fn seconds(all: &[u64]) -> Vec<Span> {
    all.iter().map(|wait| Span::seconds(*wait)).collect()
}

fn reply(status: u16, headers: &[(&str, &str)]) -> Reply {
    let headers = headers.iter();
    Reply {
        status,
        headers: headers
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect(),
        body: Vec::new(),
    }
}

fn notice(id: &str) -> Notification {
    Notification {
        kind: NotificationKind::Finding,
        name: "brute_force_attack".to_owned(),
        id: id.to_owned(),
        at: Timestamp::from_millis(0),
        severity: Severity::High,
        risk: Score::HALF,
        subject: EventSubject::default(),
        detail: "detail".to_owned(),
    }
}

impl Webhooks {
    /// Takes a notice over, and waits for the disk.
    fn hand_over(&self, notice: &Notification) {
        intake::accept(&self.shared, std::slice::from_ref(notice));
    }
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("secret");
        std::fs::write(&secret, SECRET).unwrap();
        Self {
            hooks: vec![WebhookConfig {
                name: "soc".to_owned(),
                url: "https://soc.example.org/d".to_owned(),
                secret: SecretRef::File(secret),
                previous_secret: None,
                events: Vec::new(),
                min_severity: Severity::Low,
                allow_private: false,
            }],
            dir,
            clock: Arc::new(AtomicI64::new(1_000_000)),
            answers: Arc::default(),
            calls: Arc::default(),
            config: WebhookDeliveryConfig {
                source: "urn:test".to_owned(),
                timeout: Span::seconds(1),
                retries: seconds(&[0, 5, 300, 1_800, 7_200, 18_000, 36_000]),
                queue: 100,
                dead_letters: 10,
                dead_letter_file: None,
                danger_allow_private: false,
            },
            sealed: true,
        }
    }

    fn open_store(&self, path: &Path) -> Store {
        let keys = if self.sealed {
            vec![SealKey::new([7; 32])]
        } else {
            Vec::new()
        };
        let settings = StoreSettings {
            seal: SealKeys::new(keys),
            ..StoreSettings::default()
        };
        Store::open(path, settings).unwrap()
    }

    fn open(&self, with_store: bool) -> Webhooks {
        let (answers, calls) = (Arc::clone(&self.answers), Arc::clone(&self.calls));
        let fetch: Arc<dyn Fetch> = Arc::new(move |call: &Call| {
            lock(&calls).push(call.clone());
            Ok(lock(&answers).pop_front().unwrap_or(reply(500, &[])))
        });
        let clock = Arc::clone(&self.clock);
        Webhooks::open(Setup {
            config: self.config.clone(),
            hooks: self.hooks.clone(),
            store: with_store.then(|| self.open_store(&self.dir.path().join("state"))),
            public: Arc::clone(&fetch),
            private: fetch,
            clock: Arc::new(move || Timestamp::from_millis(clock.load(Ordering::SeqCst))),
            jitter: |time| time,
        })
        .unwrap()
    }

    fn answer(&self, all: impl IntoIterator<Item = Reply>) {
        lock(&self.answers).extend(all);
    }

    fn pass(&self, millis: i64) {
        self.clock.fetch_add(millis, Ordering::SeqCst);
    }

    fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut *lock(&self.calls))
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.load(Ordering::SeqCst))
    }

    /// Tries everything that is due; how long until the next try.
    fn step(&self, webhooks: &Webhooks, name: &str) -> Option<i64> {
        let hook = webhooks.shared.hooks().get(name).cloned().unwrap();
        loop {
            match hook.lane.next(self.now()) {
                Next::Try(delivery) => deliver::attempt(&webhooks.shared, &hook, *delivery),
                Next::Wait(until, _) => return until.map(|until| until - self.now().as_millis()),
                Next::End => return None,
            }
        }
    }
}

fn header(call: &Call, name: &str) -> String {
    let mut all = call.headers.iter();
    all.find(|(other, _)| other == name).unwrap().1.clone()
}

fn figure(webhooks: &Webhooks, name: &str, figure: &str) -> Value {
    webhooks.get(name).unwrap()["statistics"][figure].clone()
}

#[test]
fn a_notice_leaves_signed_and_is_done() {
    let bench = Bench::new();
    let webhooks = bench.open(true);
    bench.answer([reply(204, &[])]);
    webhooks.hand_over(&notice("a"));
    assert_eq!(bench.step(&webhooks, "soc"), None);
    let call = bench.calls().remove(0);
    assert_eq!(call.url, "https://soc.example.org/d");
    assert_eq!(
        header(&call, "content-type"),
        "application/cloudevents+json"
    );
    assert_eq!(header(&call, "webhook-timestamp"), "1000");
    let key = SigningKey::parse(SECRET).unwrap();
    let id = header(&call, "webhook-id");
    assert_eq!(
        header(&call, "webhook-signature"),
        key.sign(&id, 1_000, &call.body)
    );
    let body: Value = serde_json::from_slice(&call.body).unwrap();
    assert_eq!(
        (&body["id"], &body["source"]),
        (&"a".into(), &"urn:test".into())
    );
    let statistics = &webhooks.get("soc").unwrap()["statistics"];
    assert_eq!(statistics["delivered"], 1);
    assert_eq!(statistics["pending"], 0);
    assert_eq!(statistics["lastStatus"], 204);
    assert_eq!(statistics["lastSuccess"], "1970-01-01T00:16:40.000Z");
    let store = webhooks.shared.store.as_ref().unwrap();
    assert_eq!(store.pending_deliveries().unwrap(), []);
}

#[test]
fn tries_follow_the_schedule_and_end_as_a_dead_letter() {
    let bench = Bench::new();
    let webhooks = bench.open(true);
    webhooks.hand_over(&notice("a"));
    let mut waits = Vec::new();
    while let Some(wait) = bench.step(&webhooks, "soc") {
        waits.push(wait);
        bench.pass(wait - 1);
        assert_eq!(bench.step(&webhooks, "soc"), Some(1), "not before its time");
        bench.pass(1);
    }
    let expect = [
        5_000,
        5 * MINUTE,
        30 * MINUTE,
        2 * HOUR,
        5 * HOUR,
        10 * HOUR,
    ];
    assert_eq!(waits, expect);
    let calls = bench.calls();
    assert_eq!(calls.len(), 7);
    // The same id at every try, but each is signed at its own time.
    assert!(
        calls
            .iter()
            .all(|call| header(call, "webhook-id") == header(&calls[0], "webhook-id"))
    );
    assert_ne!(
        header(&calls[0], "webhook-signature"),
        header(&calls[1], "webhook-signature")
    );
    let dead = webhooks.dead(10).unwrap();
    assert_eq!((&dead["count"], &dead["kept"]), (&1.into(), &true.into()));
    let letter = &dead["dead"][0];
    assert_eq!(
        (&letter["attempts"], &letter["lastStatus"]),
        (&7.into(), &500.into())
    );
    assert_eq!(letter["event"], "finding.brute_force_attack");
    assert_eq!(figure(&webhooks, "soc", "failed"), 7);
    assert_eq!(figure(&webhooks, "soc", "dead"), 1);
    assert_eq!(webhooks.counter().dead(), 1);
    // It is sent again with the same id, and all tries before it.
    bench.answer([reply(500, &[]), reply(200, &[])]);
    let replayed = webhooks.replay(&Replay::default()).unwrap();
    assert_eq!(replayed["replayed"], 1);
    assert_eq!(bench.step(&webhooks, "soc"), Some(5_000));
    bench.pass(5_000);
    assert_eq!(bench.step(&webhooks, "soc"), None);
    let again = bench.calls();
    assert_eq!(
        header(&again[1], "webhook-id"),
        header(&calls[0], "webhook-id")
    );
    assert_eq!(again[1].body, calls[0].body);
    assert_eq!(webhooks.dead(10).unwrap()["count"], 0);
    assert_eq!(webhooks.counter().dead(), 0);
}

#[test]
fn retry_after_holds_the_whole_webhook_back_but_shortens_nothing() {
    let bench = Bench::new();
    let webhooks = bench.open(true);
    bench.answer([reply(429, &[("retry-after", "3600")])]);
    webhooks.hand_over(&notice("a"));
    assert_eq!(bench.step(&webhooks, "soc"), Some(HOUR));
    webhooks.hand_over(&notice("b"));
    assert_eq!(bench.step(&webhooks, "soc"), Some(HOUR));
    assert_eq!(bench.calls().len(), 1);
    bench.pass(HOUR);
    bench.answer([reply(503, &[("retry-after", "1")]), reply(200, &[])]);
    // What came last goes first; its second try is in five seconds, as planned.
    bench.step(&webhooks, "soc");
    bench.pass(1_000);
    assert_eq!(bench.step(&webhooks, "soc"), Some(4_000));
    assert_eq!(bench.calls().len(), 2);
}

#[test]
fn a_gone_receiver_is_left_alone_until_a_test_arrives() {
    let bench = Bench::new();
    let webhooks = bench.open(true);
    webhooks.hand_over(&notice("a"));
    webhooks.hand_over(&notice("b"));
    bench.answer([reply(410, &[])]);
    assert_eq!(bench.step(&webhooks, "soc"), None);
    assert_eq!(bench.calls().len(), 1);
    let json = webhooks.get("soc").unwrap();
    assert_eq!(json["enabled"], false);
    assert_eq!(json["disabled"]["reason"], "the receiver answered 410");
    assert_eq!(webhooks.dead(10).unwrap()["count"], 2);
    // Nothing more is queued, and that is counted.
    webhooks.hand_over(&notice("c"));
    assert_eq!(figure(&webhooks, "soc", "skipped"), 1);
    assert_eq!(figure(&webhooks, "soc", "pending"), 0);
    let left = webhooks.replay(&Replay::default()).unwrap();
    assert_eq!(
        (&left["replayed"], &left["left"][0]["reason"]),
        (&0.into(), &"the webhook is disabled".into())
    );
    bench.answer([reply(500, &[]), reply(200, &[])]);
    assert_eq!(webhooks.test("soc").unwrap()["delivered"], false);
    assert_eq!(webhooks.get("soc").unwrap()["enabled"], false);
    let tested = webhooks.test("soc").unwrap();
    assert_eq!(
        (&tested["delivered"], &tested["enabled"]),
        (&true.into(), &true.into())
    );
    let test: Value = serde_json::from_slice(&bench.calls()[1].body).unwrap();
    assert_eq!(test["type"], "dev.deodar.test");
    assert_eq!(webhooks.replay(&Replay::default()).unwrap()["replayed"], 2);
}

#[test]
fn what_waits_outlives_the_process_with_its_schedule() {
    let bench = Bench::new();
    let webhooks = bench.open(true);
    webhooks.hand_over(&notice("a"));
    assert_eq!(bench.step(&webhooks, "soc"), Some(5_000));
    webhooks.hand_over(&notice("b"));
    let first = header(&bench.calls()[0], "webhook-id");
    drop(webhooks);
    bench.answer([reply(200, &[]), reply(200, &[])]);
    let webhooks = bench.open(true);
    assert_eq!(figure(&webhooks, "soc", "pending"), 2);
    assert_eq!(bench.step(&webhooks, "soc"), Some(5_000));
    bench.pass(5_000);
    assert_eq!(bench.step(&webhooks, "soc"), None);
    assert_eq!(header(&bench.calls()[1], "webhook-id"), first);
    drop(webhooks);
    assert_eq!(figure(&bench.open(true), "soc", "pending"), 0);
}

#[test]
fn a_webhook_that_left_the_configuration_leaves_dead_letters() {
    let mut bench = Bench::new();
    let webhooks = bench.open(true);
    webhooks.hand_over(&notice("a"));
    drop(webhooks);
    let hooks = std::mem::take(&mut bench.hooks);
    let webhooks = bench.open(true);
    assert_eq!(webhooks.dead(10).unwrap()["count"], 1);
    assert_eq!(
        webhooks.replay(&Replay::default()).unwrap()["left"][0]["reason"],
        "there is no such webhook"
    );
    drop(webhooks);
    bench.hooks = hooks;
    let webhooks = bench.open(true);
    assert_eq!(webhooks.replay(&Replay::default()).unwrap()["replayed"], 1);
}

#[test]
fn a_full_queue_loses_nothing_where_dead_letters_are_kept() {
    let mut bench = Bench::new();
    bench.config.queue = 2;
    let webhooks = bench.open(true);
    for id in ["a", "b", "c"] {
        webhooks.hand_over(&notice(id));
    }
    assert_eq!(figure(&webhooks, "soc", "pending"), 2);
    let dead = webhooks.dead(10).unwrap();
    assert_eq!(
        (&dead["count"], &dead["dead"][0]["lastError"]),
        (&1.into(), &"the queue was full".into())
    );
    // Nor are more dead letters kept than are bounded.
    bench.answer(std::iter::repeat_n(reply(410, &[]), 2));
    bench.step(&webhooks, "soc");
    assert_eq!(webhooks.counter().dead(), 3);
}

#[test]
fn without_a_place_dead_letters_are_counted_as_lost() {
    let mut bench = Bench::new();
    bench.config.retries = seconds(&[0]);
    let webhooks = bench.open(false);
    webhooks.hand_over(&notice("a"));
    bench.step(&webhooks, "soc");
    assert_eq!(figure(&webhooks, "soc", "dead"), 1);
    assert_eq!(figure(&webhooks, "soc", "lost"), 1);
    assert_eq!(webhooks.dead(10).unwrap()["kept"], false);
    // With a file nothing is lost, across restarts too.
    bench.config.dead_letter_file = Some(bench.dir.path().join("dead.ndjson"));
    let webhooks = bench.open(false);
    webhooks.hand_over(&notice("b"));
    bench.step(&webhooks, "soc");
    assert_eq!(figure(&webhooks, "soc", "lost"), 0);
    drop(webhooks);
    let webhooks = bench.open(false);
    assert_eq!(webhooks.replay(&Replay::default()).unwrap()["replayed"], 1);
    bench.answer([reply(200, &[])]);
    bench.step(&webhooks, "soc");
    assert_eq!(figure(&webhooks, "soc", "delivered"), 1);
}

#[test]
fn a_dead_letter_is_found_by_id_and_webhook() {
    let mut bench = Bench::new();
    bench.config.retries = seconds(&[0]);
    let webhooks = bench.open(true);
    for id in ["a", "b", "c"] {
        webhooks.hand_over(&notice(id));
    }
    bench.step(&webhooks, "soc");
    let id = header(&bench.calls()[1], "webhook-id");
    let other = Replay {
        webhook: Some("other".to_owned()),
        ..Replay::default()
    };
    assert_eq!(webhooks.replay(&other).unwrap()["replayed"], 0);
    let one = Replay {
        ids: Some(vec![id.clone()]),
        webhook: Some("soc".to_owned()),
    };
    assert_eq!(webhooks.replay(&one).unwrap()["replayed"], 1);
    assert_eq!(webhooks.dead(10).unwrap()["count"], 2);
    bench.step(&webhooks, "soc");
    assert_eq!(header(&bench.calls()[0], "webhook-id"), id);
}

fn registration(url: &str) -> Registration {
    Registration {
        url: url.to_owned(),
        events: vec!["finding.*".to_owned()],
        min_severity: Severity::Medium,
    }
}

#[test]
fn a_registered_webhook_is_kept_and_its_secret_is_shown_once() {
    let bench = Bench::new();
    let webhooks = bench.open(true);
    let made = webhooks
        .create("siem", &registration("https://siem.example.org/"))
        .unwrap();
    let secret = made["secret"].as_str().unwrap().to_owned();
    let key = SigningKey::parse(&secret).unwrap();
    assert_eq!(
        (&made["origin"], &made["minSeverity"]),
        (&"api".into(), &"medium".into())
    );
    let shown = format!("{:?} {:?}", webhooks.list(), webhooks);
    assert!(
        !shown.contains(&secret) && !shown.contains("whsec_"),
        "{shown}"
    );
    drop(webhooks);
    let webhooks = bench.open(true);
    bench.answer([reply(200, &[]), reply(200, &[])]);
    webhooks.hand_over(&notice("a"));
    bench.step(&webhooks, "siem");
    let call = bench.calls().remove(0);
    let id = header(&call, "webhook-id");
    assert_eq!(
        header(&call, "webhook-signature"),
        key.sign(&id, 1_000, &call.body)
    );
    // Both sign while the receiver changes over; after a restart too.
    let rotated = webhooks.rotate("siem").unwrap();
    let second = SigningKey::parse(rotated["secret"].as_str().unwrap()).unwrap();
    drop(webhooks);
    let webhooks = bench.open(true);
    webhooks.hand_over(&notice("b"));
    bench.step(&webhooks, "siem");
    let call = bench.calls().remove(0);
    let id = header(&call, "webhook-id");
    let both = [&second, &key]
        .map(|key| key.sign(&id, 1_000, &call.body))
        .join(" ");
    assert_eq!(header(&call, "webhook-signature"), both);
    // The state directory does not hold it in the clear.
    drop(webhooks);
    for entry in std::fs::read_dir(bench.dir.path().join("state")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
        let clear = secret.as_bytes();
        assert!(!bytes.windows(clear.len()).any(|part| part == clear));
    }
}

#[test]
fn registrations_are_refused_for_a_reason() {
    let mut bench = Bench::new();
    let webhooks = bench.open(true);
    let code = |name: &str, url: &str| {
        webhooks
            .create(name, &registration(url))
            .unwrap_err()
            .code()
    };
    assert_eq!(code("dead", "https://a.example/"), "invalid_webhook");
    assert_eq!(code("a/b", "https://a.example/"), "invalid_webhook");
    for url in [
        "http://a.example/",
        "https://127.0.0.1/",
        "https://[fd00::1]/",
        "https://u@a.example/",
    ] {
        assert_eq!(code("a", url), "invalid_webhook", "{url}");
    }
    assert_eq!(code("soc", "https://a.example/"), "webhook_name_taken");
    assert_eq!(
        webhooks.remove("soc").unwrap_err().code(),
        "webhook_configured"
    );
    assert_eq!(
        webhooks.rotate("soc").unwrap_err().code(),
        "webhook_configured"
    );
    let change = registration("https://b.example/");
    assert_eq!(
        webhooks.update("soc", &change).unwrap_err().code(),
        "webhook_configured"
    );
    assert_eq!(
        webhooks.update("a", &change).unwrap_err().code(),
        "unknown_webhook"
    );
    assert_eq!(webhooks.test("a").unwrap_err().code(), "unknown_webhook");
    drop(webhooks);
    bench.sealed = false;
    let webhooks = bench.open(true);
    let error = webhooks.create("a", &change).unwrap_err();
    assert_eq!(error.code(), "state_seal_key");
    assert!(error.to_string().contains("`state.key`"), "{error}");
    assert!(webhooks.get("a").is_err());
    let error = bench.open(false).create("a", &change).unwrap_err();
    assert_eq!(error.code(), "no_state");
}

#[test]
fn a_webhook_without_its_sealing_key_waits_and_says_so() {
    let mut bench = Bench::new();
    let webhooks = bench.open(true);
    webhooks
        .create("siem", &registration("https://siem.example.org/"))
        .unwrap();
    drop(webhooks);
    bench.sealed = false;
    let webhooks = bench.open(true);
    let json = webhooks.get("siem").unwrap();
    assert!(
        json["secretError"].as_str().unwrap().contains("state.key"),
        "{json}"
    );
    webhooks.hand_over(&notice("a"));
    assert_eq!(bench.step(&webhooks, "siem"), Some(5_000));
    assert!(bench.calls().is_empty(), "nothing leaves unsigned");
}

#[test]
fn a_changed_webhook_gets_what_waits_at_once_and_a_removed_one_nothing() {
    let bench = Bench::new();
    let webhooks = bench.open(true);
    webhooks
        .create("siem", &registration("https://siem.example.org/"))
        .unwrap();
    let low = Notification {
        severity: Severity::Low,
        ..notice("low")
    };
    webhooks.hand_over(&low);
    assert_eq!(figure(&webhooks, "siem", "pending"), 0);
    webhooks.hand_over(&notice("a"));
    assert_eq!(bench.step(&webhooks, "siem"), Some(5_000));
    webhooks
        .update("siem", &registration("https://new.example.org/"))
        .unwrap();
    bench.answer([reply(200, &[])]);
    assert_eq!(bench.step(&webhooks, "siem"), None);
    assert_eq!(bench.calls()[1].url, "https://new.example.org/");
    webhooks.hand_over(&notice("b"));
    let hook = webhooks.shared.hooks()["siem"].clone();
    webhooks.remove("siem").unwrap();
    assert!(matches!(hook.lane.next(bench.now()), Next::End));
    assert!(webhooks.get("siem").is_err());
    drop(webhooks);
    let webhooks = bench.open(true);
    assert!(webhooks.get("siem").is_err());
    let letters = webhooks.dead(10).unwrap();
    assert_eq!(letters["count"], 0, "{letters}");
    assert_eq!(
        webhooks
            .shared
            .store
            .as_ref()
            .unwrap()
            .secret("webhook/siem")
            .unwrap(),
        None
    );
}

#[test]
fn the_sink_neither_waits_nor_loses_silently() {
    let bench = Bench::new();
    // No thread stores anything: the queue fills.
    let webhooks = bench.open(false);
    let sink = webhooks.sink();
    for n in 0..5_000 {
        sink(notice(&n.to_string()));
    }
    assert_eq!(webhooks.results().of(DeliveryResult::Lost), 5_000 - 4_096);
    // What nobody wants takes no room.
    let mut bench = Bench::new();
    bench.hooks[0].events = vec!["incident.*".to_owned()];
    let webhooks = bench.open(false);
    let sink = webhooks.sink();
    for n in 0..5_000 {
        sink(notice(&n.to_string()));
    }
    assert_eq!(webhooks.results().of(DeliveryResult::Lost), 0);
}

#[test]
fn threads_deliver_and_a_slow_receiver_holds_up_no_other() {
    let mut bench = Bench::new();
    let mut slow = bench.hooks[0].clone();
    slow.name = "slow".to_owned();
    slow.url = "https://slow.example.org/".to_owned();
    bench.hooks.push(slow);
    let (sender, received) = std::sync::mpsc::channel();
    let sender = Mutex::new(sender);
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let fetch: Arc<dyn Fetch> = Arc::new(move |call: &Call| {
        if call.url.contains("slow") {
            let _ = lock(&held).recv();
        } else {
            lock(&sender).send(header(call, "webhook-id")).unwrap();
        }
        Ok(reply(200, &[]))
    });
    let (webhooks, sink) = Webhooks::start(Setup {
        config: bench.config.clone(),
        hooks: bench.hooks.clone(),
        store: Some(bench.open_store(&bench.dir.path().join("state"))),
        public: Arc::clone(&fetch),
        private: fetch,
        clock: Arc::new(Timestamp::now),
        jitter: jittered,
    })
    .unwrap();
    for n in 0..20 {
        sink(notice(&n.to_string()));
    }
    let mut ids: Vec<String> = (0..20)
        .map(|_| received.recv_timeout(Duration::from_secs(20)).unwrap())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20);
    // What the slow one has not had is kept across the end.
    drop(release);
    webhooks.close();
    drop((webhooks, sink));
}

#[test]
fn an_end_without_a_state_directory_leaves_dead_letters() {
    let mut bench = Bench::new();
    bench.config.dead_letter_file = Some(bench.dir.path().join("dead.ndjson"));
    let webhooks = bench.open(false);
    webhooks.run().unwrap();
    let sink = webhooks.sink();
    bench.answer([reply(503, &[("retry-after", "60")])]);
    sink(notice("a"));
    sink(notice("b"));
    webhooks.close();
    let figures = webhooks.get("soc").unwrap()["statistics"].clone();
    assert_eq!(
        (&figures["dead"], &figures["pending"]),
        (&2.into(), &0.into()),
        "{figures}"
    );
    assert_eq!(webhooks.dead(10).unwrap()["count"], 2);
    // Later notices are not lost in silence.
    sink(notice("c"));
    assert_eq!(webhooks.results().of(DeliveryResult::Lost), 1);
}
