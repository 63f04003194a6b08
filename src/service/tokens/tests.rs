//! Tokens of an issuer in this process, good and bad.

mod attacks;
mod fetching;
mod forms;
pub(crate) mod issuer;
mod presets;
mod revoked;

use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value, json};

use super::{Denied, Issuers, TokenError, Verified};
use crate::base::timestamp::Timestamp;
use crate::service::config::IssuerConfig;
use crate::service::config::TokenUsage;
use crate::service::net::fetch::{Client, Fetch};
use issuer::{Signer, TestIssuer};

/// The instant of the tests, in seconds.
const NOW: i64 = 1_800_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis((NOW + seconds) * 1_000)
}

/// One client for all tests: reading the system's authorities takes a while.
fn client() -> Arc<dyn Fetch> {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    Arc::new(CLIENT.get_or_init(|| Client::new(None).unwrap()).clone())
}

fn config(text: &str) -> IssuerConfig {
    toml::from_str(text).unwrap()
}

/// A table for principals of this issuer, with more keys.
fn principals(issuer: &str, more: &str) -> IssuerConfig {
    config(&format!(
        "issuer = \"{issuer}\"\naudience = [\"app\"]\nusage = \"principal\"\n\
         principal_type = \"User\"\n{more}"
    ))
}

fn start(configs: Vec<IssuerConfig>) -> Issuers {
    Issuers::start(configs, Denied::default(), client()).unwrap()
}

/// Good claims of this issuer, with others over them; `null` takes one away.
fn claims(issuer: &str, over: Value) -> Value {
    let mut claims = json!({
        "iss": issuer, "aud": "app", "sub": "ada", "iat": NOW - 60, "exp": NOW + 600,
    });
    let members = claims.as_object_mut().unwrap();
    members.extend(over.as_object().unwrap().clone());
    members.retain(|_, value| !value.is_null());
    claims
}

async fn verify(issuers: &Issuers, token: &str) -> Result<Arc<Verified>, TokenError> {
    issuers.verify(token, TokenUsage::Principal, at(0)).await
}

#[track_caller]
fn refused(result: Result<Arc<Verified>, TokenError>, code: &str, detail: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.code(), code, "{}", error.detail());
    assert!(error.detail().contains(detail), "{}", error.detail());
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[tokio::test]
async fn a_token_becomes_a_principal_with_its_groups() {
    let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
    let issuers = start(vec![principals(
        &issuer.url,
        r#"
        id_prefix = "acme|"
        attributes = {email = "/email", address = "/address", missing = "/missing"}
        constants = {tenant = "acme"}
        groups = ["/groups", {claim = "/teams", prefix = "team:"}]
        group_type = "Group"
    "#,
    )]);
    let token = Signer::ed("k1", 1).token(&claims(
        &issuer.url,
        json!({
            "email": "ada@example.com", "address": {"city": "Turin"},
            "groups": ["staff", "staff", 7], "teams": "blue", "aud": ["other", "app"],
            "acr": "aal2", "amr": ["pwd", "otp"], "auth_time": NOW - 120, "sid": "s1", "jti": "t1",
        }),
    ));
    let verified = verify(&issuers, &token).await.unwrap();
    assert_eq!(
        verified.principal.as_ref().unwrap().to_string(),
        "User::\"acme|ada\""
    );
    let group = |id: &str| json!({"type": "Group", "id": id});
    let bare = |id: &str| json!({"uid": group(id), "attrs": {}, "parents": []});
    assert_eq!(
        Value::from(verified.entities.to_vec()),
        json!([
            {
                "uid": {"type": "User", "id": "acme|ada"},
                "attrs": {"tenant": "acme", "email": "ada@example.com", "address": {"city": "Turin"}},
                "parents": [group("7"), group("staff"), group("team:blue")],
            },
            bare("7"), bare("staff"), bare("team:blue"),
        ])
    );
    assert_eq!(verified.subject.as_deref(), Some("ada"));
    assert_eq!(verified.expires, at(600));
    assert_eq!(verified.issued_at, Some(at(-60)));
    assert_eq!(verified.acr.as_deref(), Some("aal2"));
    assert_eq!(verified.amr, ["pwd", "otp"]);
    assert_eq!(verified.auth_time, Some(at(-120)));
    assert_eq!(verified.sid.as_deref(), Some("s1"));
    assert_eq!(verified.jti.as_deref(), Some("t1"));
    assert_eq!(verified.claims["email"], "ada@example.com");
    assert!(verified.caller.is_none());
}

#[tokio::test]
async fn the_entities_of_a_token_are_what_cedar_reads() {
    let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
    let issuers = start(vec![principals(
        &issuer.url,
        "attributes = {address = \"/address\"}\ngroup_type = \"Group\"",
    )]);
    let over = json!({"groups": ["staff"], "address": {"city": "Turin", "zip": [10121]}});
    let token = Signer::ed("k1", 1).token(&claims(&issuer.url, over));
    let verified = verify(&issuers, &token).await.unwrap();
    let pdp = crate::Pdp::builder()
        .policies_text(
            "p.cedar",
            r#"permit(principal in Group::"staff", action, resource)
               when { principal.address.city == "Turin" && principal.address.zip.contains(10121) };"#,
        )
        .build()
        .unwrap();
    let body = json!({
        "principal": {"type": "User", "id": "ada"}, "action": "Action::\"read\"",
        "resource": "Doc::\"d\"", "entities": verified.entities,
    });
    let request = crate::Request::from_json(
        body.to_string().as_bytes(),
        &crate::Limits::default(),
        crate::Caller::library(),
    );
    assert!(pdp.authorize(&request.unwrap()).unwrap().is_allow());
}

#[tokio::test]
async fn a_token_becomes_a_caller_with_its_scopes() {
    let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
    let text = format!(
        "issuer = \"{}\"\naudience = [\"deodar\"]\nusage = \"caller\"\ncaller_name = \"/azp\"\n\
         scope_prefix = \"deodar:\"",
        issuer.url
    );
    let issuers = start(vec![config(&text)]);
    let signer = Signer::ed("k1", 1);
    for scopes in [
        json!({"scope": "openid deodar:decide deodar:policies:read"}),
        json!({"scp": ["deodar:decide", "deodar:policies:read", 3]}),
    ] {
        let mut over = object(json!({"aud": "deodar", "azp": "gateway"}));
        over.extend(object(scopes));
        let token = signer.token(&claims(&issuer.url, over.into()));
        let verified = issuers
            .verify(&token, TokenUsage::Caller, at(0))
            .await
            .unwrap();
        let caller = verified.caller.as_ref().unwrap();
        assert_eq!(caller.name, "gateway");
        assert_eq!(caller.scopes, ["decide", "policies:read"]);
        assert!(verified.principal.is_none() && verified.entities.is_empty());
        // What stands for a caller does not stand for a principal.
        refused(
            verify(&issuers, &token).await,
            "token_issuer",
            "not an issuer of principals",
        );
    }
    let unnamed = signer.token(&claims(&issuer.url, json!({"aud": "deodar"})));
    let result = issuers.verify(&unnamed, TokenUsage::Caller, at(0)).await;
    refused(result, "token_unsuitable", "/azp");
}

#[tokio::test]
async fn a_token_is_verified_once_and_looked_up_after_that() {
    let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
    let issuers = start(vec![principals(&issuer.url, "cache = \"2m\"")]);
    let token = Signer::ed("k1", 1).token(&claims(&issuer.url, json!({"exp": NOW + 30})));
    let cached = |seconds| issuers.cached(&token, TokenUsage::Principal, at(seconds));
    assert!(cached(0).is_none());
    let first = verify(&issuers, &token).await.unwrap();
    assert!(Arc::ptr_eq(&cached(29).unwrap().unwrap(), &first));
    assert!(issuers.cached(&token, TokenUsage::Caller, at(0)).is_none());
    // Not beyond its end; what the leeway allows is verified again.
    assert!(cached(30).is_none());
    assert!(
        issuers
            .verify(&token, TokenUsage::Principal, at(40))
            .await
            .is_ok()
    );
    let late = issuers.verify(&token, TokenUsage::Principal, at(60)).await;
    refused(late, "token_expired", "exp");
    let long = Signer::ed("k1", 1).token(&claims(&issuer.url, json!({})));
    assert!(verify(&issuers, &long).await.is_ok());
    assert!(
        issuers
            .cached(&long, TokenUsage::Principal, at(119))
            .is_some()
    );
    assert!(
        issuers
            .cached(&long, TokenUsage::Principal, at(120))
            .is_none()
    );
    let counts = issuers.counts();
    assert_eq!((counts.verified, counts.cached), (3, 2));
    assert!(counts.refused.contains(&("token_expired", 1)));
}

#[test]
fn what_cannot_work_does_not_start() {
    let start = |configs: Vec<IssuerConfig>| {
        let faults = Issuers::start(configs, Denied::default(), client()).unwrap_err();
        let messages: Vec<_> = faults
            .iter()
            .map(|fault| fault.message().to_owned())
            .collect();
        messages.join("; ")
    };
    let url = "https://id.example.com";
    let text = start(vec![principals(url, ""), principals(url, "")]);
    assert!(text.contains("given twice"), "{text}");
    let text = start(vec![principals(url, "jwks_file = \"/nonexistent/keys\"")]);
    assert!(text.contains("/nonexistent/keys"), "{text}");
    let secret = "[introspection]\nurl = \"https://a/\"\nclient_id = \"c\"\n\
                  client_secret = {env = \"DEODAR_TEST_NO_SUCH\"}";
    let text = start(vec![principals(url, secret)]);
    assert!(text.contains("introspection.client_secret"), "{text}");
}

#[tokio::test]
async fn tables_of_one_issuer_are_told_apart_by_audience() {
    let issuer = TestIssuer::start(&[Signer::ed("k1", 1)]);
    let mut other = principals(&issuer.url, "");
    other.audience = vec!["shop".to_owned()];
    other.principal_type = Some("Customer".to_owned());
    let callers = format!(
        "issuer = \"{}\"\naudience = [\"deodar\"]\nusage = \"caller\"",
        issuer.url
    );
    let issuers = start(vec![principals(&issuer.url, ""), other, config(&callers)]);
    let signer = Signer::ed("k1", 1);
    let token = |aud: Value| signer.token(&claims(&issuer.url, json!({"aud": aud})));
    let principal = |verified: Arc<Verified>| verified.principal.as_ref().unwrap().to_string();
    let user = verify(&issuers, &token(json!("app"))).await.unwrap();
    assert_eq!(principal(user), "User::\"ada\"");
    let customer = verify(&issuers, &token(json!(["x", "shop"])))
        .await
        .unwrap();
    assert_eq!(principal(customer), "Customer::\"ada\"");
    // One token for both uses could be taken from the one place to the other.
    let both = verify(&issuers, &token(json!(["app", "deodar"]))).await;
    refused(both, "token_audience", "another use");
}
