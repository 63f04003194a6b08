//! One connection: a handshake where there is TLS, then HTTP/1.1 or HTTP/2, at the client's pace and
//! not below it.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

use super::listen::{Served, Stream};
use crate::service::http::app::App;
use crate::service::http::net::bodies::Arriving;
use crate::service::http::net::connections::Origin;
use crate::service::http::net::pace::{
    Activity, IdleTracker, Look, Paced, Patience, TrackedStream,
};
use crate::service::http::net::peer::{ClientCertificate, Peer};
use crate::service::http::net::permits::Permit;
use crate::service::http::observe::metrics::Shed;
use crate::service::http::problem::Problem;
use crate::service::http::routes;

/// Most bytes that are read ahead from a connection: of HTTP/1.1 the longest head of a request, of HTTP/2
/// what may arrive of all bodies together before somebody reads them.
pub(crate) const READ_AHEAD: u32 = 64 << 10;
/// Longest head of a request over HTTP/2, in bytes; a connection may have many of them.
pub(crate) const LONGEST_HEAD: u32 = 32 << 10;
/// Most headers of a request.
const MOST_HEADERS: usize = 100;
/// Most requests under way on one connection.
const MOST_STREAMS: u32 = 128;
/// Time between two pings that find out whether the client is still there.
const PING: Duration = Duration::from_secs(20);
/// Requests that a client may take back before they are looked at, and streams that may be reset for
/// its errors, before it loses the connection (CVE-2023-44487); the defaults of `h2` and `hyper`.
const MOST_RESETS: usize = 20;
const MOST_ERRORS: usize = 1024;
/// Bytes of an answer that are held for a client that does not take them yet, for each request.
pub(crate) const SEND_BUFFER: usize = 64 << 10;
/// How long a connection that gives way may take to say so to its client.
const LEAVE: Duration = Duration::from_millis(200);

/// How a client that knows that we speak HTTP/2 begins (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How much is read to tell; a whole request mostly.
const FIRST_READ: usize = 1024;

/// Serves a connection until it ends, is cut, or `stop` is true and its requests are done.
pub(crate) async fn serve(
    stream: Stream,
    pace: Arc<IdleTracker>,
    served: Arc<Served>,
    app: Arc<App>,
    stop: watch::Receiver<bool>,
) {
    match (stream, &served.tls) {
        (Stream::Tcp(stream, address), None) => {
            let peer = Peer {
                address: Some(address),
                ..Peer::default()
            };
            http(stream, None, peer, pace, served, app, stop).await;
        }
        (Stream::Tcp(stream, address), Some(side)) => {
            let patience = *app.limits.load().read_timeout;
            let shaking = shake_hands(stream, side.acceptor());
            let Some(shaken) = in_time(shaking, patience, &pace, stop.clone()).await else {
                return;
            };
            let stream = match shaken {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::debug!(%address, %error, "no TLS connection came about");
                    return;
                }
            };
            let session = stream.get_ref().1;
            let certificates = session.peer_certificates().unwrap_or_default();
            let peer = Peer {
                address: Some(address),
                certificate: certificates
                    .first()
                    .map(|der| Arc::new(ClientCertificate::read(der))),
                unix: None,
                secure: true,
            };
            let shared = session.alpn_protocol() == Some(b"h2");
            http(stream, Some(shared), peer, pace, served, app, stop).await;
        }
        (Stream::Unix(stream, process), _) => {
            let peer = Peer {
                unix: Some(process),
                secure: true,
                ..Peer::default()
            };
            http(stream, None, peer, pace, served, app, stop).await;
        }
    }
}

/// What a client hears that speaks HTTP to where TLS is spoken.
const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: 28\r\n\r\nTLS is spoken here: https://";

async fn shake_hands(
    stream: TcpStream,
    acceptor: TlsAcceptor,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    // A handshake begins with a byte that is not a letter.
    if first.iter().all(u8::is_ascii_alphabetic) {
        // As much of it as the system takes at once; nobody waits for such a client.
        let _ = stream.try_write(NOT_TLS);
        return Err(std::io::Error::other("the client speaks without TLS"));
    }
    acceptor.accept(stream).await
}

/// What `work` comes to, if that is before `patience` ends, before the connection must give way to another
/// and before `stop` is true.
async fn in_time<T>(
    work: impl Future<Output = T>,
    patience: Duration,
    pace: &IdleTracker,
    mut stop: watch::Receiver<bool>,
) -> Option<T> {
    tokio::select! {
        done = tokio::time::timeout(patience, work) => done.ok(),
        () = pace.told_to_leave() => None,
        _ = stop.wait_for(|stop| *stop) => None,
    }
}

/// Serves HTTP; `shared` says whether it is HTTP/2, where that is known.
async fn http<S>(
    mut stream: S,
    shared: Option<bool>,
    peer: Peer,
    pace: Arc<IdleTracker>,
    served: Arc<Served>,
    app: Arc<App>,
    stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let patience = *app.limits.load().read_timeout;
    let sniffing = sniff(&mut stream);
    let sniffed = in_time(sniffing, patience, &pace, stop.clone()).await;
    let Some(Ok((before, preface))) = sniffed else {
        return;
    };
    if shared.unwrap_or(preface) {
        pace.share();
    }
    let line = TokioIo::new(TrackedStream::new(stream, before, Arc::clone(&pace)));
    let conn = Arc::new(Conn {
        origin: Origin::new(peer.address.map(|address| address.ip())),
        peer: Arc::new(peer),
        served,
        app: Arc::clone(&app),
        pace: Arc::clone(&pace),
    });
    let each = Arc::clone(&conn);
    let service = service_fn(move |request| Arc::clone(&each).respond(request));
    let late = if pace.is_shared() {
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(MOST_STREAMS)
            .max_header_list_size(LONGEST_HEAD)
            .initial_connection_window_size(READ_AHEAD)
            .initial_stream_window_size(READ_AHEAD)
            .max_send_buf_size(SEND_BUFFER)
            .max_pending_accept_reset_streams(MOST_RESETS)
            .max_local_error_reset_streams(MOST_ERRORS)
            .keep_alive_interval(PING)
            .keep_alive_timeout(patience.max(Duration::from_millis(1)))
            .serve_connection(line, service);
        drive(connection, &pace, &app, stop).await
    } else {
        let connection = hyper::server::conn::http1::Builder::new()
            // The pace sees to it, for the price of no timer.
            .header_read_timeout(None)
            .max_buf_size(READ_AHEAD as usize)
            .max_headers(MOST_HEADERS)
            .serve_connection(line, service);
        drive(connection, &pace, &app, stop).await
    };
    if let Some(late) = late {
        tracing::debug!(peer = ?conn.peer.address, late, "cut a slow client");
    }
}

/// Reads the beginning, and tells whether it is that of HTTP/2.
async fn sniff(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<(Bytes, bool)> {
    let mut first = [0; FIRST_READ];
    let mut buffer = ReadBuf::new(&mut first);
    loop {
        let before = buffer.filled().len();
        std::future::poll_fn(|context| Pin::new(&mut *stream).poll_read(context, &mut buffer))
            .await?;
        let read = buffer.filled();
        if read.len() == before {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let preface = read.starts_with(PREFACE);
        if preface || !PREFACE.starts_with(read) {
            return Ok((Bytes::copy_from_slice(read), preface));
        }
    }
}

/// Drives a connection to its end. What the client was too slow at, if it was cut for that.
async fn drive<C: GracefulConnection>(
    connection: C,
    pace: &IdleTracker,
    app: &App,
    mut stop: watch::Receiver<bool>,
) -> Option<&'static str> {
    let mut connection = pin!(connection);
    let mut stopped = pin!(stop.wait_for(|stop| *stop));
    let mut alarm = pin!(tokio::time::sleep(patience(app).shortest()));
    let mut ending = false;
    let mut leaving = false;
    loop {
        tokio::select! {
            biased;
            // The client went away or spoke something else; nothing to do about it.
            _ = connection.as_mut() => return None,
            _ = stopped.as_mut(), if !ending => {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
            () = pace.told_to_leave(), if !leaving => {
                if pace.is_cut() || matches!(pace.standing(), Activity::Stalled(_)) {
                    return Some("making progress while others wait");
                }
                leaving = true;
                ending = true;
                connection.as_mut().graceful_shutdown();
                alarm.as_mut().reset(tokio::time::Instant::now() + LEAVE);
            }
            () = alarm.as_mut() => {
                // A request that came just then is finished.
                if leaving && pace.standing() != Activity::Busy {
                    return None;
                }
                let patience = patience(app);
                let after = match pace.look(patience) {
                    Look::Slow(what) => return Some(what),
                    // It was told, and has had its time to take leave.
                    _ if ending && !pace.is_busy() => return None,
                    Look::Idle => {
                        ending = true;
                        connection.as_mut().graceful_shutdown();
                        patience.slow
                    }
                    Look::Again(after) => after,
                };
                alarm.as_mut().reset(tokio::time::Instant::now() + after);
            }
        }
    }
}

fn patience(app: &App) -> Patience {
    let limits = app.limits.load();
    Patience {
        slow: *limits.read_timeout,
        idle: *limits.idle_timeout,
    }
}

/// What the requests of a connection share.
struct Conn {
    peer: Arc<Peer>,
    origin: Origin,
    served: Arc<Served>,
    app: Arc<App>,
    pace: Arc<IdleTracker>,
}

impl Conn {
    async fn respond(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Paced>, Infallible> {
        let mut under_way = self.pace.begin();
        if self.pace.is_shared() {
            // A connection of its own bounds what a client has under way; here many share one.
            under_way.place = self.place().await;
            if under_way.place.is_none() {
                self.app.metrics.shed(Shed::Overloaded);
                return Ok(overloaded().map(|body| under_way.answer(body)));
            }
        }
        let is_long = is_long(request.headers());
        let room =
            (!request.is_end_stream()).then(|| self.app.bodies.room(self.origin, &self.pace));
        under_way.room.clone_from(&room);
        let mut response = if self.served.decides && routes::decides(&self.app, &request) {
            match &room {
                Some(room) => {
                    let request = request.map(|body| Arriving::new(body, Arc::clone(room)));
                    routes::decide(&self.app, &self.peer, request).await
                }
                None => routes::decide(&self.app, &self.peer, request.map(|_| Body::empty())).await,
            }
        } else {
            let mut request = request.map(|body| match &room {
                Some(room) => Body::new(Arriving::new(body, Arc::clone(room))),
                None => Body::empty(),
            });
            request.extensions_mut().insert(Arc::clone(&self.peer));
            match self.served.router.clone().oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        };
        if let Some(room) = room {
            let headers = response.headers_mut();
            if self.pace.is_shared() && room.is_gone() {
                // The place is needed now: a client that takes no data must not keep it.
                headers.remove(header::CONTENT_LENGTH);
                *response.body_mut() = Body::empty();
            } else if !self.pace.is_shared() && is_long && !room.is_whole() {
                // The rest of the body is not read, so that this is the connection's last answer.
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
        }
        Ok(response.map(|body| under_way.answer(body)))
    }

    /// A place among the requests of shared connections, if need be that of one that waits for its client.
    async fn place(&self) -> Option<Permit> {
        let streams = &self.served.streams;
        if let Some(place) = streams.try_take() {
            return Some(place);
        }
        if !self.app.bodies.end_a_stream() {
            self.served.connections.end_a_holder();
        }
        streams.take(*self.app.limits.load().queue_timeout).await
    }
}

/// A body up to this many bytes is read past where it is not needed.
const PASSED_OVER: u64 = 16 << 10;

/// Whether a body may be longer than what is read past.
fn is_long(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    length.is_none_or(|length: u64| length > PASSED_OVER)
}

fn overloaded() -> Response<Body> {
    let detail = "too many requests share connections";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail)
        .retry_after(1)
        .respond(None)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use axum::Extension;
    use axum::routing::get;
    use rcgen::{
        BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
        SanType,
    };
    use rustls::RootCertStore;
    use rustls_pki_types::{PrivateKeyDer, ServerName};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, UnixListener, UnixStream};

    use super::*;
    use crate::base::timestamp::Timestamp;
    use crate::service::config::{ClientAuth, Config, TlsConfig, TlsVersion};
    use crate::service::http::net::connections::Connections;
    use crate::service::http::net::permits::Permits;
    use crate::service::http::net::tls::{Side, Tls};
    use crate::service::http::serve::listen;
    use crate::service::http::serve::listen::Listener;

    async fn who(Extension(peer): Extension<Arc<Peer>>) -> String {
        let certificate = peer.certificate.as_ref();
        format!(
            "address {} uid {:?} secure {} names {:?}",
            peer.address.is_some(),
            peer.unix.map(|process| process.uid),
            peer.secure,
            certificate.map(|certificate| certificate.sans.clone()),
        )
    }

    /// Serves [`who`] until the sender is dropped or says so.
    fn listen_on(listener: Listener, tls: Option<Side>) -> watch::Sender<bool> {
        let config = Config::from_parts(None, std::iter::empty(), &[]).unwrap();
        let app = Arc::new(
            crate::service::http::serve::start::app(&config, None, Box::new(Timestamp::now))
                .unwrap(),
        );
        let (stop, stopped) = watch::channel(false);
        let served = Served {
            router: axum::Router::new().route("/", get(who)),
            decides: false,
            tls,
            connections: Connections::new(10, 100),
            streams: Permits::new(10),
        };
        tokio::spawn(listen::serve(listener, served, app, stopped));
        stop
    }

    async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    #[tokio::test]
    async fn handlers_are_told_who_is_at_the_other_end() {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let _stop = listen_on(Listener::Tcp(tcp), None);
        let answer = ask(TcpStream::connect(address).await.unwrap()).await;
        assert_eq!(answer, "address true uid None secure false names None");

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let unix = UnixListener::bind(&path).unwrap();
        let _stop = listen_on(Listener::Unix(unix), None);
        let answer = ask(UnixStream::connect(&path).await.unwrap()).await;
        let uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&path).unwrap());
        assert_eq!(
            answer,
            format!("address false uid Some({uid}) secure true names None")
        );
    }

    struct Authority(
        Issuer<'static, KeyPair>,
        rustls_pki_types::CertificateDer<'static>,
        String,
    );

    fn authority() -> Authority {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let (der, pem) = (certificate.der().clone(), certificate.pem());
        Authority(Issuer::new(parameters, key), der, pem)
    }

    fn server(directory: &Path, authority: &Authority, auth: ClientAuth) -> Arc<Tls> {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &authority.0).unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let config = TlsConfig {
            certificate: Some(file("c", &certificate.pem())),
            key: Some(file("k", &key.serialize_pem())),
            client_ca: Some(file("ca", &authority.2)),
            client_auth: auth,
            min_version: TlsVersion::V12,
            ops: true,
        };
        Tls::load(&config, Timestamp::now()).unwrap()
    }

    #[tokio::test]
    async fn a_certificate_that_was_shown_names_the_client() {
        let authority = authority();
        let directory = tempfile::tempdir().unwrap();
        let tls = server(directory.path(), &authority, ClientAuth::Optional);
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.subject_alt_names = vec![
            SanType::URI("spiffe://example.org/gateway".try_into().unwrap()),
            SanType::DnsName("gateway.example.org".try_into().unwrap()),
        ];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = parameters.signed_by(&key, &authority.0).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(authority.1.clone()).unwrap();
        let builder = || {
            rustls::ClientConfig::builder_with_provider(
                crate::service::http::net::tls::crypto().unwrap(),
            )
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone())
        };
        let shows = || {
            let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
            let chain = vec![certificate.der().clone()];
            builder().with_client_auth_cert(chain, key).unwrap()
        };
        let named = r#"Some(["spiffe://example.org/gateway", "gateway.example.org"])"#;
        for (side, config, names) in [
            (tls.main(), shows(), named),
            (tls.main(), builder().with_no_client_auth(), "None"),
            // Probes are not asked, and what they would show is not looked at.
            (tls.ops().unwrap(), shows(), "None"),
        ] {
            let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = tcp.local_addr().unwrap();
            let _stop = listen_on(Listener::Tcp(tcp), Some(side));
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
            let stream = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let answer = ask(connector.connect(name, stream).await.unwrap()).await;
            let expect = format!("address true uid None secure true names {names}");
            assert_eq!(answer, expect);
        }
    }
}
