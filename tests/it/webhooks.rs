//! Webhooks end to end: `deodar webhooks` and the server on one side, a receiver on the other.

use std::io::{BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};

use crate::support::{Ran, Served, Tree, administrator, deodar, read_request, run, wait_until};

/// A delivery as it came: its headers, and its body.
struct Came {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Came {
    fn header(&self, name: &str) -> &str {
        let mut all = self.headers.iter();
        all.find(|(other, _)| other == name).unwrap().1.as_str()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// As a receiver does it, by nothing but the secret's text.
    fn is_signed_by(&self, secret: &str) -> bool {
        let key = STANDARD
            .decode(secret.strip_prefix("whsec_").unwrap())
            .unwrap();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
        for name in ["webhook-id", "webhook-timestamp"] {
            mac.update(self.header(name).as_bytes());
            mac.update(b".");
        }
        mac.update(&self.body);
        let expect = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        self.header("webhook-signature")
            .split(' ')
            .any(|signature| signature == expect)
    }
}

/// Takes every delivery with this status.
fn receiver(status: &'static str) -> (String, Receiver<Came>) {
    receiver_of(vec![status])
}

/// Answers with one status after the other, and with the last one from then on.
fn receiver_of(statuses: Vec<&'static str>) -> (String, Receiver<Came>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let status = statuses[n.min(statuses.len() - 1)];
            let mut reader = BufReader::new(stream.unwrap());
            let (head, body) = read_request(&mut reader).unwrap();
            let headers = head.lines().filter_map(|line| line.split_once(':'));
            let headers = headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect();
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
            if sender.send(Came { headers, body }).is_err() {
                return;
            }
        }
    });
    (url, receiver)
}

fn next(came: &Receiver<Came>) -> Came {
    came.recv_timeout(Duration::from_secs(20)).unwrap()
}

const POLICIES: &str = "permit(principal, action, resource);";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[test]
fn a_webhook_is_registered_tested_rotated_and_removed() {
    let key = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let config = "[state]\ndir = \"state\"\nkey = {file = \"seal.key\"}\n\
        [webhook_delivery]\ndanger_allow_private = true\n";
    let files = [
        ("a.cedar", POLICIES),
        ("deodar.toml", config),
        ("seal.key", key),
    ];
    let tree = Tree::new(&files);
    let cli =
        |arguments: &[&str]| -> Ran { run(deodar().current_dir(tree.path()).args(arguments)) };
    let made = cli(&[
        "keys",
        "create",
        "--offline",
        "--name",
        "ops",
        "--scopes",
        "webhooks:write",
    ]);
    tree.write("ops.key", made.out.trim());
    let served = Served::start(&["--policies", "a.cedar"], tree.path());
    let shown = ["--key-file", "ops.key", "--server", &served.address];
    let webhooks = |arguments: &[&str]| cli(&[&["webhooks"], arguments, shown.as_slice()].concat());
    let (url, came) = receiver("204 No Content");

    let added = webhooks(&[
        "add",
        "soc",
        &url,
        "--events",
        "incident.*",
        "--min-severity",
        "high",
    ]);
    added.ends(0);
    let secret = added.out.trim_end().to_owned();
    assert!(
        secret.starts_with("whsec_") && !added.err.contains(&secret),
        "{secret}"
    );
    let tested = webhooks(&["test", "soc"]);
    tested.ends(0);
    let test = next(&came);
    assert!(test.is_signed_by(&secret) && !test.is_signed_by(SECRET));
    assert_eq!(test.header("content-type"), "application/cloudevents+json");
    let event = test.json();
    assert_eq!(
        (&event["specversion"], &event["type"]),
        (&json!("1.0"), &json!("dev.deodar.test"))
    );

    // The old secret goes on signing, and the new one does too.
    let rotated = webhooks(&["rotate", "soc"]).out.trim_end().to_owned();
    assert_ne!(rotated, secret);
    assert_eq!(webhooks(&["test", "soc"]).code, 0);
    let test = next(&came);
    assert!(test.is_signed_by(&secret) && test.is_signed_by(&rotated));

    let listed = webhooks(&["list", "--json"]);
    let hook = &listed.json()["webhooks"][0];
    assert_eq!(
        (&hook["name"], &hook["origin"]),
        (&json!("soc"), &json!("api"))
    );
    assert_eq!(hook["statistics"]["lastStatus"], 204);
    for text in [&listed.out, &webhooks(&["list"]).out, &served.log()] {
        assert!(!text.contains("whsec_"), "{text}");
    }

    // A receiver that does not take it, and one that is not called.
    let (refusing, _came) = receiver("302 Found");
    let mut client = served.client();
    client.key = Some(made.out.trim().to_owned());
    let change = json!({"url": refusing, "events": []}).to_string();
    let (status, changed) = client.send("PUT", "/webhooks/soc", Some(change)).unwrap();
    assert_eq!(
        (status, &changed["events"]),
        (200, &json!(["*"])),
        "{changed}"
    );
    let tested = webhooks(&["test", "soc"]);
    tested.ends(2);
    tested.complains("redirects are not followed");
    let refused = webhooks(&["add", "meta", "https://169.254.169.254/latest/meta-data"]);
    refused.ends(1);
    refused.complains("link-local");
    let body = json!({"name": "x", "url": url, "colour": 1});
    let (status, _) = client.post("/webhooks", &body);
    assert_eq!(status, 400);
    let (status, problem) = client.post("/webhooks/dead/replay", &json!({}));
    assert_eq!(status, 400, "{problem}");

    assert_eq!(webhooks(&["remove", "soc"]).code, 0);
    assert_eq!(webhooks(&["test", "soc"]).code, 1);
    assert_eq!(webhooks(&["list", "--json"]).json()["webhooks"], json!([]));
}

#[test]
fn dead_letters_are_shown_and_replayed() {
    let (url, came) = receiver("200 OK");
    let config = format!(
        "[webhook_delivery]\ndead_letter_file = \"dead.ndjson\"\n[[webhooks]]\nname = \"soc\"\n\
         url = \"{url}\"\nsecret = {{file = \"hook.key\"}}\nallow_private = true\n{}",
        administrator()
    );
    let letter = |id: &str| {
        let letter = json!({"webhook": "soc", "id": id, "event": "incident.brute_force_attack",
            "body": "{\"specversion\":\"1.0\"}", "created": 0, "attempts": 7, "due": 0,
            "lastStatus": 503, "lastError": "status 503", "died": 1});
        format!("{letter}\n")
    };
    let letters = [letter("msg_1"), letter("msg_2")].concat();
    let tree = Tree::new(&[
        ("a.cedar", POLICIES),
        ("deodar.toml", &config),
        ("hook.key", SECRET),
        ("dead.ndjson", &letters),
    ]);
    let served = Served::start(&["--policies", "a.cedar"], tree.path());
    let mut client = served.administrator();
    let (status, dead) = client.get("/webhooks/dead");
    assert_eq!(
        (status, &dead["count"], &dead["kept"]),
        (200, &json!(2), &json!(true)),
        "{dead}"
    );
    let (status, replayed) = client.post("/webhooks/dead/replay", &json!({"ids": ["msg_2"]}));
    assert_eq!(
        (status, &replayed["replayed"]),
        (200, &json!(1)),
        "{replayed}"
    );
    let again = next(&came);
    assert_eq!(again.header("webhook-id"), "msg_2");
    assert!(again.is_signed_by(SECRET));
    let (_, dead) = client.get("/webhooks/dead");
    assert_eq!(
        (&dead["count"], &dead["dead"][0]["id"]),
        (&json!(1), &json!("msg_1"))
    );
    let left = std::fs::read_to_string(tree.join("dead.ndjson")).unwrap();
    assert!(left.contains("msg_1") && !left.contains("msg_2"), "{left}");
    wait_until("the delivery is counted", || {
        let (_, hook) = served.administrator().get("/webhooks/soc");
        hook["statistics"]["delivered"] == 1
    });
    // Nothing is registered without a state directory.
    let (status, problem) = client.post(
        "/webhooks",
        &json!({"name": "x", "url": "https://x.example/"}),
    );
    assert_eq!((status, &problem["code"]), (501, &json!("no_state")));
    let (status, problem) = client.send("DELETE", "/webhooks/soc", None).unwrap();
    assert_eq!(
        (status, &problem["code"]),
        (409, &json!("webhook_configured"))
    );
}

#[test]
fn an_event_leads_to_a_signed_delivery_that_survives_being_killed() {
    let (url, came) = receiver_of(vec!["503 Service Unavailable", "200 OK"]);
    let config = format!(
        "[state]\ndir = \"state\"\n[webhook_delivery]\nretries = [\"0s\", \"2s\", \"2s\"]\n\
         [[webhooks]]\nname = \"soc\"\nurl = \"{url}\"\nsecret = {{file = \"hook.key\"}}\n\
         allow_private = true\n{}",
        administrator()
    );
    let tree = Tree::new(&[
        ("a.cedar", POLICIES),
        ("deodar.toml", &config),
        ("hook.key", SECRET),
    ]);
    let served = Served::start(&["--policies", "a.cedar"], tree.path());
    let event = json!({"id": "e1", "type": "credential-compromise",
        "timestamp": deodar::Timestamp::now().to_string(), "subject": {"user": "User::\"ada\""}});
    let (status, answer) = served.administrator().post("/events", &event);
    assert_eq!(status, 202, "{answer}");
    let first = next(&came);
    assert!(first.is_signed_by(SECRET));
    let said = first.json();
    assert_eq!(said["data"]["subject"]["user"]["id"], "ada", "{said}");
    served.signal("KILL");
    drop(served);
    let _served = Served::start(&["--policies", "a.cedar"], tree.path());
    let again = next(&came);
    assert!(again.is_signed_by(SECRET));
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("webhook-id"), first.header("webhook-id"));
}
