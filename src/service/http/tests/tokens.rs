//! Tokens at the door: for callers in the header, for principals in the body.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::requests::{app, ask, body, key_of, request};
use crate::base::caller::Scope;
use crate::base::timestamp::Timestamp;
use crate::service::http::app::App;
use crate::service::http::routes;
use crate::service::tokens::tests::issuer::{Signer, TestIssuer};

struct Scene {
    issuer: TestIssuer,
    app: Arc<App>,
    router: Router,
}

impl Scene {
    fn new() -> Self {
        let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
        let url = &issuer.url;
        let app = app(&format!(
            "[[issuers]]\nissuer = \"{url}\"\naudience = [\"app\"]\nusage = \"principal\"\n\
             principal_type = \"U\"\nattributes = {{level = \"/level\"}}\ngroups = [\"/groups\"]\ngroup_type = \"G\"\n\
             [[issuers]]\nissuer = \"{url}\"\naudience = [\"deodar\"]\nusage = \"caller\"\n\
             scope_prefix = \"deodar:\"\n\
             [[callers]]\nname = \"named\"\nscopes = [\"watch\"]\ntoken = [{{issuer = \"{url}\", name = \"svc-named\"}}]\n"
        ));
        let router = routes::main(Arc::clone(&app));
        Self {
            issuer,
            app,
            router,
        }
    }

    fn token(&self, over: Value) -> String {
        let now = Timestamp::now().as_millis() / 1_000;
        let mut claims = json!({
            "iss": self.issuer.url, "sub": "a", "iat": now - 60, "exp": now + 600,
        });
        let members = claims.as_object_mut().unwrap();
        members.extend(over.as_object().unwrap().clone());
        Signer::ed("k1", 1).token(&claims)
    }

    /// Decides with a token in place of the principal.
    async fn decide(&self, more: Value) -> (StatusCode, Value) {
        let mut asked = json!({"action": "Action::\"x\"", "resource": "R::\"r\""});
        let members = asked.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        let mut request = request(Method::POST, "/authorize", Some(&key_of(Scope::Decide)));
        *request.body_mut() = Body::from(asked.to_string());
        let response = ask(&self.app, &self.router, request).await;
        (response.status(), body(response).await)
    }

    async fn whoami(&self, token: &str) -> (StatusCode, Value) {
        let request = request(Method::GET, "/whoami", Some(token));
        let response = ask(&self.app, &self.router, request).await;
        (response.status(), body(response).await)
    }
}

#[tokio::test]
async fn a_token_names_the_principal() {
    let scene = Scene::new();
    let token = scene.token(json!({"aud": "app"}));
    for _ in 0..2 {
        let (status, answer) = scene.decide(json!({ "token": token })).await;
        assert_eq!(
            (status, &answer["decision"]),
            (StatusCode::OK, &json!("Allow"))
        );
    }
    let other = scene.token(json!({"aud": "app", "sub": "b"}));
    let (_, answer) = scene.decide(json!({ "token": other })).await;
    assert_eq!(answer["decision"], "Deny");
}

#[tokio::test]
async fn faults_of_a_token_are_told_by_code_and_place() {
    let scene = Scene::new();
    for (body, code) in [
        (
            json!({"token": scene.token(json!({"aud": "deodar"}))}),
            "token_audience",
        ),
        (
            json!({"token": scene.token(json!({"aud": "app", "exp": 1}))}),
            "token_expired",
        ),
        (json!({"token": "a.b.c"}), "token_malformed"),
        (json!({"token": ""}), "invalid_request"),
        (
            json!({"token": scene.token(json!({"aud": "app"})), "principal": "U::\"a\""}),
            "invalid_request",
        ),
    ] {
        let (status, problem) = scene.decide(body).await;
        assert_eq!(
            (status, &problem["code"]),
            (StatusCode::BAD_REQUEST, &json!(code))
        );
        assert_eq!(problem["errors"][0]["pointer"], "/token", "{problem}");
    }
}

#[tokio::test]
async fn nobody_who_is_not_an_issuer_of_principals_names_one() {
    let app = app("");
    let router = routes::main(Arc::clone(&app));
    let mut request = request(Method::POST, "/authorize", Some(&key_of(Scope::Decide)));
    *request.body_mut() =
        Body::from(r#"{"token":"a.b.c","action":"Action::\"x\"","resource":"R::\"r\""}"#);
    let response = ask(&app, &router, request).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let problem = body(response).await;
    assert_eq!(problem["errors"][0]["pointer"], "/token");
}

#[tokio::test]
async fn what_a_token_says_a_caller_cannot_unsay() {
    let scene = Scene::new();
    let token = scene.token(json!({"aud": "app", "level": 1}));
    let entities = json!([{"uid": {"type": "U", "id": "a"}, "attrs": {"level": 9}, "parents": []}]);
    let (status, problem) = scene
        .decide(json!({"token": token, "entities": entities}))
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");
}

#[tokio::test]
async fn callers_come_with_tokens_and_have_the_scopes_in_them() {
    let scene = Scene::new();
    let token = |over: Value| scene.token(over);
    let (status, who) = scene
        .whoami(&token(
            json!({"aud": "deodar", "sub": "svc", "scope": "deodar:decide openid deodar:nothing"}),
        ))
        .await;
    assert_eq!(status, StatusCode::OK, "{who}");
    assert_eq!(
        (&who["name"], &who["scopes"]),
        (
            &json!(format!("{}#svc", scene.issuer.url)),
            &json!(["decide"])
        )
    );
    // The configuration's rights go before those of the token.
    let named = token(json!({"aud": "deodar", "sub": "svc-named", "scope": "deodar:keys:write"}));
    let (_, who) = scene.whoami(&named).await;
    assert_eq!(
        (&who["name"], &who["scopes"]),
        (&json!("named"), &json!(["watch"]))
    );
    // A token of principals is not a caller's, and a changed one nobody's.
    for bad in [
        token(json!({"aud": "app"})),
        format!("{named}x"),
        named.replace("ey", "fy"),
    ] {
        let (status, problem) = scene.whoami(&bad).await;
        assert_eq!(
            (status, &problem["code"]),
            (StatusCode::UNAUTHORIZED, &json!("unauthenticated"))
        );
    }
}

#[tokio::test]
async fn bad_tokens_from_one_address_are_bounded_and_known_good_ones_are_not() {
    let scene = Scene::new();
    let good = scene.token(json!({"aud": "deodar", "sub": "svc"}));
    assert_eq!(scene.whoami(&good).await.0, StatusCode::OK);
    let mut last = StatusCode::OK;
    for n in 0..30 {
        let bad = scene.token(json!({"aud": "deodar", "exp": n}));
        last = scene.whoami(&bad).await.0;
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(scene.whoami(&good).await.0, StatusCode::OK);
}

#[tokio::test]
async fn groups_that_cannot_be_read_are_not_no_groups() {
    let scene = Scene::new();
    for over in [
        json!({"aud": "app", "groups": [{"name": "banned"}]}),
        json!({"aud": "app", "groups": {"banned": ["x"]}}),
        json!({"aud": "app", "groups": null}),
        json!({"aud": "app", "hasgroups": true}),
        json!({"aud": "app", "_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {}}}),
        json!({"aud": "app", "level": 0.5}),
    ] {
        let (status, problem) = scene
            .decide(json!({"token": scene.token(over.clone())}))
            .await;
        assert_eq!(
            (status, &problem["code"]),
            (StatusCode::BAD_REQUEST, &json!("token_unsuitable")),
            "{over}: {problem}"
        );
    }
    let object = json!({"aud": "app", "groups": {"editors": {"312": "acme.example.com"}}});
    let (status, _) = scene.decide(json!({"token": scene.token(object)})).await;
    assert_eq!(status, StatusCode::OK);
}
