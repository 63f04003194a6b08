//! Host names under which the main listener answers.

use axum::extract::Request as HttpRequest;
use axum::http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use axum::response::Response;

use crate::service::http::headers::request_id;
use crate::service::http::net::peer::Peer;
use crate::service::http::problem::Problem;

/// Whether a request is a probe: those come by the address of a container, or over HTTP/1.0 without a name,
/// and what they learn is not a secret.
pub(crate) fn is_probe(http: &HttpRequest) -> bool {
    matches!(*http.method(), Method::GET | Method::HEAD)
        && ["/healthz", "/readyz"].contains(&http.uri().path())
}

/// Refuses host names that are not configured: a web page whose name was pointed at this machine
/// (DNS rebinding) cannot ask here.
pub(crate) fn unknown<B>(
    names: &[String],
    peer: Option<&Peer>,
    http: &Request<B>,
) -> Option<Response> {
    if is_known(names, peer, http.uri(), http.headers()) {
        return None;
    }
    let id = request_id(http.headers());
    let detail = "the Host header is not a configured name; add it to `server.hosts`";
    let problem = Problem::new(StatusCode::MISDIRECTED_REQUEST, "unknown_host", detail);
    Some(problem.respond(id.as_deref()))
}

/// Whether a request came under a configured name.
pub(crate) fn is_known(
    names: &[String],
    peer: Option<&Peer>,
    uri: &Uri,
    headers: &HeaderMap,
) -> bool {
    let host = match uri.host() {
        // The absolute form of a request target goes before the header (RFC 9112 section 3.2.2).
        Some(host) => host,
        None => {
            let mut hosts = headers.get_all(header::HOST).iter();
            let host = match (hosts.next(), hosts.next()) {
                (Some(one), None) => one.to_str().unwrap_or_default(),
                // None, or several to choose from (RFC 9112 section 3.2).
                _ => "",
            };
            without_port(host)
        }
    };
    if names.iter().any(|known| known.eq_ignore_ascii_case(host)) {
        return true;
    }
    // No web page reaches a socket in the file system, and clients have no name to give there.
    peer.is_some_and(|peer| peer.unix.is_some())
        && (host.is_empty() || host.eq_ignore_ascii_case("localhost"))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // The colons within `[::1]` divide no port.
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty() => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_cut_from_host_names() {
        for (host, name) in [
            ("localhost:8180", "localhost"),
            ("localhost", "localhost"),
            ("[::1]:8180", "[::1]"),
            ("[::1]", "[::1]"),
            (":80", ":80"),
        ] {
            assert_eq!(without_port(host), name);
        }
    }
}
