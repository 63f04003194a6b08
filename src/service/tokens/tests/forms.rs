//! Claims in forms that are not read, and claims that are kept elsewhere: never taken for missing ones.

use serde_json::{Value, json};

use super::issuer::{Signer, TestIssuer};
use super::*;

const TABLE: &str = r#"
    attributes = {level = "/level", city = "/address/city"}
    groups = ["/groups"]
    group_type = "Group"
    roles = ["/realm/roles", "/titles/*/name", {claim = "/scope", prefix = "scope:"}]
    role_type = "Role"
"#;

fn scene() -> (TestIssuer, Issuers) {
    let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
    let issuers = start(vec![principals(&issuer.url, TABLE)]);
    (issuer, issuers)
}

async fn parents(issuer: &TestIssuer, issuers: &Issuers, over: Value) -> Vec<String> {
    let token = Signer::ed("k1", 1).token(&claims(&issuer.url, over));
    let verified = verify(issuers, &token).await.unwrap();
    let parents = verified.entities[0]["parents"].as_array().unwrap();
    let ids = parents.iter().map(|parent| parent["id"].as_str().unwrap());
    ids.map(str::to_owned).collect()
}

#[tokio::test]
async fn groups_and_roles_are_read_in_the_usual_forms() {
    let (issuer, issuers) = scene();
    for (over, expect) in [
        (json!({}), &[][..]),
        (json!({"groups": [], "realm": {}, "titles": []}), &[]),
        (json!({"groups": "staff"}), &["staff"]),
        (
            json!({"groups": {"staff": {"312": "acme.example.com"}}}),
            &["staff"],
        ),
        (
            json!({"groups": {"staff": true, "banned": false}}),
            &["staff"],
        ),
        (
            json!({"titles": [{"name": "a"}, {"name": "b"}]}),
            &["a", "b"],
        ),
        (
            json!({"scope": "read write"}),
            &["scope:read", "scope:write"],
        ),
        (json!({"hasgroups": false}), &[]),
        (json!({"_claim_names": {"other": "s"}}), &[]),
    ] {
        assert_eq!(
            parents(&issuer, &issuers, over.clone()).await,
            expect,
            "{over}"
        );
    }
}

#[tokio::test]
async fn a_claim_in_another_form_refuses_the_token() {
    let (issuer, issuers) = scene();
    let signer = Signer::ed("k1", 1);
    let lists = [
        json!(true),
        json!(1.5),
        json!(""),
        json!("a b"),
        json!(["a", {}]),
        json!([["a"]]),
        json!([""]),
        json!({"a": 1}),
        json!({"a": ["b"]}),
    ];
    let texts = [
        json!(true),
        json!(1.5),
        json!(""),
        json!(["a"]),
        json!({"a": "b"}),
    ];
    let data = [
        json!(1.5),
        json!([1.5]),
        json!({"__entity": {"type": "U", "id": "a"}}),
    ];
    let cases = [
        ("groups", &lists[..]),
        (
            "amr",
            &[json!(true), json!([{}]), json!({"a": 1}), json!([1.5])],
        ),
        ("level", &data),
        ("acr", &texts),
        ("sid", &texts),
        ("jti", &texts),
        ("sub", &texts),
        ("realm", &[json!("a"), json!(["a"]), json!(5)]),
        (
            "titles",
            &[
                json!("a"),
                json!({"a": "b"}),
                json!([{}]),
                json!(["a"]),
                json!([{"name": 1.5}]),
            ],
        ),
        ("address", &[json!("Turin"), json!(["Turin"])]),
        ("auth_time", &[json!("1"), json!([1]), json!(true)]),
        ("iat", &[json!("1"), json!([1])]),
        ("_claim_names", &[json!("groups"), json!(["groups"])]),
    ];
    for (name, values) in cases {
        // JSON null stands for itself: `claims` would take it away.
        for value in values.iter().chain([&Value::Null]) {
            let mut good = claims(&issuer.url, json!({}));
            good[name] = value.clone();
            let result = verify(&issuers, &signer.token(&good)).await;
            let code = result.as_ref().map_err(TokenError::code);
            assert!(
                matches!(code, Err("token_unsuitable" | "token_malformed")),
                "{name}: {value}: {code:?}"
            );
        }
    }
    // What nothing asks for may have any form.
    let free = json!({"other": null, "roles": 1.5, "email": {}, "banned": [{}]});
    let mut good = claims(&issuer.url, json!({}));
    good.as_object_mut().unwrap().extend(object(free));
    assert!(verify(&issuers, &signer.token(&good)).await.is_ok());
}

#[tokio::test]
async fn a_claim_that_is_kept_elsewhere_refuses_the_token() {
    let (issuer, issuers) = scene();
    let signer = Signer::ed("k1", 1);
    let named = |name: &str| json!({"_claim_names": {name: "src1"}, "_claim_sources": {"src1": {"endpoint": "https://x"}}});
    for over in [
        named("groups"),
        named("realm"),
        named("titles"),
        named("scope"),
        named("level"),
        named("address"),
        named("acr"),
        named("amr"),
        named("sid"),
        named("auth_time"),
        named("jti"),
        json!({"hasgroups": true}),
        json!({"_claim_sources": {}}),
    ] {
        let token = signer.token(&claims(&issuer.url, over));
        refused(
            verify(&issuers, &token).await,
            "token_unsuitable",
            "elsewhere",
        );
    }
}

#[tokio::test]
async fn scopes_of_a_caller_in_another_form_refuse_the_token() {
    let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
    let text = format!(
        "issuer = \"{}\"\naudience = [\"deodar\"]\nusage = \"caller\"",
        issuer.url
    );
    let issuers = start(vec![config(&text)]);
    let signer = Signer::ed("k1", 1);
    for over in [
        json!({"scope": {"decide": 1}}),
        json!({"scope": ["decide", {}]}),
        json!({"scope": 1.5}),
        json!({"_claim_names": {"scope": "s"}}),
        json!({"sub": "a b"}),
        json!({"sub": "a#b"}),
        json!({"sub": "j\u{f6}rg"}),
        json!({"sub": "or\u{200b}ders"}),
    ] {
        let mut with = object(json!({"aud": "deodar"}));
        with.extend(object(over));
        let token = signer.token(&claims(&issuer.url, with.into()));
        let result = issuers.verify(&token, TokenUsage::Caller, at(0)).await;
        refused(result, "token_unsuitable", "");
    }
}

#[tokio::test]
async fn groups_of_a_token_are_bounded() {
    let (issuer, issuers) = scene();
    let many = |most: u32| json!({"groups": (0..most).collect::<Vec<_>>()});
    assert_eq!(parents(&issuer, &issuers, many(1_000)).await.len(), 1_000);
    let token = Signer::ed("k1", 1).token(&claims(&issuer.url, many(1_001)));
    refused(
        verify(&issuers, &token).await,
        "token_unsuitable",
        "more than 1000",
    );
}

#[tokio::test]
async fn keys_may_change_under_one_name_and_may_have_none() {
    let late = |seconds| at(seconds);
    let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
    let issuers = start(vec![principals(&issuer.url, "")]);
    let token = |signer: &Signer, jti: &str| {
        let over = json!({"jti": jti, "exp": NOW + 6_000});
        signer.token(&claims(&issuer.url, over))
    };
    let verify = |token: String, seconds| {
        let issuers = issuers.clone();
        async move {
            issuers
                .verify(&token, TokenUsage::Principal, late(seconds))
                .await
        }
    };
    assert!(verify(token(&Signer::ed("k1", 1), "a"), 0).await.is_ok());
    // Another key under the same name: found with the first token, once in each interval.
    issuer.rotate(&[Signer::ed("k1", 2)]);
    assert!(verify(token(&Signer::ed("k1", 2), "b"), 70).await.is_ok());
    refused(
        verify(token(&Signer::ed("k1", 1), "c"), 71).await,
        "token_signature",
        "",
    );
    for n in 0..50 {
        let forged = token(&Signer::ed("k1", 66), &format!("f{n}"));
        refused(verify(forged, 72 + n % 50).await, "token_signature", "");
    }
    assert_eq!(issuer.calls("/keys"), 2);
    let forged = token(&Signer::ed("k1", 66), "g");
    refused(verify(forged, 140).await, "token_signature", "");
    assert_eq!(issuer.calls("/keys"), 3);
    // Keys without a name are tried; keys of another name are not.
    let nameless = |seed| {
        let mut signer = Signer::ed("k1", seed);
        signer.jwk.as_object_mut().unwrap().remove("kid");
        signer
    };
    issuer.rotate(&[nameless(3), nameless(4), Signer::ed("other", 5)]);
    for seed in [3, 4] {
        assert!(
            verify(token(&Signer::ed("k1", seed), "h"), 300)
                .await
                .is_ok()
        );
        let header = json!({"alg": "EdDSA", "typ": "JWT"}).to_string();
        let unnamed =
            Signer::ed("", seed).raw(&header, &claims(&issuer.url, json!({})).to_string());
        assert!(verify(unnamed, 301).await.is_ok());
    }
    for n in 0..3 {
        let of_another = token(&Signer::ed("k1", 5), &format!("i{n}"));
        refused(
            verify(of_another, 400 + n * 100).await,
            "token_signature",
            "",
        );
    }
}
