//! Decisions at saturation while policies are reloaded.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::time::{Duration, Instant};

use deodar::{Caller, Limits, Pdp, Request};
use serde_json::{Value, json};

use crate::on_this_thread;
use crate::support::server::{Connection, body, request, status};
use crate::tree::{KEY, Tree};

const CONNECTIONS: usize = 16;
const VARIANTS: usize = 4;
const RELOAD_EVERY: Duration = Duration::from_millis(500);
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What one policy tree answers to one body.
type Expected = (bool, Vec<String>);

struct Soak {
    until: Instant,
    requests: Vec<Vec<u8>>,
    expected: Vec<Vec<Expected>>,
    /// Which tree a sequence is of.
    variants: RefCell<HashMap<u64, usize>>,
    /// Answers of sequences that are not known yet.
    later: RefCell<Vec<(u64, usize, Expected)>>,
    answers: Cell<u64>,
    wrong: Cell<u64>,
    reloads: Cell<u64>,
}

pub(crate) fn run(seconds: u64) {
    let tree = Tree::new("reload.watch = \"off\"\nlimits.manage_per_second = 1000");
    let texts = variants(&tree);
    println!(
        "the reference decides {} bodies on {VARIANTS} trees",
        tree.workload.requests.len()
    );
    let expected: Vec<_> = texts.iter().map(|text| expected(&tree, text)).collect();
    let differing = (0..tree.workload.requests.len())
        .filter(|at| {
            expected
                .iter()
                .any(|answers| answers[*at] != expected[0][*at])
        })
        .count();
    println!("the trees differ on {differing} of them");
    std::fs::write(tree.path().join("p.cedar"), &texts[0]).expect("written");
    let server = tree.serve(None);
    let address = server.1;
    let soak = Rc::new(Soak {
        until: Instant::now() + Duration::from_secs(seconds),
        requests: crate::support::bodies(&tree.workload)
            .iter()
            .map(|body| request(address, "", body))
            .collect(),
        expected,
        variants: RefCell::new(HashMap::from([(1, 0)])),
        later: RefCell::default(),
        answers: Cell::new(0),
        wrong: Cell::new(0),
        reloads: Cell::new(0),
    });
    let mut memory: Vec<u64> = Vec::new();
    on_this_thread(async {
        let mut tasks = Vec::new();
        for n in 0..CONNECTIONS {
            tasks.push(tokio::task::spawn_local(decide(
                Rc::clone(&soak),
                address,
                n,
            )));
        }
        let directory = tree.path().to_owned();
        let reloading = reload(Rc::clone(&soak), address, directory, texts);
        tasks.push(tokio::task::spawn_local(reloading));
        while Instant::now() < soak.until {
            tokio::time::sleep(LOOK_EVERY).await;
            memory.push(resident(server.0.id()));
        }
        for task in tasks {
            task.await.expect("it ends");
        }
    });
    for (sequence, at, answer) in soak.later.take() {
        soak.check(sequence, at, answer, true);
    }
    let quarter = memory.len() / 4;
    let most = |part: &[u64]| part.iter().max().copied().unwrap_or(0) / 1024;
    println!(
        "{} answers in {seconds} s, {} reloads, {} wrong; most memory in the first quarter {} MiB, in the last {} MiB",
        soak.answers.get(),
        soak.reloads.get(),
        soak.wrong.get(),
        most(&memory[..quarter]),
        most(&memory[memory.len() - quarter..]),
    );
    assert_eq!(soak.wrong.get(), 0, "wrong answers");
}

/// The same policies with different principals shut out.
fn variants(tree: &Tree) -> Vec<String> {
    let principal = |request: &Value| request["principal"].clone();
    (0..VARIANTS)
        .map(|variant| {
            let bodies = tree.workload.requests.iter().skip(variant * 100).take(100);
            let shut: BTreeSet<String> = bodies.map(|body| name(&principal(body))).collect();
            let mut text = tree.workload.policies.clone();
            for (n, principal) in shut.iter().enumerate() {
                text.push_str(&format!(
                    "\n@id(\"shut-{n}\") forbid(principal == {principal}, action, resource);"
                ));
            }
            text
        })
        .collect()
}

/// An entity in Cedar's syntax.
fn name(entity: &Value) -> String {
    match entity {
        Value::String(text) => text.clone(),
        other => format!(
            "{}::\"{}\"",
            other["type"].as_str().expect("a type"),
            other["id"].as_str().expect("an id")
        ),
    }
}

fn expected(tree: &Tree, policies: &str) -> Vec<Expected> {
    let entities = serde_json::to_string(&tree.workload.entities).expect("JSON");
    let pdp = Pdp::builder()
        .engine(deodar::EngineChoice::Reference)
        .policies_text("p.cedar", policies)
        .entities_text("e.json", &entities)
        .build()
        .expect("it is valid");
    let limits = Limits::default();
    crate::support::bodies(&tree.workload)
        .iter()
        .map(|body| {
            let request = Request::from_json(body, &limits, Caller::library()).expect("valid");
            let outcome = pdp.authorize(&request).expect("decided");
            let reasons = outcome.determining_policies().map(ToString::to_string);
            (outcome.is_allow(), reasons.collect())
        })
        .collect()
}

async fn decide(soak: Rc<Soak>, address: std::net::SocketAddr, n: usize) {
    let mut connection = Connection::open(address).await.expect("connected");
    let mut turn = n * soak.requests.len() / CONNECTIONS;
    while Instant::now() < soak.until {
        turn = (turn + 1) % soak.requests.len();
        let answer = connection
            .ask(&soak.requests[turn])
            .await
            .expect("an answer");
        assert_eq!(status(answer), 200, "{}", String::from_utf8_lossy(answer));
        let answer: Value = serde_json::from_slice(body(answer)).expect("JSON");
        let reasons = answer["reasons"].as_array().expect("reasons").iter();
        let reasons = reasons.map(|id| id.as_str().expect("an id").to_owned());
        let got = (answer["decision"] == "Allow", reasons.collect());
        let sequence = answer["sequence"].as_u64().expect("a sequence");
        soak.answers.set(soak.answers.get() + 1);
        soak.check(sequence, turn, got, false);
    }
}

impl Soak {
    fn check(&self, sequence: u64, at: usize, got: Expected, last: bool) {
        let Some(variant) = self.variants.borrow().get(&sequence).copied() else {
            if last {
                self.wrong.set(self.wrong.get() + 1);
                println!("sequence {sequence} was never published");
            } else {
                self.later.borrow_mut().push((sequence, at, got));
            }
            return;
        };
        if self.expected[variant][at] != got {
            self.wrong.set(self.wrong.get() + 1);
            println!("wrong: body {at}, sequence {sequence}: {got:?}");
        }
    }
}

async fn reload(
    soak: Rc<Soak>,
    address: std::net::SocketAddr,
    directory: std::path::PathBuf,
    texts: Vec<String>,
) {
    let mut connection = Connection::open(address).await.expect("connected");
    let body_text = json!({"confirm": true}).to_string();
    let request = format!(
        "POST /admin/reload HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {KEY}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body_text}",
        body_text.len()
    );
    let mut variant = 0;
    while Instant::now() < soak.until {
        tokio::time::sleep(RELOAD_EVERY).await;
        variant = (variant + 1) % texts.len();
        let beside = directory.join("p.cedar~");
        std::fs::write(&beside, &texts[variant]).expect("written");
        std::fs::rename(&beside, directory.join("p.cedar")).expect("moved");
        let answer = connection.ask(request.as_bytes()).await.expect("an answer");
        assert_eq!(status(answer), 200, "{}", String::from_utf8_lossy(answer));
        let answer: Value = serde_json::from_slice(body(answer)).expect("JSON");
        let sequence = answer["sequence"].as_u64().expect("published");
        soak.variants.borrow_mut().insert(sequence, variant);
        soak.reloads.set(soak.reloads.get() + 1);
    }
}

/// Resident memory of a process, in KiB.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}
