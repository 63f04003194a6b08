//! Security event tokens: pushed, polled for, and forged.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use jsonwebtoken::{Algorithm, EncodingKey};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::recorder::Recorder;
use super::requests::{app, ask, body, key_of, request};
use super::signals::json_like;
use crate::base::caller::Scope;
use crate::base::timestamp::Timestamp;
use crate::service::http::api::ssf::poll::Poll;
use crate::service::http::app::App;
use crate::service::http::net::peer::Peer;
use crate::service::http::routes;
use crate::service::net::fetch::{Call, Client, Fetch, FetchError, Reply};
use crate::service::ssf::SetResult;
use crate::service::tokens::tests::issuer::{Signer, TestIssuer, b64, rsa_public_pem};
use crate::trust::subjects::{ChangeError, EventKind};

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const SECRET: &str = "what-the-transmitter-shows";
const ISSUER: &str = "https://idp.example.com";

struct Scene {
    app: Arc<App>,
    router: Router,
    store: Arc<Recorder>,
    _keys: tempfile::TempDir,
}

fn seconds() -> i64 {
    Timestamp::now().as_millis() / 1_000
}

impl Scene {
    fn new(more: &str) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let path = |name: &str| keys.path().join(name).display().to_string();
        let signers = [Signer::ed("k1", 1), Signer::rsa("r1", Algorithm::RS256)];
        let set: Vec<_> = signers.iter().map(|signer| &signer.jwk).collect();
        std::fs::write(path("jwks.json"), json!({ "keys": set }).to_string()).unwrap();
        std::fs::write(path("secret"), SECRET).unwrap();
        let app = app(&format!(
            "[[receivers]]\nname = \"idp\"\nissuer = \"{ISSUER}\"\naudience = [\"https://pdp\"]\n\
             jwks_file = \"{}\"\nsubjects = {{iss_sub = \"User\"}}\n\
             push = {{authorization = {{file = \"{1}\"}}}}\n\
             poll = {{endpoint = \"https://idp.example.com/poll\", token = {{file = \"{1}\"}}, max_events = 2}}\n\
             {more}\n",
            path("jwks.json"),
            path("secret"),
        ));
        let router = routes::main(Arc::clone(&app));
        let store = Recorder::of(&app);
        Self {
            app,
            router,
            store,
            _keys: keys,
        }
    }

    async fn push_as(&self, authorization: Option<&str>, set: &str) -> (StatusCode, Value) {
        let mut pushed = request(Method::POST, "/ssf/idp", None);
        let headers = pushed.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            "application/secevent+jwt".parse().unwrap(),
        );
        if let Some(authorization) = authorization {
            headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        }
        *pushed.body_mut() = Body::from(set.to_owned());
        let response = ask(&self.app, &self.router, pushed).await;
        (response.status(), body(response).await)
    }

    async fn push(&self, set: &str) -> (StatusCode, Value) {
        self.push_as(Some(&format!("Bearer {SECRET}")), set).await
    }

    fn tally(&self, tally: SetResult) -> u64 {
        let receiver = self.app.receivers.named("idp").unwrap();
        receiver.standing().counts.of(tally)
    }

    async fn shown(&self) -> Value {
        let asked = request(Method::GET, "/ssf", Some(&key_of(Scope::SubjectsRead)));
        let shown = body(ask(&self.app, &self.router, asked).await).await;
        shown["receivers"][0].clone()
    }
}

/// The claims of a good token, with others over them; `null` takes one away.
fn claims(over: Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": "https://pdp", "jti": "j1", "iat": seconds(),
        "sub_id": {"format": "iss_sub", "iss": ISSUER, "sub": "ada"},
        "events": {format!("{CAEP}session-revoked"): {"event_timestamp": 1_700_000_000}},
    });
    let members = claims.as_object_mut().unwrap();
    members.extend(over.as_object().unwrap().clone());
    members.retain(|_, value| !value.is_null());
    claims
}

fn set(over: Value) -> String {
    Signer::ed("k1", 1).typed("secevent+jwt", &claims(over))
}

#[tokio::test]
async fn a_pushed_token_becomes_an_event() {
    let scene = Scene::new("");
    let (status, answer) = scene.push(&set(json!({}))).await;
    assert_eq!((status, answer), (StatusCode::ACCEPTED, Value::Null));
    let events = scene.store.events();
    let event = &events[0];
    assert_eq!((event.id.as_str(), event.source.as_str()), ("j1", ISSUER));
    assert_eq!(event.kind, EventKind::SessionRevoked);
    assert_eq!(event.at, Timestamp::from_millis(1_700_000_000_000));
    assert_eq!(
        event.subject.user.as_ref().unwrap().to_string(),
        "User::\"ada\""
    );
    // The same again is acknowledged, and counts once.
    assert_eq!(scene.push(&set(json!({}))).await.0, StatusCode::ACCEPTED);
    assert_eq!(scene.store.events().len(), 1);
    assert_eq!(
        (
            scene.tally(SetResult::Accepted),
            scene.tally(SetResult::Duplicate)
        ),
        (1, 1)
    );
    let shown = scene.shown().await;
    assert_eq!(
        (&shown["name"], &shown["issuer"]),
        (&json!("idp"), &json!(ISSUER))
    );
    assert_eq!(shown["counts"]["accepted"], 1);
    assert!(shown["lastToken"].is_string() && shown["lastError"].is_null());
    let text = scene.app.metrics.encode().unwrap();
    for line in [
        "deodar_receiver_events_total{receiver=\"idp\",result=\"accepted\"} 1",
        "deodar_receiver_events_total{receiver=\"idp\",result=\"duplicate\"} 1",
        "deodar_events_total{type=\"session-revoked\",result=\"accepted\"} 1",
    ] {
        assert!(text.contains(line), "{line}");
    }
}

#[tokio::test]
async fn the_instant_is_that_of_the_event_else_of_the_transaction_else_of_the_token() {
    let scene = Scene::new("");
    let bare = json!({format!("{CAEP}session-revoked"): {}});
    let iat = seconds() - 5;
    for (over, expect) in [
        (json!({"jti": "a", "toe": 1_600_000_000}), 1_700_000_000),
        (
            json!({"jti": "b", "toe": 1_600_000_000, "events": bare}),
            1_600_000_000,
        ),
        (json!({"jti": "c", "iat": iat, "events": bare}), iat),
    ] {
        assert_eq!(scene.push(&set(over)).await.0, StatusCode::ACCEPTED);
        let at = scene.store.events().last().unwrap().at;
        assert_eq!(at.as_millis(), expect * 1_000);
    }
}

#[tokio::test]
async fn several_events_of_one_token_are_each_stored_once() {
    let scene = Scene::new("");
    let events = json!({
        format!("{CAEP}session-revoked"): {},
        format!("{CAEP}risk-level-change"): {"principal": "USER", "current_level": "HIGH"},
        "https://example.com/other": {},
    });
    for _ in 0..2 {
        let token = set(json!({"events": events}));
        assert_eq!(scene.push(&token).await.0, StatusCode::ACCEPTED);
    }
    let mut ids: Vec<_> = scene.store.events().into_iter().map(|e| e.id).collect();
    ids.sort();
    assert_eq!(ids, ["j1#risk-level-change", "j1#session-revoked"]);
    assert_eq!(scene.tally(SetResult::Ignored), 2);
}

#[tokio::test]
async fn what_is_not_stored_is_acknowledged_and_counted() {
    let scene = Scene::new("");
    for (over, tally) in [
        (
            json!({"events": {"https://example.com/x": {}}}),
            SetResult::Ignored,
        ),
        (
            json!({"events": {format!("{CAEP}session-presented"): {}}}),
            SetResult::Ignored,
        ),
        (
            json!({"sub_id": {"format": "email", "email": "a@b"}}),
            SetResult::Unmapped,
        ),
        (
            json!({"sub_id": {"format": "iss_sub", "iss": "https://other", "sub": "a"}}),
            SetResult::Unmapped,
        ),
    ] {
        let before = scene.tally(tally);
        let (status, answer) = scene.push(&set(over.clone())).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{over} {answer}");
        assert_eq!(scene.tally(tally), before + 1, "{over}");
    }
    assert!(scene.store.events().is_empty());
}

#[tokio::test]
async fn what_the_store_refuses_for_good_is_not_acknowledged() {
    let scene = Scene::new("");
    let token = set(json!({"jti": "old"}));
    let (status, answer) = scene.push(&token).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    let why = "its event `session-revoked` is refused: older than what is kept";
    assert_eq!(
        answer,
        json!({"err": "invalid_request", "description": why})
    );
    assert_eq!(scene.tally(SetResult::Refused), 1);
    let shown = scene.shown().await;
    assert_eq!(shown["lastError"]["detail"], why);
    // Polled for, it is among the faults, and what came with it is acknowledged.
    let transmitter = Transmitter::default();
    let mut poll = transmitter.poll(&scene);
    let good = set(json!({"jti": "a"}));
    transmitter.answers(json!({"a": good, "old": token}), false);
    transmitter.answers(json!({}), false);
    poll.round().await;
    let asked = transmitter.asked();
    assert_eq!(asked[1]["ack"], json!(["a"]));
    assert_eq!(
        asked[1]["setErrs"],
        json!({"old": {"err": "invalid_request", "description": why}})
    );
    // What may yet be kept is sent again, whatever else is refused.
    scene
        .store
        .fail(Some(ChangeError::State("disk".to_owned())));
    let (status, _) = scene.push(&set(json!({"jti": "b"}))).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn the_stream_shows_that_it_works() {
    let scene = Scene::new("");
    let ssf = "https://schemas.openid.net/secevent/ssf/event-type/";
    let stream = json!({"format": "opaque", "id": "stream-1"});
    for events in [
        json!({format!("{ssf}verification"): {"state": "abc"}}),
        json!({format!("{ssf}stream-updated"): {"status": "paused", "reason": "upkeep"}}),
    ] {
        let token = set(json!({"sub_id": stream, "events": events}));
        assert_eq!(scene.push(&token).await.0, StatusCode::ACCEPTED);
    }
    let shown = scene.shown().await;
    assert_eq!(shown["verification"]["state"], "abc");
    assert_eq!(shown["stream"]["status"], "paused");
    assert!(scene.store.events().is_empty());
}

#[tokio::test]
async fn tokens_that_must_not_be_taken() {
    let scene = Scene::new("");
    let signer = Signer::ed("k1", 1);
    let good = claims(json!({}));
    let header =
        |alg: &str, kid: &str| json!({"typ": "secevent+jwt", "alg": alg, "kid": kid}).to_string();
    let unsigned = format!("{}.{}.", b64(header("none", "k1")), b64(good.to_string()));
    let message = format!("{}.{}", b64(header("HS256", "r1")), b64(good.to_string()));
    let shared = EncodingKey::from_secret(rsa_public_pem().as_bytes());
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &shared, Algorithm::HS256).unwrap();
    let token = signer.typed("secevent+jwt", &good);
    let (head, _) = token.rsplit_once('.').unwrap();
    let many: serde_json::Map<_, _> = (0..17)
        .map(|n| (format!("https://e/{n}"), json!({})))
        .collect();
    let mut cases = vec![
        ("no token", "x".to_owned(), "invalid_request"),
        ("nothing", String::new(), "invalid_request"),
        ("typ", signer.typed("JWT", &good), "invalid_request"),
        ("typ at", signer.typed("at+jwt", &good), "invalid_request"),
        (
            "typ logout",
            signer.typed("logout+jwt", &good),
            "invalid_request",
        ),
        ("none", unsigned, "invalid_key"),
        (
            "shared secret",
            format!("{message}.{signature}"),
            "invalid_key",
        ),
        ("no signature", format!("{head}."), "invalid_key"),
        (
            "stranger's key",
            Signer::ed("k1", 9).typed("secevent+jwt", &good),
            "invalid_key",
        ),
        (
            "unknown key",
            Signer::ed("k7", 1).typed("secevent+jwt", &good),
            "invalid_key",
        ),
        (
            "algorithm of another kind",
            signer.raw(&header("RS256", "r1"), &good.to_string()),
            "invalid_key",
        ),
        (
            "algorithm that is not taken",
            Signer::rsa("r1", Algorithm::RS512).typed("secevent+jwt", &good),
            "invalid_key",
        ),
        (
            "oversized",
            set(json!({"more": "x".repeat(70_000)})),
            "invalid_request",
        ),
    ];
    for (what, over, code) in [
        ("iss", json!({"iss": "https://evil"}), "invalid_issuer"),
        ("no iss", json!({"iss": null}), "invalid_issuer"),
        ("aud", json!({"aud": "https://other"}), "invalid_audience"),
        (
            "auds",
            json!({"aud": ["https://other", 7]}),
            "invalid_audience",
        ),
        ("no aud", json!({"aud": null}), "invalid_audience"),
        ("no jti", json!({"jti": null}), "invalid_request"),
        ("empty jti", json!({"jti": ""}), "invalid_request"),
        (
            "long jti",
            json!({"jti": "x".repeat(257)}),
            "invalid_request",
        ),
        ("no iat", json!({"iat": null}), "invalid_request"),
        (
            "future iat",
            json!({"iat": seconds() + 3_600}),
            "invalid_request",
        ),
        ("iat is text", json!({"iat": "now"}), "invalid_request"),
        (
            "past exp",
            json!({"exp": seconds() - 3_600}),
            "invalid_request",
        ),
        ("no events", json!({"events": null}), "invalid_request"),
        ("empty events", json!({"events": {}}), "invalid_request"),
        ("events list", json!({"events": []}), "invalid_request"),
        (
            "too many events",
            json!({"events": many}),
            "invalid_request",
        ),
        (
            "payload",
            json!({"events": {format!("{CAEP}session-revoked"): 7}}),
            "invalid_request",
        ),
        (
            "level",
            json!({"events": {format!("{CAEP}risk-level-change"): {"current_level": "?"}}}),
            "invalid_request",
        ),
        ("no subject", json!({"sub_id": null}), "invalid_request"),
        (
            "subject",
            json!({"sub_id": {"format": "iss_sub"}}),
            "invalid_request",
        ),
    ] {
        cases.push((what, set(over), code));
    }
    for (what, token, code) in cases {
        let (status, answer) = scene.push(&token).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{what}: {answer}");
        assert_eq!(answer["err"], code, "{what}: {answer}");
        assert!(answer["description"].is_string(), "{what}");
    }
    assert!(scene.store.events().is_empty());
    assert_eq!(scene.push(&token).await.0, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_push_shows_what_it_is_to_show() {
    let scene = Scene::new("");
    let good = set(json!({}));
    for authorization in [
        None,
        Some("Bearer wrong"),
        Some(SECRET),
        Some("Basic what-the-transmitter-shows"),
        Some("Bearer what-the-transmitter-shows2"),
        Some(""),
    ] {
        let (status, answer) = scene.push_as(authorization, &good).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{authorization:?}");
        assert_eq!(answer["err"], "authentication_failed");
    }
    // A caller's key is not the transmitter's.
    let key = format!("Bearer {}", key_of(Scope::Events));
    let (_, answer) = scene.push_as(Some(&key), &good).await;
    assert_eq!(answer["err"], "authentication_failed");
    assert_eq!(scene.tally(SetResult::AuthenticationFailed), 7);
    assert!(scene.store.events().is_empty());
    // Guessing is paced, and keeps the transmitter out nowhere.
    let mut last = StatusCode::OK;
    for _ in 0..30 {
        last = scene.push_as(Some("Bearer wrong"), &good).await.0;
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(scene.push(&good).await.0, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_push_comes_as_it_is_to_come() {
    let scene = Scene::new("");
    let good = set(json!({}));
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::CONTENT_TYPE, ""),
        (header::CONTENT_ENCODING, "gzip"),
    ] {
        let mut pushed = request(Method::POST, "/ssf/idp", Some(SECRET));
        let headers = pushed.headers_mut();
        let kind = "application/secevent+jwt".parse().unwrap();
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(name, value.parse().unwrap());
        *pushed.body_mut() = Body::from(good.clone());
        let response = ask(&scene.app, &scene.router, pushed).await;
        assert_eq!(response.headers()[header::CONTENT_LANGUAGE], "en");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        assert_eq!(body(response).await["err"], "invalid_request", "{value}");
    }
    let elsewhere = request(Method::POST, "/ssf/other", Some(SECRET));
    let response = ask(&scene.app, &scene.router, elsewhere).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let mut twice = request(Method::POST, "/ssf/idp", Some(SECRET));
    let second = format!("Bearer {SECRET}").parse().unwrap();
    twice.headers_mut().append(header::AUTHORIZATION, second);
    twice.extensions_mut().insert(Arc::new(Peer::default()));
    let response = ask(&scene.app, &scene.router, twice).await;
    assert_eq!(body(response).await["err"], "authentication_failed");
}

#[tokio::test]
async fn what_cannot_be_stored_is_not_acknowledged() {
    let scene = Scene::new("");
    let token = set(json!({}));
    for error in [ChangeError::State("disk".to_owned()), ChangeError::Full(1)] {
        scene.store.fail(Some(error));
        let (status, problem) = scene.push(&token).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(problem["code"], "not_taken");
    }
    assert_eq!(scene.tally(SetResult::Unavailable), 2);
    scene.store.fail(None);
    assert_eq!(scene.push(&token).await.0, StatusCode::ACCEPTED);
    assert_eq!(scene.store.events().len(), 1);
}

#[tokio::test]
async fn keys_that_cannot_be_fetched_are_no_fault_of_the_token() {
    let down: Arc<dyn Fetch> =
        Arc::new(|_: &Call| -> Result<Reply, FetchError> { Err(FetchError::TimedOut) });
    let config: crate::service::config::ReceiverConfig = toml::from_str(&format!(
        "name = \"idp\"\nissuer = \"{ISSUER}\"\naudience = [\"https://pdp\"]\n"
    ))
    .unwrap();
    let receivers = crate::service::ssf::Receivers::new(&[config], &down).unwrap();
    let receiver = receivers.named("idp").unwrap();
    let error = receiver.read(&set(json!({})), Timestamp::now()).await;
    assert_eq!(error.unwrap_err().code(), None);
    assert!(receiver.trouble().unwrap().contains("ssf-configuration"));
}

#[tokio::test]
async fn keys_are_found_by_the_transmitters_own_document() {
    let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
    let client: Arc<dyn Fetch> = Arc::new(Client::new(None).unwrap());
    let config: crate::service::config::ReceiverConfig = toml::from_str(&format!(
        "name = \"idp\"\nissuer = \"{}\"\naudience = [\"https://pdp\"]\n\
         subjects = {{iss_sub = \"User\"}}\n",
        issuer.url
    ))
    .unwrap();
    let subject = json!({"format": "iss_sub", "iss": issuer.url, "sub": "ada"});
    let token = set(json!({"iss": issuer.url, "sub_id": subject}));
    let receivers =
        crate::service::ssf::Receivers::new(std::slice::from_ref(&config), &client).unwrap();
    let receiver = receivers.named("idp").unwrap();
    let reading = receiver.read(&token, Timestamp::now()).await.unwrap();
    assert_eq!(reading.events.len(), 1);
    assert_eq!(issuer.calls("/.well-known/ssf-configuration"), 1);
    assert_eq!(receivers.troubles().count(), 0);
    // Another issuer's document would bring another issuer's keys.
    issuer.name("https://elsewhere.example.com");
    let receivers = crate::service::ssf::Receivers::new(&[config], &client).unwrap();
    let receiver = receivers.named("idp").unwrap();
    let error = receiver.read(&token, Timestamp::now()).await.unwrap_err();
    assert_eq!(error.code(), None, "{error}");
    assert!(receivers.troubles().next().unwrap().contains("elsewhere"));
}

/// A transmitter that is polled: answers in their order, and what it was asked.
#[derive(Clone, Default)]
struct Transmitter {
    answers: Arc<Mutex<Vec<Result<Reply, FetchError>>>>,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Transmitter {
    fn answers(&self, sets: Value, more: bool) {
        let body = json!({"sets": sets, "moreAvailable": more}).to_string();
        let reply = Reply {
            status: 200,
            headers: Vec::new(),
            body: body.into_bytes(),
        };
        self.answers.lock().unwrap().push(Ok(reply));
    }

    fn fails(&self, error: FetchError) {
        self.answers.lock().unwrap().push(Err(error));
    }

    fn asked(&self) -> Vec<Value> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    fn poll(&self, scene: &Scene) -> Poll {
        let receiver = scene.app.receivers.named("idp").unwrap();
        let this = self.clone();
        let fetch = move |call: &Call| {
            assert_eq!(call.url, "https://idp.example.com/poll");
            let shown = ("authorization".to_owned(), format!("Bearer {SECRET}"));
            assert!(call.headers.contains(&shown));
            let body = serde_json::from_slice(&call.body).unwrap();
            this.asked.lock().unwrap().push(body);
            let mut answers = this.answers.lock().unwrap();
            match answers.is_empty() {
                true => Err(FetchError::TimedOut),
                false => answers.remove(0),
            }
        };
        Poll::new(&scene.app, receiver)
            .unwrap()
            .through(Arc::new(fetch))
    }
}

#[tokio::test]
async fn what_was_polled_for_is_acknowledged_once_it_is_stored() {
    let scene = Scene::new("");
    let transmitter = Transmitter::default();
    let mut poll = transmitter.poll(&scene);
    let forged = Signer::ed("k1", 9).typed("secevent+jwt", &claims(json!({"jti": "b"})));
    transmitter.answers(json!({"a": set(json!({"jti": "a"})), "b": forged}), true);
    transmitter.answers(json!({"c": set(json!({"jti": "c"}))}), false);
    transmitter.answers(json!({}), false);
    let rest = poll.round().await;
    assert_eq!(rest.as_secs(), 30);
    let asked = transmitter.asked();
    assert_eq!(asked[0], json!({"maxEvents": 2, "returnImmediately": true}));
    assert_eq!(asked[1]["ack"], json!(["a"]));
    assert_eq!(asked[1]["setErrs"]["b"]["err"], "invalid_key");
    assert_eq!(asked[2]["ack"], json!(["c"]));
    assert_eq!(asked.len(), 3);
    let ids: Vec<_> = scene.store.events().into_iter().map(|e| e.id).collect();
    assert_eq!(ids, ["a", "c"]);
    assert!(scene.shown().await["lastPoll"].is_string());
}

#[tokio::test]
async fn an_acknowledgement_that_was_not_heard_is_said_again() {
    let scene = Scene::new("");
    let transmitter = Transmitter::default();
    let mut poll = transmitter.poll(&scene);
    let token = set(json!({"jti": "a"}));
    transmitter.answers(json!({"a": token}), false);
    transmitter.fails(FetchError::TimedOut);
    let rest = poll.round().await;
    assert!(rest.as_secs() >= 60, "{rest:?}");
    // It was not heard, so the token comes again; it counts once.
    transmitter.answers(json!({"a": token}), false);
    transmitter.answers(json!({}), false);
    assert_eq!(poll.round().await.as_secs(), 30);
    let acks: Vec<_> = transmitter
        .asked()
        .iter()
        .map(|a| a["ack"].clone())
        .collect();
    assert_eq!(
        acks,
        [Value::Null, json!(["a"]), json!(["a"]), json!(["a"])]
    );
    assert_eq!(scene.store.events().len(), 1);
}

#[tokio::test]
async fn what_could_not_be_stored_is_polled_for_again() {
    let scene = Scene::new("");
    let transmitter = Transmitter::default();
    let mut poll = transmitter.poll(&scene);
    scene
        .store
        .fail(Some(ChangeError::State("disk".to_owned())));
    transmitter.answers(json!({"a": set(json!({"jti": "a"}))}), false);
    assert!(poll.round().await.as_secs() >= 60);
    assert_eq!(transmitter.asked().len(), 1);
    scene.store.fail(None);
    transmitter.answers(json!({"a": set(json!({"jti": "a"}))}), false);
    transmitter.answers(json!({}), false);
    poll.round().await;
    let asked = transmitter.asked();
    assert!(asked[0].get("ack").is_none(), "{}", asked[0]);
    assert_eq!(asked[1]["ack"], json!(["a"]));
}

#[tokio::test]
async fn a_transmitter_that_misbehaves_is_polled_more_rarely() {
    let scene = Scene::new("");
    let transmitter = Transmitter::default();
    let mut poll = transmitter.poll(&scene);
    transmitter.fails(FetchError::TooLong);
    transmitter.fails(FetchError::Status(500));
    let rests = [poll.round().await, poll.round().await, poll.round().await];
    assert!(rests[0].as_secs() >= 60 && rests[1].as_secs() >= 120);
    assert!(rests[2].as_secs() >= 240);
    // An answer that was too long is asked for in smaller parts.
    assert_eq!(transmitter.asked()[1]["maxEvents"], 1);
    let shown = scene.shown().await;
    assert_eq!(shown["lastError"]["detail"], "no answer in time");
    transmitter.answers(json!([]), true);
    assert!(poll.once().await.is_err());
    // More than was asked for is left for the next poll.
    let flood: serde_json::Map<_, _> = (0..5)
        .map(|n| {
            let jti = format!("n{n}");
            let token = set(json!({"jti": jti}));
            (jti, Value::from(token))
        })
        .collect();
    transmitter.answers(flood.into(), false);
    assert_eq!(poll.once().await, Ok(true));
    assert_eq!(scene.store.events().len(), 2);
}

#[tokio::test]
async fn without_a_store_tokens_are_not_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (keys, secret) = (dir.path().join("keys"), dir.path().join("secret"));
    std::fs::write(
        &keys,
        json!({"keys": [Signer::ed("k1", 1).jwk]}).to_string(),
    )
    .unwrap();
    std::fs::write(&secret, SECRET).unwrap();
    let app = app(&format!(
        "[[receivers]]\nname = \"idp\"\nissuer = \"{ISSUER}\"\naudience = [\"https://pdp\"]\n\
         jwks_file = \"{}\"\npush = {{authorization = {{file = \"{}\"}}}}\n",
        keys.display(),
        secret.display()
    ));
    let router = routes::main(Arc::clone(&app));
    let mut pushed = request(Method::POST, "/ssf/idp", Some(SECRET));
    let kind = "application/secevent+jwt".parse().unwrap();
    pushed.headers_mut().insert(header::CONTENT_TYPE, kind);
    *pushed.body_mut() = Body::from(set(json!({})));
    let response = ask(&app, &router, pushed).await;
    assert_eq!(response.status(), StatusCode::NOT_IMPLEMENTED);
    let receiver = app.receivers.named("idp").unwrap();
    assert!(Poll::new(&app, receiver).is_none());
}

#[test]
fn no_token_whatever_is_the_servers_fault() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let scene = Scene::new("");
    let signer = Signer::ed("k1", 1);
    let uris = prop_oneof![
        Just("session-revoked"),
        Just("risk-level-change"),
        Just("credential-change"),
        Just("assurance-level-change"),
        Just("../verification"),
    ];
    let case = (uris, json_like(), json_like(), json_like());
    proptest!(ProptestConfig::with_cases(96), |((uri, payload, subject, other) in case)| {
        let events = json!({format!("{CAEP}{uri}"): payload});
        for over in [
            json!({"events": events, "sub_id": subject}),
            json!({"events": other, "sub_id": subject}),
            json!({"events": {format!("{CAEP}session-revoked"): {}}, "sub_id": {"format": "complex", "user": other}}),
            json!({"iat": other, "jti": subject, "aud": payload}),
        ] {
            let token = signer.typed("secevent+jwt", &claims(over));
            let (status, answer) = runtime.block_on(scene.push(&token));
            let known = [StatusCode::ACCEPTED, StatusCode::BAD_REQUEST].contains(&status);
            prop_assert!(known, "{status} {answer}");
        }
    });
}

proptest! {
    #[test]
    fn no_answer_to_a_poll_stops_the_receiver(body in prop::collection::vec(any::<u8>(), 0..200), sets in json_like()) {
        let _ = crate::service::ssf::read_batch(&body, 10);
        let text = json!({"sets": sets, "moreAvailable": true}).to_string();
        if let Ok(batch) = crate::service::ssf::read_batch(text.as_bytes(), 10) {
            prop_assert!(batch.sets.len() <= 10);
        }
    }
}
