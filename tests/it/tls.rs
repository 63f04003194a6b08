//! TLS on the listeners: versions, protocols, clients' certificates, rotation.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use serde_json::{Value, json};

use crate::connections::{ask, calm, open};
use crate::support::{Client, Served, Tree, block_on, deodar, run, wait_until};

const PERMIT: &str = "@id(\"p\") permit(principal, action, resource);";

/// Whom the certificate of [`Authority::client`] names.
const CALLER: &str = "[[callers]]\nname = \"gateway\"\nscopes = [\"decide\", \"policies:write\"]\nsan = [\"spiffe://example.org/gateway\"]\n";

fn body() -> Value {
    json!({"principal": "U::\"a\"", "action": "Action::\"x\"", "resource": "R::\"r\""})
}

/// An authority that issues certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
struct Pair {
    certificate: String,
    key: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(parameters, key),
            pem,
        }
    }

    fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let mut parameters = CertificateParams::default();
        change(&mut parameters);
        let key = KeyPair::generate().unwrap();
        Pair {
            certificate: parameters.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    fn server(&self) -> Pair {
        self.server_until(2100, 1, 1)
    }

    fn server_until(&self, year: i32, month: u8, day: u8) -> Pair {
        self.issue(|parameters| {
            parameters.subject_alt_names = vec![SanType::DnsName("localhost".try_into().unwrap())];
            parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            parameters.not_after = rcgen::date_time_ymd(year, month, day);
        })
    }

    fn client(&self) -> Pair {
        self.issue(|parameters| {
            let name = "spiffe://example.org/gateway".try_into().unwrap();
            parameters.subject_alt_names = vec![SanType::URI(name)];
            parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }
}

/// A client of TLS that trusts `authority`.
struct Caller {
    config: ClientConfig,
}

impl Caller {
    fn new(authority: &Authority, shows: Option<&Pair>) -> Self {
        let both: &[_] = &[&rustls::version::TLS13, &rustls::version::TLS12];
        Self::speaking(authority, shows, both)
    }

    fn speaking(
        authority: &Authority,
        shows: Option<&Pair>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap();
        roots.add(authority).unwrap();
        let provider = Arc::new(rustls_graviola::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match shows {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes());
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes());
                let chain = vec![certificate.unwrap()];
                builder.with_client_auth_cert(chain, key.unwrap()).unwrap()
            }
        };
        Self { config }
    }

    fn connect(&self, address: &str) -> Client<StreamOwned<ClientConnection, TcpStream>> {
        let stream = TcpStream::connect(address).unwrap();
        let patience = Some(Duration::from_secs(30));
        stream.set_read_timeout(patience).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::new(self.config.clone()), name).unwrap();
        Client::over(StreamOwned::new(session, stream), "localhost")
    }

    /// One request on a connection of its own; its status, or why there is none.
    fn ask(&self, address: &str, path: &str) -> Result<(u16, Value), String> {
        let sent = self.connect(address).send("GET", path, None);
        sent.map_err(|error| error.to_string())
    }

    /// One request over HTTP/2, with the protocol that was agreed on.
    fn ask_2(&self, address: &str, offer: &[&[u8]]) -> (Option<Vec<u8>>, u16, Value) {
        let mut config = self.config.clone();
        config.alpn_protocols = offer.iter().map(|name| name.to_vec()).collect();
        block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
            let name = ServerName::try_from("localhost").unwrap();
            let stream = connector.connect(name, stream).await.unwrap();
            let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
            let mut requests = open(stream).await.unwrap();
            let url = "https://localhost/authorize";
            let (status, answer) = ask(&mut requests, url, Some(&body())).await.unwrap();
            (agreed, status, answer)
        })
    }
}

fn write(tree: &Tree, pair: &Pair) {
    tree.write("tls.crt", &pair.certificate);
    tree.write("tls.key", &pair.key);
}

/// A tree with a server's certificate, and settings.
fn tree(pair: &Pair, settings: &str) -> Tree {
    let settings = format!(
        "[sources]\npolicies = [\"a.cedar\"]\n[reload]\npoll_interval = \"100ms\"\ndebounce = \"10ms\"\n[tls]\ncertificate = \"tls.crt\"\nkey = \"tls.key\"\n{settings}"
    );
    let settings = calm(&settings);
    let tree = Tree::new(&[("a.cedar", PERMIT), ("deodar.toml", &settings)]);
    write(&tree, pair);
    tree
}

#[test]
fn decides_over_both_versions_of_tls_and_of_http() {
    let authority = Authority::new("one");
    let tree = tree(&authority.server(), "");
    let served = Served::start(&[], tree.path());
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let caller = Caller::speaking(&authority, None, &[version]);
        let mut client = caller.connect(&served.address);
        for _ in 0..3 {
            let (status, answer) = client.post("/authorize", &body());
            assert_eq!((status, &answer["decision"]), (200, &json!("Allow")));
        }
        let (agreed, status, answer) = caller.ask_2(&served.address, &[b"http/1.1", b"h2"]);
        assert_eq!(agreed.as_deref(), Some(b"h2".as_slice()));
        assert_eq!((status, &answer["decision"]), (200, &json!("Allow")));
    }
    let stranger = Caller::new(&Authority::new("other"), None);
    let error = stranger.ask(&served.address, "/healthz").unwrap_err();
    assert!(error.contains("UnknownIssuer"), "{error}");
    let caller = Caller::new(&authority, None);
    assert_eq!(caller.ask(&served.address, "/healthz").unwrap().0, 200);
}

/// The least that a client of TLS 1.1 begins with (RFC 4346 section 7.4.1.2).
fn hello_of_tls_1_1() -> Vec<u8> {
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 4, 0xc0, 0x13, 0, 0x2f, 1, 0]);
    let mut message = vec![1, 0, 0, u8::try_from(hello.len()).unwrap()];
    message.extend(hello);
    let mut record = vec![0x16, 3, 1, 0, u8::try_from(message.len()).unwrap()];
    record.extend(message);
    record
}

#[test]
fn older_versions_are_not_spoken() {
    let authority = Authority::new("one");
    let tree = tree(&authority.server(), "min_version = \"1.3\"\n");
    let served = Served::start(&[], tree.path());
    let old = Caller::speaking(&authority, None, &[&rustls::version::TLS12]);
    let error = old.ask(&served.address, "/healthz").unwrap_err();
    assert!(error.contains("ProtocolVersion"), "{error}");
    assert!(
        Caller::new(&authority, None)
            .ask(&served.address, "/healthz")
            .is_ok()
    );

    let mut older = TcpStream::connect(&served.address).unwrap();
    older.write_all(&hello_of_tls_1_1()).unwrap();
    let mut answer = Vec::new();
    older.read_to_end(&mut answer).unwrap();
    // A fatal alert, `protocol_version` or `handshake_failure`, and the end.
    assert_eq!((answer[0], answer[5]), (0x15, 2), "{answer:?}");
    assert!([70, 40].contains(&answer[6]), "{answer:?}");
}

#[test]
fn who_speaks_without_tls_is_told() {
    let authority = Authority::new("one");
    let tree = tree(&authority.server(), "");
    let served = Served::start(&[], tree.path());
    let mut plain = TcpStream::connect(&served.address).unwrap();
    plain
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    // The rest of the request was not read: the system may say so after the answer.
    let _ = plain.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.ends_with("https://"), "{answer}");
    for noise in [
        &b"\x00\x01\x02\x03\x04\x05\x06\x07"[..],
        b"\x16\x03\x01\xff\xff",
    ] {
        let mut stream = TcpStream::connect(&served.address).unwrap();
        stream.write_all(noise).unwrap();
    }
    assert!(
        Caller::new(&authority, None)
            .ask(&served.address, "/healthz")
            .is_ok()
    );
    assert!(!served.log().contains("panicked"));
}

#[test]
fn clients_must_show_a_certificate_where_it_is_required() {
    let (servers, clients, others) = (
        Authority::new("servers"),
        Authority::new("clients"),
        Authority::new("others"),
    );
    let expired = clients.issue(|parameters| {
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        parameters.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    let not_for_clients = clients.issue(|parameters| {
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    for (word, without) in [("required", false), ("optional", true)] {
        let settings = format!(
            "client_ca = \"ca.crt\"\nclient_auth = \"{word}\"\nops = true\n[server]\nops_listen = \"127.0.0.1:0\"\n{CALLER}"
        );
        let tree = tree(&servers.server(), &settings);
        tree.write("ca.crt", &clients.pem);
        let served = Served::start(&[], tree.path());
        let ask =
            |shows: Option<&Pair>| Caller::new(&servers, shows).ask(&served.address, "/healthz");
        assert_eq!(ask(Some(&clients.client())).unwrap().0, 200, "{word}");
        assert_eq!(ask(None).is_ok(), without, "{word}");
        for (name, bad) in [
            ("another authority's", &others.client()),
            ("expired", &expired),
            ("not for clients", &not_for_clients),
        ] {
            assert!(ask(Some(bad)).is_err(), "{word}: {name}");
        }
        let (_, status, _) =
            Caller::new(&servers, Some(&clients.client())).ask_2(&served.address, &[b"h2"]);
        assert_eq!(status, 200);
        // Probes have none to show.
        let ops = served.ops.as_ref().unwrap();
        let probe = Caller::new(&servers, None).ask(ops, "/readyz").unwrap();
        assert_eq!((probe.0, &probe.1["status"]), (200, &json!("ok")));
    }
}

#[test]
fn the_operations_listener_is_plain_unless_told() {
    let tree = tree(
        &Authority::new("one").server(),
        "[server]\nops_listen = \"127.0.0.1:0\"\n",
    );
    let served = Served::start(&[], tree.path());
    let mut probe = Client::new(served.ops.as_ref().unwrap());
    assert_eq!(probe.get("/readyz").0, 200);
}

fn ready(served: &Served) -> Value {
    Client::new(served.ops.as_ref().unwrap()).get("/readyz").1
}

#[test]
fn certificates_change_under_open_connections() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let tree = tree(&old.server(), "[server]\nops_listen = \"127.0.0.1:0\"\n");
    let served = Served::start(&[], tree.path());
    let (to_old, to_new) = (Caller::new(&old, None), Caller::new(&new, None));
    let mut open = to_old.connect(&served.address);
    assert_eq!(open.get("/healthz").0, 200);

    // Half of a rotation: nothing changes but readiness.
    let next = new.server();
    tree.write("tls.crt", &next.certificate);
    wait_until("the refusal", || ready(&served)["status"] == "degraded");
    let reason = ready(&served)["reasons"][0].to_string();
    assert!(reason.contains("is not the key of"), "{reason}");
    assert!(to_old.ask(&served.address, "/healthz").is_ok());

    tree.write("tls.key", &next.key);
    wait_until("the new certificate", || {
        to_new.ask(&served.address, "/healthz").is_ok()
    });
    assert!(to_old.ask(&served.address, "/healthz").is_err());
    assert_eq!(open.get("/healthz").0, 200, "what is open goes on");
    wait_until("readiness", || ready(&served)["status"] == "ok");

    for (name, certificate) in [
        ("nonsense", "nonsense".to_owned()),
        ("empty", String::new()),
        ("cut", next.certificate[..200].to_owned()),
        ("ended", new.server_until(2021, 1, 1).certificate),
    ] {
        tree.write("tls.crt", &certificate);
        wait_until(name, || ready(&served)["status"] == "degraded");
        assert!(to_new.ask(&served.address, "/healthz").is_ok(), "{name}");
        tree.write("tls.crt", &next.certificate);
        wait_until("readiness again", || ready(&served)["status"] == "ok");
    }
    tree.remove("tls.key");
    wait_until("the lost key", || ready(&served)["status"] == "degraded");
    assert!(to_new.ask(&served.address, "/healthz").is_ok());
    assert_eq!(open.get("/healthz").0, 200);
    assert!(!served.log().contains("PRIVATE KEY"));
}

#[test]
fn a_signal_takes_up_certificates_and_authorities() {
    let servers = Authority::new("servers");
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let settings =
        "client_ca = \"ca.crt\"\nclient_auth = \"required\"\n[reload]\nwatch = \"off\"\n";
    let whole = format!(
        "[sources]\npolicies = [\"a.cedar\"]\n[tls]\ncertificate = \"tls.crt\"\nkey = \"tls.key\"\n{settings}"
    );
    let tree = Tree::new(&[
        ("a.cedar", PERMIT),
        ("deodar.toml", &whole),
        ("ca.crt", &old.pem),
    ]);
    write(&tree, &servers.server());
    let served = Served::start(&[], tree.path());
    let (of_old, of_new) = (old.client(), new.client());
    let ask = |shows| Caller::new(&servers, Some(shows)).ask(&served.address, "/healthz");
    assert!(ask(&of_old).is_ok() && ask(&of_new).is_err());
    tree.write("ca.crt", &format!("{}{}", old.pem, new.pem));
    std::thread::sleep(Duration::from_millis(300));
    assert!(ask(&of_new).is_err(), "nobody watches");
    served.signal("HUP");
    wait_until("both authorities", || ask(&of_new).is_ok());
    assert!(ask(&of_old).is_ok());
    tree.write("ca.crt", &new.pem);
    served.signal("HUP");
    wait_until("the new authority alone", || ask(&of_old).is_err());
    assert!(ask(&of_new).is_ok());
}

#[test]
fn what_ends_soon_or_has_ended_is_told() {
    let authority = Authority::new("one");
    let soon = authority.issue(|parameters| {
        parameters.subject_alt_names = vec![SanType::DnsName("localhost".try_into().unwrap())];
        parameters.not_after = std::time::SystemTime::now()
            .checked_add(Duration::from_secs(5 * 24 * 3_600))
            .unwrap()
            .into();
    });
    let files = tree(&soon, "");
    let key = files.join("tls.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let served = Served::start(&[], files.path());
    wait_until("the warnings", || {
        let log = served.log();
        log.contains("ends soon") && log.contains("everyone on this machine")
    });
    drop(served);
    let settings = "[server]\nops_listen = \"127.0.0.1:0\"\n";
    let tree = tree(&authority.server_until(2021, 1, 1), settings);
    let served = Served::start(&[], tree.path());
    let told = ready(&served);
    assert_eq!(told["status"], "degraded");
    assert!(
        told["reasons"][0]
            .as_str()
            .unwrap()
            .contains("ended at 2021")
    );
}

#[track_caller]
fn check_refused(tree: &Tree, environment: &[(&str, &str)], expect: &str) {
    let ran = run(deodar()
        .current_dir(tree.path())
        .envs(environment.iter().copied())
        .args(["serve", "--listen", "127.0.0.1:0"]));
    ran.ends(1);
    ran.complains(expect);
    assert!(!ran.err.contains("PRIVATE KEY") && !ran.err.contains("panicked"));
}

#[test]
fn what_cannot_be_used_is_refused_at_the_start() {
    let authority = Authority::new("one");
    let (one, other) = (authority.server(), authority.server());
    let mixed = Pair {
        certificate: one.certificate.clone(),
        key: other.key,
    };
    check_refused(&tree(&mixed, ""), &[], "is not the key of");
    let swapped = Pair {
        certificate: one.key.clone(),
        key: one.certificate.clone(),
    };
    check_refused(&tree(&swapped, ""), &[], "holds no certificate");
    let lost = tree(&one, "");
    lost.remove("tls.key");
    check_refused(&lost, &[], "tls.key");
    let settings = "client_ca = \"ca.crt\"\nclient_auth = \"required\"\n";
    let empty = tree(&one, settings);
    empty.write("ca.crt", "");
    check_refused(&empty, &[], "holds no certificate");
    // Debug builds of the cryptography can be told to find less of a processor than there is.
    if cfg!(all(debug_assertions, target_arch = "x86_64")) {
        let without = [("GRAVIOLA_CPU_DISABLE_avx2", "1")];
        check_refused(&tree(&one, ""), &without, "this processor cannot do TLS");
    }
}

#[test]
fn who_does_not_shake_hands_is_cut() {
    let authority = Authority::new("one");
    let tree = tree(&authority.server(), "[limits]\nread_timeout = \"300ms\"\n");
    let served = Served::start(&[], tree.path());
    for beginning in [&b""[..], &hello_of_tls_1_1()[..20]] {
        let mut slow = TcpStream::connect(&served.address).unwrap();
        slow.set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        slow.write_all(beginning).unwrap();
        let began = Instant::now();
        let mut rest = Vec::new();
        let _ = slow.read_to_end(&mut rest);
        assert!(began.elapsed() < Duration::from_secs(10));
    }
    // A hand that was shaken, and silence, or a head that does not end.
    for beginning in ["", "GET /healthz HTTP/1.1\r\nhost: loc"] {
        let mut silent = Caller::new(&authority, None).connect(&served.address);
        silent.write(beginning.as_bytes()).unwrap();
        let began = Instant::now();
        assert!(silent.read().is_err());
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}

fn deodar_in(directory: &Path, arguments: &[&str]) -> crate::support::Ran {
    run(deodar().current_dir(directory).args(arguments))
}

#[test]
fn health_and_reload_speak_tls() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    // A port of our own, so that the configuration says where the server is.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    drop(port);
    let settings = |auth: &str| {
        format!(
            "{auth}[server]\nlisten = \"{address}\"\n[client]\nca = \"servers.crt\"\ncertificate = \"client.crt\"\ncertificate_key = \"client.key\"\n{CALLER}"
        )
    };
    let required = "client_ca = \"ca.crt\"\nclient_auth = \"required\"\n";
    let tree = tree(&servers.server(), &settings(required));
    tree.write("ca.crt", &clients.pem);
    tree.write("servers.crt", &servers.pem);
    let client = clients.client();
    tree.write("client.crt", &client.certificate);
    tree.write("client.key", &client.key);
    let listen = address.to_string();
    let served = Served::start(&["--listen", &listen], tree.path());

    let ran = deodar_in(tree.path(), &["health"]);
    assert_eq!(
        (ran.code, ran.out.lines().next()),
        (0, Some("ok")),
        "{}",
        ran.err
    );
    let ran = deodar_in(tree.path(), &["reload"]);
    assert_eq!((ran.code, ran.out.trim()), (0, "unchanged"), "{}", ran.err);
    let url = format!("https://localhost:{}", address.port());
    let ran = deodar_in(tree.path(), &["health", &url]);
    ran.ends(0);
    let ran = deodar_in(tree.path(), &["health", "--ca", "ca.crt"]);
    assert_eq!(ran.code, 1, "another authority");
    ran.complains("no authority that is trusted here");
    let elsewhere = Tree::new(&[("servers.crt", &servers.pem)]);
    let ran = deodar_in(elsewhere.path(), &["health", &url, "--ca", "servers.crt"]);
    assert_eq!(ran.code, 1, "nothing to show: {}", ran.out);
    let ran = deodar_in(elsewhere.path(), &["health", &url]);
    assert_eq!(ran.code, 1, "the machine does not know the authority");
    drop(served);
}

/// A certificate that calls itself an authority, as `openssl req -x509` makes it by default.
fn self_signed(name: &str, year: i32) -> Pair {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
    let key = KeyPair::generate().unwrap();
    Pair {
        certificate: parameters.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

#[test]
fn a_certificate_that_calls_itself_an_authority_is_trusted_when_it_is_given() {
    let (good, other) = (
        self_signed("localhost", 2100),
        self_signed("localhost", 2100),
    );
    let tree = tree(&good, "");
    tree.write("other.crt", &other.certificate);
    let elsewhere = Tree::new(&[
        ("own.crt", &good.certificate),
        ("other.crt", &other.certificate),
    ]);
    let served = Served::start(&[], tree.path());
    let port = served.address.rsplit(':').next().unwrap().to_owned();
    let health = |url: &str, ca: &str| {
        deodar_in(
            elsewhere.path(),
            &["health", &format!("https://{url}:{port}"), "--ca", ca],
        )
    };
    let ran = health("localhost", "own.crt");
    ran.ends(0);
    // Another certificate of the same name and another name of the same certificate are refused.
    assert_eq!(health("localhost", "other.crt").code, 1);
    let ran = health("127.0.0.1", "own.crt");
    ran.ends(1).complains("ertificate");
    drop(served);

    // A certificate whose time is over is refused, too.
    let over = self_signed("localhost", 2020);
    write(&tree, &over);
    elsewhere.write("own.crt", &over.certificate);
    let served = Served::start(&[], tree.path());
    let port = served.address.rsplit(':').next().unwrap();
    let url = format!("https://localhost:{port}");
    let ran = deodar_in(elsewhere.path(), &["health", &url, "--ca", "own.crt"]);
    ran.ends(1).complains("xpired");
}
