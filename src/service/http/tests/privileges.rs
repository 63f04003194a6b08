//! Each scope, and none, tries every route of the table.

use std::sync::Arc;

use axum::http::{Method, StatusCode, header};

use super::requests::{app, ask, body, key_of, request};
use crate::base::caller::Scope;
use crate::base::timestamp::Timestamp;
use crate::service::http::net::peer::{ClientCertificate, Peer, UnixPeer};
use crate::service::http::routes;
use crate::service::http::routes::guard::Needs;

/// A path under which a route is found.
fn path(route: &str) -> String {
    route
        .replace("{type}", "U")
        .replace("{id}", "x")
        .replace("{sequence}", "1")
        .replace("{name}", "x")
        .replace("{receiver}", "x")
}

#[test]
fn metrics_know_every_route_once_and_decisions_first() {
    let paths = routes::paths();
    assert_eq!(paths[0], "/authorize");
    for route in routes::table() {
        let known = paths.iter().filter(|path| **path == route.path);
        assert_eq!(known.count(), 1, "{}", route.path);
    }
}

#[tokio::test]
async fn every_route_asks_for_its_scope_and_no_other_will_do() {
    let app = app("");
    let router = routes::main(Arc::clone(&app));
    for (n, route) in routes::table().into_iter().enumerate() {
        let path = path(route.path);
        let asked = |key: Option<String>| {
            let mut request = request(route.method.clone(), &path, key.as_deref());
            // From everywhere: failed attempts of one address are bounded.
            let address = format!("198.51.100.{n}:5000").parse().unwrap();
            let peer: Arc<Peer> = Arc::new(Peer::at(address));
            request.extensions_mut().insert(peer);
            let (app, router) = (&app, &router);
            async move { ask(app, router, request).await.status() }
        };
        let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
        let from_nobody = asked(None).await;
        let from_wrong = asked(Some("a-key-that-nobody-has".to_owned())).await;
        let without_scopes = asked(Some("the-key-of-nobody".to_owned())).await;
        let what = format!("{} {}", route.method, route.path);
        match route.needs {
            Needs::Nothing => {
                assert!(!refused.contains(&from_nobody), "{what}: {from_nobody}");
                assert!(!refused.contains(&from_wrong), "{what}: {from_wrong}");
            }
            Needs::Caller => {
                assert_eq!(from_nobody, StatusCode::UNAUTHORIZED, "{what}");
                assert_eq!(from_wrong, StatusCode::UNAUTHORIZED, "{what}");
                assert!(!refused.contains(&without_scopes), "{what}");
            }
            Needs::Scope(needed) => {
                assert_eq!(from_nobody, StatusCode::UNAUTHORIZED, "{what}");
                assert_eq!(from_wrong, StatusCode::UNAUTHORIZED, "{what}");
                assert_eq!(without_scopes, StatusCode::FORBIDDEN, "{what}");
                for scope in Scope::ALL {
                    let status = asked(Some(key_of(scope))).await;
                    let may = !refused.contains(&status);
                    assert_eq!(
                        may,
                        scope == needed,
                        "{what} with {}: {status}",
                        scope.name()
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn nobody_from_this_machine_may_decide_and_search_and_nothing_else() {
    let app = app("");
    let router = routes::main(Arc::clone(&app));
    for route in routes::table() {
        let mut request = request(route.method.clone(), &path(route.path), None);
        let here: Arc<Peer> = Arc::new(Peer::at("127.0.0.1:5000".parse().unwrap()));
        request.extensions_mut().insert(here);
        let status = ask(&app, &router, request).await.status();
        let may = match route.needs {
            Needs::Nothing | Needs::Caller => true,
            Needs::Scope(scope) => [Scope::Decide, Scope::Search].contains(&scope),
        };
        let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status);
        assert_eq!(refused, !may, "{} {}: {status}", route.method, route.path);
    }
}

#[tokio::test]
async fn a_proxy_on_this_machine_makes_nobody_local() {
    let app = app("");
    let router = routes::main(Arc::clone(&app));
    for name in [
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-port",
        "x-forwarded-server",
        "x-real-ip",
        "via",
        "x-client-ip",
        "x-cluster-client-ip",
        "fastly-client-ip",
        "cf-connecting-ipv6",
        "x-original-forwarded-for",
        "x-original-uri",
        "x-envoy-original-path",
        "x-proxyuser-ip",
        "x-amzn-trace-id",
        "x-azure-clientip",
        "cdn-loop",
    ] {
        let mut request = request(Method::POST, "/authorize", None);
        let here: Arc<Peer> = Arc::new(Peer::at("[::1]:5000".parse().unwrap()));
        request.extensions_mut().insert(here);
        request
            .headers_mut()
            .insert(name, "203.0.113.9".parse().unwrap());
        let status = ask(&app, &router, request).await.status();
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{name}");
    }
}

#[tokio::test]
async fn anonymous_can_be_switched_off() {
    let app = app("[server]\nanonymous = \"off\"\n");
    let router = routes::main(Arc::clone(&app));
    let mut request = request(Method::POST, "/authorize", None);
    let here: Arc<Peer> = Arc::new(Peer::at("127.0.0.1:5000".parse().unwrap()));
    request.extensions_mut().insert(here);
    let response = ask(&app, &router, request).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
}

#[tokio::test]
async fn tricks_with_paths_change_no_outcome() {
    let app = app("");
    let router = routes::main(Arc::clone(&app));
    let tricks = |path: &str| {
        vec![
            format!("/{path}"),
            format!("{path}/"),
            format!("{path}//"),
            format!("/.{path}"),
            format!("/x/..{path}"),
            format!("/healthz/..{path}"),
            format!("/healthz/%2e%2e{path}"),
            format!("/%2e{path}"),
            path.replacen('/', "/%2f", 1),
            path.to_uppercase(),
            format!("{path};x=1"),
            format!("{path}%00"),
            format!("{path}%20"),
            format!("{path}/."),
            format!("{path}%2f"),
            path.replacen('a', "%61", 1),
            path.replacen('/', "\\", 1),
        ]
    };
    for route in routes::table() {
        for trick in tricks(&path(route.path)) {
            let uri: Result<axum::http::Uri, _> = trick.parse();
            if uri.is_err() || trick == path(route.path) {
                continue;
            }
            let status = ask(&app, &router, request(route.method.clone(), &trick, None))
                .await
                .status();
            let expected = match route.needs {
                // What is one of the open routes however it is written may be answered.
                Needs::Nothing => continue,
                _ => [
                    StatusCode::NOT_FOUND,
                    StatusCode::UNAUTHORIZED,
                    StatusCode::METHOD_NOT_ALLOWED,
                ],
            };
            assert!(expected.contains(&status), "{trick}: {status}");
        }
    }
}

#[tokio::test]
async fn headers_that_rewrite_requests_are_not_heeded() {
    let app = app("");
    let router = routes::main(Arc::clone(&app));
    for (name, value) in [
        ("x-http-method-override", "POST"),
        ("x-method-override", "DELETE"),
        ("x-original-url", "/healthz"),
        ("x-rewrite-url", "/healthz"),
        ("x-forwarded-host", "localhost"),
        ("x-forwarded-prefix", "/healthz"),
    ] {
        let mut request = request(Method::GET, "/policies", None);
        request.headers_mut().insert(name, value.parse().unwrap());
        let status = ask(&app, &router, request).await.status();
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{name}");
    }
    // The decision route does not change its method either.
    let mut request = request(Method::GET, "/authorize", Some(&key_of(Scope::Decide)));
    let post = "POST".parse().unwrap();
    request.headers_mut().insert("x-http-method-override", post);
    let status = ask(&app, &router, request).await.status();
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    for host in [
        "evil.example",
        "localhost.evil.example",
        "",
        "localhost, evil.example",
    ] {
        let mut request =
            super::requests::request(Method::POST, "/authorize", Some(&key_of(Scope::Decide)));
        let host = host.parse().unwrap();
        request.headers_mut().insert(header::HOST, host);
        let status = ask(&app, &router, request).await.status();
        assert_eq!(status, StatusCode::MISDIRECTED_REQUEST);
    }
}

#[tokio::test]
async fn a_credential_that_is_not_good_is_not_made_good_by_another() {
    let app = app("");
    let router = routes::main(Arc::clone(&app));
    let here: Arc<Peer> = Arc::new(Peer::at("127.0.0.1:5000".parse().unwrap()));
    // A local caller could decide without a key, but not with a wrong one.
    for authorization in [
        "Bearer wrong-key-wrong-key",
        "Basic dXNlcjpwYXNz",
        "Bearer",
        "",
    ] {
        let mut request = request(Method::POST, "/authorize", None);
        request.extensions_mut().insert(Arc::clone(&here));
        let value = authorization.parse().unwrap();
        request.headers_mut().insert(header::AUTHORIZATION, value);
        let response = ask(&app, &router, request).await;
        assert_eq!(
            response.status(),
            StatusCode::UNAUTHORIZED,
            "{authorization}"
        );
    }
    let mut twice = request(Method::POST, "/authorize", Some(&key_of(Scope::Decide)));
    let second = format!("Bearer {}", key_of(Scope::Decide)).parse().unwrap();
    twice.headers_mut().append(header::AUTHORIZATION, second);
    assert_eq!(
        ask(&app, &router, twice).await.status(),
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn a_credential_in_another_place_is_not_answered_as_if_none_were_shown() {
    for more in ["", "[server]\ndanger_allow_anonymous = true\n"] {
        let app = app(more);
        let router = routes::main(Arc::clone(&app));
        let here: Arc<Peer> = Arc::new(Peer::at("127.0.0.1:5000".parse().unwrap()));
        let owner = Arc::new(Peer {
            unix: Some(UnixPeer { uid: 0 }),
            ..Peer::default()
        });
        let elsewhere: Arc<Peer> = Arc::new(Peer::at("192.0.2.7:5000".parse().unwrap()));
        for peer in [here, owner, elsewhere] {
            for (name, value, seen) in [
                ("x-api-key", "dk_secret", "`x-api-key`"),
                ("x-auth-token", "dk_secret", "`x-auth-token`"),
                ("x-forwarded-user", "dk_secret", "`x-forwarded-user`"),
                ("x-remote-user", "dk_secret", "`x-remote-user`"),
                (
                    "proxy-authorization",
                    "Basic dk_secret",
                    "`proxy-authorization`",
                ),
                ("authorization", "Basic dk_secret", "`Basic`"),
                ("authorization", "ApiKey dk_secret", "`ApiKey`"),
                ("authorization", "dk_secret", "`Bearer`"),
            ] {
                let mut request = request(Method::POST, "/authorize", None);
                request.extensions_mut().insert(Arc::clone(&peer));
                request.headers_mut().insert(name, value.parse().unwrap());
                let response = ask(&app, &router, request).await;
                assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{name}");
                let challenge = response.headers()[header::WWW_AUTHENTICATE].clone();
                assert_eq!(challenge, "Bearer error=\"invalid_request\"", "{name}");
                let answer = body(response).await.to_string();
                assert!(answer.contains(seen), "{answer}");
                assert!(
                    answer.contains("Bearer") && !answer.contains("secret"),
                    "{answer}"
                );
            }
            for path in [
                "/authorize?access_token=dk_secret",
                "/authorize?a=1&api_key=dk_secret",
            ] {
                let mut request = request(Method::POST, path, None);
                request.extensions_mut().insert(Arc::clone(&peer));
                let response = ask(&app, &router, request).await;
                assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
                let answer = body(response).await.to_string();
                assert!(!answer.contains("secret"), "{answer}");
            }
        }
        // Who shows a good credential where it is read may send others for other services.
        let mut request = request(Method::POST, "/authorize", Some(&key_of(Scope::Decide)));
        let headers = request.headers_mut();
        headers.insert("x-api-key", "for-another".parse().unwrap());
        headers.insert("x-forwarded-user", "ada".parse().unwrap());
        let status = ask(&app, &router, request).await.status();
        assert_eq!(status, StatusCode::OK);
    }
}

#[tokio::test]
async fn certificates_and_processes_are_callers_too() {
    let app = app(
        "[[callers]]\nname = \"mesh\"\nscopes = [\"decide\"]\nsan = [\"spiffe://x/mesh\"]\n\
         [[callers]]\nname = \"local\"\nscopes = [\"watch\"]\nuid = [4242]\n",
    );
    let router = routes::main(Arc::clone(&app));
    let who = |peer: Peer| {
        let mut request = request(Method::GET, "/whoami", None);
        request.extensions_mut().insert(Arc::new(peer));
        let (app, router) = (&app, &router);
        async move { body(ask(app, router, request).await).await["name"].clone() }
    };
    let certificate = |san: &str, ends: i64| Peer {
        certificate: Some(Arc::new(ClientCertificate {
            sans: vec![san.to_owned()],
            fingerprint: String::new(),
            expires: Timestamp::from_millis(ends),
        })),
        ..Peer::at("192.0.2.7:5000".parse().unwrap())
    };
    assert_eq!(
        who(certificate("spiffe://x/mesh", i64::MAX / 2)).await,
        "mesh"
    );
    assert!(
        who(certificate("spiffe://x/other", i64::MAX / 2))
            .await
            .is_null()
    );
    // Nobody is let in for longer than the certificate holds, by keeping a connection open.
    assert!(who(certificate("spiffe://x/mesh", 1)).await.is_null());
    let process = |uid: u32| Peer {
        unix: Some(UnixPeer { uid }),
        ..Peer::default()
    };
    assert_eq!(who(process(4242)).await, "local");
    assert_eq!(who(process(0)).await, "owner");
    assert_eq!(who(process(4243)).await, "anonymous");
    // A proxy that runs as root does not make everybody the owner.
    let mut request = request(Method::GET, "/whoami", None);
    request.extensions_mut().insert(Arc::new(process(0)));
    let elsewhere = "203.0.113.9".parse().unwrap();
    request.headers_mut().insert("x-forwarded-for", elsewhere);
    let status = ask(&app, &router, request).await.status();
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn wrong_keys_from_one_address_are_bounded_and_good_ones_are_not() {
    let app = app("");
    let router = routes::main(Arc::clone(&app));
    let mut last = StatusCode::OK;
    for _ in 0..30 {
        let wrong = request(Method::GET, "/whoami", Some("wrong-wrong-wrong"));
        last = ask(&app, &router, wrong).await.status();
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    let good = request(Method::GET, "/whoami", Some("the-key-of-nobody"));
    assert_eq!(ask(&app, &router, good).await.status(), StatusCode::OK);
}
