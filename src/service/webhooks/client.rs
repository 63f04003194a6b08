//! Calls to receivers: the name is resolved once, every address is looked at, and the connection goes to
//! one of those.
//!
//! No redirect is followed, no proxy is used, no connection is kept. Of a reply only the status and the
//! headers count; a little of its body is read, so that the receiver does not see a broken connection.

use std::fmt;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::service::net::address::{check_url, may_connect};
use crate::service::net::fetch::{
    Call, Fetch, FetchError, Reply, agent, failed, settings, tls, trusting,
};

/// Bytes that are read of a reply's body, and taken of its headers.
const READ: u64 = 16 << 10;

/// Resolves names in place of the system.
pub(crate) type Names = Arc<dyn Fn(&str) -> Vec<SocketAddr> + Send + Sync>;

/// Makes calls to receivers, under one rule for their addresses.
#[derive(Debug, Clone)]
pub(crate) struct WebhookClient {
    agent: ureq::Agent,
    allow_private: bool,
}

impl WebhookClient {
    /// Trusts the system's certificate authorities and those of a PEM file.
    pub(crate) fn new(
        authorities: Option<&Path>,
        allow_private: bool,
        names: Option<Names>,
    ) -> Result<Self, String> {
        let settings = settings()
            .proxy(None)
            .max_idle_connections(0)
            .max_idle_connections_per_host(0)
            .max_response_header_size(READ as usize)
            .build();
        let resolver = Checked {
            names,
            system: DefaultResolver::default(),
            allow_private,
        };
        let tls = tls::config(trusting(authorities)?)?;
        Ok(Self {
            agent: agent(settings, tls, resolver),
            allow_private,
        })
    }
}

impl Fetch for WebhookClient {
    fn send(&self, call: &Call) -> Result<Reply, FetchError> {
        check_url(&call.url, self.allow_private).map_err(FetchError::Failed)?;
        let request = call
            .request()
            .body(call.body.as_slice())
            .map_err(|error| FetchError::Failed(error.to_string()))?;
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(Some(call.timeout))
            .build();
        let mut response = self.agent.run(request).map_err(|error| match error {
            ureq::Error::Other(error) => FetchError::Failed(error.to_string()),
            error => failed(error),
        })?;
        let mut body = Vec::new();
        let mut reader = response.body_mut().as_reader().take(READ);
        // The status has been given; whatever becomes of the rest changes nothing.
        let _ = reader.read_to_end(&mut body);
        Ok(Reply::of(&response, body))
    }
}

/// Hands the connector nothing but addresses that were looked at.
struct Checked {
    names: Option<Names>,
    system: DefaultResolver,
    allow_private: bool,
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked")
            .field("allow_private", &self.allow_private)
            .finish_non_exhaustive()
    }
}

/// A name that leads where no webhook goes. The address itself stands in the log only: whoever may
/// register receivers does not learn what our resolver knows.
#[derive(Debug, thiserror::Error)]
#[error("the host has an address that is {0}; it is not called")]
struct Refused(String);

impl Resolver for Checked {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = match &self.names {
            Some(names) => {
                let mut found = self.empty();
                for address in names(uri.host().unwrap_or_default()).into_iter().take(16) {
                    found.push(address);
                }
                found
            }
            None => self.system.resolve(uri, config, timeout)?,
        };
        let plain = uri.scheme_str() != Some("https");
        for address in found.iter() {
            let ip: IpAddr = address.ip();
            if let Err(what) = may_connect(ip, self.allow_private, plain) {
                let host = uri.host().unwrap_or_default();
                tracing::warn!(host, %ip, what, "a webhook leads where none goes");
                return Err(ureq::Error::Other(Box::new(Refused(what))));
            }
        }
        if found.is_empty() {
            return Err(ureq::Error::HostNotFound);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    /// Answers connections with these bytes; counts them.
    fn server(answer: &'static str) -> (u16, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut reader = BufReader::new(stream.unwrap());
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                    line.clear();
                }
                let _ = reader.get_mut().write_all(answer.as_bytes());
            }
        });
        (port, seen)
    }

    fn call(url: String) -> Call {
        Call::post(url, "application/json", Vec::new()).timeout(Duration::from_secs(5))
    }

    #[test]
    fn a_name_that_leads_to_this_machine_is_not_called() {
        let (port, seen) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        let local = SocketAddr::from(([127, 0, 0, 1], port));
        for addresses in [
            vec![local],
            vec![SocketAddr::from(([8, 8, 8, 8], port)), local],
            vec![SocketAddr::new("::ffff:127.0.0.1".parse().unwrap(), port)],
            vec![SocketAddr::from(([169, 254, 169, 254], port))],
        ] {
            let names: Names = Arc::new(move |_| addresses.clone());
            let receivers = WebhookClient::new(None, false, Some(names)).unwrap();
            let url = format!("https://hooks.example.org:{port}/");
            let error = receivers.send(&call(url)).unwrap_err().to_string();
            assert!(error.contains("it is not called"), "{error}");
            assert!(!error.contains("127.0.0.1"), "{error}");
        }
        assert_eq!(seen.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_name_is_resolved_once_for_a_call_and_again_for_the_next() {
        // The name leads elsewhere from the second look on: within a call there is only one.
        let (port, seen) = server("HTTP/1.1 204 No Content\r\n\r\n");
        let looks = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&looks);
        let names: Names = Arc::new(move |host| {
            assert_eq!(host, "localhost");
            let ip = match counted.fetch_add(1, Ordering::SeqCst) {
                0 => [127, 0, 0, 1],
                _ => [169, 254, 169, 254],
            };
            vec![SocketAddr::from((ip, port))]
        });
        let receivers = WebhookClient::new(None, true, Some(names)).unwrap();
        let url = format!("http://localhost:{port}/");
        assert_eq!(receivers.send(&call(url.clone())).unwrap().status, 204);
        assert_eq!(looks.load(Ordering::SeqCst), 1);
        // No connection was kept, so the next call looks again and sees the new address.
        let error = receivers.send(&call(url)).unwrap_err().to_string();
        assert!(error.contains("not called"), "{error}");
        assert_eq!(looks.load(Ordering::SeqCst), 2);
        assert_eq!(seen.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_redirect_is_an_answer_like_others() {
        let (target, reached) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        let answer = format!(
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:{target}/\r\ncontent-length: 0\r\n\r\n"
        );
        let (port, _) = server(answer.leak());
        let receivers = WebhookClient::new(None, true, None).unwrap();
        let reply = receivers
            .send(&call(format!("http://127.0.0.1:{port}/")))
            .unwrap();
        assert_eq!(reply.status, 307);
        assert_eq!(reached.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn of_a_long_answer_little_is_read() {
        let body = "x".repeat(1 << 20);
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let (port, _) = server(answer.leak());
        let receivers = WebhookClient::new(None, true, None).unwrap();
        let reply = receivers
            .send(&call(format!("http://127.0.0.1:{port}/")))
            .unwrap();
        assert_eq!((reply.status, reply.body.len() as u64), (200, READ));
    }

    #[test]
    fn the_address_is_looked_at_before_the_name() {
        let receivers = WebhookClient::new(None, false, None).unwrap();
        for url in [
            "http://127.0.0.1:9/",
            "https://[::1]:9/",
            "https://u:p@example.org/",
        ] {
            let error = receivers.send(&call(url.to_owned())).unwrap_err();
            assert!(matches!(error, FetchError::Failed(_)), "{url}: {error}");
        }
    }
}
