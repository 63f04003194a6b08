//! `deodar subject`, through a server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::support::{Ran, Served, Tree, administrator, deodar, run};

/// Answers one request; tells its first line and its body.
fn asked(status: &'static str, body: Value, arguments: &[&str]) -> (Ran, String, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let answering = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = BufReader::new(stream);
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = n.trim().parse().unwrap();
            }
            head.push_str(&line);
        }
        let mut sent = vec![0; length];
        stream.read_exact(&mut sent).unwrap();
        let body = body.to_string();
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.get_mut().write_all(answer.as_bytes()).unwrap();
        let line = head.lines().next().unwrap().to_owned();
        (line, String::from_utf8(sent).unwrap())
    });
    let mut command = deodar();
    command.arg("subject").args(arguments);
    let ran = run(command.args(["--server", &server]));
    let (line, sent) = answering.join().unwrap();
    (ran, line, sent)
}

#[test]
fn what_is_known_is_shown_and_listed() {
    let known = json!({"type": "User", "id": "alice", "findings": [{"kind": "correlated"}]});
    let (ran, line, _) = asked("200 OK", known.clone(), &["show", "User::\"alice\""]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(line, "GET /subjects/User/alice HTTP/1.1");
    assert!(ran.out.contains("    kind: correlated\n"), "{}", ran.out);
    let (ran, ..) = asked("200 OK", known.clone(), &["show", "User/alice", "--json"]);
    assert_eq!(ran.json(), known);
    let held = json!({"subjects": [{"type": "User", "id": "alice"}, {"type": "ip", "id": "::1"}],
        "more": true});
    let (ran, line, _) = asked("200 OK", held, &["list", "--limit", "2"]);
    assert_eq!(line, "GET /subjects?limit=2 HTTP/1.1");
    assert_eq!(ran.out, "User/alice\nip/::1\n");
    assert!(ran.err.contains("--limit"), "{}", ran.err);
}

#[test]
fn orders_go_to_the_server() {
    let (ran, line, sent) = asked(
        "200 OK",
        json!({}),
        &["remediate", "session/s 1", "--reason", "checked"],
    );
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
    assert_eq!(line, "POST /subjects/session/s%201/remediate HTTP/1.1");
    assert_eq!(sent, r#"{"reason":"checked"}"#);
    let until = "2026-03-10T12:00:00Z";
    let (_, line, sent) = asked(
        "200 OK",
        json!({}),
        &["override", "User/a", "--until", until, "--reason", "x"],
    );
    assert_eq!(line, "POST /subjects/User/a/override HTTP/1.1");
    let sent: Value = serde_json::from_str(&sent).unwrap();
    assert_eq!(sent, json!({"until": until, "reason": "x"}));
    let (_, line, sent) = asked("200 OK", json!({}), &["override", "User/a", "--end"]);
    assert_eq!(line, "DELETE /subjects/User/a/override HTTP/1.1");
    assert_eq!(sent, "");
    let (_, line, _) = asked("200 OK", json!({"erased": true}), &["erase", "ip/::1"]);
    assert_eq!(line, "DELETE /subjects/ip/%3A%3A1 HTTP/1.1");
}

#[test]
fn exit_codes_say_what_came_of_it() {
    let unknown = json!({"code": "not_found", "detail": "nothing is known of this subject"});
    let (ran, ..) = asked("404 Not Found", unknown, &["show", "User/nobody"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (2, "nothing is known of this subject\n")
    );
    let refused = json!({"code": "unauthenticated", "detail": "who are you"});
    let (ran, ..) = asked("401 Unauthorized", refused, &["list"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("the scope subjects:read"), "{}", ran.err);
    for arguments in [
        &["show", "alice"][..],
        &["override", "User/a", "--reason", "x"],
        &["override", "User/a", "--end", "--for", "1h"],
        &["override", "User/a", "--for", "1h"],
        &["remediate", "User/a"],
        &["override", "User/a", "--for", "soon", "--reason", "x"],
    ] {
        let ran = run(deodar().arg("subject").args(arguments));
        assert_eq!(ran.code, 1, "{arguments:?} {}", ran.out);
    }
}

#[test]
fn a_server_shows_what_it_was_told_and_gives_a_way_back() {
    let tree = Tree::new(&[
        ("p.cedar", "permit(principal, action, resource);"),
        ("deodar.toml", &administrator()),
        ("key", crate::support::ADMIN_KEY),
    ]);
    let served = Served::start(&["--policies", "p.cedar"], tree.path());
    let key = tree.join("key");
    let subject = |arguments: &[&str]| {
        let mut command = deodar();
        command.arg("subject").args(arguments);
        command.args(["--server", &served.address, "--key-file"]);
        run(command.arg(&key))
    };
    assert_eq!(subject(&["show", "User/ada"]).code, 2);
    let event = json!({
        "id": "e1", "type": "account-disabled", "timestamp": deodar::Timestamp::now().to_string(),
        "subject": {"user": "User::\"ada\""},
    });
    let (status, answer) = served.administrator().post("/events", &event);
    assert_eq!(status, 202, "{answer}");
    assert_eq!(answer["results"][0]["status"], "accepted", "{answer}");
    let listed = subject(&["list"]);
    assert_eq!(
        (listed.code, listed.out.as_str()),
        (0, "User/ada\n"),
        "{}",
        listed.err
    );
    let shown = subject(&["show", "User/ada", "--json"]);
    assert_eq!(shown.code, 0, "{}", shown.err);
    assert_eq!(shown.json()["id"], "ada");
    assert_eq!(subject(&["erase", "User/ada"]).code, 0);
    assert_eq!(subject(&["show", "User/ada"]).code, 2);
}
