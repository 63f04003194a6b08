//! Tokens that were revoked: by the deny-list, by introspection, by a status list.

use serde_json::{Value, json};

use super::issuer::{Signer, TestIssuer, b64};
use super::*;
use crate::service::net::fetch::{Call, FetchError, Reply};
use crate::service::tokens::denied::DeniedFull;
use crate::service::tokens::{Denial, DenialKind};

fn denial(kind: DenialKind, value: &str) -> Denial {
    Denial {
        kind,
        value: value.to_owned(),
        issuer: None,
        issued_before: None,
        expires: None,
    }
}

fn ada(issuer: &TestIssuer, over: Value) -> String {
    let mut all = object(json!({"jti": "t1", "sid": "s1"}));
    all.extend(object(over));
    Signer::ed("k1", 1).token(&claims(&issuer.url, all.into()))
}

#[tokio::test]
async fn a_denial_holds_at_once_for_cached_tokens_too() {
    let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
    let issuers = start(vec![principals(&issuer.url, "")]);
    let denied = issuers.denied().clone();
    let token = ada(&issuer, json!({}));
    for (kind, value) in [
        (DenialKind::Token, "t1"),
        (DenialKind::Session, "s1"),
        (DenialKind::Subject, "ada"),
    ] {
        assert!(verify(&issuers, &token).await.is_ok());
        denied.deny(denial(kind, value), at(0)).unwrap();
        let cached = issuers
            .cached(&token, TokenUsage::Principal, at(0))
            .unwrap();
        refused(cached, "token_revoked", "deny-list");
        // A token that was not verified before is no better off.
        let fresh = ada(&issuer, json!({"n": value}));
        refused(verify(&issuers, &fresh).await, "token_revoked", "deny-list");
        assert!(denied.remove(kind, value, None));
        assert!(!denied.remove(kind, value, None));
    }
    assert!(verify(&issuers, &token).await.is_ok());
    // Of another kind, or another one: not this token's.
    for (kind, value) in [
        (DenialKind::Token, "s1"),
        (DenialKind::Session, "t1"),
        (DenialKind::Subject, "Ada"),
    ] {
        denied.deny(denial(kind, value), at(0)).unwrap();
    }
    assert!(verify(&issuers, &token).await.is_ok());
}

#[tokio::test]
async fn a_denial_may_be_for_one_issuer_for_a_time_or_for_old_tokens() {
    let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
    let issuers = start(vec![principals(&issuer.url, "")]);
    let denied = issuers.denied().clone();
    let token = ada(&issuer, json!({}));
    let plain = denial(DenialKind::Subject, "ada");
    let elsewhere = Denial {
        issuer: Some("https://other.example.com".to_owned()),
        ..plain.clone()
    };
    denied.deny(elsewhere, at(0)).unwrap();
    assert!(verify(&issuers, &token).await.is_ok());
    let short = Denial {
        issuer: Some(issuer.url.clone()),
        expires: Some(at(10)),
        ..plain.clone()
    };
    denied.deny(short.clone(), at(0)).unwrap();
    let verify_at = |second| issuers.verify(&token, TokenUsage::Principal, at(second));
    refused(verify_at(9).await, "token_revoked", "subject");
    assert!(verify_at(10).await.is_ok());
    assert_eq!(denied.list(at(0)).len(), 2);
    assert_eq!(denied.list(at(10)).len(), 1);
    // The token was issued a minute ago.
    let old = |before| Denial {
        issued_before: Some(at(before)),
        ..plain.clone()
    };
    denied.deny(old(-60), at(20)).unwrap();
    assert!(verify_at(20).await.is_ok());
    denied.deny(old(-59), at(20)).unwrap();
    refused(verify_at(20).await, "token_revoked", "subject");
    // A later and weaker denial does not lift an earlier and stricter one.
    denied.deny(old(-3_600), at(20)).unwrap();
    refused(verify_at(20).await, "token_revoked", "subject");
    let undated = ada(&issuer, json!({"iat": null}));
    refused(verify(&issuers, &undated).await, "token_revoked", "subject");
}

#[test]
fn the_deny_list_is_bounded_and_can_be_kept() {
    let denied = Denied::new(3);
    let ending = |value: &str, second| Denial {
        expires: Some(at(second)),
        ..denial(DenialKind::Token, value)
    };
    denied.deny(ending("a", 10), at(0)).unwrap();
    denied.deny(ending("b", 20), at(0)).unwrap();
    denied
        .deny(denial(DenialKind::Subject, "c"), at(0))
        .unwrap();
    assert_eq!(denied.deny(ending("d", 30), at(0)), Err(DeniedFull(3)));
    // What is there may be said again.
    denied.deny(ending("a", 15), at(0)).unwrap();
    assert_eq!(denied.deny(ending("d", 30), at(14)), Err(DeniedFull(3)));
    denied.deny(ending("d", 30), at(15)).unwrap();
    let kept = denied.list(at(15));
    let values: Vec<_> = kept.iter().map(|denial| denial.value.as_str()).collect();
    assert_eq!(values, ["b", "d", "c"]);
    let text = serde_json::to_string(&kept).unwrap();
    assert!(text.contains(r#""kind":"subject","value":"c""#), "{text}");
    assert!(text.contains(r#""expires":"2027-01-15T"#), "{text}");
    let read: Vec<Denial> = serde_json::from_str(&text).unwrap();
    assert_eq!(read, kept);
    let other = Denied::new(3);
    other.load(read, at(21)).unwrap();
    assert_eq!(other.list(at(21)).len(), 2);
    assert!(serde_json::from_str::<Denial>(r#"{"kind":"token","value":"x","until":1}"#).is_err());
}

fn introspected(issuer: &TestIssuer, on_failure: &str, secret: &std::path::Path) -> Issuers {
    std::fs::write(secret, "correct horse battery/=\n").unwrap();
    start(vec![principals(
        &issuer.url,
        &format!(
            "[introspection]\nurl = \"{}/introspect\"\nclient_id = \"deo:dar\"\n\
             client_secret = {{file = {:?}}}\non_failure = \"{on_failure}\"\ncache = \"20s\"",
            issuer.url,
            secret.display().to_string()
        ),
    )])
}

#[tokio::test]
async fn introspection_is_asked_and_believed_for_a_while() {
    let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
    let dir = tempfile::tempdir().unwrap();
    let issuers = introspected(&issuer, "closed", &dir.path().join("secret"));
    let token = ada(&issuer, json!({}));
    let verify_at = |second| issuers.verify(&token, TokenUsage::Principal, at(second));
    assert!(verify_at(0).await.is_ok());
    let (form, authorization) = issuer.asked();
    assert_eq!(form, format!("token={token}&token_type_hint=access_token"));
    let pair = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        "deo%3Adar:correct%20horse%20battery%2F%3D",
    );
    assert_eq!(authorization, format!("Basic {pair}"));
    issuer.set_active(false);
    assert!(verify_at(19).await.is_ok());
    assert_eq!(issuer.calls("/introspect"), 1);
    refused(verify_at(20).await, "token_revoked", "not active");
    issuer.set_active(true);
    assert!(verify_at(21).await.is_ok());
    // What is not ours is never sent there.
    let mine = Signer::ed("k1", 66).token(&claims(&issuer.url, json!({})));
    refused(verify(&issuers, &mine).await, "token_signature", "");
    assert_eq!(issuer.calls("/introspect"), 3);
}

#[tokio::test]
async fn introspection_is_asked_once_by_all_who_wait() {
    let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
    let dir = tempfile::tempdir().unwrap();
    let issuers = introspected(&issuer, "closed", &dir.path().join("secret"));
    issuers.warm(at(0)).await;
    let token = ada(&issuer, json!({}));
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (issuers, token) = (issuers.clone(), token.clone());
            tokio::spawn(async move { verify(&issuers, &token).await })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap().is_ok());
    }
    // On this runtime all of them wait before the first answer is there.
    assert_eq!(issuer.calls("/introspect"), 1);
}

#[tokio::test]
async fn introspection_fails_closed_or_open() {
    let dir = tempfile::tempdir().unwrap();
    for (on_failure, holds) in [("closed", false), ("open", true)] {
        let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
        let issuers = introspected(&issuer, on_failure, &dir.path().join("secret"));
        issuers.warm(at(0)).await;
        issuer.set_down(true);
        for second in 0..100 {
            let token = ada(&issuer, json!({"n": second}));
            let result = issuers
                .verify(&token, TokenUsage::Principal, at(second))
                .await;
            assert_eq!(result.is_ok(), holds, "{on_failure}");
            if !holds {
                refused(result, "token_issuer_unavailable", "introspection");
            }
        }
        // Not asked for each of them.
        let calls = issuer.calls("/introspect");
        assert!((4..=12).contains(&calls), "{calls}");
        issuer.set_down(false);
        issuer.set_active(false);
        // Open is open to failures, not to a no.
        let token = ada(&issuer, json!({"n": "last"}));
        let result = issuers.verify(&token, TokenUsage::Principal, at(200)).await;
        refused(result, "token_revoked", "not active");
    }
}

fn listed(issuer: &TestIssuer, more: &str) -> Issuers {
    let text = format!("[status_list]\ncache = \"1m\"\n{more}");
    start(vec![principals(&issuer.url, &text)])
}

fn with_status(issuer: &TestIssuer, index: u64) -> String {
    let list = json!({"idx": index, "uri": issuer.status_uri()});
    ada(issuer, json!({"status": {"status_list": list}}))
}

#[tokio::test]
async fn a_status_list_is_looked_up() {
    let signer = Signer::ed("k1", 1);
    let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
    let issuers = listed(&issuer, "");
    issuer.set_status(&signer, &[0b0000_0010], json!({"ttl": 30, "aud": null}));
    let verify_at = |index, second| {
        let (token, issuers) = (with_status(&issuer, index), issuers.clone());
        async move {
            issuers
                .verify(&token, TokenUsage::Principal, at(second))
                .await
        }
    };
    assert!(verify_at(0, 0).await.is_ok());
    refused(verify_at(1, 0).await, "token_revoked", "status is 1");
    refused(verify_at(8, 0).await, "token_revoked", "beyond the end");
    assert_eq!(issuer.calls("/status"), 1);
    issuer.set_status(&signer, &[0b0000_0011], json!({"ttl": 30}));
    assert!(verify_at(0, 29).await.is_ok());
    refused(verify_at(0, 30).await, "token_revoked", "status is 1");
    assert_eq!(issuer.calls("/status"), 2);
    // Without a reference there is nothing to look up, unless there must be.
    assert!(verify(&issuers, &ada(&issuer, json!({}))).await.is_ok());
    let strict = listed(&issuer, "required = true");
    refused(
        verify(&strict, &ada(&issuer, json!({}))).await,
        "token_revoked",
        "no status list",
    );
    for status in [
        json!({"idx": -1, "uri": "x"}),
        json!({"idx": 1}),
        json!("x"),
    ] {
        let token = ada(&issuer, json!({"status": {"status_list": status}}));
        refused(verify(&issuers, &token).await, "token_revoked", "malformed");
    }
}

#[tokio::test]
async fn a_list_that_is_not_genuine_is_none() {
    let signer = Signer::ed("k1", 1);
    let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
    let bomb = {
        let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut packer, &vec![0; 8 << 20]).unwrap();
        b64(packer.finish().unwrap())
    };
    for (by, over, detail) in [
        (&Signer::ed("k1", 66), json!({}), "not of this key"),
        (&Signer::ed("k9", 1), json!({}), "not known"),
        (&signer, json!({"typ": "JWT"}), "`typ`"),
        (
            &signer,
            json!({"sub": "https://id.example.com/other"}),
            "`sub`",
        ),
        (&signer, json!({"iss": "https://id.example.com"}), "`iss`"),
        (&signer, json!({"exp": NOW - 60}), "expired"),
        (
            &signer,
            json!({"status_list": {"bits": 3, "lst": "eJw"}}),
            "`bits`",
        ),
        (
            &signer,
            json!({"status_list": {"bits": 1, "lst": "AAAA"}}),
            "zlib",
        ),
        (
            &signer,
            json!({"status_list": {"bits": 1, "lst": bomb}}),
            "longer than",
        ),
    ] {
        issuer.set_status(by, &[0], over);
        let issuers = listed(&issuer, "");
        let result = verify(&issuers, &with_status(&issuer, 0)).await;
        refused(result, "token_issuer_unavailable", detail);
    }
}

#[tokio::test]
async fn status_lists_fail_closed_or_open() {
    let signer = Signer::ed("k1", 1);
    for (on_failure, holds) in [("closed", false), ("open", true)] {
        let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
        let issuers = listed(&issuer, &format!("on_failure = \"{on_failure}\""));
        let verify_at = |index, second| {
            let (token, issuers) = (with_status(&issuer, index), issuers.clone());
            async move {
                issuers
                    .verify(&token, TokenUsage::Principal, at(second))
                    .await
            }
        };
        issuers.warm(at(0)).await;
        issuer.set_down(true);
        let never = verify_at(0, 0).await;
        assert_eq!(never.is_ok(), holds);
        issuer.set_down(false);
        issuer.set_status(&signer, &[0b0000_0010], json!({}));
        assert!(verify_at(0, 10).await.is_ok());
        issuer.set_down(true);
        // A list that is too old knows what was revoked, and no longer what was not.
        let old = verify_at(0, 200).await;
        assert_eq!(old.is_ok(), holds);
        if !holds {
            refused(old, "token_issuer_unavailable", "status list");
        }
        refused(verify_at(1, 201).await, "token_revoked", "status is 1");
    }
}

/// An issuer on the network cannot have this server call itself.
#[tokio::test]
async fn a_reference_does_not_lead_to_this_machine() {
    let (signer, url) = (Signer::ed("k1", 1), "https://id.example.com");
    let keys = json!({"keys": [signer.jwk]}).to_string();
    let fetch = move |call: &Call| -> Result<Reply, FetchError> {
        assert_eq!(call.url, "https://id.example.com/keys");
        Ok(Reply {
            status: 200,
            headers: Vec::new(),
            body: keys.clone().into_bytes(),
        })
    };
    let table = "jwks_uri = \"https://id.example.com/keys\"\n[status_list]\non_failure = \"open\"";
    let configs = vec![principals(url, table)];
    let issuers = Issuers::start(configs, Denied::default(), Arc::new(fetch)).unwrap();
    for uri in [
        "http://127.0.0.1:8180/admin",
        "http://id.example.com/",
        "file:///etc/passwd",
    ] {
        let list = json!({"status": {"status_list": {"idx": 0, "uri": uri}}});
        let token = signer.token(&claims(url, list));
        refused(verify(&issuers, &token).await, "token_revoked", uri);
    }
}
