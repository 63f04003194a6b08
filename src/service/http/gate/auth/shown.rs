//! What a request shows besides the credentials that are read here: signs of a proxy, and credentials in
//! other places.
//!
//! Whoever shows a credential wants to be known by it. If it stands where nobody reads it, the request is
//! refused: it must not be answered with the rights of somebody who has shown none.

use axum::http::{HeaderMap, HeaderName, header};
use smallvec::SmallVec;

/// Beginnings of headers that proxies set. One of them is enough to say that the request comes from
/// elsewhere.
const PROXY_PREFIXES: [&str; 30] = [
    "x-forward",
    "forward",
    "x-origin",
    "x-real",
    "x-remote",
    "remote-",
    "x-true-",
    "x-cluster",
    "x-envoy",
    "x-proxy",
    "proxy-",
    "wl-proxy",
    "x-ssl",
    "ssl-",
    "x-amzn-",
    "x-amz-cf-",
    "x-azure-",
    "x-arr-",
    "x-appengine-",
    "x-goog-",
    "x-gateway-",
    "x-kong-",
    "x-consumer-",
    "x-auth-request-",
    "x-ms-client-",
    "x-nginx-",
    "x-traefik-",
    "x-edge-",
    "cf-",
    "fastly-",
];

/// Parts of names that only those headers have.
const PROXY_PARTS: [&str; 12] = [
    "client-ip",
    "clientip",
    "real-ip",
    "remote-ip",
    "remote-addr",
    "connecting-ip",
    "user-ip",
    "userip",
    "source-ip",
    "origin-ip",
    "forwarded",
    "client-cert",
];

/// Other headers of proxies.
const PROXY_NAMES: [&str; 15] = [
    "via",
    "x-via",
    "cdn-loop",
    "early-data",
    "max-forwards",
    "surrogate-capability",
    "front-end-https",
    "x-scheme",
    "x-url-scheme",
    "x-rewrite-url",
    "x-varnish",
    "x-coming-from",
    "x-request-start",
    "x-queue-start",
    "x-bluecoat-via",
];

/// Headers with credentials, or with a user whom somebody else has recognised.
const CREDENTIALS: [&str; 35] = [
    "x-api-key",
    "x-apikey",
    "x-api-token",
    "api-key",
    "apikey",
    "api-token",
    "x-auth",
    "x-auth-key",
    "x-auth-token",
    "x-auth-user",
    "x-access-token",
    "x-access-key",
    "access-token",
    "auth-token",
    "token",
    "x-token",
    "x-authorization",
    "proxy-authorization",
    "x-id-token",
    "x-jwt",
    "x-jwt-assertion",
    "cf-access-jwt-assertion",
    "cf-access-client-id",
    "cf-access-client-secret",
    "x-goog-iap-jwt-assertion",
    "x-amzn-oidc-data",
    "x-amzn-oidc-identity",
    "x-amzn-oidc-accesstoken",
    "x-ms-token-aad-access-token",
    "x-authenticated-user",
    "x-authenticated-userid",
    "x-webauth-user",
    "x-client-cert",
    "x-ssl-client-cert",
    "ssl-client-cert",
];

/// Beginnings of headers with a user whom a proxy has recognised.
const USERS: [&str; 12] = [
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-forwarded-access-token",
    "x-forwarded-client-cert",
    "x-remote-user",
    "x-remote-group",
    "remote-user",
    "x-auth-request-",
    "x-ms-client-principal",
    "x-consumer-",
];

/// Parameters of a query that are credentials elsewhere (RFC 6750, section 2.3).
const PARAMETERS: [&str; 4] = ["access_token", "api_key", "api-key", "apikey"];

/// Schemes of `Authorization` that are named to whoever sends them. Others are not: what stands there may
/// be the credential itself.
const SCHEMES: [&str; 13] = [
    "Basic",
    "Digest",
    "Negotiate",
    "NTLM",
    "ApiKey",
    "Api-Key",
    "Key",
    "Token",
    "JWT",
    "DPoP",
    "GNAP",
    "AWS4-HMAC-SHA256",
    "Signature",
];

/// Headers of almost every request, which say nothing of proxies and hold no credential: they are told apart by their
/// numbers, and a request that has no other is not looked at further.
const ORDINARY: [HeaderName; 9] = [
    header::HOST,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::USER_AGENT,
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::AUTHORIZATION,
    header::TRANSFER_ENCODING,
];

/// The names of the other headers.
fn names(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let names = headers.keys().filter(|name| !ORDINARY.contains(name));
    names.map(HeaderName::as_str)
}

/// Whether a proxy says that it speaks for somebody else.
pub(super) fn forwarded(headers: &HeaderMap) -> bool {
    names(headers).any(|name| {
        PROXY_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            || PROXY_NAMES.contains(&name)
            || PROXY_PARTS.iter().any(|part| name.contains(part))
    })
}

/// A credential in a place that is not read, by the name of the place.
pub(super) fn unread(headers: &HeaderMap, query: Option<&str>) -> Option<&'static str> {
    let names: SmallVec<[&str; 8]> = names(headers).collect();
    let header = CREDENTIALS
        .iter()
        .find(|credential| names.contains(*credential))
        .or_else(|| {
            let starts = |user: &str| names.iter().any(|name| name.starts_with(user));
            USERS.iter().find(|user| starts(user))
        });
    let parameter = || {
        let pairs = query?.split('&');
        let mut names = pairs.filter_map(|pair| pair.split('=').next());
        names.find_map(|name| {
            PARAMETERS
                .iter()
                .find(|known| known.eq_ignore_ascii_case(name))
        })
    };
    header.or_else(parameter).copied()
}

/// The scheme of `Authorization`, where it is a known one other than `Bearer`.
pub(super) fn other_scheme(headers: &HeaderMap) -> Option<&'static str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let scheme = value.split(' ').next()?;
    let known = SCHEMES.iter();
    let mut found = known.filter(|known| known.eq_ignore_ascii_case(scheme));
    found.next().copied()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn with(name: &'static str) -> HeaderMap {
        let value = HeaderValue::from_static("x");
        HeaderMap::from_iter([(HeaderName::from_static(name), value)])
    }

    #[test]
    fn proxies_are_known_by_what_they_set() {
        for name in [
            "forwarded",
            "x-forwarded",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-port",
            "x-forwarded-server",
            "x-forwarded-prefix",
            "x-forwarded-anything",
            "x-forward-for",
            "forwarded-for",
            "via",
            "x-real-ip",
            "true-client-ip",
            "x-true-client-ip",
            "cf-connecting-ip",
            "cf-connecting-ipv6",
            "cf-ray",
            "fastly-client-ip",
            "x-client-ip",
            "client-ip",
            "x-cluster-client-ip",
            "x-envoy-external-address",
            "x-envoy-peer-metadata",
            "x-proxyuser-ip",
            "x-original-forwarded-for",
            "x-original-uri",
            "x-original-url",
            "x-originating-ip",
            "x-original-host",
            "x-remote-ip",
            "x-remote-addr",
            "remote-addr",
            "x-azure-clientip",
            "x-azure-socketip",
            "x-appengine-user-ip",
            "x-appengine-remote-addr",
            "x-amzn-trace-id",
            "x-amz-cf-id",
            "x-arr-log-id",
            "x-arr-clientcert",
            "wl-proxy-client-ip",
            "proxy-client-ip",
            "http-client-ip",
            "fly-client-ip",
            "do-connecting-ip",
            "akamai-origin-ip",
            "x-vercel-forwarded-for",
            "x-kong-request-id",
            "x-consumer-username",
            "x-auth-request-user",
            "x-scheme",
            "cdn-loop",
            "early-data",
            "x-ssl-client-verify",
            "ssl-client-cert",
        ] {
            assert!(forwarded(&with(name)), "{name}");
        }
        for name in [
            "host",
            "user-agent",
            "accept",
            "authorization",
            "content-type",
            "traceparent",
            "x-request-id",
            "x-requested-with",
            "x-b3-traceid",
            "origin",
            "referer",
            "cookie",
            "sec-fetch-site",
            "expect",
            "priority",
        ] {
            assert!(!forwarded(&with(name)), "{name}");
        }
    }

    #[test]
    fn ordinary_headers_would_say_nothing() {
        for name in ORDINARY {
            let name = name.as_str();
            assert!(!PROXY_NAMES.contains(&name) && !CREDENTIALS.contains(&name));
            let begins = |prefix: &&str| name.starts_with(*prefix);
            assert!(!PROXY_PREFIXES.iter().chain(&USERS).any(begins), "{name}");
            assert!(
                !PROXY_PARTS.iter().any(|part| name.contains(part)),
                "{name}"
            );
        }
    }

    #[test]
    fn credentials_are_seen_where_they_are_not_read() {
        for (name, expect) in [
            ("x-api-key", Some("x-api-key")),
            ("x-forwarded-user", Some("x-forwarded-user")),
            ("x-remote-user", Some("x-remote-user")),
            ("x-auth-request-email", Some("x-auth-request-")),
            ("proxy-authorization", Some("proxy-authorization")),
            ("x-request-id", None),
            ("cookie", None),
        ] {
            assert_eq!(unread(&with(name), None), expect, "{name}");
        }
        let none = HeaderMap::new();
        assert_eq!(unread(&none, Some("a=1&API_KEY=x")), Some("api_key"));
        assert_eq!(unread(&none, Some("access_token")), Some("access_token"));
        assert_eq!(unread(&none, Some("limit=5&after=api_key")), None);
        let authorization = |value: &'static str| {
            HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))])
        };
        assert_eq!(
            other_scheme(&authorization("basic dXNlcjpwYXNz")),
            Some("Basic")
        );
        assert_eq!(other_scheme(&authorization("ApiKey dk_x")), Some("ApiKey"));
        assert_eq!(other_scheme(&authorization("dk_secret")), None);
        assert_eq!(other_scheme(&authorization("Bearer x")), None);
    }
}
