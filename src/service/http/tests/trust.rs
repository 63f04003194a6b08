//! The sample workspace end to end: a step-up, a revocation by event and by security event token, and
//! what `report` says in place of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::requests::{ask, body, request};
use crate::base::caller::Scope;
use crate::base::hex::hex;
use crate::base::timestamp::Timestamp;
use crate::service::config::Config;
use crate::service::http::app::App;
use crate::service::http::routes;
use crate::service::tokens::tests::issuer::{Signer, TestIssuer};

const KEY: &str = "the-key-of-the-reports-application";
const PUSH: &str = "what-the-transmitter-shows";
const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
/// A Tuesday, within office hours.
const MORNING: &str = "2026-03-10T10:00:00Z";

struct Scene {
    app: Arc<App>,
    router: Router,
    clock: Arc<AtomicI64>,
    issuer: TestIssuer,
    _dir: tempfile::TempDir,
}

impl Scene {
    /// The sample in a mode, with or without a state directory.
    fn new(mode: &str, durable: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sample = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/policies/workspace/deodar.toml"
        );
        let file = std::fs::read_to_string(sample).unwrap();
        let file = file.replacen("\"report\"", &format!("{mode:?}"), 1);
        let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
        let path = |name: &str| dir.path().join(name).display().to_string();
        let keys = json!({"keys": [Signer::ed("k1", 1).jwk]});
        std::fs::write(path("jwks.json"), keys.to_string()).unwrap();
        std::fs::write(path("push"), PUSH).unwrap();
        let hash = hex(&Sha256::digest(KEY));
        let scopes: Vec<_> = Scope::ALL.iter().map(|scope| scope.name()).collect();
        let more = format!(
            "\n[limits]\nmanage_per_second = 100000\n[[callers]]\nname = \"reports\"\nscopes = {scopes:?}\nkey_sha256 = [\"{hash}\"]\n\
             handles = [\"log_access\", \"watermark\"]\n\
             [[receivers]]\nname = \"idp\"\nissuer = \"https://idp.example.com\"\naudience = [\"https://pdp\"]\n\
             jwks_file = \"{}\"\nsubjects = {{iss_sub = \"Workspace::User\"}}\n\
             push = {{authorization = {{file = \"{}\"}}}}\n\
             [[issuers]]\nissuer = \"{}\"\naudience = [\"app\"]\nusage = \"principal\"\n\
             principal_type = \"Workspace::User\"\n",
            path("jwks.json"),
            path("push"),
            issuer.url,
        );
        let file = format!("{file}{more}");
        let at = std::path::Path::new(sample);
        let config = Config::from_parts(Some((at, &file)), std::iter::empty(), &[]).unwrap();
        let clock = Arc::new(AtomicI64::new(
            MORNING.parse::<Timestamp>().unwrap().as_millis(),
        ));
        let shown = Arc::clone(&clock);
        let clock_of = move || Timestamp::from_millis(shown.load(Ordering::SeqCst));
        let store = durable.then(|| {
            let settings = crate::storage::StoreSettings::default();
            crate::storage::Store::open(&dir.path().join("state"), settings).unwrap()
        });
        let app =
            crate::service::http::serve::start::app(&config, store, Box::new(clock_of)).unwrap();
        let kept = app.keep_signals(&config).unwrap();
        app.begin(config.pdp().signals(kept).build().unwrap());
        let app = Arc::new(app);
        Self {
            router: routes::main(Arc::clone(&app)),
            app,
            clock,
            issuer,
            _dir: dir,
        }
    }

    fn later(&self, seconds: i64) {
        self.clock.fetch_add(seconds * 1_000, Ordering::SeqCst);
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.load(Ordering::SeqCst))
    }

    async fn post(&self, path: &str, sent: &Value) -> (StatusCode, Value) {
        let mut posted = request(Method::POST, path, Some(KEY));
        *posted.body_mut() = Body::from(sent.to_string());
        let response = ask(&self.app, &self.router, posted).await;
        (response.status(), body(response).await)
    }

    /// A finance report, from a session whose circumstances are good but for a medium risk.
    async fn report(&self, who: Value, session: Option<&str>) -> Value {
        let mut asked = json!({
            "action": "Workspace::Action::\"readReport\"",
            "resource": "Workspace::Report::\"q1-2026\"",
            "client": {"device": "laptop-7", "ip": "10.20.3.4"},
            "explain": true,
            "signals": {
                "identity": {"mfaEnrolled": true, "mfaVerified": true, "phishingResistant": true,
                             "accountCreated": "2020-05-01T00:00:00Z", "suspiciousActivity": false},
                "device": {"registered": true, "trust": "high", "lastScan": "2026-03-09T22:00:00Z",
                           "jailbroken": false, "currentOs": true, "managed": true,
                           "certificate": true, "compliant": true},
                "location": {"country": "NO"},
                "network": {"mutualTls": true},
                "risk": "MEDIUM",
            },
        });
        let members = asked.as_object_mut().unwrap();
        members.extend(who.as_object().unwrap().clone());
        if let Some(session) = session {
            members["client"]["session"] = session.into();
        }
        let (status, answer) = self.post("/authorize", &asked).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    }

    async fn greta(&self, session: &str) -> Value {
        let who = json!({"principal": "Workspace::User::\"greta\""});
        self.report(who, Some(session)).await
    }

    async fn authenticate(&self, session: &str) {
        let record = json!({
            "session": session, "user": "Workspace::User::\"greta\"",
            "method": "webauthn", "userVerified": true,
        });
        let (status, answer) = self.post("/assurance", &record).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }

    async fn revoke(&self, session: &str, id: &str) {
        let event = json!({
            "id": id, "type": "session-revoked", "timestamp": self.now().to_string(),
            "subject": {"user": "Workspace::User::\"greta\"", "session": session},
        });
        let (status, answer) = self.post("/events", &event).await;
        assert_eq!(status, StatusCode::ACCEPTED);
        assert_eq!(answer["results"][0]["status"], "accepted", "{answer}");
    }
}

#[track_caller]
fn check(answer: &Value, decision: &str, cause: &str) {
    let found = (&answer["decision"], &answer["cause"]);
    assert_eq!(found, (&json!(decision), &json!(cause)), "{answer:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_up_lets_the_same_request_pass_until_the_session_is_revoked() {
    for durable in [false, true] {
        let scene = Scene::new("enforce", durable);
        let denied = scene.greta("s1").await;
        check(&denied, "Deny", "step_up_required");
        let step_up = &denied["obligations"][0];
        assert_eq!(step_up["type"], "step_up");
        assert_eq!(step_up["properties"]["acrValues"], json!(["4"]));
        assert_eq!(step_up["properties"]["maxAge"], 300);
        let methods = &step_up["properties"]["methods"];
        assert_eq!(methods[0]["method"], "webauthn");
        assert_eq!(methods[0]["userVerification"], true);
        assert_eq!(denied["unmet"][0]["policy"], "finance-report-read");
        assert_eq!(denied["trust"]["enforcement"], "enforce");

        scene.authenticate("s1").await;
        check(&scene.greta("s1").await, "Allow", "permitted");
        // Another session, and another user's claim to this one, are no better for it.
        check(&scene.greta("s2").await, "Deny", "step_up_required");
        let frode = json!({"principal": "Workspace::User::\"frode\""});
        let other = scene.report(frode, Some("s1")).await;
        check(&other, "Deny", "step_up_required");
        // Level 4 lasts five minutes with a passkey.
        scene.later(301);
        check(&scene.greta("s1").await, "Deny", "step_up_required");
        scene.authenticate("s1").await;
        check(&scene.greta("s1").await, "Allow", "permitted");

        scene.later(1);
        scene.revoke("s1", "e1").await;
        let revoked = scene.greta("s1").await;
        check(&revoked, "Deny", "knocked_out");
        assert_eq!(revoked["trust"]["knockOuts"], json!(["session_revoked"]));
        assert_eq!(revoked["obligations"], json!([]));
        // A new session is one.
        scene.later(1);
        scene.authenticate("s3").await;
        check(&scene.greta("s3").await, "Allow", "permitted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_security_event_token_revokes_at_once() {
    let scene = Scene::new("enforce", false);
    scene.authenticate("s1").await;
    check(&scene.greta("s1").await, "Allow", "permitted");
    scene.later(1);
    let seconds = scene.now().as_millis() / 1_000;
    let set = Signer::ed("k1", 1).typed(
        "secevent+jwt",
        &json!({
            "iss": "https://idp.example.com", "aud": "https://pdp", "jti": "j1", "iat": seconds,
            "sub_id": {"format": "complex",
                "user": {"format": "iss_sub", "iss": "https://idp.example.com", "sub": "greta"},
                "session": {"format": "opaque", "id": "s1"}},
            "events": {SESSION_REVOKED: {"event_timestamp": seconds}},
        }),
    );
    let mut pushed = request(Method::POST, "/ssf/idp", Some(PUSH));
    let kind = "application/secevent+jwt".parse().unwrap();
    pushed.headers_mut().insert(header::CONTENT_TYPE, kind);
    *pushed.body_mut() = Body::from(set);
    let response = ask(&scene.app, &scene.router, pushed).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    check(&scene.greta("s1").await, "Deny", "knocked_out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_token_of_a_revoked_session_is_denied_at_once() {
    let scene = Scene::new("enforce", false);
    let seconds = scene.now().as_millis() / 1_000;
    let token = Signer::ed("k1", 1).token(&json!({
        "iss": scene.issuer.url, "aud": "app", "sub": "greta", "sid": "s9",
        "iat": seconds - 5, "exp": seconds + 600, "auth_time": seconds - 5, "amr": ["hwk", "pin"],
    }));
    let who = || json!({"token": token});
    check(&scene.report(who(), None).await, "Allow", "permitted");
    let calls = scene.issuer.calls("/jwks");
    check(&scene.report(who(), None).await, "Allow", "permitted");
    // The token was not verified again.
    assert_eq!(scene.issuer.calls("/jwks"), calls);
    scene.later(1);
    scene.revoke("s9", "e1").await;
    check(&scene.report(who(), None).await, "Deny", "knocked_out");
}

#[tokio::test(flavor = "multi_thread")]
async fn report_says_what_enforce_does() {
    let scene = Scene::new("report", false);
    let answer = scene.greta("s1").await;
    check(&answer, "Allow", "permitted");
    assert_eq!(answer["wouldBe"]["decision"], "Deny");
    assert_eq!(answer["wouldBe"]["cause"], "step_up_required");
    assert_eq!(answer["wouldBe"]["obligations"][0]["type"], "step_up");
    assert_eq!(answer["obligations"], json!([]));
    scene.authenticate("s1").await;
    let answer = scene.greta("s1").await;
    check(&answer, "Allow", "permitted");
    assert!(answer.get("wouldBe").is_none(), "{answer:#}");
    scene.later(1);
    scene.revoke("s1", "e1").await;
    let answer = scene.greta("s1").await;
    check(&answer, "Allow", "permitted");
    assert_eq!(answer["wouldBe"]["cause"], "knocked_out");
    let figures = request(Method::GET, "/metrics", Some(KEY));
    let figures = ask(&scene.app, &scene.router, figures).await;
    let text = http_body_util::BodyExt::collect(figures.into_body()).await;
    let text = String::from_utf8(text.unwrap().to_bytes().to_vec()).unwrap();
    for line in [
        "deodar_would_deny_total{cause=\"step_up_required\"} 1",
        "deodar_would_deny_total{cause=\"knocked_out\"} 1",
        "deodar_scored_total{risk=\"LOW\"} 3",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_locks_nobody_out_and_every_lock_has_a_way_back() {
    let scene = Scene::new("enforce", false);
    scene.authenticate("s1").await;
    check(&scene.greta("s1").await, "Allow", "permitted");
    for n in 0..50 {
        let event = json!({
            "id": format!("f{n}"), "type": "auth.login_failed", "severity": "high",
            "timestamp": scene.now().to_string(),
            "subject": {"user": "Workspace::User::\"greta\"", "ip": "203.0.113.9"},
        });
        assert_eq!(scene.post("/events", &event).await.0, StatusCode::ACCEPTED);
    }
    check(&scene.greta("s1").await, "Allow", "permitted");
    // What is truly hers holds until it is remediated.
    let event = json!({
        "id": "c1", "type": "credential-compromise", "timestamp": scene.now().to_string(),
        "subject": {"user": "Workspace::User::\"greta\""},
    });
    scene.post("/events", &event).await;
    let held = scene.greta("s1").await;
    assert_eq!(held["decision"], "Deny", "{held:#}");
    let path = "/subjects/Workspace::User/greta/remediate";
    let (status, answer) = scene.post(path, &json!({"reason": "new password"})).await;
    assert!(status.is_success(), "{answer}");
    check(&scene.greta("s1").await, "Allow", "permitted");
}
