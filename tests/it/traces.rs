//! A request's trace: in the lines that are logged about it, and sent to a collector.

use serde_json::json;

use crate::support::{Served, Tree, wait_until};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn ask(served: &Served, traceparent: &str) {
    let body = json!({"principal": "U::\"a\"", "action": "Action::\"x\"", "resource": "R::\"r\""});
    let body = body.to_string();
    let mut client = served.client();
    let head = format!(
        "POST /authorize HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\nx-request-id: r-7\r\ntraceparent: {traceparent}\r\ntracestate: vendor=1\r\ncontent-length: {}\r\n\r\n{body}",
        served.address,
        body.len()
    );
    client.write(head.as_bytes()).unwrap();
    assert_eq!(client.read().unwrap().0, 200);
}

#[test]
fn a_line_about_a_request_names_its_trace() {
    let policy = "@id(\"p\") permit(principal, action, resource) when { context.absent };";
    let tree = Tree::new(&[("a.cedar", policy)]);
    let served = Served::start(&["--policies", "a.cedar"], tree.path());
    ask(&served, &format!("00-{TRACE}-00f067aa0ba902b7-00"));
    wait_until("the line about the policy", || {
        let log = served.log();
        let mut lines = log
            .lines()
            .filter(|line| line.contains("failed to evaluate"));
        lines.next().is_some_and(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["trace"] == TRACE && line["request"] == "r-7"
        })
    });
}

#[cfg(not(feature = "otlp"))]
#[test]
fn a_collector_needs_the_feature() {
    let tree = Tree::new(&[("deodar.toml", "otlp.endpoint = \"http://127.0.0.1:4318\"")]);
    let ran = crate::support::run(
        crate::support::deodar()
            .current_dir(tree.path())
            .arg("config"),
    );
    ran.ends(1);
    ran.complains("feature `otlp`");
}

#[cfg(feature = "otlp")]
mod collector {
    use std::io::{BufReader, Write};
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use super::*;
    use crate::support::read_request;

    /// What the collector was sent: the head, and the body.
    type Sent = (String, Vec<u8>);

    /// Takes whatever it is sent with this status.
    fn collector(status: &'static str) -> (String, Receiver<Sent>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (send, receive) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let send = send.clone();
                std::thread::spawn(move || {
                    let mut stream = BufReader::new(stream.unwrap());
                    while let Some((head, body)) = read_request(&mut stream) {
                        let head = head.to_ascii_lowercase();
                        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                        stream.get_mut().write_all(answer.as_bytes()).unwrap();
                        if send.send((head, body)).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        (address, receive)
    }

    fn serve(collector: &str, sample: u8) -> (Tree, Served) {
        let config = format!(
            "[sources]\npolicies = [\"a.cedar\"]\n[otlp]\nendpoint = \"http://{collector}\"\n\
             headers = {{file = \"headers\"}}\nsample_percent = {sample}\n[log]\nlevel = \"trace\"\n"
        );
        let tree = Tree::new(&[
            ("a.cedar", "permit(principal, action, resource);"),
            ("deodar.toml", &config),
            ("headers", "authorization=Bearer not-for-logs\n"),
        ]);
        let served = Served::start(&[], tree.path());
        (tree, served)
    }

    fn ended(served: &mut Served) {
        served.signal("INT");
        assert!(served.child.wait().unwrap().success());
    }

    fn holds(body: &[u8], part: &[u8]) -> bool {
        body.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn spans_reach_a_collector() {
        let (address, sent) = collector("200 OK");
        let (_tree, mut served) = serve(&address, 0);
        ask(&served, &format!("00-{TRACE}-00f067aa0ba902b7-01"));
        ask(
            &served,
            "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00",
        );
        ask(&served, "nonsense");
        ended(&mut served);
        let (head, body) = sent.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nauthorization: bearer not-for-logs\r\n"));
        assert!(head.contains("\r\ncontent-type: application/x-protobuf\r\n"));
        let trace = b"\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6\xa3\xce\x92\x9d\x0e\x0e\x47\x36";
        assert!(holds(&body, trace) && holds(&body, b"vendor=1"));
        for word in [
            "POST /authorize",
            "http.route",
            "deodar.decision",
            "Allow",
            "permitted",
        ] {
            assert!(holds(&body, word.as_bytes()), "{word}");
        }
        assert!(!holds(&body, b"U::") && !holds(&body, b"\x0a\xf7\x65\x19"));
        assert!(
            sent.recv_timeout(Duration::from_millis(200)).is_err(),
            "one batch"
        );
        assert!(!served.log().contains("not-for-logs"));
    }

    #[test]
    fn a_collector_that_refuses_is_logged_and_keeps_nobody_waiting() {
        let (address, sent) = collector("403 Forbidden");
        let (_tree, mut served) = serve(&address, 100);
        ask(&served, "none");
        ended(&mut served);
        assert!(
            !sent
                .recv_timeout(Duration::from_secs(20))
                .unwrap()
                .1
                .is_empty()
        );
        wait_until("the line about the collector", || {
            served.log().contains("the collector accepts no spans")
        });
    }
}
