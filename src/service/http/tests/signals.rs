//! Events, devices, assurance and subjects over HTTP.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::recorder::Recorder;
use super::requests::{app, ask, body, key_of, request};
use crate::base::caller::Scope;
use crate::base::hex::hex;
use crate::service::http::app::App;
use crate::service::http::routes;
use crate::trust::subjects::{Change, ChangeError, SubjectKind};

struct Scene {
    app: Arc<App>,
    router: Router,
    store: Arc<Recorder>,
}

impl Scene {
    fn new() -> Self {
        let app = app("");
        let router = routes::main(Arc::clone(&app));
        let store = Recorder::of(&app);
        Self { app, router, store }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        scope: Scope,
        sent: impl ToString,
    ) -> (StatusCode, Value) {
        let mut request = request(method, path, Some(&key_of(scope)));
        *request.body_mut() = Body::from(sent.to_string());
        let response = ask(&self.app, &self.router, request).await;
        (response.status(), body(response).await)
    }

    async fn report(&self, sent: impl ToString) -> (StatusCode, Value) {
        self.send(Method::POST, "/events", Scope::Events, sent)
            .await
    }
}

fn event(id: &str) -> Value {
    json!({
        "id": id, "type": "auth.login_failed", "timestamp": "2026-03-10T10:00:00Z",
        "severity": "medium", "subject": {"user": "User::\"ada\""},
    })
}

#[tokio::test]
async fn events_are_answered_each_by_itself() {
    let scene = Scene::new();
    let (status, answer) = scene.report(event("a")).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(
        answer,
        json!({"results": [{"id": "a", "status": "accepted"}]})
    );
    let mut broken = event("c");
    broken["severity"] = json!("grave");
    let many =
        json!({"events": [event("a"), event("b"), broken, 7, event("old"), event("unlucky")]});
    let (status, answer) = scene.report(many).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let results = answer["results"].as_array().unwrap();
    let got: Vec<_> = results
        .iter()
        .map(|r| {
            (
                r["id"].as_str(),
                r["status"].as_str().unwrap(),
                r["code"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        got,
        [
            (Some("a"), "duplicate", None),
            (Some("b"), "accepted", None),
            (Some("c"), "refused", Some("invalid_request")),
            (None, "refused", Some("invalid_request")),
            (Some("old"), "refused", Some("too_old")),
            (Some("unlucky"), "refused", Some("signals_not_kept")),
        ]
    );
    assert_eq!(results[2]["errors"][0]["pointer"], "/events/2/severity");
    assert_eq!(results[3]["errors"][0]["pointer"], "/events/3");
    let events = scene.store.events();
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|event| event.source == "events"));
    let text = scene.app.metrics.encode().unwrap();
    for line in [
        "deodar_events_total{type=\"auth.login_failed\",result=\"accepted\"} 2",
        "deodar_events_total{type=\"auth.login_failed\",result=\"duplicate\"} 1",
        "deodar_events_total{type=\"auth.login_failed\",result=\"not_kept\"} 1",
        "deodar_events_total{type=\"unreadable\",result=\"refused\"} 2",
    ] {
        assert!(text.contains(line), "{line}");
    }
}

/// The answers to events by a caller with these scopes, by id.
async fn reported_with(scopes: &[Scope], events: &[Value]) -> (Vec<(String, Value)>, Vec<String>) {
    let key = "the-key-of-a-reporter-with-scopes";
    let hash = hex(&Sha256::digest(key));
    let scopes: Vec<_> = scopes.iter().map(|scope| scope.name()).collect();
    let app = app(&format!(
        "[[callers]]\nname = \"reporter\"\nscopes = {scopes:?}\nkey_sha256 = [\"{hash}\"]\n"
    ));
    let router = routes::main(Arc::clone(&app));
    let store = Recorder::of(&app);
    let mut sent = request(Method::POST, "/events", Some(key));
    *sent.body_mut() = Body::from(json!({ "events": events }).to_string());
    let response = ask(&app, &router, sent).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let answer = body(response).await;
    let results = answer["results"].as_array().unwrap().iter();
    let results = results.map(|r| (r["id"].as_str().unwrap().to_owned(), r.clone()));
    let kept = store.events().into_iter().map(|event| event.id);
    (results.collect(), kept.collect())
}

#[tokio::test]
async fn events_alone_better_nothing() {
    let (assurance, devices, subjects) = (
        Some(Scope::AssuranceWrite),
        Some(Scope::DevicesWrite),
        Some(Scope::SubjectsWrite),
    );
    let cases = [
        ("session-established", json!({}), assurance),
        ("assurance-level-change", json!({"level": 3}), assurance),
        ("assurance-level-change", json!({"level": 0}), assurance),
        (
            "device-compliance-change",
            json!({"compliant": true}),
            devices,
        ),
        (
            "device-compliance-change",
            json!({"compliant": false}),
            None,
        ),
        ("account-enabled", json!({}), subjects),
        ("account-disabled", json!({}), None),
        ("risk-level-change", json!({"level": "LOW"}), subjects),
        // It would take the place of `HIGH`.
        ("risk-level-change", json!({"level": "MEDIUM"}), subjects),
        ("risk-level-change", json!({"level": "HIGH"}), None),
        ("credential-change", json!({"change": "create"}), None),
        (
            "credential-change",
            json!({"change": "create", "method": "webauthn"}),
            subjects,
        ),
        ("credential-change", json!({"change": "update"}), subjects),
        ("credential-change", json!({"change": "revoke"}), subjects),
        ("credential-change", json!({"change": "delete"}), subjects),
        ("credential-compromise", json!({}), None),
        ("session-revoked", json!({}), None),
        ("auth.login_failed", json!({}), None),
    ];
    let events: Vec<_> = cases
        .iter()
        .enumerate()
        .map(|(n, (name, data, _))| {
            let mut event = event(&n.to_string());
            event["type"] = json!(name);
            event["data"] = data.clone();
            event["subject"]["session"] = json!("s");
            event["subject"]["device"] = json!("d");
            event
        })
        .collect();
    for more in [None, assurance, devices, subjects] {
        let scopes: Vec<_> = [Some(Scope::Events), more].into_iter().flatten().collect();
        let (answers, kept) = reported_with(&scopes, &events).await;
        assert_eq!(answers.len(), cases.len());
        for ((name, data, needs), (id, answer)) in cases.iter().zip(&answers) {
            let taken = needs.is_none() || *needs == more;
            assert_eq!(kept.contains(id), taken, "{name} {data} {more:?}");
            if taken {
                assert_eq!(answer["status"], "accepted", "{name} {data} {more:?}");
                continue;
            }
            assert_eq!(answer["status"], "refused", "{name} {data} {more:?}");
            assert_eq!(answer["code"], "scope_required");
            let scope = needs.unwrap().name();
            let detail = answer["detail"].as_str().unwrap();
            assert!(detail.contains(&format!("`{scope}`")), "{detail}");
        }
    }
}

#[tokio::test]
async fn a_body_that_is_no_event_is_a_fault_of_the_request() {
    let scene = Scene::new();
    let huge = json!({"events": vec![event("x"); 1_001]});
    for (sent, pointer) in [
        ("not json".to_owned(), ""),
        ("[]".to_owned(), ""),
        ("{}".to_owned(), "/id"),
        (r#"{"events":[]}"#.to_owned(), "/events"),
        (r#"{"events":7}"#.to_owned(), "/events"),
        (r#"{"events":[{}],"id":"a"}"#.to_owned(), "/id"),
        (r#"{"id":"a","id":"b"}"#.to_owned(), "/id"),
        (huge.to_string(), "/events"),
        (event("").to_string(), "/id"),
    ] {
        let (status, problem) = scene.report(&sent).await;
        let shown = sent.get(..40).unwrap_or(&sent);
        assert_eq!(status, StatusCode::BAD_REQUEST, "{shown}");
        assert_eq!(
            problem["errors"][0]["pointer"], pointer,
            "{shown} {problem}"
        );
    }
    let long = format!("{{\"id\":\"{}\"}}", "x".repeat(2 << 20));
    assert_eq!(scene.report(long).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(scene.store.events().is_empty());
}

#[tokio::test]
async fn a_thousand_events_are_taken_at_once() {
    let scene = Scene::new();
    let events: Vec<_> = (0..1_000).map(|n| event(&n.to_string())).collect();
    let (status, answer) = scene.report(json!({ "events": events })).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    assert_eq!(answer["results"].as_array().unwrap().len(), 1_000);
    assert_eq!(scene.store.events().len(), 1_000);
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_acknowledged() {
    let scene = Scene::new();
    scene
        .store
        .fail(Some(ChangeError::State("disk".to_owned())));
    let (status, problem) = scene
        .report(json!({"events": [event("a"), event("b")]}))
        .await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(problem["code"], "signals_not_kept");
    assert!(!problem["detail"].as_str().unwrap().contains("disk"));
    scene.store.fail(Some(ChangeError::Full(10)));
    let (status, problem) = scene.report(event("a")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(problem["code"], "signals_full");
    let device = json!({"id": "d"});
    let post = |sent: Value| scene.send(Method::POST, "/devices", Scope::DevicesWrite, sent);
    let (status, problem) = post(device.clone()).await;
    assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(problem["code"], "signals_full");
    scene.store.fail(Some(ChangeError::Refused {
        code: "too_many_devices",
        message: "the user has 100 devices".to_owned(),
    }));
    let (status, problem) = post(device.clone()).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem["code"], "too_many_devices");
    scene.store.fail(None);
    assert_eq!(post(device).await.0, StatusCode::OK);
    assert_eq!(scene.report(event("a")).await.0, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn without_a_store_there_is_nothing_to_say_it_to() {
    let app = app("");
    let router = routes::main(Arc::clone(&app));
    for (method, path, scope) in [
        (Method::POST, "/events", Scope::Events),
        (Method::POST, "/devices", Scope::DevicesWrite),
        (Method::GET, "/devices/d", Scope::SubjectsRead),
        (Method::DELETE, "/devices/d", Scope::DevicesWrite),
        (Method::POST, "/assurance", Scope::AssuranceWrite),
        (Method::GET, "/subjects", Scope::SubjectsRead),
        (Method::GET, "/subjects/U/a", Scope::SubjectsRead),
        (Method::DELETE, "/subjects/U/a", Scope::SubjectsWrite),
        (
            Method::POST,
            "/subjects/U/a/remediate",
            Scope::SubjectsWrite,
        ),
        (Method::POST, "/subjects/U/a/override", Scope::SubjectsWrite),
        (
            Method::DELETE,
            "/subjects/U/a/override",
            Scope::SubjectsWrite,
        ),
        (Method::PUT, "/subjects/U/a/account", Scope::SubjectsWrite),
    ] {
        let asked = request(method.clone(), path, Some(&key_of(scope)));
        let response = ask(&app, &router, asked).await;
        assert_eq!(
            response.status(),
            StatusCode::NOT_IMPLEMENTED,
            "{method} {path}"
        );
        let problem = body(response).await;
        assert_eq!(problem["code"], "no_signals");
        assert!(
            problem["detail"]
                .as_str()
                .unwrap()
                .contains("without a store")
        );
    }
}

#[tokio::test]
async fn devices_are_registered_reported_on_and_removed() {
    let scene = Scene::new();
    let sent = json!({
        "id": "d1", "user": "User::\"ada\"", "trust": "high", "lastScan": "2026-03-10T10:00:00Z",
        "jailbroken": false, "currentOs": true, "managed": true, "certificate": false,
        "indicators": ["outdated_os"], "compliant": true,
    });
    let (status, answer) = scene
        .send(Method::POST, "/devices", Scope::DevicesWrite, sent)
        .await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let Some(Change::Device(record)) = scene.store.changes().pop() else {
        panic!("no device");
    };
    assert_eq!(
        (record.id.as_str(), record.facts.trust),
        ("d1", Some(crate::trust::model::DeviceTrust::High))
    );
    assert_eq!(record.user.unwrap().to_string(), "User::\"ada\"");
    assert_eq!(
        (
            record.facts.jailbroken,
            record.facts.current_os,
            record.facts.managed,
            record.facts.certificate,
            record.compliant
        ),
        (Some(false), Some(true), Some(true), Some(false), Some(true))
    );
    let indicators = record.facts.indicators.unwrap();
    assert!(indicators.outdated_os && !indicators.compromised_os);
    for (sent, pointer) in [
        (json!({}), "/id"),
        (json!({"id": "d\u{0}"}), "/id"),
        (json!({"id": "d", "trust": "total"}), "/trust"),
        (json!({"id": "d", "indicators": ["rust"]}), "/indicators/0"),
        (json!({"id": "d", "managed": 1}), "/managed"),
        (json!({"id": "d", "lastscan": 1}), "/lastscan"),
        (json!({"id": "d", "user": "ada"}), "/user"),
    ] {
        let (status, problem) = scene
            .send(Method::POST, "/devices", Scope::DevicesWrite, &sent)
            .await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{sent}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    let get = |path: &'static str| scene.send(Method::GET, path, Scope::SubjectsRead, "");
    let delete = |path: &'static str| scene.send(Method::DELETE, path, Scope::DevicesWrite, "");
    assert_eq!(get("/devices/d1").await.0, StatusCode::NOT_FOUND);
    assert_eq!(delete("/devices/d1").await.0, StatusCode::NOT_FOUND);
    scene.store.know(SubjectKind::Device("d/1".to_owned()));
    let (status, known) = get("/devices/d%2F1").await;
    assert_eq!((status, &known["id"]), (StatusCode::OK, &json!("d/1")));
    assert_eq!(delete("/devices/d%2F1").await.0, StatusCode::OK);
    let removed = scene.store.changes().pop();
    assert_eq!(removed, Some(Change::RemoveDevice("d/1".to_owned())));
}

#[tokio::test]
async fn an_authentication_is_recorded_for_its_session() {
    let scene = Scene::new();
    let post = |sent: Value| scene.send(Method::POST, "/assurance", Scope::AssuranceWrite, sent);
    let with = |over: Value| {
        let mut sent = json!({"session": "s", "user": "User::\"ada\"", "method": "webauthn"});
        let members = sent.as_object_mut().unwrap();
        members.extend(over.as_object().unwrap().clone());
        members.retain(|_, value| !value.is_null());
        sent
    };
    let (status, answer) = post(with(json!({"userVerified": true}))).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    assert_eq!(answer["assurance"]["method"], "webauthn");
    let (status, answer) = post(with(json!({"method": null, "acr": "nist-aal2"}))).await;
    assert_eq!(
        (status, &answer["assurance"]["level"]),
        (StatusCode::CREATED, &json!(2))
    );
    let ago = |minutes: i64| {
        let now = crate::base::timestamp::Timestamp::now().as_millis();
        crate::base::timestamp::Timestamp::from_millis(now - minutes * 60_000).to_string()
    };
    let at = ago(24 * 60 - 5);
    let (status, _) = post(with(json!({"method": null, "level": 3, "at": at}))).await;
    assert_eq!(status, StatusCode::CREATED);
    let levels: Vec<_> = scene
        .store
        .changes()
        .into_iter()
        .map(|change| match change {
            Change::Assurance(record) => (
                record.evidence.method,
                record.evidence.level,
                record.evidence.user_verified,
            ),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        levels,
        [
            (Some(crate::trust::model::Method::Webauthn), None, true),
            (None, Some(2), false),
            (None, Some(3), false),
        ]
    );
    for (over, pointer) in [
        (json!({"session": null}), "/session"),
        (json!({"user": null}), "/user"),
        (json!({"method": null}), ""),
        (json!({"level": 2}), ""),
        (json!({"method": "magic"}), "/method"),
        (json!({"method": null, "level": 9}), "/level"),
        (json!({"method": null, "acr": "gold"}), "/acr"),
        (json!({"userVerified": "yes"}), "/userVerified"),
        (json!({"method": "admin_approval"}), "/method"),
        (json!({"session": "s\u{7}"}), "/session"),
        (json!({"session": "x".repeat(257)}), "/session"),
        (json!({"at": "9000-01-01T00:00:00Z"}), "/at"),
        (json!({"at": ago(24 * 60 + 5)}), "/at"),
        (json!({"expires": at}), "/expires"),
        (json!({"mehtod": 1}), "/mehtod"),
    ] {
        let (status, problem) = post(with(over.clone())).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{over}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{over} {problem}");
        assert_eq!(
            problem["errors"].as_array().unwrap().len(),
            1,
            "{over} {problem}"
        );
    }
}

#[tokio::test]
async fn an_approval_is_no_authentication() {
    let scene = Scene::new();
    let sent = json!({"session": "s", "user": "User::\"ada\"", "method": "admin_approval"});
    let (_, problem) = scene
        .send(Method::POST, "/assurance", Scope::AssuranceWrite, sent)
        .await;
    assert_eq!(problem["code"], "invalid_request");
    assert_eq!(
        problem["errors"][0]["detail"],
        "`admin_approval` is none of password_confirmation, totp, sms_otp, backup_codes, \
         push_notification, webauthn"
    );
    assert!(scene.store.changes().is_empty());
}

#[tokio::test]
async fn what_is_known_already_may_be_in_the_way() {
    let scene = Scene::new();
    let sent = json!({"session": "s", "user": "User::\"ada\"", "method": "totp"});
    for code in [
        "session_revoked",
        "session_of_another",
        "device_of_another",
        "another",
    ] {
        scene.store.fail(Some(ChangeError::Refused {
            code,
            message: "no".to_owned(),
        }));
        let path = "/assurance";
        let (status, problem) = scene
            .send(Method::POST, path, Scope::AssuranceWrite, &sent)
            .await;
        let got = (status, problem["code"].as_str(), problem["detail"].as_str());
        assert_eq!(got, (StatusCode::CONFLICT, Some(code), Some("no")));
    }
    scene.store.fail(Some(ChangeError::Refused {
        code: "device_of_another",
        message: "no".to_owned(),
    }));
    let (status, _) = scene
        .send(
            Method::POST,
            "/devices",
            Scope::DevicesWrite,
            json!({"id": "d"}),
        )
        .await;
    assert_eq!(status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn subjects_are_shown_and_given_a_way_back() {
    let scene = Scene::new();
    let user: crate::base::entity_ref::EntityRef = "Acme::User::\"a b\"".parse().unwrap();
    scene.store.know(SubjectKind::User(user.clone()));
    scene
        .store
        .know(SubjectKind::Ip("192.0.2.1".parse().unwrap()));
    let read = |path: &'static str| scene.send(Method::GET, path, Scope::SubjectsRead, "");
    let (status, held) = read("/subjects").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        held,
        json!({"subjects": [
            {"type": "Acme::User", "id": "a b"}, {"type": "ip", "id": "192.0.2.1"},
        ], "more": false})
    );
    let (_, held) = read("/subjects?limit=1").await;
    assert_eq!(
        (held["subjects"].as_array().unwrap().len(), &held["more"]),
        (1, &json!(true))
    );
    let (status, known) = read("/subjects/Acme::User/a%20b").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        known,
        json!({"type": "Acme::User", "id": "a b", "findings": []})
    );
    assert_eq!(
        read("/subjects/ip/::ffff:192.0.2.1").await.0,
        StatusCode::OK
    );
    for (path, status) in [
        ("/subjects/User/nobody", StatusCode::NOT_FOUND),
        ("/subjects/session/s", StatusCode::NOT_FOUND),
        ("/subjects/ip/nowhere", StatusCode::BAD_REQUEST),
        ("/subjects/a%20b/x", StatusCode::BAD_REQUEST),
        ("/subjects?limit=0", StatusCode::BAD_REQUEST),
        ("/subjects?limit=x", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(read(path).await.0, status, "{path}");
    }
    let write = |method, path: &'static str, sent: Value| {
        scene.send(method, path, Scope::SubjectsWrite, sent)
    };
    let base = "/subjects/Acme::User/a%20b";
    let (status, _) = write(
        Method::POST,
        "/subjects/Acme::User/a%20b/remediate",
        json!({"reason": "checked"}),
    )
    .await;
    assert_eq!(status, StatusCode::OK);
    let (status, _) = write(
        Method::POST,
        "/subjects/Acme::User/a%20b/override",
        json!({"reason": "travels", "until": "2100-01-01T00:00:00Z"}),
    )
    .await;
    assert_eq!(status, StatusCode::OK);
    let (status, _) = write(
        Method::DELETE,
        "/subjects/Acme::User/a%20b/override",
        json!({}),
    )
    .await;
    assert_eq!(status, StatusCode::OK);
    let (status, _) = write(
        Method::PUT,
        "/subjects/Acme::User/a%20b/account",
        json!({"created": "2020-01-01T00:00:00Z", "enrolled": ["totp", "webauthn"]}),
    )
    .await;
    assert_eq!(status, StatusCode::OK);
    let (status, erased) = write(Method::DELETE, base, json!({})).await;
    assert_eq!((status, erased), (StatusCode::OK, json!({"erased": true})));
    let by = "subjects:write".to_owned();
    let enrolled = [
        crate::trust::model::Method::Totp,
        crate::trust::model::Method::Webauthn,
    ];
    assert_eq!(
        scene.store.changes(),
        [
            Change::Remediate {
                subject: SubjectKind::User(user.clone()),
                reason: "checked".to_owned(),
                by: by.clone(),
            },
            Change::Override {
                user: user.clone(),
                until: Some("2100-01-01T00:00:00Z".parse().unwrap()),
                reason: "travels".to_owned(),
                by: by.clone(),
            },
            Change::Override {
                user: user.clone(),
                until: None,
                reason: "ended".to_owned(),
                by: by.clone(),
            },
            Change::Account {
                user: user.clone(),
                created: Some("2020-01-01T00:00:00Z".parse().unwrap()),
                enrolled: Some(enrolled.into_iter().collect()),
            },
            Change::Erase {
                subject: SubjectKind::User(user),
                by,
            },
        ]
    );
}

#[tokio::test]
async fn orders_about_subjects_are_checked() {
    let scene = Scene::new();
    for (method, path, sent, status, pointer) in [
        (
            Method::POST,
            "/subjects/U/a/remediate",
            json!({}),
            400,
            Some("/reason"),
        ),
        (
            Method::POST,
            "/subjects/U/a/remediate",
            json!({"reason": ""}),
            400,
            Some("/reason"),
        ),
        (
            Method::POST,
            "/subjects/U/a/remediate",
            json!({"reason": "x".repeat(1_025)}),
            400,
            Some("/reason"),
        ),
        (
            Method::POST,
            "/subjects/U/a/override",
            json!({"reason": "x"}),
            400,
            Some("/until"),
        ),
        (
            Method::POST,
            "/subjects/U/a/override",
            json!({"reason": "x", "until": "2020-01-01T00:00:00Z"}),
            400,
            Some("/until"),
        ),
        (
            Method::POST,
            "/subjects/session/s/override",
            json!({"reason": "x", "until": "2100-01-01T00:00:00Z"}),
            400,
            None,
        ),
        (
            Method::PUT,
            "/subjects/U/a/account",
            json!({}),
            400,
            Some(""),
        ),
        (
            Method::PUT,
            "/subjects/U/a/account",
            json!({"enrolled": ["pin"]}),
            400,
            Some("/enrolled/0"),
        ),
        (
            Method::PUT,
            "/subjects/U/a/account",
            json!({"created": "9000-01-01T00:00:00Z"}),
            400,
            Some("/created"),
        ),
        (Method::DELETE, "/subjects/U/a", json!({}), 404, None),
    ] {
        let (got, problem) = scene.send(method, path, Scope::SubjectsWrite, &sent).await;
        assert_eq!(got.as_u16(), status, "{path} {sent} {problem}");
        let at = problem["errors"][0]["pointer"].as_str();
        assert_eq!(at, pointer, "{path} {sent} {problem}");
    }
    assert!(scene.store.changes().is_empty());
}

/// JSON of names and values that events have, in places where they may not belong.
pub(super) fn json_like() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("id"),
        Just("type"),
        Just("events"),
        Just("subject"),
        Just("user"),
        Just("ip"),
        Just("session"),
        Just("data"),
        Just("level"),
        Just("severity"),
        Just("timestamp"),
        Just("auth.login_failed"),
        Just("risk-level-change"),
        Just("2026-03-10T10:00:00Z"),
        Just("HIGH"),
        Just("high"),
        Just("::1"),
        Just("U::\"a\""),
        Just(""),
        Just("\u{0}~/"),
    ]
    .prop_map(str::to_owned);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((text.clone(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

#[test]
fn no_json_whatever_is_the_servers_fault() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let scene = Scene::new();
    proptest!(ProptestConfig::with_cases(128), |(sent in json_like())| {
        for (path, scope) in [
            ("/events", Scope::Events),
            ("/devices", Scope::DevicesWrite),
            ("/assurance", Scope::AssuranceWrite),
        ] {
            for sent in [sent.clone(), json!({"events": [sent.clone()]})] {
                let (status, _) = runtime.block_on(scene.send(Method::POST, path, scope, sent));
                prop_assert!(!status.is_server_error(), "{path} {status}");
            }
        }
    });
}

#[tokio::test]
async fn orders_about_subjects_are_in_the_decision_log() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("audit.ndjson");
    let app = app(&format!("[audit]\nfile = \"{}\"\n", file.display()));
    let router = routes::main(Arc::clone(&app));
    let store = Recorder::of(&app);
    let scene = Scene { app, router, store };
    let sent = json!({"reason": "checked"});
    let path = "/subjects/User/ada/remediate";
    let (status, _) = scene
        .send(Method::POST, path, Scope::SubjectsWrite, sent)
        .await;
    assert_eq!(status, StatusCode::OK);
    // What was not done is not recorded as done.
    scene
        .store
        .fail(Some(ChangeError::State("disk".to_owned())));
    let (status, _) = scene
        .send(
            Method::POST,
            path,
            Scope::SubjectsWrite,
            json!({"reason": "again"}),
        )
        .await;
    assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE);
    scene.app.audit.clone().unwrap().close();
    let text = std::fs::read_to_string(file).unwrap();
    let records: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|record: &Value| record["kind"] == "subject")
        .collect();
    assert_eq!(records.len(), 1, "{text}");
    assert_eq!(records[0]["caller"], "subjects:write");
    assert_eq!(records[0]["change"], "remediated");
    assert_eq!(records[0]["reason"], "checked");
    assert_eq!(
        records[0]["request"]["principal"],
        json!({"type": "User", "id": "ada"})
    );
}
