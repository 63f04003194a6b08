//! Tokens as well-known issuers make them, and what becomes of them.

use serde_json::{Value, json};

use super::issuer::Signer;
use super::*;
use crate::service::net::fetch::{Call, FetchError, Reply};

/// What believes an issuer whose keys are asked for at `url`.
fn believing(config: IssuerConfig, expect: &'static str) -> Issuers {
    let keys = json!({"keys": [Signer::ed("k1", 1).jwk]});
    let issuer = config.issuer.clone();
    let fetch = move |call: &Call| -> Result<Reply, FetchError> {
        let body = if call.url.ends_with("/.well-known/openid-configuration") {
            json!({"issuer": issuer, "jwks_uri": expect})
        } else {
            assert_eq!(call.url, expect);
            keys.clone()
        };
        Ok(Reply {
            status: 200,
            headers: Vec::new(),
            body: body.to_string().into_bytes(),
        })
    };
    Issuers::start(vec![config], Denied::default(), Arc::new(fetch)).unwrap()
}

async fn entities(issuers: &Issuers, claims: &Value) -> Value {
    let verified = verify(issuers, &Signer::ed("k1", 1).token(claims)).await;
    verified.unwrap().entities.to_vec().into()
}

fn uid(of_type: &str, id: &str) -> Value {
    json!({"type": of_type, "id": id})
}

fn bare(of_type: &str, id: &str) -> Value {
    json!({"uid": uid(of_type, id), "attrs": {}, "parents": []})
}

#[tokio::test]
async fn keycloak() {
    let url = "https://id.example.com/realms/acme";
    let table = "preset = \"keycloak\"\ngroup_type = \"Group\"\nrole_type = \"Role\"";
    let issuers = believing(principals(url, table), "https://id.example.com/certs");
    let token = claims(
        url,
        json!({
            "aud": ["app", "account"], "typ": "Bearer", "azp": "web", "sub": "6b3a",
            "preferred_username": "ada", "email": "ada@example.com", "email_verified": true,
            "realm_access": {"roles": ["staff", "offline_access"]},
            "resource_access": {"app": {"roles": ["admin"]}, "account": {"roles": ["view-profile"]}},
            "groups": ["/engineering/backend"], "session_state": "s1", "scope": "openid email",
        }),
    );
    assert_eq!(
        entities(&issuers, &token).await,
        json!([
            {
                "uid": uid("User", "6b3a"),
                "attrs": {"username": "ada", "email": "ada@example.com"},
                "parents": [
                    uid("Group", "/engineering/backend"), uid("Role", "app:admin"),
                    uid("Role", "offline_access"), uid("Role", "staff"),
                ],
            },
            bare("Group", "/engineering/backend"), bare("Role", "app:admin"),
            bare("Role", "offline_access"), bare("Role", "staff"),
        ])
    );
    let verified = verify(&issuers, &Signer::ed("k1", 1).token(&token))
        .await
        .unwrap();
    assert_eq!(verified.sid.as_deref(), Some("s1"));
    // Explicit keys beat the preset.
    let table = format!(
        "{table}\nprincipal_id = \"/preferred_username\"\nattributes = {{verified = \"/email_verified\"}}\n\
         roles = [\"/realm_access/roles\"]\ngroups = []"
    );
    let issuers = believing(principals(url, &table), "https://id.example.com/certs");
    assert_eq!(
        entities(&issuers, &token).await[0],
        json!({
            "uid": uid("User", "ada"), "attrs": {"verified": true},
            "parents": [uid("Role", "offline_access"), uid("Role", "staff")],
        })
    );
}

#[tokio::test]
async fn auth0() {
    let url = "https://acme.eu.auth0.com/";
    let table = "preset = \"auth0\"\nrole_type = \"Role\"";
    let issuers = believing(
        principals(url, table),
        "https://acme.eu.auth0.com/.well-known/jwks.json",
    );
    let token = claims(
        url,
        json!({
            "sub": "auth0|5f7c8ec7", "azp": "my_client", "scope": "openid profile",
            "aud": ["app", "https://acme.eu.auth0.com/userinfo"],
            "permissions": ["read:docs", "write:docs"],
            "https://acme.example.com/roles": ["editor"],
            "https://acme.example.com/groups": ["not mapped: no group_type"],
            "https://acme.example.com/xroles": ["not this"],
        }),
    );
    assert_eq!(
        entities(&issuers, &token).await,
        json!([
            {
                "uid": uid("User", "auth0|5f7c8ec7"),
                "attrs": {"permissions": ["read:docs", "write:docs"]},
                "parents": [uid("Role", "editor")],
            },
            bare("Role", "editor"),
        ])
    );
}

#[tokio::test]
async fn cognito() {
    let url = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example";
    let table = "preset = \"cognito\"\ngroup_type = \"Group\"";
    let keys =
        "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example/.well-known/jwks.json";
    let issuers = believing(principals(url, table), keys);
    let access = json!({
        "aud": null, "client_id": "app", "token_use": "access", "sub": "aaaa-bbbb", "username": "ada",
        "cognito:groups": ["editors"], "origin_jti": "o1", "jti": "j1", "scope": "openid",
        "auth_time": NOW - 60,
    });
    let identity = json!({
        "aud": "app", "token_use": "id", "sub": "aaaa-bbbb", "cognito:username": "ada",
        "cognito:groups": ["editors"], "origin_jti": "o1", "jti": "j2",
    });
    for over in [access.clone(), identity] {
        let token = claims(url, over);
        assert_eq!(
            entities(&issuers, &token).await,
            json!([
                {
                    "uid": uid("User", "aaaa-bbbb"), "attrs": {"username": "ada"},
                    "parents": [uid("Group", "editors")],
                },
                bare("Group", "editors"),
            ])
        );
        let verified = verify(&issuers, &Signer::ed("k1", 1).token(&token))
            .await
            .unwrap();
        assert_eq!(verified.sid.as_deref(), Some("o1"));
    }
    for (over, code) in [
        (json!({"client_id": "other"}), "token_audience"),
        (json!({"token_use": "refresh"}), "token_unsuitable"),
        (json!({"token_use": null}), "token_unsuitable"),
        // An identity token without `aud` is none.
        (json!({"token_use": "id"}), "token_malformed"),
    ] {
        let mut all = object(access.clone());
        all.extend(object(over));
        let token = Signer::ed("k1", 1).token(&claims(url, all.into()));
        refused(verify(&issuers, &token).await, code, "");
    }
}

#[tokio::test]
async fn firebase() {
    let url = "https://securetoken.google.com/acme-app";
    let mut config = principals(url, "preset = \"firebase\"");
    config.audience = vec!["acme-app".to_owned()];
    let issuers = believing(
        config,
        "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com",
    );
    let token = claims(
        url,
        json!({
            "aud": "acme-app", "sub": "uid1", "user_id": "uid1", "auth_time": NOW - 60,
            "email": "ada@example.com", "email_verified": true,
            "firebase": {"identities": {"email": ["ada@example.com"]}, "sign_in_provider": "password"},
        }),
    );
    assert_eq!(
        entities(&issuers, &token).await,
        json!([{
            "uid": uid("User", "uid1"),
            "attrs": {"signInProvider": "password", "email": "ada@example.com"},
            "parents": [],
        }])
    );
    let other = Signer::ed("k1", 1).token(&claims(url, json!({"aud": "other-app"})));
    refused(
        verify(&issuers, &other).await,
        "token_audience",
        "other-app",
    );
}

/// A claim that users may write themselves does not become an entity, a function or its own parent.
#[tokio::test]
async fn claims_do_not_become_entities() {
    let url = "https://id.example.com";
    let table = "attributes = {profile = \"/profile\", note = \"/note\"}\ngroup_type = \"User\"";
    let issuers = believing(principals(url, table), "https://id.example.com/keys");
    for over in [
        json!({"profile": {"__entity": {"type": "Role", "id": "admin"}}}),
        json!({"note": [{"__extn": {"fn": "ip", "arg": "10.0.0.1"}}, "x"]}),
    ] {
        let token = Signer::ed("k1", 1).token(&claims(url, over));
        refused(
            verify(&issuers, &token).await,
            "token_unsuitable",
            "__entity",
        );
    }
    let token = claims(url, json!({"note": ["x"], "groups": ["ada", "bob"]}));
    assert_eq!(
        entities(&issuers, &token).await,
        json!([
            {"uid": uid("User", "ada"), "attrs": {"note": ["x"]}, "parents": [uid("User", "bob")]},
            bare("User", "bob"),
        ])
    );
}
