//! What a key and a decision log cost, in throughput.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::on_this_thread;
use crate::support::server::{Connection, Server, request, status};
use crate::tree::{KEY, Tree};

const CONNECTIONS: usize = 16;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);

struct Target {
    name: &'static str,
    _tree: Tree,
    server: Server,
    requests: Rc<Vec<Vec<u8>>>,
    rates: Vec<f64>,
}

pub(crate) fn run() {
    let target = |name, config: &str, key: bool| {
        let tree = Tree::new(config);
        let server = tree.serve(None);
        let more = if key {
            format!("authorization: Bearer {KEY}\r\n")
        } else {
            String::new()
        };
        let bodies = crate::support::bodies(&tree.workload);
        let bodies = bodies.iter().map(|body| request(server.1, &more, body));
        Target {
            name,
            requests: Rc::new(bodies.collect()),
            _tree: tree,
            server,
            rates: Vec::new(),
        }
    };
    let log = "audit.file = \"decisions.ndjson\"";
    let limit = "limits.caller_per_second = 10000000";
    let mut targets = [
        target("bare", "", false),
        target("API key", "", true),
        target("limit for each caller", limit, false),
        target("decision log to a file", log, false),
        target("API key and decision log", log, true),
        target(
            "API key, limit and decision log",
            &format!("{limit}\n{log}"),
            true,
        ),
    ];
    for round in 0..=ROUNDS {
        for target in &mut targets {
            let asked = load(target.server.1, Rc::clone(&target.requests));
            let rate = on_this_thread(asked);
            // The first round warms up.
            if round > 0 {
                target.rates.push(rate);
            }
        }
    }
    println!("| server | decisions/s | of bare |");
    println!("|---|---|---|");
    let median = |target: &Target| {
        let mut rates = target.rates.clone();
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let bare = median(&targets[0]);
    for target in &targets {
        let rate = median(target);
        println!("| {} | {rate:.0} | {:.2} |", target.name, rate / bare);
    }
}

async fn load(address: SocketAddr, requests: Rc<Vec<Vec<u8>>>) -> f64 {
    let began = Instant::now();
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|n| {
            let requests = Rc::clone(&requests);
            tokio::task::spawn_local(async move {
                let mut connection = Connection::open(address).await.expect("connected");
                let mut turn = n * requests.len() / CONNECTIONS;
                let mut count = 0_u32;
                while began.elapsed() < ROUND {
                    turn = (turn + 1) % requests.len();
                    let answer = connection.ask(&requests[turn]).await.expect("an answer");
                    assert_eq!(status(answer), 200, "{}", String::from_utf8_lossy(answer));
                    count += 1;
                }
                count
            })
        })
        .collect();
    let mut all = 0_u32;
    for task in tasks {
        all += task.await.expect("it ends");
    }
    f64::from(all) / began.elapsed().as_secs_f64()
}
