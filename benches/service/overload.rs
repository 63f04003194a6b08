//! Three times what one core can answer: server and generator on a core each, open loop.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::on_this_thread;
use crate::support::server::{Connection, request, status};
use crate::tree::Tree;

const CLOSED_LOOP: usize = 16;
/// Connections of the open loop: as many requests wait at most.
const OPEN_LOOP: [usize; 2] = [96, 256];
const MEASURE: Duration = Duration::from_secs(5);
const OVERLOAD: Duration = Duration::from_secs(10);
/// A request that finds no free connection for this long is not sent.
const PATIENCE: Duration = Duration::from_millis(20);
const PINNED: &str = "BENCH_PINNED";

pub(crate) fn run() {
    if std::env::var_os(PINNED).is_none() {
        let this = std::env::current_exe().expect("this program");
        let status = std::process::Command::new("taskset")
            .args(["-c", "1"])
            .arg(this)
            .arg("overload")
            .env(PINNED, "1")
            .status();
        assert!(status.expect("taskset is there").success());
        return;
    }
    let tree = Tree::new("");
    let server = tree.serve(Some("0"));
    let address = server.1;
    let bodies = crate::support::bodies(&tree.workload);
    let requests: Rc<Vec<_>> = Rc::new(
        bodies
            .iter()
            .map(|body| request(address, "", body))
            .collect(),
    );
    let mut capacities: Vec<f64> = (0..4)
        .map(|_| on_this_thread(closed(address, Rc::clone(&requests))))
        .skip(1)
        .collect();
    capacities.sort_by(f64::total_cmp);
    let capacity = capacities[capacities.len() / 2];
    println!("capacity with {CLOSED_LOOP} connections in a closed loop: {capacity:.0}/s");
    println!(
        "| connections | offered/s | sent/s | 200/s | of capacity | p50 ms | p99 ms | 503/s | p50 ms | p99 ms | no connection/s |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for connections in OPEN_LOOP {
        for times in [1.0, 3.0] {
            let rate = capacity * times;
            let asked = open(address, Rc::clone(&requests), rate, connections);
            on_this_thread(asked).print(connections, rate, capacity);
        }
    }
}

/// Answers a second when each connection asks the next as soon as it has its answer.
async fn closed(address: SocketAddr, requests: Rc<Vec<Vec<u8>>>) -> f64 {
    let began = Instant::now();
    let tasks: Vec<_> = (0..CLOSED_LOOP)
        .map(|n| {
            let requests = Rc::clone(&requests);
            tokio::task::spawn_local(async move {
                let mut connection = Connection::open(address).await.expect("connected");
                let mut turn = n * requests.len() / CLOSED_LOOP;
                let mut count = 0_u32;
                while began.elapsed() < MEASURE {
                    turn = (turn + 1) % requests.len();
                    let answer = connection.ask(&requests[turn]).await.expect("an answer");
                    assert_eq!(status(answer), 200);
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

#[derive(Default)]
struct Open {
    next: Cell<u64>,
    sent: Cell<u64>,
    unsent: Cell<u64>,
    admitted: RefCell<Vec<f64>>,
    refused: RefCell<Vec<f64>>,
}

/// Requests at their times, whether or not earlier ones are answered.
async fn open(
    address: SocketAddr,
    requests: Rc<Vec<Vec<u8>>>,
    rate: f64,
    connections: usize,
) -> Rc<Open> {
    let open = Rc::new(Open::default());
    let began = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let (open, requests) = (Rc::clone(&open), Rc::clone(&requests));
            tokio::task::spawn_local(async move {
                let mut connection = Connection::open(address).await.expect("connected");
                loop {
                    let turn = open.next.replace(open.next.get() + 1);
                    let due = began + Duration::from_secs_f64(turn as f64 / rate);
                    if due > began + OVERLOAD {
                        return;
                    }
                    let now = Instant::now();
                    if due > now {
                        tokio::time::sleep(due - now).await;
                    } else if now - due > PATIENCE {
                        open.unsent.set(open.unsent.get() + 1);
                        continue;
                    }
                    let at = usize::try_from(turn).unwrap_or(0) % requests.len();
                    let from = Instant::now();
                    open.sent.set(open.sent.get() + 1);
                    let status = match connection.ask(&requests[at]).await {
                        Ok(answer) => status(answer),
                        Err(_) => {
                            connection = Connection::open(address).await.expect("connected");
                            continue;
                        }
                    };
                    let took = from.elapsed().as_secs_f64() * 1e3;
                    match status {
                        200 => open.admitted.borrow_mut().push(took),
                        503 => open.refused.borrow_mut().push(took),
                        other => assert_eq!(other, 200, "answered otherwise"),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("it ends");
    }
    open
}

impl Open {
    fn print(&self, connections: usize, offered: f64, capacity: f64) {
        let seconds = OVERLOAD.as_secs_f64();
        let at = |times: &RefCell<Vec<f64>>, share: f64| {
            let mut times = times.borrow_mut();
            times.sort_by(f64::total_cmp);
            let place = (times.len() as f64 * share) as usize;
            times.get(place).copied().unwrap_or(0.0)
        };
        let admitted = self.admitted.borrow().len() as f64 / seconds;
        let refused = self.refused.borrow().len() as f64 / seconds;
        println!(
            "| {connections} | {offered:.0} | {:.0} | {admitted:.0} | {:.2} | {:.1} | {:.1} | {refused:.0} | {:.1} | {:.1} | {:.0} |",
            self.sent.get() as f64 / seconds,
            admitted / capacity,
            at(&self.admitted, 0.5),
            at(&self.admitted, 0.99),
            at(&self.refused, 0.5),
            at(&self.refused, 0.99),
            self.unsent.get() as f64 / seconds,
        );
    }
}
