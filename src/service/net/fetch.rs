//! Calls to other services over HTTP: keys of token issuers, introspection, sinks of records.
//!
//! What enters: a [`Call`]. What leaves: a [`Reply`] whatever its status, or why there is none. Calls
//! block: they are made on threads that may wait. `https` only, or `http` to this machine; no redirect
//! is followed, and a body longer than [`LONGEST_BODY`] is an error.

pub(crate) mod tls;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use ureq::config::ConfigBuilder;
use ureq::http::{Method, Request, Response};
use ureq::typestate::AgentScope;
use ureq::unversioned::resolver::DefaultResolver;

pub(crate) use tls::{LONGEST_FILE, Trust, agent, certificates, system_roots};

use crate::service::net::address::may_call;
use crate::service::net::url::Url;

/// Longest body of a reply, in bytes.
pub(crate) const LONGEST_BODY: usize = 1 << 20;
/// Time for a whole call, from looking up the name to the end of the body.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

/// What makes calls: [`Client`], or a closure in tests.
pub(crate) trait Fetch: Send + Sync {
    /// Makes the call and waits for its end.
    fn send(&self, call: &Call) -> Result<Reply, FetchError>;
}

impl<F: Fn(&Call) -> Result<Reply, FetchError> + Send + Sync> Fetch for F {
    fn send(&self, call: &Call) -> Result<Reply, FetchError> {
        self(call)
    }
}

/// One call. Its `Debug` form shows neither headers nor body: they may hold secrets.
#[derive(Clone)]
pub(crate) struct Call {
    /// `GET` or `POST`.
    pub(crate) method: Method,
    /// The whole address.
    pub(crate) url: String,
    /// Headers, as they are sent.
    pub(crate) headers: Vec<(String, String)>,
    /// The body; empty for none.
    pub(crate) body: Vec<u8>,
    /// Time for the whole call.
    pub(crate) timeout: Duration,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({} {})", self.method, self.url)
    }
}

impl Call {
    /// A `GET` of this address.
    pub(crate) fn get(url: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: TIMEOUT,
        }
    }

    /// A `POST` of a body of this media type.
    pub(crate) fn post(url: impl Into<String>, media_type: &str, body: Vec<u8>) -> Self {
        Self {
            method: Method::POST,
            body,
            ..Self::get(url)
        }
        .header("content-type", media_type)
    }

    /// A `POST` of form members (`application/x-www-form-urlencoded`).
    pub(crate) fn form(url: impl Into<String>, members: &[(&str, &str)]) -> Self {
        let body = members
            .iter()
            .map(|(name, value)| format!("{}={}", form_encoded(name), form_encoded(value)))
            .collect::<Vec<_>>()
            .join("&");
        Self::post(url, "application/x-www-form-urlencoded", body.into_bytes())
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes another time for the whole call.
    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The call as a request, to which its body has still to be given.
    pub(crate) fn request(&self) -> ureq::http::request::Builder {
        let request = Request::builder().method(&self.method).uri(&self.url);
        let headers = self.headers.iter();
        headers.fold(request, |request, (name, value)| {
            request.header(name, value)
        })
    }
}

/// Text as it stands in a form body: RFC 3986's unreserved characters, the rest percent-encoded.
pub(crate) fn form_encoded(text: &str) -> String {
    use std::fmt::Write;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The answer to a call, whatever its status.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    /// The status.
    pub(crate) status: u16,
    /// Names in lower case, and values; those that are no text are left out.
    pub(crate) headers: Vec<(String, String)>,
    /// The whole body.
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The status and headers of a response, with this body.
    pub(crate) fn of(response: &Response<ureq::Body>, body: Vec<u8>) -> Self {
        let headers = response.headers().iter();
        let headers = headers.filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        });
        Self {
            status: response.status().as_u16(),
            headers: headers.collect(),
            body,
        }
    }

    /// The first header of this name, which is in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body of a 200; anything else is an error.
    pub(crate) fn ok(self) -> Result<Vec<u8>, FetchError> {
        match self.status {
            200 => Ok(self.body),
            status => Err(FetchError::Status(status)),
        }
    }
}

/// Why a call brought nothing. Without what was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
    /// The address may not be called; which, and why.
    #[error("{0}")]
    Address(String),
    /// The body is too long.
    #[error("the answer is longer than {LONGEST_BODY} bytes")]
    TooLong,
    /// The call took too long.
    #[error("no answer in time")]
    TimedOut,
    /// A status that is not a success.
    #[error("answered with status {0}")]
    Status(u16),
    /// Anything else between here and there.
    #[error("{0}")]
    Failed(String),
}

/// Trust in the system's certificate authorities and in the certificates of a PEM file, which may be of
/// authorities or of servers.
pub(crate) fn trusting(authorities: Option<&Path>) -> Result<Trust, String> {
    let mut trust = Trust {
        certificates: system_roots(),
        ..Trust::default()
    };
    if let Some(path) = authorities {
        let named = |reason: String| format!("`{}`: {reason}", path.display());
        let pem = crate::base::files::read(path, LONGEST_FILE);
        let pem = pem.map_err(|error| named(error.to_string()))?;
        trust
            .certificates
            .extend(certificates(&pem).map_err(named)?);
    }
    Ok(trust)
}

/// Settings of a client of other services: any status is an answer, and no redirect is followed.
pub(crate) fn settings() -> ConfigBuilder<AgentScope> {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("deodar/", env!("CARGO_PKG_VERSION")))
}

/// Makes calls over the network. Cheap to clone; connections are kept and shared.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    agent: ureq::Agent,
}

impl Client {
    /// A client that trusts the system's certificate authorities and those of a PEM file.
    ///
    /// The proxy that the environment names (`HTTPS_PROXY`, `NO_PROXY`) is used for `https`.
    ///
    /// # Errors
    /// When the file cannot be read or holds no certificate. A system without authorities is not an error:
    /// calls over `https` then fail.
    pub(crate) fn new(authorities: Option<&Path>) -> Result<Self, String> {
        let settings = settings().max_response_header_size(16 << 10).build();
        let tls = tls::config(trusting(authorities)?)?;
        Ok(Self {
            agent: agent(settings, tls, DefaultResolver::default()),
        })
    }
}

impl Fetch for Client {
    fn send(&self, call: &Call) -> Result<Reply, FetchError> {
        let Url { secure, .. } = may_call(&call.url).map_err(FetchError::Address)?;
        let (request, plain) = (call.request(), !secure);
        if call.method == Method::GET {
            self.run(request.body(()), call.timeout, plain)
        } else {
            self.run(request.body(call.body.as_slice()), call.timeout, plain)
        }
    }
}

impl Client {
    fn run(
        &self,
        request: Result<Request<impl ureq::AsSendBody>, ureq::http::Error>,
        timeout: Duration,
        plain: bool,
    ) -> Result<Reply, FetchError> {
        let request = request.map_err(|e| FetchError::Failed(e.to_string()))?;
        let configured = self
            .agent
            .configure_request(request)
            .timeout_global(Some(timeout));
        // What is on this machine is not behind a proxy.
        let configured = if plain {
            configured.proxy(None)
        } else {
            configured
        };
        let mut response = self.agent.run(configured.build()).map_err(failed)?;
        // The reader fails at its limit; one byte more tells a body of just that length from a longer one.
        let body = response
            .body_mut()
            .with_config()
            .limit(LONGEST_BODY as u64 + 1)
            .read_to_vec()
            .map_err(failed)?;
        if body.len() > LONGEST_BODY {
            return Err(FetchError::TooLong);
        }
        Ok(Reply::of(&response, body))
    }
}

/// What an error of the client means.
pub(crate) fn failed(error: ureq::Error) -> FetchError {
    match error {
        ureq::Error::Timeout(_) => FetchError::TimedOut,
        ureq::Error::BodyExceedsLimit(_) => FetchError::TooLong,
        other => FetchError::Failed(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::sync::Arc;

    use super::*;

    /// Answers one connection with these bytes; hands back the request.
    fn once(answer: Vec<u8>) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/x", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let (mut request, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let lower = line.to_ascii_lowercase();
                if let Some(value) = lower.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                request.push_str(&line);
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            request.push_str(std::str::from_utf8(&body).unwrap());
            // A client that has seen enough may hang up first.
            let _ = reader.get_mut().write_all(&answer);
            request
        });
        (url, thread)
    }

    fn http(status: &str, extra: &str, body: &[u8]) -> Vec<u8> {
        let mut answer = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{extra}\r\n",
            body.len()
        )
        .into_bytes();
        answer.extend_from_slice(body);
        answer
    }

    #[test]
    fn a_form_goes_out_and_any_status_comes_back() {
        let (url, thread) = once(http("418 Teapot", "X-Thing: a\r\n", b"short and stout"));
        let client = Client::new(None).unwrap();
        let call = Call::form(url, &[("token", "a+b/c="), ("hint", "x y")]).header("x-a", "b");
        let reply = client.send(&call).unwrap();
        assert_eq!((reply.status, reply.header("x-thing")), (418, Some("a")));
        assert_eq!(reply.body, b"short and stout");
        assert_eq!(reply.ok(), Err(FetchError::Status(418)));
        let request = thread.join().unwrap();
        assert!(request.starts_with("POST /x HTTP/1.1\r\n"), "{request}");
        assert!(
            request.ends_with("token=a%2Bb%2Fc%3D&hint=x%20y"),
            "{request}"
        );
    }

    #[test]
    fn a_redirect_is_not_followed() {
        let (url, thread) = once(http(
            "302 Found",
            "location: http://127.0.0.1:1/elsewhere\r\n",
            b"",
        ));
        let reply = Client::new(None).unwrap().send(&Call::get(url)).unwrap();
        assert_eq!(reply.status, 302);
        thread.join().unwrap();
    }

    #[test]
    fn a_long_body_is_an_error_and_one_at_the_limit_is_not() {
        let client = Client::new(None).unwrap();
        let (url, thread) = once(http("200 OK", "", &vec![b'x'; LONGEST_BODY]));
        let body = client.send(&Call::get(url)).unwrap().body;
        assert_eq!(body.len(), LONGEST_BODY);
        thread.join().unwrap();
        let (url, thread) = once(http("200 OK", "", &vec![b'x'; LONGEST_BODY + 1]));
        let error = client.send(&Call::get(url)).unwrap_err();
        assert_eq!(error, FetchError::TooLong);
        thread.join().unwrap();
    }

    #[test]
    fn a_slow_answer_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let call = Call::get(url).timeout(Duration::from_millis(50));
        let error = Client::new(None).unwrap().send(&call).unwrap_err();
        assert_eq!(error, FetchError::TimedOut);
    }

    #[test]
    fn an_authority_file_must_hold_certificates() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        assert!(Client::new(Some(&path)).is_err());
        std::fs::write(&path, "nothing\n").unwrap();
        let error = Client::new(Some(&path)).unwrap_err();
        assert!(error.contains("no certificate"), "{error}");
    }

    /// An authority, and a certificate of it for this name with its key.
    fn certified(name: &str) -> (String, rustls::ServerConfig) {
        let authority = {
            let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            let key = rcgen::KeyPair::generate().unwrap();
            rcgen::CertifiedIssuer::self_signed(params, key).unwrap()
        };
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        let key = rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
        let provider = Arc::new(rustls_graviola::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .unwrap();
        (authority.pem(), config)
    }

    /// Answers one connection over TLS, as far as it comes.
    fn once_over_tls(config: rustls::ServerConfig) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let session = rustls::ServerConnection::new(Arc::new(config)).unwrap();
            let mut stream = rustls::StreamOwned::new(session, stream);
            let mut request = [0; 4_096];
            if stream.read(&mut request).is_ok() {
                let _ = stream.write_all(&http("200 OK", "", b"over TLS"));
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        });
        format!("https://localhost:{port}/")
    }

    #[test]
    fn tls_is_spoken_with_whom_an_authority_vouches_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let (authority, config) = certified("localhost");
        std::fs::write(&path, authority).unwrap();
        let trusting = Client::new(Some(&path)).unwrap();
        let reply = trusting.send(&Call::get(once_over_tls(config.clone())));
        assert_eq!(reply.unwrap().body, b"over TLS");
        // The same without the authority, and with a certificate for another name.
        let stranger = Client::new(None).unwrap();
        let error = stranger.send(&Call::get(once_over_tls(config)));
        assert!(error.unwrap_err().to_string().contains("certificate"));
        let (authority, config) = certified("id.example.com");
        std::fs::write(&path, authority).unwrap();
        let trusting = Client::new(Some(&path)).unwrap();
        let error = trusting.send(&Call::get(once_over_tls(config)));
        assert!(error.unwrap_err().to_string().contains("certificate"));
    }

    #[test]
    fn debug_shows_no_secret() {
        let call = Call::form("https://a/", &[("token", "hush")]).header("authorization", "hush");
        assert_eq!(format!("{call:?}"), "Call(POST https://a/)");
    }
}
