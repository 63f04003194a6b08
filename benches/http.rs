//! `POST /authorize` over loopback against an axum echo of the same bodies, by one load generator.
//!
//! `cargo bench --bench http -- [policies ..]`: for each number of policies (10 and 100,000 unless given) the
//! built `deodar serve` in its default configuration, an echo of the bytes and an echo through
//! `serde_json::Value` answer the same bodies over 16 connections, in turns; the medians are compared.
//! `BENCH_PRELOAD` names a library that the echo is started with, such as an allocator. On Linux the
//! processor time that each server spends on a request is told as well.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark on a workload of its own making may stop where it is wrong"
)]

mod support;
mod workload;

use std::net::SocketAddr;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use support::server::{Server, complete};
use workload::{Shape, build};

const CONNECTIONS: usize = 16;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
const BODIES: usize = 20_000;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    if arguments.first().is_some_and(|first| first == "echo") {
        return echo();
    }
    let mut sizes: Vec<usize> = arguments.iter().filter_map(|a| a.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![10, 100_000];
    }
    println!(
        "| policies | deodar/s | echo/s | JSON echo/s | of echo | of JSON echo | p50 us | p99 us | CPU us, deodar | \
         CPU us, JSON echo |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for size in sizes {
        compare(size);
    }
}

/// Answers with the body as it came, or read and written again.
fn echo() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("listening on {}", listener.local_addr().expect("bound"));
        let app = Router::new()
            .route("/bytes", post(|body: Bytes| async move { body }))
            .route(
                "/json",
                post(|Json(body): Json<Value>| async move { Json(body) }),
            );
        axum::serve(listener, app).await.expect("it serves");
    });
}

fn compare(size: usize) {
    let workload = build(Shape::Roles, size, BODIES);
    let dir = tempfile::tempdir().expect("a directory");
    let (policies, entities) = (dir.path().join("p.cedar"), dir.path().join("e.json"));
    std::fs::write(&policies, &workload.policies).expect("written");
    std::fs::write(
        &entities,
        serde_json::to_vec(&workload.entities).expect("JSON"),
    )
    .expect("written");
    let bodies = support::bodies(&workload);
    drop(workload);
    let deodar = Server::start(
        Command::new(env!("CARGO_BIN_EXE_deodar"))
            .current_dir(dir.path())
            .args(["serve", "--listen", "127.0.0.1:0", "--policies", "p.cedar"])
            .args(["--entities", "e.json"]),
    );
    let this = std::env::current_exe().expect("this program");
    let mut echo = Command::new(this);
    echo.arg("echo");
    if let Ok(library) = std::env::var("BENCH_PRELOAD") {
        echo.env("LD_PRELOAD", library);
    }
    let echo = Server::start(&mut echo);
    let requests = |address: SocketAddr, path: &str| -> Rc<Vec<Vec<u8>>> {
        let request = |body: &Vec<u8>| {
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            [head.as_bytes(), body].concat()
        };
        Rc::new(bodies.iter().map(request).collect())
    };
    let targets = [
        (&deodar, requests(deodar.1, "/authorize")),
        (&echo, requests(echo.1, "/bytes")),
        (&echo, requests(echo.1, "/json")),
    ];
    let mut rates: [Vec<f64>; 3] = Default::default();
    let mut cpu: [Vec<f64>; 3] = Default::default();
    let mut latencies: Vec<u64> = Vec::new();
    for round in 0..=ROUNDS {
        for (n, (server, requests)) in targets.iter().enumerate() {
            let before = server.cpu();
            let (count, took, mut times) = load(server.1, requests);
            let spent = server.cpu() - before;
            // The first round warms up.
            if round > 0 {
                rates[n].push(count as f64 / took.as_secs_f64());
                cpu[n].push(spent.as_secs_f64() * 1e6 / count as f64);
                if n == 0 {
                    latencies.append(&mut times);
                }
            }
        }
    }
    latencies.sort_unstable();
    let at = |share: f64| latencies[(latencies.len() as f64 * share) as usize] / 1_000;
    let median = |mut figures: Vec<f64>| {
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    let (median, cpu) = (rates.map(median), cpu.map(median));
    println!(
        "| {size} | {:.0} | {:.0} | {:.0} | {:.2} | {:.2} | {} | {} | {:.1} | {:.1} |",
        median[0],
        median[1],
        median[2],
        median[0] / median[1],
        median[0] / median[2],
        at(0.5),
        at(0.99),
        cpu[0],
        cpu[2]
    );
}

/// Asks over all connections for the length of a round, each the next as soon as it has its answer.
fn load(address: SocketAddr, requests: &Rc<Vec<Vec<u8>>>) -> (u64, Duration, Vec<u64>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let local = tokio::task::LocalSet::new();
    let began = Instant::now();
    let results = local.block_on(&runtime, async {
        let tasks: Vec<_> = (0..CONNECTIONS)
            .map(|n| tokio::task::spawn_local(ask(address, Rc::clone(requests), n, began)))
            .collect();
        let mut results = Vec::new();
        for task in tasks {
            results.push(task.await.expect("it ends"));
        }
        results
    });
    let took = began.elapsed();
    let times: Vec<u64> = results.into_iter().flatten().collect();
    (times.len() as u64, took, times)
}

async fn ask(
    address: SocketAddr,
    requests: Rc<Vec<Vec<u8>>>,
    first: usize,
    began: Instant,
) -> Vec<u64> {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.set_nodelay(true).expect("set");
    let mut buffer = vec![0; 16 << 10];
    let mut times = Vec::new();
    let mut turn = first * requests.len() / CONNECTIONS;
    while began.elapsed() < ROUND {
        let from = Instant::now();
        turn = (turn + 1) % requests.len();
        stream.write_all(&requests[turn]).await.expect("sent");
        let mut filled = 0;
        loop {
            let read = stream.read(&mut buffer[filled..]).await.expect("an answer");
            assert!(read > 0, "the server hung up");
            filled += read;
            if let Some(length) = complete(&buffer[..filled]) {
                assert_eq!(length, filled, "one answer at a time");
                break;
            }
        }
        assert!(
            buffer.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&buffer[..filled])
        );
        times.push(u64::try_from(from.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    times
}
