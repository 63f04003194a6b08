//! A server without sockets, and requests to it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request as HttpRequest;
use axum::http::{Method, Request, header};
use axum::response::Response;
use http_body_util::BodyExt;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tower::ServiceExt;

use crate::base::caller::Scope;
use crate::base::hex::hex;
use crate::base::timestamp::Timestamp;
use crate::pdp::Pdp;
use crate::service::config::Config;
use crate::service::http::app::App;
use crate::service::http::net::peer::Peer;
use crate::service::http::routes;

/// A good body of `POST /authorize`.
pub(super) const BODY: &str =
    r#"{"principal":"U::\"a\"","action":"Action::\"x\"","resource":"R::\"r\""}"#;

/// The key of the caller that has one scope.
pub(super) fn key_of(scope: Scope) -> String {
    format!("the-key-of-the-caller-that-may-{}", scope.name())
}

/// A server whose callers have one scope each, and one that has none.
pub(super) fn app(more: &str) -> Arc<App> {
    let hex = |key: &str| hex(&Sha256::digest(key));
    let caller = |name: &str, scopes: &str, key: &str| {
        let hash = hex(key);
        format!("[[callers]]\nname = \"{name}\"\nscopes = [{scopes}]\nkey_sha256 = [\"{hash}\"]\n")
    };
    let mut file = more.to_owned();
    file.push_str(&caller("nobody", "", "the-key-of-nobody"));
    for scope in Scope::ALL {
        let scopes = format!("\"{}\"", scope.name());
        file.push_str(&caller(scope.name(), &scopes, &key_of(scope)));
    }
    let path = std::path::Path::new("/etc/deodar/deodar.toml");
    let config = Config::from_parts(Some((path, &file)), std::iter::empty(), &[]).unwrap();
    let app =
        crate::service::http::serve::start::app(&config, None, Box::new(Timestamp::now)).unwrap();
    let policies = r#"permit(principal == U::"a", action, resource);"#;
    app.begin(
        Pdp::builder()
            .policies_text("p.cedar", policies)
            .build()
            .unwrap(),
    );
    Arc::new(app)
}

/// A request from elsewhere.
pub(super) fn request(method: Method, path: &str, key: Option<&str>) -> HttpRequest {
    let peer: Arc<Peer> = Arc::new(Peer::at("192.0.2.7:5000".parse().unwrap()));
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/json")
        .extension(peer);
    if let Some(key) = key {
        request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    request.body(Body::from(BODY)).unwrap()
}

/// The answer of the whole main listener, the short way of decisions included.
pub(super) async fn ask(app: &Arc<App>, router: &Router, request: HttpRequest) -> Response {
    if routes::decides(app, &request) {
        let peer = request.extensions().get::<Arc<Peer>>().cloned();
        let peer = peer.unwrap_or_default();
        return routes::decide(app, &peer, request).await;
    }
    router.clone().oneshot(request).await.unwrap()
}

/// The body of an answer.
pub(super) async fn body(response: Response) -> Value {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap_or(Value::Null)
}
