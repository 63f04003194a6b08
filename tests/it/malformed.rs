//! Malformed requests by the thousand: heads, paths, headers and bodies.
//!
//! `MALFORMED_REQUESTS=200000 cargo test --test it malformed` runs many; by default there are few.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::support::{Served, Tree, administrator};

/// Small and repeatable; not for keeping secrets.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % most.max(1) as u64).unwrap()
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.below(most);
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

const GOOD: &str = r#"{"principal":{"type":"U","id":"a"},"action":"Action::\"x\"","resource":{"type":"R","id":"r"},"context":{"n":[1,{"s":"t"}]},"obligations":["log"],"client":{"ip":"192.0.2.1"},"explain":false,"purpose":"probe","requestId":"q"}"#;

fn body(random: &mut Random) -> Vec<u8> {
    let mut body = GOOD.as_bytes().to_vec();
    match random.below(8) {
        0 => body = random.bytes(300),
        1 => body.truncate(random.below(body.len())),
        2 => body = "[".repeat(random.below(5_000)).into_bytes(),
        3 => {
            let odd = random.pick(&[
                "null",
                "[]",
                "{}",
                "\"\"",
                "0",
                "-1",
                "1e999",
                "\"\\ud800\"",
                "{\"a\":1,\"a\":2}",
                "\"\\u0000\"",
                "99999999999999999999",
                "[[[[]]]]",
                "\"U::\\\"\\\"\"",
                "true",
            ]);
            let at = random.pick(&[
                "\"principal\":",
                "\"context\":",
                "\"client\":",
                "\"explain\":",
                "\"obligations\":",
            ]);
            let text = String::from_utf8(body).unwrap();
            body = text
                .replacen(at, &format!("{at}{odd},\"x\":"), 1)
                .into_bytes();
        }
        _ => {
            for _ in 0..=random.below(4) {
                let at = random.below(body.len());
                match random.below(3) {
                    0 => body[at] = random.next().to_le_bytes()[0],
                    1 => {
                        body.remove(at);
                    }
                    _ => body.insert(
                        at,
                        random
                            .pick(&["{", "}", "\"", "\\", ",", "\u{0}"])
                            .as_bytes()[0],
                    ),
                }
            }
        }
    }
    body
}

fn request(random: &mut Random) -> Vec<u8> {
    let method = random.pick(&[
        "POST", "POST", "POST", "GET", "PUT", "DELETE", "PATCH", "HEAD", "TRACE", "post",
        "P\u{0}ST", "",
    ]);
    let path = match random.below(6) {
        0 => String::from_utf8_lossy(&random.bytes(40)).into_owned(),
        1 => format!("/{}", "a/".repeat(random.below(2_000))),
        2 => random
            .pick(&[
                "//authorize",
                "/authorize/",
                "/%2e%2e/authorize",
                "/admin/reload",
                "/policies?limit=x",
                "/policies?after=%ff",
                "/keys/%00",
                "*",
                "http://localhost/authorize",
                "/watch/..",
                "/metrics",
                "/entities/U/%zz",
            ])
            .to_owned(),
        _ => "/authorize".to_owned(),
    };
    let version = random.pick(&[
        "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/3", "HTTX/1.1", "",
    ]);
    let body = body(random);
    let mut head = format!("{method} {path} {version}\r\nhost: localhost\r\n").into_bytes();
    let length = match random.below(10) {
        0 => "x".to_owned(),
        1 => "-1".to_owned(),
        2 => "99999999999999999999999".to_owned(),
        3 => (body.len() + 5).to_string(),
        _ => body.len().to_string(),
    };
    head.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
    for _ in 0..random.below(5) {
        let name = random.pick(&[
            "content-type",
            "content-type",
            "authorization",
            "transfer-encoding",
            "host",
            "x-request-id",
            "traceparent",
            "expect",
            "connection",
            "content-encoding",
            "cookie",
            "x-forwarded-for",
            " bad",
            "",
        ]);
        let value = match random.below(4) {
            0 => String::from_utf8_lossy(&random.bytes(60)).into_owned(),
            1 => "x".repeat(random.below(9_000)),
            _ => random
                .pick(&[
                    "application/json",
                    "Bearer x",
                    "Bearer eyJhbGciOiJub25lIn0.e30.",
                    "chunked",
                    "gzip",
                    "close",
                    "100-continue",
                    "localhost",
                    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                ])
                .to_owned(),
        };
        head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if random.one_in(50) {
        // A head that never ends.
        head.extend_from_slice(&b"x: y\r\n".repeat(random.below(300)));
        return head;
    }
    head.extend_from_slice(b"\r\n");
    head.extend_from_slice(&body);
    head
}

/// The statuses of the answers in these bytes.
fn statuses(bytes: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(bytes);
    text.split("HTTP/1.")
        .skip(1)
        .filter_map(|answer| answer.get(2..5)?.parse().ok())
        .collect()
}

#[test]
fn malformed_requests_harm_nobody() {
    let many: u64 = std::env::var("MALFORMED_REQUESTS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(4_000);
    let policies = "@id(\"a\") permit(principal == U::\"a\", action, resource);";
    let tree = Tree::new(&[("a.cedar", policies), ("deodar.toml", &administrator())]);
    let mut served = Served::start(&["--policies", "a.cedar"], tree.path());
    let done = AtomicBool::new(false);
    let sent = AtomicU64::new(0);
    let good = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let bad: Vec<_> = (0..2)
            .map(|thread| {
                let (served, sent) = (&served, &sent);
                scope.spawn(move || {
                    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (thread + 1));
                    while sent.fetch_add(1, Ordering::Relaxed) < many {
                        let mut stream = TcpStream::connect(&served.address).unwrap();
                        stream
                            .set_read_timeout(Some(Duration::from_secs(20)))
                            .unwrap();
                        let mut asked = request(&mut random);
                        // More may follow on the connection, if it is not cut.
                        for _ in 0..random.below(20) {
                            asked.extend(request(&mut random));
                            sent.fetch_add(1, Ordering::Relaxed);
                        }
                        // The server may cut it before everything is written.
                        let _ = stream.write_all(&asked);
                        let _ = stream.shutdown(std::net::Shutdown::Write);
                        let mut answers = Vec::new();
                        let _ = stream.read_to_end(&mut answers);
                        for status in statuses(&answers) {
                            assert!(
                                status < 500,
                                "{status}: {}",
                                String::from_utf8_lossy(&asked)
                            );
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            let mut client = served.client();
            let ask = |user: &str| json!({"principal": {"type": "U", "id": user}, "action": "Action::\"x\"", "resource": "R::\"r\""});
            while !done.load(Ordering::SeqCst) {
                for (user, decision) in [("a", "Allow"), ("b", "Deny")] {
                    let (status, answer) = client.post("/authorize", &ask(user));
                    assert_eq!((status, &answer["decision"]), (200, &json!(decision)));
                    good.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let ended: Vec<_> = bad
            .into_iter()
            .map(std::thread::ScopedJoinHandle::join)
            .collect();
        done.store(true, Ordering::SeqCst);
        assert!(ended.iter().all(Result::is_ok));
    });
    assert!(served.child.try_wait().unwrap().is_none(), "it still runs");
    assert!(!served.log().contains("panicked"), "{}", served.log());
    let (sent, good) = (sent.load(Ordering::Relaxed), good.load(Ordering::Relaxed));
    assert!(
        good > 10,
        "{good} decisions beside {sent} malformed requests"
    );
    println!("{sent} malformed requests, {good} good ones beside them");
}
