//! Tokens that must not be taken.

use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::issuer::{Signer, TestIssuer, b64, rsa_public_pem};
use super::*;

fn header(over: Value) -> String {
    let mut header = object(json!({"typ": "JWT", "alg": "EdDSA", "kid": "k1"}));
    header.extend(object(over));
    header.retain(|_, value| !value.is_null());
    Value::from(header).to_string()
}

/// An issuer with one key, and what believes it.
fn one() -> (TestIssuer, Issuers, Signer) {
    let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
    let issuers = start(vec![principals(&issuer.url, "")]);
    (issuer, issuers, Signer::ed("k1", 1))
}

#[tokio::test]
async fn a_token_without_a_signature() {
    let (issuer, issuers, signer) = one();
    let good = claims(&issuer.url, json!({})).to_string();
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let unsigned = format!("{}.{}.", b64(header(json!({"alg": alg}))), b64(&good));
        refused(
            verify(&issuers, &unsigned).await,
            "token_signature",
            "never taken",
        );
    }
    // A good token without its signature, or with that of another one.
    let token = signer.token(&claims(&issuer.url, json!({})));
    let (signed, _) = token.rsplit_once('.').unwrap();
    refused(
        verify(&issuers, &format!("{signed}.")).await,
        "token_signature",
        "not of this key",
    );
    let other = signer.token(&claims(&issuer.url, json!({"sub": "root"})));
    let (_, signature) = other.rsplit_once('.').unwrap();
    let mixed = format!("{signed}.{signature}");
    refused(
        verify(&issuers, &mixed).await,
        "token_signature",
        "not of this key",
    );
    assert!(verify(&issuers, &token).await.is_ok());
}

#[tokio::test]
async fn a_public_key_as_a_shared_secret() {
    let rsa = Signer::rsa("r1", Algorithm::RS256);
    let issuer = TestIssuer::start(&[Signer::rsa("r1", Algorithm::RS256)]);
    let issuers = start(vec![principals(&issuer.url, "")]);
    let good = claims(&issuer.url, json!({})).to_string();
    for secret in [rsa_public_pem(), rsa.jwk["n"].as_str().unwrap().to_owned()] {
        for (alg, name) in [(Algorithm::HS256, "HS256"), (Algorithm::HS512, "HS512")] {
            let message = format!(
                "{}.{}",
                b64(header(json!({"alg": name, "kid": "r1"}))),
                b64(&good)
            );
            let key = EncodingKey::from_secret(secret.as_bytes());
            let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, alg).unwrap();
            let token = format!("{message}.{signature}");
            refused(
                verify(&issuers, &token).await,
                "token_signature",
                "never taken",
            );
        }
    }
    assert!(
        verify(&issuers, &rsa.token(&claims(&issuer.url, json!({}))))
            .await
            .is_ok()
    );
    let pss = Signer::rsa("r1", Algorithm::PS256);
    assert!(
        verify(&issuers, &pss.token(&claims(&issuer.url, json!({}))))
            .await
            .is_ok()
    );
    // Genuine, and not on the list.
    let long = Signer::rsa("r1", Algorithm::RS512);
    let token = long.token(&claims(&issuer.url, json!({})));
    refused(
        verify(&issuers, &token).await,
        "token_signature",
        "not one of `algorithms`",
    );
}

#[tokio::test]
async fn a_key_with_the_algorithm_of_another_kind() {
    let signers = [
        Signer::ec("e1"),
        Signer::ed("k1", 1),
        Signer::rsa("r1", Algorithm::RS256),
    ];
    let issuer = TestIssuer::start(&signers);
    let issuers = start(vec![principals(&issuer.url, "")]);
    let good = claims(&issuer.url, json!({})).to_string();
    for signer in &signers {
        for (alg, kid) in [
            ("ES256", "e1"),
            ("EdDSA", "k1"),
            ("RS256", "r1"),
            ("PS256", "r1"),
        ] {
            for named in ["e1", "k1", "r1"] {
                let token = signer.raw(&header(json!({"alg": alg, "kid": named})), &good);
                let result = verify(&issuers, &token).await;
                let genuine =
                    signer.kid == kid && format!("{:?}", signer.algorithm) == alg && named == kid;
                assert_eq!(result.is_ok(), genuine, "{alg} {named} by {}", signer.kid);
                if !genuine {
                    refused(result, "token_signature", "");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_key_is_for_what_its_set_says() {
    let with = |mut signer: Signer, over: Value| {
        signer.jwk.as_object_mut().unwrap().extend(object(over));
        signer
    };
    let (rs, ps) = (Algorithm::RS256, Algorithm::PS256);
    let issuer = TestIssuer::start(&[
        with(Signer::rsa("only-rs", rs), json!({"alg": "RS256"})),
        with(Signer::rsa("only-hs", rs), json!({"alg": "HS256"})),
        with(Signer::rsa("enc", rs), json!({"use": "enc"})),
        with(Signer::ed("published", 1), json!({"d": "AAAA"})),
        // One name for two keys of two kinds, and for two of one kind.
        Signer::ed("same", 2),
        Signer::ed("same", 3),
        with(Signer::ec("x"), json!({"kid": "same"})),
    ]);
    let issuers = start(vec![principals(&issuer.url, "")]);
    for (signer, detail) in [
        (Signer::rsa("only-rs", rs), ""),
        (Signer::rsa("only-rs", ps), "not for this algorithm"),
        (Signer::rsa("only-hs", rs), "no key"),
        (Signer::rsa("enc", rs), "no key"),
        (Signer::ed("published", 1), "no key"),
        (Signer::ed("same", 2), ""),
        (Signer::ed("same", 3), ""),
        (Signer::rsa("same", rs), "not for this algorithm"),
    ] {
        let result = verify(&issuers, &signer.token(&claims(&issuer.url, json!({})))).await;
        if detail.is_empty() {
            assert!(result.is_ok(), "{result:?}");
        } else {
            refused(result, "token_signature", detail);
        }
    }
    // Without a name there must be one key only that it can be.
    let good = claims(&issuer.url, json!({})).to_string();
    let unnamed = |alg: &str| header(json!({"alg": alg, "kid": null}));
    let token = Signer::rsa("", rs).raw(&unnamed("RS256"), &good);
    assert!(verify(&issuers, &token).await.is_ok());
    let token = Signer::ed("", 2).raw(&unnamed("EdDSA"), &good);
    refused(
        verify(&issuers, &token).await,
        "token_signature",
        "several keys",
    );
}

#[tokio::test]
async fn keys_that_the_token_brings_along() {
    let (issuer, issuers, _) = one();
    let mine = Signer::ed("k1", 66);
    let good = claims(&issuer.url, json!({})).to_string();
    for over in [
        json!({"jwk": mine.jwk}),
        json!({"jku": "http://127.0.0.1:1/keys"}),
        json!({"x5u": "http://127.0.0.1:1/cert", "x5c": ["AAAA"]}),
    ] {
        let token = mine.raw(&header(over), &good);
        refused(
            verify(&issuers, &token).await,
            "token_signature",
            "not of this key",
        );
    }
    assert_eq!(issuer.calls("/keys"), 1);
}

#[tokio::test]
async fn claims_that_are_not_right() {
    let (issuer, issuers, signer) = one();
    for (over, code, detail) in [
        (
            json!({"iss": "https://evil.example.com"}),
            "token_issuer",
            "evil.example.com",
        ),
        (
            json!({"iss": format!("{}/", issuer.url)}),
            "token_issuer",
            "not an issuer",
        ),
        (json!({"iss": null}), "token_malformed", "`iss`"),
        (json!({"iss": [issuer.url]}), "token_malformed", "`iss`"),
        (json!({"aud": "other"}), "token_audience", "other"),
        (json!({"aud": ["a", "b"]}), "token_audience", "a"),
        (json!({"aud": []}), "token_audience", "[]"),
        (json!({"aud": null}), "token_malformed", "`aud`"),
        (json!({"aud": {"app": 1}}), "token_malformed", "`aud`"),
        (json!({"aud": ["app", 1]}), "token_malformed", "`aud`"),
        (json!({"aud": "APP"}), "token_audience", "APP"),
        (json!({"exp": NOW - 30}), "token_expired", "exp"),
        (json!({"exp": NOW - 3_600}), "token_expired", "exp"),
        (json!({"exp": null}), "token_malformed", "`exp`"),
        (
            json!({"exp": (NOW + 60).to_string()}),
            "token_malformed",
            "`exp`",
        ),
        (json!({"nbf": NOW + 31}), "token_not_yet_valid", "nbf"),
        (json!({"iat": NOW + 31}), "token_not_yet_valid", "iat"),
        (json!({"nbf": true}), "token_malformed", "`nbf`"),
        (json!({"auth_time": "x"}), "token_malformed", "`auth_time`"),
        (json!({"sub": null}), "token_unsuitable", "/sub"),
        (json!({"sub": ""}), "token_unsuitable", "/sub"),
        (json!({"sub": {"a": 1}}), "token_unsuitable", "/sub"),
    ] {
        let token = signer.token(&claims(&issuer.url, over.clone()));
        refused(verify(&issuers, &token).await, code, detail);
        // What is refused is not remembered as good.
        assert!(
            issuers
                .cached(&token, TokenUsage::Principal, at(0))
                .is_none(),
            "{over}"
        );
    }
    for over in [
        json!({"exp": NOW - 29}),
        json!({"nbf": NOW + 30, "iat": NOW + 30}),
        json!({"exp": NOW as f64 + 0.5}),
        json!({"iat": null}),
    ] {
        let token = signer.token(&claims(&issuer.url, over.clone()));
        assert!(verify(&issuers, &token).await.is_ok(), "{over}");
    }
}

#[tokio::test]
async fn headers_that_are_not_right() {
    let (issuer, issuers, signer) = one();
    let good = claims(&issuer.url, json!({})).to_string();
    for (over, code, detail) in [
        (json!({"crit": ["exp"]}), "token_malformed", "critical"),
        (json!({"crit": []}), "token_malformed", "critical"),
        (json!({"b64": false}), "token_malformed", "critical"),
        (json!({"alg": null}), "token_malformed", "`alg`"),
        (json!({"alg": ["EdDSA"]}), "token_malformed", "`alg`"),
        (json!({"alg": "eddsa"}), "token_signature", "never taken"),
        (json!({"kid": 1}), "token_malformed", "`kid`"),
        (json!({"kid": "x".repeat(600)}), "token_malformed", "`kid`"),
        (
            json!({"typ": "secevent+jwt"}),
            "token_unsuitable",
            "secevent",
        ),
        (json!({"typ": "logout+jwt"}), "token_unsuitable", "logout"),
        (
            json!({"typ": "statuslist+jwt"}),
            "token_unsuitable",
            "statuslist",
        ),
        (json!({"typ": "dpop+jwt"}), "token_unsuitable", "dpop"),
    ] {
        let token = signer.raw(&header(over), &good);
        refused(verify(&issuers, &token).await, code, detail);
    }
    for over in [
        json!({"typ": null}),
        json!({"typ": "application/AT+JWT"}),
        json!({"kid": null}),
    ] {
        let token = signer.raw(&header(over.clone()), &good);
        assert!(verify(&issuers, &token).await.is_ok(), "{over}");
    }
}

#[tokio::test]
async fn texts_that_are_no_tokens() {
    let (issuer, issuers, signer) = one();
    let good = claims(&issuer.url, json!({})).to_string();
    let token = signer.token(&claims(&issuer.url, json!({})));
    let parts: Vec<_> = token.split('.').collect();
    let twice = |text: &str| text.replacen('{', r#"{"sub":"root","#, 1);
    for (text, detail) in [
        (String::new(), "three parts"),
        ("a.b".to_owned(), "three parts"),
        (format!("{token}.x"), "three parts"),
        (
            format!("{}.{}.{}.a.b", parts[0], parts[1], parts[2]),
            "three parts",
        ),
        ("..".to_owned(), "header"),
        (format!("{}=.{}.{}", parts[0], parts[1], parts[2]), "header"),
        (format!(" {token}"), "header"),
        (
            format!("{}.{}.{}!", parts[0], parts[1], parts[2]),
            "signature",
        ),
        (signer.raw("[]", &good), "header: no JSON object"),
        (
            signer.raw(&header(json!({})), "[1]"),
            "payload: no JSON object",
        ),
        (
            signer.raw(&header(json!({})), &"[".repeat(5_000)),
            "payload",
        ),
        (
            signer.raw(&header(json!({})), &twice(&good)),
            "payload: a member appears twice",
        ),
        (
            signer.raw(
                &header(json!({})).replacen('{', r#"{"alg":"none","#, 1),
                &good,
            ),
            "header: a member appears twice",
        ),
    ] {
        refused(verify(&issuers, &text).await, "token_malformed", detail);
    }
    let long = signer.token(&claims(&issuer.url, json!({"x": "y".repeat(16 << 10)})));
    refused(verify(&issuers, &long).await, "token_too_large", "bytes");
    assert_eq!(issuer.calls("/keys"), 0);
}

#[tokio::test]
async fn what_the_table_asks_for_besides() {
    let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
    let signer = Signer::ed("k1", 1);
    let issuers = start(vec![principals(
        &issuer.url,
        "required_type = \"at+jwt\"\nmax_age = \"10m\"\nleeway = \"0s\"\n\
         require = {\"/azp\" = \"web\", \"/entitlements\" = \"deodar\"}",
    )]);
    let good = json!({"azp": "web", "entitlements": ["x", "deodar"], "iat": NOW - 600});
    for (typ, over, code, detail) in [
        ("at+jwt", json!({}), "", ""),
        ("application/at+jwt", json!({}), "", ""),
        ("JWT", json!({}), "token_unsuitable", "JWT"),
        (
            "at+jwt",
            json!({"azp": "other"}),
            "token_unsuitable",
            "/azp",
        ),
        ("at+jwt", json!({"azp": null}), "token_unsuitable", "/azp"),
        (
            "at+jwt",
            json!({"entitlements": ["x"]}),
            "token_unsuitable",
            "/entitlements",
        ),
        ("at+jwt", json!({"entitlements": "deodar"}), "", ""),
        (
            "at+jwt",
            json!({"iat": NOW - 601}),
            "token_expired",
            "max_age",
        ),
        (
            "at+jwt",
            json!({"iat": null}),
            "token_unsuitable",
            "max_age",
        ),
        ("at+jwt", json!({"exp": NOW}), "token_expired", "exp"),
    ] {
        let mut all = object(good.clone());
        all.extend(object(over));
        let token = signer.typed(typ, &claims(&issuer.url, all.into()));
        let result = verify(&issuers, &token).await;
        if code.is_empty() {
            assert!(result.is_ok(), "{result:?}");
        } else {
            refused(result, code, detail);
        }
    }
}

/// Neither the message for the client nor the detail for the log holds the token or a part of it.
#[tokio::test]
async fn errors_do_not_hold_the_token() {
    let (issuer, issuers, signer) = one();
    let mine = Signer::ed("k1", 66);
    for token in [
        mine.token(&claims(&issuer.url, json!({}))),
        signer.token(&claims(&issuer.url, json!({"aud": "x".repeat(500)}))),
        signer.token(&claims("https://evil\nexample", json!({}))),
        signer.token(&claims(&issuer.url, json!({"exp": 1}))),
        "garbage.garbage.garbage".to_owned(),
    ] {
        let error = verify(&issuers, &token).await.unwrap_err();
        let shown = format!("{error} {} {error:?}", error.detail());
        for part in token.split('.') {
            assert!(!shown.contains(part), "{shown}");
        }
        assert!(shown.len() < 600 && !shown.contains('\n'), "{shown}");
        assert!(!error.to_string().contains("127.0.0.1"));
    }
}

#[tokio::test]
async fn a_bad_signature_is_remembered_for_a_moment() {
    let (issuer, issuers, _) = one();
    let token = Signer::ed("k1", 66).token(&claims(&issuer.url, json!({})));
    refused(verify(&issuers, &token).await, "token_signature", "");
    let again = issuers
        .cached(&token, TokenUsage::Principal, at(9))
        .unwrap();
    refused(again, "token_signature", "");
    assert!(
        issuers
            .cached(&token, TokenUsage::Principal, at(10))
            .is_none()
    );
}

/// Whatever character is changed, left out or put in: it is another token, and not a good one.
#[tokio::test]
async fn a_token_that_was_tampered_with() {
    let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
    let issuers = start(vec![principals(&issuer.url, "")]);
    let token = Signer::ed("k1", 1).token(&claims(&issuer.url, json!({})));
    assert!(verify(&issuers, &token).await.is_ok());
    for at in 0..token.len() {
        let (before, after) = token.split_at(at);
        let changed = [
            format!("{before}{}", &after[1..]),
            format!("{before}A{after}"),
            format!("{before}B{}", &after[1..]),
        ];
        for other in changed.iter().filter(|other| **other != token) {
            let result = verify(&issuers, other).await;
            assert!(!result.unwrap_err().is_unavailable(), "{at}: {other}");
        }
    }
}
