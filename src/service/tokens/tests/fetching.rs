//! When keys are fetched, and what happens while they cannot be.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::issuer::{Signer, TestIssuer};
use super::*;
use crate::service::net::fetch::{Call, FetchError, Reply};

const DISCOVERY: &str = "/.well-known/openid-configuration";

async fn verify_at(
    issuers: &Issuers,
    token: &str,
    seconds: i64,
) -> Result<Arc<Verified>, TokenError> {
    issuers
        .verify(token, TokenUsage::Principal, at(seconds))
        .await
}

/// Different tokens of one signer, so that none is found in the cache.
fn token(issuer: &TestIssuer, signer: &Signer, jti: usize) -> String {
    let over = json!({"jti": jti.to_string(), "exp": NOW + 1_000_000});
    signer.token(&claims(&issuer.url, over))
}

#[tokio::test]
async fn a_new_key_is_found_and_an_old_one_forgotten() {
    let (old, new) = (Signer::ed("k1", 1), Signer::ed("k2", 2));
    let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
    let issuers = start(vec![principals(&issuer.url, "")]);
    assert!(
        verify_at(&issuers, &token(&issuer, &old, 1), 0)
            .await
            .is_ok()
    );
    issuer.rotate(&[Signer::ed("k2", 2)]);
    // The first fetch was a moment ago.
    let early = verify_at(&issuers, &token(&issuer, &new, 2), 59).await;
    refused(early, "token_signature", "no key \"k2\"");
    assert!(
        verify_at(&issuers, &token(&issuer, &new, 3), 60)
            .await
            .is_ok()
    );
    assert_eq!((issuer.calls(DISCOVERY), issuer.calls("/keys")), (1, 2));
    let late = verify_at(&issuers, &token(&issuer, &old, 4), 61).await;
    refused(late, "token_signature", "no key \"k1\"");
    assert_eq!(issuer.calls("/keys"), 2);
}

#[tokio::test]
async fn keys_are_fetched_again_when_they_are_old() {
    let signer = Signer::ed("k1", 1);
    let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
    let issuers = start(vec![principals(&issuer.url, "refresh = \"10m\"")]);
    for (jti, (second, fetches)) in [(0, 1), (599, 1), (600, 2), (601, 2), (1_200, 3)]
        .into_iter()
        .enumerate()
    {
        assert!(
            verify_at(&issuers, &token(&issuer, &signer, jti), second)
                .await
                .is_ok()
        );
        // Old keys are fetched beside the request that found them old.
        for _ in 0..500 {
            if issuer.calls("/keys") >= fetches && issuers.counts().key_failures == 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        assert_eq!(issuer.calls("/keys"), fetches, "at {second}");
    }
}

#[tokio::test]
async fn a_flood_of_unknown_keys_fetches_once() {
    let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
    let issuers = start(vec![principals(&issuer.url, "")]);
    let mine = Signer::ed("k1", 66);
    let mut tasks = Vec::new();
    for jti in 0..300 {
        let unknown = Signer {
            kid: format!("unknown-{jti}"),
            ..Signer::ed("", 66)
        };
        let token = token(&issuer, &unknown, jti);
        let issuers = issuers.clone();
        let second = i64::try_from(jti % 60).unwrap();
        tasks.push(tokio::spawn(async move {
            verify_at(&issuers, &token, second).await
        }));
    }
    for task in tasks {
        refused(task.await.unwrap(), "token_signature", "unknown-");
    }
    assert_eq!((issuer.calls(DISCOVERY), issuer.calls("/keys")), (1, 1));
    refused(
        verify_at(&issuers, &token(&issuer, &mine, 1), 1).await,
        "token_signature",
        "",
    );
    // One more for each `min_refresh`.
    for jti in 0..100 {
        let unknown = Signer {
            kid: format!("more-{jti}"),
            ..Signer::ed("", 66)
        };
        let second = 70 + i64::try_from(jti % 50).unwrap();
        let result = verify_at(&issuers, &token(&issuer, &unknown, jti), second).await;
        refused(result, "token_signature", "more-");
    }
    assert_eq!((issuer.calls(DISCOVERY), issuer.calls("/keys")), (1, 2));
    assert_eq!(issuers.counts().key_fetches, 2);
}

#[tokio::test]
async fn many_first_tokens_fetch_once() {
    let signer = Signer::ed("k1", 1);
    let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
    let issuers = start(vec![principals(&issuer.url, "")]);
    let tasks: Vec<_> = (0..50)
        .map(|jti| {
            let (issuers, token) = (issuers.clone(), token(&issuer, &signer, jti));
            tokio::spawn(async move { verify_at(&issuers, &token, 0).await })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap().is_ok());
    }
    assert_eq!((issuer.calls(DISCOVERY), issuer.calls("/keys")), (1, 1));
}

#[tokio::test]
async fn an_issuer_that_is_down_is_asked_ever_less_often() {
    let signer = Signer::ed("k1", 1);
    let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
    issuer.set_down(true);
    let issuers = start(vec![principals(&issuer.url, "")]);
    // No keys at all: every second at first, every half minute at last.
    for second in 0..300 {
        let result = verify_at(&issuers, &token(&issuer, &signer, 0), second).await;
        assert!(result.as_ref().unwrap_err().is_unavailable());
        refused(result, "token_issuer_unavailable", "status 503");
    }
    let calls = issuer.calls(DISCOVERY);
    assert!((8..=16).contains(&calls), "{calls}");
    assert!(issuers.troubles()[0].contains("status 503"));
    issuer.set_down(false);
    assert!(
        verify_at(&issuers, &token(&issuer, &signer, 0), 400)
            .await
            .is_ok()
    );
    assert!(issuers.troubles().is_empty());
}

#[tokio::test]
async fn old_keys_are_used_while_the_issuer_is_down_and_no_longer() {
    let signer = Signer::ed("k1", 1);
    let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
    let issuers = start(vec![principals(
        &issuer.url,
        "refresh = \"1h\"\nstale = \"4h\"",
    )]);
    assert!(
        verify_at(&issuers, &token(&issuer, &signer, 0), 0)
            .await
            .is_ok()
    );
    issuer.set_down(true);
    for (jti, minute) in (0..=240).step_by(10).enumerate() {
        let result = verify_at(&issuers, &token(&issuer, &signer, jti), minute * 60).await;
        assert!(result.is_ok(), "minute {minute}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let calls = issuer.calls(DISCOVERY) + issuer.calls("/keys");
    assert!((10..=40).contains(&calls), "{calls}");
    // An unknown key may be a new one that cannot be seen now.
    let new = verify_at(&issuers, &token(&issuer, &Signer::ed("k2", 2), 900), 14_300).await;
    refused(new, "token_issuer_unavailable", "503");
    let late = verify_at(&issuers, &token(&issuer, &signer, 1_000), 4 * 3_600 + 1).await;
    refused(late, "token_issuer_unavailable", "503");
    issuer.set_down(false);
    assert!(
        verify_at(&issuers, &token(&issuer, &signer, 1_001), 5 * 3_600)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_discovery_document_of_another_issuer_brings_no_keys() {
    let signer = Signer::ed("k1", 1);
    let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
    issuer.name("https://evil.example.com");
    let issuers = start(vec![principals(&issuer.url, "")]);
    let result = verify_at(&issuers, &token(&issuer, &signer, 0), 0).await;
    refused(result, "token_issuer_unavailable", "evil.example.com");
    assert_eq!(issuer.calls("/keys"), 0);
}

#[tokio::test]
async fn keys_may_be_at_an_address_or_in_a_file() {
    let (old, new) = (Signer::ed("k1", 1), Signer::ec("e1"));
    let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
    let uri = format!("jwks_uri = \"{}/keys\"", issuer.url);
    let issuers = start(vec![principals(&issuer.url, &uri)]);
    issuers.warm(at(0)).await;
    assert!(
        verify_at(&issuers, &token(&issuer, &old, 0), 0)
            .await
            .is_ok()
    );
    assert_eq!((issuer.calls(DISCOVERY), issuer.calls("/keys")), (0, 1));

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.json");
    let write = |signers: &[&Signer]| {
        let keys: Vec<_> = signers.iter().map(|signer| signer.jwk.clone()).collect();
        std::fs::write(&path, json!({"keys": keys}).to_string()).unwrap();
    };
    write(&[&old]);
    let file = format!("jwks_file = {:?}", path.display().to_string());
    let issuers = start(vec![principals("acme", &file)]);
    let of = |signer: &Signer, jti| {
        signer.token(&claims("acme", json!({"jti": jti, "exp": NOW + 100_000})))
    };
    assert!(verify_at(&issuers, &of(&old, "0"), 0).await.is_ok());
    write(&[&old, &new]);
    assert!(verify_at(&issuers, &of(&new, "1"), 60).await.is_ok());
    // A file that is broken for a moment takes nothing away.
    std::fs::write(&path, "{").unwrap();
    assert!(verify_at(&issuers, &of(&new, "2"), 120).await.is_ok());
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(verify_at(&issuers, &of(&new, "3"), 121).await.is_ok());
    assert!(issuers.troubles()[0].contains("keys.json") || issuers.troubles()[0].contains("JSON"));
}

/// A request that is given up while it waits for keys does not stop the fetch that others need.
#[tokio::test]
async fn a_request_that_is_given_up_stops_no_fetch() {
    let signer = Signer::ed("k1", 1);
    let keys = json!({"keys": [signer.jwk]}).to_string();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let fetch = move |_: &Call| -> Result<Reply, FetchError> {
        counted.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(std::time::Duration::from_millis(100));
        Ok(Reply {
            status: 200,
            headers: Vec::new(),
            body: keys.clone().into_bytes(),
        })
    };
    let configs = vec![principals(
        "acme",
        "jwks_uri = \"https://acme.example.com/keys\"",
    )];
    let issuers = Issuers::start(configs, Denied::default(), Arc::new(fetch)).unwrap();
    let token = signer.token(&claims("acme", json!({})));
    let short = std::time::Duration::from_millis(20);
    let given_up = tokio::time::timeout(short, verify(&issuers, &token)).await;
    assert!(given_up.is_err());
    assert!(verify(&issuers, &token).await.is_ok());
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}
