//! Security events under load: many subjects with many events each, decisions beside them, and a
//! `kill -9` in the middle after which nothing that was acknowledged is missing.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use deodar::Timestamp;
use serde_json::{Value, json};

use crate::on_this_thread;
use crate::support::server::{Connection, Server, body, request, status};
use crate::tree::{KEY, Tree};

const REPORTERS: usize = 4;
/// Events in a post, each of another subject.
const BATCH: usize = 100;
/// Acknowledged posts that are asked about after the kill.
const REMEMBERED: usize = 200;

const TYPES: [&str; 4] = [
    "app.sensitive_data_access",
    "app.anomalous_api_usage",
    "auth.suspicious_location",
    "app.privilege_escalation",
];

pub(crate) fn run(subjects: usize, each: usize) {
    let tree = Tree::new(
        "state.dir = \"state\"\nlimits.manage_per_second = 1000000\n[trust]\nenforcement = \"report\"",
    );
    let posts = subjects * each / BATCH;
    println!(
        "\n{subjects} subjects with {each} events each, {BATCH} in a post, {REPORTERS} reporters"
    );
    println!("| events | events/s | decisions/s beside them | resident MiB |\n|---|---|---|---|");
    let acknowledged: Rc<RefCell<VecDeque<Vec<u8>>>> = Rc::default();
    let mut server = tree.serve(None);
    let before = resident(&server);
    let quarter = posts.div_ceil(4);
    for part in 0..4 {
        let (from, to) = (part * quarter, ((part + 1) * quarter).min(posts));
        if part == 2 {
            // In the middle of posting: what is on its way then was not acknowledged.
            let load = post(
                server.1,
                &tree,
                (from, to, subjects),
                &acknowledged,
                Some(&server),
            );
            on_this_thread(load);
            let (again, lost) = restarted(&tree, server, &acknowledged);
            server = again;
            println!(
                "| after kill -9: {lost} of the last {REMEMBERED} acknowledged posts are missing | | | |"
            );
        }
        let began = Instant::now();
        let load = post(server.1, &tree, (from, to, subjects), &acknowledged, None);
        let decisions = on_this_thread(load);
        let took = began.elapsed().as_secs_f64();
        println!(
            "| {} | {:.0} | {:.0} | {} |",
            to * BATCH,
            ((to - from) * BATCH) as f64 / took,
            decisions as f64 / took,
            resident(&server) >> 20
        );
    }
    let used = resident(&server).saturating_sub(before);
    let disk: u64 = std::fs::read_dir(tree.path().join("state"))
        .expect("a directory")
        .filter_map(|file| file.ok()?.metadata().ok())
        .map(|meta| meta.len())
        .sum();
    println!(
        "\n{} bytes of memory a subject, {} MiB on disk",
        used / subjects as u64,
        disk >> 20
    );
}

/// A post of events, the same whenever it is made.
fn events(address: SocketAddr, at: &str, post: usize, subjects: usize) -> Vec<u8> {
    let events: Vec<Value> = (0..BATCH)
        .map(|n| {
            let event = post * BATCH + n;
            json!({
                "id": format!("e{event}"), "type": TYPES[(event / subjects) % TYPES.len()],
                "severity": "low", "timestamp": at,
                "subject": {"user": format!("User::\"{}\"", event % subjects)},
            })
        })
        .collect();
    let more = format!("authorization: Bearer {KEY}\r\n");
    let whole = request(
        address,
        &more,
        json!({ "events": events }).to_string().as_bytes(),
    );
    let text = String::from_utf8(whole).expect("text");
    text.replacen("/authorize", "/events", 1).into_bytes()
}

/// Makes posts and decides beside them; how many decisions there were. With a server to kill it is killed
/// after a second.
async fn post(
    address: SocketAddr,
    tree: &Tree,
    (from, to, subjects): (usize, usize, usize),
    acknowledged: &Rc<RefCell<VecDeque<Vec<u8>>>>,
    kill: Option<&Server>,
) -> usize {
    let next = Rc::new(Cell::new(from));
    let decisions = Rc::new(Cell::new(0));
    let done = Rc::new(Cell::new(false));
    let bodies: Vec<_> = crate::support::bodies(&tree.workload)
        .iter()
        .map(|body| request(address, "", body))
        .collect();
    let (counted, over) = (Rc::clone(&decisions), Rc::clone(&done));
    let decide = tokio::task::spawn_local(async move {
        let mut connection = Connection::open(address).await.expect("a connection");
        for body in bodies.iter().cycle() {
            if over.get() || connection.ask(body).await.is_err() {
                break;
            }
            counted.set(counted.get() + 1);
        }
    });
    let mut reporters = Vec::new();
    for _ in 0..REPORTERS {
        let (next, acknowledged) = (Rc::clone(&next), Rc::clone(acknowledged));
        reporters.push(tokio::task::spawn_local(async move {
            let mut connection = Connection::open(address).await.expect("a connection");
            loop {
                let post = next.get();
                if post >= to {
                    return;
                }
                next.set(post + 1);
                let sent = events(address, &Timestamp::now().to_string(), post, subjects);
                // The server is gone: it was killed.
                let Ok(answer) = connection.ask(&sent).await else {
                    return;
                };
                assert_eq!(
                    status(answer),
                    202,
                    "{}",
                    String::from_utf8_lossy(body(answer))
                );
                let mut acknowledged = acknowledged.borrow_mut();
                acknowledged.push_back(sent);
                if acknowledged.len() > REMEMBERED {
                    acknowledged.pop_front();
                }
            }
        }));
    }
    if let Some(server) = kill {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let id = server.0.id().to_string();
        let killed = std::process::Command::new("kill")
            .args(["-9", &id])
            .status();
        assert!(killed.is_ok_and(|killed| killed.success()));
    }
    for reporter in reporters {
        reporter.await.expect("it ends");
    }
    done.set(true);
    decide.await.expect("it ends");
    decisions.get()
}

/// A server on what the killed one left, and how many acknowledged posts it knows nothing of.
fn restarted(
    tree: &Tree,
    killed: Server,
    acknowledged: &RefCell<VecDeque<Vec<u8>>>,
) -> (Server, usize) {
    drop(killed);
    let server = tree.serve(None);
    let asked = async {
        let mut connection = Connection::open(server.1).await.expect("a connection");
        let mut lost = 0;
        let posts: Vec<Vec<u8>> = acknowledged.borrow().iter().cloned().collect();
        for sent in &posts {
            // The port is another one now.
            let text = String::from_utf8_lossy(sent);
            let (head, body_of) = text.split_once("\r\n\r\n").expect("a head");
            let head: Vec<_> = head
                .lines()
                .map(|line| match line.strip_prefix("host: ") {
                    Some(_) => format!("host: {}", server.1),
                    None => line.to_owned(),
                })
                .collect();
            let sent = format!("{}\r\n\r\n{body_of}", head.join("\r\n"));
            let answer = connection.ask(sent.as_bytes()).await.expect("an answer");
            let answer: Value = serde_json::from_slice(body(answer)).expect("JSON");
            let results = answer["results"].as_array().expect("results");
            let known = results.iter().all(|result| result["status"] == "duplicate");
            lost += usize::from(!known);
        }
        lost
    };
    let lost = on_this_thread(asked);
    (server, lost)
}

/// Resident memory of a process, in bytes.
fn resident(server: &Server) -> u64 {
    let path = format!("/proc/{}/statm", server.0.id());
    let text = std::fs::read_to_string(path).expect("Linux");
    let pages = text.split_whitespace().nth(1).expect("resident pages");
    pages.parse::<u64>().expect("a number") * 4096
}
