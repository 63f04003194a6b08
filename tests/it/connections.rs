//! Connections: HTTP/2 beside HTTP/1.1, Unix-domain sockets, slow and idle clients, how many there are.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use h2::client::SendRequest;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::support::{Client, Served, Tree, block_on, deodar, run, wait_until};

const PERMIT: &str = "@id(\"p\") permit(principal, action, resource);";

fn body() -> Value {
    json!({"principal": "U::\"a\"", "action": "Action::\"x\"", "resource": "R::\"r\""})
}

/// Settings under which nothing is refused because this machine is slow.
pub(crate) fn calm(settings: &str) -> String {
    if settings.contains("[limits]\n") {
        settings.replace("[limits]\n", "[limits]\ntarget_wait = \"0s\"\n")
    } else {
        format!("{settings}\n[limits]\ntarget_wait = \"0s\"\n")
    }
}

fn serve(settings: &str) -> (Tree, Served) {
    let settings = calm(settings);
    let tree = Tree::new(&[("a.cedar", PERMIT), ("deodar.toml", &settings)]);
    let served = Served::start(&["--policies", "a.cedar"], tree.path());
    (tree, served)
}

/// An HTTP/2 connection, by prior knowledge.
pub(crate) async fn open<S>(stream: S) -> Result<SendRequest<Bytes>, h2::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (requests, connection) = h2::client::handshake(stream).await?;
    tokio::spawn(connection);
    Ok(requests)
}

async fn open_tcp(served: &Served) -> SendRequest<Bytes> {
    let stream = tokio::net::TcpStream::connect(&served.address).await;
    open(stream.unwrap()).await.unwrap()
}

/// One request: a POST where there is a body.
pub(crate) async fn ask(
    requests: &mut SendRequest<Bytes>,
    url: &str,
    body: Option<&Value>,
) -> Result<(u16, Value), h2::Error> {
    let request = axum::http::Request::builder()
        .method(if body.is_some() { "POST" } else { "GET" })
        .uri(url)
        .header("content-type", "application/json")
        .body(())
        .unwrap();
    let mut ready = requests.clone().ready().await?;
    let (response, mut stream) = ready.send_request(request, body.is_none())?;
    if let Some(body) = body {
        stream.send_data(Bytes::from(body.to_string()), true)?;
    }
    let response = response.await?;
    let status = response.status().as_u16();
    let mut content = response.into_body();
    let mut bytes = Vec::new();
    while let Some(chunk) = content.data().await {
        let chunk = chunk?;
        bytes.extend_from_slice(&chunk);
        content.flow_control().release_capacity(chunk.len())?;
    }
    Ok((
        status,
        serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    ))
}

const AUTHORIZE: &str = "http://localhost/authorize";

#[test]
fn http_2_is_spoken_with_whoever_begins_with_it() {
    let (_tree, served) = serve("");
    block_on(async {
        let mut requests = open_tcp(&served).await;
        // Until the server's settings arrive, a client may open as many streams as it likes; some are refused.
        let url = "http://localhost/readyz";
        assert_eq!(ask(&mut requests, url, None).await.unwrap().0, 200);
        let mut answers = tokio::task::JoinSet::new();
        for _ in 0..300 {
            let mut requests = requests.clone();
            answers.spawn(async move { ask(&mut requests, AUTHORIZE, Some(&body())).await });
        }
        while let Some(answer) = answers.join_next().await {
            let (status, answer) = answer.unwrap().unwrap();
            assert_eq!((status, &answer["decision"]), (200, &json!("Allow")));
        }
        assert_eq!(requests.current_max_send_streams(), 128);
        let url = "http://attacker.example/authorize";
        let (status, problem) = ask(&mut requests, url, Some(&body())).await.unwrap();
        assert_eq!((status, &problem["code"]), (421, &json!("unknown_host")));
    });
    assert_eq!(served.client().post("/authorize", &body()).0, 200);
}

#[test]
fn the_beginning_of_http_2_may_come_in_pieces() {
    let (_tree, served) = serve("");
    let mut stream = TcpStream::connect(&served.address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    for piece in [
        &b"PRI * HT"[..],
        b"TP/2.0\r\n\r\nSM\r\n",
        b"\r\n\0\0\0\x04\0\0\0\0\0",
    ] {
        stream.write_all(piece).unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut head = [0; 9];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(head[3], 4, "the server's settings");

    // What only begins like it is a request like any other.
    let mut other = served.client();
    other.write(b"PRI").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    other
        .write(b"NT /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .unwrap();
    assert_eq!(other.read().unwrap().0, 405);
    let mut pieces = served.client();
    for byte in b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n" {
        pieces.write(&[*byte]).unwrap();
    }
    assert_eq!(pieces.read().unwrap().0, 200);
}

/// Reads until the other end closes; how long that took.
#[track_caller]
fn until_closed(stream: &mut impl Read) -> Duration {
    let began = Instant::now();
    let mut rest = Vec::new();
    let end = stream.read_to_end(&mut rest);
    let timed_out = end.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
    assert!(!timed_out, "still open");
    began.elapsed()
}

fn raw(served: &Served) -> TcpStream {
    let stream = TcpStream::connect(&served.address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(15)))
        .unwrap();
    stream
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// An answer that does not wait for a long body says that the connection ends; after a short one it goes on.
#[test]
fn an_answer_before_the_body_was_read_says_whether_the_connection_goes_on() {
    let (_tree, served) = serve("");
    let ask = |stream: &mut TcpStream, length: &str, body: &str| {
        let head = format!(
            "POST /authorize HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n{length}\r\n\r\n{body}"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = vec![0; 4_096];
        let read = stream.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..read]).to_lowercase()
    };
    let mut stream = raw(&served);
    for _ in 0..3 {
        let answer = ask(&mut stream, "Content-Length: 5", "hello");
        assert!(answer.starts_with("http/1.1 415"), "{answer}");
        assert!(!answer.contains("connection: close"), "{answer}");
    }
    for length in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
        let answer = ask(&mut raw(&served), length, "");
        assert!(answer.starts_with("http/1.1 415"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
}

#[test]
fn connections_that_rest_too_long_are_closed() {
    let (_tree, served) = serve("[limits]\nidle_timeout = \"400ms\"\nread_timeout = \"10s\"");
    let mut client = served.client();
    for pause in [0, 100, 200] {
        std::thread::sleep(Duration::from_millis(pause));
        assert_eq!(client.get("/healthz").0, 200, "after {pause} ms");
    }
    let began = Instant::now();
    assert!(client.read().is_err());
    let took = began.elapsed();
    assert!(
        took > Duration::from_millis(200) && took < Duration::from_secs(8),
        "{took:?}"
    );
    let mut shared = raw(&served);
    shared.write_all(PREFACE).unwrap();
    let took = until_closed(&mut shared);
    assert!(
        took > Duration::from_millis(200) && took < Duration::from_secs(14),
        "{took:?}"
    );
}

#[test]
fn who_is_slow_is_cut() {
    let (_tree, served) = serve("[limits]\nread_timeout = \"400ms\"");
    let mut headers = PREFACE.to_vec();
    // A head of which another frame should follow, and never does.
    headers.extend([0, 0, 1, 1, 1, 0, 0, 0, 1, 0x82]);
    let mut frame = PREFACE.to_vec();
    frame.extend([0, 0, 20, 1]);
    for beginning in [
        &b""[..],
        b"G",
        b"PRI * HTTP/2.0",
        b"GET /healthz HTTP/1.1\r\nho",
        &headers,
        &frame,
    ] {
        let mut slow = raw(&served);
        slow.write_all(beginning).unwrap();
        let took = until_closed(&mut slow);
        assert!(took < Duration::from_secs(10), "{beginning:?}: {took:?}");
    }
    // Byte by byte, it is the whole head that must come in time.
    let mut dripping = raw(&served);
    let began = Instant::now();
    for byte in b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: "
        .iter()
        .cycle()
    {
        if dripping.write_all(&[*byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
        assert!(began.elapsed() < Duration::from_secs(10), "still open");
    }
    block_on(async {
        let mut requests = open_tcp(&served).await;
        let request = axum::http::Request::post(AUTHORIZE)
            .header("content-type", "application/json")
            .body(())
            .unwrap();
        let (response, _stream) = requests.send_request(request, false).unwrap();
        assert_eq!(
            response.await.unwrap().status(),
            408,
            "a body that does not come"
        );
        assert_eq!(
            ask(&mut requests, AUTHORIZE, Some(&body()))
                .await
                .unwrap()
                .0,
            200
        );
    });
}

#[test]
fn who_takes_no_answers_over_http_2_is_cut() {
    let (_tree, served) = serve("[limits]\nread_timeout = \"400ms\"\nconnections = 1");
    let began = Instant::now();
    block_on(async {
        let stream = tokio::net::TcpStream::connect(&served.address)
            .await
            .unwrap();
        let (mut requests, connection) = h2::client::Builder::new()
            .initial_window_size(0)
            .handshake::<_, Bytes>(stream)
            .await
            .unwrap();
        let ended = tokio::spawn(connection);
        let request = axum::http::Request::get("http://localhost/metrics")
            .body(())
            .unwrap();
        let (response, _) = requests.send_request(request, true).unwrap();
        let mut response = response.await.unwrap().into_body();
        let end = tokio::time::timeout(Duration::from_secs(15), response.data()).await;
        assert!(
            end.unwrap().is_none_or(|data| data.is_err()),
            "nothing may come"
        );
        let _ = tokio::time::timeout(Duration::from_secs(15), ended)
            .await
            .unwrap();
    });
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(served.client().get("/healthz").0, 200);
}

/// The head of a request whose body of so many bytes is still to come.
fn head(bytes: usize) -> String {
    format!(
        "POST /authorize HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {bytes}\r\n\r\n"
    )
}

/// Begins a request over HTTP/2 whose body does not come.
fn begin(
    requests: &mut SendRequest<Bytes>,
) -> Result<(h2::client::ResponseFuture, h2::SendStream<Bytes>), h2::Error> {
    let request = axum::http::Request::post(AUTHORIZE)
        .header("content-type", "application/json")
        .body(())
        .unwrap();
    requests.send_request(request, false)
}

/// What a metric of this server is.
fn metric(served: &Served, name: &str) -> u64 {
    let mut client = TcpStream::connect(served.ops.as_ref().unwrap_or(&served.address)).unwrap();
    client
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name}: {text}"))
        .parse()
        .unwrap()
}

#[test]
fn both_protocols_share_one_bound_and_probes_have_their_own() {
    let (_tree, served) =
        serve("[limits]\nconnections = 2\n[server]\nops_listen = \"127.0.0.1:0\"");
    let body = body().to_string();
    let mut first = served.client();
    first.write(head(body.len()).as_bytes()).unwrap();
    block_on(async {
        let mut second = open_tcp(&served).await;
        let (response, mut stream) = begin(&mut second).unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut third = raw(&served);
        third
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        third
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .unwrap();
        assert!(third.read(&mut [0; 1]).is_err(), "there are two already");
        let mut probe = Client::new(served.ops.as_ref().unwrap());
        assert_eq!(probe.get("/readyz").0, 200);
        first.write(body.as_bytes()).unwrap();
        assert_eq!(first.read().unwrap().0, 200, "a request is finished");
        // It is idle now, and gives way.
        third
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        third.read_exact(&mut [0; 1]).unwrap();
        assert!(first.read().is_err());
        stream.send_data(Bytes::from(body.clone()), true).unwrap();
        assert_eq!(response.await.unwrap().status(), 200);
    });
    assert!(metric(&served, "deodar_connections_evicted_total") >= 1);
    assert_eq!(metric(&served, "deodar_connections_limit"), 2);
}

#[test]
fn idle_and_silent_clients_shut_nobody_out() {
    let (_tree, served) =
        serve("[limits]\nconnections = 8\n[server]\nops_listen = \"127.0.0.1:0\"");
    for address in [&served.address, served.ops.as_ref().unwrap()] {
        // More than there may be, on the listener for probes too.
        let mut held = Vec::new();
        for turn in 0..80 {
            let mut client = Client::new(address);
            match turn % 3 {
                0 => assert_eq!(client.get("/healthz").0, 200),
                1 => {}
                _ => client.write(PREFACE).unwrap(),
            }
            held.push(client);
        }
        let began = Instant::now();
        for _ in 0..5 {
            assert_eq!(Client::new(address).get("/healthz").0, 200);
        }
        assert!(began.elapsed() < Duration::from_secs(2));
    }
    assert!(metric(&served, "deodar_connections") <= 8);
}

#[test]
fn clients_that_stall_give_way_and_one_that_makes_progress_does_not() {
    let (_tree, served) = serve("[limits]\nconnections = 4\naddress_percent = 100");
    let mut steady = served.client();
    let padded = format!("{}{}", " ".repeat(30_000), body());
    steady.write(head(padded.len()).as_bytes()).unwrap();
    let mut held = Vec::new();
    for beginning in [head(100), "GET /hea".to_owned(), head(9)] {
        let mut client = raw(&served);
        client.write_all(beginning.as_bytes()).unwrap();
        held.push(client);
    }
    // At 12 KiB a second, while the others send nothing.
    for part in padded.as_bytes().chunks(600) {
        steady.write(part).unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
    let began = Instant::now();
    for _ in 0..3 {
        let mut client = served.client();
        client.write(head(5).as_bytes()).unwrap();
        held.push(raw(&served));
    }
    assert_eq!(steady.read().unwrap().0, 200);
    assert_eq!(served.client().post("/authorize", &body()).0, 200);
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn an_address_has_a_share_of_connections() {
    let (_tree, served) = serve(
        "[limits]\nconnections = 4\naddress_percent = 50\n[server]\nops_listen = \"127.0.0.1:0\"",
    );
    let begun = || {
        let mut client = raw(&served);
        let head = head(100).replace("content-length", "expect: 100-continue\r\ncontent-length");
        client.write_all(head.as_bytes()).unwrap();
        client
    };
    let mut held = [begun(), begun()];
    for client in &mut held {
        // Now the body is waited for.
        let mut answer = [0; 12];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 100");
    }
    let took = until_closed(&mut begun());
    assert!(took < Duration::from_secs(5), "refused at once: {took:?}");
    assert_eq!(metric(&served, "deodar_connections_refused_total"), 1);
    // Another address of this machine is another client.
    block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let stream = socket.connect(served.address.parse().unwrap()).await;
        let mut requests = open(stream.unwrap()).await.unwrap();
        let answer = ask(&mut requests, AUTHORIZE, Some(&body())).await.unwrap();
        assert_eq!(answer.0, 200);
    });
}

#[test]
fn unfinished_bodies_share_a_budget_and_small_requests_go_on() {
    let (_tree, served) = serve(
        "[limits]\nbody_bytes = 262144\nbodies_bytes = 1048576\naddress_percent = 100\n[server]\nops_listen = \"127.0.0.1:0\"",
    );
    let mut held = Vec::new();
    for _ in 0..40 {
        let mut client = raw(&served);
        client
            .set_write_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let _ = client.write_all(head(200_000).as_bytes());
        let _ = client.write_all(&vec![b' '; 190_000]);
        held.push(client);
    }
    // What was sent is read some time later.
    let turned_away = || {
        metric(&served, "deodar_bodies_evicted_total")
            + metric(&served, "deodar_bodies_refused_total")
    };
    let latest = Instant::now() + Duration::from_secs(20);
    while turned_away() < 30 && Instant::now() < latest {
        std::thread::sleep(Duration::from_millis(20));
    }
    let used = metric(&served, "deodar_body_bytes");
    assert!(used <= 1_048_576 && used > 300_000, "{used}");
    let mut small = served.client();
    for _ in 0..20 {
        assert_eq!(small.post("/authorize", &body()).0, 200);
    }
    // A large body that comes in one go takes the place of those that do not come on.
    std::thread::sleep(Duration::from_millis(300));
    let padded = format!("{}{}", " ".repeat(200_000), body());
    let (status, answer) = small.send("POST", "/authorize", Some(padded)).unwrap();
    assert_eq!((status, &answer["decision"]), (200, &json!("Allow")));
    assert!(turned_away() >= 30, "{}", turned_away());
    let answered = held.iter_mut().filter_map(|client| {
        client
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let mut answer = [0; 12];
        client.read_exact(&mut answer).ok()?;
        Some(answer)
    });
    let answered: Vec<_> = answered.collect();
    assert!(!answered.is_empty());
    assert!(answered.iter().all(|answer| answer == b"HTTP/1.1 503"));
    drop(held);
    wait_until("everything is given back", || {
        metric(&served, "deodar_body_bytes") == 0
    });
}

#[test]
fn heads_without_bodies_over_http_2_shut_nobody_out() {
    let (_tree, served) =
        serve("[limits]\nconnections = 16\n[server]\nops_listen = \"127.0.0.1:0\"");
    block_on(async {
        let mut held = Vec::new();
        for _ in 0..4 {
            let mut requests = open_tcp(&served).await;
            for _ in 0..40 {
                requests = requests.ready().await.unwrap();
                held.push(begin(&mut requests).unwrap());
            }
            held.last().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let began = Instant::now();
        for _ in 0..5 {
            let mut victim = open_tcp(&served).await;
            let answer = ask(&mut victim, AUTHORIZE, Some(&body())).await.unwrap();
            assert_eq!((answer.0, &answer.1["decision"]), (200, &json!("Allow")));
        }
        assert!(began.elapsed() < Duration::from_secs(3));
    });
    assert_eq!(served.client().post("/authorize", &body()).0, 200);
    assert!(metric(&served, "deodar_bodies_evicted_total") > 5);
}

#[test]
fn answers_that_are_not_taken_over_http_2_shut_nobody_out() {
    let (_tree, served) = serve("[limits]\nconnections = 8");
    block_on(async {
        let mut held = Vec::new();
        for _ in 0..2 {
            let stream = tokio::net::TcpStream::connect(&served.address)
                .await
                .unwrap();
            let (mut requests, connection) = h2::client::Builder::new()
                .initial_window_size(0)
                .handshake::<_, Bytes>(stream)
                .await
                .unwrap();
            tokio::spawn(connection);
            for _ in 0..8 {
                let request = axum::http::Request::get("http://localhost/healthz")
                    .body(())
                    .unwrap();
                held.push(requests.send_request(request, true).unwrap());
            }
        }
        tokio::time::sleep(Duration::from_millis(800)).await;
        let mut victim = open_tcp(&served).await;
        let latest = Instant::now() + Duration::from_secs(3);
        while ask(&mut victim, AUTHORIZE, Some(&body())).await.unwrap().0 != 200 {
            assert!(Instant::now() < latest, "shut out");
        }
    });
}

#[test]
fn a_flood_of_control_frames_ends_the_connection() {
    let (_tree, served) = serve("");
    for frame in [
        // A ping, settings, data without bytes, a frame of an unknown kind.
        &b"\0\0\x08\x06\0\0\0\0\0........"[..],
        b"\0\0\0\x04\0\0\0\0\0",
        b"\0\0\0\x77\0\0\0\0\0",
    ] {
        let mut client = raw(&served);
        client.write_all(PREFACE).unwrap();
        let flood = frame.repeat(3_000);
        // Fails once the other end has closed.
        let _ = client.write_all(&flood);
        let took = until_closed(&mut client);
        assert!(took < Duration::from_secs(5), "{took:?}");
        let mut calm = raw(&served);
        calm.write_all(PREFACE).unwrap();
        calm.write_all(&frame.repeat(50)).unwrap();
        calm.set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let mut rest = Vec::new();
        let end = calm.read_to_end(&mut rest).unwrap_err();
        assert_eq!(end.kind(), std::io::ErrorKind::WouldBlock, "still open");
    }
}

#[test]
fn tiny_chunks_extensions_and_trailers_are_bounded() {
    let (_tree, served) = serve("[limits]\nbody_bytes = 4096");
    let head = "POST /authorize HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    for (beginning, part) in [
        ("", "1\r\n \r\n".repeat(100)),
        ("", format!("1;x={}\r\n \r\n", "y".repeat(2_000))),
        ("1\r\n \r\n0\r\n", format!("x: {}\r\n", "y".repeat(1_000))),
    ] {
        let mut client = raw(&served);
        client
            .set_write_timeout(Some(Duration::from_secs(2)))
            .unwrap();
        client.write_all(head.as_bytes()).unwrap();
        client.write_all(beginning.as_bytes()).unwrap();
        for _ in 0..1_000 {
            if client.write_all(part.as_bytes()).is_err() {
                break;
            }
        }
        let mut answer = Vec::new();
        // The other end closes with bytes unread, which may be told as a reset.
        let _ = client.read_to_end(&mut answer);
        let status = String::from_utf8_lossy(&answer)
            .chars()
            .skip(9)
            .take(3)
            .collect::<String>();
        assert!(["413", "400", ""].contains(&status.as_str()), "{status}");
    }
    assert_eq!(served.client().post("/authorize", &body()).0, 200);
}

/// A body that takes long to parse and to refuse.
fn hostile() -> String {
    let mut members = String::new();
    while members.len() < 1_000_000 {
        members.push_str(&format!(
            "\"k{}\":[[[[{}]]]],",
            members.len(),
            members.len()
        ));
    }
    format!(
        "{{\"principal\":\"U::\\\"a\\\"\",\"action\":\"Action::\\\"x\\\"\",\"resource\":\"R::\\\"r\\\"\",\"context\":{{{members}\"z\":1}}}}"
    )
}

#[test]
fn large_bodies_hold_up_neither_probes_nor_small_requests() {
    let (_tree, served) = serve("[server]\nops_listen = \"127.0.0.1:0\"");
    let asked = |rounds: usize| {
        let mut probe = Client::new(served.ops.as_ref().unwrap());
        let mut small = served.client();
        let mut times: Vec<_> = (0..rounds)
            .map(|_| {
                let began = Instant::now();
                assert_eq!(probe.get("/healthz").0, 200);
                assert_eq!(small.post("/authorize", &body()).0, 200);
                std::thread::sleep(Duration::from_millis(5));
                began.elapsed()
            })
            .collect();
        times.sort_unstable();
        times[rounds * 95 / 100]
    };
    let idle = asked(100);
    let hostile = hostile();
    let done = std::sync::atomic::AtomicBool::new(false);
    let ordering = std::sync::atomic::Ordering::Relaxed;
    let (mut busy, mut decided) = (Duration::ZERO, 0);
    std::thread::scope(|scope| {
        let large: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    let mut decided = 0;
                    while !done.load(ordering) {
                        let mut client = served.client();
                        let asked = client.send("POST", "/authorize", Some(hostile.clone()));
                        decided += u32::from(asked.is_ok_and(|(status, _)| status == 200));
                    }
                    decided
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(200));
        busy = asked(100);
        done.store(true, ordering);
        decided = large.into_iter().map(|one| one.join().unwrap()).sum();
    });
    assert!(decided > 0, "large bodies are decided all the same");
    let bound = (idle * 20).max(Duration::from_millis(400));
    assert!(busy < bound, "idle {idle:?}, busy {busy:?}");
}

#[test]
fn requests_over_http_2_are_finished_at_the_end() {
    let (_tree, mut served) = serve("[server]\ndrain_timeout = \"20s\"");
    block_on(async {
        let mut requests = open_tcp(&served).await;
        assert_eq!(
            ask(&mut requests, AUTHORIZE, Some(&body()))
                .await
                .unwrap()
                .0,
            200
        );
        let request = axum::http::Request::post(AUTHORIZE)
            .header("content-type", "application/json")
            .body(())
            .unwrap();
        let (response, mut stream) = requests.send_request(request, false).unwrap();
        let body = body().to_string();
        let (one, other) = body.split_at(10);
        stream
            .send_data(Bytes::from(one.to_owned()), false)
            .unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        served.signal("INT");
        tokio::time::sleep(Duration::from_millis(200)).await;
        stream
            .send_data(Bytes::from(other.to_owned()), true)
            .unwrap();
        assert_eq!(response.await.unwrap().status(), 200);
    });
    let began = Instant::now();
    assert!(served.child.wait().unwrap().success());
    assert!(began.elapsed() < Duration::from_secs(10), "idle by then");
}

fn over_socket(tree: &Tree, host: &str) -> Client<UnixStream> {
    let stream = UnixStream::connect(tree.join("d.sock")).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    Client::over(stream, host)
}

#[test]
fn a_socket_in_the_file_system_is_a_way_too() {
    let (tree, mut served) = serve("[server]\nsocket = \"d.sock\"\nsocket_mode = \"0640\"");
    let mode = std::fs::metadata(tree.join("d.sock"))
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o640);
    for host in ["localhost", "", "127.0.0.1"] {
        let mut client = over_socket(&tree, host);
        let (status, answer) = client.post("/authorize", &body());
        assert_eq!(
            (status, &answer["decision"]),
            (200, &json!("Allow")),
            "{host}"
        );
        assert_eq!(client.get("/readyz").0, 200);
        assert_eq!(client.get("/metrics").0, 200);
        // Whoever reaches it is on this machine.
        let (status, answer) = client.post("/admin/reload", &json!({}));
        assert_eq!((status, &answer["result"]), (200, &json!("unchanged")));
    }
    let (status, problem) = over_socket(&tree, "attacker.example").post("/authorize", &body());
    assert_eq!((status, &problem["code"]), (421, &json!("unknown_host")));
    block_on(async {
        let stream = tokio::net::UnixStream::connect(tree.join("d.sock")).await;
        let mut requests = open(stream.unwrap()).await.unwrap();
        let answer = ask(&mut requests, AUTHORIZE, Some(&body())).await.unwrap();
        assert_eq!(answer.0, 200);
    });
    served.signal("INT");
    assert!(served.child.wait().unwrap().success());
    assert!(!tree.join("d.sock").exists(), "removed at the end");
}

#[test]
fn a_socket_that_was_left_is_replaced_and_one_in_use_is_not() {
    let (tree, mut served) = serve("[server]\nsocket = \"d.sock\"");
    let second = || {
        run(deodar().current_dir(tree.path()).args([
            "serve",
            "--policies",
            "a.cedar",
            "--listen",
            "127.0.0.1:0",
        ]))
    };
    let ran = second();
    ran.ends(1);
    ran.complains("another process listens on it");
    assert_eq!(over_socket(&tree, "localhost").get("/healthz").0, 200);
    served.signal("KILL");
    served.child.wait().unwrap();
    assert!(tree.join("d.sock").exists(), "left behind");
    let next = Served::start(&["--policies", "a.cedar"], tree.path());
    wait_until("the socket", || tree.join("d.sock").exists());
    assert_eq!(over_socket(&tree, "localhost").get("/healthz").0, 200);
    drop(next);
    std::fs::remove_file(tree.join("d.sock")).unwrap();
    tree.write("d.sock", "notes");
    let ran = second();
    ran.ends(1);
    ran.complains("not a socket");
}
