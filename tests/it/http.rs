//! `POST /authorize` and its neighbours: the shape of answers, headers, statuses.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use deodar::Pdp;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::{block_on, config, json, post, router};

fn pdp() -> Pdp {
    Pdp::builder()
        .policies_text(
            "p.cedar",
            r#"@id("read") permit(principal == U::"a", action == Action::"read", resource);
               @id("audited") @obligation("log_access") @advice("hurry:now")
               permit(principal == U::"b", action, resource);
               @id("broken") permit(principal == U::"c", action, resource) when { context.x.y };
               @id("never") @obligation("notify") forbid(principal == U::"d", action, resource);
               @id("broken-forbid") forbid(principal == U::"e", action, resource) when { context.x };
               @id("open") permit(principal == U::"e", action, resource);"#,
        )
        .obligations(["log_access", "notify"])
        .advice(["hurry"])
        .build()
        .unwrap()
}

fn request(who: &str) -> Value {
    json!({"principal": {"type": "U", "id": who}, "action": "Action::\"read\"", "resource": "R::\"r\""})
}

#[test]
fn an_answer_has_every_member() {
    let now = "2026-03-10T10:00:00Z".parse().unwrap();
    let router = router(pdp(), Some(now));
    let mut body = request("a");
    body["requestId"] = "r-1".into();
    let (status, mut answer) = block_on(post(&router, body.to_string()));
    assert_eq!(status, StatusCode::OK);
    let id = answer["decisionId"].as_str().unwrap().to_owned();
    assert_eq!((id.len(), id.as_bytes()[14]), (36, b'7'));
    assert_eq!(answer["revision"].as_str().unwrap().len(), 32);
    answer["decisionId"] = "id".into();
    answer["revision"] = "hash".into();
    assert_eq!(
        answer,
        json!({
            "decisionId": "id", "requestId": "r-1", "decision": "Allow", "cause": "permitted",
            "reasons": ["read"], "policyErrors": [], "obligations": [], "advice": [],
            "revision": "hash", "sequence": 1, "evaluatedAt": "2026-03-10T10:00:00.000Z",
        })
    );
}

#[test]
fn causes_obligations_and_errors() {
    let router = router(pdp(), None);
    let ask = |body: Value| block_on(post(&router, body.to_string())).1;

    let denied = ask(request("b"));
    assert_eq!(denied["cause"], "unsupported_obligation");
    assert_eq!(
        denied["unmet"],
        json!([{"policy": "audited", "obligations": ["log_access"]}])
    );
    assert_eq!(denied["reasons"], json!([]));

    let mut handled = request("b");
    handled["obligations"] = json!(["log_access"]);
    let allowed = ask(handled);
    assert_eq!(allowed["decision"], "Allow");
    assert_eq!(
        allowed["obligations"],
        json!([{"id": "audited:log_access", "type": "log_access", "properties": {}}])
    );
    assert_eq!(
        allowed["advice"],
        json!([{"id": "audited:hurry", "type": "hurry", "properties": {"argument": "now"}}])
    );

    let failed = ask(request("c"));
    assert_eq!(failed["cause"], "not_permitted");
    assert_eq!(
        failed["policyErrors"],
        json!([{"policy": "broken", "code": "attribute_missing"}])
    );

    let forbidden = ask(request("d"));
    assert_eq!(forbidden["cause"], "forbidden");
    assert_eq!(forbidden["obligations"][0]["type"], "notify");

    // A forbid that fails might have held.
    let unsure = ask(request("e"));
    assert_eq!(
        (&unsure["decision"], &unsure["cause"]),
        (&json!("Deny"), &json!("policy_error"))
    );
}

#[test]
fn a_failing_forbid_is_skipped_where_that_is_set() {
    let pdp = Pdp::builder()
        .policies_text(
            "p.cedar",
            r#"@id("f") forbid(principal, action, resource) when { context.x };
               @id("p") permit(principal, action, resource);"#,
        )
        .on_error(deodar::OnError::Skip)
        .build()
        .unwrap();
    let answer = block_on(post(&router(pdp, None), request("a").to_string())).1;
    assert_eq!(
        (&answer["decision"], &answer["cause"]),
        (&json!("Allow"), &json!("permitted"))
    );
}

async fn send(request: Request<Body>) -> (StatusCode, axum::http::HeaderMap, Value) {
    let response = router(pdp(), None).oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    (status, headers, json(response).await)
}

#[test]
fn ids_are_echoed_and_set() {
    let build = |id: &str, body: Value| {
        Request::post("/authorize")
            .header("host", "localhost:1")
            .header("content-type", "application/json; charset=utf-8")
            .header("x-request-id", id)
            .body(Body::from(body.to_string()))
            .unwrap()
    };
    block_on(async {
        let (status, headers, answer) = send(build("abc", request("a"))).await;
        assert_eq!(status, 200);
        assert_eq!(headers["x-request-id"], "abc");
        assert_eq!(answer["requestId"], "abc");
        assert_eq!(
            headers["x-decision-id"],
            answer["decisionId"].as_str().unwrap()
        );
        assert_eq!(headers["cache-control"], "no-store");

        let (status, headers, problem) = send(build("abc", json!({}))).await;
        assert_eq!(status, 400);
        assert_eq!(headers["x-request-id"], "abc");
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(problem["requestId"], "abc");
        assert_eq!(problem["code"], "invalid_request");
        assert_eq!(problem["status"], 400);

        let plain = Request::post("/authorize")
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Body::from(request("a").to_string()))
            .unwrap();
        let (_, headers, answer) = send(plain).await;
        assert_eq!(
            headers["x-request-id"],
            answer["requestId"].as_str().unwrap()
        );
    });
}

#[track_caller]
fn check(request: Request<Body>, status: u16, code: &str) {
    let (got, _, problem) = block_on(send(request));
    assert_eq!(
        (got.as_u16(), problem["code"].as_str()),
        (status, Some(code)),
        "{problem}"
    );
}

#[test]
fn what_is_no_request_gets_a_problem() {
    let post = |host: &str, kind: &str, body: Vec<u8>| {
        Request::post("/authorize")
            .header("host", host)
            .header("content-type", kind)
            .body(Body::from(body))
            .unwrap()
    };
    let good = request("a").to_string().into_bytes();
    check(
        post("evil.example", "application/json", good.clone()),
        421,
        "unknown_host",
    );
    check(
        post("localhost", "text/plain", good.clone()),
        415,
        "unsupported_media_type",
    );
    check(
        post("localhost", "application/json", vec![b' '; 2 << 20]),
        413,
        "too_large",
    );
    check(
        post("localhost", "application/json", b"\xff".to_vec()),
        400,
        "invalid_request",
    );
    let get = Request::get("/authorize")
        .header("host", "localhost")
        .body(Body::empty())
        .unwrap();
    check(get, 405, "method_not_allowed");
    let path = Request::get("/autorize")
        .header("host", "localhost")
        .body(Body::empty())
        .unwrap();
    check(path, 404, "not_found");
    let mut signals = request("a");
    signals["signals"] = json!({});
    check(
        post(
            "localhost",
            "application/json",
            signals.to_string().into_bytes(),
        ),
        403,
        "scope_required",
    );
    let mut stale = request("a");
    stale["atLeast"] = 99.into();
    check(
        post(
            "localhost",
            "application/json",
            stale.to_string().into_bytes(),
        ),
        503,
        "stale",
    );
}

#[test]
fn reloading_and_metrics_take_a_key_and_probes_answer() {
    let reload = Request::post("/admin/reload")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Body::from("{}"))
        .unwrap();
    check(reload, 401, "unauthenticated");
    let metrics = Request::get("/metrics").header("host", "localhost");
    check(metrics.body(Body::empty()).unwrap(), 401, "unauthenticated");
    let get = |path: &str| {
        Request::get(path)
            .header("host", "localhost")
            .body(Body::empty())
            .unwrap()
    };
    block_on(async {
        let (status, _, body) = send(get("/readyz")).await;
        assert_eq!(
            (status.as_u16(), &body["status"], &body["sequence"]),
            (200, &json!("ok"), &json!(1))
        );
        let (status, _, body) = send(get("/healthz")).await;
        assert_eq!((status.as_u16(), &body["status"]), (200, &json!("ok")));
        let clock = || Box::new(deodar::Timestamp::now);
        let pdp = pdp();
        let (router, ops) = deodar::server::routers(&config(), pdp, clock()).unwrap();
        post(&router, request("a").to_string()).await;
        let response = ops.oneshot(get("/metrics")).await.unwrap();
        let bytes = http_body_util::BodyExt::collect(response.into_body())
            .await
            .unwrap()
            .to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        for line in [
            "deodar_decisions_total{decision=\"Allow\",cause=\"permitted\"} 1",
            "deodar_reloads_total{result=\"failed\"} 0",
            "deodar_http_responses_total{route=\"/authorize\",status=\"200\"} 1",
            "deodar_http_request_duration_seconds_count{route=\"/authorize\",class=\"2xx\"} 1",
            "deodar_policy_determined_total{policy=\"read\"} 1",
            "deodar_policy_determined_total{policy=\"never\"} 0",
            "deodar_ready 1",
            "deodar_degraded 0",
            "deodar_policies 6",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    });
}

#[test]
fn probes_are_answered_under_any_host_name_and_nothing_else_is() {
    let asked = |method: &str, path: &str, host: Option<&str>| {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let (status, _, answer) = block_on(send(request.body(Body::empty()).unwrap()));
        (status.as_u16(), answer)
    };
    for host in [
        Some("10.244.0.5:8180"),
        Some("[fd00::5]:8180"),
        Some("evil.example"),
        None,
    ] {
        for (path, known) in [("/healthz", 1), ("/readyz", 1)] {
            let (status, answer) = asked("GET", path, host);
            assert_eq!(status, 200, "{path} {host:?}");
            // Reasons, revision and sequence are for configured names.
            assert_eq!(answer.as_object().unwrap().len(), known, "{answer}");
            assert_eq!(asked("HEAD", path, host).0, 200);
            assert_eq!(asked("POST", path, host).0, 421);
        }
        for path in ["/metrics", "/whoami", "/policies", "/healthz/", "/none"] {
            assert_eq!(asked("GET", path, host).0, 421, "{path} {host:?}");
        }
    }
    let (_, full) = asked("GET", "/readyz", Some("localhost"));
    assert!(full["capacity"]["connections"]["limit"].as_u64().unwrap() > 0);
}

#[test]
fn metrics_come_in_the_format_that_is_accepted() {
    let asked = |accept: Option<&str>| {
        let mut request = Request::get("/metrics").header("host", "localhost");
        if let Some(accept) = accept {
            request = request.header("accept", accept);
        }
        let request = request.body(Body::empty()).unwrap();
        let pdp = pdp();
        block_on(async {
            let clock = Box::new(deodar::Timestamp::now);
            let (_, ops) = deodar::server::routers(&config(), pdp, clock).unwrap();
            let response = ops.oneshot(request).await.unwrap();
            assert_eq!(response.status(), 200);
            let kind = response.headers()["content-type"]
                .to_str()
                .unwrap()
                .to_owned();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            (kind, String::from_utf8(body.to_vec()).unwrap())
        })
    };
    let (kind, open) = asked(None);
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(open.ends_with("# EOF\n") && open.contains("# TYPE deodar_shed counter"));
    for accept in [
        "text/plain",
        "text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
        "image/png",
    ] {
        let (kind, plain) = asked(Some(accept));
        assert!(
            kind.starts_with("text/plain; version=0.0.4"),
            "{accept}: {kind}"
        );
        assert!(!plain.contains("# EOF") && !plain.contains("# UNIT"));
        // Every sample belongs to the family that was announced last.
        let mut family = String::new();
        for line in plain.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                rest.split(' ').next().unwrap().clone_into(&mut family);
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap();
                let suffix = name.strip_prefix(&family).unwrap_or("another family");
                assert!(
                    ["", "_bucket", "_sum", "_count"].contains(&suffix),
                    "{name} in {family}"
                );
            }
        }
    }
}
