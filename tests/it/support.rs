//! What the tests share: temporary trees, a router to ask, a server to spawn.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use deodar::config::Config;
use deodar::{Pdp, Scope, Timestamp};
use http_body_util::BodyExt;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tower::ServiceExt;

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The configuration without any file.
pub(crate) fn config() -> Config {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty.toml");
    std::fs::write(&empty, "").unwrap();
    Config::load(Some(&empty), &[]).unwrap()
}

/// A temporary tree of files.
pub(crate) struct Tree(tempfile::TempDir);

impl Tree {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            tree.write(name, text);
        }
        tree
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes as an editor does: beside, then over.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let beside = path.with_extension("swp~");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(&beside, &path).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.join(name)).unwrap();
    }
}

pub(crate) fn router(pdp: Pdp, now: Option<Timestamp>) -> axum::Router {
    let clock = move || now.unwrap_or_else(Timestamp::now);
    deodar::server::router(&config(), pdp, Box::new(clock)).unwrap()
}

/// Runs a future on a small runtime of its own.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

pub(crate) async fn post(router: &axum::Router, body: impl Into<Body>) -> (StatusCode, Value) {
    let request = Request::post("/authorize")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(body.into())
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    (status, json(response).await)
}

pub(crate) async fn json(response: Response<Body>) -> Value {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap_or(Value::Null)
}

pub(crate) fn deodar() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deodar"));
    // No file of the checkout and no variable of the machine may change what a test sees.
    command
        .current_dir(std::env::temp_dir())
        .env_clear()
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

/// What a command printed and how it ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Asserts how it ended.
    #[track_caller]
    pub(crate) fn ends(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        self
    }

    /// Asserts a part of its standard output.
    #[track_caller]
    pub(crate) fn says(&self, part: &str) -> &Self {
        assert!(self.out.contains(part), "{part}: {}{}", self.out, self.err);
        self
    }

    /// Asserts a part of its standard error.
    #[track_caller]
    pub(crate) fn complains(&self, part: &str) -> &Self {
        assert!(self.err.contains(part), "{part}: {}{}", self.out, self.err);
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}", self.out))
    }
}

pub(crate) fn run(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The key of the caller that [`administrator`] configures.
pub(crate) const ADMIN_KEY: &str = "the-key-of-the-administrator";

/// The bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A `[[callers]]` table for a caller that may manage everything, recognised by [`ADMIN_KEY`].
pub(crate) fn administrator() -> String {
    let hash = hex(&Sha256::digest(ADMIN_KEY));
    let scopes: Vec<_> = Scope::ALL.iter().map(|scope| scope.name()).collect();
    format!(
        "[[callers]]\nname = \"administrator\"\nscopes = {scopes:?}\nkey_sha256 = [\"{hash}\"]\n"
    )
}

/// A `deodar serve` process on a free port; killed when dropped.
pub(crate) struct Served {
    pub(crate) child: Child,
    pub(crate) address: String,
    pub(crate) ops: Option<String>,
    log: std::sync::Arc<std::sync::Mutex<String>>,
}

impl Served {
    pub(crate) fn start(arguments: &[&str], directory: &Path) -> Self {
        let mut child = deodar()
            .current_dir(directory)
            .args(["serve", "--json"])
            .args(if arguments.contains(&"--listen") {
                &[][..]
            } else {
                &["--listen", "127.0.0.1:0"][..]
            })
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
        let (kept, mut stderr) = (log.clone(), BufReader::new(child.stderr.take().unwrap()));
        std::thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).is_ok_and(|n| n > 0) {
                kept.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        let mut announced = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        while serde_json::from_str::<Value>(&announced).is_err() {
            let read = stdout.read_line(&mut announced).unwrap();
            assert!(read > 0, "not served: {}", log.lock().unwrap());
        }
        let announced: Value = serde_json::from_str(&announced).unwrap();
        Self {
            child,
            address: announced["listen"].as_str().unwrap().to_owned(),
            ops: announced["opsListen"].as_str().map(str::to_owned),
            log,
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.address)
    }

    /// A client that shows [`ADMIN_KEY`].
    pub(crate) fn administrator(&self) -> Client {
        let mut client = self.client();
        client.key = Some(ADMIN_KEY.to_owned());
        client
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A plain HTTP/1.1 client that keeps its connection.
pub(crate) struct Client<S = TcpStream> {
    address: String,
    stream: BufReader<S>,
    /// Shown as `Authorization: Bearer`.
    pub(crate) key: Option<String>,
}

impl Client {
    pub(crate) fn new(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        Self {
            address: address.to_owned(),
            stream: BufReader::new(stream),
            key: None,
        }
    }

    /// Writes again and again until the other end takes no more, for a second at most.
    pub(crate) fn write_until_full(&mut self, bytes: &[u8]) {
        let stream = self.stream.get_mut();
        stream
            .set_write_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until && stream.write_all(bytes).is_ok() {}
    }
}

impl<S: Read + Write> Client<S> {
    /// Over a stream that was made before, for the host `address`.
    pub(crate) fn over(stream: S, address: &str) -> Self {
        Self {
            address: address.to_owned(),
            stream: BufReader::new(stream),
            key: None,
        }
    }

    pub(crate) fn get(&mut self, path: &str) -> (u16, Value) {
        self.send("GET", path, None).unwrap()
    }

    pub(crate) fn post(&mut self, path: &str, body: &Value) -> (u16, Value) {
        self.send("POST", path, Some(body.to_string())).unwrap()
    }

    pub(crate) fn send(
        &mut self,
        method: &str,
        path: &str,
        body: Option<String>,
    ) -> std::io::Result<(u16, Value)> {
        let body = body.unwrap_or_default();
        let key = self.key.as_ref().map_or_else(String::new, |key| {
            format!("authorization: Bearer {key}\r\n")
        });
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\n{key}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.read()
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    pub(crate) fn read(&mut self) -> std::io::Result<(u16, Value)> {
        let mut status = 0;
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest[..3].parse().unwrap();
            } else if let Some(rest) = line.strip_prefix("content-length: ") {
                length = rest.parse().unwrap();
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }
}

/// Reads the head and the body of one HTTP/1.1 request; `None` at the end of the stream.
pub(crate) fn read_request(stream: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let mut line = String::new();
        if stream.read_line(&mut line).unwrap_or(0) == 0 {
            return None;
        }
        if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = n.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    Some((head, body))
}

/// A server that answers one request, and tells its head and body.
pub(crate) fn answer(status: &'static str, body: Value) -> (String, JoinHandle<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answered = std::thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let (head, sent) = read_request(&mut stream).unwrap();
        let body = body.to_string();
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.get_mut().write_all(answer.as_bytes()).unwrap();
        (head, String::from_utf8(sent).unwrap())
    });
    (address, answered)
}

/// Waits for a condition that another thread or process brings about.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let latest = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < latest, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
